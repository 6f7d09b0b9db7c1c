//! The header of one data element, item or delimiter (PS3.5 7.1, 7.5).

use super::TokenError;
use crate::encoding::Encoding;
use crate::tag::Tag;
use crate::vr::{LengthForm, Vr};

/// The value length that means "until a delimiter".
const UNDEFINED: u32 = 0xffff_ffff;

/// The longest header there is: explicit VR with the long length.
pub(crate) const LONGEST_HEADER: usize = 12;
/// The shortest, and enough to know how long a header is.
pub(crate) const SHORTEST_HEADER: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) tag: Tag,
    /// `None` for implicit VR and for items and delimiters.
    pub(crate) vr: Option<Vr>,
    /// `None` when undefined.
    pub(crate) length: Option<u32>,
    /// Bytes of the header itself: 8 or 12.
    pub(crate) size: usize,
}

impl Header {
    /// Reads a header from the front of `bytes`; `Ok(None)` when more of them are needed (never more than [`LONGEST_HEADER`]).
    /// `offset` is where `bytes` stands in the data set, for the error.
    pub(crate) fn parse(encoding: Encoding, bytes: &[u8], offset: u64) -> Result<Option<Self>, TokenError> {
        let Some(&[g0, g1, e0, e1, b4, b5, b6, b7]) = bytes.first_chunk::<SHORTEST_HEADER>() else {
            return Ok(None);
        };
        let tag = Tag(encoding.u16([g0, g1]), encoding.u16([e0, e1]));
        let defined = |length: u32| (length != UNDEFINED).then_some(length);
        // Zero padding is no element, but it has the shape of an implicit one.
        let padding = bytes.starts_with(&[0; SHORTEST_HEADER]);
        if tag.is_delimiter() || padding || !encoding.is_explicit() {
            let length = defined(encoding.u32([b4, b5, b6, b7]));
            return Ok(Some(Self { tag, vr: None, length, size: SHORTEST_HEADER }));
        }
        let vr = Vr([b4, b5]);
        let long = match vr.length_form() {
            Some(LengthForm::Short) => false,
            Some(LengthForm::Long) => true,
            Some(LengthForm::ByReservedBytes) => [b6, b7] == [0, 0],
            None => return Err(TokenError::InvalidVr { tag, vr, offset }),
        };
        if !long {
            let length = Some(u32::from(encoding.u16([b6, b7])));
            return Ok(Some(Self { tag, vr: Some(vr), length, size: SHORTEST_HEADER }));
        }
        let Some(&[.., l0, l1, l2, l3]) = bytes.first_chunk::<LONGEST_HEADER>() else {
            return Ok(None);
        };
        let length = defined(encoding.u32([l0, l1, l2, l3]));
        Ok(Some(Self { tag, vr: Some(vr), length, size: LONGEST_HEADER }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Encoding, bytes: &[u8], expect: Option<(Tag, &str, Option<u32>, usize)>) {
        let header = Header::parse(encoding, bytes, 0).unwrap();
        let seen = header.map(|h| (h.tag, h.vr.map(|vr| vr.to_string()).unwrap_or_default(), h.length, h.size));
        assert_eq!(seen, expect.map(|(tag, vr, length, size)| (tag, vr.to_owned(), length, size)));
    }

    #[test]
    fn reads_every_form_of_header() {
        use Encoding::*;
        check(ExplicitLittle, b"\x08\0\x05\0CS\x0a\0", Some((Tag(8, 5), "CS", Some(10), 8)));
        check(ExplicitBig, b"\0\x08\0\x05CS\0\x0a", Some((Tag(8, 5), "CS", Some(10), 8)));
        check(ImplicitLittle, b"\x08\0\x05\0\x0a\0\0\0", Some((Tag(8, 5), "", Some(10), 8)));
        check(ExplicitLittle, b"\xe0\x7f\x10\0OW\0\0", None);
        check(ExplicitLittle, b"\xe0\x7f\x10\0OW\0\0\xff\xff\xff\xff", Some((Tag(0x7fe0, 0x10), "OW", None, 12)));
        check(ExplicitLittle, b"\xfe\xff\0\xe0\xff\xff\xff\xff", Some((Tag(0xfffe, 0xe000), "", None, 8)));
        check(ExplicitLittle, b"\x09\0\x10\0ZZ\x02\0", Some((Tag(9, 0x10), "ZZ", Some(2), 8)));
        check(ExplicitLittle, b"\x09\0\x10\0ZZ\0\0\x02\0\0\0", Some((Tag(9, 0x10), "ZZ", Some(2), 12)));
        check(ExplicitLittle, b"\x08\0\x05", None);
    }
}
