//! What was decided about objects and is part of none of them, kept in the store beside them, so that the store alone can rebuild the index.
//!
//! * 取消: a study that its facility has taken back must not come back with a lost database. The fact is durable before the facility is told.
//! * Quarantine: which of two contents of one UID was filed is decided by the order of filing, which no header can tell when both were on their way at the
//!   same time. The one that was kept aside is named here, so that a rebuild keeps the same one aside. Written by [`KeepQuarantine`] within seconds; a
//!   person's decision is a later fact about the same object.
//!
//! To add a fact: a variant, what a rebuild does with it in `adopt`, and a sample of its stored form in the test below. Kinds that this version does not
//! know are left alone.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use dokuei_database::QuarantineToKeep;
use dokuei_domain::{BlobId, FacilityId, StudyUid, Timestamp};
use dokuei_image_store::{BlobKey, BlobKeyParts, ImageStore, StoreError};
use dokuei_jobs::Periodic;
use serde::{Deserialize, Serialize};

use crate::{Ingest, incoming::with_causes};

/// The state of an object about which nothing was decided.
const HELD: &str = "held";
/// The longest fact that is read.
const LONGEST_FACT: u64 = 256 * 1024;

/// One fact as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// 取消.
    StudyWithdrawn(StudyWithdrawn),
    /// An object in quarantine, and what was decided about it.
    Quarantined(Quarantined),
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StudyWithdrawn {
    pub(crate) study: StudyUid,
    pub(crate) reason: String,
    /// As in the audit trail.
    pub(crate) by: String,
    pub(crate) at_us: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quarantined {
    pub(crate) blob: BlobId,
    /// `held`, `released` or `rejected`.
    pub(crate) state: String,
    /// As the row says: an object that cannot be read has no other place that would.
    pub(crate) sop_instance: String,
    pub(crate) study: String,
    #[serde(with = "hex_text")]
    pub(crate) dataset_sha256: [u8; 32],
    pub(crate) calling: String,
    pub(crate) received_at_us: Timestamp,
    pub(crate) reason: String,
    pub(crate) detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decided_at_us: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision_reason: Option<String>,
}

/// A hash as people write it.
mod hex_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut hash = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut hash).map_err(D::Error::custom)?;
        Ok(hash)
    }
}

/// The facts that a walk over the blobs needs.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) withdrawn: HashMap<(FacilityId, StudyUid), StudyWithdrawn>,
    pub(crate) quarantined: HashMap<BlobId, Quarantined>,
    /// Facts that could not be read, with the reason.
    pub(crate) unreadable: Vec<(BlobKey, String)>,
}

impl Facts {
    /// Reads the facts written since `since`, all of them without it. Memory: some hundred bytes for each study withdrawn and each object ever kept aside.
    pub(crate) async fn load(store: &ImageStore, since: Option<Timestamp>) -> Result<Self, StoreError> {
        let mut facts = Self::default();
        let mut list = store.list("facts/v1/");
        while let Some((key, _)) = list.next().await? {
            let BlobKeyParts::Fact { facility, fact } = key.parts() else { continue };
            if since.is_some_and(|since| *fact < first_uuid_at(since)) {
                continue;
            }
            match read(store, &key).await {
                // In the order of writing.
                Ok(Fact::StudyWithdrawn(withdrawn)) => {
                    facts.withdrawn.entry((facility.clone(), withdrawn.study.clone())).or_insert(withdrawn);
                }
                Ok(Fact::Quarantined(quarantined)) => {
                    // A decision is never taken back, however close the two were written.
                    let known = facts.quarantined.get(&quarantined.blob);
                    if known.is_none_or(|known| known.state == HELD) {
                        facts.quarantined.insert(quarantined.blob, quarantined);
                    }
                }
                Ok(Fact::Unknown) => {}
                Err(reason) => facts.unreadable.push((key, reason)),
            }
        }
        Ok(facts)
    }
}

async fn read(store: &ImageStore, key: &BlobKey) -> Result<Fact, String> {
    let bytes = store.read_to_vec(key, LONGEST_FACT).await.map_err(|error| with_causes(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the fact does not parse: {error}"))
}

/// The smallest version 7 UUID of an instant.
pub(crate) fn first_uuid_at(at: Timestamp) -> uuid::Uuid {
    let millis = u128::try_from(at.micros() / 1_000).unwrap_or(0);
    uuid::Uuid::from_u128(millis << 80)
}

impl Ingest {
    /// Stores a fact; when this returns it is durable.
    pub(crate) async fn keep_fact(&self, facility: &FacilityId, fact: &Fact) -> Result<(), StoreError> {
        // Plain fields, which cannot fail to become JSON.
        let json = serde_json::to_vec(fact).unwrap_or_default();
        self.store.put(BlobKey::fact(facility, self.ambient.new_uuid()), Bytes::from(json)).await.map(drop)
    }
}

/// Writes down what is in quarantine and what was decided about it.
pub(crate) struct KeepQuarantine(pub(crate) Arc<Ingest>);

impl KeepQuarantine {
    async fn keep(&self, row: &QuarantineToKeep) -> Result<(), String> {
        let ingest = &self.0;
        let fact = Fact::Quarantined(Quarantined {
            blob: BlobId(row.id),
            state: row.state.clone(),
            sop_instance: row.sop_instance.clone(),
            study: row.study.clone(),
            dataset_sha256: row.dataset_sha256,
            calling: row.calling_aet.clone(),
            received_at_us: row.received_at,
            reason: row.reason.clone(),
            detail: row.detail.clone(),
            decided_by: row.decided_by.clone(),
            decided_at_us: row.decided_at,
            decision_reason: row.decision_reason.clone(),
        });
        ingest.keep_fact(&row.facility, &fact).await.map_err(|error| with_causes(&error))?;
        let recorded = async {
            let mut tx = ingest.database.write().await?;
            tx.quarantine_kept(row.id, &row.state).await?;
            tx.commit().await
        };
        // Not recorded: the fact is written a second time, which changes nothing.
        recorded.await.map_err(|error| error.chain())
    }
}

#[async_trait::async_trait]
impl Periodic for KeepQuarantine {
    fn name(&self) -> &'static str {
        "keep_quarantine"
    }

    fn every_seconds(&self) -> i64 {
        5
    }

    async fn run(&self) -> Result<(), String> {
        loop {
            let found = async { self.0.database.read().await?.quarantine_to_keep(100).await };
            let rows = found.await.map_err(|error| error.chain())?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.keep(&row).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored by the first version; must stay readable for as long as images are kept.
    #[test]
    fn facts_of_every_version_are_read() {
        let withdrawn = r#"{"fact":"study_withdrawn","study":"1.2.3","reason":"別の患者","by":"account:F1","at_us":1795305600000000}"#;
        let object = r#""sop_instance":"1.2.3.4","study":"1.2.3","dataset_sha256":"0101010101010101010101010101010101010101010101010101010101010101","calling":"HOSP1","received_at_us":1795305600000000,"reason":"same_uid_other_content","detail":"differs""#;
        let blob = r#""blob":"0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b""#;
        let held = &format!(r#"{{"fact":"quarantined",{blob},"state":"held",{object}}}"#);
        let decision = r#""decided_by":"account:O1","decided_at_us":1795305600000001,"decision_reason":"誤送信""#;
        let rejected = &format!(r#"{{"fact":"quarantined",{blob},"state":"rejected",{object},{decision}}}"#);
        for text in [withdrawn, held, rejected] {
            let fact: Fact = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&fact).unwrap(), text);
        }
        let of_tomorrow: Fact = serde_json::from_str(r#"{"fact":"from_a_later_version","x":1}"#).unwrap();
        assert_eq!(of_tomorrow, Fact::Unknown);
    }

    #[test]
    fn an_instant_lies_before_the_identifiers_made_in_it() {
        let (_, ambient) = dokuei_testkit::test_ambient(9);
        let made = ambient.new_uuid();
        assert!(first_uuid_at(ambient.now()) < made);
        assert!(first_uuid_at(ambient.now().plus_millis(1)) > made);
        assert_eq!(first_uuid_at(Timestamp(-1)), uuid::Uuid::nil());
    }
}
