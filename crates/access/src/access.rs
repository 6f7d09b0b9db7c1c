//! The service: what it holds, and how refusals are audited.

use std::sync::Arc;

use dokuei_database::{AuditEvent, AuditOutcome, Database};
use dokuei_domain::{Actor, Ambient};

use crate::{
    AccessError, AccessSettings, Action, NodeKeys, Resource,
    password::Workbench,
    rights::{Denied, can},
};

/// Accounts, sessions, facilities, peers and approvals of one node. Two processes may use the same database at once.
#[derive(Clone)]
pub struct Access {
    pub(crate) db: Database,
    pub(crate) ambient: Ambient,
    pub(crate) keys: Arc<NodeKeys>,
    pub(crate) settings: Arc<AccessSettings>,
    pub(crate) bench: Workbench,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Access {
    pub fn new(db: Database, ambient: Ambient, keys: Arc<NodeKeys>, settings: AccessSettings) -> Self {
        let bench = Workbench::new(settings.password_cost, settings.parallel_hashes);
        Self { db, ambient, keys, settings: Arc::new(settings), bench }
    }

    pub fn settings(&self) -> &AccessSettings {
        &self.settings
    }

    /// The certificate of the node's authority, DER.
    pub fn authority_der(&self) -> &[u8] {
        self.keys.authority_der()
    }

    /// The certificate of the node's authority, PEM.
    pub fn authority_pem(&self) -> Result<String, AccessError> {
        Ok(self.keys.authority_pem()?)
    }

    /// [`can`], and an audit row when the answer is no. `subject` names what was asked for by our id or a UID.
    pub async fn require(
        &self,
        actor: &Actor,
        action: Action,
        resource: Resource<'_>,
        subject: &str,
    ) -> Result<(), AccessError> {
        match can(actor, action, resource) {
            Ok(()) => Ok(()),
            Err(denied) => {
                self.audit_denied(actor, &denied, subject).await?;
                Err(denied.into())
            }
        }
    }

    /// Writes the audit row of a refusal that a use case has had from [`can`].
    pub async fn audit_denied(&self, actor: &Actor, denied: &Denied, subject: &str) -> Result<(), AccessError> {
        let mut event = AuditEvent::new(self.ambient.now(), actor, "access.denied", AuditOutcome::Refused);
        if let Some(facility) = &denied.facility {
            event = event.facility(facility);
        }
        let mut tx = self.db.write().await?;
        tx.audit(event.subject(subject).detail(denied.action.as_str()));
        tx.commit().await?;
        Ok(())
    }

    pub(crate) fn event(&self, actor: &Actor, action: &'static str, outcome: AuditOutcome) -> AuditEvent {
        AuditEvent::new(self.ambient.now(), actor, action, outcome)
    }

    pub(crate) fn success(&self, actor: &Actor, action: &'static str) -> AuditEvent {
        self.event(actor, action, AuditOutcome::Success)
    }
}

/// Checks a short text that a person typed: trimmed, neither empty nor longer than 64 characters, no control characters.
pub(crate) fn short_text(field: &'static str, text: &str) -> Result<String, AccessError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
        return Err(AccessError::Text { field, rule: "1 to 64 characters without line breaks" });
    }
    Ok(text.to_owned())
}
