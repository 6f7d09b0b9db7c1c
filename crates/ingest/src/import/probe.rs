//! What the beginning of a file says it is.

use dokuei_dataset::{
    dicomdir::MEDIA_STORAGE_DIRECTORY,
    encoding::DataSetEncoding,
    part10, tag,
    tokenizer::{Element, Sink, Tokenizer, TokenizerLimits, Want},
};
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

/// How much of a file is looked at: every sound header, and the head of a data set that has none.
pub(super) const LOOKED_AT: usize = 256 * 1024;

/// Bytes before the file meta information: preamble and `DICM` (PS3.10 7.1).
const PREFIX: usize = 132;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Object {
        transfer_syntax: TransferSyntaxUid,
        sop_class: Option<SopClassUid>,
        sop_instance: Option<SopInstanceUid>,
        /// Where the data set begins.
        offset: usize,
    },
    /// A DICOMDIR.
    Directory {
        transfer_syntax: TransferSyntaxUid,
        offset: usize,
    },
    NotDicom,
    /// A DICOM file whose header cannot be used, with the reason.
    Damaged(String),
}

/// Looks at the first [`LOOKED_AT`] bytes of a file, or all of it.
pub(super) fn probe(first: &[u8]) -> Probe {
    match part10::parse_header(first) {
        Ok((meta, offset)) => header(meta, offset),
        Err(part10::Part10Error::NoPrefix) => without_preamble(first),
        Err(error) => Probe::Damaged(crate::incoming::with_causes(&error)),
    }
}

fn header(meta: part10::ReadMeta, offset: usize) -> Probe {
    let part10::ReadMeta { sop_class, sop_instance, transfer_syntax, .. } = meta;
    if sop_class.as_ref().is_some_and(|class| class.as_str() == MEDIA_STORAGE_DIRECTORY) {
        return Probe::Directory { transfer_syntax, offset };
    }
    Probe::Object { transfer_syntax, sop_class, sop_instance, offset }
}

/// Old archives and some exports write the file meta information, or the data set itself, from the first byte on.
fn without_preamble(first: &[u8]) -> Probe {
    if let [2, 0, _, 0, vr @ ..] = first
        && vr.first_chunk::<2>().is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase))
    {
        let mut whole = vec![0; PREFIX - 4];
        whole.extend_from_slice(b"DICM");
        whole.extend_from_slice(first);
        return match part10::parse_header(&whole) {
            Ok((meta, offset)) => header(meta, offset.saturating_sub(PREFIX)),
            Err(error) => Probe::Damaged(crate::incoming::with_causes(&error)),
        };
    }
    match guessed_transfer_syntax(first) {
        Some(transfer_syntax) if is_data_set(first, &transfer_syntax) => {
            Probe::Object { transfer_syntax, sop_class: None, sop_instance: None, offset: 0 }
        }
        _ => Probe::NotDicom,
    }
}

/// A data set begins with group 8. Without a header only the uncompressed syntaxes can be told apart.
fn guessed_transfer_syntax(first: &[u8]) -> Option<TransferSyntaxUid> {
    let uid = match first {
        [8, 0, _, 0, one, two, ..] if one.is_ascii_uppercase() && two.is_ascii_uppercase() => "1.2.840.10008.1.2.1",
        [8, 0, _, 0, _, _, _, 0, ..] => "1.2.840.10008.1.2",
        [0, 8, 0, _, one, two, ..] if one.is_ascii_uppercase() && two.is_ascii_uppercase() => "1.2.840.10008.1.2.2",
        _ => return None,
    };
    TransferSyntaxUid::parse(uid).ok()
}

/// A few bytes prove nothing; the elements that every object has do.
fn is_data_set(first: &[u8], transfer_syntax: &TransferSyntaxUid) -> bool {
    uids(first, transfer_syntax).is_some()
}

/// SOP Class and SOP Instance UID as the data set itself says them; `None` also for a deflated one.
pub(super) fn uids(data_set: &[u8], transfer_syntax: &TransferSyntaxUid) -> Option<(SopClassUid, SopInstanceUid)> {
    let encoding = DataSetEncoding::of(transfer_syntax);
    if encoding.deflated {
        return None;
    }
    let mut tokenizer = Tokenizer::new(encoding.elements, TokenizerLimits::default());
    let mut found = Uids::default();
    // In pieces, so that what is broken later does not hide what stands before.
    for piece in data_set.chunks(512) {
        let sound = tokenizer.push(piece, &mut found).is_ok();
        if !sound || (found.class.is_some() && found.instance.is_some()) {
            break;
        }
    }
    Some((SopClassUid::parse_padded(&found.class?).ok()?, SopInstanceUid::parse_padded(&found.instance?).ok()?))
}

#[derive(Default)]
struct Uids {
    class: Option<Vec<u8>>,
    instance: Option<Vec<u8>>,
}

impl Sink for Uids {
    fn element(&mut self, element: &Element) -> Want {
        let wanted = element.depth == 0 && matches!(element.tag, tag::SOP_CLASS_UID | tag::SOP_INSTANCE_UID);
        if wanted { Want::Value } else { Want::Nothing }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        let uid = if element.tag == tag::SOP_CLASS_UID { &mut self.class } else { &mut self.instance };
        *uid = Some(value.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use dokuei_testkit::{data_set::Encoding, synthetic::CtImage, testdata_files};

    use super::*;

    fn image() -> CtImage {
        CtImage::new("1.2.1", "1.2.1.1", "1.2.1.1.1")
    }

    #[test]
    fn every_real_file_is_an_object_or_says_why_not() {
        let mut objects = 0;
        for file in testdata_files().into_iter().filter(|file| !file.path.starts_with("malformed/")) {
            let bytes = file.bytes();
            let probed = probe(&bytes[..bytes.len().min(LOOKED_AT)]);
            // An empty UID in the manifest: it cannot be filed, for whatever reason.
            match probed {
                Probe::Object { sop_instance, transfer_syntax, offset, .. } if !file.sop_uid.is_empty() => {
                    let in_data_set = uids(&bytes[offset..], &transfer_syntax).map(|(_, instance)| instance);
                    assert_eq!(in_data_set.or(sop_instance).unwrap().as_str(), file.sop_uid, "{}", file.path);
                    objects += 1;
                }
                Probe::Directory { .. } => assert!(file.path.ends_with("DICOMDIR"), "{}", file.path),
                other => assert_eq!(file.sop_uid, "", "{}: {other:?}", file.path),
            }
        }
        assert!(objects > 100, "{objects}");
    }

    #[test]
    fn preamble_and_header_may_be_missing() {
        let file = image().part10(Encoding::ExplicitLittleEndian);
        let explicit = image().data_set(Encoding::ExplicitLittleEndian);
        let implicit = image().data_set(Encoding::ImplicitLittleEndian);
        for (bytes, syntax, offset) in [
            (file.clone(), "1.2.840.10008.1.2.1", file.len() - explicit.len()),
            (file[132..].to_vec(), "1.2.840.10008.1.2.1", file.len() - explicit.len() - 132),
            (explicit.clone(), "1.2.840.10008.1.2.1", 0),
            (implicit, "1.2.840.10008.1.2", 0),
        ] {
            let Probe::Object { transfer_syntax, offset: found, .. } = probe(&bytes) else { panic!("{syntax}") };
            assert_eq!((transfer_syntax.as_str(), found), (syntax, offset));
            assert_eq!(uids(&bytes[found..], &transfer_syntax).unwrap().1.as_str(), "1.2.1.1.1");
        }
    }

    #[test]
    fn what_is_no_dicom_is_not_taken_for_it() {
        for bytes in [
            b"".as_slice(),
            b"hello",
            b"MZ\x90\0\x03",
            b"%PDF-1.7",
            b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
            b"\x08\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\x08\0\x05CS",
            &[0; 4000],
        ] {
            assert_eq!(probe(bytes), Probe::NotDicom, "{bytes:?}");
        }
        let mut damaged = image().part10(Encoding::ExplicitLittleEndian);
        damaged.truncate(150);
        assert!(matches!(probe(&damaged), Probe::Damaged(_)));
    }
}
