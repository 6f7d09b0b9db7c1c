//! Where the data set of a DICOM file begins, and what its file meta information says it is (PS3.10 7.1).

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::{DataSetSource, OutgoingObject};

/// Enough for the file meta information of nearly every file.
const USUAL_META: u64 = 4 * 1024;
/// The longest preamble and file meta information read.
const MAX_META: u64 = 256 * 1024;
const PREAMBLE: usize = 128;

/// Why a file is not one to send.
#[derive(Debug, thiserror::Error)]
pub enum Part10Error {
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    #[error("file is not DICOM: the prefix DICM is missing")]
    NoPrefix,
    #[error("file meta information is damaged or longer than 256 KiB")]
    DamagedMeta,
    #[error("file meta information lacks element {0}, or it is not a UID")]
    MissingUid(&'static str),
}

/// A DICOM file on disk, ready to be sent as it is.
#[derive(Clone, Debug)]
pub struct Part10File {
    pub path: PathBuf,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
    /// Where the data set begins, in bytes.
    pub data_set_offset: u64,
    /// Bytes of the data set.
    pub data_set_length: u64,
}

impl Part10File {
    /// Reads the file meta information; the data set is not looked at.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Part10Error> {
        let path = path.as_ref().to_owned();
        let mut file = File::open(&path).await.map_err(Part10Error::Read)?;
        let file_length = file.metadata().await.map_err(Part10Error::Read)?.len();
        let mut head = Vec::new();
        (&mut file).take(USUAL_META).read_to_end(&mut head).await.map_err(Part10Error::Read)?;
        let meta = match Meta::parse(&head) {
            Err(Part10Error::DamagedMeta) if file_length > USUAL_META => {
                file.take(MAX_META - USUAL_META).read_to_end(&mut head).await.map_err(Part10Error::Read)?;
                Meta::parse(&head)?
            }
            result => result?,
        };
        let data_set_offset = u64::try_from(meta.length).map_err(|_| Part10Error::DamagedMeta)?;
        Ok(Self {
            path,
            sop_class: SopClassUid::parse_padded(meta.sop_class).map_err(|_| Part10Error::MissingUid("(0002,0002)"))?,
            sop_instance: SopInstanceUid::parse_padded(meta.sop_instance)
                .map_err(|_| Part10Error::MissingUid("(0002,0003)"))?,
            transfer_syntax: TransferSyntaxUid::parse_padded(meta.transfer_syntax)
                .map_err(|_| Part10Error::MissingUid("(0002,0010)"))?,
            data_set_offset,
            data_set_length: file_length.saturating_sub(data_set_offset),
        })
    }
}

#[async_trait]
impl OutgoingObject for Part10File {
    fn sop_class(&self) -> &SopClassUid {
        &self.sop_class
    }

    fn sop_instance(&self) -> &SopInstanceUid {
        &self.sop_instance
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntaxUid] {
        std::slice::from_ref(&self.transfer_syntax)
    }

    async fn open(&self, _transfer_syntax: &TransferSyntaxUid) -> io::Result<DataSetSource> {
        let mut file = File::open(&self.path).await?;
        file.seek(SeekFrom::Start(self.data_set_offset)).await?;
        Ok(DataSetSource { reader: Box::new(file), length: Some(self.data_set_length) })
    }
}

/// The values of interest, empty when absent.
struct Meta<'a> {
    sop_class: &'a [u8],
    sop_instance: &'a [u8],
    transfer_syntax: &'a [u8],
    /// Bytes up to the data set.
    length: usize,
}

impl<'a> Meta<'a> {
    /// Walks the elements of group 0002, explicit VR little endian. The group length is not relied upon: it is often wrong.
    fn parse(head: &'a [u8]) -> Result<Self, Part10Error> {
        let after = head.get(PREAMBLE..).and_then(|rest| rest.strip_prefix(b"DICM")).ok_or(Part10Error::NoPrefix)?;
        let mut meta = Self { sop_class: &[], sop_instance: &[], transfer_syntax: &[], length: 0 };
        let mut rest = after;
        while let Some((&[2, 0, e0, e1, v0, v1, a, b], value)) = rest.split_first_chunk::<8>() {
            let (length, value) = if matches!(&[v0, v1], b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" | b"UC" | b"UR") {
                let (length, value) = value.split_first_chunk::<4>().ok_or(Part10Error::DamagedMeta)?;
                (u32::from_le_bytes(*length), value)
            } else {
                (u32::from(u16::from_le_bytes([a, b])), value)
            };
            let length = usize::try_from(length).map_err(|_| Part10Error::DamagedMeta)?;
            let (value, next) = value.split_at_checked(length).ok_or(Part10Error::DamagedMeta)?;
            match u16::from_le_bytes([e0, e1]) {
                0x0002 => meta.sop_class = value,
                0x0003 => meta.sop_instance = value,
                0x0010 => meta.transfer_syntax = value,
                _ => {}
            }
            rest = next;
        }
        // A head that ends within or right after the meta information may go on in the file.
        if rest.len() < 8 && head.len() >= usize::try_from(USUAL_META).unwrap_or(0) {
            return Err(Part10Error::DamagedMeta);
        }
        meta.length = head.len() - rest.len();
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = vec![2, 0];
        out.extend(number.to_le_bytes());
        out.extend(vr);
        if vr == b"OB" {
            out.extend([0, 0]);
            out.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        } else {
            out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        }
        out.extend(value);
        out
    }

    fn file(private: usize) -> Vec<u8> {
        let mut out = vec![0; 128];
        out.extend(b"DICM");
        out.extend(element(0x0001, b"OB", &[0, 1]));
        out.extend(element(0x0002, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"));
        out.extend(element(0x0003, b"UI", b"1.2.3\0"));
        out.extend(element(0x0010, b"UI", b"1.2.840.10008.1.2.1\0"));
        out.extend(element(0x0102, b"OB", &vec![1; private]));
        out
    }

    #[tokio::test]
    async fn the_data_set_begins_after_group_2() {
        let folder = tempfile::tempdir().unwrap();
        for private in [0, 10, 5000, 200_000] {
            let path = folder.path().join(format!("{private}.dcm"));
            let meta = file(private);
            std::fs::write(&path, [&meta[..], b"\x08\0\x16\0UI\x02\x001\0"].concat()).unwrap();

            let opened = Part10File::open(&path).await.unwrap();
            assert_eq!(opened.sop_instance.as_str(), "1.2.3");
            assert_eq!(opened.transfer_syntax.as_str(), "1.2.840.10008.1.2.1");
            assert_eq!((opened.data_set_offset, opened.data_set_length), (meta.len() as u64, 10));
            let mut bytes = Vec::new();
            let mut source = OutgoingObject::open(&opened, &opened.transfer_syntax).await.unwrap();
            source.reader.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, b"\x08\0\x16\0UI\x02\x001\0");
        }
    }

    #[test]
    fn what_is_not_a_dicom_file_is_named() {
        assert!(matches!(Meta::parse(b"hello"), Err(Part10Error::NoPrefix)));
        let mut cut = file(100);
        cut.truncate(cut.len() - 1);
        assert!(matches!(Meta::parse(&cut), Err(Part10Error::DamagedMeta)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut whole = vec![0; 128];
            whole.extend(b"DICM\x02\0");
            whole.extend(&bytes);
            if let Ok(meta) = Meta::parse(&whole) {
                prop_assert!(meta.length <= whole.len());
            }
        }
    }
}
