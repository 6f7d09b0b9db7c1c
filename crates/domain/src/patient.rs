//! Who a patient is: (issuer, Patient ID), or nobody we know yet.

use crate::{FacilityId, StudyUid, facts::PatientFacts};

/// The identity under which an instance's patient is filed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PatientIdentity {
    /// The sending facility's own issuer and a usable ID.
    Established { issuer: String, id: String },
    /// No usable ID: a patient of this one study, never merged and without priors.
    Provisional { study: StudyUid, reason: ProvisionalReason },
}

/// Why an identity is provisional.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProvisionalReason {
    EmptyId,
    PlaceholderId,
    ForeignIssuer,
}

impl ProvisionalReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyId => "empty_id",
            Self::PlaceholderId => "placeholder_id",
            Self::ForeignIssuer => "foreign_issuer",
        }
    }
}

/// What a facility calls itself as an issuer of patient IDs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FacilityIssuer {
    pub facility: FacilityId,
    /// The OID under which its IDs are filed.
    pub issuer: String,
    /// Other texts its equipment writes into (0010,0021) for the same thing.
    pub aliases: Vec<String>,
}

impl FacilityIssuer {
    /// Decides under which identity an instance is filed. An absent issuer is the facility's own; one that is written must be its OID or an alias.
    pub fn identify(&self, patient: &PatientFacts, study: &StudyUid) -> PatientIdentity {
        let provisional = |reason| PatientIdentity::Provisional { study: study.clone(), reason };
        let id = patient.id.trim();
        if id.is_empty() {
            return provisional(ProvisionalReason::EmptyId);
        }
        if is_placeholder(id) {
            return provisional(ProvisionalReason::PlaceholderId);
        }
        let issuer = patient.issuer.trim();
        let own = issuer.is_empty() || issuer == self.issuer || self.aliases.iter().any(|alias| alias == issuer);
        if !own {
            return provisional(ProvisionalReason::ForeignIssuer);
        }
        PatientIdentity::Established { issuer: self.issuer.clone(), id: id.to_owned() }
    }
}

/// IDs that equipment writes when nobody typed one.
fn is_placeholder(id: &str) -> bool {
    const WORDS: [&str; 12] =
        ["UNKNOWN", "NONE", "NULL", "NA", "N/A", "NOID", "NO ID", "ANONYMOUS", "ANON", "TEST", "EMERGENCY", "DUMMY"];
    let upper = id.to_uppercase();
    WORDS.contains(&upper.as_str())
        || id.chars().all(|c| matches!(c, '0' | '-' | '?' | '*' | '.' | '_' | ' '))
        || (id.len() >= 4 && id.chars().all(|c| c == '9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hospital() -> FacilityIssuer {
        FacilityIssuer {
            facility: FacilityId::parse("HOSP1").unwrap(),
            issuer: "1.2.392.1".into(),
            aliases: vec!["HOSP1-HIS".into()],
        }
    }

    fn identify(id: &str, issuer: &str) -> PatientIdentity {
        let facts = PatientFacts { id: id.into(), issuer: issuer.into(), ..PatientFacts::default() };
        hospital().identify(&facts, &StudyUid::parse("1.2.3").unwrap())
    }

    #[test]
    fn the_facilitys_own_ids_are_established() {
        let own = PatientIdentity::Established { issuer: "1.2.392.1".into(), id: "0001234567".into() };
        assert_eq!(identify("0001234567", ""), own);
        assert_eq!(identify(" 0001234567 ", "1.2.392.1"), own);
        assert_eq!(identify("0001234567", "HOSP1-HIS"), own);
    }

    #[test]
    fn what_names_nobody_stays_within_its_study() {
        let reason = |identity| match identity {
            PatientIdentity::Provisional { reason, .. } => reason,
            PatientIdentity::Established { .. } => panic!("established"),
        };
        assert_eq!(reason(identify("", "")), ProvisionalReason::EmptyId);
        for placeholder in ["unknown", "0000000", "---", "99999999", "N/A"] {
            assert_eq!(reason(identify(placeholder, "")), ProvisionalReason::PlaceholderId, "{placeholder}");
        }
        assert_eq!(reason(identify("123", "1.2.392.2")), ProvisionalReason::ForeignIssuer);
    }
}
