//! RLE Lossless (PS3.5 annex G): byte planes, most significant first, each packed by itself.

use crate::error::{RenderError, Result, malformed};
use crate::image_module::Geometry;

const HEADER_BYTES: usize = 64;
const MAX_SEGMENTS: usize = 15;

/// Unpacks one frame to little endian samples interleaved by pixel.
pub(crate) fn decode(frame: &[u8], geometry: &Geometry) -> Result<Vec<u8>> {
    if geometry.bits_allocated == 1 {
        return Err(RenderError::UnsupportedLayout("one-bit samples in run length encoding".into()));
    }
    let width = usize::from(geometry.bits_allocated / 8);
    let samples = usize::from(geometry.photometric.samples());
    let segments = samples * width;
    let header = frame.get(..HEADER_BYTES).ok_or_else(|| malformed("the run length header is truncated"))?;
    let words: Vec<usize> = header.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    let (count, offsets) = words.split_first().ok_or_else(|| malformed("the run length header is truncated"))?;
    if *count != segments || segments > MAX_SEGMENTS {
        return Err(malformed("the number of run length segments does not fit the image"));
    }

    let mut bytes = vec![0; geometry.samples() * width];
    for segment in 0..segments {
        let start = offsets.get(segment).copied().unwrap_or(0);
        let end = if segment + 1 < segments { offsets.get(segment + 1).copied().unwrap_or(0) } else { frame.len() };
        let packed = frame.get(start..end).filter(|_| start >= HEADER_BYTES);
        let packed = packed.ok_or_else(|| malformed("a run length segment lies outside the frame"))?;
        let (sample, significance) = (segment / width, segment % width);
        let first = sample * width + (width - 1 - significance);
        unpack(packed, bytes.iter_mut().skip(first).step_by(samples * width))?;
    }
    Ok(bytes)
}

/// PackBits (PS3.5 G.3.2). Bytes past the last pixel are padding; too few are an error.
fn unpack<'a>(mut packed: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> Result<()> {
    let short = || malformed("a run length segment ends before the image does");
    while places.len() > 0 {
        let (&control, rest) = packed.split_first().ok_or_else(short)?;
        packed = rest;
        match control {
            0..=127 => {
                let length = usize::from(control) + 1;
                let literal = packed.get(..length.min(places.len())).ok_or_else(short)?;
                // The literal comes first in the pair: a place taken and then not filled would shift the rest.
                for (&byte, place) in literal.iter().zip(places.by_ref()) {
                    *place = byte;
                }
                packed = packed.get(length..).unwrap_or_default();
            }
            128 => {}
            129..=255 => {
                let (&byte, rest) = packed.split_first().ok_or_else(short)?;
                packed = rest;
                places.by_ref().take(257 - usize::from(control)).for_each(|place| *place = byte);
            }
        }
    }
    Ok(())
}
