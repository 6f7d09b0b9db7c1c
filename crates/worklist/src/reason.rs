//! Why a reader was or was not chosen: stored with the workitem, shown to readers and office.

use dokuei_domain::AccountId;
use serde::{Deserialize, Serialize};

/// One reason of an assignment. Stored as JSON: a changed meaning gets a new name, old names stay readable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The one who was chosen among `candidates`, holding `open_cases` already.
    Chosen {
        reader: AccountId,
        basis: Basis,
        open_cases: i64,
        candidates: usize,
    },
    /// A person chose the reader, who lacks these skills (usually none).
    ChosenBy {
        reader: AccountId,
        by: String,
        lacking: Vec<String>,
    },
    /// Nobody was eligible. The case is free for every reader with the skills.
    NobodyEligible,
    /// Takes no new cases at present, or may no longer sign in.
    NotAccepting {
        reader: AccountId,
    },
    LacksSkill {
        reader: AccountId,
        modalities: Vec<String>,
    },
    OffDuty {
        reader: AccountId,
    },
    /// Held the workitem before and gave it back or let it expire; somebody else was eligible.
    GaveItBack {
        reader: AccountId,
    },
    /// Readers whose reasons are left out here.
    OthersNotEligible {
        count: usize,
    },
}

/// What decided between several candidates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    OnlyCandidate,
    SmallestLoad,
    /// Same load as others, and waited longest for a case.
    LongestWithoutCase,
    /// Same load and wait; the first by identifier.
    First,
}

impl Reason {
    pub fn japanese(&self) -> String {
        match self {
            Self::Chosen { reader, basis, open_cases, candidates } => match basis {
                Basis::OnlyCandidate => format!("{reader}:該当する読影医が1名のみ(担当中{open_cases}件)"),
                Basis::SmallestLoad => format!("{reader}:候補{candidates}名のうち担当件数が最少({open_cases}件)"),
                Basis::LongestWithoutCase => {
                    format!("{reader}:候補{candidates}名のうち担当件数が最少({open_cases}件)で、割当から最も時間が経過")
                }
                Basis::First => format!("{reader}:候補{candidates}名が同条件({open_cases}件)のためID順"),
            },
            Self::ChosenBy { reader, by, lacking } if lacking.is_empty() => format!("{reader}:{by} が指名"),
            Self::ChosenBy { reader, by, lacking } => {
                format!("{reader}:{by} が指名(対応モダリティ外:{})", lacking.join(", "))
            }
            Self::NobodyEligible => "割当可能な読影医がいません".to_owned(),
            Self::NotAccepting { reader } => format!("{reader}:新規受付停止中"),
            Self::LacksSkill { reader, modalities } => format!("{reader}:対応モダリティ外({})", modalities.join(", ")),
            Self::OffDuty { reader } => format!("{reader}:勤務時間外"),
            Self::GaveItBack { reader } => format!("{reader}:直前に返却または期限切れ"),
            Self::OthersNotEligible { count } => format!("ほか{count}名は対象外"),
        }
    }

    pub fn english(&self) -> String {
        match self {
            Self::Chosen { reader, basis, open_cases, candidates } => match basis {
                Basis::OnlyCandidate => format!("{reader}: the only eligible reader ({open_cases} open)"),
                Basis::SmallestLoad => {
                    format!("{reader}: fewest open cases ({open_cases}) of {candidates} eligible readers")
                }
                Basis::LongestWithoutCase => {
                    format!(
                        "{reader}: fewest open cases ({open_cases}) of {candidates} eligible readers, and the longest without a new one"
                    )
                }
                Basis::First => {
                    format!("{reader}: first by identifier of {candidates} equal readers ({open_cases} open)")
                }
            },
            Self::ChosenBy { reader, by, lacking } if lacking.is_empty() => format!("{reader}: chosen by {by}"),
            Self::ChosenBy { reader, by, lacking } => {
                format!("{reader}: chosen by {by}, although not skilled in {}", lacking.join(", "))
            }
            Self::NobodyEligible => "no eligible reader".to_owned(),
            Self::NotAccepting { reader } => format!("{reader}: takes no new cases"),
            Self::LacksSkill { reader, modalities } => format!("{reader}: not skilled in {}", modalities.join(", ")),
            Self::OffDuty { reader } => format!("{reader}: off duty"),
            Self::GaveItBack { reader } => format!("{reader}: has just given it back or let it expire"),
            Self::OthersNotEligible { count } => format!("{count} more not eligible"),
        }
    }
}

/// The reasons as stored.
pub(crate) fn to_json(reasons: &[Reason]) -> String {
    // Cannot fail: no maps with other keys than texts, no failing serializers.
    serde_json::to_string(reasons).unwrap_or_else(|_| "[]".to_owned())
}

/// The reasons as stored by this or an earlier version; what cannot be read is left out, since they only explain.
pub(crate) fn from_json(stored: Option<&str>) -> Vec<Reason> {
    let Some(stored) = stored else { return Vec::new() };
    let values: Vec<serde_json::Value> = serde_json::from_str(stored).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_reason() -> Vec<Reason> {
        let reader = AccountId::parse("R1").unwrap();
        let chosen = |basis| Reason::Chosen { reader: reader.clone(), basis, open_cases: 2, candidates: 3 };
        let by = |lacking| Reason::ChosenBy { reader: reader.clone(), by: "account:O1".into(), lacking };
        vec![
            chosen(Basis::OnlyCandidate),
            chosen(Basis::SmallestLoad),
            chosen(Basis::LongestWithoutCase),
            chosen(Basis::First),
            by(vec![]),
            by(vec!["MR".into()]),
            Reason::NobodyEligible,
            Reason::NotAccepting { reader: reader.clone() },
            Reason::LacksSkill { reader: reader.clone(), modalities: vec!["MR".into()] },
            Reason::OffDuty { reader: reader.clone() },
            Reason::GaveItBack { reader: reader.clone() },
            Reason::OthersNotEligible { count: 4 },
        ]
    }

    #[test]
    fn reasons_survive_storage_and_speak_both_languages() {
        let reasons = every_reason();
        assert_eq!(from_json(Some(&to_json(&reasons))), reasons);
        let mut texts = std::collections::HashSet::new();
        for reason in &reasons {
            assert!(!reason.japanese().is_ascii() && reason.english().is_ascii(), "{reason:?}");
            assert!(
                texts.insert(reason.japanese()) && texts.insert(reason.english()),
                "{reason:?} says what another says"
            );
        }
    }

    #[test]
    fn stored_texts_stay_readable() {
        let stored = r#"[{"reason":"chosen","reader":"R1","basis":"smallest_load","open_cases":0,"candidates":2},
                         {"reason":"from_the_future","reader":"R2"},{"reason":"off_duty","reader":"R2"}]"#;
        let texts: Vec<_> = from_json(Some(stored)).iter().map(Reason::english).collect();
        assert_eq!(texts, ["R1: fewest open cases (0) of 2 eligible readers", "R2: off duty"]);
        assert_eq!(from_json(Some("not json")), []);
        assert_eq!(from_json(None), []);
    }
}
