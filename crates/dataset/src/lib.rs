//! DICOM data sets as bytes: taken apart while they arrive, edited by splicing, and built.
//!
//! What it is: a bounded push [`tokenizer`]; the [`head`] that gives the index its facts; the [`part10`] header that is put before a stored
//! data set; a small [`writer`], [`edit`]s that leave all other bytes alone, and the [`objects`] we send (report SR, encapsulated PDF).
//!
//! What it is not: it does no I/O, knows no pixels, no attribute dictionary and no study. It never decodes a whole object into memory, and
//! no input makes it panic, recurse, or allocate more than its limits say.
//!
//! To add the next thing: an element for the index goes into [`head`]; a new object we send gets a file in [`objects`], is made with
//! [`writer::DataSetWriter`], and is shown to `dciodvfy` in a test; another way of walking a data set is a [`tokenizer::Sink`].

pub mod character_sets;
pub mod dicomdir;
pub mod edit;
pub mod encoding;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod head;
pub mod inflate;
pub mod normalized;
pub mod objects;
pub mod part10;
pub mod rejection_note;
pub mod tag;
pub mod tokenizer;
pub mod vr;
pub mod writer;

pub use character_sets::CharacterSets;
pub use head::{Body, FactsError, Head, HeadError, HeadLimits, HeadReader, Progress};
pub use rejection_note::{RejectedReference, RejectionNote, RejectionNoteReader, RejectionTitle};
pub use tag::Tag;
pub use vr::Vr;
