//! The audit trail for those who may look at it, and the door through which adapters write to it.

use dokuei_database::{AuditEvent, AuditRow};
use dokuei_domain::Actor;

use crate::{Access, AccessError, Action, Resource};

impl Access {
    /// Writes an event that belongs to no transaction of a use case, such as an association that was refused. Names and IDs of patients do not belong in it.
    pub async fn record(&self, event: AuditEvent) -> Result<(), AccessError> {
        let mut tx = self.db.write().await?;
        tx.audit(event);
        tx.commit().await?;
        Ok(())
    }

    /// The youngest events, youngest first; at most a thousand.
    pub async fn audit_latest(&self, actor: &Actor, limit: u32) -> Result<Vec<AuditRow>, AccessError> {
        self.require(actor, Action::ViewAudit, Resource::Node, "audit").await?;
        Ok(self.db.read().await?.audit_latest(limit.min(1000)).await?)
    }

    /// Checks the whole chain: the number of events, or the sequence of the first that was altered or follows a missing one.
    pub async fn audit_verify(&self, actor: &Actor) -> Result<Result<i64, i64>, AccessError> {
        self.require(actor, Action::ViewAudit, Resource::Node, "audit").await?;
        Ok(self.db.read().await?.audit_verify().await?)
    }
}
