//! Takes a data set apart while its bytes arrive, in chunks of any size.
//!
//! Values are skipped unless the [`Sink`] asks for them, so memory is bounded by [`TokenizerLimits`] and not by the data set. A sequence of
//! defined length is one opaque value unless the sink wants its items: what a wrong sender wrote into a private sequence harms nobody here.
//! One of undefined length has to be walked through to find its end.
//!
//! Accepted although against PS3.5: unknown VRs, odd lengths, some disorder, stray delimiters, delimiters inside of defined lengths, and
//! zero bytes after the last element.

mod error;
mod header;

pub use error::TokenError;
pub(crate) use header::Header;

use header::{LONGEST_HEADER, SHORTEST_HEADER};

use crate::encoding::Encoding;
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// An element as its header announces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element {
    pub tag: Tag,
    /// `None` in implicit VR.
    pub vr: Option<Vr>,
    /// Of the value, in bytes; `None` when undefined.
    pub length: Option<u32>,
    /// How many sequences the element is in; 0 at the top.
    pub depth: usize,
    /// Where its header begins, in bytes from the start of the data set.
    pub offset: u64,
    /// Where its value begins.
    pub value_offset: u64,
    /// Of the value's numbers. Differs from the data set's inside of UN (PS3.5 6.2.2 note 4, CP-246).
    pub encoding: Encoding,
}

/// What a sink wants of an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    Nothing,
    /// The value as bytes. It is not given when it is longer than [`TokenizerLimits::value_bytes`]: [`Sink::too_long`] is called instead.
    Value,
    /// The items of a sequence of defined length.
    Items,
}

/// Receives what the tokenizer finds.
pub trait Sink {
    /// An element begins. The answer does not matter for undefined lengths: their items are always walked through.
    fn element(&mut self, element: &Element) -> Want;
    /// The whole value of an element that was wanted.
    fn value(&mut self, element: &Element, value: &[u8]);
    /// A wanted value was too long and is skipped.
    fn too_long(&mut self, _element: &Element) {}
    /// An item begins; `depth` is that of its elements.
    fn item_start(&mut self, _depth: usize) {}
    fn item_end(&mut self, _depth: usize) {}
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenizerLimits {
    /// Longest value that is collected.
    pub value_bytes: u32,
    /// Nested sequences.
    pub depth: usize,
    /// Elements at the top with a lower tag than the one before.
    pub disorder: u32,
}

impl Default for TokenizerLimits {
    fn default() -> Self {
        Self { value_bytes: 64 << 10, depth: 64, disorder: 100 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FrameKind {
    Sequence,
    Item,
    /// Encapsulated pixel data (PS3.5 A.4): items that hold bytes.
    Fragments,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: FrameKind,
    /// Ends at `bound` rather than at a delimiter.
    defined: bool,
    /// No byte at or after this offset belongs to the frame; the parent's when the frame's own length is undefined.
    bound: u64,
    /// Of the elements inside.
    encoding: Encoding,
    /// The sequence's tag, for errors.
    tag: Tag,
}

#[derive(Debug)]
enum State {
    /// Between elements, or inside of a header.
    Header,
    Skip {
        tag: Tag,
        remaining: u64,
    },
    Collect {
        element: Element,
        remaining: usize,
        value: Vec<u8>,
    },
    /// After the first zero tag at the top, which stood at `begin`: nothing but padding.
    Padding {
        begin: u64,
    },
}

/// The push tokenizer. Feed it with [`push`](Self::push), then call [`finish`](Self::finish).
#[derive(Debug)]
pub struct Tokenizer {
    encoding: Encoding,
    limits: TokenizerLimits,
    state: State,
    header: [u8; LONGEST_HEADER],
    header_have: usize,
    frames: Vec<Frame>,
    /// Bytes consumed so far.
    offset: u64,
    last_top_tag: Option<Tag>,
    disorder: u32,
    failed: Option<TokenError>,
}

impl Tokenizer {
    pub fn new(encoding: Encoding, limits: TokenizerLimits) -> Self {
        Self {
            encoding,
            limits,
            state: State::Header,
            header: [0; LONGEST_HEADER],
            header_have: 0,
            frames: Vec::new(),
            offset: 0,
            last_top_tag: None,
            disorder: 0,
            failed: None,
        }
    }

    /// Consumes the next bytes of the data set, all of them. After an error every further call returns the same error.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), TokenError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.step(rest, sink) {
                Ok(after) => rest = after,
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Tells whether the data set may end here.
    pub fn finish(&self) -> Result<(), TokenError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let truncated = |tag, missing| Err(TokenError::Truncated { tag, offset: self.offset, missing });
        match &self.state {
            State::Padding { .. } => return Ok(()),
            State::Skip { tag, remaining } => return truncated(Some(*tag), *remaining),
            State::Collect { element, remaining, .. } => return truncated(Some(element.tag), *remaining as u64),
            State::Header => {}
        }
        if let Some(frame) = self.frames.last() {
            let missing = if frame.defined { frame.bound.saturating_sub(self.offset) } else { SHORTEST_HEADER as u64 };
            return truncated(Some(frame.tag), missing);
        }
        let begun = self.header.get(..self.header_have).unwrap_or_default();
        if begun.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        truncated(None, SHORTEST_HEADER.saturating_sub(self.header_have).max(1) as u64)
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the last element ends, when [`finish`](Self::finish) has no objection; padding may follow.
    pub fn elements_end(&self) -> u64 {
        match self.state {
            State::Padding { begin } => begin,
            _ => self.offset - self.header_have as u64,
        }
    }

    /// The last element has been seen: only padding follows.
    pub fn at_padding(&self) -> bool {
        matches!(self.state, State::Padding { .. })
    }

    fn step<'b>(&mut self, bytes: &'b [u8], sink: &mut dyn Sink) -> Result<&'b [u8], TokenError> {
        match &mut self.state {
            State::Padding { .. } => {
                self.offset += bytes.len() as u64;
                Ok(&[])
            }
            State::Skip { remaining, .. } => {
                let take = usize::try_from(*remaining).map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
                *remaining -= take as u64;
                let at_end = *remaining == 0;
                self.offset += take as u64;
                if at_end {
                    self.value_ended(sink);
                }
                Ok(bytes.get(take..).unwrap_or_default())
            }
            State::Collect { remaining, value, .. } => {
                let (taken, rest) = bytes.split_at(bytes.len().min(*remaining));
                value.extend_from_slice(taken);
                *remaining -= taken.len();
                let at_end = *remaining == 0;
                self.offset += taken.len() as u64;
                if at_end {
                    if let State::Collect { element, value, .. } = std::mem::replace(&mut self.state, State::Header) {
                        sink.value(&element, &value);
                    }
                    self.value_ended(sink);
                }
                Ok(rest)
            }
            State::Header => self.header_bytes(bytes, sink),
        }
    }

    fn header_bytes<'b>(&mut self, bytes: &'b [u8], sink: &mut dyn Sink) -> Result<&'b [u8], TokenError> {
        let wanted = if self.header_have < SHORTEST_HEADER { SHORTEST_HEADER } else { LONGEST_HEADER };
        let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.header_have));
        if let Some(free) = self.header.get_mut(self.header_have..self.header_have + taken.len()) {
            free.copy_from_slice(taken);
        }
        self.header_have += taken.len();
        self.offset += taken.len() as u64;
        let begin = self.offset - self.header_have as u64;
        let have = self.header.get(..self.header_have).unwrap_or_default();
        if let Some(header) = Header::parse(self.inner_encoding(), have, begin)? {
            self.header_have = 0;
            self.header_complete(header, begin, sink)?;
        }
        Ok(rest)
    }

    fn header_complete(&mut self, header: Header, begin: u64, sink: &mut dyn Sink) -> Result<(), TokenError> {
        let Header { tag, length, .. } = header;
        let misplaced = Err(TokenError::Misplaced { tag, offset: begin });
        let kind = self.frames.last().map(|frame| frame.kind);
        let defined = self.frames.last().is_some_and(|frame| frame.defined);
        let end = self.offset.saturating_add(u64::from(length.unwrap_or(0)));
        if end > self.bound() {
            return Err(TokenError::LongerThanParent { tag, offset: begin });
        }
        match (kind, tag) {
            (Some(FrameKind::Sequence), tag::ITEM) => {
                let bound = if length.is_some() { end } else { self.bound() };
                let frame = Frame { kind: FrameKind::Item, defined: length.is_some(), bound, ..self.top_frame(tag) };
                self.frames.push(frame);
                sink.item_start(self.depth());
                self.value_ended(sink);
            }
            (Some(FrameKind::Sequence | FrameKind::Fragments), tag::SEQUENCE_DELIMITATION) => {
                if !defined {
                    self.frames.pop();
                }
                self.value_ended(sink);
            }
            (Some(FrameKind::Fragments), tag::ITEM) => match length {
                Some(length) => self.skip(tag, length, sink),
                None => return Err(TokenError::UndefinedLength { tag, offset: begin }),
            },
            (Some(FrameKind::Sequence | FrameKind::Fragments), _) => return misplaced,
            (Some(FrameKind::Item), tag::ITEM_DELIMITATION) => {
                if !defined {
                    sink.item_end(self.depth());
                    self.frames.pop();
                }
                self.value_ended(sink);
            }
            // Stray delimiters at the top are left over by software that rewrote sequence lengths.
            (None, tag::ITEM_DELIMITATION | tag::SEQUENCE_DELIMITATION) if length == Some(0) => {
                self.note_disorder(tag, begin)?;
            }
            (None | Some(FrameKind::Item), tag) if tag.is_delimiter() => return misplaced,
            (None, Tag(0, 0)) if length == Some(0) && self.last_top_tag.is_some() => {
                self.state = State::Padding { begin }
            }
            // Group 0 is for commands (PS3.7 6.3): whatever this is, it is not a data set.
            (None, tag) if tag.group() == 0 => return misplaced,
            (None | Some(FrameKind::Item), _) => {
                if kind.is_none() {
                    if self.last_top_tag.is_some_and(|last| tag < last) {
                        self.note_disorder(tag, begin)?;
                    }
                    self.last_top_tag = Some(tag);
                }
                self.element_begins(header, begin, sink)?;
            }
        }
        Ok(())
    }

    fn element_begins(&mut self, header: Header, begin: u64, sink: &mut dyn Sink) -> Result<(), TokenError> {
        let Header { tag, vr, length, .. } = header;
        let encoding = self.inner_encoding();
        let element =
            Element { tag, vr, length, depth: self.depth(), offset: begin, value_offset: self.offset, encoding };
        let want = sink.element(&element);
        let Some(length) = length else {
            let (kind, encoding) =
                undefined_length_content(&element).ok_or(TokenError::UndefinedLength { tag, offset: begin })?;
            return self.open(Frame { kind, defined: false, bound: self.bound(), encoding, tag }, begin);
        };
        match want {
            Want::Items => {
                let bound = self.offset.saturating_add(u64::from(length));
                self.open(Frame { kind: FrameKind::Sequence, defined: true, bound, encoding, tag }, begin)?;
                self.value_ended(sink);
            }
            Want::Value if length > self.limits.value_bytes => {
                sink.too_long(&element);
                self.skip(tag, length, sink);
            }
            Want::Value if length == 0 => {
                sink.value(&element, &[]);
                self.value_ended(sink);
            }
            // The vector grows with what arrives, not with what is announced.
            Want::Value => self.state = State::Collect { element, remaining: length as usize, value: Vec::new() },
            Want::Nothing => self.skip(tag, length, sink),
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame, begin: u64) -> Result<(), TokenError> {
        if self.depth() >= self.limits.depth {
            return Err(TokenError::TooDeep { limit: self.limits.depth, offset: begin });
        }
        self.frames.push(frame);
        Ok(())
    }

    fn skip(&mut self, tag: Tag, length: u32, sink: &mut dyn Sink) {
        if length == 0 {
            self.value_ended(sink);
        } else {
            self.state = State::Skip { tag, remaining: u64::from(length) };
        }
    }

    /// Back to headers, and out of every frame whose defined length ends here.
    fn value_ended(&mut self, sink: &mut dyn Sink) {
        self.state = State::Header;
        while let Some(frame) = self.frames.last() {
            if !frame.defined || frame.bound > self.offset {
                break;
            }
            if frame.kind == FrameKind::Item {
                sink.item_end(self.depth());
            }
            self.frames.pop();
        }
    }

    fn note_disorder(&mut self, tag: Tag, offset: u64) -> Result<(), TokenError> {
        self.disorder += 1;
        if self.disorder > self.limits.disorder {
            return Err(TokenError::Disordered { tag, limit: self.limits.disorder, offset });
        }
        Ok(())
    }

    fn depth(&self) -> usize {
        self.frames.iter().filter(|frame| frame.kind != FrameKind::Item).count()
    }

    fn bound(&self) -> u64 {
        self.frames.last().map_or(u64::MAX, |frame| frame.bound)
    }

    fn inner_encoding(&self) -> Encoding {
        self.frames.last().map_or(self.encoding, |frame| frame.encoding)
    }

    fn top_frame(&self, tag: Tag) -> Frame {
        let encoding = self.inner_encoding();
        self.frames.last().copied().unwrap_or(Frame {
            kind: FrameKind::Item,
            defined: false,
            bound: u64::MAX,
            encoding,
            tag,
        })
    }
}

/// What an element of undefined length consists of, and how it is encoded.
fn undefined_length_content(element: &Element) -> Option<(FrameKind, Encoding)> {
    match element.vr {
        _ if element.tag.is_pixel_data() => Some((FrameKind::Fragments, element.encoding)),
        // Without VRs only sequences and pixel data can have an undefined length.
        None | Some(Vr::SQ) => Some((FrameKind::Sequence, element.encoding)),
        // PS3.5 6.2.2 note 4 (CP-246): a sequence whose VR was lost on the way is implicit little endian inside, whatever is around it.
        Some(Vr::UN) => Some((FrameKind::Sequence, Encoding::ImplicitLittle)),
        Some(Vr::OB | Vr::OW | Vr::OD | Vr::OF | Vr::OL | Vr::OV) => Some((FrameKind::Fragments, element.encoding)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
