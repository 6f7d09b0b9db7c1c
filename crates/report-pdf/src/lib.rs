//! The printed page of a diagnostic report: A4, Japanese or English, as archivable PDF.
//!
//! [`render`] lays out a [`ReportPage`] with Typst and the embedded font BIZ UDPGothic. The result is PDF/A-2a with
//! text that can be searched and copied exactly, and depends on the page alone: the same page gives the same bytes on
//! every machine and at any time, which is what lets a signature be checked by making the page again.
//!
//! What this crate is not: it knows no report versions, no signatures and no DICOM; it reads no file, no clock, no
//! network, and neither does its template. It never prints a box for a character it cannot draw: such a page is
//! refused with the character and the field, before somebody signs it.
//!
//! To print one more thing: a field of [`ReportPage`], its line in `fields`, its place in `templates/report.typ`.
//! Typst's interface breaks with every minor version; all of it that we touch is in `typesetter.rs`.

mod check;
mod page;
mod typesetter;

pub use page::{Language, ReportPage};

/// Why a page was not made. `field` is the name of a [`ReportPage`] field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportPdfError {
    /// The embedded font has no glyph.
    #[error("character {character} (U+{:04X}) in {field} cannot be printed, write it with another character", u32::from(*character))]
    MissingGlyph { character: char, field: &'static str },
    /// A control character, or one that changes the direction of writing and so could make a page read otherwise
    /// than it was typed.
    #[error("invisible character U+{:04X} in {field} cannot be printed, remove it", u32::from(*character))]
    InvisibleCharacter { character: char, field: &'static str },
    /// More text than a report has.
    #[error("{field} is longer than {limit} characters, shorten it")]
    TooLong { field: &'static str, limit: usize },
    /// Text would stand beyond the edge of the paper and be lost.
    #[error("text does not fit on the page, insert spaces or line breaks in the longest words")]
    OutsidePage,
    /// The page needs a value here: a page that does not name its patient can be mixed up.
    #[error("{field} is empty, a report cannot be printed without it")]
    Empty { field: &'static str },
    /// The creation time cannot be written into a PDF.
    #[error("creation time is outside the range of a PDF date")]
    Date,
    /// The font in this program does not load.
    #[error("embedded font does not load, the program is damaged")]
    Font,
    /// The template failed; a mistake of ours.
    #[error("laying out the report failed")]
    Layout(#[source] TypesetterError),
    /// The PDF could not be written to the archival standard; a mistake of ours.
    #[error("writing the report as PDF/A failed")]
    Export(#[source] TypesetterError),
}

/// Messages of the typesetter. They quote the template, never the report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypesetterError(String);

/// Makes the PDF of one report. Blocks for some tens of milliseconds; call it from `spawn_blocking`.
///
/// # Errors
/// Every [`ReportPdfError`]. Pages that passed once pass again: nothing outside `page` decides.
pub fn render(page: &ReportPage) -> Result<Vec<u8>, ReportPdfError> {
    let font = typesetter::font()?;
    let fields = check::checked_fields(page, &font)?;
    typesetter::typeset(page, &fields, &font)
}
