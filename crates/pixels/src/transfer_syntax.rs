//! Which transfer syntaxes are read, and which are also decoded.

use crate::error::{RenderError, Result, malformed};
use crate::part10::Encoding;

/// How the pixel data of one frame become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Native,
    /// Encapsulated Uncompressed Explicit VR Little Endian: native frames in fragments (PS3.5 A.4.11).
    EncapsulatedNative,
    RunLength,
    Jpeg,
    Jpeg2000,
    /// The object can be described; no decoder is trusted or present.
    None,
}

#[derive(Debug, Clone)]
pub(crate) struct TransferSyntax {
    pub(crate) uid: String,
    pub(crate) encoding: Encoding,
    pub(crate) codec: Codec,
}

impl TransferSyntax {
    /// To render one more, add it here, add its decoder to `codec`, and a file with known samples to the tests.
    ///
    /// Deflated data sets are refused: their inflated size has no bound that the file states.
    pub(crate) fn from_uid(uid: String) -> Result<Self> {
        if uid.len() > 64 || uid.is_empty() || !uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(malformed("the transfer syntax is not a UID"));
        }
        let (encoding, codec) = match uid.as_str() {
            "1.2.840.10008.1.2" => (Encoding::IMPLICIT_LITTLE, Codec::Native),
            "1.2.840.10008.1.2.1" => (Encoding::EXPLICIT_LITTLE, Codec::Native),
            "1.2.840.10008.1.2.2" => (Encoding::EXPLICIT_BIG, Codec::Native),
            "1.2.840.10008.1.2.1.98" => (Encoding::EXPLICIT_LITTLE, Codec::EncapsulatedNative),
            "1.2.840.10008.1.2.5" => (Encoding::EXPLICIT_LITTLE, Codec::RunLength),
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => (Encoding::EXPLICIT_LITTLE, Codec::Jpeg),
            "1.2.840.10008.1.2.4.90"
            | "1.2.840.10008.1.2.4.91"
            | "1.2.840.10008.1.2.4.201"
            | "1.2.840.10008.1.2.4.202"
            | "1.2.840.10008.1.2.4.203" => (Encoding::EXPLICIT_LITTLE, Codec::Jpeg2000),
            // JPIP Referenced Deflate, twice.
            "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => {
                return Err(RenderError::UnsupportedTransferSyntax(uid));
            }
            other if other.starts_with("1.2.840.10008.1.2.4.") => (Encoding::EXPLICIT_LITTLE, Codec::None),
            // Deflated Image Frame Compression, JPEG XL.
            other if other.starts_with("1.2.840.10008.1.2.8.") => (Encoding::EXPLICIT_LITTLE, Codec::None),
            _ => return Err(RenderError::UnsupportedTransferSyntax(uid)),
        };
        Ok(Self { uid, encoding, codec })
    }
}
