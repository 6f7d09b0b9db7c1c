//! Walks a whole data set and gives a visitor the values it wants, with the sequences they are in.

use dokuei_domain::TransferSyntaxUid;

use super::NormalizedError;
use crate::{
    encoding::{DataSetEncoding, Encoding},
    tag::Tag,
    tokenizer::{Element, Sink, Tokenizer, TokenizerLimits, Want},
    vr::Vr,
};

/// No value that is read here is longer; a UID has 64 characters.
const LONGEST_VALUE: u32 = 256;
/// Bytes between two looks at whether the visitor has given up.
const CHUNK: usize = 64 << 10;

/// Takes what it wants of a data set. `path` holds the tags of the sequences around, outermost first.
pub(super) trait Visitor {
    fn wants(&self, path: &[Tag], tag: Tag) -> bool;
    fn value(&mut self, path: &[Tag], tag: Tag, value: Value<'_>) -> Result<(), NormalizedError>;
    /// A sequence begins; its items follow, if it has any.
    fn sequence(&mut self, _path: &[Tag], _tag: Tag) -> Result<(), NormalizedError> {
        Ok(())
    }
    /// An item of the innermost sequence of `path` ends.
    fn item_end(&mut self, _path: &[Tag]) -> Result<(), NormalizedError> {
        Ok(())
    }
}

/// The bytes of one value.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl Value<'_> {
    pub(super) fn is_empty(self) -> bool {
        self.bytes.iter().all(|byte| matches!(byte, 0 | b' '))
    }

    /// A UID, or the error that names the element.
    pub(super) fn uid<T>(
        self,
        tag: Tag,
        parse: fn(&[u8]) -> Result<T, dokuei_domain::uid::UidError>,
    ) -> Result<T, NormalizedError> {
        if self.is_empty() {
            return Err(NormalizedError::Empty(tag));
        }
        parse(self.bytes).map_err(|error| NormalizedError::NotAUid(tag, error))
    }

    /// A short text of the default repertoire without its padding; `None` when it is empty.
    pub(super) fn text(self, tag: Tag) -> Result<Option<String>, NormalizedError> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| NormalizedError::Invalid(tag))?;
        let text = text.trim_matches(|c| c == ' ' || c == '\0');
        if text.chars().any(char::is_control) {
            return Err(NormalizedError::Invalid(tag));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    pub(super) fn unsigned_short(self, tag: Tag) -> Result<u16, NormalizedError> {
        let bytes = self.bytes.try_into().map_err(|_| NormalizedError::Invalid(tag))?;
        Ok(self.encoding.u16(bytes))
    }
}

struct Walker<'v, V> {
    visitor: &'v mut V,
    path: Vec<Tag>,
    failed: Option<NormalizedError>,
}

impl<V: Visitor> Walker<'_, V> {
    fn keep(&mut self, result: Result<(), NormalizedError>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }
}

impl<V: Visitor> Sink for Walker<'_, V> {
    fn element(&mut self, element: &Element) -> Want {
        if self.failed.is_some() {
            return Want::Nothing;
        }
        self.path.truncate(element.depth);
        // In implicit VR only the visitor knows which elements are sequences: those that it walks into.
        let is_sequence = element.vr == Some(Vr::SQ) || element.length.is_none();
        let wanted = self.visitor.wants(&self.path, element.tag);
        let walked = is_sequence || (wanted && element.vr.is_none() && is_known_sequence(element.tag));
        if !walked {
            return if wanted { Want::Value } else { Want::Nothing };
        }
        if wanted {
            let told = self.visitor.sequence(&self.path, element.tag);
            self.keep(told);
        }
        self.path.push(element.tag);
        if wanted { Want::Items } else { Want::Nothing }
    }

    fn value(&mut self, element: &Element, bytes: &[u8]) {
        if self.failed.is_none() {
            self.path.truncate(element.depth);
            let told = self.visitor.value(&self.path, element.tag, Value { bytes, encoding: element.encoding });
            self.keep(told);
        }
    }

    fn too_long(&mut self, element: &Element) {
        self.keep(Err(NormalizedError::Invalid(element.tag)));
    }

    fn item_end(&mut self, depth: usize) {
        if self.failed.is_none() {
            self.path.truncate(depth);
            let told = self.visitor.item_end(&self.path);
            self.keep(told);
        }
    }
}

/// The sequences that any of the readers here walks into.
fn is_known_sequence(tag: Tag) -> bool {
    use crate::tag;
    matches!(
        tag,
        tag::REFERENCED_SOP_SEQUENCE
            | tag::FAILED_SOP_SEQUENCE
            | tag::REFERENCED_SERIES_SEQUENCE
            | tag::REFERENCED_IMAGE_SEQUENCE
            | tag::REFERENCED_NON_IMAGE_COMPOSITE_SOP_INSTANCE_SEQUENCE
            | tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE
            | tag::PERFORMED_SERIES_SEQUENCE
            | tag::PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE
    )
}

/// Shows the whole data set to the visitor.
pub(super) fn walk(
    bytes: &[u8],
    transfer_syntax: &TransferSyntaxUid,
    visitor: &mut impl Visitor,
) -> Result<(), NormalizedError> {
    let encoding = DataSetEncoding::of(transfer_syntax);
    if encoding.deflated {
        return Err(NormalizedError::TransferSyntax);
    }
    let limits = TokenizerLimits { value_bytes: LONGEST_VALUE, depth: 16, ..TokenizerLimits::default() };
    let mut tokenizer = Tokenizer::new(encoding.elements, limits);
    let mut walker = Walker { visitor, path: Vec::new(), failed: None };
    for chunk in bytes.chunks(CHUNK) {
        tokenizer.push(chunk, &mut walker)?;
        if let Some(error) = walker.failed {
            return Err(error);
        }
    }
    tokenizer.finish()?;
    Ok(())
}

/// Keeps the only value of an element.
pub(super) fn set<T>(place: &mut Option<T>, tag: Tag, value: T) -> Result<(), NormalizedError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NormalizedError::Repeated(tag)),
    }
}
