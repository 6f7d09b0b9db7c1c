//! Modality Performed Procedure Step: what N-CREATE and N-SET say of it (PS3.4 Table F.7.2-1), as far as it tells which objects to expect.

use dokuei_domain::{SopInstanceUid, StudyUid, TransferSyntaxUid};

use super::{
    MOST_REFERENCES, NormalizedError,
    walk::{Value, Visitor, walk},
};
use crate::tag::{self, Tag};

/// Studies that one step may be for.
const MOST_STUDIES: usize = 64;

/// Performed Procedure Step Status (0040,0252).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcedureStepState {
    InProgress,
    Completed,
    Discontinued,
}

impl ProcedureStepState {
    pub const ALL: [Self; 3] = [Self::InProgress, Self::Completed, Self::Discontinued];

    /// The value of (0040,0252).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Discontinued => "DISCONTINUED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    pub const fn is_final(self) -> bool {
        !matches!(self, Self::InProgress)
    }
}

/// The attributes that were given; an N-SET gives only some.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcedureStepAttributes {
    /// (0040,0253)
    pub step_id: Option<String>,
    /// (0040,0241)
    pub station: Option<String>,
    /// (0008,0060)
    pub modality: Option<String>,
    /// (0040,0244) and (0040,0245)
    pub start_date: Option<String>,
    pub start_time: Option<String>,
    /// (0040,0250) and (0040,0251)
    pub end_date: Option<String>,
    pub end_time: Option<String>,
    pub state: Option<ProcedureStepState>,
    /// Code value and scheme of (0040,0281).
    pub discontinuation_code: Option<String>,
    pub discontinuation_scheme: Option<String>,
    /// Distinct, from the Scheduled Step Attributes Sequence (0040,0270).
    pub studies: Vec<StudyUid>,
    /// Images and other objects of all performed series; `None` when the Performed Series Sequence (0040,0340) was not given.
    pub instances: Option<Vec<SopInstanceUid>>,
    /// Elements that were there without a value.
    pub empty: Vec<Tag>,
}

impl ProcedureStepAttributes {
    pub fn parse(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, NormalizedError> {
        let mut reader = Reader::default();
        walk(bytes, transfer_syntax, &mut reader)?;
        Ok(reader.found)
    }

    /// Whether a step can be made of these: every attribute of type 1 has a value.
    ///
    /// # Errors
    ///
    /// The first that has none.
    pub fn check_creation(&self) -> Result<(), NormalizedError> {
        let given = |tag, given: bool| if given { Ok(()) } else { Err(self.lack(tag)) };
        given(tag::MODALITY, self.modality.is_some())?;
        given(tag::PERFORMED_STATION_AE_TITLE, self.station.is_some())?;
        given(tag::PERFORMED_PROCEDURE_STEP_START_DATE, self.start_date.is_some())?;
        given(tag::PERFORMED_PROCEDURE_STEP_START_TIME, self.start_time.is_some())?;
        given(tag::PERFORMED_PROCEDURE_STEP_STATUS, self.state.is_some())?;
        given(tag::PERFORMED_PROCEDURE_STEP_ID, self.step_id.is_some())?;
        given(tag::STUDY_INSTANCE_UID, !self.studies.is_empty())?;
        if self.state != Some(ProcedureStepState::InProgress) {
            // PS3.4 F.7.2.1.2: a step begins in progress.
            return Err(NormalizedError::Invalid(tag::PERFORMED_PROCEDURE_STEP_STATUS));
        }
        Ok(())
    }

    fn lack(&self, tag: Tag) -> NormalizedError {
        if self.empty.contains(&tag) { NormalizedError::Empty(tag) } else { NormalizedError::Missing(tag) }
    }
}

#[derive(Default)]
struct Reader {
    found: ProcedureStepAttributes,
}

impl Visitor for Reader {
    fn wants(&self, path: &[Tag], tag: Tag) -> bool {
        match path {
            [] => matches!(
                tag,
                tag::MODALITY
                    | tag::PERFORMED_STATION_AE_TITLE
                    | tag::PERFORMED_PROCEDURE_STEP_START_DATE
                    | tag::PERFORMED_PROCEDURE_STEP_START_TIME
                    | tag::PERFORMED_PROCEDURE_STEP_END_DATE
                    | tag::PERFORMED_PROCEDURE_STEP_END_TIME
                    | tag::PERFORMED_PROCEDURE_STEP_STATUS
                    | tag::PERFORMED_PROCEDURE_STEP_ID
                    | tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE
                    | tag::PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE
                    | tag::PERFORMED_SERIES_SEQUENCE
            ),
            [tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE] => tag == tag::STUDY_INSTANCE_UID,
            [tag::PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE] => {
                matches!(tag, tag::CODE_VALUE | tag::CODING_SCHEME_DESIGNATOR)
            }
            [tag::PERFORMED_SERIES_SEQUENCE] => {
                matches!(
                    tag,
                    tag::REFERENCED_IMAGE_SEQUENCE | tag::REFERENCED_NON_IMAGE_COMPOSITE_SOP_INSTANCE_SEQUENCE
                )
            }
            [
                tag::PERFORMED_SERIES_SEQUENCE,
                tag::REFERENCED_IMAGE_SEQUENCE | tag::REFERENCED_NON_IMAGE_COMPOSITE_SOP_INSTANCE_SEQUENCE,
            ] => tag == tag::REFERENCED_SOP_INSTANCE_UID,
            _ => false,
        }
    }

    fn sequence(&mut self, path: &[Tag], tag: Tag) -> Result<(), NormalizedError> {
        if path.is_empty() && tag == tag::PERFORMED_SERIES_SEQUENCE {
            self.found.instances.get_or_insert_default();
        }
        Ok(())
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: Value<'_>) -> Result<(), NormalizedError> {
        let found = &mut self.found;
        match (path, tag) {
            ([tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE], tag::STUDY_INSTANCE_UID) => {
                if value.is_empty() {
                    found.empty.push(tag);
                    return Ok(());
                }
                let study = value.uid(tag, StudyUid::parse_padded)?;
                if !found.studies.contains(&study) {
                    if found.studies.len() >= MOST_STUDIES {
                        return Err(NormalizedError::TooMany { limit: MOST_STUDIES });
                    }
                    found.studies.push(study);
                }
                Ok(())
            }
            ([tag::PERFORMED_SERIES_SEQUENCE, _], _) => {
                let instances = found.instances.get_or_insert_default();
                if instances.len() >= MOST_REFERENCES {
                    return Err(NormalizedError::TooMany { limit: MOST_REFERENCES });
                }
                instances.push(value.uid(tag, SopInstanceUid::parse_padded)?);
                Ok(())
            }
            ([_], tag::CODE_VALUE) => keep(&mut found.discontinuation_code, value.text(tag)?),
            ([_], tag::CODING_SCHEME_DESIGNATOR) => keep(&mut found.discontinuation_scheme, value.text(tag)?),
            ([], _) => {
                let text = value.text(tag)?;
                if text.is_none() && found.empty.len() < 16 {
                    found.empty.push(tag);
                }
                match tag {
                    tag::MODALITY => keep(&mut found.modality, text),
                    tag::PERFORMED_STATION_AE_TITLE => keep(&mut found.station, text),
                    tag::PERFORMED_PROCEDURE_STEP_START_DATE => keep(&mut found.start_date, text),
                    tag::PERFORMED_PROCEDURE_STEP_START_TIME => keep(&mut found.start_time, text),
                    tag::PERFORMED_PROCEDURE_STEP_END_DATE => keep(&mut found.end_date, text),
                    tag::PERFORMED_PROCEDURE_STEP_END_TIME => keep(&mut found.end_time, text),
                    tag::PERFORMED_PROCEDURE_STEP_ID => keep(&mut found.step_id, text),
                    tag::PERFORMED_PROCEDURE_STEP_STATUS => {
                        if let Some(text) = text {
                            let state = ProcedureStepState::parse(&text).ok_or(NormalizedError::Invalid(tag))?;
                            found.state = Some(state);
                        }
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// The first value counts.
fn keep(place: &mut Option<String>, text: Option<String>) -> Result<(), NormalizedError> {
    if place.is_none() {
        *place = text;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        encoding::EXPLICIT_VR_LITTLE_ENDIAN,
        vr::Vr,
        writer::{DataSetWriter, Item},
    };

    fn explicit() -> TransferSyntaxUid {
        TransferSyntaxUid::parse(EXPLICIT_VR_LITTLE_ENDIAN).unwrap()
    }

    fn creation() -> DataSetWriter {
        let mut scheduled = Item::new();
        scheduled.text(tag::STUDY_INSTANCE_UID, Vr::UI, "1.2.1").empty(tag::ACCESSION_NUMBER, Vr::SH);
        let mut data_set = DataSetWriter::new();
        data_set
            .text(tag::MODALITY, Vr::CS, "CT")
            .text(tag::PERFORMED_STATION_AE_TITLE, Vr::AE, "CT1")
            .text(tag::PERFORMED_PROCEDURE_STEP_START_DATE, Vr::DA, "20260102")
            .text(tag::PERFORMED_PROCEDURE_STEP_START_TIME, Vr::TM, "0910")
            .text(tag::PERFORMED_PROCEDURE_STEP_STATUS, Vr::CS, "IN PROGRESS")
            .text(tag::PERFORMED_PROCEDURE_STEP_ID, Vr::SH, "P1")
            .item(tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, scheduled)
            .items(tag::PERFORMED_SERIES_SEQUENCE, vec![]);
        data_set
    }

    fn parse(data_set: &DataSetWriter) -> Result<ProcedureStepAttributes, NormalizedError> {
        ProcedureStepAttributes::parse(&data_set.encode().unwrap(), &explicit())
    }

    #[test]
    fn a_creation_says_the_study_and_lists_nothing_yet() {
        let step = parse(&creation()).unwrap();
        step.check_creation().unwrap();
        assert_eq!(step.studies, [StudyUid::parse("1.2.1").unwrap()]);
        assert_eq!(step.instances, Some(vec![]));
        assert_eq!((step.modality.as_deref(), step.station.as_deref()), (Some("CT"), Some("CT1")));
    }

    #[test]
    fn each_mandatory_attribute_is_named_when_it_is_missing() {
        let mut data_set = creation();
        data_set.empty(tag::PERFORMED_PROCEDURE_STEP_ID, Vr::SH);
        let lacking = parse(&data_set).unwrap().check_creation();
        assert_eq!(lacking, Err(NormalizedError::Empty(tag::PERFORMED_PROCEDURE_STEP_ID)));
        let lacking = parse(DataSetWriter::new().text(tag::MODALITY, Vr::CS, "CT")).unwrap().check_creation();
        assert_eq!(lacking, Err(NormalizedError::Missing(tag::PERFORMED_STATION_AE_TITLE)));
        let mut data_set = creation();
        data_set.items(tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, vec![]);
        let lacking = parse(&data_set).unwrap().check_creation();
        assert_eq!(lacking, Err(NormalizedError::Missing(tag::STUDY_INSTANCE_UID)));
        let mut data_set = creation();
        data_set.text(tag::PERFORMED_PROCEDURE_STEP_STATUS, Vr::CS, "COMPLETED");
        let wrong = parse(&data_set).unwrap().check_creation();
        assert_eq!(wrong, Err(NormalizedError::Invalid(tag::PERFORMED_PROCEDURE_STEP_STATUS)));
        data_set.text(tag::PERFORMED_PROCEDURE_STEP_STATUS, Vr::CS, "DONE");
        assert_eq!(parse(&data_set), Err(NormalizedError::Invalid(tag::PERFORMED_PROCEDURE_STEP_STATUS)));
    }

    #[test]
    fn a_completion_lists_images_and_other_objects_of_every_series() {
        let list = |uids: &[&str]| {
            let item = |uid: &&str| {
                let mut item = Item::new();
                item.text(tag::REFERENCED_SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.2");
                item.text(tag::REFERENCED_SOP_INSTANCE_UID, Vr::UI, uid);
                item
            };
            uids.iter().map(item).collect::<Vec<_>>()
        };
        let series = |images: &[&str], others: &[&str]| {
            let mut item = Item::new();
            item.text(tag::SERIES_INSTANCE_UID, Vr::UI, "1.2.1.1")
                .items(tag::REFERENCED_IMAGE_SEQUENCE, list(images))
                .items(tag::REFERENCED_NON_IMAGE_COMPOSITE_SOP_INSTANCE_SEQUENCE, list(others));
            item
        };
        let mut data_set = DataSetWriter::new();
        data_set
            .text(tag::PERFORMED_PROCEDURE_STEP_STATUS, Vr::CS, "COMPLETED")
            .text(tag::PERFORMED_PROCEDURE_STEP_END_DATE, Vr::DA, "20260102")
            .items(tag::PERFORMED_SERIES_SEQUENCE, vec![series(&["1.1", "1.2"], &[]), series(&["2.1"], &["3.1"])]);
        let step = parse(&data_set).unwrap();
        assert_eq!(step.state, Some(ProcedureStepState::Completed));
        let instances: Vec<_> = step.instances.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(instances, ["1.1", "1.2", "2.1", "3.1"]);
    }
}
