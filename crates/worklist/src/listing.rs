//! Who sees which cases, and in what order.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{CaseEntryRow, CaseSelection, ReaderSelection};
use dokuei_domain::{AccountId, Actor, CaseId, FacilityId, Timestamp};

use crate::{CaseDetail, Subject, Worklist, WorklistEntry, WorklistError, assignment::WITHOUT_SKILL};

const DEFAULT_LIMIT: u32 = 200;
const GREATEST_LIMIT: u32 = 1_000;
const HISTORY_LIMIT: u32 = 100;

/// Finished cases are listed for so long after they were opened or signed; those that need somebody, for ever.
const FINISHED_SECONDS: i64 = 31 * 24 * 3600;

/// Which part of the cases a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorklistView {
    /// To be read.
    Open,
    /// Signed. A reader's own.
    Finished,
    /// Both; for the office with withdrawn ones.
    All,
}

/// What a list shows. The default is what the actor usually works with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorklistFilter {
    /// `None`: a reader's open cases; everything for office and facility.
    pub view: Option<WorklistView>,
    /// Only of this facility.
    pub facility: Option<FacilityId>,
    /// Finished cases from here on; by default of the last 31 days.
    pub since: Option<Timestamp>,
    /// At most so many; 200 by default, never more than 1000.
    pub limit: Option<u32>,
}

/// Whose eyes look at the cases.
enum Scope {
    /// Every case, withdrawn ones too.
    Office,
    /// Open cases within reach of this reader, and what they signed.
    Reader(AccountId),
    /// One facility's cases, but no withdrawn ones.
    Facility(FacilityId),
}

impl Worklist {
    /// The cases that the actor may see, in the order of work. One statement (a reader's `All`: two), however many cases there are.
    ///
    /// Readers: own claims, then what is assigned to them, then what is free and within their skills, each by urgency and due time; never another reader's
    /// claim. Office: signed cases that need somebody again (a return failed, images came later), then open ones by urgency and due time, then finished and
    /// withdrawn ones, newest first. Facilities: the same of their own, without withdrawn ones.
    pub async fn entries(&self, actor: &Actor, filter: &WorklistFilter) -> Result<Vec<WorklistEntry>, WorklistError> {
        let result = self.entries_unaudited(actor, filter).await;
        self.audited(actor, "worklist.view", Subject::Lists, result).await
    }

    async fn entries_unaudited(
        &self,
        actor: &Actor,
        filter: &WorklistFilter,
    ) -> Result<Vec<WorklistEntry>, WorklistError> {
        let now = self.ambient.now();
        let scope = scope(actor, filter.facility.as_ref())?;
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).min(GREATEST_LIMIT);
        let since = filter.since.unwrap_or(now.plus_seconds(-FINISHED_SECONDS));
        let (facility, view) = match &scope {
            Scope::Office => (filter.facility.as_ref(), filter.view.unwrap_or(WorklistView::All)),
            Scope::Reader(_) => (filter.facility.as_ref(), filter.view.unwrap_or(WorklistView::Open)),
            Scope::Facility(own) => (Some(own), filter.view.unwrap_or(WorklistView::All)),
        };
        let (open, finished) = (view != WorklistView::Finished, view != WorklistView::Open);
        let mut tx = self.database.read().await?;
        let rows = match &scope {
            Scope::Office | Scope::Facility(_) => {
                let withdrawn = view == WorklistView::All && matches!(scope, Scope::Office);
                tx.case_entries(CaseSelection { facility, open, finished, withdrawn, since, limit }).await?
            }
            Scope::Reader(reader) => {
                let mut rows = Vec::new();
                if open {
                    let assigned_before = self.settings.pickup_cutoff(now);
                    let selection =
                        ReaderSelection { reader, facility, assigned_before, without_skill: &WITHOUT_SKILL, limit };
                    rows = tx.case_entries_for_reader(selection).await?;
                }
                if finished {
                    rows.extend(tx.case_entries_signed_by(reader, facility, since, limit).await?);
                }
                rows
            }
        };
        let is_facility = matches!(scope, Scope::Facility(_));
        Ok(rows.into_iter().map(|row| self.entry(row, now, is_facility)).collect())
    }

    /// One case with its requests and workitems. Looking is audited, since it shows a patient; a page that only wants to know whether something changed asks
    /// [`Self::entries`].
    ///
    /// Readers see every facility's cases, except those that another reader has claimed; withdrawn ones are for the office alone.
    pub async fn case(&self, actor: &Actor, case: CaseId) -> Result<CaseDetail, WorklistError> {
        let result = self.case_unaudited(actor, case).await;
        let detail = self.audited(actor, "case.view", Subject::Case(case), result).await?;
        if actor.account().is_some() {
            let mut tx = self.database.write().await?;
            tx.audit(self.success(actor, "case.view", &detail.entry.facility, case));
            tx.commit().await?;
        }
        Ok(detail)
    }

    async fn case_unaudited(&self, actor: &Actor, case: CaseId) -> Result<CaseDetail, WorklistError> {
        let now = self.ambient.now();
        let mut tx = self.database.read().await?;
        let row = tx.case_entry(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        let claimed_by =
            row.open_workitem.as_ref().and_then(|open| open.performer.as_ref()).map(|(account, _)| account);
        can(actor, Action::ViewCase, Resource::Case { facility: &row.facility, claimed_by })?;
        if row.withdrawn_at.is_some() && can(actor, Action::ViewOffice, Resource::Node).is_err() {
            return Err(WorklistError::Withdrawn);
        }
        let is_facility = actor.facility().is_some();
        let requests = tx.request_list(case, HISTORY_LIMIT).await?;
        let workitems = if is_facility { Vec::new() } else { tx.workitem_history(case, HISTORY_LIMIT).await? };
        Ok(CaseDetail { entry: self.entry(row, now, is_facility), requests, workitems })
    }

    fn entry(&self, row: CaseEntryRow, now: Timestamp, is_facility: bool) -> WorklistEntry {
        let entry = WorklistEntry::new(row, now);
        if is_facility { entry.for_facility() } else { entry }
    }
}

/// Decides what the query may find.
fn scope(actor: &Actor, wanted: Option<&FacilityId>) -> Result<Scope, WorklistError> {
    if let Some(own) = actor.facility() {
        let facility = wanted.unwrap_or(own);
        can(actor, Action::ViewOwnStudies, Resource::Facility(facility))?;
        return Ok(Scope::Facility(facility.clone()));
    }
    if can(actor, Action::ViewOffice, Resource::Node).is_ok() {
        return Ok(Scope::Office);
    }
    can(actor, Action::ViewWorklist, Resource::Node)?;
    let reader = actor.account().ok_or(WorklistError::OnlyReaders)?;
    Ok(Scope::Reader(reader.clone()))
}
