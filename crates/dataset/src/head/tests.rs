use std::io::Write as _;

use dokuei_charset::SpecificCharacterSet;
use dokuei_domain::PersonName;
use proptest::prelude::*;

use super::*;
use crate::encoding::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
};
use crate::writer::{DataSetWriter, Item};

fn syntax(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).unwrap()
}

fn read(uid: &str, bytes: &[u8], chunk: usize) -> Result<Head, HeadError> {
    let mut reader = HeadReader::new(&syntax(uid), HeadLimits::default());
    for part in bytes.chunks(chunk) {
        reader.push(part)?;
    }
    reader.finish()
}

/// A CT slice with a name in ISO 2022 IR 87 whose kanji contain `\`, `^` and `=`.
fn slice() -> DataSetWriter {
    let (charset, _) = SpecificCharacterSet::parse_lossy(b"\\ISO 2022 IR 87");
    let name = charset.encode_person_name("Aizumi^Sakae=藍住^榮=あいずみ^さかえ").unwrap();
    let mut qualifiers = Item::new();
    qualifiers.text(tag::SPECIFIC_CHARACTER_SET, Vr::CS, "ISO_IR 192").text(
        tag::UNIVERSAL_ENTITY_ID,
        Vr::UT,
        "1.2.392.100495.20.3.51.13610001234",
    );
    let mut data_set = DataSetWriter::new();
    data_set
        .joined(tag::SPECIFIC_CHARACTER_SET, Vr::CS, "\\ISO 2022 IR 87")
        .text(tag::SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.2")
        .text(tag::SOP_INSTANCE_UID, Vr::UI, "1.2.3")
        .text(tag::STUDY_INSTANCE_UID, Vr::UI, "1.2")
        .text(tag::SERIES_INSTANCE_UID, Vr::UI, "1.2.9")
        .text(tag::MODALITY, Vr::CS, "CT")
        .text(tag::BODY_PART_EXAMINED, Vr::CS, "HEAD")
        .bytes(tag::PATIENT_NAME, Vr::PN, name)
        .text(tag::PATIENT_ID, Vr::LO, " 0001234567")
        .item(tag::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, qualifiers)
        .text(tag::STUDY_DATE, Vr::DA, "20261122")
        .text(tag::INSTANCE_NUMBER, Vr::IS, "12")
        .text(tag::SERIES_NUMBER, Vr::IS, "twelve")
        .joined(tag::IMAGE_POSITION_PATIENT, Vr::DS, "-100\\-100\\35.5")
        .joined(tag::IMAGE_ORIENTATION_PATIENT, Vr::DS, "1\\0\\0\\0\\1\\0")
        .bytes(tag::ROWS, Vr::US, vec![0, 2])
        .bytes(tag::COLUMNS, Vr::US, vec![1, 2])
        .joined(tag::WINDOW_CENTER, Vr::DS, "40\\600")
        .joined(tag::WINDOW_WIDTH, Vr::DS, "80\\2800")
        .bytes(Tag(9, 0x1010), Vr::OB, vec![7; 100_000])
        .bytes(tag::PIXEL_DATA, Vr::OW, vec![9; 1000]);
    data_set
}

#[test]
fn a_slice_gives_its_facts() {
    let bytes = slice().encode().unwrap();
    let head = read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes, 1000).unwrap();
    // Byte by byte, so that every escape sequence and every kanji of the name is torn apart.
    assert_eq!(read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes, 1).as_ref(), Ok(&head));
    let facts = head.facts(&syntax(EXPLICIT_VR_LITTLE_ENDIAN)).unwrap();
    assert_eq!(facts.patient.name, PersonName::parse("Aizumi^Sakae=藍住^榮=あいずみ^さかえ"));
    assert_eq!(facts.patient.id, "0001234567");
    assert_eq!(facts.patient.issuer, "1.2.392.100495.20.3.51.13610001234");
    assert_eq!((facts.modality.as_str(), facts.body_part.as_str()), ("CT", "HEAD"));
    assert_eq!((facts.rows, facts.columns), (Some(512), Some(513)));
    assert_eq!((facts.instance_number, facts.series_number), (Some(12), None));
    assert_eq!(facts.slice_position, Some(35.5));
    assert_eq!(facts.window, Some((40.0, 80.0)));
    assert_eq!(facts.study_date, "20261122");
    assert!(!facts.charset_repaired);
    assert_eq!(head.body, Body::Complete);
    let pixels = head.pixel_data.unwrap();
    assert_eq!((pixels.length, pixels.value_offset), (Some(1000), bytes.len() as u64 - 1000));
}

#[test]
fn a_deflated_data_set_gives_the_same_facts() {
    let plain = slice().encode().unwrap();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain).unwrap();
    let deflated = encoder.finish().unwrap();
    let from_plain = read(EXPLICIT_VR_LITTLE_ENDIAN, &plain, plain.len()).unwrap();
    for chunk in [1, 100, deflated.len()] {
        let head = read(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &deflated, chunk).unwrap();
        assert_eq!(head.elements, from_plain.elements);
        assert_eq!(head.body, Body::Unchecked);
    }
    // Cut off before the pixel data, and not deflated at all.
    assert!(matches!(read(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &deflated[..40], 9), Err(HeadError::Inflate(_))));
    assert!(read(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &plain, 9).is_err());
}

#[test]
fn a_deflate_bomb_stops_at_the_limit() {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"\x09\0\x10\x10OB\0\0\0\0\0\x10").unwrap();
    encoder.write_all(&vec![0; 8 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let limits = HeadLimits { inflated_bytes: 1 << 20, ..HeadLimits::default() };
    let mut reader = HeadReader::new(&syntax(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), limits);
    let error = HeadError::Inflate(InflateError::TooLong { limit: 1 << 20 });
    assert_eq!(reader.push(&bomb), Err(error.clone()));
    assert_eq!(reader.push(b"more"), Err(error));
}

#[test]
fn a_truncated_body_is_a_fact_and_a_truncated_head_an_error() {
    let bytes = slice().encode().unwrap();
    let cut = read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes[..bytes.len() - 1], 777).unwrap();
    assert!(matches!(cut.body, Body::Broken(TokenError::Truncated { missing: 1, .. })));
    assert!(cut.facts(&syntax(EXPLICIT_VR_LITTLE_ENDIAN)).is_ok());
    let error = read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes[..5000], 777).unwrap_err();
    assert!(matches!(error, HeadError::Structure(TokenError::Truncated { tag: Some(Tag(9, 0x1010)), .. })));
}

#[test]
fn a_caller_may_stop_when_the_head_is_done() {
    let bytes = slice().encode().unwrap();
    let mut reader = HeadReader::new(&syntax(EXPLICIT_VR_LITTLE_ENDIAN), HeadLimits::default());
    assert_eq!(reader.push(&bytes[..4000]), Ok(Progress::NeedMore));
    assert_eq!(reader.push(&bytes[4000..bytes.len() - 500]), Ok(Progress::Done));
    assert_eq!(reader.stop().unwrap().body, Body::Unchecked);
}

#[test]
fn garbage_after_the_pixel_data_is_a_broken_body() {
    let mut bytes = slice().encode().unwrap();
    bytes.extend_from_slice(b"garbage that is no element");
    let head = read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes, 64).unwrap();
    assert!(matches!(head.body, Body::Broken(_)));
}

#[test]
fn missing_and_malformed_uids_are_named() {
    let facts = |data_set: &DataSetWriter| {
        let bytes = data_set.encode().unwrap();
        read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes, 64).unwrap().facts(&syntax(EXPLICIT_VR_LITTLE_ENDIAN))
    };
    let named = [
        ("SOP Class UID", tag::SOP_CLASS_UID),
        ("SOP Instance UID", tag::SOP_INSTANCE_UID),
        ("Study Instance UID", tag::STUDY_INSTANCE_UID),
        ("Series Instance UID", tag::SERIES_INSTANCE_UID),
    ];
    for (name, tag) in named {
        assert_eq!(facts(slice().empty(tag, Vr::UI)), Err(FactsError::Missing { name, tag }));
        let malformed = facts(slice().text(tag, Vr::UI, "../etc")).unwrap_err();
        assert!(matches!(malformed, FactsError::Malformed { tag: t, .. } if t == tag));
        assert!(!malformed.to_string().contains("etc"));
    }
}

#[test]
fn two_different_patient_ids_in_one_object_are_refused() {
    let id = |id: &str| DataSetWriter::new().text(tag::PATIENT_ID, Vr::LO, id).encode().unwrap();
    let same = [id("123"), id("123")].concat();
    assert!(read(EXPLICIT_VR_LITTLE_ENDIAN, &same, 5).is_ok());
    let different = [id("123"), id("124")].concat();
    let contradiction = Err(HeadError::Contradiction(tag::PATIENT_ID));
    assert_eq!(read(EXPLICIT_VR_LITTLE_ENDIAN, &different, 5), contradiction);
    assert_eq!(read(EXPLICIT_VR_LITTLE_ENDIAN, &different, 500), contradiction);
}

#[test]
fn an_endless_patient_id_is_refused_and_an_endless_description_is_not_indexed() {
    let long = |tag| {
        let mut data_set = slice();
        data_set.bytes(tag, Vr::UT, vec![b'1'; 70_000]);
        read(EXPLICIT_VR_LITTLE_ENDIAN, &data_set.encode().unwrap(), 4096)
    };
    let error = HeadError::ValueTooLong { tag: tag::PATIENT_ID, length: 70_000 };
    assert_eq!(long(tag::PATIENT_ID), Err(error));
    let facts = long(tag::STUDY_DESCRIPTION).unwrap().facts(&syntax(EXPLICIT_VR_LITTLE_ENDIAN)).unwrap();
    assert_eq!(facts.study_description, "");
}

#[test]
fn a_backslash_in_a_patient_id_still_tells_patients_apart() {
    let mut data_set = slice();
    data_set.joined(tag::PATIENT_ID, Vr::LO, "12\\34");
    let head = read(EXPLICIT_VR_LITTLE_ENDIAN, &data_set.encode().unwrap(), 4096).unwrap();
    assert_eq!(head.facts(&syntax(EXPLICIT_VR_LITTLE_ENDIAN)).unwrap().patient.id, "12\\34");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same_head(cuts in proptest::collection::vec(1usize..600, 1..40)) {
        let bytes = slice().encode().unwrap();
        let whole = read(EXPLICIT_VR_LITTLE_ENDIAN, &bytes, bytes.len()).unwrap();
        let mut reader = HeadReader::new(&syntax(EXPLICIT_VR_LITTLE_ENDIAN), HeadLimits::default());
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            let (part, after) = rest.split_at(rest.len().min(*cut));
            reader.push(part).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(reader.finish().unwrap(), whole);
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..300) {
        for uid in [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN] {
            if let Ok(head) = read(uid, &bytes, chunk) {
                let _ = head.facts(&syntax(uid));
            }
        }
    }

    /// Real structure with wrong bytes in it reaches further than noise does.
    #[test]
    fn damaged_data_sets_are_survived(hits in proptest::collection::vec((0usize..700, any::<u8>()), 1..8), chunk in 1usize..300) {
        let mut bytes = slice().encode().unwrap();
        for (at, byte) in hits {
            bytes[at] = byte;
        }
        for uid in [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN] {
            if let Ok(head) = read(uid, &bytes, chunk) {
                let _ = head.facts(&syntax(uid));
            }
        }
    }
}
