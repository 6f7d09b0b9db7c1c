//! Writes and walks DICOM data sets, little endian, explicit and implicit VR (PS3.5 7), and the Part 10 file around them (PS3.10 7).

/// Group and element number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(pub u16, pub u16);

/// The two uncompressed little endian encodings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    ExplicitLittleEndian,
    ImplicitLittleEndian,
}

impl Encoding {
    /// The transfer syntax UID (PS3.6 A).
    pub const fn transfer_syntax(self) -> &'static str {
        match self {
            Self::ExplicitLittleEndian => "1.2.840.10008.1.2.1",
            Self::ImplicitLittleEndian => "1.2.840.10008.1.2",
        }
    }
}

const UNDEFINED_LENGTH: u32 = 0xFFFF_FFFF;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// True for the VRs whose explicit header has two reserved bytes and a four byte length (PS3.5 7.1.2).
fn has_long_header(vr: [u8; 2]) -> bool {
    matches!(&vr, b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV")
}

/// Appends elements to a data set. Elements must be written in the order of their tags; a test that wants them otherwise may.
#[derive(Clone, Debug)]
pub struct DataSetWriter {
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl DataSetWriter {
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, bytes: Vec::new() }
    }

    /// Writes one element. A value of odd length is padded: NUL for UI and the binary VRs, a space for the others (PS3.5 6.2).
    ///
    /// # Panics
    ///
    /// When the value does not fit the VR's length field.
    pub fn element(&mut self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> &mut Self {
        let padding = value.len() % 2;
        self.header(tag, *vr, u32::try_from(value.len() + padding).expect("a test's value is below 4 GiB"));
        self.bytes.extend_from_slice(value);
        if padding == 1 {
            self.bytes.push(if matches!(vr, b"UI" | b"OB" | b"UN") { 0 } else { b' ' });
        }
        self
    }

    /// Writes text as it is given: the bytes of the string, so ASCII unless the character set says UTF-8.
    pub fn text(&mut self, tag: Tag, vr: &[u8; 2], value: &str) -> &mut Self {
        self.element(tag, vr, value.as_bytes())
    }

    /// Writes one US value.
    pub fn unsigned_short(&mut self, tag: Tag, value: u16) -> &mut Self {
        self.element(tag, b"US", &value.to_le_bytes())
    }

    /// Writes a sequence of items with defined lengths; each item is written by one call of a function.
    pub fn sequence(&mut self, tag: Tag, items: &[&dyn Fn(&mut DataSetWriter)]) -> &mut Self {
        let mut content = Vec::new();
        for write in items {
            let mut item = DataSetWriter::new(self.encoding);
            write(&mut item);
            push_tag(&mut content, ITEM);
            let length = u32::try_from(item.bytes.len()).expect("a test's item is below 4 GiB");
            content.extend_from_slice(&length.to_le_bytes());
            content.extend_from_slice(&item.bytes);
        }
        self.header(tag, *b"SQ", u32::try_from(content.len()).expect("a test's sequence is below 4 GiB"));
        self.bytes.extend_from_slice(&content);
        self
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn header(&mut self, tag: Tag, vr: [u8; 2], length: u32) {
        push_tag(&mut self.bytes, tag);
        if self.encoding == Encoding::ExplicitLittleEndian {
            self.bytes.extend_from_slice(&vr);
            if has_long_header(vr) {
                self.bytes.extend_from_slice(&[0, 0]);
            } else {
                let short = u16::try_from(length).expect("a value of a VR with a short header is below 64 KiB");
                self.bytes.extend_from_slice(&short.to_le_bytes());
                return;
            }
        }
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }
}

fn push_tag(bytes: &mut Vec<u8>, Tag(group, element): Tag) {
    bytes.extend_from_slice(&group.to_le_bytes());
    bytes.extend_from_slice(&element.to_le_bytes());
}

/// Puts preamble, `DICM` and file meta information before a data set (PS3.10 7.1).
pub fn part10_file(sop_class: &str, sop_instance: &str, transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut meta = DataSetWriter::new(Encoding::ExplicitLittleEndian);
    meta.element(Tag(0x0002, 0x0001), b"OB", &[0, 1])
        .text(Tag(0x0002, 0x0002), b"UI", sop_class)
        .text(Tag(0x0002, 0x0003), b"UI", sop_instance)
        .text(Tag(0x0002, 0x0010), b"UI", transfer_syntax)
        .text(Tag(0x0002, 0x0012), b"UI", "2.25.215270513203406157049031735203841823")
        .text(Tag(0x0002, 0x0013), b"SH", "DOKUEI_TESTKIT");
    let mut file = file_start(&[0; 128], &meta.into_bytes());
    file.extend_from_slice(data_set);
    file
}

/// Preamble, `DICM`, group length and the file meta elements without their group length.
pub(crate) fn file_start(preamble: &[u8], meta: &[u8]) -> Vec<u8> {
    let mut group_length = DataSetWriter::new(Encoding::ExplicitLittleEndian);
    let length = u32::try_from(meta.len()).expect("file meta information is below 4 GiB");
    group_length.element(Tag(0x0002, 0x0000), b"UL", &length.to_le_bytes());
    [preamble, b"DICM", &group_length.into_bytes(), meta].concat()
}

/// Bytes that are not what they claim to be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    #[error("no DICM after 128 bytes: not a Part 10 file")]
    NotPart10,
    #[error("the bytes end within the element at offset {offset}")]
    Truncated { offset: usize },
    #[error("sequences nest deeper than {limit}")]
    TooDeep { limit: usize },
    #[error("expected an item at offset {offset}, found {found:?}")]
    NoItem { offset: usize, found: Tag },
}

/// One element as it stands in the bytes: `start..end` with its header, `value..end` without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element {
    pub tag: Tag,
    /// As written; `UN` in implicit VR.
    pub vr: [u8; 2],
    pub start: usize,
    pub value: usize,
    pub end: usize,
}

/// The offset of the data set in a Part 10 file, just after the last element of group 0002.
pub fn data_set_offset(file: &[u8]) -> Result<usize, ReadError> {
    if file.get(128..132) != Some(b"DICM") {
        return Err(ReadError::NotPart10);
    }
    let mut offset = 132;
    while file.get(offset..offset + 2) == Some(&[0x02, 0x00]) {
        offset = element_at(file, offset, Encoding::ExplicitLittleEndian)?.end;
    }
    Ok(offset)
}

/// The data set of a Part 10 file, as it would cross the network: what must come back byte for byte.
pub fn data_set_of(file: &[u8]) -> Result<&[u8], ReadError> {
    Ok(&file[data_set_offset(file)?..])
}

/// The value of a top-level element of a Part 10 file in explicit VR little endian (also with encapsulated pixel data), padding included.
pub fn value_of(file: &[u8], wanted: Tag) -> Result<Option<&[u8]>, ReadError> {
    let mut offset = if wanted.0 == 0x0002 { 132 } else { data_set_offset(file)? };
    while offset < file.len() {
        let element = element_at(file, offset, Encoding::ExplicitLittleEndian)?;
        if element.tag == wanted {
            return Ok(Some(&file[element.value..element.end]));
        }
        if element.tag > wanted {
            break;
        }
        offset = element.end;
    }
    Ok(None)
}

/// Finds the end of the element at `offset`, through nested sequences where the length is undefined.
pub fn element_at(bytes: &[u8], offset: usize, encoding: Encoding) -> Result<Element, ReadError> {
    nested_element_at(bytes, offset, encoding, 0)
}

const DEPTH_LIMIT: usize = 64;

fn nested_element_at(bytes: &[u8], start: usize, encoding: Encoding, depth: usize) -> Result<Element, ReadError> {
    if depth > DEPTH_LIMIT {
        return Err(ReadError::TooDeep { limit: DEPTH_LIMIT });
    }
    let truncated = ReadError::Truncated { offset: start };
    let tag = tag_at(bytes, start)?;
    let delimiter = tag.0 == 0xFFFE;
    let (vr, length, value) = if encoding == Encoding::ImplicitLittleEndian || delimiter {
        (*b"UN", length_at(bytes, start + 4)?, start + 8)
    } else {
        let vr: [u8; 2] = bytes.get(start + 4..start + 6).and_then(|vr| vr.try_into().ok()).ok_or(truncated)?;
        if has_long_header(vr) {
            (vr, length_at(bytes, start + 8)?, start + 12)
        } else {
            let short = bytes.get(start + 6..start + 8).and_then(|length| length.try_into().ok());
            let short = u16::from_le_bytes(short.ok_or(ReadError::Truncated { offset: start })?);
            (vr, u32::from(short), start + 8)
        }
    };
    let end = if length == UNDEFINED_LENGTH {
        // UN of undefined length holds items in implicit VR (PS3.5 6.2.2 note 4); pixel data hold fragments, which are items of defined length.
        let within = if vr == *b"UN" { Encoding::ImplicitLittleEndian } else { encoding };
        end_of_items(bytes, value, within, depth)?
    } else {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        value.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(ReadError::Truncated { offset: start })?
    };
    Ok(Element { tag, vr, start, value, end })
}

/// The offset after the sequence delimitation item that ends the items starting at `offset`.
fn end_of_items(bytes: &[u8], mut offset: usize, encoding: Encoding, depth: usize) -> Result<usize, ReadError> {
    loop {
        let tag = tag_at(bytes, offset)?;
        if tag == SEQUENCE_END {
            return Ok(offset + 8);
        }
        if tag != ITEM {
            return Err(ReadError::NoItem { offset, found: tag });
        }
        if length_at(bytes, offset + 4)? == UNDEFINED_LENGTH {
            offset += 8;
            while tag_at(bytes, offset)? != ITEM_END {
                offset = nested_element_at(bytes, offset, encoding, depth + 1)?.end;
            }
            offset += 8;
        } else {
            offset = nested_element_at(bytes, offset, encoding, depth + 1)?.end;
        }
    }
}

fn tag_at(bytes: &[u8], offset: usize) -> Result<Tag, ReadError> {
    match bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()) {
        Some([a, b, c, d]) => Ok(Tag(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))),
        None => Err(ReadError::Truncated { offset }),
    }
}

fn length_at(bytes: &[u8], offset: usize) -> Result<u32, ReadError> {
    let length = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    length.map(|length| u32::from_le_bytes(*length)).ok_or(ReadError::Truncated { offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_follow_the_two_encodings() {
        let write = |encoding| {
            let mut writer = DataSetWriter::new(encoding);
            writer.text(Tag(0x0010, 0x0020), b"LO", "ABC").element(Tag(0x7FE0, 0x0010), b"OW", &[1, 2]);
            writer.into_bytes()
        };

        assert_eq!(
            write(Encoding::ExplicitLittleEndian),
            b"\x10\x00\x20\x00LO\x04\x00ABC \xe0\x7f\x10\x00OW\x00\x00\x02\x00\x00\x00\x01\x02"
        );
        assert_eq!(
            write(Encoding::ImplicitLittleEndian),
            b"\x10\x00\x20\x00\x04\x00\x00\x00ABC \xe0\x7f\x10\x00\x02\x00\x00\x00\x01\x02"
        );
    }

    #[test]
    fn a_sequence_is_walked_to_its_end_whatever_its_lengths() {
        let mut defined = DataSetWriter::new(Encoding::ExplicitLittleEndian);
        defined.sequence(
            Tag(0x0040, 0x0275),
            &[&|item| {
                item.text(Tag(0x0040, 0x0007), b"LO", "head");
            }],
        );
        let defined = defined.into_bytes();
        assert_eq!(element_at(&defined, 0, Encoding::ExplicitLittleEndian).map(|found| found.end), Ok(defined.len()));

        // The same with undefined lengths, once as SQ and once as UN, whose items are in implicit VR.
        let item_explicit = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x40\x00\x07\x00LO\x04\x00head\xfe\xff\x0d\xe0\0\0\0\0";
        let item_implicit = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x40\x00\x07\x00\x04\x00\0\0head\xfe\xff\x0d\xe0\0\0\0\0";
        for (vr, item) in [(b"SQ", &item_explicit[..]), (b"UN", &item_implicit[..])] {
            let bytes = [b"\x40\x00\x75\x02", &vr[..], b"\0\0\xff\xff\xff\xff", item, b"\xfe\xff\xdd\xe0\0\0\0\0after"]
                .concat();
            let found = element_at(&bytes, 0, Encoding::ExplicitLittleEndian);
            assert_eq!(found.map(|found| found.end), Ok(bytes.len() - 5), "{}", vr.escape_ascii());
        }
    }

    #[test]
    fn what_ends_too_early_is_an_error() {
        let mut writer = DataSetWriter::new(Encoding::ExplicitLittleEndian);
        writer.text(Tag(0x0010, 0x0010), b"PN", "A^B");
        let file = part10_file("1.2", "1.2.3", Encoding::ExplicitLittleEndian.transfer_syntax(), &writer.into_bytes());
        assert_eq!(value_of(&file, Tag(0x0010, 0x0010)), Ok(Some(&b"A^B "[..])));

        let cut = &file[..file.len() - 1];
        assert!(matches!(value_of(cut, Tag(0x0010, 0x0010)), Err(ReadError::Truncated { .. })));
        assert_eq!(data_set_of(b"short"), Err(ReadError::NotPart10));
    }
}
