//! Identifiers of queries: written from keys, read into texts.

use std::collections::BTreeMap;

use anyhow::Context as _;
use dokuei_charset::{Decoded, SpecificCharacterSet};
use dokuei_dataset::{
    Tag, Vr,
    encoding::{DataSetEncoding, Encoding},
    tokenizer::{Element, Sink, Tokenizer, TokenizerLimits, Want},
};
use dokuei_domain::TransferSyntaxUid;

use super::keys::Key;

const SPECIFIC_CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
const QUERY_RETRIEVE_LEVEL: Tag = Tag(0x0008, 0x0052);

/// The identifier of a query, in little endian. Specific Character Set is there only when a value needs it.
pub(super) fn encode(
    level: &str,
    keys: &[(&'static Key, String)],
    charset: &str,
    transfer_syntax: &TransferSyntaxUid,
) -> anyhow::Result<Vec<u8>> {
    let charset = SpecificCharacterSet::parse(charset.as_bytes()).context("--charset is not a defined term")?;
    let explicit = DataSetEncoding::of(transfer_syntax).elements == Encoding::ExplicitLittle;
    let mut elements = BTreeMap::from([(QUERY_RETRIEVE_LEVEL, (Vr::CS, level.as_bytes().to_vec()))]);
    if keys.iter().any(|(_, value)| !value.is_ascii()) {
        elements.insert(SPECIFIC_CHARACTER_SET, (Vr::CS, charset.defined_terms().into_bytes()));
    }
    for (key, value) in keys {
        let encoded = match key.vr {
            Vr::PN => charset.encode_person_name(value),
            Vr::LT | Vr::ST | Vr::UT => charset.encode_text(value),
            Vr::LO | Vr::SH | Vr::UC => charset.encode_values(&value.split('\\').collect::<Vec<_>>()),
            _ if value.is_ascii() => Ok(value.clone().into_bytes()),
            _ => anyhow::bail!("{} takes ASCII only", key.keyword),
        };
        let encoded = encoded.with_context(|| format!("the value for {} has no place in --charset", key.keyword))?;
        elements.insert(key.tag, (key.vr, encoded));
    }
    let mut out = Vec::new();
    for (Tag(group, element), (vr, mut value)) in elements {
        if value.len() % 2 == 1 {
            value.push(vr.padding());
        }
        let length = u16::try_from(value.len()).context("a key is longer than 65,535 bytes")?;
        out.extend_from_slice(&group.to_le_bytes());
        out.extend_from_slice(&element.to_le_bytes());
        // UR and UT are the only keys whose header is longer, as that of all is in implicit VR.
        match (explicit, vr) {
            (true, Vr::UR | Vr::UT | Vr::UC) => {
                out.extend_from_slice(&vr.0);
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(&u32::from(length).to_le_bytes());
            }
            (true, _) => {
                out.extend_from_slice(&vr.0);
                out.extend_from_slice(&length.to_le_bytes());
            }
            (false, _) => out.extend_from_slice(&u32::from(length).to_le_bytes()),
        }
        out.extend_from_slice(&value);
    }
    Ok(out)
}

/// One match, as texts. Sequences and numbers in binary are left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    values: BTreeMap<Tag, String>,
    /// Some text did not fit the declared character set.
    pub(super) repaired: bool,
}

impl Match {
    pub(super) fn decode(identifier: &[u8], transfer_syntax: &TransferSyntaxUid) -> anyhow::Result<Self> {
        let mut raw = RawValues::default();
        let mut tokenizer = Tokenizer::new(DataSetEncoding::of(transfer_syntax).elements, TokenizerLimits::default());
        tokenizer.push(identifier, &mut raw)?;
        tokenizer.finish()?;
        let declared = raw.0.get(&SPECIFIC_CHARACTER_SET).map_or(&[][..], |(_, value)| value);
        let (charset, mut repaired) = SpecificCharacterSet::parse_lossy(declared);
        let mut values = BTreeMap::new();
        for (tag, (vr, value)) in &raw.0 {
            let vr = vr.or_else(|| Key::of(*tag).map(|key| key.vr)).unwrap_or(Vr::LO);
            let Decoded { value, repaired: here } = match vr {
                Vr::PN => joined(charset.decode_person_names(value)),
                Vr::LT | Vr::ST | Vr::UT => charset.decode_text(value),
                Vr::LO | Vr::SH | Vr::UC => joined(charset.decode_values(value)),
                Vr([b'O', _]) | Vr::UN | Vr::US | Vr::SS | Vr::UL | Vr::SL | Vr::FL | Vr::FD | Vr::AT => continue,
                _ => joined(SpecificCharacterSet::parse_lossy(b"").0.decode_values(value)),
            };
            repaired |= here;
            values.insert(*tag, value);
        }
        values.remove(&SPECIFIC_CHARACTER_SET);
        values.remove(&QUERY_RETRIEVE_LEVEL);
        Ok(Self { values, repaired })
    }

    pub(super) fn value(&self, tag: Tag) -> Option<&str> {
        self.values.get(&tag).map(String::as_str)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (Tag, &str)> {
        self.values.iter().map(|(tag, text)| (*tag, text.as_str()))
    }
}

fn joined(decoded: Decoded<Vec<String>>) -> Decoded<String> {
    Decoded { value: decoded.value.join("\\"), repaired: decoded.repaired }
}

/// The values at the top.
#[derive(Default)]
struct RawValues(BTreeMap<Tag, (Option<Vr>, Vec<u8>)>);

impl Sink for RawValues {
    fn element(&mut self, element: &Element) -> Want {
        if element.depth == 0 && element.vr != Some(Vr::SQ) { Want::Value } else { Want::Nothing }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        self.0.insert(element.tag, (element.vr, value.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn key(keyword: &str, value: &str) -> (&'static Key, String) {
        (Key::named(keyword).unwrap(), value.to_owned())
    }

    #[test]
    fn what_is_written_is_read_again_in_both_encodings_and_every_character_set() {
        let keys = [
            key("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
            key("PatientID", "A-1"),
            key("StudyDate", "20260101-20261231"),
            key("RetrieveURL", "https://example.org"),
            key("StudyInstanceUID", ""),
        ];
        for transfer_syntax in [EXPLICIT, IMPLICIT] {
            for charset in ["ISO_IR 192", "\\ISO 2022 IR 87"] {
                let transfer_syntax = TransferSyntaxUid::parse(transfer_syntax).unwrap();
                let identifier = encode("STUDY", &keys, charset, &transfer_syntax).unwrap();
                let read = Match::decode(&identifier, &transfer_syntax).unwrap();
                let values: Vec<_> = read.values().map(|(tag, text)| (Key::name_of(tag), text)).collect();
                let expected = [
                    ("StudyDate".to_owned(), "20260101-20261231"),
                    ("RetrieveURL".to_owned(), "https://example.org"),
                    ("PatientName".to_owned(), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
                    ("PatientID".to_owned(), "A-1"),
                    ("StudyInstanceUID".to_owned(), ""),
                ];
                assert_eq!((values, read.repaired), (expected.to_vec(), false), "{transfer_syntax} {charset}");
            }
        }
    }

    #[test]
    fn an_ascii_query_declares_no_character_set() {
        let explicit = TransferSyntaxUid::parse(EXPLICIT).unwrap();
        let identifier = encode("PATIENT", &[key("PatientID", "1")], "ISO_IR 192", &explicit).unwrap();
        assert_eq!(identifier, [&b"\x08\0\x52\0CS\x08\0PATIENT "[..], b"\x10\0\x20\0LO\x02\x001 "].concat());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let explicit = TransferSyntaxUid::parse(EXPLICIT).unwrap();
        for (key, charset, word) in [
            (key("PatientName", "山田"), "ISO_IR 100", "PatientName"),
            (key("Modality", "検"), "ISO_IR 192", "Modality"),
            (key("PatientID", "1"), "no such set", "--charset"),
        ] {
            let error = encode("STUDY", &[key], charset, &explicit).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_match_that_is_cut_off_is_an_error() {
        let explicit = TransferSyntaxUid::parse(EXPLICIT).unwrap();
        let identifier = encode("STUDY", &[key("PatientID", "1234")], "ISO_IR 192", &explicit).unwrap();
        for end in 1..identifier.len() {
            let read = Match::decode(&identifier[..end], &explicit);
            assert!(read.is_err() || end == 14, "{end} {read:?}");
        }
    }
}
