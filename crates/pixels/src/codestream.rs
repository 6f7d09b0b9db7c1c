//! What a JPEG or JPEG 2000 codestream says about itself before anything is decoded.

use crate::error::{RenderError, Result, malformed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JpegProcess {
    /// Sequential or progressive DCT with Huffman coding.
    Dct,
    Lossless,
    /// Arithmetic coding, hierarchical.
    Other,
}

/// Frame header of a JPEG stream and its colour markers (ITU-T T.81 B.2.2, T.871, Adobe APP14).
#[derive(Debug)]
pub(crate) struct JpegHeader {
    pub(crate) process: JpegProcess,
    pub(crate) precision: u8,
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    /// Component identifiers in order.
    pub(crate) components: Vec<u8>,
    jfif: bool,
    adobe_transform: Option<u8>,
}

impl JpegHeader {
    pub(crate) fn parse(stream: &[u8]) -> Result<Self> {
        let bad = || malformed("the JPEG codestream has no valid header");
        if !stream.starts_with(&[0xFF, 0xD8]) {
            return Err(bad());
        }
        let (mut at, mut jfif, mut adobe_transform) = (2, false, None);
        let mut frame = None;
        loop {
            if stream.get(at) != Some(&0xFF) {
                return Err(bad());
            }
            let marker = *stream.get(at + 1).ok_or_else(bad)?;
            if marker == 0xFF {
                at += 1;
                continue;
            }
            let length = usize::from(be16(stream, at + 2).ok_or_else(bad)?);
            let segment = stream.get(at + 4..at + 2 + length).ok_or_else(bad)?;
            match marker {
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                    if frame.is_some() {
                        return Err(bad());
                    }
                    frame = Some((marker, segment));
                }
                0xE0 if segment.starts_with(b"JFIF\0") => jfif = true,
                0xEE if segment.starts_with(b"Adobe") => adobe_transform = segment.get(11).copied(),
                0xDA => break,
                _ => {}
            }
            at += 2 + length;
        }
        let (marker, segment) = frame.ok_or_else(bad)?;
        let process = match marker {
            0xC0..=0xC2 => JpegProcess::Dct,
            0xC3 => JpegProcess::Lossless,
            _ => JpegProcess::Other,
        };
        let count = usize::from(*segment.get(5).ok_or_else(bad)?);
        let specifications = segment.get(6..6 + count * 3).ok_or_else(bad)?;
        Ok(Self {
            process,
            precision: *segment.first().ok_or_else(bad)?,
            rows: be16(segment, 1).ok_or_else(bad)?.into(),
            columns: be16(segment, 3).ok_or_else(bad)?.into(),
            components: specifications.iter().step_by(3).copied().collect(),
            jfif,
            adobe_transform,
        })
    }

    /// Whether the stream itself declares luminance and colour difference (`true`) or red, green, blue (`false`).
    pub(crate) fn says_luminance(&self) -> Option<bool> {
        match (self.components.as_slice(), self.jfif, self.adobe_transform) {
            (b"RGB" | b"rgb", _, _) => Some(false),
            (_, true, _) => Some(true),
            (_, _, Some(transform)) => Some(transform != 0),
            _ => None,
        }
    }

    /// What the decoder will take the components for, as it cannot be told: identifiers, then JFIF, then Adobe, then
    /// luminance. `None` where it refuses by itself.
    pub(crate) fn decoder_assumes_luminance(&self) -> Option<bool> {
        match (self.components.as_slice(), self.jfif, self.adobe_transform) {
            ([1, 2, 3], _, _) => Some(true),
            (b"RGB", _, _) => Some(false),
            (b"rgb" | [1, 34, 35], _, _) => None,
            (_, true, _) => Some(true),
            (_, _, Some(0)) => Some(false),
            (_, _, Some(1) | None) => Some(true),
            _ => None,
        }
    }
}

/// Image and tile size marker of a JPEG 2000 codestream, and its colour transform (ITU-T T.800 A.5.1, A.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Jpeg2000Header {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) components: u16,
    pub(crate) precision: u8,
    pub(crate) colour_transform: bool,
}

impl Jpeg2000Header {
    /// Also returns the bare codestream: a JP2 file around it is not allowed in DICOM but occurs, and its boxes
    /// could change the colours behind our back.
    pub(crate) fn parse(stream: &[u8]) -> Result<(Self, &[u8])> {
        let stream = if stream.starts_with(&[0xFF, 0x4F]) { stream } else { codestream_box(stream)? };
        let bad = || malformed("the JPEG 2000 codestream has no valid header");
        if !stream.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
            return Err(bad());
        }
        let field = |at: usize| be32(stream, at).ok_or_else(bad);
        // SOC, SIZ, Lsiz, Rsiz, then the eight sizes.
        let (right, bottom, left, top) = (field(8)?, field(12)?, field(16)?, field(20)?);
        let (tile_width, tile_height) = (field(24)?, field(28)?);
        let columns = right.checked_sub(left).ok_or_else(bad)?;
        let rows = bottom.checked_sub(top).ok_or_else(bad)?;
        if tile_width == 0 || tile_height == 0 {
            return Err(bad());
        }
        let components = be16(stream, 40).ok_or_else(bad)?;
        let specifications = stream.get(42..42 + usize::from(components) * 3).ok_or_else(bad)?;
        let (specifications, _) = specifications.as_chunks::<3>();
        let &[depth, horizontal, vertical] = specifications.first().ok_or_else(bad)?;
        if specifications.iter().any(|other| *other != [depth, horizontal, vertical])
            || (horizontal, vertical) != (1, 1)
        {
            return Err(RenderError::UnsupportedLayout("JPEG 2000 components that differ or are subsampled".into()));
        }
        let colour_transform = colour_transform(stream).ok_or_else(bad)?;
        let header = Self { columns, rows, components, precision: (depth & 0x7F) + 1, colour_transform };
        Ok((header, stream))
    }
}

/// Finds COD in the main header; its ninth byte says whether the first three components are transformed.
fn colour_transform(stream: &[u8]) -> Option<bool> {
    let mut at = 2;
    loop {
        let marker = be16(stream, at)?;
        let length = usize::from(be16(stream, at + 2)?);
        match marker {
            0xFF52 => return Some(*stream.get(at + 8)? != 0),
            0xFF01..=0xFF8F if length >= 2 => at += 2 + length,
            _ => return None,
        }
    }
}

/// The contents of the contiguous codestream box of a JP2 file (ITU-T T.800 I.4).
fn codestream_box(file: &[u8]) -> Result<&[u8]> {
    let bad = || malformed("the JPEG 2000 codestream has no valid header");
    let mut at = 0usize;
    loop {
        let length = be32(file, at).ok_or_else(bad)? as usize;
        let kind = file.get(at + 4..at + 8).ok_or_else(bad)?;
        let end = if length == 0 { file.len() } else { at.checked_add(length).ok_or_else(bad)? };
        if kind == b"jp2c" {
            // A length past the end means the same as "to the end": the fragment was cut or padded.
            return file.get(at + 8..end.min(file.len())).ok_or_else(bad);
        }
        if length < 8 || end <= at {
            return Err(bad());
        }
        at = end;
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
