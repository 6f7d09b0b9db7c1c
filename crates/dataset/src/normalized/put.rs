//! Writes a small data set straight into bytes, in the order of the calls: a list of 24,000 objects needs no tree.

use dokuei_domain::TransferSyntaxUid;

use crate::{
    encoding::IMPLICIT_VR_LITTLE_ENDIAN,
    tag::{self, Tag},
    vr::Vr,
    writer::{pad, put_tag},
};

/// The bytes so far. Elements must be put in ascending order (PS3.5 7.1).
pub(super) struct Put {
    out: Vec<u8>,
    implicit: bool,
}

impl Put {
    /// In implicit VR little endian if the transfer syntax is that, else in explicit VR little endian.
    pub(super) fn new(transfer_syntax: &TransferSyntaxUid) -> Self {
        Self { out: Vec::new(), implicit: transfer_syntax.as_str() == IMPLICIT_VR_LITTLE_ENDIAN }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A short value as text: a UID, an AE title, a code string. It has been checked when it became what it is.
    pub(super) fn text(&mut self, tag: Tag, vr: Vr, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        pad(vr, &mut value);
        self.short(tag, vr, &value)
    }

    pub(super) fn unsigned_short(&mut self, tag: Tag, number: u16) -> &mut Self {
        self.short(tag, Vr::US, &number.to_le_bytes())
    }

    /// A sequence of defined length with an item for each of `items`.
    pub(super) fn sequence<T>(&mut self, tag: Tag, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        put_tag(&mut self.out, tag);
        if !self.implicit {
            self.out.extend_from_slice(b"SQ\0\0");
        }
        let sequence = self.begin_length();
        for item in items {
            put_tag(&mut self.out, tag::ITEM);
            let length = self.begin_length();
            write(self, item);
            self.end_length(length);
        }
        self.end_length(sequence);
    }

    fn short(&mut self, tag: Tag, vr: Vr, value: &[u8]) -> &mut Self {
        // The longest value put here is a UID; a longer one would be cut rather than make the rest unreadable.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX - 1);
        put_tag(&mut self.out, tag);
        if self.implicit {
            self.out.extend_from_slice(&u32::from(length).to_le_bytes());
        } else {
            self.out.extend_from_slice(&vr.0);
            self.out.extend_from_slice(&length.to_le_bytes());
        }
        self.out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
        self
    }

    /// Leaves room for a length and says where.
    fn begin_length(&mut self) -> usize {
        self.out.extend_from_slice(&[0; 4]);
        self.out.len()
    }

    fn end_length(&mut self, begin: usize) {
        let length = u32::try_from(self.out.len() - begin).unwrap_or(u32::MAX - 1);
        if let Some(place) = begin.checked_sub(4).and_then(|at| self.out.get_mut(at..begin)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}
