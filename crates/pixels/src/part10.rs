//! A bounded walk over the elements of a Part 10 object in memory (PS3.10 7, PS3.5 7).
//!
//! It borrows everything from the file and allocates nothing, so a declared length can lie only until it is compared
//! with the bytes that are there. Nested sequences are skipped, not built; their depth is limited.

use crate::error::{Result, malformed};
use crate::transfer_syntax::TransferSyntax;

/// Deepest nesting of sequences of undefined length that is followed.
const MAX_DEPTH: u32 = 64;
const UNDEFINED: u32 = 0xFFFF_FFFF;

pub(crate) type Tag = (u16, u16);
const ITEM: Tag = (0xFFFE, 0xE000);
const ITEM_DELIMITATION: Tag = (0xFFFE, 0xE00D);
const SEQUENCE_DELIMITATION: Tag = (0xFFFE, 0xE0DD);

/// How elements are written: with or without VR, and the byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) const IMPLICIT_LITTLE: Self = Self { explicit: false, big_endian: false };
    pub(crate) const EXPLICIT_LITTLE: Self = Self { explicit: true, big_endian: false };
    pub(crate) const EXPLICIT_BIG: Self = Self { explicit: true, big_endian: true };

    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// File Meta Information and data set of one stored object.
pub(crate) struct Part10<'a> {
    pub(crate) transfer_syntax: TransferSyntax,
    pub(crate) data_set: DataSet<'a>,
}

impl<'a> Part10<'a> {
    /// Reads preamble and group 2; the data set is walked later. Objects without File Meta Information are refused:
    /// their transfer syntax would be a guess.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self> {
        if file.get(128..132) != Some(b"DICM".as_slice()) {
            return Err(malformed("no Part 10 header"));
        }
        let mut at = 132;
        let mut uid = None;
        while peek_tag(file, at, Encoding::EXPLICIT_LITTLE).is_some_and(|(group, _)| group == 0x0002) {
            let header = Header::parse(file, at, Encoding::EXPLICIT_LITTLE)?;
            let (value, end) = header.defined_value(file)?;
            if header.tag == (0x0002, 0x0010) {
                uid = Some(text(value)?.to_owned());
            }
            at = end;
        }
        let uid = uid.ok_or_else(|| malformed("no transfer syntax in the file meta information"))?;
        let transfer_syntax = TransferSyntax::from_uid(uid)?;
        let bytes = file.get(at..).unwrap_or_default();
        let encoding = transfer_syntax.encoding;
        Ok(Self { transfer_syntax, data_set: DataSet { bytes, encoding } })
    }
}

/// The elements of a data set or of one item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataSet<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> DataSet<'a> {
    /// Iterates over the elements in file order; ends after the first error.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements { bytes: self.bytes, encoding: self.encoding, at: 0 }
    }
}

pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let element = if rest.starts_with(&[0, 0, 0, 0]) {
            // Some archives pad the file with zeros; nothing may follow them.
            if rest.iter().all(|&byte| byte == 0) {
                return None;
            }
            Err(malformed("an element has the tag (0000,0000)"))
        } else {
            Element::parse(self.bytes, self.at, self.encoding)
        };
        self.at = match &element {
            Ok((_, end)) => *end,
            Err(_) => self.bytes.len(),
        };
        Some(element.map(|(element, _)| element))
    }
}

/// One element: tag, VR when it is written, and value bytes that are really there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    pub(crate) vr: Option<[u8; 2]>,
    /// The value; for an undefined length, everything up to the delimiter.
    pub(crate) bytes: &'a [u8],
    pub(crate) undefined_length: bool,
    /// Byte order of numbers in the value, and how nested items are written.
    pub(crate) encoding: Encoding,
}

impl<'a> Element<'a> {
    fn parse(bytes: &'a [u8], at: usize, encoding: Encoding) -> Result<(Self, usize)> {
        let header = Header::parse(bytes, at, encoding)?;
        // CP-246: an element of VR UN holds implicit little endian, whatever surrounds it.
        let inner = if header.vr == Some(*b"UN") { Encoding::IMPLICIT_LITTLE } else { encoding };
        let undefined_length = header.length == UNDEFINED;
        let (value, end) = if undefined_length {
            let (content_end, end) = skip_items(bytes, header.value_at, inner, 1)?;
            (bytes.get(header.value_at..content_end).unwrap_or_default(), end)
        } else {
            header.defined_value(bytes)?
        };
        let element = Self { tag: header.tag, vr: header.vr, bytes: value, undefined_length, encoding: inner };
        Ok((element, end))
    }

    /// The items of a sequence; nothing is checked before it is reached.
    pub(crate) fn items(self) -> Items<'a> {
        Items { bytes: self.bytes, encoding: self.encoding, at: 0 }
    }

    /// Character string without padding, or an error when it is not ASCII.
    pub(crate) fn text(self) -> Result<&'a str> {
        text(self.bytes).map_err(|_| self.bad("text"))
    }

    /// Decimal strings (VR DS); empty values are skipped.
    pub(crate) fn decimals(self) -> Result<Vec<f64>> {
        let parts = self.text()?.split('\\').map(str::trim).filter(|part| !part.is_empty()).take(64);
        parts
            .map(|part| {
                part.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| self.bad("decimal string"))
            })
            .collect()
    }

    /// The single value of an element of VR US.
    pub(crate) fn unsigned_short(self) -> Result<u16> {
        match self.bytes {
            &[first, second] => Ok(self.encoding.u16([first, second])),
            _ => Err(self.bad("unsigned short")),
        }
    }

    /// All 16-bit words of the value in file order.
    pub(crate) fn words(self) -> impl ExactSizeIterator<Item = u16> + 'a {
        let encoding = self.encoding;
        self.bytes.chunks_exact(2).map(move |pair| encoding.u16([pair[0], pair[1]]))
    }

    pub(crate) fn bad(self, expected: &str) -> crate::RenderError {
        malformed(format!("({:04X},{:04X}) is not a valid {expected}", self.tag.0, self.tag.1))
    }
}

/// Items of a sequence, or fragments of encapsulated pixel data.
pub(crate) struct Items<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<DataSet<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let item = self.item();
        if item.is_err() {
            self.at = self.bytes.len();
        }
        item.transpose()
    }
}

impl<'a> Items<'a> {
    fn item(&mut self) -> Result<Option<DataSet<'a>>> {
        let header = Header::parse(self.bytes, self.at, self.encoding)?;
        if header.tag == SEQUENCE_DELIMITATION {
            self.at = self.bytes.len();
            return Ok(None);
        }
        if header.tag != ITEM {
            return Err(malformed("a sequence holds something that is not an item"));
        }
        let (value, end) = if header.length == UNDEFINED {
            let (content_end, end) = skip_elements(self.bytes, header.value_at, self.encoding, 1)?;
            (self.bytes.get(header.value_at..content_end).unwrap_or_default(), end)
        } else {
            header.defined_value(self.bytes)?
        };
        self.at = end;
        Ok(Some(DataSet { bytes: value, encoding: self.encoding }))
    }
}

impl<'a> DataSet<'a> {
    /// The raw bytes of an item that is a fragment of pixel data (PS3.5 A.4).
    pub(crate) fn fragment(self) -> &'a [u8] {
        self.bytes
    }
}

struct Header {
    tag: Tag,
    vr: Option<[u8; 2]>,
    length: u32,
    value_at: usize,
}

impl Header {
    /// PS3.5 7.1.2 (explicit), 7.1.3 (implicit), 7.5 (items carry no VR in any encoding).
    fn parse(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Self> {
        let tag = peek_tag(bytes, at, encoding).ok_or_else(truncated)?;
        if !encoding.explicit || tag.0 == 0xFFFE {
            let length = encoding.u32(array(bytes, at + 4)?);
            return Ok(Self { tag, vr: None, length, value_at: at + 8 });
        }
        let vr: [u8; 2] = array(bytes, at + 4)?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(malformed(format!("({:04X},{:04X}) has no value representation", tag.0, tag.1)));
        }
        if has_short_length(vr) {
            let length = u32::from(encoding.u16(array(bytes, at + 6)?));
            return Ok(Self { tag, vr: Some(vr), length, value_at: at + 8 });
        }
        let length = encoding.u32(array(bytes, at + 8)?);
        Ok(Self { tag, vr: Some(vr), length, value_at: at + 12 })
    }

    fn defined_value<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], usize)> {
        let length = usize::try_from(self.length).map_err(|_| truncated())?;
        let end = self.value_at.checked_add(length).ok_or_else(truncated)?;
        let value = bytes.get(self.value_at..end).ok_or_else(truncated)?;
        Ok((value, end))
    }
}

/// VRs with a 16-bit length, PS3.5 table 7.1-2. Every other VR, also one not known yet, has the 32-bit form.
fn has_short_length(vr: [u8; 2]) -> bool {
    matches!(
        &vr,
        b"AE"
            | b"AS"
            | b"AT"
            | b"CS"
            | b"DA"
            | b"DS"
            | b"DT"
            | b"FD"
            | b"FL"
            | b"IS"
            | b"LO"
            | b"LT"
            | b"PN"
            | b"SH"
            | b"SL"
            | b"SS"
            | b"ST"
            | b"TM"
            | b"UI"
            | b"UL"
            | b"US"
    )
}

/// Finds the end of a sequence of undefined length: where its content ends, and where the next element starts.
fn skip_items(bytes: &[u8], mut at: usize, encoding: Encoding, depth: u32) -> Result<(usize, usize)> {
    if depth > MAX_DEPTH {
        return Err(malformed("sequences are nested too deeply"));
    }
    loop {
        // A missing last delimiter is tolerated where the data end exactly; frames are counted later.
        if at == bytes.len() && depth == 1 {
            return Ok((at, at));
        }
        let header = Header::parse(bytes, at, encoding)?;
        match header.tag {
            SEQUENCE_DELIMITATION => return Ok((at, header.value_at)),
            ITEM if header.length == UNDEFINED => at = skip_elements(bytes, header.value_at, encoding, depth + 1)?.1,
            ITEM => at = header.defined_value(bytes)?.1,
            _ => return Err(malformed("a sequence holds something that is not an item")),
        }
    }
}

/// Finds the end of an item of undefined length, in the same terms as [`skip_items`].
fn skip_elements(bytes: &[u8], mut at: usize, encoding: Encoding, depth: u32) -> Result<(usize, usize)> {
    if depth > MAX_DEPTH {
        return Err(malformed("sequences are nested too deeply"));
    }
    loop {
        let header = Header::parse(bytes, at, encoding)?;
        if header.tag == ITEM_DELIMITATION {
            return Ok((at, header.value_at));
        }
        at = if header.length == UNDEFINED {
            let inner = if header.vr == Some(*b"UN") { Encoding::IMPLICIT_LITTLE } else { encoding };
            skip_items(bytes, header.value_at, inner, depth + 1)?.1
        } else {
            header.defined_value(bytes)?.1
        };
    }
}

fn peek_tag(bytes: &[u8], at: usize, encoding: Encoding) -> Option<Tag> {
    let group = array(bytes, at).ok()?;
    let element = array(bytes, at + 2).ok()?;
    Some((encoding.u16(group), encoding.u16(element)))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).ok_or_else(truncated)?;
    bytes.get(at..end).and_then(|slice| slice.try_into().ok()).ok_or_else(truncated)
}

fn text(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
    let text = text.ok_or_else(|| malformed("a value is not plain text"))?;
    Ok(text.trim_matches(|c: char| c == ' ' || c == '\0'))
}

fn truncated() -> crate::RenderError {
    malformed("an element is longer than the file")
}
