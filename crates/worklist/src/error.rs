//! Why the worklist refuses or fails.

use dokuei_access::Denied;
use dokuei_database::DatabaseError;
use dokuei_domain::{AccountId, CaseId, StudyPk, Timestamp, uid::UidError, workitem::Refusal};

/// An error of the worklist. All but `Database` are refusals: nothing was changed, and the audit trail says so.
#[derive(Debug, thiserror::Error)]
pub enum WorklistError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("there is no case {0}")]
    CaseNotFound(CaseId),
    #[error("there is no study {0}")]
    StudyNotFound(StudyPk),
    #[error("reader {0} does not exist or is disabled")]
    ReaderNotFound(AccountId),
    #[error("the facility has withdrawn the case")]
    Withdrawn,
    #[error("only a reader can claim a case; sign in with a reader's account")]
    OnlyReaders,
    #[error("the case needs a reader for {}; ask the office to assign it", .0.join(", "))]
    LacksSkill(Vec<String>),
    #[error("{by} is reading the case")]
    ClaimedByOther { by: AccountId },
    /// Free for others at `free_at` unless it is claimed before.
    #[error("the case is assigned to {reader}; it is free for others if it is not taken in time")]
    AssignedToOther { reader: AccountId, free_at: Timestamp },
    /// The workitem's state or Transaction UID does not allow it (PS3.4 Table CC.2.1-2).
    #[error(transparent)]
    Workitem(#[from] Refusal),
    #[error("the transaction UID is not a UID")]
    TransactionUid(#[source] UidError),
    #[error("{field} has more than {limit} characters")]
    TooLong { field: &'static str, limit: usize },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl WorklistError {
    /// The DIMSE status of a refused change of a workitem's state.
    pub fn workitem_status(&self) -> Option<u16> {
        match self {
            Self::Workitem(refusal) => Some(refusal.status()),
            Self::ClaimedByOther { .. } => Some(Refusal::AlreadyInProgress.status()),
            Self::TransactionUid(_) => Some(Refusal::WrongTransactionUid.status()),
            _ => None,
        }
    }

    /// With its causes in one line, for logs and the dead list.
    pub fn chain(&self) -> String {
        match self {
            Self::Database(error) => error.chain(),
            other => other.to_string(),
        }
    }
}
