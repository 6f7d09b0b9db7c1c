//! Where results of storage commitment go, for each AE title that asks for it.

use dokuei_database::CommitmentTargetRow;
use dokuei_domain::{Actor, AeTitle, FacilityId};

use crate::{Access, AccessError, Action, Resource, ReturnTarget, rights::can};

impl Access {
    /// Sets where a facility's AE title listens. The title must be one of its peers; an earlier address is replaced.
    pub async fn commitment_target_set(
        &self,
        actor: &Actor,
        facility: &FacilityId,
        target: &ReturnTarget,
    ) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, facility.as_str()).await?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        if tx.facility_find(facility).await?.is_none() {
            return Err(AccessError::UnknownFacility(facility.clone()));
        }
        if !tx.peer_list(facility).await?.iter().any(|peer| peer.calling == target.called) {
            let rule = "an AE title that the facility sends as";
            return Err(AccessError::Text { field: "the title of a commitment target", rule });
        }
        let row = CommitmentTargetRow {
            calling: target.called.clone(),
            host: target.host.clone(),
            port: target.port,
            tls: target.tls,
        };
        tx.commitment_target_set(facility, &row, now).await?;
        let event = self.success(actor, "facility.edit").facility(facility).subject(facility);
        tx.audit(event.detail(format!("results of storage commitment go to {target}")));
        tx.commit().await?;
        Ok(())
    }

    /// Whether a return target of the facility is asked to answer for the reports that it accepts from now on.
    pub async fn return_target_ask_commitment(
        &self,
        actor: &Actor,
        facility: &FacilityId,
        target: &ReturnTarget,
        asked: bool,
    ) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, facility.as_str()).await?;
        let since = asked.then(|| self.ambient.now());
        let mut tx = self.db.write().await?;
        let ReturnTarget { called, host, port, .. } = target;
        if !tx.return_target_ask_commitment(facility, called, host, *port, since).await? {
            let rule = "one of the facility's return targets";
            return Err(AccessError::Text { field: "the target to ask for storage commitment", rule });
        }
        let event = self.success(actor, "facility.edit").facility(facility).subject(facility);
        let asked = if asked { "is asked" } else { "is not asked" };
        tx.audit(event.detail(format!("{target} {asked} for storage commitment of reports")));
        tx.commit().await?;
        Ok(())
    }

    /// Forgets where an AE title listens.
    pub async fn commitment_target_remove(
        &self,
        actor: &Actor,
        facility: &FacilityId,
        calling: &AeTitle,
    ) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, facility.as_str()).await?;
        let mut tx = self.db.write().await?;
        if !tx.commitment_target_remove(facility, calling).await? {
            return Err(AccessError::NothingToRemove(calling.to_string()));
        }
        let event = self.success(actor, "facility.edit").facility(facility).subject(facility);
        tx.audit(event.detail(format!("results of storage commitment no longer go to {calling}")));
        tx.commit().await?;
        Ok(())
    }

    /// What was set for a facility, by AE title.
    pub async fn commitment_targets(
        &self,
        actor: &Actor,
        facility: &FacilityId,
    ) -> Result<Vec<ReturnTarget>, AccessError> {
        if can(actor, Action::ViewOffice, Resource::Node).is_err() {
            self.require(actor, Action::ManageFacilities, Resource::Node, facility.as_str()).await?;
        }
        let rows = self.db.read().await?.commitment_target_list(facility).await?;
        let target = |row: CommitmentTargetRow| {
            let CommitmentTargetRow { calling, host, port, tls } = row;
            ReturnTarget { called: calling, host, port, tls }
        };
        Ok(rows.into_iter().map(target).collect())
    }
}
