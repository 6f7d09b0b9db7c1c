//! The attributes that decide how a frame is shown (PS3.3 C.7.6.3, C.11.1, C.11.2, C.7.6.16).

use crate::error::{RenderError, Result, malformed};
use crate::part10::{DataSet, Element, Part10};
use crate::transfer_syntax::{Codec, TransferSyntax};
use crate::{MAX_FRAME_BYTES, MAX_PIXELS};

/// Photometric Interpretation (0028,0004), PS3.3 C.7.6.3.1.2, as far as it is shown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Photometric {
    Monochrome1,
    Monochrome2,
    Palette,
    Rgb,
    YbrFull,
    YbrFull422,
    /// Reversible and irreversible JPEG 2000 colour; the decoder already returns RGB.
    YbrJpeg2000,
}

impl Photometric {
    fn from_text(text: &str) -> Result<Self> {
        Ok(match text {
            "MONOCHROME1" => Self::Monochrome1,
            "MONOCHROME2" => Self::Monochrome2,
            "PALETTE COLOR" => Self::Palette,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::YbrFull,
            "YBR_FULL_422" => Self::YbrFull422,
            "YBR_RCT" | "YBR_ICT" => Self::YbrJpeg2000,
            "" => return Err(malformed("the photometric interpretation is empty")),
            other => return Err(RenderError::UnsupportedPhotometric(printable(other))),
        })
    }

    pub(crate) fn samples(self) -> u16 {
        match self {
            Self::Monochrome1 | Self::Monochrome2 | Self::Palette => 1,
            Self::Rgb | Self::YbrFull | Self::YbrFull422 | Self::YbrJpeg2000 => 3,
        }
    }
}

/// Everything about samples that must be consistent before a byte of pixel data is touched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) photometric: Photometric,
    pub(crate) bits_allocated: u16,
    pub(crate) bits_stored: u16,
    pub(crate) high_bit: u16,
    pub(crate) signed: bool,
    /// Planar Configuration 1: all red, then all green, then all blue.
    pub(crate) planar: bool,
}

impl Geometry {
    pub(crate) fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    pub(crate) fn samples(&self) -> usize {
        self.pixels() * usize::from(self.photometric.samples())
    }
}

/// Modality transform as written: a table wins over slope and intercept (PS3.3 C.11.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ModalityAttributes<'a> {
    pub(crate) slope: Option<f64>,
    pub(crate) intercept: Option<f64>,
    pub(crate) lut: Option<DataSet<'a>>,
}

/// Values of interest as written; of several alternatives the first (PS3.3 C.11.2).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VoiAttributes<'a> {
    pub(crate) center: Option<f64>,
    pub(crate) width: Option<f64>,
    pub(crate) function: Option<&'a str>,
    pub(crate) lut: Option<DataSet<'a>>,
}

/// The top-level elements of one image object that rendering needs, unconverted.
#[derive(Default)]
pub(crate) struct ImageModule<'a> {
    rows: Option<Element<'a>>,
    columns: Option<Element<'a>>,
    samples_per_pixel: Option<Element<'a>>,
    photometric: Option<Element<'a>>,
    planar: Option<Element<'a>>,
    bits_allocated: Option<Element<'a>>,
    bits_stored: Option<Element<'a>>,
    high_bit: Option<Element<'a>>,
    pixel_representation: Option<Element<'a>>,
    number_of_frames: Option<Element<'a>>,
    pixel_presentation: Option<Element<'a>>,
    padding: Option<Element<'a>>,
    padding_limit: Option<Element<'a>>,
    shared_groups: Option<Element<'a>>,
    per_frame_groups: Option<Element<'a>>,
    transform: TransformElements<'a>,
    pub(crate) palette_descriptors: [Option<Element<'a>>; 3],
    pub(crate) palette_data: [Option<Element<'a>>; 3],
    pub(crate) palette_segmented: [Option<Element<'a>>; 3],
    pub(crate) extended_offsets: Option<Element<'a>>,
    pub(crate) extended_lengths: Option<Element<'a>>,
    float_pixels: Option<Element<'a>>,
    pub(crate) pixel_data: Option<Element<'a>>,
}

/// The same seven elements stand at the top level of classic objects and inside functional groups of enhanced ones.
#[derive(Default, Clone, Copy)]
struct TransformElements<'a> {
    slope: Option<Element<'a>>,
    intercept: Option<Element<'a>>,
    modality_lut: Option<Element<'a>>,
    center: Option<Element<'a>>,
    width: Option<Element<'a>>,
    function: Option<Element<'a>>,
    voi_lut: Option<Element<'a>>,
}

impl<'a> TransformElements<'a> {
    fn take(&mut self, element: Element<'a>) -> Result<bool> {
        let slot = match element.tag {
            (0x0028, 0x1050) => &mut self.center,
            (0x0028, 0x1051) => &mut self.width,
            (0x0028, 0x1052) => &mut self.intercept,
            (0x0028, 0x1053) => &mut self.slope,
            (0x0028, 0x1056) => &mut self.function,
            (0x0028, 0x3000) => &mut self.modality_lut,
            (0x0028, 0x3010) => &mut self.voi_lut,
            _ => return Ok(false),
        };
        put(slot, element)?;
        Ok(true)
    }
}

fn put<'a>(slot: &mut Option<Element<'a>>, element: Element<'a>) -> Result<()> {
    if slot.replace(element).is_some() {
        // Readers differ in which of two values they take; a picture must not depend on that.
        return Err(malformed(format!("({:04X},{:04X}) occurs twice", element.tag.0, element.tag.1)));
    }
    Ok(())
}

impl<'a> ImageModule<'a> {
    /// Collects the elements up to and including Pixel Data; what follows it decides nothing.
    pub(crate) fn collect(data_set: DataSet<'a>) -> Result<Self> {
        let mut module = Self::default();
        for element in data_set.elements() {
            let element = element?;
            if module.transform.take(element)? {
                continue;
            }
            let slot = match element.tag {
                (0x0008, 0x9205) => &mut module.pixel_presentation,
                (0x0028, 0x0002) => &mut module.samples_per_pixel,
                (0x0028, 0x0004) => &mut module.photometric,
                (0x0028, 0x0006) => &mut module.planar,
                (0x0028, 0x0008) => &mut module.number_of_frames,
                (0x0028, 0x0010) => &mut module.rows,
                (0x0028, 0x0011) => &mut module.columns,
                (0x0028, 0x0100) => &mut module.bits_allocated,
                (0x0028, 0x0101) => &mut module.bits_stored,
                (0x0028, 0x0102) => &mut module.high_bit,
                (0x0028, 0x0103) => &mut module.pixel_representation,
                (0x0028, 0x0120) => &mut module.padding,
                (0x0028, 0x0121) => &mut module.padding_limit,
                (0x0028, 0x1101) => &mut module.palette_descriptors[0],
                (0x0028, 0x1102) => &mut module.palette_descriptors[1],
                (0x0028, 0x1103) => &mut module.palette_descriptors[2],
                (0x0028, 0x1201) => &mut module.palette_data[0],
                (0x0028, 0x1202) => &mut module.palette_data[1],
                (0x0028, 0x1203) => &mut module.palette_data[2],
                (0x0028, 0x1221) => &mut module.palette_segmented[0],
                (0x0028, 0x1222) => &mut module.palette_segmented[1],
                (0x0028, 0x1223) => &mut module.palette_segmented[2],
                (0x5200, 0x9229) => &mut module.shared_groups,
                (0x5200, 0x9230) => &mut module.per_frame_groups,
                (0x7FE0, 0x0001) => &mut module.extended_offsets,
                (0x7FE0, 0x0002) => &mut module.extended_lengths,
                (0x7FE0, 0x0008 | 0x0009) => &mut module.float_pixels,
                (0x7FE0, 0x0010) => &mut module.pixel_data,
                _ => continue,
            };
            put(slot, element)?;
            if module.pixel_data.is_some() {
                break;
            }
        }
        Ok(module)
    }

    pub(crate) fn has_pixels(&self) -> bool {
        self.pixel_data.is_some() || self.float_pixels.is_some()
    }

    /// Number of Frames, 1 when absent (PS3.3 C.7.6.6).
    pub(crate) fn frames(&self) -> Result<u32> {
        let Some(element) = self.number_of_frames else { return Ok(1) };
        let text = element.text()?;
        if text.is_empty() {
            return Ok(1);
        }
        text.parse::<u32>().ok().filter(|&frames| frames > 0).ok_or_else(|| element.bad("number of frames"))
    }

    pub(crate) fn photometric_text(&self) -> Result<&'a str> {
        required(self.photometric, "photometric interpretation")?.text()
    }

    pub(crate) fn dimension(&self) -> Result<(u32, u32)> {
        let rows = required(self.rows, "rows")?.unsigned_short()?;
        let columns = required(self.columns, "columns")?.unsigned_short()?;
        if rows == 0 || columns == 0 {
            return Err(malformed("the image has no rows or no columns"));
        }
        Ok((rows.into(), columns.into()))
    }

    /// Bits Allocated and Bits Stored; zeros for floating point pixels, which have neither.
    pub(crate) fn bits(&self) -> Result<(u16, u16)> {
        if self.pixel_data.is_none() {
            return Ok((0, 0));
        }
        let allocated = required(self.bits_allocated, "bits allocated")?.unsigned_short()?;
        let stored = required(self.bits_stored, "bits stored")?.unsigned_short()?;
        Ok((allocated, stored))
    }

    /// Checks that the image can be shown at all and fits the limits. PS3.5 8.1.1 for the bits.
    pub(crate) fn geometry(&self, transfer_syntax: &TransferSyntax) -> Result<Geometry> {
        if self.pixel_data.is_none() && self.float_pixels.is_some() {
            return Err(RenderError::UnsupportedLayout("floating point pixels".into()));
        }
        if transfer_syntax.codec == Codec::None {
            return Err(RenderError::UnsupportedTransferSyntax(transfer_syntax.uid.clone()));
        }
        let photometric = Photometric::from_text(self.photometric_text()?)?;
        let (rows, columns) = self.dimension()?;
        let (bits_allocated, bits_stored) = self.bits()?;
        let high_bit = required(self.high_bit, "high bit")?.unsigned_short()?;
        let samples = required(self.samples_per_pixel, "samples per pixel")?.unsigned_short()?;
        let signed = match required(self.pixel_representation, "pixel representation")?.unsigned_short()? {
            0 => false,
            1 => true,
            _ => return Err(malformed("the pixel representation is neither 0 nor 1")),
        };
        let planar = match self.planar.map(Element::unsigned_short).transpose()? {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(malformed("the planar configuration is neither 0 nor 1")),
        };
        if samples != photometric.samples() {
            return Err(malformed("samples per pixel and photometric interpretation contradict each other"));
        }
        if !matches!(bits_allocated, 1 | 8 | 16 | 32) {
            return Err(RenderError::UnsupportedLayout(format!("{bits_allocated} bits allocated")));
        }
        if bits_stored == 0 || bits_stored > bits_allocated || high_bit >= bits_allocated || high_bit + 1 < bits_stored
        {
            return Err(malformed("bits allocated, bits stored and high bit contradict each other"));
        }
        if samples == 3 && (signed || !matches!(bits_allocated, 8 | 16)) {
            return Err(RenderError::UnsupportedLayout("signed, one-bit or 32-bit colour".into()));
        }
        let presentation = self.pixel_presentation.map(Element::text).transpose()?;
        let has_palette = self.palette_descriptors[0].is_some();
        if photometric == Photometric::Monochrome2 && has_palette && matches!(presentation, Some("COLOR" | "MIXED")) {
            // PS3.3 C.8.16.1.2: some grey values stand for colours of a supplemental palette.
            return Err(RenderError::UnsupportedPhotometric("supplemental palette colour".into()));
        }
        let geometry = Geometry { rows, columns, photometric, bits_allocated, bits_stored, high_bit, signed, planar };
        let bytes = geometry.samples().saturating_mul(usize::from(bits_allocated).div_ceil(8));
        if geometry.pixels() > MAX_PIXELS || bytes > MAX_FRAME_BYTES {
            return Err(RenderError::TooLarge(format!("{rows} rows of {columns} pixels")));
        }
        Ok(geometry)
    }

    /// Stored values that stand for "no data" and must not widen an automatic window (PS3.3 C.7.5.1.1.2).
    pub(crate) fn padding_range(&self, signed: bool) -> Result<Option<(i64, i64)>> {
        let value = |element: Element<'a>| -> Result<i64> {
            let raw = element.unsigned_short()?;
            Ok(if signed { i64::from(raw.cast_signed()) } else { i64::from(raw) })
        };
        let Some(first) = self.padding.filter(|element| !element.bytes.is_empty()) else { return Ok(None) };
        let first = value(first)?;
        let second = self.padding_limit.map(value).transpose()?.unwrap_or(first);
        Ok(Some((first.min(second), first.max(second))))
    }

    /// The transforms of one frame: its own functional group, else the shared one, else the top level.
    pub(crate) fn transforms(&self, frame: u32) -> Result<(ModalityAttributes<'a>, VoiAttributes<'a>)> {
        let mut own = None;
        for (index, item) in (0..=frame).zip(self.per_frame_groups.into_iter().flat_map(Element::items)) {
            // An error before the wanted item must not pass for "no own group".
            let item = item?;
            own = (index == frame).then_some(item);
        }
        let shared = match self.shared_groups {
            Some(groups) => groups.items().next().transpose()?,
            None => None,
        };
        let own = own.map(group_transforms).transpose()?.unwrap_or_default();
        let shared = shared.map(group_transforms).transpose()?.unwrap_or_default();
        let top = self.transform;
        let levels = [own, shared, top];
        let modality = levels
            .into_iter()
            .find(|level| level.slope.is_some() || level.intercept.is_some() || level.modality_lut.is_some());
        let voi = levels.into_iter().find(|level| level.center.is_some() || level.voi_lut.is_some());
        Ok((modality_attributes(modality.unwrap_or_default())?, voi_attributes(voi.unwrap_or_default())?))
    }
}

/// PS3.3 C.7.6.16.2.9 (Pixel Value Transformation) and C.7.6.16.2.10 (Frame VOI LUT).
fn group_transforms(groups: DataSet<'_>) -> Result<TransformElements<'_>> {
    let mut transform = TransformElements::default();
    for element in groups.elements() {
        let element = element?;
        if !matches!(element.tag, (0x0028, 0x9145) | (0x0028, 0x9132)) {
            continue;
        }
        let Some(item) = element.items().next() else { continue };
        for inner in item?.elements() {
            transform.take(inner?)?;
        }
    }
    Ok(transform)
}

fn modality_attributes(elements: TransformElements<'_>) -> Result<ModalityAttributes<'_>> {
    let slope = first_decimal(elements.slope)?;
    if slope == Some(0.0) {
        return Err(malformed("the rescale slope is zero"));
    }
    let lut = elements.modality_lut.and_then(|element| element.items().next()).transpose()?;
    Ok(ModalityAttributes { slope, intercept: first_decimal(elements.intercept)?, lut })
}

fn voi_attributes(elements: TransformElements<'_>) -> Result<VoiAttributes<'_>> {
    Ok(VoiAttributes {
        center: first_decimal(elements.center)?,
        width: first_decimal(elements.width)?,
        function: elements.function.map(Element::text).transpose()?.filter(|text| !text.is_empty()),
        lut: elements.voi_lut.and_then(|element| element.items().next()).transpose()?,
    })
}

fn first_decimal(element: Option<Element<'_>>) -> Result<Option<f64>> {
    Ok(element.map(Element::decimals).transpose()?.and_then(|values| values.first().copied()))
}

fn required<'a>(element: Option<Element<'a>>, name: &str) -> Result<Element<'a>> {
    element.ok_or_else(|| malformed(format!("{name} is missing")))
}

/// Opens the object: its header, then the elements that decide about pixels.
pub(crate) fn open(file: &[u8]) -> Result<(TransferSyntax, ImageModule<'_>)> {
    if file.len() > crate::MAX_FILE_BYTES {
        return Err(RenderError::TooLarge(format!("file of {} bytes", file.len())));
    }
    let object = Part10::parse(file)?;
    let module = ImageModule::collect(object.data_set)?;
    Ok((object.transfer_syntax, module))
}

fn printable(text: &str) -> String {
    text.chars().take(16).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
