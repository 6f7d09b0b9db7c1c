//! Why a frame cannot be shown.

/// Reasons for not rendering. Each is a *kind* a caller may branch on; texts carry no patient data.
///
/// Refusal is the rule whenever the picture could be wrong: a radiologist is better served by "cannot be shown
/// here" than by plausible grey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The object has no pixel data at all (a report, a plan, a waveform).
    #[error("object holds no image")]
    NotAnImage,
    /// The requested frame index (from zero) is not below the number of frames.
    #[error("frame index {frame} does not exist, the object has {frames}")]
    NoSuchFrame { frame: u32, frames: u32 },
    /// The transfer syntax (its UID) has no decoder here; the stored object is unharmed and can still be sent on.
    #[error("transfer syntax {0} cannot be rendered here, send the object to a workstation instead")]
    UnsupportedTransferSyntax(String),
    /// The photometric interpretation, or what the codestream says about colour, is not one we show faithfully.
    #[error("photometric interpretation {0} cannot be rendered here, send the object to a workstation instead")]
    UnsupportedPhotometric(String),
    /// Sample layout (bits, planes, floating point) that is valid DICOM but not shown here.
    #[error("pixel layout is not supported: {0}")]
    UnsupportedLayout(String),
    /// The object contradicts itself or the standard; showing it would be guessing.
    #[error("object is malformed: {0}")]
    Malformed(String),
    /// File, frame or table beyond the limits stated in the crate's documentation.
    #[error("image is too large: {0}")]
    TooLarge(String),
    /// The request itself makes no sense (a window of width zero, an edge of zero pixels).
    #[error("request is invalid: {0}")]
    InvalidRequest(&'static str),
}

pub(crate) type Result<T> = std::result::Result<T, RenderError>;

pub(crate) fn malformed(what: impl Into<String>) -> RenderError {
    RenderError::Malformed(what.into())
}
