//! Who does something. Every use case takes an actor; every audit row names one.

use serde::{Deserialize, Serialize};

use crate::{AccountId, AeTitle, FacilityId};

/// What an account may be. Rights are decided in `access`, by role and facility.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Reader,
    Facility,
    Office,
    Administrator,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Reader, Self::Facility, Self::Office, Self::Administrator];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Facility => "facility",
            Self::Office => "office",
            Self::Administrator => "administrator",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// The one who acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// Somebody signed in.
    Account { id: AccountId, role: Role, facility: Option<FacilityId> },
    /// A DICOM peer that was admitted for a facility.
    Peer { facility: FacilityId, calling: AeTitle },
    /// The node's own work: a job or a reconciler, by name.
    System(&'static str),
    /// The command line on the node's own machine.
    CommandLine,
}

impl Actor {
    /// A short text for audit rows: `account:R1`, `peer:HOSP1/CT01`, `system:settle`, `cli`.
    pub fn label(&self) -> String {
        match self {
            Self::Account { id, .. } => format!("account:{id}"),
            Self::Peer { facility, calling } => format!("peer:{facility}/{calling}"),
            Self::System(name) => format!("system:{name}"),
            Self::CommandLine => "cli".to_owned(),
        }
    }

    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Account { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The facility whose rows alone this actor may see, if it is bound to one.
    pub fn facility(&self) -> Option<&FacilityId> {
        match self {
            Self::Account { facility, .. } => facility.as_ref(),
            Self::Peer { facility, .. } => Some(facility),
            _ => None,
        }
    }
}
