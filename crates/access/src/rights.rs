//! Who may do what: plain code, one function, and a test that writes out the whole matrix.

use std::fmt;

use dokuei_domain::{AccountId, Actor, FacilityId, Role};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Store objects for a facility.
    SendObjects,
    ViewWorklist,
    /// Open a case with its images and its draft.
    ViewCase,
    ClaimCase,
    WriteDraft,
    SignReport,
    ViewReport,
    /// See the studies of a facility, whether or not a case was opened for them.
    ViewOwnStudies,
    /// Give the clinical question, the call-back number and the urgency.
    EnterRequest,
    /// 送信完了: the facility says that nothing more comes.
    DeclareComplete,
    /// 取消: the facility takes a study back.
    WithdrawStudy,
    /// See the state of every case and delivery.
    ViewOffice,
    AssignCase,
    RetryDelivery,
    ManageFacilities,
    ManageAccounts,
    /// Ask for, grant or refuse what needs two administrators.
    GrantApproval,
    ViewAudit,
    /// Take stored objects out, byte for byte.
    ExportObjects,
    /// Release or reject an object in quarantine.
    DecideQuarantine,
}

impl Action {
    pub const ALL: [Self; 20] = [
        Self::SendObjects,
        Self::ViewWorklist,
        Self::ViewCase,
        Self::ClaimCase,
        Self::WriteDraft,
        Self::SignReport,
        Self::ViewReport,
        Self::ViewOwnStudies,
        Self::EnterRequest,
        Self::DeclareComplete,
        Self::WithdrawStudy,
        Self::ViewOffice,
        Self::AssignCase,
        Self::RetryDelivery,
        Self::ManageFacilities,
        Self::ManageAccounts,
        Self::GrantApproval,
        Self::ViewAudit,
        Self::ExportObjects,
        Self::DecideQuarantine,
    ];

    /// How the action is called in audit rows and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendObjects => "send objects",
            Self::ViewWorklist => "view the worklist",
            Self::ViewCase => "view the case",
            Self::ClaimCase => "claim the case",
            Self::WriteDraft => "write the draft",
            Self::SignReport => "sign the report",
            Self::ViewReport => "view the report",
            Self::ViewOwnStudies => "view the studies",
            Self::EnterRequest => "enter the request",
            Self::DeclareComplete => "declare the study complete",
            Self::WithdrawStudy => "withdraw the study",
            Self::ViewOffice => "view the office pages",
            Self::AssignCase => "assign the case",
            Self::RetryDelivery => "retry the delivery",
            Self::ManageFacilities => "manage facilities",
            Self::ManageAccounts => "manage accounts",
            Self::GrantApproval => "decide approvals",
            Self::ViewAudit => "view the audit trail",
            Self::ExportObjects => "export objects",
            Self::DecideQuarantine => "decide on quarantined objects",
        }
    }
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The node as a whole: lists over all facilities, accounts, the audit trail.
    Node,
    /// What belongs to one facility.
    Facility(&'a FacilityId),
    /// One reading case and everything in it. `claimed_by` is the performer of its workitem in progress.
    Case { facility: &'a FacilityId, claimed_by: Option<&'a AccountId> },
}

impl<'a> Resource<'a> {
    /// The facility it belongs to.
    pub const fn facility(self) -> Option<&'a FacilityId> {
        match self {
            Self::Node => None,
            Self::Facility(facility) | Self::Case { facility, .. } => Some(facility),
        }
    }
}

/// The refusal. Adapters answer it like something that does not exist, so that nobody learns what others have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{actor} may not {}", action.as_str())]
pub struct Denied {
    pub actor: String,
    pub action: Action,
    pub facility: Option<FacilityId>,
}

/// Decides whether `actor` may do `action` to `resource`.
///
/// Readers see every facility's cases, but never one that another reader has claimed, and write only what they have claimed. Facility users and DICOM peers
/// stay within their facility. The office sees every case and delivery and signs nothing; it does not speak for a facility about what was sent.
/// Administrators keep accounts and facilities and see no patient. The node's own work and its command line may do what the node's owner may, except to
/// sign: a signature is a person's.
pub fn can(actor: &Actor, action: Action, resource: Resource<'_>) -> Result<(), Denied> {
    let allowed = match actor {
        Actor::System(_) | Actor::CommandLine => action != Action::SignReport,
        Actor::Peer { facility, .. } => action == Action::SendObjects && resource.facility() == Some(facility),
        Actor::Account { id, role: Role::Reader, .. } => reader_may(id, action, resource),
        Actor::Account { facility: Some(own), role: Role::Facility, .. } => {
            facility_user_may(action) && resource.facility() == Some(own)
        }
        Actor::Account { facility: None, role: Role::Facility, .. } => false,
        Actor::Account { role: Role::Office, .. } => office_may(action),
        Actor::Account { role: Role::Administrator, .. } => administrator_may(action),
    };
    if allowed { Ok(()) } else { Err(Denied { actor: actor.label(), action, facility: resource.facility().cloned() }) }
}

fn reader_may(me: &AccountId, action: Action, resource: Resource<'_>) -> bool {
    match (action, resource) {
        (Action::ViewWorklist, _) => true,
        (Action::ViewCase | Action::ClaimCase | Action::ViewReport, Resource::Case { claimed_by, .. }) => {
            claimed_by.is_none_or(|by| by == me)
        }
        (Action::WriteDraft | Action::SignReport, Resource::Case { claimed_by, .. }) => claimed_by == Some(me),
        _ => false,
    }
}

const fn facility_user_may(action: Action) -> bool {
    matches!(
        action,
        Action::ViewWorklist
            | Action::ViewCase
            | Action::ViewReport
            | Action::ViewOwnStudies
            | Action::EnterRequest
            | Action::DeclareComplete
            | Action::WithdrawStudy
            | Action::ExportObjects
    )
}

const fn office_may(action: Action) -> bool {
    matches!(
        action,
        Action::ViewWorklist
            | Action::ViewCase
            | Action::ViewReport
            | Action::ViewOwnStudies
            | Action::EnterRequest
            | Action::ViewOffice
            | Action::AssignCase
            | Action::RetryDelivery
            | Action::DecideQuarantine
    )
}

const fn administrator_may(action: Action) -> bool {
    matches!(action, Action::ManageFacilities | Action::ManageAccounts | Action::GrantApproval | Action::ViewAudit)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
