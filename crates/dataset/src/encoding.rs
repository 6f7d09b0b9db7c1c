//! How a transfer syntax encodes a data set (PS3.5 chapter 10 and annex A). What it does to pixels is not our concern here.

use dokuei_domain::TransferSyntaxUid;

pub const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1.99";

/// The encoding of elements, before any compression of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    pub(crate) fn is_explicit(self) -> bool {
        self != Self::ImplicitLittle
    }

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::ExplicitBig => u16::from_be_bytes(bytes),
            _ => u16::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::ExplicitBig => u32::from_be_bytes(bytes),
            _ => u32::from_le_bytes(bytes),
        }
    }
}

/// The encoding of a whole data set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataSetEncoding {
    pub elements: Encoding,
    /// The data set is one raw deflate stream (RFC 1951).
    pub deflated: bool,
}

impl DataSetEncoding {
    /// Every transfer syntax that is not named here is explicit little endian: PS3.5 A.4 says so of all that encapsulate pixel data, and
    /// private ones follow it, with the one exception below.
    pub fn of(transfer_syntax: &TransferSyntaxUid) -> Self {
        let plain = |elements| Self { elements, deflated: false };
        match transfer_syntax.as_str() {
            IMPLICIT_VR_LITTLE_ENDIAN => plain(Encoding::ImplicitLittle),
            // GE's private syntax: implicit little endian with big endian pixels.
            "1.2.840.113619.5.2" => plain(Encoding::ImplicitLittle),
            EXPLICIT_VR_BIG_ENDIAN => plain(Encoding::ExplicitBig),
            // Deflated, and the two JPIP syntaxes that deflate their data set (PS3.5 A.7, A.9).
            DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => {
                Self { elements: Encoding::ExplicitLittle, deflated: true }
            }
            _ => plain(Encoding::ExplicitLittle),
        }
    }
}
