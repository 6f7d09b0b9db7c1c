//! Looking for studies by patient's name in any script, Patient ID, Accession Number and Study Date.

use std::sync::Arc;

use dokuei_access::{Action, Resource};
use dokuei_database::{StudyRow, StudySelection};
use dokuei_domain::{Actor, FacilityId, name_search};
use dokuei_jobs::Periodic;

use crate::{Ingest, IngestError, studies::allow};

/// What somebody looks for. All conditions hold together; the default finds everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudySearch {
    /// A name or the beginning of one in kanji, kana or romaji, a Patient ID, an Accession Number; several words must all be met.
    pub text: String,
    /// Of this facility only. A facility's account finds its own studies whatever stands here.
    pub facility: Option<FacilityId>,
    /// First and last Study Date, as DICOM writes it (`YYYYMMDD`).
    pub from: Option<String>,
    pub to: Option<String>,
}

impl StudySearch {
    /// Nothing narrows the list.
    pub fn is_everything(&self) -> bool {
        self.text.trim().is_empty() && self.facility.is_none() && self.from.is_none() && self.to.is_none()
    }
}

/// Studies, latest received first.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundStudies {
    pub studies: Vec<StudyRow>,
    /// There are more than the limit that was asked for.
    pub more: bool,
}

/// Studies whose tokens are made in one transaction.
const RENEWED_AT_ONCE: u32 = 50;

impl Ingest {
    /// Up to `limit` studies that the actor may see: a facility its own, the office and administrators all.
    pub async fn find_studies(
        &self,
        actor: &Actor,
        search: &StudySearch,
        limit: u32,
    ) -> Result<FoundStudies, IngestError> {
        match actor.facility() {
            Some(facility) => allow(actor, Action::ViewOwnStudies, Resource::Facility(facility))?,
            None => allow(actor, Action::ViewOffice, Resource::Node)?,
        }
        let words = name_search::query(&search.text);
        if words.is_empty() && !search.text.trim().is_empty() {
            // Something was typed and nothing of it can be searched for: that is not a question about all.
            return Ok(FoundStudies { studies: Vec::new(), more: false });
        }
        let selection = StudySelection {
            facility: actor.facility().or(search.facility.as_ref()),
            words: &words,
            from: search.from.as_deref(),
            to: search.to.as_deref(),
            limit: limit.saturating_add(1),
        };
        let mut studies = self.database.read().await?.study_search(&selection).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = studies.len() > limit;
        studies.truncate(limit);
        Ok(FoundStudies { studies, more })
    }

    /// Makes the studies findable that are not: those of before there was a search, and those under older folds. Gives their number.
    pub async fn renew_name_tokens(&self) -> Result<usize, IngestError> {
        let mut renewed = 0;
        loop {
            // Short transactions: on SQLite senders wait for them.
            let mut tx = self.database.write().await?;
            let some = tx.patient_name_tokens_renew(RENEWED_AT_ONCE).await?;
            tx.commit().await?;
            renewed += some;
            if some == 0 {
                return Ok(renewed);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Keeps every study findable.
pub(crate) struct NameTokens(pub(crate) Arc<Ingest>);

#[async_trait::async_trait]
impl Periodic for NameTokens {
    fn name(&self) -> &'static str {
        "patient_names"
    }

    fn every_seconds(&self) -> i64 {
        3600
    }

    async fn run(&self) -> Result<(), String> {
        let renewed = self.0.renew_name_tokens().await.map_err(|error| error.to_string())?;
        if renewed > 0 {
            tracing::info!(studies = renewed, "made studies findable by name");
        }
        Ok(())
    }
}
