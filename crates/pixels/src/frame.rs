//! Finds the bytes of one frame and turns them into [`Samples`].

use std::borrow::Cow;

use crate::codec;
use crate::error::{RenderError, Result, malformed};
use crate::image_module::{Geometry, ImageModule, Photometric};
use crate::part10::Element;
use crate::rle;
use crate::samples::Samples;
use crate::transfer_syntax::{Codec, TransferSyntax};

const MAX_FRAGMENTS: usize = 1 << 20;

/// Samples of a frame and how their colours are to be read after decoding.
pub(crate) struct Decoded {
    pub(crate) samples: Samples,
    pub(crate) photometric: Photometric,
}

/// Decodes frame `index` (from zero, already known to be below `frames`).
pub(crate) fn decode(
    transfer_syntax: &TransferSyntax,
    module: &ImageModule<'_>,
    geometry: &Geometry,
    frames: u32,
    index: u32,
) -> Result<Decoded> {
    let pixel_data = module.pixel_data.ok_or(RenderError::NotAnImage)?;
    let native = transfer_syntax.codec == Codec::Native;
    if native == pixel_data.undefined_length {
        return Err(malformed("the pixel data are not encoded as the transfer syntax says"));
    }
    match transfer_syntax.codec {
        Codec::Native => native_frame(pixel_data, geometry, frames, index),
        Codec::EncapsulatedNative => {
            let bytes = encapsulated_frame(module, pixel_data, frames, index)?;
            let element = Element { bytes: &bytes, ..pixel_data };
            native_frame(element, geometry, 1, 0)
        }
        Codec::RunLength => {
            if geometry.photometric == Photometric::YbrFull422 {
                return Err(RenderError::UnsupportedPhotometric("YBR_FULL_422 in run length encoding".into()));
            }
            let bytes = encapsulated_frame(module, pixel_data, frames, index)?;
            let bytes = rle::decode(&bytes, geometry)?;
            Ok(Decoded { samples: samples(bytes, geometry), photometric: geometry.photometric })
        }
        Codec::Jpeg => {
            codec::decode_jpeg(transfer_syntax, geometry, &encapsulated_frame(module, pixel_data, frames, index)?)
        }
        Codec::Jpeg2000 => {
            codec::decode_jpeg2000(transfer_syntax, geometry, &encapsulated_frame(module, pixel_data, frames, index)?)
        }
        Codec::None => Err(RenderError::UnsupportedTransferSyntax(transfer_syntax.uid.clone())),
    }
}

fn samples(bytes: Vec<u8>, geometry: &Geometry) -> Samples {
    Samples {
        bytes,
        bytes_per_sample: usize::from(geometry.bits_allocated).div_ceil(8),
        shift: u32::from(geometry.high_bit + 1 - geometry.bits_stored),
        bits: u32::from(geometry.bits_stored),
        signed: geometry.signed,
    }
}

/// PS3.5 8.1 and annex D: frames follow each other without gaps, one-bit samples even inside a byte.
fn native_frame(pixel_data: Element<'_>, geometry: &Geometry, frames: u32, index: u32) -> Result<Decoded> {
    let mut photometric = geometry.photometric;
    if photometric == Photometric::YbrJpeg2000 {
        return Err(malformed("JPEG 2000 colour in uncompressed pixel data"));
    }
    let source = pixel_data.bytes;
    // Bytes in words of a big endian file are swapped in pairs (PS3.5 annex D, byte ordering of OW).
    let swapped_pairs = pixel_data.encoding.big_endian && geometry.bits_allocated <= 8 && pixel_data.vr == Some(*b"OW");
    let byte_at = |at: usize| source.get(if swapped_pairs { at ^ 1 } else { at }).copied();
    let short = || malformed("the pixel data end before the frame does");

    if geometry.bits_allocated == 1 {
        let first = u64::from(index) * geometry.pixels() as u64;
        let bits = (first..first + geometry.pixels() as u64).map(|bit| {
            let at = usize::try_from(bit / 8).ok()?;
            Some(byte_at(at)? >> (bit % 8) & 1)
        });
        let bytes = bits.collect::<Option<Vec<u8>>>().ok_or_else(short)?;
        return Ok(Decoded { samples: samples(bytes, geometry), photometric });
    }

    let width = usize::from(geometry.bits_allocated / 8);
    let full = geometry.samples() * width;
    let mut frame_bytes = full;
    if photometric == Photometric::YbrFull422 {
        let all_frames = full.saturating_mul(frames as usize);
        if source.len() == all_frames.next_multiple_of(2) {
            // Labelled 422 by somebody who did not subsample; the length tells.
            photometric = Photometric::YbrFull;
        } else {
            frame_bytes = geometry.pixels() * 2 * width;
        }
    }
    let start = (index as usize).checked_mul(frame_bytes).ok_or_else(short)?;
    let end = start.checked_add(frame_bytes).ok_or_else(short)?;
    if end > source.len() {
        return Err(short());
    }
    let mut bytes: Vec<u8> = if swapped_pairs {
        (start..end).map(byte_at).collect::<Option<_>>().ok_or_else(short)?
    } else {
        source.get(start..end).ok_or_else(short)?.to_vec()
    };
    if pixel_data.encoding.big_endian && width > 1 {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if photometric == Photometric::YbrFull422 {
        bytes = expand_422(&bytes, geometry)?;
        photometric = Photometric::YbrFull;
    } else if geometry.planar && geometry.photometric.samples() == 3 {
        bytes = interleave(&bytes, geometry.pixels(), width);
    }
    Ok(Decoded { samples: samples(bytes, geometry), photometric })
}

/// YBR_FULL_422: two luminances share one pair of colour differences (PS3.3 C.7.6.3.1.2).
fn expand_422(bytes: &[u8], geometry: &Geometry) -> Result<Vec<u8>> {
    if geometry.bits_allocated != 8 || !geometry.columns.is_multiple_of(2) || geometry.planar {
        return Err(RenderError::UnsupportedLayout("YBR_FULL_422 other than 8 bits, even columns, by pixel".into()));
    }
    let pairs = bytes.chunks_exact(4).flat_map(|quad| [quad[0], quad[2], quad[3], quad[1], quad[2], quad[3]]);
    Ok(pairs.collect())
}

fn interleave(planes: &[u8], pixels: usize, width: usize) -> Vec<u8> {
    let mut bytes = vec![0; planes.len()];
    for (at, sample) in planes.chunks_exact(width).enumerate() {
        let (plane, pixel) = (at / pixels, at % pixels);
        let to = (pixel * 3 + plane) * width;
        if let Some(place) = bytes.get_mut(to..to + width) {
            place.copy_from_slice(sample);
        }
    }
    bytes
}

/// Gathers the fragments of one frame (PS3.5 A.4).
///
/// In this order: one fragment each; a single frame owns all; the offset tables; last, for JPEG and JPEG 2000, a
/// fragment that opens with a start marker opens a frame. A table that points between fragments is an error.
fn encapsulated_frame<'a>(
    module: &ImageModule<'a>,
    pixel_data: Element<'a>,
    frames: u32,
    index: u32,
) -> Result<Cow<'a, [u8]>> {
    let mut items = pixel_data.items();
    let basic_table = items.next().ok_or_else(|| malformed("the pixel data hold no offset table"))??.fragment();
    // (offset from the first fragment's item, bytes)
    let mut fragments: Vec<(u64, &'a [u8])> = Vec::new();
    let mut offset = 0u64;
    for item in items {
        let bytes = item?.fragment();
        if fragments.len() >= MAX_FRAGMENTS {
            return Err(RenderError::TooLarge("more than a million fragments".into()));
        }
        fragments.push((offset, bytes));
        offset += bytes.len() as u64 + 8;
    }
    let (frames, index) = (frames as usize, index as usize);
    if fragments.len() < frames {
        return Err(malformed("there are fewer fragments than frames"));
    }
    if fragments.len() == frames {
        let (_, bytes) = fragments.get(index).ok_or_else(|| malformed("a frame is missing"))?;
        return Ok(Cow::Borrowed(*bytes));
    }
    let starts = if frames == 1 {
        vec![0]
    } else if let Some(offsets) = frame_offsets(module, basic_table, frames)? {
        let position = |offset: u64| fragments.binary_search_by_key(&offset, |(start, _)| *start).ok();
        let starts = offsets.into_iter().map(position).collect::<Option<Vec<usize>>>();
        starts.ok_or_else(|| malformed("the offset table points between fragments"))?
    } else {
        let opens =
            |bytes: &[u8]| bytes.starts_with(&[0xFF, 0xD8, 0xFF]) || bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]);
        fragments.iter().enumerate().filter(|(_, (_, bytes))| opens(bytes)).map(|(at, _)| at).collect()
    };
    if starts.len() != frames || starts.first() != Some(&0) || !starts.is_sorted_by(|a, b| a < b) {
        return Err(malformed("fragments cannot be told apart into frames"));
    }
    let first = starts.get(index).copied().unwrap_or(0);
    let end = starts.get(index + 1).copied().unwrap_or(fragments.len());
    let own = fragments.get(first..end).unwrap_or_default();
    match own {
        [(_, only)] => Ok(Cow::Borrowed(*only)),
        several => Ok(Cow::Owned(several.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect())),
    }
}

/// Offsets of all frames from the Extended (64-bit) or the Basic (32-bit) Offset Table, if either is filled.
fn frame_offsets(module: &ImageModule<'_>, basic_table: &[u8], frames: usize) -> Result<Option<Vec<u64>>> {
    let offsets: Vec<u64> = if let Some(table) = module.extended_offsets.filter(|table| !table.bytes.is_empty()) {
        table.bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry)).collect()
    } else if !basic_table.is_empty() {
        basic_table.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry).into()).collect()
    } else {
        return Ok(None);
    };
    if offsets.len() != frames {
        return Err(malformed("the offset table does not have one entry per frame"));
    }
    Ok(Some(offsets))
}
