//! Designations: which escape sequence puts which graphic set into G0 or G1.

use crate::sets::GraphicSet;

pub(crate) const ESCAPE: u8 = 0x1B;

/// The half of the code table a set is designated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeElement {
    /// Bytes 21 to 7E.
    G0,
    /// Bytes A0 to FF.
    G1,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Designation {
    pub(crate) sequence: &'static [u8],
    pub(crate) element: CodeElement,
    pub(crate) set: GraphicSet,
    /// False for sequences that DICOM does not have and old Japanese software writes.
    standard: bool,
}

const fn standard(sequence: &'static [u8], element: CodeElement, set: GraphicSet) -> Designation {
    Designation { sequence, element, set, standard: true }
}

const fn foreign(sequence: &'static [u8], element: CodeElement, set: GraphicSet) -> Designation {
    Designation { sequence, element, set, standard: false }
}

use CodeElement::{G0, G1};

/// PS3.3 Tables C.12-3 and C.12-4, then what is understood but never written.
const DESIGNATIONS: [Designation; 22] = [
    standard(b"\x1B(B", G0, GraphicSet::Ascii),
    standard(b"\x1B(J", G0, GraphicSet::Romaji),
    standard(b"\x1B$B", G0, GraphicSet::JisX0208),
    standard(b"\x1B$(D", G0, GraphicSet::JisX0212),
    standard(b"\x1B)I", G1, GraphicSet::Katakana),
    standard(b"\x1B$)C", G1, GraphicSet::KsX1001),
    standard(b"\x1B$)A", G1, GraphicSet::Gb2312),
    standard(b"\x1B-A", G1, GraphicSet::Latin1),
    standard(b"\x1B-B", G1, GraphicSet::Latin2),
    standard(b"\x1B-C", G1, GraphicSet::Latin3),
    standard(b"\x1B-D", G1, GraphicSet::Latin4),
    standard(b"\x1B-F", G1, GraphicSet::Greek),
    standard(b"\x1B-G", G1, GraphicSet::Arabic),
    standard(b"\x1B-H", G1, GraphicSet::Hebrew),
    standard(b"\x1B-L", G1, GraphicSet::Cyrillic),
    standard(b"\x1B-M", G1, GraphicSet::Latin5),
    standard(b"\x1B-T", G1, GraphicSet::Thai),
    standard(b"\x1B-b", G1, GraphicSet::Latin9),
    // JIS C 6226-1978, the long form of JIS X 0208, and half-width kana in seven bits.
    foreign(b"\x1B$@", G0, GraphicSet::JisX0208),
    foreign(b"\x1B$(B", G0, GraphicSet::JisX0208),
    foreign(b"\x1B(I", G0, GraphicSet::Katakana),
    foreign(b"\x1B$(C", G0, GraphicSet::KsX1001),
];

impl Designation {
    pub(crate) fn is_standard(&self) -> bool {
        self.standard
    }
}

/// The designation that `bytes` begin with.
pub(crate) fn designation_at(bytes: &[u8]) -> Option<&'static Designation> {
    DESIGNATIONS.iter().find(|designation| bytes.starts_with(designation.sequence))
}

/// The sequence DICOM has for `set` in `element`; none for a pair that does not exist.
pub(crate) fn sequence_for(element: CodeElement, set: GraphicSet) -> &'static [u8] {
    DESIGNATIONS
        .iter()
        .find(|designation| designation.standard && designation.element == element && designation.set == set)
        .map_or(b"", |designation| designation.sequence)
}

pub(crate) fn contains_designation(raw: &[u8]) -> bool {
    raw.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == ESCAPE)
        .any(|(position, _)| raw.get(position..).is_some_and(|rest| designation_at(rest).is_some()))
}
