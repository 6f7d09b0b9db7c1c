//! Text of DICOM elements, from bytes to strings and back.

use dokuei_charset::SpecificCharacterSet;

mod destination;
mod encoding;
mod misdeclared;
mod properties;
mod recovery;
mod samples;
mod standard;
mod terms;
mod whole_sets;

/// A declaration that is correct as it stands.
pub(crate) fn declared(raw: &str) -> SpecificCharacterSet {
    let set = SpecificCharacterSet::parse(raw.as_bytes()).expect("a declaration of defined terms");
    assert!(!set.is_repaired(), "{raw} is not spelled as the standard has it");
    set
}

/// Bytes from hexadecimal digits; white space is ignored.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}

/// The bytes decode to the one name, fit their declaration, and are what the encoder writes.
#[track_caller]
pub(crate) fn check_name(terms: &str, name: &str, bytes: &[u8]) {
    let set = declared(terms);
    let decoded = set.decode_person_names(bytes);
    assert_eq!(decoded.value, [name], "decoded under {terms}");
    assert!(!decoded.repaired, "{name} was taken for damaged");
    let encoded = set.encode_person_name(name).expect("a name of the declared sets");
    assert_eq!(encoded, bytes, "{name} encoded under {terms}");
}
