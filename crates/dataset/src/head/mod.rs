//! The head of a data set: the elements that the index needs, read while the object arrives.
//!
//! To index one more element: add its tag to `collected` and read it in `facts.rs`.

mod facts;
mod number;

pub use facts::FactsError;

use std::collections::BTreeMap;

use dokuei_domain::TransferSyntaxUid;

use crate::encoding::{DataSetEncoding, Encoding};
use crate::inflate::{InflateError, Inflater};
use crate::tag::{self, Tag};
use crate::tokenizer::{Element, Sink, TokenError, Tokenizer, TokenizerLimits, Want};
use crate::vr::Vr;

/// Bounds of what one head may cost. The defaults hold for a data set of any size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    pub tokenizer: TokenizerLimits,
    /// Sum of the collected values, in bytes. Values that are not collected are skipped and count nothing.
    pub collected_bytes: usize,
    /// What a deflated data set may inflate to before its pixel data.
    pub inflated_bytes: u64,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { tokenizer: TokenizerLimits::default(), collected_bytes: 1 << 20, inflated_bytes: 256 << 20 }
    }
}

/// Why no head could be read. All of these mean that the sender's object cannot be understood (PS3.4 B.2.3, status Cxxx).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("not a data set in the declared transfer syntax")]
    Structure(#[from] TokenError),
    #[error("could not inflate the data set")]
    Inflate(#[from] InflateError),
    #[error("element {0} is there twice with different values")]
    Contradiction(Tag),
    #[error("element {tag} has {length} bytes, more than any sound value of it")]
    ValueTooLong { tag: Tag, length: u32 },
    #[error("the elements to index have more than {limit} bytes together")]
    TooLong { limit: usize },
}

/// How far the head has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    NeedMore,
    /// Pixel data begins, or nothing but padding follows. Further bytes only serve the check of the body.
    Done,
}

/// What is known about the bytes from the pixel data on. PS3.4 wants stored what was sent, so this is a fact and not an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// The data set ended without pixel data.
    Absent,
    /// Native pixel data has its announced length, encapsulated pixel data its delimiter, and what follows parses.
    Complete,
    /// The reason is of the object's structure; the offset in it counts from the start of the data set.
    Broken(TokenError),
    /// Not looked at: the caller stopped at the head, or the data set is deflated.
    Unchecked,
}

/// Where the pixel data begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PixelData {
    pub tag: Tag,
    /// `None` in implicit VR.
    pub vr: Option<Vr>,
    /// Offset of the value in the (inflated) data set, in bytes.
    pub value_offset: u64,
    /// Of the value in bytes; `None`: encapsulated fragments.
    pub length: Option<u32>,
}

/// Reads a head from bytes that arrive in chunks of any size. Its memory is bounded by [`HeadLimits`].
///
/// The bytes after the head may be pushed too; they are walked over without being kept and decide [`Head::body`].
#[derive(Debug)]
pub struct HeadReader {
    inflater: Option<Inflater>,
    tokenizer: Tokenizer,
    collector: Collector,
    body_error: Option<TokenError>,
    failed: Option<HeadError>,
}

impl HeadReader {
    pub fn new(transfer_syntax: &TransferSyntaxUid, limits: HeadLimits) -> Self {
        let encoding = DataSetEncoding::of(transfer_syntax);
        Self {
            inflater: encoding.deflated.then(|| Inflater::new(limits.inflated_bytes)),
            tokenizer: Tokenizer::new(encoding.elements, limits.tokenizer),
            collector: Collector::new(limits.collected_bytes),
            body_error: None,
            failed: None,
        }
    }

    /// Takes the next bytes of the data set (without preamble and file meta). Once [`Progress::Done`] was returned, no error follows.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, HeadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let pushed = match self.inflater.take() {
            None => self.push_plain(bytes),
            Some(mut inflater) => {
                let pushed = self.push_deflated(bytes, &mut inflater);
                self.inflater = Some(inflater);
                pushed
            }
        };
        if let Err(error) = &pushed {
            self.failed = Some(error.clone());
        }
        pushed
    }

    /// All bytes of the data set were pushed.
    pub fn finish(self) -> Result<Head, HeadError> {
        let whole_was_walked = self.inflater.is_none();
        if self.progress() == Progress::NeedMore
            && let Some(inflater) = &self.inflater
        {
            self.failed.clone().map_or(Ok(()), Err)?;
            inflater.finish()?;
        }
        let end = self.tokenizer.finish();
        let error = self.body_error.clone().or(end.err());
        let has_pixel_data = self.collector.pixel_data.is_some();
        match (has_pixel_data, error) {
            (false, Some(error)) => Err(self.failed.unwrap_or(HeadError::Structure(error))),
            (false, None) => self.into_head(Body::Absent),
            (true, _) if !whole_was_walked => self.into_head(Body::Unchecked),
            (true, Some(error)) => self.into_head(Body::Broken(error)),
            (true, None) => self.into_head(Body::Complete),
        }
    }

    /// The caller pushed until [`Progress::Done`] and has no interest in the body.
    pub fn stop(self) -> Result<Head, HeadError> {
        match self.progress() {
            Progress::Done => self.into_head(Body::Unchecked),
            Progress::NeedMore => self.finish(),
        }
    }

    fn into_head(self, body: Body) -> Result<Head, HeadError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Collector { elements, issuer, pixel_data, .. } = self.collector;
        Ok(Head { elements, issuer, pixel_data, body })
    }

    fn progress(&self) -> Progress {
        if self.collector.pixel_data.is_some() || self.tokenizer.at_padding() {
            Progress::Done
        } else {
            Progress::NeedMore
        }
    }

    fn push_plain(&mut self, bytes: &[u8]) -> Result<Progress, HeadError> {
        if self.body_error.is_some() {
            return Ok(Progress::Done);
        }
        let pushed = self.tokenizer.push(bytes, &mut self.collector);
        if let Some(problem) = self.collector.problem.take() {
            return Err(problem);
        }
        match (pushed, self.progress()) {
            (Ok(()), progress) => Ok(progress),
            (Err(error), Progress::NeedMore) => Err(HeadError::Structure(error)),
            (Err(error), Progress::Done) => {
                self.body_error = Some(error);
                Ok(Progress::Done)
            }
        }
    }

    fn push_deflated(&mut self, bytes: &[u8], inflater: &mut Inflater) -> Result<Progress, HeadError> {
        // Inflating the pixels too would cost far more than the answer is worth.
        if self.progress() == Progress::Done {
            return Ok(Progress::Done);
        }
        let mut outcome = Ok(Progress::NeedMore);
        inflater.push(bytes, &mut |inflated| {
            outcome = self.push_plain(inflated);
            matches!(outcome, Ok(Progress::NeedMore))
        })?;
        outcome
    }
}

/// Whether the index wants a top-level element. Everything else is skipped unread.
fn collected(tag: Tag) -> bool {
    matches!(
        tag,
        tag::SPECIFIC_CHARACTER_SET
            | tag::SOP_CLASS_UID
            | tag::SOP_INSTANCE_UID
            | tag::STUDY_DATE
            | tag::STUDY_TIME
            | tag::ACCESSION_NUMBER
            | tag::MODALITY
            | tag::REFERRING_PHYSICIAN_NAME
            | tag::STUDY_DESCRIPTION
            | tag::SERIES_DESCRIPTION
            | tag::PATIENT_NAME
            | tag::PATIENT_ID
            | tag::ISSUER_OF_PATIENT_ID
            | tag::PATIENT_BIRTH_DATE
            | tag::PATIENT_SEX
            | tag::BODY_PART_EXAMINED
            | tag::STUDY_INSTANCE_UID
            | tag::SERIES_INSTANCE_UID
            | tag::STUDY_ID
            | tag::SERIES_NUMBER
            | tag::INSTANCE_NUMBER
            | tag::IMAGE_POSITION_PATIENT
            | tag::IMAGE_ORIENTATION_PATIENT
            | tag::NUMBER_OF_FRAMES
            | tag::ROWS
            | tag::COLUMNS
            | tag::WINDOW_CENTER
            | tag::WINDOW_WIDTH
    )
}

/// What decides who the object belongs to: a value of it that is too long is an error, of others it only means that they are not indexed.
fn identifies(tag: Tag) -> bool {
    matches!(
        tag,
        tag::SPECIFIC_CHARACTER_SET
            | tag::SOP_CLASS_UID
            | tag::SOP_INSTANCE_UID
            | tag::STUDY_INSTANCE_UID
            | tag::SERIES_INSTANCE_UID
            | tag::PATIENT_NAME
            | tag::PATIENT_ID
            | tag::ISSUER_OF_PATIENT_ID
    )
}

#[derive(Clone, PartialEq, Debug)]
struct Collected {
    vr: Option<Vr>,
    encoding: Encoding,
    value: Vec<u8>,
}

#[derive(Debug)]
struct Collector {
    elements: BTreeMap<Tag, Collected>,
    /// The first item of the Issuer of Patient ID Qualifiers Sequence.
    issuer: BTreeMap<Tag, Collected>,
    /// Items of that sequence seen so far; `None` outside of it.
    issuer_items: Option<u32>,
    pixel_data: Option<PixelData>,
    bytes: usize,
    limit: usize,
    problem: Option<HeadError>,
}

impl Collector {
    fn new(limit: usize) -> Self {
        Self {
            elements: BTreeMap::new(),
            issuer: BTreeMap::new(),
            issuer_items: None,
            pixel_data: None,
            bytes: 0,
            limit,
            problem: None,
        }
    }
}

impl Sink for Collector {
    fn element(&mut self, element: &Element) -> Want {
        if self.pixel_data.is_some() || self.problem.is_some() {
            return Want::Nothing;
        }
        let Element { tag, vr, length, value_offset, .. } = *element;
        match element.depth {
            0 => {
                self.issuer_items = None;
                if tag.is_pixel_data() {
                    self.pixel_data = Some(PixelData { tag, vr, value_offset, length });
                    Want::Nothing
                } else if tag == tag::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE {
                    self.issuer_items = Some(0);
                    if matches!(vr, None | Some(Vr::SQ)) { Want::Items } else { Want::Nothing }
                } else if collected(tag) {
                    Want::Value
                } else {
                    Want::Nothing
                }
            }
            1 if self.issuer_items == Some(1)
                && matches!(tag, tag::SPECIFIC_CHARACTER_SET | tag::UNIVERSAL_ENTITY_ID) =>
            {
                Want::Value
            }
            _ => Want::Nothing,
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        if self.problem.is_some() {
            return;
        }
        self.bytes = self.bytes.saturating_add(value.len());
        if self.bytes > self.limit {
            self.problem = Some(HeadError::TooLong { limit: self.limit });
            return;
        }
        let collected = Collected { vr: element.vr, encoding: element.encoding, value: value.to_vec() };
        let elements = if element.depth == 0 { &mut self.elements } else { &mut self.issuer };
        // Which of two values is meant cannot be told, and another reader of the object might choose the other.
        if let Some(earlier) = elements.insert(element.tag, collected)
            && earlier.value != value
        {
            self.problem = Some(HeadError::Contradiction(element.tag));
        }
    }

    fn too_long(&mut self, element: &Element) {
        if identifies(element.tag) && self.problem.is_none() {
            let length = element.length.unwrap_or(u32::MAX);
            self.problem = Some(HeadError::ValueTooLong { tag: element.tag, length });
        }
    }

    fn item_start(&mut self, depth: usize) {
        if depth == 1
            && let Some(items) = &mut self.issuer_items
        {
            *items = items.saturating_add(1);
        }
    }
}

/// The collected elements of one data set.
#[derive(Clone, PartialEq, Debug)]
pub struct Head {
    elements: BTreeMap<Tag, Collected>,
    issuer: BTreeMap<Tag, Collected>,
    /// Where the pixel data begins, when there is any.
    pub pixel_data: Option<PixelData>,
    pub body: Body,
}

impl Head {
    /// The bytes of a collected element as they were sent; `None` when it was absent or is not collected.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.elements.get(&tag).map(|collected| collected.value.as_slice())
    }
}

#[cfg(test)]
mod tests;
