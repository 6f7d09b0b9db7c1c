//! Whether two sets of facts can be one person's. Only what tells two people apart counts: the name does not, as it is romanised, repaired and changed by
//! marriage; what is empty or stands for "unknown" is no fact.

use dokuei_database::BirthDateAndSex;
use dokuei_domain::facts::PatientFacts;

/// What contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    BirthDate,
    Sex,
    BirthDateAndSex,
}

impl Difference {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BirthDate => "birth_date_differs",
            Self::Sex => "sex_differs",
            Self::BirthDateAndSex => "birth_date_and_sex_differ",
        }
    }
}

/// Compares with all that is known. A fact contradicts when some are known and it agrees with none of them: after the office has said that two dates are
/// one person's, both are known.
pub(crate) fn difference(patient: &PatientFacts, known: &[BirthDateAndSex]) -> Option<Difference> {
    let birth_date =
        contradicts(&patient.birth_date, known.iter().map(|known| known.birth_date.as_str()), born, |a, b| {
            a.starts_with(b.as_str()) || b.starts_with(a.as_str())
        });
    let sex = contradicts(&patient.sex, known.iter().map(|known| known.sex.as_str()), sex, |a, b| a == b);
    match (birth_date, sex) {
        (true, true) => Some(Difference::BirthDateAndSex),
        (true, false) => Some(Difference::BirthDate),
        (false, true) => Some(Difference::Sex),
        (false, false) => None,
    }
}

fn contradicts<'k, T>(
    text: &str,
    known: impl Iterator<Item = &'k str>,
    read: fn(&str) -> Option<T>,
    agree: impl Fn(&T, &T) -> bool,
) -> bool {
    let Some(value) = read(text) else { return false };
    let mut known = known.filter_map(read).peekable();
    known.peek().is_some() && known.all(|known| !agree(&value, &known))
}

/// The digits of a date as far as it is known: year, month, day; two agree when one begins with the other. ACR-NEMA wrote dots between them (PS3.5 6.2, note on DA), some equipment other signs.
fn born(text: &str) -> Option<String> {
    /// What equipment writes when nobody typed one.
    const PLACEHOLDERS: [&str; 4] = ["00010101", "18581117", "19000101", "99991231"];
    let digits: String = text.chars().filter(|sign| !matches!(sign, '.' | '-' | '/' | ' ')).collect();
    let is_a_date = matches!(digits.len(), 4 | 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_a_date || PLACEHOLDERS.contains(&digits.as_str()) {
        return None;
    }
    let mut known = digits.as_str();
    while let Some(shorter) = known.strip_suffix("00").filter(|shorter| shorter.len() >= 4) {
        known = shorter;
    }
    (known.len() >= 4 && !known.starts_with("0000")).then(|| known.to_owned())
}

/// M or F. PS3.3 C.7.1.1 has O (other) too, which senders write for "unknown" as well, so that it contradicts nothing.
fn sex(text: &str) -> Option<char> {
    match text.trim().to_ascii_uppercase().as_str() {
        "M" | "MALE" => Some('M'),
        "F" | "FEMALE" => Some('F'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patient: (&str, &str), known: &[(&str, &str)], expected: Option<Difference>) {
        let facts = PatientFacts { birth_date: patient.0.into(), sex: patient.1.into(), ..PatientFacts::default() };
        let known_facts: Vec<_> =
            known.iter().map(|known| BirthDateAndSex { birth_date: known.0.into(), sex: known.1.into() }).collect();
        assert_eq!(difference(&facts, &known_facts), expected, "{patient:?} beside {known:?}");
    }

    #[test]
    fn only_what_is_known_on_both_sides_and_differs_contradicts() {
        check(("19500131", "M"), &[("19500131", "M")], None);
        check(("19600131", "M"), &[("19500131", "M")], Some(Difference::BirthDate));
        check(("19500131", "F"), &[("19500131", "M")], Some(Difference::Sex));
        check(("19600131", "F"), &[("19500131", "M")], Some(Difference::BirthDateAndSex));
        check(("", ""), &[("19500131", "M")], None);
        check(("19500131", "M"), &[("", "")], None);
        check(("19500131", "M"), &[], None);
    }

    #[test]
    fn signs_for_unknown_and_other_spellings_contradict_nothing() {
        for unknown in ["O", "U", "other", "?", " "] {
            check(("19500131", unknown), &[("19500131", "M")], None);
        }
        check(("19500131", "male"), &[("19500131", "M")], None);
        for same in ["1950.01.31", "1950-01-31", "1950", "195001", "19500100", "19500000"] {
            check((same, "M"), &[("19500131", "M")], None);
        }
        for unknown in ["00000000", "19000101", "S25.1.31", "19500131x", "1", "0"] {
            check((unknown, "M"), &[("19500131", "M")], None);
        }
        check(("1951", "M"), &[("19500131", "M")], Some(Difference::BirthDate));
    }

    #[test]
    fn what_the_office_has_accepted_is_known() {
        let known = [("19500131", "M"), ("19500113", "M"), ("", "")];
        check(("19500113", "M"), &known, None);
        check(("19500131", ""), &known, None);
        check(("19500130", "M"), &known, Some(Difference::BirthDate));
    }
}
