//! Re-enrolment of somebody who has lost password, second factor or both: one administrator asks, another one grants, and a one-time token gives new
//! credentials. For a reader that means a new key and certificate; what the old one signed stays valid.

use dokuei_database::ApprovalRow;
use dokuei_domain::{AccountId, Actor, Role, Timestamp};
use uuid::Uuid;

use crate::{
    Access, AccessError, Action, Enrolment, Resource, access::short_text, enrolment::store_enrolment, one_time,
    sign_in::bounded,
};

const KIND: &str = "reenrol";

/// A re-enrolment that waits: for a second administrator, or granted and for its token to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub id: Uuid,
    pub account: AccountId,
    pub reason: String,
    pub requested_by: String,
    pub requested_at: Timestamp,
    pub granted_by: Option<String>,
    /// When the token of a granted one stops working; in the past: it has.
    pub token_expires_at: Option<Timestamp>,
}

impl Access {
    /// Asks for the re-enrolment of an account. Nothing changes for the account until the token is used.
    pub async fn reenrol_request(&self, actor: &Actor, account: &AccountId, reason: &str) -> Result<Uuid, AccessError> {
        let administrator = self.administrator(actor, account.as_str()).await?;
        let reason = short_text("the reason", reason)?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        let row = tx.account_lock(account).await?.ok_or_else(|| AccessError::UnknownAccount(account.clone()))?;
        if row.disabled_at.is_some() {
            return Err(AccessError::AccountDisabled(account.clone()));
        }
        if tx.approval_waiting(account).await? {
            return Err(AccessError::ApprovalWaiting(account.clone()));
        }
        let id = self.ambient.new_uuid();
        tx.approval_insert(id, KIND, account, &reason, &administrator, now).await?;
        tx.audit(self.success(actor, "reenrol.request").subject(account).detail(format!("approval {id}")));
        tx.commit().await?;
        Ok(id)
    }

    /// Grants what another administrator has asked for and gives the one-time token, to be handed to the person.
    pub async fn reenrol_grant(&self, actor: &Actor, approval: Uuid) -> Result<String, AccessError> {
        let administrator = self.administrator(actor, &approval.to_string()).await?;
        let now = self.ambient.now();
        let (token, hash) = one_time::new_token(&self.ambient);
        let mut tx = self.db.write().await?;
        let row = tx.approval_find(approval).await?.ok_or(AccessError::UnknownApproval)?;
        if !tx.approval_grant(approval, &administrator, &hash, now).await? {
            let decided = row.granted_at.is_some() || row.refused_at.is_some();
            let error = if decided { AccessError::ApprovalDecided } else { AccessError::SameAdministrator };
            drop(tx);
            return self.approval_refused(actor, "reenrol.grant", &row, error).await;
        }
        // Two administrators means two who are: one who was disabled since counts no more.
        let requester = match AccountId::parse(&row.requested_by) {
            Ok(id) => tx.account_find(&id).await?,
            Err(_) => None,
        };
        if !requester.is_some_and(|requester| requester.role == Role::Administrator && requester.disabled_at.is_none())
        {
            drop(tx);
            return self.approval_refused(actor, "reenrol.grant", &row, AccessError::NeedsAdministrator).await;
        }
        tx.audit(
            self.success(actor, "reenrol.grant")
                .subject(&row.account)
                .detail(format!("approval {approval}, asked for by {}", row.requested_by)),
        );
        tx.commit().await?;
        Ok(token)
    }

    /// Refuses a request, or takes back a grant whose token was not used. The one who asked may do it too.
    pub async fn reenrol_refuse(&self, actor: &Actor, approval: Uuid) -> Result<(), AccessError> {
        let administrator = self.administrator(actor, &approval.to_string()).await?;
        let mut tx = self.db.write().await?;
        let row = tx.approval_find(approval).await?.ok_or(AccessError::UnknownApproval)?;
        if !tx.approval_refuse(approval, &administrator, self.ambient.now()).await? {
            return Err(AccessError::ApprovalDecided);
        }
        tx.audit(self.success(actor, "reenrol.refuse").subject(&row.account).detail(format!("approval {approval}")));
        tx.commit().await?;
        Ok(())
    }

    /// Uses the token: new password, second factor and recovery codes, for a reader a new certificate; all sessions end and the old certificate signs no
    /// more. The token works once and until it expires.
    pub async fn reenrol_complete(&self, token: &str, address: &str) -> Result<Enrolment, AccessError> {
        const ACTION: &str = "reenrol.complete";
        let actor = Actor::System("reenrol");
        let address = bounded(address);
        let hash = one_time::token_hash(token).ok_or(AccessError::TokenInvalid)?;
        let granted_after = self.ambient.now().plus_seconds(-self.settings.enrolment_token_seconds);
        let mut read = self.db.read().await?;
        let approval = read.approval_by_token(&hash).await?.ok_or(AccessError::TokenInvalid)?;
        let usable = approval.used_at.is_none()
            && approval.refused_at.is_none()
            && approval.granted_at.is_some_and(|at| at > granted_after);
        if !usable {
            return self.approval_refused(&actor, ACTION, &approval, AccessError::TokenInvalid).await;
        }
        let account = approval.account.clone();
        let reader = read.reader_find(&account).await?;
        drop(read);
        let prepared = self
            .prepare_enrolment(&account, reader.as_ref().map(|reader| (&reader.name, reader.organisation.as_str())))
            .await?;

        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        let row = tx.account_lock(&account).await?.ok_or_else(|| AccessError::UnknownAccount(account.clone()))?;
        if row.disabled_at.is_some() {
            drop(tx);
            return self.approval_refused(&actor, ACTION, &approval, AccessError::AccountDisabled(account)).await;
        }
        if !tx.approval_use(approval.id, granted_after, now).await? {
            drop(tx);
            return self.approval_refused(&actor, ACTION, &approval, AccessError::TokenInvalid).await;
        }
        tx.account_reenrol(&account, &prepared.password_hash, &prepared.sealed_totp_secret, 0, now).await?;
        if reader.is_some() {
            tx.certificate_supersede(&account, now).await?;
        }
        store_enrolment(&mut tx, &prepared).await?;
        tx.session_end_all(&account, now).await?;
        Self::forgive(&mut tx, &account).await?;
        tx.approval_close_others(&account, approval.id, "reenrol", now).await?;
        tx.audit(
            self.success(&actor, ACTION).subject(&account).detail(format!("approval {} from {address}", approval.id)),
        );
        if let Some(serial) = &prepared.enrolment.certificate_serial {
            tx.audit(
                self.success(&actor, "certificate.issue").subject(&account).detail(format!("certificate {serial}")),
            );
        }
        tx.commit().await?;
        Ok(prepared.enrolment)
    }

    /// What waits for an administrator or for its token to be used, oldest first.
    pub async fn approvals_open(&self, actor: &Actor) -> Result<Vec<Approval>, AccessError> {
        self.require(actor, Action::GrantApproval, Resource::Node, "approvals").await?;
        let rows = self.db.read().await?.approval_open().await?;
        let lifetime = self.settings.enrolment_token_seconds;
        let open = rows.into_iter().map(|row| Approval {
            id: row.id,
            account: row.account,
            reason: row.reason,
            requested_by: row.requested_by,
            requested_at: row.requested_at,
            granted_by: row.granted_by,
            token_expires_at: row.granted_at.map(|at| at.plus_seconds(lifetime)),
        });
        Ok(open.collect())
    }

    /// A person who is an administrator: approvals need two of them, and the command line is nobody.
    async fn administrator(&self, actor: &Actor, subject: &str) -> Result<AccountId, AccessError> {
        self.require(actor, Action::GrantApproval, Resource::Node, subject).await?;
        actor.account().cloned().ok_or(AccessError::NeedsAdministrator)
    }

    async fn approval_refused<T>(
        &self,
        actor: &Actor,
        action: &'static str,
        row: &ApprovalRow,
        error: AccessError,
    ) -> Result<T, AccessError> {
        let event = self.event(actor, action, dokuei_database::AuditOutcome::Refused);
        let mut tx = self.db.write().await?;
        tx.audit(event.subject(&row.account).detail(format!("approval {}: {error}", row.id)));
        tx.commit().await?;
        Err(error)
    }
}
