//! Lookup tables: modality, values of interest, palette (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5, C.7.9.2).

use crate::error::{RenderError, Result, malformed};
use crate::part10::{DataSet, Element};

/// A table over consecutive stored values; values outside take the first or last entry.
#[derive(Debug)]
pub(crate) struct Lut {
    first: i64,
    entries: Vec<u16>,
    /// Bits of an entry, 8 to 16.
    pub(crate) bits: u16,
}

impl Lut {
    pub(crate) fn at(&self, value: i64) -> u16 {
        let last = self.entries.len().saturating_sub(1);
        let index = usize::try_from(value.saturating_sub(self.first)).unwrap_or(0).min(last);
        self.entries.get(index).copied().unwrap_or(0)
    }

    /// A Modality or VOI LUT from its sequence item. `signed` says how an ambiguous first value is to be read.
    pub(crate) fn from_item(item: DataSet<'_>, signed: bool) -> Result<Self> {
        let (mut descriptor, mut data) = (None, None);
        for element in item.elements() {
            let element = element?;
            match element.tag {
                (0x0028, 0x3002) => descriptor = Some(element),
                (0x0028, 0x3006) => data = Some(element),
                _ => {}
            }
        }
        let missing = || malformed("a lookup table has no descriptor or no data");
        Self::from_elements(descriptor.ok_or_else(missing)?, data.ok_or_else(missing)?, signed)
    }

    /// Descriptor: number of entries (0 means 65536), first value mapped, bits per entry.
    pub(crate) fn from_elements(descriptor: Element<'_>, data: Element<'_>, signed: bool) -> Result<Self> {
        let (count, first, bits) = read_descriptor(descriptor, signed)?;
        let entries = plain_entries(data, count, bits)?;
        Ok(Self { first, entries, bits })
    }

    /// A palette whose data are run-compressed segments (PS3.3 C.7.9.2).
    pub(crate) fn from_segments(descriptor: Element<'_>, data: Element<'_>, signed: bool) -> Result<Self> {
        let (count, first, bits) = read_descriptor(descriptor, signed)?;
        if bits != 16 {
            return Err(RenderError::UnsupportedLayout("segmented palette of 8 bits".into()));
        }
        let words: Vec<u16> = data.words().collect();
        let mut entries = Vec::with_capacity(count);
        expand_segments(&words, 0, usize::MAX, count, &mut entries, false)?;
        if entries.len() != count {
            return Err(malformed("a segmented palette does not fill its table"));
        }
        Ok(Self { first, entries, bits })
    }

    /// Some makers declare 16 bits and fill 8; read literally the picture would be black.
    pub(crate) fn entries_fit_8_bits(&self) -> bool {
        self.entries.iter().all(|&entry| entry <= 0xFF)
    }
}

fn read_descriptor(descriptor: Element<'_>, signed: bool) -> Result<(usize, i64, u16)> {
    let words: Vec<u16> = descriptor.words().take(4).collect();
    let &[count, first, bits] = words.as_slice() else {
        return Err(descriptor.bad("lookup table descriptor"));
    };
    let count = if count == 0 { 65_536 } else { usize::from(count) };
    if !(8..=16).contains(&bits) {
        return Err(descriptor.bad("lookup table descriptor"));
    }
    let signed = match descriptor.vr.as_ref() {
        Some(b"SS") => true,
        Some(b"US") => false,
        _ => signed,
    };
    let first = if signed { i64::from(first.cast_signed()) } else { i64::from(first) };
    Ok((count, first, bits))
}

/// One 16-bit word per entry, or, for 8-bit entries, one byte.
fn plain_entries(data: Element<'_>, count: usize, bits: u16) -> Result<Vec<u16>> {
    let length = data.bytes.len();
    if length == count * 2 {
        Ok(data.words().collect())
    } else if bits == 8 && length == count.next_multiple_of(2) {
        // Bytes in words: the lower byte of a word is the earlier entry, in either byte order.
        let bytes = data.words().flat_map(|word| word.to_le_bytes().map(u16::from));
        Ok(bytes.take(count).collect())
    } else {
        Err(data.bad("lookup table of the length its descriptor says"))
    }
}

/// Expands discrete, linear and indirect segments from word `at` on, at most `segments` of them.
fn expand_segments(
    words: &[u16],
    mut at: usize,
    segments: usize,
    count: usize,
    entries: &mut Vec<u16>,
    indirect: bool,
) -> Result<()> {
    let bad = || malformed("a segmented palette is not valid");
    for _ in 0..segments {
        if at >= words.len() {
            return Ok(());
        }
        let word = |index: usize| words.get(index).copied().ok_or_else(bad);
        let (opcode, length) = (word(at)?, usize::from(word(at + 1)?));
        let (content, grows) = (at + 2, if opcode == 2 { 0 } else { length });
        if length == 0 || entries.len() + grows > count {
            // A trailing zero word is padding.
            return if entries.len() == count { Ok(()) } else { Err(bad()) };
        }
        match opcode {
            0 => {
                entries.extend_from_slice(words.get(content..content + length).ok_or_else(bad)?);
                at = content + length;
            }
            1 => {
                let from = f64::from(*entries.last().ok_or_else(bad)?);
                let to = f64::from(word(content)?);
                entries
                    .extend((1..=length).map(|step| (from + (to - from) * step as f64 / length as f64).round() as u16));
                at = content + 1;
            }
            2 if !indirect => {
                // The offset counts bytes; two words, the less significant first. The target may not refer on.
                let offset = usize::from(word(content)?) | usize::from(word(content + 1)?) << 16;
                expand_segments(words, offset / 2, length, count, entries, true)?;
                at = content + 2;
            }
            _ => return Err(bad()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part10::Encoding;

    fn segmented(count: u16, words: &[u16]) -> Result<Vec<u16>> {
        let element = |bytes| Element {
            tag: (0x0028, 0x1221),
            vr: Some(*b"OW"),
            bytes,
            undefined_length: false,
            encoding: Encoding::EXPLICIT_LITTLE,
        };
        let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let (descriptor, data) = (bytes(&[count, 0, 16]), bytes(words));
        Lut::from_segments(element(&descriptor), element(&data), false).map(|lut| lut.entries)
    }

    #[test]
    fn segments_expand_to_the_entries_they_stand_for() {
        assert_eq!(segmented(3, &[0, 3, 7, 8, 9]), Ok(vec![7, 8, 9]));
        // Linear: four steps from the last entry to 50.
        assert_eq!(segmented(5, &[0, 1, 10, 1, 4, 50]), Ok(vec![10, 20, 30, 40, 50]));
        // Indirect: the two segments at byte 0 once more, the linear one now from 30.
        assert_eq!(segmented(6, &[0, 1, 10, 1, 2, 30, 2, 2, 0, 0]), Ok(vec![10, 20, 30, 10, 20, 30]));
    }

    #[test]
    fn segments_that_lie_are_refused() {
        for (count, words) in [
            (3, [0, 4, 7, 8, 9].as_slice()), // more than the table holds, and more than is there
            (9, &[0, 3, 7, 8, 9]),           // fewer
            (4, &[1, 4, 50]),                // a line from nowhere
            (8, &[0, 1, 10, 2, 9, 0, 0]),    // an indirect segment that leads to itself
            (4, &[3, 4, 1, 2, 3, 4]),        // an unknown opcode
        ] {
            assert!(matches!(segmented(count, words), Err(RenderError::Malformed(_))), "{words:?}");
        }
    }
}
