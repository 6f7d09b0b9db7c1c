//! Grey or RGB bytes to the requested file, scaled down if asked.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, RgbImage};

use crate::error::{RenderError, Result, malformed};
use crate::{Format, RenderRequest, Rendered};

/// `bytes` are one (grey) or three (RGB) per pixel, rows from the top.
pub(crate) fn encode(
    bytes: Vec<u8>,
    columns: u32,
    rows: u32,
    window: Option<(f64, f64)>,
    request: &RenderRequest,
) -> Result<Rendered> {
    let mismatch = || malformed("the decoded frame does not have the size the object says");
    let pixels = columns as usize * rows as usize;
    let mut picture: DynamicImage = if bytes.len() == pixels {
        GrayImage::from_raw(columns, rows, bytes).ok_or_else(mismatch)?.into()
    } else if bytes.len() == pixels * 3 {
        RgbImage::from_raw(columns, rows, bytes).ok_or_else(mismatch)?.into()
    } else {
        return Err(mismatch());
    };
    if let Some(edge) = request.max_edge
        && columns.max(rows) > edge
    {
        // Keeps the proportions, never enlarges.
        picture = picture.resize(edge, edge, FilterType::Triangle);
    }
    let mut file = Vec::new();
    let (written, media_type) = match request.format {
        Format::Jpeg(quality) => {
            (picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality)), "image/jpeg")
        }
        Format::Png => (picture.write_with_encoder(PngEncoder::new(&mut file)), "image/png"),
    };
    written.map_err(|_| RenderError::TooLarge("the picture does not fit the requested format".into()))?;
    Ok(Rendered { bytes: file, media_type, columns: picture.width(), rows: picture.height(), window })
}
