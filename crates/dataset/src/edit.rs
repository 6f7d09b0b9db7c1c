//! Changes of top-level elements by splicing: every other byte of the data set stays as it was.
//!
//! For data sets that are held in memory as a whole, little endian and not deflated. Who edits an object that was received makes a derived
//! one: the received bytes are never altered.

use dokuei_domain::TransferSyntaxUid;

use crate::encoding::{DataSetEncoding, Encoding};
use crate::tag::Tag;
use crate::tokenizer::{Element, Sink, TokenError, Tokenizer, TokenizerLimits, Want};
use crate::vr::Vr;
use crate::writer::{self, WriteError};

/// One change. Tags that are not named by any edit are left alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Replaces the element, or inserts it where it belongs. `value` is in the character set that the data set declares (or will declare
    /// by another edit), numbers in little endian; padding is added.
    Set { tag: Tag, vr: Vr, value: Vec<u8> },
    /// Removes the element; that it is absent is no error.
    Remove { tag: Tag },
}

impl Edit {
    pub fn set(tag: Tag, vr: Vr, value: impl Into<Vec<u8>>) -> Self {
        Self::Set { tag, vr, value: value.into() }
    }

    pub fn remove(tag: Tag) -> Self {
        Self::Remove { tag }
    }

    pub fn tag(&self) -> Tag {
        match self {
            Self::Set { tag, .. } | Self::Remove { tag } => *tag,
        }
    }
}

/// Why a data set cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    #[error("transfer syntax {0} cannot be edited in place; only little endian data sets that are not deflated can")]
    Unsupported(TransferSyntaxUid),
    #[error("the data set to edit does not parse")]
    Structure(#[from] TokenError),
    #[error("the new value cannot be encoded")]
    Value(#[from] WriteError),
    #[error("more than one edit names {0}")]
    Ambiguous(Tag),
}

/// Applies the edits. If an edited group has a retired Group Length element (gggg,0000), that is dropped, because it would be wrong now
/// (PS3.5 7.2).
pub fn splice(dataset: &[u8], transfer_syntax: &TransferSyntaxUid, edits: &[Edit]) -> Result<Vec<u8>, SpliceError> {
    let encoding = DataSetEncoding::of(transfer_syntax);
    if encoding.deflated || encoding.elements == Encoding::ExplicitBig {
        return Err(SpliceError::Unsupported(transfer_syntax.clone()));
    }
    let mut pending: Vec<&Edit> = edits.iter().collect();
    pending.sort_by_key(|edit| edit.tag());
    if let Some(twice) = pending.windows(2).find(|pair| pair.first().map(|e| e.tag()) == pair.last().map(|e| e.tag())) {
        return Err(SpliceError::Ambiguous(twice.first().map_or(Tag(0, 0), |edit| edit.tag())));
    }

    let mut elements = TopLevel(Vec::new());
    let mut tokenizer = Tokenizer::new(encoding.elements, TokenizerLimits::default());
    tokenizer.push(dataset, &mut elements)?;
    tokenizer.finish()?;
    let elements_end = usize::try_from(tokenizer.elements_end()).unwrap_or(dataset.len());

    let mut out = Vec::with_capacity(dataset.len() + 256);
    let mut pending = pending.into_iter().peekable();
    let ends = elements.0.iter().skip(1).map(|(_, offset)| *offset).chain([elements_end]);
    for (&(tag, begin), end) in elements.0.iter().zip(ends) {
        while let Some(edit) = pending.next_if(|edit| edit.tag() <= tag) {
            put(&mut out, encoding.elements, edit)?;
        }
        let edited = edits.iter().any(|edit| edit.tag() == tag);
        let stale_length = tag.element() == 0 && edits.iter().any(|edit| edit.tag().group() == tag.group());
        if !edited && !stale_length {
            out.extend_from_slice(dataset.get(begin..end).unwrap_or_default());
        }
    }
    for edit in pending {
        put(&mut out, encoding.elements, edit)?;
    }
    out.extend_from_slice(dataset.get(elements_end..).unwrap_or_default());
    Ok(out)
}

fn put(out: &mut Vec<u8>, encoding: Encoding, edit: &Edit) -> Result<(), WriteError> {
    let Edit::Set { tag, vr, value } = edit else {
        return Ok(());
    };
    let mut value = value.clone();
    writer::pad(*vr, &mut value);
    if encoding.is_explicit() {
        writer::put_explicit_header(out, *tag, *vr, value.len())?;
    } else {
        writer::put_tag(out, *tag);
        out.extend_from_slice(&writer::length32(*tag, value.len())?.to_le_bytes());
    }
    out.extend_from_slice(&value);
    Ok(())
}

/// Tags and offsets of the elements at the top.
struct TopLevel(Vec<(Tag, usize)>);

impl Sink for TopLevel {
    fn element(&mut self, element: &Element) -> Want {
        if element.depth == 0 {
            self.0.push((element.tag, usize::try_from(element.offset).unwrap_or(usize::MAX)));
        }
        Want::Nothing
    }

    fn value(&mut self, _element: &Element, _value: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag;

    fn syntax(uid: &str) -> TransferSyntaxUid {
        TransferSyntaxUid::parse(uid).unwrap()
    }

    const EXPLICIT: &str = crate::encoding::EXPLICIT_VR_LITTLE_ENDIAN;

    /// Patient name, a sequence of undefined length that holds another name, and pixel data.
    fn explicit() -> Vec<u8> {
        [
            &b"\x10\0\x10\0PN\x04\0A^B "[..],
            b"\x10\0\x24\0SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff",
            b"\x10\0\x10\0PN\x04\0C^D ",
            b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
            b"\xe0\x7f\x10\0OW\0\0\x02\0\0\0xy",
        ]
        .concat()
    }

    #[test]
    fn replaces_inserts_and_removes_and_leaves_the_rest() {
        let edits = [
            Edit::set(tag::PATIENT_ID, Vr::LO, "123"),
            Edit::set(tag::PATIENT_NAME, Vr::PN, "Yamada^Taro"),
            Edit::set(tag::SPECIFIC_CHARACTER_SET, Vr::CS, "ISO_IR 192"),
            Edit::remove(tag::PATIENT_SEX),
        ];
        let out = splice(&explicit(), &syntax(EXPLICIT), &edits).unwrap();
        let expect = [
            &b"\x08\0\x05\0CS\x0a\0ISO_IR 192"[..],
            b"\x10\0\x10\0PN\x0c\0Yamada^Taro ",
            b"\x10\0\x20\0LO\x04\x00123 ",
            &explicit()[12..],
        ]
        .concat();
        assert_eq!(out, expect);
    }

    #[test]
    fn no_edit_is_no_change() {
        assert_eq!(splice(&explicit(), &syntax(EXPLICIT), &[]).unwrap(), explicit());
    }

    #[test]
    fn padding_stays_at_the_end() {
        let padded = [&b"\x10\0\x10\0PN\x04\0A^B "[..], &[0; 20]].concat();
        let out = splice(&padded, &syntax(EXPLICIT), &[Edit::set(tag::PATIENT_ID, Vr::LO, "1")]).unwrap();
        assert_eq!(out, [&padded[..12], b"\x10\0\x20\0LO\x02\x001 ", &padded[12..]].concat());
    }

    #[test]
    fn a_stale_group_length_goes() {
        let dataset = b"\x08\0\0\0\x04\0\0\0\x0a\0\0\0\x10\0\0\0\x04\0\0\0\x0a\0\0\0\x10\0\x20\0\x02\0\0\x0012";
        let out = splice(dataset, &syntax("1.2.840.10008.1.2"), &[Edit::set(tag::PATIENT_ID, Vr::LO, "9")]).unwrap();
        assert_eq!(out, b"\x08\0\0\0\x04\0\0\0\x0a\0\0\0\x10\0\x20\0\x02\0\0\09 ");
    }

    #[test]
    fn refuses_what_it_cannot_do_safely() {
        let edit = [Edit::remove(tag::PATIENT_ID)];
        let deflated = syntax(crate::encoding::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
        assert_eq!(splice(&explicit(), &deflated, &edit), Err(SpliceError::Unsupported(deflated)));
        let cut = &explicit()[..40];
        assert!(matches!(
            splice(cut, &syntax(EXPLICIT), &edit),
            Err(SpliceError::Structure(TokenError::Truncated { .. }))
        ));
        let twice = [Edit::remove(tag::PATIENT_ID), Edit::set(tag::PATIENT_ID, Vr::LO, "1")];
        assert_eq!(splice(&explicit(), &syntax(EXPLICIT), &twice), Err(SpliceError::Ambiguous(tag::PATIENT_ID)));
    }
}
