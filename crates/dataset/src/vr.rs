//! Value representations (PS3.5 6.2) as they stand on the wire.

use std::fmt;

/// Two characters of a value representation. May be one that no edition of the standard knows: equipment writes such, and they are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vr(pub [u8; 2]);

macro_rules! vrs {
    ($($name:ident)*) => {
        impl Vr {
            $(pub const $name: Vr = {
                let text = stringify!($name).as_bytes();
                Vr([text[0], text[1]])
            };)*

            const KNOWN: &[Vr] = &[$(Vr::$name),*];
        }
    };
}

vrs! { AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV }

/// How long the length field of an explicit element is (PS3.5 7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LengthForm {
    /// 16 bits, directly after the VR.
    Short,
    /// 32 bits after two reserved bytes.
    Long,
    /// A VR that we do not know: PS3.5 6.2 gives every later VR the long form, but some old equipment writes its own with the short one.
    /// The reserved bytes, zero in the long form, tell which.
    ByReservedBytes,
}

impl Vr {
    pub fn is_known(self) -> bool {
        Self::KNOWN.contains(&self)
    }

    /// `None`: these two bytes cannot be a VR.
    pub(crate) fn length_form(self) -> Option<LengthForm> {
        match self {
            Self::OB | Self::OD | Self::OF | Self::OL | Self::OV | Self::OW => Some(LengthForm::Long),
            Self::SQ | Self::SV | Self::UC | Self::UN | Self::UR | Self::UT | Self::UV => Some(LengthForm::Long),
            known if known.is_known() => Some(LengthForm::Short),
            Self([a, b]) if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(LengthForm::ByReservedBytes),
            // What conversion programs of the ACR-NEMA age wrote for elements they did not know.
            Self([b'?', b'?']) => Some(LengthForm::ByReservedBytes),
            Self(_) => None,
        }
    }

    /// The byte that makes a value's length even (PS3.5 6.2).
    pub const fn padding(self) -> u8 {
        match &self.0 {
            b"UI" | b"OB" | b"UN" => 0,
            _ => b' ',
        }
    }

    /// Several values in one element are separated by a backslash, so one value must not contain it.
    pub(crate) const fn is_backslash_delimited(self) -> bool {
        matches!(
            &self.0,
            b"AE" | b"AS" | b"CS" | b"DA" | b"DS" | b"DT" | b"IS" | b"LO" | b"PN" | b"SH" | b"TM" | b"UC" | b"UI"
        )
    }
}

impl fmt::Display for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_elements_have_the_long_length() {
        let long: Vec<String> =
            Vr::KNOWN.iter().filter(|vr| vr.length_form() == Some(LengthForm::Long)).map(|vr| vr.to_string()).collect();
        assert_eq!(long.join(" "), "OB OD OF OL OV OW SQ SV UC UN UR UT UV");
        assert_eq!(Vr(*b"ZZ").length_form(), Some(LengthForm::ByReservedBytes));
        assert_eq!(Vr(*b"\x04\0").length_form(), None);
    }
}
