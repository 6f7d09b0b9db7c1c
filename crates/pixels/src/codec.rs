//! Decoders written by others, with the doors locked before the bytes go in.
//!
//! The decoder sees an object that is built here: one frame, sizes taken from the codestream after they were found
//! equal to what the object says. It never parses a peer's data set, and never decides about colour unasked. The
//! JPEG 2000 decoder is C code in this process: its input is limited, its memory safety is OpenJPEG's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_pixeldata::PixelDecoder;

use crate::codestream::{Jpeg2000Header, JpegHeader, JpegProcess};
use crate::error::{RenderError, Result, malformed};
use crate::frame::Decoded;
use crate::image_module::{Geometry, Photometric};
use crate::samples::Samples;
use crate::transfer_syntax::TransferSyntax;

/// JPEG baseline, extended (8 bits) and lossless (PS3.5 8.2.1).
pub(crate) fn decode_jpeg(transfer_syntax: &TransferSyntax, geometry: &Geometry, stream: &[u8]) -> Result<Decoded> {
    let header = JpegHeader::parse(stream)?;
    check_size(geometry, header.columns, header.rows, header.components.len())?;
    let lossless = header.process == JpegProcess::Lossless;
    if header.process == JpegProcess::Other || (!lossless && header.precision != 8) {
        return Err(RenderError::UnsupportedTransferSyntax(transfer_syntax.uid.clone()));
    }
    if !(2..=16).contains(&header.precision) {
        return Err(malformed("the JPEG sample precision is not valid"));
    }
    let mut photometric = geometry.photometric;
    match photometric {
        Photometric::YbrJpeg2000 => return Err(malformed("JPEG 2000 colour in a JPEG codestream")),
        Photometric::Palette if !lossless => return Err(malformed("palette indices in a lossy codestream")),
        Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 if lossless => {
            // Lossless components come out as they went in.
            photometric = if photometric == Photometric::Rgb { Photometric::Rgb } else { Photometric::YbrFull };
        }
        Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 => {
            let luminance = header.says_luminance().unwrap_or(photometric != Photometric::Rgb);
            if header.decoder_assumes_luminance() != Some(luminance) {
                return Err(RenderError::UnsupportedPhotometric(
                    "colour in a codestream that is marked otherwise".into(),
                ));
            }
            photometric = Photometric::Rgb;
        }
        Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette => {}
    }
    let bytes_per_sample = if header.precision == 8 { 1 } else { 2 };
    let bytes = decode_one_frame(transfer_syntax, geometry, bytes_per_sample, stream)?;
    Ok(Decoded { samples: samples(bytes, bytes_per_sample, header.precision, geometry), photometric })
}

/// JPEG 2000 and HTJ2K (PS3.5 8.2.4, 8.2.14).
pub(crate) fn decode_jpeg2000(transfer_syntax: &TransferSyntax, geometry: &Geometry, stream: &[u8]) -> Result<Decoded> {
    let (header, codestream) = Jpeg2000Header::parse(stream)?;
    check_size(geometry, header.columns, header.rows, usize::from(header.components))?;
    if !(1..=16).contains(&header.precision) {
        return Err(RenderError::UnsupportedLayout(format!("JPEG 2000 samples of {} bits", header.precision)));
    }
    let photometric = match (geometry.photometric, header.colour_transform) {
        (Photometric::YbrJpeg2000, true) | (Photometric::Rgb, _) => Photometric::Rgb,
        (Photometric::YbrFull, false) => Photometric::YbrFull,
        (Photometric::YbrJpeg2000 | Photometric::YbrFull | Photometric::YbrFull422, _) => {
            return Err(RenderError::UnsupportedPhotometric("colour in a codestream that is marked otherwise".into()));
        }
        (single @ (Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette), _) => single,
    };
    let bytes_per_sample = if header.precision <= 8 { 1 } else { 2 };
    let bytes = decode_one_frame(transfer_syntax, geometry, bytes_per_sample, codestream)?;
    Ok(Decoded { samples: samples(bytes, bytes_per_sample, header.precision, geometry), photometric })
}

fn check_size(geometry: &Geometry, columns: u32, rows: u32, components: usize) -> Result<()> {
    if (columns, rows) != (geometry.columns, geometry.rows) || components != usize::from(geometry.photometric.samples())
    {
        return Err(malformed("the codestream and the object differ in rows, columns or samples"));
    }
    Ok(())
}

/// The codestream's precision rules, not Bits Stored: a sign is at its top bit, whichever of the two is wrong.
fn samples(bytes: Vec<u8>, bytes_per_sample: usize, precision: u8, geometry: &Geometry) -> Samples {
    Samples { bytes, bytes_per_sample, shift: 0, bits: precision.into(), signed: geometry.signed }
}

fn decode_one_frame(
    transfer_syntax: &TransferSyntax,
    geometry: &Geometry,
    bytes_per_sample: usize,
    stream: &[u8],
) -> Result<Vec<u8>> {
    let object = one_frame_object(transfer_syntax, geometry, bytes_per_sample, stream)?;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let object = dicom_object::from_reader(object.as_slice())
            .map_err(|_| malformed("the frame cannot be wrapped for decoding"))?;
        let pixels = object.decode_pixel_data_frame(0).map_err(|_| malformed("the codestream cannot be decoded"))?;
        Ok(pixels.into_data())
    }));
    let bytes = decoded.map_err(|_| malformed("the decoder gave up on the codestream"))??;
    if bytes.len() != geometry.samples() * bytes_per_sample {
        return Err(malformed("the codestream decodes to another size than it says"));
    }
    Ok(bytes)
}

/// A minimal Part 10 object, explicit VR little endian, around one codestream.
fn one_frame_object(
    transfer_syntax: &TransferSyntax,
    geometry: &Geometry,
    bytes_per_sample: usize,
    stream: &[u8],
) -> Result<Vec<u8>> {
    let samples = geometry.photometric.samples();
    let bits = (bytes_per_sample * 8) as u16;
    let (rows, columns) = (geometry.rows as u16, geometry.columns as u16);
    let length = u32::try_from(stream.len().next_multiple_of(2))
        .map_err(|_| RenderError::TooLarge("frame beyond 4 GiB".into()))?;

    let mut meta = Vec::new();
    let mut version = short_header((0x0002, 0x0001), b"OB", 0);
    version.extend_from_slice(&2u32.to_le_bytes());
    version.extend_from_slice(&[0, 1]);
    meta.extend_from_slice(&version);
    // Secondary Capture, and an instance UID that never leaves this function.
    put_text(&mut meta, (0x0002, 0x0002), b"UI", "1.2.840.10008.5.1.4.1.1.7");
    put_text(&mut meta, (0x0002, 0x0003), b"UI", "2.25.1");
    put_text(&mut meta, (0x0002, 0x0010), b"UI", &transfer_syntax.uid);
    put_text(&mut meta, (0x0002, 0x0012), b"UI", "2.25.1");

    let mut object = vec![0; 128];
    object.extend_from_slice(b"DICM");
    object.extend_from_slice(&short_header((0x0002, 0x0000), b"UL", 4));
    object.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    object.extend_from_slice(&meta);
    put_short(&mut object, (0x0028, 0x0002), samples);
    put_text(&mut object, (0x0028, 0x0004), b"CS", if samples == 3 { "RGB" } else { "MONOCHROME2" });
    put_short(&mut object, (0x0028, 0x0006), 0);
    put_short(&mut object, (0x0028, 0x0010), rows);
    put_short(&mut object, (0x0028, 0x0011), columns);
    put_short(&mut object, (0x0028, 0x0100), bits);
    put_short(&mut object, (0x0028, 0x0101), bits);
    put_short(&mut object, (0x0028, 0x0102), bits - 1);
    put_short(&mut object, (0x0028, 0x0103), 0);
    object.extend_from_slice(&short_header((0x7FE0, 0x0010), b"OB", 0));
    object.extend_from_slice(&[0xFF; 4]);
    object.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
    object.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
    object.extend_from_slice(&length.to_le_bytes());
    object.extend_from_slice(stream);
    object.resize(object.len() + stream.len() % 2, 0);
    object.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    Ok(object)
}

fn short_header(tag: (u16, u16), vr: &[u8; 2], length: u16) -> Vec<u8> {
    let mut header = Vec::with_capacity(8);
    header.extend_from_slice(&tag.0.to_le_bytes());
    header.extend_from_slice(&tag.1.to_le_bytes());
    header.extend_from_slice(vr);
    header.extend_from_slice(&length.to_le_bytes());
    header
}

fn put_short(object: &mut Vec<u8>, tag: (u16, u16), value: u16) {
    object.extend_from_slice(&short_header(tag, b"US", 2));
    object.extend_from_slice(&value.to_le_bytes());
}

fn put_text(object: &mut Vec<u8>, tag: (u16, u16), vr: &[u8; 2], text: &str) {
    let padding = if vr == b"UI" { 0 } else { b' ' };
    object.extend_from_slice(&short_header(tag, vr, text.len().next_multiple_of(2) as u16));
    object.extend_from_slice(text.as_bytes());
    object.resize(object.len() + text.len() % 2, padding);
}
