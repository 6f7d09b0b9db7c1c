//! Instance Availability Notification: what a study holds elsewhere (PS3.4 Table R.3.2-1).

use dokuei_domain::{SopInstanceUid, StudyUid, TransferSyntaxUid};

use super::{
    MOST_REFERENCES, NormalizedError,
    walk::{Value, Visitor, set, walk},
};
use crate::tag::{self, Tag};

/// One object of the study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInstance {
    pub sop_instance: SopInstanceUid,
    /// Instance Availability (0008,0056) is anything but UNAVAILABLE.
    pub exists: bool,
}

/// The objects of one study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailabilityNotification {
    pub study: StudyUid,
    /// At least one.
    pub instances: Vec<ListedInstance>,
}

impl AvailabilityNotification {
    pub fn parse(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, NormalizedError> {
        let mut reader = Reader::default();
        walk(bytes, transfer_syntax, &mut reader)?;
        let study = reader.study.ok_or(NormalizedError::Missing(tag::STUDY_INSTANCE_UID))?;
        if reader.instances.is_empty() {
            return Err(NormalizedError::Missing(tag::REFERENCED_SOP_SEQUENCE));
        }
        Ok(Self { study, instances: reader.instances })
    }
}

#[derive(Default)]
struct Reader {
    study: Option<StudyUid>,
    instances: Vec<ListedInstance>,
    current: Option<SopInstanceUid>,
    availability: Option<String>,
}

impl Visitor for Reader {
    fn wants(&self, path: &[Tag], tag: Tag) -> bool {
        match path {
            [] => matches!(tag, tag::STUDY_INSTANCE_UID | tag::REFERENCED_SERIES_SEQUENCE),
            [tag::REFERENCED_SERIES_SEQUENCE] => tag == tag::REFERENCED_SOP_SEQUENCE,
            [tag::REFERENCED_SERIES_SEQUENCE, tag::REFERENCED_SOP_SEQUENCE] => {
                matches!(tag, tag::REFERENCED_SOP_INSTANCE_UID | tag::INSTANCE_AVAILABILITY)
            }
            _ => false,
        }
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: Value<'_>) -> Result<(), NormalizedError> {
        match (path, tag) {
            ([], tag::STUDY_INSTANCE_UID) => set(&mut self.study, tag, value.uid(tag, StudyUid::parse_padded)?)?,
            (_, tag::REFERENCED_SOP_INSTANCE_UID) => {
                set(&mut self.current, tag, value.uid(tag, SopInstanceUid::parse_padded)?)?;
            }
            (_, tag::INSTANCE_AVAILABILITY) => self.availability = value.text(tag)?,
            _ => {}
        }
        Ok(())
    }

    fn item_end(&mut self, path: &[Tag]) -> Result<(), NormalizedError> {
        if path != [tag::REFERENCED_SERIES_SEQUENCE, tag::REFERENCED_SOP_SEQUENCE] {
            return Ok(());
        }
        if self.instances.len() >= MOST_REFERENCES {
            return Err(NormalizedError::TooMany { limit: MOST_REFERENCES });
        }
        let sop_instance = self.current.take().ok_or(NormalizedError::Missing(tag::REFERENCED_SOP_INSTANCE_UID))?;
        let exists = match self.availability.take().as_deref() {
            None => return Err(NormalizedError::Missing(tag::INSTANCE_AVAILABILITY)),
            Some("ONLINE" | "NEARLINE" | "OFFLINE") => true,
            Some("UNAVAILABLE") => false,
            Some(_) => return Err(NormalizedError::Invalid(tag::INSTANCE_AVAILABILITY)),
        };
        self.instances.push(ListedInstance { sop_instance, exists });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        encoding::EXPLICIT_VR_LITTLE_ENDIAN,
        vr::Vr,
        writer::{DataSetWriter, Item},
    };

    fn notification(instances: &[(&str, &str)]) -> Vec<u8> {
        let item = |(uid, availability): &(&str, &str)| {
            let mut item = Item::new();
            item.text(tag::REFERENCED_SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.2")
                .text(tag::REFERENCED_SOP_INSTANCE_UID, Vr::UI, uid)
                .text(tag::INSTANCE_AVAILABILITY, Vr::CS, availability)
                .text(tag::RETRIEVE_AE_TITLE, Vr::AE, "PACS");
            item
        };
        let mut series = Item::new();
        series
            .text(tag::SERIES_INSTANCE_UID, Vr::UI, "1.2.1.1")
            .items(tag::REFERENCED_SOP_SEQUENCE, instances.iter().map(item).collect());
        let mut data_set = DataSetWriter::new();
        data_set
            .items(tag::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, vec![])
            .text(tag::STUDY_INSTANCE_UID, Vr::UI, "1.2.1")
            .item(tag::REFERENCED_SERIES_SEQUENCE, series);
        data_set.encode().unwrap()
    }

    #[test]
    fn lists_what_exists_and_what_does_not() {
        let explicit = TransferSyntaxUid::parse(EXPLICIT_VR_LITTLE_ENDIAN).unwrap();
        let bytes = notification(&[("1.1", "ONLINE"), ("1.2", "NEARLINE"), ("1.3", "UNAVAILABLE")]);
        let parsed = AvailabilityNotification::parse(&bytes, &explicit).unwrap();
        assert_eq!(parsed.study.as_str(), "1.2.1");
        let listed: Vec<_> = parsed.instances.iter().map(|one| (one.sop_instance.as_str(), one.exists)).collect();
        assert_eq!(listed, [("1.1", true), ("1.2", true), ("1.3", false)]);

        let error = |bytes: &[u8]| AvailabilityNotification::parse(bytes, &explicit).unwrap_err();
        assert_eq!(error(&notification(&[])), NormalizedError::Missing(tag::REFERENCED_SOP_SEQUENCE));
        assert_eq!(error(&notification(&[("1.1", "SOON")])), NormalizedError::Invalid(tag::INSTANCE_AVAILABILITY));
        assert_eq!(error(&[]), NormalizedError::Missing(tag::STUDY_INSTANCE_UID));
    }
}
