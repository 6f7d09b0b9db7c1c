//! One frame of a stored DICOM object as an 8-bit picture.
//!
//! [`render`] reads a Part 10 object in memory, decodes one frame and returns a JPEG or PNG; [`describe`] says what
//! is in it without decoding. Both block and use one thread (the JPEG decoder may borrow a few): call them from
//! `spawn_blocking` and limit how many run at once.
//!
//! What this crate is not: it does not transcode, it does not write DICOM, and it is no diagnostic viewer. Overlays,
//! annotations, ICC profiles, presentation states and non-square pixels are not drawn. It never shows a picture it is
//! not sure of: palette indices without palette, colours marked two ways, truncated frames are refused with a
//! [`RenderError`] that says which of these it was.
//!
//! Bounds: files to [`MAX_FILE_BYTES`], frames to [`MAX_PIXELS`] and [`MAX_FRAME_BYTES`]. Nothing is allocated from a
//! declared length that the file does not back. The worst frame stays below 1 GiB while it is decoded; an ordinary CT slice
//! needs a few MiB.
//!
//! To render one more transfer syntax, start in `transfer_syntax.rs`; one more photometric interpretation, in
//! `image_module.rs`. The compiler shows the rest of the way. Decoders by others are called only in `codec.rs`.

mod codec;
mod codestream;
mod colour;
mod encode;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gray;
mod image_module;
mod lut;
mod part10;
mod rle;
mod samples;
mod transfer_syntax;

pub use error::RenderError;

use image_module::Photometric;

/// Largest object accepted, in bytes.
pub const MAX_FILE_BYTES: usize = 512 << 20;
/// Largest frame accepted, in pixels (a digital mammogram has 13 million).
pub const MAX_PIXELS: usize = 32 << 20;
/// Largest decoded frame accepted, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 << 20;

/// What to show and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderRequest {
    /// Index of the frame, from zero (DICOM numbers frames from one).
    pub frame: u32,
    pub window: Window,
    /// Longest side of the result in pixels; larger frames are scaled down, smaller ones left alone.
    pub max_edge: Option<u32>,
    pub format: Format,
}

/// How grey values are mapped. Colour frames ignore it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    /// The object's first window with its function, else its VOI LUT, else smallest to largest value of the frame.
    FromObject,
    /// Linear window over values after the modality transform (Hounsfield units for CT), PS3.3 C.11.2.1.2.1.
    Linear { center: f64, width: f64 },
}

/// File format of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Quality 1 to 100.
    Jpeg(u8),
    Png,
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub columns: u32,
    pub rows: u32,
    /// Centre and width that were applied; asking for them again gives the same picture where the function is
    /// LINEAR. `None` for colour and for a VOI LUT.
    pub window: Option<(f64, f64)>,
}

/// What an object says about its frames. For an object without pixels everything else is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameFacts {
    pub has_pixels: bool,
    /// Whether [`render`] has a decoder for the transfer syntax; it may still refuse a frame.
    pub decodable: bool,
    pub transfer_syntax: String,
    pub rows: u32,
    pub columns: u32,
    pub frames: u32,
    /// As written in the object.
    pub photometric: String,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    /// Centre and width of the first window of the first frame.
    pub default_window: Option<(f64, f64)>,
    /// Slope and intercept of the first frame, when either is written.
    pub rescale: Option<(f64, f64)>,
}

/// Renders one frame of a Part 10 object. Blocks for as long as decoding takes.
///
/// # Errors
/// Every [`RenderError`]; none of them leaves anything behind.
pub fn render(file: &[u8], request: &RenderRequest) -> Result<Rendered, RenderError> {
    if request.max_edge == Some(0) {
        return Err(RenderError::InvalidRequest("an edge of zero pixels"));
    }
    if matches!(request.format, Format::Jpeg(quality) if !(1..=100).contains(&quality)) {
        return Err(RenderError::InvalidRequest("a JPEG quality outside 1 to 100"));
    }
    let (transfer_syntax, module) = image_module::open(file)?;
    if !module.has_pixels() {
        return Err(RenderError::NotAnImage);
    }
    let geometry = module.geometry(&transfer_syntax)?;
    let frames = module.frames()?;
    if request.frame >= frames {
        return Err(RenderError::NoSuchFrame { frame: request.frame, frames });
    }
    let decoded = frame::decode(&transfer_syntax, &module, &geometry, frames, request.frame)?;
    let (bytes, window) = match decoded.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => {
            let (modality, voi) = module.transforms(request.frame)?;
            let padding = module.padding_range(geometry.signed)?;
            let invert = decoded.photometric == Photometric::Monochrome1;
            let request = gray::GrayRequest { window: request.window, modality, voi, padding, invert };
            let gray = gray::render(&decoded.samples, &request)?;
            (gray.bytes, gray.window)
        }
        Photometric::Palette => (colour::render_palette(&decoded.samples, &module)?, None),
        colour => (colour::render(&decoded.samples, colour)?, None),
    };
    encode::encode(bytes, geometry.columns, geometry.rows, window, request)
}

/// Describes the frames of a Part 10 object without decoding them.
///
/// # Errors
/// [`RenderError::Malformed`], [`RenderError::TooLarge`], and [`RenderError::UnsupportedTransferSyntax`] where even
/// the data set cannot be read. An object without pixels is not an error.
pub fn describe(file: &[u8]) -> Result<FrameFacts, RenderError> {
    let (transfer_syntax, module) = image_module::open(file)?;
    if !module.has_pixels() {
        return Ok(FrameFacts { transfer_syntax: transfer_syntax.uid, ..FrameFacts::default() });
    }
    let (rows, columns) = module.dimension()?;
    let (bits_allocated, bits_stored) = module.bits()?;
    let (modality, voi) = module.transforms(0)?;
    let rescale = match (modality.slope, modality.intercept) {
        (None, None) => None,
        (slope, intercept) => Some((slope.unwrap_or(1.0), intercept.unwrap_or(0.0))),
    };
    Ok(FrameFacts {
        has_pixels: true,
        decodable: transfer_syntax.codec != transfer_syntax::Codec::None,
        rows,
        columns,
        frames: module.frames()?,
        photometric: module.photometric_text()?.to_owned(),
        bits_allocated,
        bits_stored,
        default_window: gray::window_of_object(&voi),
        rescale,
        transfer_syntax: transfer_syntax.uid,
    })
}
