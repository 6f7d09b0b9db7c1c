//! Colour frames to 8-bit RGB.

use crate::error::{RenderError, Result, malformed};
use crate::image_module::{ImageModule, Photometric};
use crate::lut::Lut;
use crate::samples::Samples;

/// Three samples per pixel, RGB or YBR_FULL, to RGB bytes.
pub(crate) fn render(samples: &Samples, photometric: Photometric) -> Result<Vec<u8>> {
    let largest = u32::MAX >> (32 - samples.bits.clamp(1, 32));
    let to_8_bits = |code: u32| match samples.bits {
        8 => code as u8,
        9.. => (code >> (samples.bits - 8)) as u8,
        _ => (code * 255 / largest) as u8,
    };
    let mut rgb: Vec<u8> = samples.codes().map(to_8_bits).collect();
    match photometric {
        Photometric::Rgb => {}
        Photometric::YbrFull => {
            rgb.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = ybr_full_to_rgb(*pixel))
        }
        _ => return Err(malformed("the colour space of the decoded frame is not known")),
    }
    Ok(rgb)
}

/// PS3.3 C.7.6.3.1.2, inverse of the YBR_FULL equations.
fn ybr_full_to_rgb([y, blue, red]: [u8; 3]) -> [u8; 3] {
    let (y, blue, red) = (f32::from(y), f32::from(blue) - 128.0, f32::from(red) - 128.0);
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [byte(y + 1.402 * red), byte(y - 0.344_136 * blue - 0.714_136 * red), byte(y + 1.772 * blue)]
}

/// PALETTE COLOR to RGB bytes (PS3.3 C.7.6.3.1.5 and .6).
pub(crate) fn render_palette(samples: &Samples, module: &ImageModule<'_>) -> Result<Vec<u8>> {
    let missing = || malformed("the palette is missing or incomplete");
    let mut tables = Vec::with_capacity(3);
    for channel in 0..3 {
        let descriptor = module.palette_descriptors[channel].ok_or_else(missing)?;
        let table = match (module.palette_data[channel], module.palette_segmented[channel]) {
            (Some(data), None) => Lut::from_elements(descriptor, data, samples.signed)?,
            (None, Some(data)) => Lut::from_segments(descriptor, data, samples.signed)?,
            (Some(_), Some(_)) => return Err(malformed("the palette is given twice")),
            (None, None) => return Err(missing()),
        };
        tables.push(table);
    }
    if tables.iter().any(|table| table.bits != 8 && table.bits != 16) {
        return Err(RenderError::UnsupportedLayout("palette entries of neither 8 nor 16 bits".into()));
    }
    let narrow = tables.iter().all(Lut::entries_fit_8_bits);
    let colour = |table: &Lut, value: i64| {
        let entry = table.at(value);
        if table.bits == 8 || narrow { entry.min(255) as u8 } else { (entry >> 8) as u8 }
    };
    let [red, green, blue] = tables.as_slice() else { return Err(missing()) };
    let pixels = samples.codes().flat_map(|code| {
        let value = samples.value(code);
        [colour(red, value), colour(green, value), colour(blue, value)]
    });
    let mut rgb = Vec::with_capacity(samples.len() * 3);
    rgb.extend(pixels);
    Ok(rgb)
}
