//! Rewrites header elements of a real file and leaves every other byte as it is.

use crate::data_set::{DataSetWriter, Element, Encoding, ReadError, Tag, data_set_offset, element_at, file_start};

/// One top-level element to put in place of the old one, or between its neighbours when there was none.
#[derive(Clone, Debug)]
pub struct Edit {
    tag: Tag,
    vr: [u8; 2],
    value: Vec<u8>,
}

impl Edit {
    /// The value is given in bytes, because the edits that matter are those of text in other character sets.
    pub fn new(tag: Tag, vr: &[u8; 2], value: impl Into<Vec<u8>>) -> Self {
        Self { tag, vr: *vr, value: value.into() }
    }

    pub fn specific_character_set(value: &str) -> Self {
        Self::new(Tag(0x0008, 0x0005), b"CS", value)
    }

    pub fn sop_instance_uid(uid: &str) -> Self {
        Self::new(Tag(0x0008, 0x0018), b"UI", uid)
    }

    pub fn patient_name(value: impl Into<Vec<u8>>) -> Self {
        Self::new(Tag(0x0010, 0x0010), b"PN", value)
    }

    pub fn patient_id(value: impl Into<Vec<u8>>) -> Self {
        Self::new(Tag(0x0010, 0x0020), b"LO", value)
    }

    pub fn study_instance_uid(uid: &str) -> Self {
        Self::new(Tag(0x0020, 0x000D), b"UI", uid)
    }

    pub fn series_instance_uid(uid: &str) -> Self {
        Self::new(Tag(0x0020, 0x000E), b"UI", uid)
    }
}

/// Returns the file with the edits made and all other bytes kept, pixel data included.
///
/// The file must be Part 10 in an explicit VR little endian encoding (encapsulated ones are). An edited SOP Class or SOP Instance UID
/// is repeated in the file meta information, whose group length is made to fit (PS3.10 7.1).
pub fn with_edits(file: &[u8], edits: &[Edit]) -> Result<Vec<u8>, ReadError> {
    let data_set = data_set_offset(file)?;
    let mut meta_edits: Vec<Edit> = edits.iter().filter(|edit| edit.tag.0 == 0x0002).cloned().collect();
    for edit in edits {
        let repeated = match edit.tag {
            Tag(0x0008, 0x0016) => Tag(0x0002, 0x0002),
            Tag(0x0008, 0x0018) => Tag(0x0002, 0x0003),
            _ => continue,
        };
        meta_edits.push(Edit { tag: repeated, ..edit.clone() });
    }
    let body_edits = edits.iter().filter(|edit| edit.tag.0 != 0x0002).cloned().collect();

    let mut meta_start = 132;
    let first = element_at(file, meta_start, Encoding::ExplicitLittleEndian)?;
    if first.tag == Tag(0x0002, 0x0000) {
        meta_start = first.end;
    }
    let meta = spliced(&file[meta_start..data_set], meta_edits)?;
    let mut edited = file_start(&file[..128], &meta);
    edited.extend_from_slice(&spliced(&file[data_set..], body_edits)?);
    Ok(edited)
}

fn spliced(bytes: &[u8], mut edits: Vec<Edit>) -> Result<Vec<u8>, ReadError> {
    edits.sort_by_key(|edit| edit.tag);
    let mut result = Vec::with_capacity(bytes.len());
    let mut offset = 0;
    for edit in edits {
        let old = loop {
            if offset == bytes.len() {
                break None;
            }
            let Element { tag, end, .. } = element_at(bytes, offset, Encoding::ExplicitLittleEndian)?;
            if tag > edit.tag {
                break None;
            }
            if tag == edit.tag {
                break Some(end);
            }
            result.extend_from_slice(&bytes[offset..end]);
            offset = end;
        };
        let mut new = DataSetWriter::new(Encoding::ExplicitLittleEndian);
        new.element(edit.tag, &edit.vr, &edit.value);
        result.extend_from_slice(&new.into_bytes());
        offset = old.unwrap_or(offset);
    }
    result.extend_from_slice(&bytes[offset..]);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::value_of;
    use crate::files::testdata;
    use crate::synthetic::{YAMADA_TARO_CHARACTER_SET, YAMADA_TARO_NAME};

    #[test]
    fn a_real_slice_gets_another_identity_and_keeps_every_other_byte() {
        let original = std::fs::read(testdata("ct_series_GE_HiSpeed/01.dcm")).unwrap();
        let edits = [
            Edit::patient_name(YAMADA_TARO_NAME),
            Edit::specific_character_set(YAMADA_TARO_CHARACTER_SET),
            Edit::patient_id("P0001"),
            Edit::sop_instance_uid("2.25.1"),
            Edit::new(Tag(0x0010, 0x1002), b"SQ", []), // not there before
        ];

        let edited = with_edits(&original, &edits).unwrap();

        let value = |file, tag| value_of(file, tag).unwrap().map(<[u8]>::to_vec);
        assert_eq!(value(&edited, Tag(0x0010, 0x0020)).unwrap(), b"P0001 ");
        assert_eq!(value(&edited, Tag(0x0008, 0x0018)).unwrap(), b"2.25.1");
        assert_eq!(value(&edited, Tag(0x0002, 0x0003)).unwrap(), b"2.25.1", "repeated in the file meta information");
        assert!(value(&edited, Tag(0x0010, 0x0010)).unwrap().starts_with(YAMADA_TARO_NAME));
        assert_eq!(value(&original, Tag(0x0010, 0x1002)), None);
        assert_eq!(value(&edited, Tag(0x0010, 0x1002)).unwrap(), b"");

        // Editing the old values back in, and dropping what was inserted, gives the old file.
        let old = |tag, vr| Edit::new(tag, vr, value(&original, tag).unwrap());
        let back = [
            old(Tag(0x0010, 0x0010), b"PN"),
            old(Tag(0x0008, 0x0005), b"CS"),
            old(Tag(0x0010, 0x0020), b"LO"),
            old(Tag(0x0008, 0x0018), b"UI"),
        ];
        let mut restored = with_edits(&edited, &back).unwrap();
        let inserted = b"\x10\x00\x02\x10SQ\0\0\0\0\0\0";
        let at = restored.windows(inserted.len()).position(|window| window == inserted).unwrap();
        restored.drain(at..at + inserted.len());
        assert!(restored == original);
    }

    #[test]
    fn an_element_after_the_last_one_is_appended() {
        let file = crate::data_set::part10_file("1.2", "1.2.3", "1.2.840.10008.1.2.1", b"");

        let edited = with_edits(&file, &[Edit::patient_id("X1")]).unwrap();

        assert!(edited.ends_with(b"\x10\x00\x20\x00LO\x02\x00X1"));
    }
}
