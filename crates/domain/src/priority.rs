//! Urgency of a reading case.

use serde::{Deserialize, Serialize};

/// 緊急, 至急 or 通常; maps onto Scheduled Procedure Step Priority (0074,1200) HIGH, MEDIUM, LOW (PS3.3 C.30.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Emergency,
    Urgent,
    #[default]
    Routine,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Emergency, Self::Urgent, Self::Routine];

    /// The text stored and sent in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Urgent => "urgent",
            Self::Routine => "routine",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }

    /// The value of (0074,1200).
    pub const fn dicom(self) -> &'static str {
        match self {
            Self::Emergency => "HIGH",
            Self::Urgent => "MEDIUM",
            Self::Routine => "LOW",
        }
    }

    /// How it is called on pages and in reports.
    pub const fn japanese(self) -> &'static str {
        match self {
            Self::Emergency => "緊急",
            Self::Urgent => "至急",
            Self::Routine => "通常",
        }
    }
}
