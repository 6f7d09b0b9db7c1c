//! Stored values to grey levels: modality transform, then values of interest, then inversion
//! (PS3.3 C.11.1, C.11.2; the order is that of PS3.4 N.2).

use crate::error::Result;
use crate::image_module::{ModalityAttributes, VoiAttributes};
use crate::lut::Lut;
use crate::samples::Samples;
use crate::{RenderError, Window};

/// What a caller asked for and the object says about its grey values.
pub(crate) struct GrayRequest<'a> {
    pub(crate) window: Window,
    pub(crate) modality: ModalityAttributes<'a>,
    pub(crate) voi: VoiAttributes<'a>,
    pub(crate) padding: Option<(i64, i64)>,
    /// MONOCHROME1: the lowest value is white.
    pub(crate) invert: bool,
}

/// Grey bytes, and centre and width of the window that made them; `None` when a VOI LUT did.
pub(crate) struct Gray {
    pub(crate) bytes: Vec<u8>,
    pub(crate) window: Option<(f64, f64)>,
}

pub(crate) fn render(samples: &Samples, request: &GrayRequest<'_>) -> Result<Gray> {
    let modality = Modality::new(&request.modality, samples.signed)?;
    let voi = choose(samples, &modality, request)?;
    let gray = |code: u32| {
        let level = voi.apply(modality.apply(samples.value(code)));
        if request.invert { 255 - level } else { level }
    };
    let bytes = if samples.bits <= 16 {
        let table: Vec<u8> = (0..1u32 << samples.bits).map(gray).collect();
        samples.codes().map(|code| table.get(code as usize).copied().unwrap_or(0)).collect()
    } else {
        samples.codes().map(gray).collect()
    };
    Ok(Gray { bytes, window: voi.window() })
}

enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

impl Modality {
    fn new(attributes: &ModalityAttributes<'_>, signed: bool) -> Result<Self> {
        Ok(match attributes.lut {
            Some(item) => Self::Table(Lut::from_item(item, signed)?),
            None => {
                Self::Linear { slope: attributes.slope.unwrap_or(1.0), intercept: attributes.intercept.unwrap_or(0.0) }
            }
        })
    }

    fn apply(&self, stored: i64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => stored as f64 * slope + intercept,
            Self::Table(lut) => f64::from(lut.at(stored)),
        }
    }
}

/// PS3.3 C.11.2.1.2 and C.11.2.1.3.
enum Voi {
    Linear { center: f64, width: f64 },
    LinearExact { center: f64, width: f64 },
    Sigmoid { center: f64, width: f64 },
    Table(Lut),
}

impl Voi {
    fn apply(&self, value: f64) -> u8 {
        let level = match self {
            Self::Linear { center, width } => {
                let (middle, half) = (center - 0.5, (width - 1.0) / 2.0);
                if value <= middle - half {
                    0.0
                } else if value > middle + half {
                    1.0
                } else {
                    (value - middle) / (width - 1.0) + 0.5
                }
            }
            Self::LinearExact { center, width } => ((value - center) / width + 0.5).clamp(0.0, 1.0),
            Self::Sigmoid { center, width } => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
            Self::Table(lut) => f64::from(lut.at(value.round() as i64)) / f64::from((1u32 << lut.bits) - 1),
        };
        // Saturating, and 0 for a NaN that finite attributes cannot produce.
        (level * 255.0).round() as u8
    }

    fn window(&self) -> Option<(f64, f64)> {
        match self {
            Self::Linear { center, width } | Self::LinearExact { center, width } | Self::Sigmoid { center, width } => {
                Some((*center, *width))
            }
            Self::Table(_) => None,
        }
    }
}

/// Whether a window can be used under its function: LINEAR needs a width of at least one.
pub(crate) fn window_of_object(voi: &VoiAttributes<'_>) -> Option<(f64, f64)> {
    let (center, width) = (voi.center?, voi.width?);
    let smallest = if matches!(voi.function, None | Some("LINEAR")) { 1.0 } else { f64::MIN_POSITIVE };
    (width >= smallest).then_some((center, width))
}

fn choose(samples: &Samples, modality: &Modality, request: &GrayRequest<'_>) -> Result<Voi> {
    if let Window::Linear { center, width } = request.window {
        if !center.is_finite() || !width.is_finite() || width < 1.0 {
            return Err(RenderError::InvalidRequest("a window needs a finite centre and a width of at least 1"));
        }
        return Ok(Voi::Linear { center, width });
    }
    if let Some((center, width)) = window_of_object(&request.voi) {
        return match request.voi.function {
            None | Some("LINEAR") => Ok(Voi::Linear { center, width }),
            Some("LINEAR_EXACT") => Ok(Voi::LinearExact { center, width }),
            Some("SIGMOID") => Ok(Voi::Sigmoid { center, width }),
            Some(_) => Err(RenderError::UnsupportedLayout("VOI LUT function that is not defined".into())),
        };
    }
    if let Some(item) = request.voi.lut {
        return Ok(Voi::Table(Lut::from_item(item, samples.signed)?));
    }
    Ok(whole_range(samples, modality, request.padding))
}

/// A linear window from the smallest value of the frame (black) to the largest (white), padding left out.
fn whole_range(samples: &Samples, modality: &Modality, padding: Option<(i64, i64)>) -> Voi {
    if samples.bits == 1 {
        // A segment that fills the frame, or none of it, must not look the same.
        return Voi::Linear { center: 1.0, width: 2.0 };
    }
    let is_padding = |value: i64| padding.is_some_and(|(first, last)| (first..=last).contains(&value));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut take = |code: u32| {
        let stored = samples.value(code);
        if !is_padding(stored) {
            let value = modality.apply(stored);
            low = low.min(value);
            high = high.max(value);
        }
    };
    if samples.bits <= 16 {
        // Each value is looked at once, however many pixels have it.
        let mut seen = vec![false; 1 << samples.bits];
        for code in samples.codes() {
            if let Some(place) = seen.get_mut(code as usize) {
                *place = true;
            }
        }
        (0..).zip(&seen).filter(|(_, seen)| **seen).for_each(|(code, _)| take(code));
    } else {
        samples.codes().for_each(take);
    }
    if low > high {
        (low, high) = (0.0, 0.0); // nothing but padding
    }
    Voi::Linear { center: low + (high - low) / 2.0 + 0.5, width: high - low + 1.0 }
}
