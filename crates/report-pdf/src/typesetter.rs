//! Everything that touches Typst 0.15.

use std::sync::LazyLock;

use jiff::Zoned;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::ecow::EcoVec;
use typst::foundations::{Bytes, Datetime, Dict, Duration, Smart, Str, Value};
use typst::layout::{Abs, Frame, FrameItem, Point, Size};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::{ReportPage, ReportPdfError, TypesetterError, check};

static FONT: LazyLock<Option<Font>> =
    LazyLock::new(|| Font::new(Bytes::new(include_bytes!("../fonts/BIZUDPGothic-Regular.ttf").as_slice()), 0));

const TEMPLATE: &str = include_str!("../templates/report.typ");

pub(crate) fn font() -> Result<Font, ReportPdfError> {
    FONT.clone().ok_or(ReportPdfError::Font)
}

/// Lays out and exports. `fields` have been checked against `font`.
pub(crate) fn typeset(
    page: &ReportPage,
    fields: &[(&'static str, String)],
    font: &Font,
) -> Result<Vec<u8>, ReportPdfError> {
    let options = options(page)?;
    let world = ReportWorld::new(fields, font)?;
    let result = lay_out_and_export(&world, &options);
    // The typesetter memoises across documents; patients' texts must not stay in memory.
    typst::comemo::evict(0);
    result
}

fn lay_out_and_export(world: &ReportWorld, options: &PdfOptions) -> Result<Vec<u8>, ReportPdfError> {
    let document: PagedDocument =
        typst::compile(world).output.map_err(|errors| ReportPdfError::Layout(messages(&errors)))?;
    for page in document.pages() {
        inspect(&page.frame, Point::zero(), page.frame.size())?;
    }
    typst_pdf::pdf(&document, options).map_err(|errors| ReportPdfError::Export(messages(&errors)))
}

fn options(page: &ReportPage) -> Result<PdfOptions, ReportPdfError> {
    let standards = PdfStandards::new(&[PdfStandard::A_2a])
        .map_err(|error| ReportPdfError::Export(TypesetterError(error.message().to_string())))?;
    Ok(PdfOptions {
        ident: Smart::Custom(format!("dokuei report {} version {}", page.report_id, page.version)),
        creator: Smart::Custom(Some("Dokuei".to_owned())),
        timestamp: Some(timestamp(&page.created).ok_or(ReportPdfError::Date)?),
        standards,
        ..PdfOptions::default()
    })
}

fn timestamp(created: &Zoned) -> Option<Timestamp> {
    let number = |value: i8| u8::try_from(value).ok();
    let datetime = Datetime::from_ymd_hms(
        created.year().into(),
        number(created.month())?,
        number(created.day())?,
        number(created.hour())?,
        number(created.minute())?,
        number(created.second())?,
    )?;
    Timestamp::new_local(datetime, created.offset().seconds() / 60)
}

fn messages(errors: &EcoVec<SourceDiagnostic>) -> TypesetterError {
    TypesetterError(errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; "))
}

/// Looks at what was really set. Texts were checked one character at a time, but shaping may fail for a sequence of
/// them, and a word without a place to break may run off the paper.
fn inspect(frame: &Frame, origin: Point, paper: Size) -> Result<(), ReportPdfError> {
    for (position, item) in frame.items() {
        let position = origin + *position;
        match item {
            FrameItem::Group(group) => inspect(&group.frame, position, paper)?,
            FrameItem::Text(text) => {
                if let Some(glyph) = text.glyphs.iter().find(|glyph| glyph.id == 0) {
                    let mut characters = text.text.get(glyph.range()).unwrap_or_default().chars();
                    let character =
                        characters.find(|&character| !check::is_variation_selector(character)).unwrap_or('\u{FFFD}');
                    return Err(ReportPdfError::MissingGlyph { character, field: "page" });
                }
                let margin = Abs::mm(5.0);
                let right = position.x + text.width();
                // The position is that of the baseline.
                if position.x < margin
                    || right > paper.x - margin
                    || position.y < margin
                    || position.y > paper.y - margin
                {
                    return Err(ReportPdfError::OutsidePage);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A world with one source, one font and no date: nothing a template could ask for is outside it.
struct ReportWorld {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    font: Font,
    source: Source,
}

impl ReportWorld {
    fn new(fields: &[(&'static str, String)], font: &Font) -> Result<Self, ReportPdfError> {
        let path = VirtualPath::new("report.typ")
            .map_err(|_| ReportPdfError::Layout(TypesetterError("template path".into())))?;
        let id = RootedPath::new(VirtualRoot::Project, path).intern();
        let inputs: Dict =
            fields.iter().map(|(name, text)| (Str::from(*name), Value::Str(text.as_str().into()))).collect();
        Ok(Self {
            library: LazyHash::new(Library::builder().with_inputs(inputs).build()),
            book: LazyHash::new(FontBook::from_fonts([font])),
            font: font.clone(),
            source: Source::new(id, TEMPLATE.to_owned()),
        })
    }
}

impl World for ReportWorld {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.source.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.source.id() { Ok(self.source.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, _: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        (index == 0).then(|| self.font.clone())
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}
