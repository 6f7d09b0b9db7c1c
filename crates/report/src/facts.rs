//! What is known of a case at the moment of signing: everything that is frozen, read in one go.

use dokuei_database::{
    CaseHead, DraftRow, FacilityRow, InstanceRow, PatientRow, ReadTx, ReaderRow, ReadingRequestRow, ReportVersionRow,
    SeriesRow, StudyRow, StudyState,
};
use dokuei_domain::{AccountId, CaseId, StudyPk};

use crate::ReportError;

/// A case with its studies down to every instance.
#[derive(Debug, Clone)]
pub(crate) struct CaseFacts {
    pub(crate) head: CaseHead,
    pub(crate) facility: FacilityRow,
    pub(crate) patient: PatientRow,
    /// In the order of their keys; at least one.
    pub(crate) studies: Vec<StudyFacts>,
    /// The latest one.
    pub(crate) request: Option<ReadingRequestRow>,
    pub(crate) author: ReaderRow,
    pub(crate) draft: DraftRow,
    /// UID of the workitem under which the author works.
    pub(crate) workitem: String,
    pub(crate) last: Option<ReportVersionRow>,
}

#[derive(Debug, Clone)]
pub(crate) struct StudyFacts {
    pub(crate) row: StudyRow,
    pub(crate) series: Vec<(SeriesRow, Vec<InstanceRow>)>,
}

/// What must not have changed between freezing and storing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StudyFingerprint {
    pub(crate) study: StudyPk,
    instance_count: i64,
    expected_instances: Option<i64>,
    receiving: bool,
    withdrawn: bool,
}

impl StudyFingerprint {
    pub(crate) fn of(row: &StudyRow) -> Self {
        Self {
            study: row.pk,
            instance_count: row.instance_count,
            expected_instances: row.expected_instances,
            receiving: row.state == StudyState::Receiving,
            withdrawn: row.withdrawn_at.is_some() || row.state == StudyState::Withdrawn,
        }
    }
}

impl CaseFacts {
    /// Reads everything. The claim is checked first, so that nobody without one learns more.
    pub(crate) async fn load(
        read: &mut ReadTx,
        case: CaseId,
        author: &AccountId,
        transaction_uid: &str,
    ) -> Result<Self, ReportError> {
        let head = read.case_head(case).await?.ok_or(ReportError::NotFound)?;
        let workitem = read.workitem_held(case, author, transaction_uid).await?.ok_or(ReportError::ClaimLost)?;
        if head.withdrawn_at.is_some() {
            return Err(ReportError::Withdrawn);
        }
        let facility = read.facility_find(&head.facility).await?.ok_or(ReportError::NotFound)?;
        let author = read.reader_find(author).await?.ok_or(ReportError::NotFound)?;
        let draft = read.draft_find(case).await?.ok_or(ReportError::Empty)?;
        let mut studies = Vec::new();
        for study in read.report_case_studies(case).await? {
            let Some(row) = read.study_by_pk(study).await? else { continue };
            if row.withdrawn_at.is_some() {
                return Err(ReportError::Withdrawn);
            }
            studies.push(StudyFacts { series: series_of(read, study).await?, row });
        }
        let patient = studies.first().map(|study| study.row.patient.clone()).ok_or(ReportError::NoImages)?;
        Ok(Self {
            request: read.request_list(case, 1).await?.pop(),
            last: read.report_version_last(case).await?,
            head,
            facility,
            patient,
            studies,
            author,
            draft,
            workitem,
        })
    }

    pub(crate) fn instance_count(&self) -> usize {
        self.studies.iter().flat_map(|study| &study.series).map(|(_, instances)| instances.len()).sum()
    }

    pub(crate) fn fingerprints(&self) -> Vec<StudyFingerprint> {
        self.studies.iter().map(|study| StudyFingerprint::of(&study.row)).collect()
    }

    /// What is missing, as far as anybody knows: fewer images than the facility announced, or images still arriving. `None`: complete.
    pub(crate) fn missing(&self) -> Option<(i64, Option<i64>)> {
        let short = |row: &StudyRow| row.expected_instances.is_some_and(|expected| expected > row.instance_count);
        let rows = || self.studies.iter().map(|study| &study.row);
        let received = rows().map(|row| row.instance_count).sum();
        if rows().any(short) {
            let expected =
                rows().map(|row| row.expected_instances.unwrap_or(row.instance_count).max(row.instance_count)).sum();
            return Some((received, Some(expected)));
        }
        rows().any(|row| row.state == StudyState::Receiving).then_some((received, None))
    }
}

async fn series_of(read: &mut ReadTx, study: StudyPk) -> Result<Vec<(SeriesRow, Vec<InstanceRow>)>, ReportError> {
    let mut series: Vec<(SeriesRow, Vec<InstanceRow>)> =
        read.series_of_study(study).await?.into_iter().map(|series| (series, Vec::new())).collect();
    let position: std::collections::HashMap<_, _> =
        series.iter().enumerate().map(|(index, (row, _))| (row.pk, index)).collect();
    for instance in read.instances_of_study(study).await? {
        if let Some((_, instances)) = position.get(&instance.series).and_then(|index| series.get_mut(*index)) {
            instances.push(instance);
        }
    }
    Ok(series)
}
