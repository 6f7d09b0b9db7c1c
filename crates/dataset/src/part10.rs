//! The header of a DICOM file: preamble, prefix and file meta information (PS3.10 7.1).
//!
//! A stored instance is this header, synthesised, and the data set exactly as it arrived. The header's private information says what the
//! index would need after the loss of its database: whose object it is and when it came.

use dokuei_domain::uid::UidError;
use dokuei_domain::{AeTitle, FacilityId, SopClassUid, SopInstanceUid, Timestamp, TransferSyntaxUid};
use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::tag::{self, Tag};
use crate::tokenizer::{Header, TokenError};
use crate::vr::Vr;
use crate::writer::DataSetWriter;

pub use dokuei_domain::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
/// Private Information Creator UID (0002,0100): marks the private information as a [`Receipt`] in JSON.
pub const RECEIPT_CREATOR_UID: &str = "2.25.62211417107882622134719958013350747137";

/// Bytes before the file meta information: preamble and `DICM`.
const PREFIX: usize = 132;
/// The longest file meta information that is read.
const LONGEST_META: usize = 1 << 20;

/// How an object came to this node (in the header's private information).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    pub facility: FacilityId,
    /// The facility's own issuer of patient IDs at the time of receipt.
    pub issuer: String,
    #[serde(rename = "received_at_us")]
    pub received_at: Timestamp,
    /// The sender's AE title was admitted for studies to be read, not for priors only. Absent in a file means no.
    #[serde(default)]
    pub opens_case: bool,
}

/// What the header says that we put before a data set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileMeta {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
    /// Source Application Entity Title (0002,0016): who sent it to us.
    pub source_ae_title: Option<AeTitle>,
    /// How it came to us; `None` for a file that is made for somebody else.
    pub receipt: Option<Receipt>,
}

/// What a file's header says, be it ours or another's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadMeta {
    /// (0002,0002); real files lack it although PS3.10 requires it. The data set says the same.
    pub sop_class: Option<SopClassUid>,
    /// (0002,0003), as above.
    pub sop_instance: Option<SopInstanceUid>,
    pub transfer_syntax: TransferSyntaxUid,
    pub source_ae_title: Option<AeTitle>,
    /// Only in files that this software wrote.
    pub receipt: Option<Receipt>,
}

/// Why bytes are not the beginning of a DICOM file.
#[derive(Debug, thiserror::Error)]
pub enum Part10Error {
    #[error("not a DICOM file: no DICM prefix after the preamble")]
    NoPrefix,
    #[error("the file meta information does not parse")]
    Structure(#[source] TokenError),
    #[error("the file meta information does not end within the {0} bytes given")]
    Truncated(usize),
    #[error("file meta element {0} is missing")]
    Missing(Tag),
    #[error("file meta element {tag} is not a UID")]
    Malformed {
        tag: Tag,
        #[source]
        source: UidError,
    },
    #[error("the file's own record of its receipt is not readable")]
    Receipt(#[source] serde_json::Error),
}

/// Preamble, prefix and file meta information for a data set that follows.
pub fn build_header(meta: &FileMeta) -> Vec<u8> {
    let mut group = DataSetWriter::new();
    group
        .bytes(tag::FILE_META_VERSION, Vr::OB, vec![0, 1])
        .text(tag::MEDIA_STORAGE_SOP_CLASS_UID, Vr::UI, meta.sop_class.as_str())
        .text(tag::MEDIA_STORAGE_SOP_INSTANCE_UID, Vr::UI, meta.sop_instance.as_str())
        .text(tag::TRANSFER_SYNTAX_UID, Vr::UI, meta.transfer_syntax.as_str())
        .text(tag::IMPLEMENTATION_CLASS_UID, Vr::UI, IMPLEMENTATION_CLASS_UID)
        .text(tag::IMPLEMENTATION_VERSION_NAME, Vr::SH, IMPLEMENTATION_VERSION_NAME);
    if let Some(title) = &meta.source_ae_title {
        group.text(tag::SOURCE_AE_TITLE, Vr::AE, title.as_str());
    }
    // Three plain fields, which cannot fail to become JSON.
    if let Some(Ok(mut json)) = meta.receipt.as_ref().map(serde_json::to_vec) {
        if !json.len().is_multiple_of(2) {
            json.push(b' ');
        }
        group.text(tag::PRIVATE_INFORMATION_CREATOR_UID, Vr::UI, RECEIPT_CREATOR_UID);
        group.bytes(tag::PRIVATE_INFORMATION, Vr::OB, json);
    }
    // No value above can be refused: UIDs and AE titles are checked and short, OB has no limit that memory would not reach first.
    let elements = group.encode().unwrap_or_default();
    let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
    let group_length =
        DataSetWriter::new().unsigned_long(tag::FILE_META_GROUP_LENGTH, length).encode().unwrap_or_default();
    let mut out = vec![0; PREFIX - 4];
    out.extend_from_slice(b"DICM");
    out.extend_from_slice(&group_length);
    out.extend_from_slice(&elements);
    out
}

/// Reads the header at the beginning of a file and says at which byte the data set begins.
///
/// `bytes` need not be the whole file; 64 KiB hold every sound header. The group length is not believed, because many files have a wrong one:
/// the header ends at the first element that is not of group 2.
pub fn parse_header(bytes: &[u8]) -> Result<(ReadMeta, usize), Part10Error> {
    if bytes.get(PREFIX - 4..PREFIX) != Some(b"DICM") {
        return Err(Part10Error::NoPrefix);
    }
    let mut fields = Fields::default();
    let mut at = PREFIX;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        // Always explicit little endian (PS3.10 7.1); the first two bytes of the next element tell whether it is still one of these.
        match rest {
            [] => break,
            [2, 0, ..] if at < LONGEST_META => {}
            [2, 0, ..] => return Err(Part10Error::Truncated(LONGEST_META)),
            _ => break,
        }
        let truncated = || Part10Error::Truncated(bytes.len());
        let header = Header::parse(Encoding::ExplicitLittle, rest, at as u64)
            .map_err(Part10Error::Structure)?
            .ok_or_else(truncated)?;
        let undefined = || Part10Error::Structure(TokenError::UndefinedLength { tag: header.tag, offset: at as u64 });
        let length = header.length.ok_or_else(undefined)? as usize;
        let value = rest.get(header.size..).and_then(|rest| rest.get(..length)).ok_or_else(truncated)?;
        fields.take(header.tag, value);
        at += header.size + length;
    }
    Ok((fields.into_meta()?, at))
}

#[derive(Default)]
struct Fields<'b> {
    sop_class: Option<&'b [u8]>,
    sop_instance: Option<&'b [u8]>,
    transfer_syntax: Option<&'b [u8]>,
    source_ae_title: Option<&'b [u8]>,
    creator: Option<&'b [u8]>,
    private: Option<&'b [u8]>,
}

impl<'b> Fields<'b> {
    fn take(&mut self, tag: Tag, value: &'b [u8]) {
        let field = match tag {
            tag::MEDIA_STORAGE_SOP_CLASS_UID => &mut self.sop_class,
            tag::MEDIA_STORAGE_SOP_INSTANCE_UID => &mut self.sop_instance,
            tag::TRANSFER_SYNTAX_UID => &mut self.transfer_syntax,
            tag::SOURCE_AE_TITLE => &mut self.source_ae_title,
            tag::PRIVATE_INFORMATION_CREATOR_UID => &mut self.creator,
            tag::PRIVATE_INFORMATION => &mut self.private,
            _ => return,
        };
        *field = Some(value);
    }

    fn into_meta(self) -> Result<ReadMeta, Part10Error> {
        let ours = self.creator.map(trim_padding) == Some(RECEIPT_CREATOR_UID.as_bytes());
        let receipt = match self.private {
            Some(json) if ours => Some(serde_json::from_slice(json).map_err(Part10Error::Receipt)?),
            _ => None,
        };
        let missing = Part10Error::Missing(tag::TRANSFER_SYNTAX_UID);
        Ok(ReadMeta {
            sop_class: uid(tag::MEDIA_STORAGE_SOP_CLASS_UID, self.sop_class, SopClassUid::parse_padded)?,
            sop_instance: uid(tag::MEDIA_STORAGE_SOP_INSTANCE_UID, self.sop_instance, SopInstanceUid::parse_padded)?,
            transfer_syntax: uid(tag::TRANSFER_SYNTAX_UID, self.transfer_syntax, TransferSyntaxUid::parse_padded)?
                .ok_or(missing)?,
            // Foreign files may have anything here; it only informs.
            source_ae_title: self
                .source_ae_title
                .and_then(|title| std::str::from_utf8(title).ok())
                .and_then(|title| AeTitle::parse(title).ok()),
            receipt,
        })
    }
}

fn trim_padding(uid: &[u8]) -> &[u8] {
    uid.strip_suffix(b"\0").unwrap_or(uid)
}

/// An absent or empty element is `None`.
fn uid<T>(tag: Tag, value: Option<&[u8]>, parse: fn(&[u8]) -> Result<T, UidError>) -> Result<Option<T>, Part10Error> {
    match value.map(parse) {
        None | Some(Err(UidError::Empty)) => Ok(None),
        Some(Ok(uid)) => Ok(Some(uid)),
        Some(Err(source)) => Err(Part10Error::Malformed { tag, source }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> FileMeta {
        FileMeta {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: SopInstanceUid::parse("1.2.3.4").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            source_ae_title: Some(AeTitle::parse("HOSP1").unwrap()),
            receipt: Some(Receipt {
                facility: FacilityId::parse("HOSP1").unwrap(),
                issuer: "1.2.392.100495.20.3.51.13610001234".into(),
                received_at: Timestamp(1_790_000_000_000_000),
                opens_case: true,
            }),
        }
    }

    fn as_read(meta: FileMeta) -> ReadMeta {
        let FileMeta { sop_class, sop_instance, transfer_syntax, source_ae_title, receipt } = meta;
        ReadMeta {
            sop_class: Some(sop_class),
            sop_instance: Some(sop_instance),
            transfer_syntax,
            source_ae_title,
            receipt,
        }
    }

    proptest! {
        #[test]
        fn what_was_built_is_read_back(
            root in "[1-9][0-9]{0,5}(\\.[1-9][0-9]{0,8}){1,4}",
            title in proptest::option::of("[A-Z0-9]{1,16}"),
            receipt in proptest::option::of(("[A-Z0-9]{1,32}", "\\PC{0,40}", any::<i64>())),
            rest in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let meta = FileMeta {
                sop_instance: SopInstanceUid::parse(&root).unwrap(),
                source_ae_title: title.map(|title| AeTitle::parse(&title).unwrap()),
                receipt: receipt.map(|(facility, issuer, at)| Receipt {
                    facility: FacilityId::parse(&facility).unwrap(),
                    issuer,
                    received_at: Timestamp(at),
                    opens_case: at % 2 == 0,
                }),
                ..meta()
            };
            let header = build_header(&meta);
            // A data set begins with group 8 (or later).
            let file = [&header[..], b"\x08\0", &rest[..]].concat();
            let (read, offset) = parse_header(&file).unwrap();
            prop_assert_eq!(read, as_read(meta));
            prop_assert_eq!(offset, header.len());
            prop_assert!(header.len().is_multiple_of(2));
        }

        #[test]
        fn arbitrary_bytes_behind_the_prefix_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let file = [&[0; 128][..], b"DICM\x02\0", &bytes[..]].concat();
            let _ = parse_header(&file);
        }
    }

    #[test]
    fn a_wrong_group_length_is_not_believed() {
        let mut file = build_header(&meta());
        let offset = file.len();
        file[140..144].copy_from_slice(&7u32.to_le_bytes());
        file.extend_from_slice(b"\x08\0\x05\0CS\0\0");
        assert_eq!(parse_header(&file).unwrap(), (as_read(meta()), offset));
    }

    #[test]
    fn says_what_is_wrong_with_a_header() {
        let file = build_header(&meta());
        assert!(matches!(parse_header(&file[128..]), Err(Part10Error::NoPrefix)));
        assert!(matches!(parse_header(b""), Err(Part10Error::NoPrefix)));
        assert!(matches!(parse_header(&file[..file.len() - 3]), Err(Part10Error::Truncated(_))));
        assert!(matches!(parse_header(&file[..132]), Err(Part10Error::Missing(tag::TRANSFER_SYNTAX_UID))));
    }

    #[test]
    fn anothers_private_information_is_left_alone() {
        let ours = build_header(&meta());
        let mut theirs = ours.clone();
        let creator =
            theirs.windows(RECEIPT_CREATOR_UID.len()).position(|w| w == RECEIPT_CREATOR_UID.as_bytes()).unwrap();
        theirs[creator] = b'1';
        assert_eq!(parse_header(&theirs).unwrap().0.receipt, None);
        // Ours, but damaged: the object must not silently lose its owner.
        let mut damaged = ours.clone();
        let json = damaged.windows(10).position(|w| w == b"\"facility\"").unwrap();
        damaged[json] = b'x';
        assert!(matches!(parse_header(&damaged), Err(Part10Error::Receipt(_))));
    }
}
