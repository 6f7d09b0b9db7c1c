//! Numbers of a header, read leniently: what cannot be understood is absent, because no header number decides whose object it is.

use super::Collected;
use crate::encoding::Encoding;
use crate::vr::Vr;

/// Texts are ASCII in these VRs; padding is spaces, sometimes NUL.
fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(|text| text.trim_matches([' ', '\0']))
}

/// IS. Some senders write `1.0`.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let first = ascii(bytes)?.split('\\').next()?.trim();
    if let Ok(number) = first.parse::<i64>() {
        return Some(number);
    }
    let number = first.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    Some(number as i64)
}

/// DS, all values; absent when one of them is no finite number.
pub(super) fn decimals(bytes: &[u8]) -> Option<Vec<f64>> {
    let text = ascii(bytes)?;
    text.split('\\').map(|part| part.trim().parse::<f64>().ok().filter(|number| number.is_finite())).collect()
}

/// DS, the first value.
pub(super) fn first_decimal(bytes: &[u8]) -> Option<f64> {
    let first = ascii(bytes)?.split('\\').next()?.trim();
    first.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// US, or the UL that some write instead.
pub(super) fn unsigned(collected: &Collected) -> Option<u32> {
    // Whatever was relabelled UN is little endian (PS3.5 6.2.2).
    let encoding = if collected.vr == Some(Vr::UN) { Encoding::ExplicitLittle } else { collected.encoding };
    match *collected.value.as_slice() {
        [a, b] => Some(u32::from(encoding.u16([a, b]))),
        [a, b, c, d] => Some(encoding.u32([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_leniently() {
        assert_eq!(integer(b" 42 "), Some(42));
        assert_eq!(integer(b"-7\0"), Some(-7));
        assert_eq!(integer(b"3.0 "), Some(3));
        assert_eq!(integer(b"3.5 "), None);
        assert_eq!(integer(b"1\\2"), Some(1));
        assert_eq!(integer(b"1e400"), None);
        assert_eq!(integer(b""), None);
        assert_eq!(integer(b"\xff\xfe"), None);
    }

    #[test]
    fn a_list_of_decimals_is_sound_or_absent() {
        assert_eq!(decimals(b"1.5\\-2\\ 3e2 "), Some(vec![1.5, -2.0, 300.0]));
        assert_eq!(decimals(b"1.5\\x"), None);
        assert_eq!(decimals(b"nan"), None);
        assert_eq!(first_decimal(b"40\\x"), Some(40.0));
    }
}
