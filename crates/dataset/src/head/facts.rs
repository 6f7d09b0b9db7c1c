//! From collected elements to the facts of the index.

use dokuei_charset::{Decoded, SpecificCharacterSet};
use dokuei_domain::facts::{InstanceFacts, PatientFacts};
use dokuei_domain::uid::UidError;
use dokuei_domain::{PersonName, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid};

use super::{Head, number};
use crate::tag::{self, Tag};

/// Why a data set that parses cannot be indexed. Says which element, never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("{name} {tag} is missing or empty")]
    Missing { name: &'static str, tag: Tag },
    #[error("{name} {tag} is not a UID")]
    Malformed {
        name: &'static str,
        tag: Tag,
        #[source]
        source: UidError,
    },
}

impl Head {
    /// The facts for the index. `transfer_syntax` is the negotiated one, because the data set does not say.
    pub fn facts(&self, transfer_syntax: &TransferSyntaxUid) -> Result<InstanceFacts, FactsError> {
        let mut texts = Texts::of(self);
        let facts = InstanceFacts {
            sop_class: self.uid("SOP Class UID", tag::SOP_CLASS_UID, SopClassUid::parse_padded)?,
            sop_instance: self.uid("SOP Instance UID", tag::SOP_INSTANCE_UID, SopInstanceUid::parse_padded)?,
            transfer_syntax: transfer_syntax.clone(),
            study: self.uid("Study Instance UID", tag::STUDY_INSTANCE_UID, StudyUid::parse_padded)?,
            series: self.uid("Series Instance UID", tag::SERIES_INSTANCE_UID, SeriesUid::parse_padded)?,
            patient: PatientFacts {
                id: texts.whole(tag::PATIENT_ID),
                issuer: texts.issuer(),
                name: texts.person(tag::PATIENT_NAME),
                birth_date: self.plain(tag::PATIENT_BIRTH_DATE),
                sex: self.plain(tag::PATIENT_SEX),
            },
            accession_number: texts.whole(tag::ACCESSION_NUMBER),
            study_date: self.plain(tag::STUDY_DATE),
            study_time: self.plain(tag::STUDY_TIME),
            study_id: texts.whole(tag::STUDY_ID),
            study_description: texts.whole(tag::STUDY_DESCRIPTION),
            referring_physician: texts.person(tag::REFERRING_PHYSICIAN_NAME),
            modality: self.plain(tag::MODALITY),
            series_number: self.integer(tag::SERIES_NUMBER),
            series_description: texts.whole(tag::SERIES_DESCRIPTION),
            body_part: self.plain(tag::BODY_PART_EXAMINED),
            instance_number: self.integer(tag::INSTANCE_NUMBER),
            number_of_frames: self.integer(tag::NUMBER_OF_FRAMES),
            rows: self.elements.get(&tag::ROWS).and_then(number::unsigned),
            columns: self.elements.get(&tag::COLUMNS).and_then(number::unsigned),
            slice_position: self.slice_position(),
            window: self.window(),
            charset_repaired: false,
        };
        Ok(InstanceFacts { charset_repaired: texts.repaired, ..facts })
    }

    fn uid<T>(&self, name: &'static str, tag: Tag, parse: fn(&[u8]) -> Result<T, UidError>) -> Result<T, FactsError> {
        let bytes = self.bytes(tag).ok_or(FactsError::Missing { name, tag })?;
        parse(bytes).map_err(|source| match source {
            UidError::Empty => FactsError::Missing { name, tag },
            source => FactsError::Malformed { name, tag, source },
        })
    }

    /// A CS, DA or TM: the default repertoire, whatever (0008,0005) says. The first value; padding and surrounding spaces dropped.
    fn plain(&self, tag: Tag) -> String {
        let bytes = self.bytes(tag).unwrap_or_default();
        let first = bytes.split(|byte| *byte == b'\\').next().unwrap_or_default();
        let text: String =
            first.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { ' ' }).collect();
        text.trim().to_owned()
    }

    fn integer<T: TryFrom<i64>>(&self, tag: Tag) -> Option<T> {
        self.bytes(tag).and_then(number::integer).and_then(|number| T::try_from(number).ok())
    }

    /// PS3.3 C.7.6.2.1.1: position projected on the normal of the image plane, in mm.
    fn slice_position(&self) -> Option<f64> {
        let orientation = number::decimals(self.bytes(tag::IMAGE_ORIENTATION_PATIENT)?)?;
        let position = number::decimals(self.bytes(tag::IMAGE_POSITION_PATIENT)?)?;
        let &[rx, ry, rz, cx, cy, cz] = orientation.as_slice() else { return None };
        let &[px, py, pz] = position.as_slice() else { return None };
        let normal = [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
        let distance = px * normal[0] + py * normal[1] + pz * normal[2];
        distance.is_finite().then_some(distance)
    }

    fn window(&self) -> Option<(f64, f64)> {
        let center = number::first_decimal(self.bytes(tag::WINDOW_CENTER)?)?;
        let width = number::first_decimal(self.bytes(tag::WINDOW_WIDTH)?)?;
        Some((center, width))
    }
}

/// Decodes texts and remembers whether any had to be repaired.
struct Texts<'h> {
    head: &'h Head,
    charset: SpecificCharacterSet,
    repaired: bool,
}

impl<'h> Texts<'h> {
    fn of(head: &'h Head) -> Self {
        let (charset, repaired) =
            SpecificCharacterSet::parse_lossy(head.bytes(tag::SPECIFIC_CHARACTER_SET).unwrap_or_default());
        Self { head, charset, repaired }
    }

    /// An SH or LO of one value. A backslash in it is against the standard, but what follows it still tells two patients apart.
    fn whole(&mut self, tag: Tag) -> String {
        let bytes = self.head.bytes(tag).unwrap_or_default();
        self.keep(self.charset.decode_values(bytes)).join("\\").trim().to_owned()
    }

    fn person(&mut self, tag: Tag) -> PersonName {
        let bytes = self.head.bytes(tag).unwrap_or_default();
        let names = self.keep(self.charset.decode_person_names(bytes));
        names.first().map(|name| PersonName::parse(name)).unwrap_or_default()
    }

    /// (0010,0021), else (0010,0024) > (0040,0032), whose item may have its own character set (PS3.3 C.12.1.1.2).
    fn issuer(&mut self) -> String {
        let named = self.whole(tag::ISSUER_OF_PATIENT_ID);
        if !named.is_empty() {
            return named;
        }
        let Some(entity) = self.head.issuer.get(&tag::UNIVERSAL_ENTITY_ID) else {
            return String::new();
        };
        let own =
            self.head.issuer.get(&tag::SPECIFIC_CHARACTER_SET).map(|set| SpecificCharacterSet::parse_lossy(&set.value));
        let decoded = match &own {
            Some((charset, repaired)) => {
                self.repaired |= repaired;
                charset.decode_text(&entity.value)
            }
            None => self.charset.decode_text(&entity.value),
        };
        self.keep(decoded).trim().to_owned()
    }

    fn keep<T>(&mut self, decoded: Decoded<T>) -> T {
        self.repaired |= decoded.repaired;
        decoded.value
    }
}
