use crate::tag::Tag;
use crate::vr::Vr;

/// Why bytes are not a data set in the encoding they are said to have. `offset` counts bytes from the start of the (inflated) data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("data set ends inside of element {tag:?} at byte {offset}: {missing} bytes or more are missing")]
    Truncated { tag: Option<Tag>, offset: u64, missing: u64 },
    #[error("element {tag} at byte {offset} has the impossible value representation \"{vr}\"")]
    InvalidVr { tag: Tag, vr: Vr, offset: u64 },
    #[error("element {tag} at byte {offset} has an undefined length, which its value representation does not allow")]
    UndefinedLength { tag: Tag, offset: u64 },
    #[error("element {tag} at byte {offset} is longer than the item or sequence it is in")]
    LongerThanParent { tag: Tag, offset: u64 },
    #[error("found {tag} at byte {offset} where it cannot stand")]
    Misplaced { tag: Tag, offset: u64 },
    #[error("sequences are nested deeper than {limit} at byte {offset}")]
    TooDeep { limit: usize, offset: u64 },
    #[error("element {tag} at byte {offset}: more than {limit} elements are out of order")]
    Disordered { tag: Tag, limit: u32, offset: u64 },
}
