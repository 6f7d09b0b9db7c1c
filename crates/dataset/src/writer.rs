//! Builds a data set: explicit VR little endian, UTF-8, sequences and items of defined length.
//!
//! Elements may be given in any order; they are encoded in that of PS3.5 7.1, so an object cannot come out disordered. What would make the
//! bytes say something else than was meant (a backslash inside of one value, a control character, a length that does not fit) is kept as
//! an error that [`DataSetWriter::encode`] returns; limits on the number of characters are not enforced, because a hospital's own
//! over-long value is still the true one.

use std::collections::BTreeMap;

use crate::tag::{self, Tag};
use crate::vr::{LengthForm, Vr};

/// Why a data set cannot be encoded. Says which element, never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the text for {0} contains a backslash, which separates values there")]
    Backslash(Tag),
    #[error("the text for {0} contains a control character; remove it")]
    ControlCharacter(Tag),
    #[error("the value for {tag} has {length} bytes, more than fit into it")]
    TooLong { tag: Tag, length: usize },
}

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Items(Vec<Item>),
}

/// A data set, or an item of a sequence in one: both are the same thing.
#[derive(Clone, Debug, Default)]
pub struct DataSetWriter {
    elements: BTreeMap<Tag, (Vr, Value)>,
    error: Option<WriteError>,
}

/// An item of a sequence.
pub type Item = DataSetWriter;

impl DataSetWriter {
    /// An empty item; a text in it is in the character set of the data set around it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty data set that declares UTF-8 (`ISO_IR 192`).
    pub fn utf8() -> Self {
        let mut data_set = Self::new();
        data_set.text(tag::SPECIFIC_CHARACTER_SET, Vr::CS, "ISO_IR 192");
        data_set
    }

    /// One value. In ST, LT and UT, which alone may have lines, every kind of line end becomes CR LF (PS3.5 6.1.3).
    pub fn text(&mut self, tag: Tag, vr: Vr, text: &str) -> &mut Self {
        if vr.is_backslash_delimited() && text.contains('\\') {
            self.fail(WriteError::Backslash(tag));
        }
        self.joined(tag, vr, text)
    }

    /// A value as it stood in another data set, where a backslash may separate several.
    pub fn joined(&mut self, tag: Tag, vr: Vr, text: &str) -> &mut Self {
        let lines = matches!(vr, Vr::ST | Vr::LT | Vr::UT);
        let text = if lines { with_crlf(text) } else { text.to_owned() };
        if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\r' | '\n' | '\t' | '\u{c}'))) {
            self.fail(WriteError::ControlCharacter(tag));
        }
        self.bytes(tag, vr, text.into_bytes())
    }

    /// An element without value (type 2).
    pub fn empty(&mut self, tag: Tag, vr: Vr) -> &mut Self {
        if vr == Vr::SQ { self.items(tag, Vec::new()) } else { self.bytes(tag, vr, Vec::new()) }
    }

    pub fn unsigned_long(&mut self, tag: Tag, number: u32) -> &mut Self {
        self.bytes(tag, Vr::UL, number.to_le_bytes().to_vec())
    }

    /// A value as bytes in little endian; it is padded to even length.
    pub fn bytes(&mut self, tag: Tag, vr: Vr, mut value: Vec<u8>) -> &mut Self {
        pad(vr, &mut value);
        self.elements.insert(tag, (vr, Value::Bytes(value)));
        self
    }

    /// A sequence; may be empty.
    pub fn items(&mut self, tag: Tag, items: Vec<Item>) -> &mut Self {
        self.elements.insert(tag, (Vr::SQ, Value::Items(items)));
        self
    }

    /// A sequence of one item.
    pub fn item(&mut self, tag: Tag, item: Item) -> &mut Self {
        self.items(tag, vec![item])
    }

    /// The bytes, without preamble and file meta.
    pub fn encode(&self) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(out)
    }

    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        for (&tag, (vr, value)) in &self.elements {
            match value {
                Value::Bytes(bytes) => {
                    put_explicit_header(out, tag, *vr, bytes.len())?;
                    out.extend_from_slice(bytes);
                }
                Value::Items(items) => {
                    let mut content = Vec::new();
                    for item in items {
                        let bytes = item.encode()?;
                        put_tag(&mut content, tag::ITEM);
                        content.extend_from_slice(&length32(tag, bytes.len())?.to_le_bytes());
                        content.extend_from_slice(&bytes);
                    }
                    put_explicit_header(out, tag, Vr::SQ, content.len())?;
                    out.extend_from_slice(&content);
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: WriteError) {
        self.error.get_or_insert(error);
    }
}

/// Makes the length even (PS3.5 7.1.1).
pub(crate) fn pad(vr: Vr, value: &mut Vec<u8>) {
    if !value.len().is_multiple_of(2) {
        value.push(vr.padding());
    }
}

pub(crate) fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
}

/// The header of an element in explicit VR little endian (PS3.5 7.1.2).
pub(crate) fn put_explicit_header(out: &mut Vec<u8>, tag: Tag, vr: Vr, length: usize) -> Result<(), WriteError> {
    put_tag(out, tag);
    out.extend_from_slice(&vr.0);
    if vr.length_form() == Some(LengthForm::Short) {
        let short = u16::try_from(length).map_err(|_| WriteError::TooLong { tag, length })?;
        out.extend_from_slice(&short.to_le_bytes());
    } else {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&length32(tag, length)?.to_le_bytes());
    }
    Ok(())
}

/// A 32-bit length other than the undefined one.
pub(crate) fn length32(tag: Tag, length: usize) -> Result<u32, WriteError> {
    u32::try_from(length).ok().filter(|length| *length != u32::MAX).ok_or(WriteError::TooLong { tag, length })
}

/// CR LF for LF, CR, CR LF, vertical tab (what word processors paste for a soft line end) and Unicode's line and paragraph separators.
fn with_crlf(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut after_cr = false;
    for c in text.chars() {
        match c {
            '\n' if after_cr => {}
            '\n' | '\r' | '\u{b}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push_str("\r\n"),
            other => out.push(other),
        }
        after_cr = c == '\r';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_out_in_order_and_even() {
        let mut item = Item::new();
        item.text(tag::CODE_VALUE, Vr::SH, "abc");
        let mut data_set = DataSetWriter::new();
        data_set
            .text(tag::STUDY_INSTANCE_UID, Vr::UI, "1.2")
            .item(tag::CONCEPT_NAME_CODE_SEQUENCE, item)
            .text(tag::PATIENT_ID, Vr::LO, "123")
            .empty(tag::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vr::SQ);
        let expect = [
            &b"\x10\0\x20\0LO\x04\x00123 "[..],
            b"\x20\0\x0d\0UI\x04\x001.2\0",
            b"\x40\0\x43\xa0SQ\0\0\x14\0\0\0",
            b"\xfe\xff\x00\xe0\x0c\0\0\0\x08\0\0\x01SH\x04\0abc ",
            b"\x40\0\x72\xa3SQ\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(data_set.encode().unwrap(), expect);
    }

    #[test]
    fn lines_end_with_crlf_in_texts() {
        let mut data_set = DataSetWriter::new();
        data_set.text(tag::TEXT_VALUE, Vr::UT, "一\n二\r\n三\r四\u{b}五\\");
        let bytes = data_set.encode().unwrap();
        let text = std::str::from_utf8(&bytes[12..]).unwrap();
        assert_eq!(text.trim_end(), "一\r\n二\r\n三\r\n四\r\n五\\");
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        let error = |vr, text: &str| DataSetWriter::new().text(tag::PATIENT_ID, vr, text).encode().unwrap_err();
        assert_eq!(error(Vr::LO, "a\\b"), WriteError::Backslash(tag::PATIENT_ID));
        assert_eq!(error(Vr::LO, "a\nb"), WriteError::ControlCharacter(tag::PATIENT_ID));
        assert_eq!(error(Vr::UT, "a\u{1b}b"), WriteError::ControlCharacter(tag::PATIENT_ID));
        let long = "x".repeat(70_000);
        assert_eq!(error(Vr::LO, &long), WriteError::TooLong { tag: tag::PATIENT_ID, length: 70_000 });
        // An error inside of an item is not lost.
        let mut item = Item::new();
        item.text(tag::CODE_MEANING, Vr::LO, "\\");
        let whole = DataSetWriter::new().item(tag::CONTENT_SEQUENCE, item).encode();
        assert_eq!(whole, Err(WriteError::Backslash(tag::CODE_MEANING)));
    }
}
