//! Where a durable object belongs: a pure function of what the index knows. How the answer is carried out stands in `filer`.

use dokuei_database::{FilingContext, KnownStudy, ProvisionalOwner, StudyOwner, StudyState};
use dokuei_dataset::RejectionNote;
use dokuei_domain::{
    InstanceId, PatientPk, SeriesPk, StudyPk, Timestamp,
    facts::{InstanceFacts, PatientFacts},
    patient::{FacilityIssuer, PatientIdentity, ProvisionalReason},
};
use dokuei_image_store::BlobKey;

use crate::{
    QuarantineReason,
    identity::{Difference, difference},
};

/// A durable blob that is to become an instance.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: InstanceId,
    pub(crate) facility: FacilityIssuer,
    pub(crate) facts: InstanceFacts,
    pub(crate) blob_key: BlobKey,
    pub(crate) size_bytes: u64,
    pub(crate) dataset_offset: u64,
    pub(crate) dataset_sha256: [u8; 32],
    pub(crate) calling: String,
    pub(crate) received_at: Timestamp,
    pub(crate) opens_case: bool,
    /// The object is an IOCM rejection note.
    pub(crate) rejection_note: Option<RejectionNote>,
    /// A person has looked at it in quarantine and says that it belongs where its UIDs and its Patient ID put it.
    pub(crate) released: bool,
}

impl Candidate {
    pub(crate) fn identity(&self) -> PatientIdentity {
        self.facility.identify(&self.facts.patient, &self.facts.study)
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filed {
    New { study: StudyPk },
    AlreadyStored { id: InstanceId, study: StudyPk },
    OwnReport,
    Quarantined(QuarantineReason),
    AlreadyQuarantined(QuarantineReason),
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its own row is there: an earlier commit went through although its answer was lost.
    Ours {
        study: StudyPk,
    },
    /// The facility has sent the same bytes before. `reopen`: as a prior then, to be read now.
    AlreadyStored {
        id: InstanceId,
        study: StudyPk,
        reopen: bool,
    },
    /// A report that we signed comes back.
    OwnReport,
    Quarantine(QuarantineReason),
    /// `series_was_empty`: nothing of it could be seen.
    InSeries {
        study: StudyPk,
        series: SeriesPk,
        series_was_empty: bool,
        visibility: Visibility,
    },
    InNewSeries {
        study: StudyPk,
        visibility: Visibility,
    },
    /// `patient`: of this identity, if there is one. `hold`: a person must say whether it is the same person.
    InNewStudy {
        patient: Option<PatientPk>,
        hold: Option<Difference>,
        visibility: Visibility,
    },
}

/// Whether the object may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visibility {
    Visible,
    /// Named by a rejection note that came before it, or a rejection note itself: the code of the note's title.
    Rejected(String),
}

/// Decides from what the index knows. Total: every candidate has a place, and it is never another patient's.
pub(crate) fn decide(known: &FilingContext, candidate: &Candidate) -> Decision {
    if let Some(instance) = &known.instance {
        if instance.id == candidate.id {
            return Decision::Ours { study: instance.study };
        }
        if instance.dataset_sha256 != candidate.dataset_sha256 {
            return Decision::Quarantine(QuarantineReason::SameUidOtherContent);
        }
        let reopen = candidate.opens_case
            && known.study.as_ref().is_some_and(|study| {
                study.pk == instance.study && !study.opens_case && study.state != StudyState::Withdrawn
            });
        return Decision::AlreadyStored { id: instance.id, study: instance.study, reopen };
    }
    if known.own_report {
        return Decision::OwnReport;
    }
    let visibility = visibility(known, candidate);
    let Some(study) = &known.study else {
        if known.series.is_some() {
            return Decision::Quarantine(QuarantineReason::SeriesOfAnotherStudy);
        }
        let hold = difference(&candidate.facts.patient, &known.patient_known_as);
        return Decision::InNewStudy { patient: known.patient, hold, visibility };
    };
    if let Some(reason) = stranger_to(study, candidate) {
        return Decision::Quarantine(reason);
    }
    match known.series {
        Some(series) if series.study != study.pk => Decision::Quarantine(QuarantineReason::SeriesOfAnotherStudy),
        Some(series) => Decision::InSeries {
            study: study.pk,
            series: series.pk,
            series_was_empty: series.instance_count <= 0,
            visibility,
        },
        None => Decision::InNewSeries { study: study.pk, visibility },
    }
}

/// Why the candidate may not join the study, if it may not.
fn stranger_to(study: &KnownStudy, candidate: &Candidate) -> Option<QuarantineReason> {
    // A released object joins a withdrawn study, where it is as hidden as the rest.
    if study.state == StudyState::Withdrawn && !study.rejected_entirely && !candidate.released {
        return Some(QuarantineReason::StudyWithdrawn);
    }
    if !owns(&study.owner, candidate) {
        return Some(QuarantineReason::StudyOfAnotherPatient);
    }
    let differs = difference(&candidate.facts.patient, std::slice::from_ref(&study.named_as)).is_some();
    (differs && !candidate.released).then_some(QuarantineReason::PatientFactsDiffer)
}

/// Whether the study's patient is the one that the candidate names.
fn owns(owner: &StudyOwner, candidate: &Candidate) -> bool {
    match (candidate.identity(), owner.provisional) {
        (PatientIdentity::Established { issuer, id }, None | Some(ProvisionalOwner::AnotherPerson)) => {
            owner.issuer == issuer && owner.id == id
        }
        (PatientIdentity::Provisional { reason, .. }, Some(ProvisionalOwner::AsSent)) => {
            let named = PatientFacts { id: owner.id.clone(), issuer: owner.issuer.clone(), ..PatientFacts::default() };
            let PatientIdentity::Provisional { reason: owner_reason, .. } =
                candidate.facility.identify(&named, &candidate.facts.study)
            else {
                // The facility's issuer or aliases have changed since: a person must look.
                return false;
            };
            let nobody = |reason| matches!(reason, ProvisionalReason::EmptyId | ProvisionalReason::PlaceholderId);
            let PatientFacts { id, issuer, .. } = &candidate.facts.patient;
            (nobody(reason) && nobody(owner_reason))
                || (owner.id.trim() == id.trim() && owner.issuer.trim() == issuer.trim())
        }
        (PatientIdentity::Established { .. } | PatientIdentity::Provisional { .. }, _) => false,
    }
}

fn visibility(known: &FilingContext, candidate: &Candidate) -> Visibility {
    // What was signed and sent is never a reason to show a note among the images (IHE RAD TF-3 4.66: it is no image).
    match (&candidate.rejection_note, &known.rejected_code) {
        (Some(note), _) => Visibility::Rejected(note.title.code().to_owned()),
        (None, Some(code)) => Visibility::Rejected(code.clone()),
        (None, None) => Visibility::Visible,
    }
}

#[cfg(test)]
mod tests {
    use dokuei_database::{BirthDateAndSex, KnownInstance, KnownSeries};
    use dokuei_domain::{FacilityId, PersonName};
    use uuid::Uuid;

    use super::*;

    const IDS: [&str; 4] = ["", "UNKNOWN", "777", "888"];
    const ISSUERS: [&str; 3] = ["", "1.2.392.1", "1.2.392.2"];
    const BIRTH_DATES: [&str; 3] = ["", "19500131", "19630812"];

    fn uuid(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn candidate(id: &str, issuer: &str, birth_date: &str, released: bool) -> Candidate {
        let patient = PatientFacts {
            id: id.into(),
            issuer: issuer.into(),
            birth_date: birth_date.into(),
            ..PatientFacts::default()
        };
        let uid = |text: &str| dokuei_domain::uid::Uid::parse(text).unwrap();
        let facility = FacilityId::parse("HOSP1").unwrap();
        Candidate {
            id: InstanceId(uuid(1)),
            blob_key: BlobKey::instance(&facility, dokuei_domain::BlobId(uuid(1))),
            facility: FacilityIssuer { facility, issuer: "1.2.392.1".into(), aliases: Vec::new() },
            facts: InstanceFacts {
                sop_class: dokuei_domain::SopClassUid::new(uid("1.2")),
                sop_instance: dokuei_domain::SopInstanceUid::new(uid("1.2.3.4.5")),
                transfer_syntax: dokuei_domain::TransferSyntaxUid::new(uid("1.2.840.10008.1.2")),
                study: dokuei_domain::StudyUid::new(uid("1.2.3")),
                series: dokuei_domain::SeriesUid::new(uid("1.2.3.4")),
                patient,
                accession_number: String::new(),
                study_date: String::new(),
                study_time: String::new(),
                study_id: String::new(),
                study_description: String::new(),
                referring_physician: PersonName::default(),
                modality: "CT".into(),
                series_number: None,
                series_description: String::new(),
                body_part: String::new(),
                instance_number: None,
                number_of_frames: None,
                rows: None,
                columns: None,
                slice_position: None,
                window: None,
                charset_repaired: false,
            },
            size_bytes: 1,
            dataset_offset: 1,
            dataset_sha256: [1; 32],
            calling: "CT01".into(),
            received_at: Timestamp(0),
            opens_case: true,
            rejection_note: None,
            released,
        }
    }

    /// Everything that the index may know, in every combination.
    fn contexts() -> Vec<FilingContext> {
        let mut studies = vec![None];
        for state in [StudyState::Receiving, StudyState::Settled, StudyState::Withdrawn] {
            for rejected_entirely in [false, true] {
                for id in IDS {
                    for issuer in ISSUERS {
                        for birth_date in BIRTH_DATES {
                            for provisional in
                                [None, Some(ProvisionalOwner::AsSent), Some(ProvisionalOwner::AnotherPerson)]
                            {
                                studies.push(Some(KnownStudy {
                                    pk: StudyPk(uuid(10)),
                                    state,
                                    rejected_entirely,
                                    opens_case: true,
                                    named_as: BirthDateAndSex { birth_date: birth_date.into(), sex: String::new() },
                                    owner: StudyOwner { issuer: issuer.into(), id: id.into(), provisional },
                                }));
                            }
                        }
                    }
                }
            }
        }
        let instance = |id, hash| {
            Some(KnownInstance { id: InstanceId(uuid(id)), dataset_sha256: [hash; 32], study: StudyPk(uuid(10)) })
        };
        let series =
            |study| Some(KnownSeries { pk: SeriesPk(uuid(20)), study: StudyPk(uuid(study)), instance_count: 1 });
        let mut contexts = Vec::new();
        for study in studies {
            for instance in [None, instance(1, 1), instance(2, 1), instance(2, 2)] {
                for series in [None, series(10), series(11)] {
                    for own_report in [false, true] {
                        for rejected_code in [None, Some("113001".to_owned())] {
                            contexts.push(FilingContext {
                                instance: instance.clone(),
                                own_report,
                                study: study.clone(),
                                series,
                                patient: study.is_none().then_some(PatientPk(uuid(30))),
                                patient_known_as: vec![BirthDateAndSex {
                                    birth_date: "19500131".into(),
                                    sex: String::new(),
                                }],
                                rejected_code,
                            });
                        }
                    }
                }
            }
        }
        contexts
    }

    /// All that may be asked of all that may be known.
    #[test]
    fn nothing_joins_another_patient_another_study_or_what_is_withdrawn() {
        let contexts = contexts();
        for id in IDS {
            for issuer in ISSUERS {
                for birth_date in BIRTH_DATES {
                    for released in [false, true] {
                        let candidate = candidate(id, issuer, birth_date, released);
                        let identity = candidate.identity();
                        for known in &contexts {
                            check(known, &candidate, &identity, decide(known, &candidate));
                        }
                    }
                }
            }
        }
    }

    fn check(known: &FilingContext, candidate: &Candidate, identity: &PatientIdentity, decision: Decision) {
        let (joined, visibility) = match &decision {
            Decision::InSeries { visibility, .. } => {
                assert_eq!(
                    known.series.map(|series| Some(series.study)),
                    Some(known.study.as_ref().map(|study| study.pk))
                );
                (known.study.as_ref(), visibility)
            }
            Decision::InNewSeries { visibility, .. } => (known.study.as_ref(), visibility),
            Decision::InNewStudy { patient, hold, visibility } => {
                assert_eq!((&known.study, &known.series, *patient), (&None, &None, known.patient));
                let contradicts = candidate.facts.patient.birth_date == "19630812";
                assert_eq!(*hold, contradicts.then_some(Difference::BirthDate), "{known:?}");
                (None, visibility)
            }
            // Nothing is filed.
            _ => return,
        };
        assert_eq!((&known.instance, known.own_report), (&None, false), "{decision:?} {known:?}");
        assert_eq!(*visibility != Visibility::Visible, known.rejected_code.is_some());
        let Some(study) = joined else { return };
        assert!(study.state != StudyState::Withdrawn || study.rejected_entirely || candidate.released, "{known:?}");
        let named = &candidate.facts.patient;
        let same = match identity {
            PatientIdentity::Established { issuer, id } => {
                study.owner.provisional != Some(ProvisionalOwner::AsSent)
                    && (&study.owner.issuer, &study.owner.id) == (issuer, id)
            }
            PatientIdentity::Provisional { .. } => {
                let nobody = |id: &str| matches!(id, "" | "UNKNOWN");
                study.owner.provisional == Some(ProvisionalOwner::AsSent)
                    && (nobody(&named.id) && nobody(&study.owner.id)
                        || (&study.owner.id, &study.owner.issuer) == (&named.id, &named.issuer))
            }
        };
        assert!(same, "{identity:?} joined {:?}", study.owner);
        let (mine, theirs) = (&named.birth_date, &study.named_as.birth_date);
        assert!(mine.is_empty() || theirs.is_empty() || mine == theirs || candidate.released, "{mine} {theirs}");
    }

    #[test]
    fn what_is_stored_already_is_found_before_anything_else_is_asked() {
        let candidate = candidate("888", "", "19630812", false);
        for known in contexts() {
            let decision = decide(&known, &candidate);
            match &known.instance {
                Some(instance) if instance.id == candidate.id => assert!(matches!(decision, Decision::Ours { .. })),
                Some(instance) if instance.dataset_sha256 == [1; 32] => {
                    assert!(matches!(decision, Decision::AlreadyStored { .. }));
                }
                Some(_) => assert_eq!(decision, Decision::Quarantine(QuarantineReason::SameUidOtherContent)),
                None => assert!(!matches!(decision, Decision::Ours { .. } | Decision::AlreadyStored { .. })),
            }
        }
    }
}
