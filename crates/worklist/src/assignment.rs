//! Who should read a case: a pure function of the case, the readers and the local time. It gives its reasons.

use dokuei_domain::{AccountId, Timestamp, hours::OnDutyHours};
use jiff::civil;

use crate::{Basis, Reason};

/// Modalities of objects that nobody reads by themselves (documents, screenshots, markings, plans): they ask for no skill of their own.
pub const WITHOUT_SKILL: [&str; 12] = ["AU", "DOC", "FID", "HC", "KO", "OT", "PLAN", "PR", "REG", "RWV", "SEG", "SR"];

/// Reasons of readers who were not eligible, at most. More would be read by nobody.
const REASONS_SHOWN: usize = 30;

/// What a case asks of a reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaseNeeds {
    /// Distinct modalities of its series.
    pub modalities: Vec<String>,
    /// Who held the workitem before and gave it back or let it expire.
    pub gave_back: Option<AccountId>,
}

/// What is known of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderFacts {
    pub account: AccountId,
    pub modalities: Vec<String>,
    /// Takes new cases, and may sign in.
    pub accepting: bool,
    /// `None`: the stored text is no timetable; the reader counts as off duty.
    pub hours: Option<OnDutyHours>,
    /// Open workitems that the reader holds or is expected to take.
    pub open_cases: i64,
    pub last_assigned_at: Option<Timestamp>,
}

/// Who is to read the case, if anybody, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub reader: Option<AccountId>,
    /// The choice first, then who was passed over.
    pub reasons: Vec<Reason>,
}

/// The skills among `modalities` that `skills` does not have.
pub fn lacking(modalities: &[String], skills: &[String]) -> Vec<String> {
    let needs_skill = |modality: &&String| !modality.is_empty() && !WITHOUT_SKILL.contains(&modality.as_str());
    modalities.iter().filter(needs_skill).filter(|modality| !skills.contains(modality)).cloned().collect()
}

/// Chooses among the readers who take new cases, have every skill that the case asks for and are on duty: the one with the fewest open cases, of these who
/// waited longest for a case, of these the first by identifier. Who just gave the case back is chosen only when nobody else is eligible. The order of
/// `readers` makes no difference. Off duty is off duty for an emergency too: the case stays free for every skilled reader and visible to the office.
pub fn decide(case: &CaseNeeds, readers: &[ReaderFacts], now_local: civil::DateTime) -> Decision {
    let mut readers: Vec<&ReaderFacts> = readers.iter().collect();
    readers.sort_by(|a, b| a.account.cmp(&b.account));

    let (mut candidates, mut passed_over) = (Vec::new(), Vec::new());
    for reader in readers {
        match obstacle(case, reader, now_local) {
            None => candidates.push(reader),
            Some(reason) => passed_over.push(reason),
        }
    }
    if let Some(gave_back) = &case.gave_back
        && candidates.iter().any(|reader| reader.account != *gave_back)
        && candidates.iter().any(|reader| reader.account == *gave_back)
    {
        candidates.retain(|reader| reader.account != *gave_back);
        passed_over.insert(0, Reason::GaveItBack { reader: gave_back.clone() });
    }

    let rank = |reader: &ReaderFacts| (reader.open_cases, reader.last_assigned_at);
    let Some(chosen) = candidates.iter().copied().min_by_key(|reader| (rank(reader), reader.account.clone())) else {
        return Decision { reader: None, reasons: with_choice(Reason::NobodyEligible, passed_over) };
    };
    let same_load = candidates.iter().filter(|reader| reader.open_cases == chosen.open_cases).count();
    let same_rank = candidates.iter().filter(|reader| rank(reader) == rank(chosen)).count();
    let basis = match (candidates.len(), same_load, same_rank) {
        (1, _, _) => Basis::OnlyCandidate,
        (_, 1, _) => Basis::SmallestLoad,
        (_, _, 1) => Basis::LongestWithoutCase,
        _ => Basis::First,
    };
    let choice = Reason::Chosen {
        reader: chosen.account.clone(),
        basis,
        open_cases: chosen.open_cases,
        candidates: candidates.len(),
    };
    Decision { reader: Some(chosen.account.clone()), reasons: with_choice(choice, passed_over) }
}

fn obstacle(case: &CaseNeeds, reader: &ReaderFacts, now_local: civil::DateTime) -> Option<Reason> {
    let account = || reader.account.clone();
    if !reader.accepting {
        return Some(Reason::NotAccepting { reader: account() });
    }
    let modalities = lacking(&case.modalities, &reader.modalities);
    if !modalities.is_empty() {
        return Some(Reason::LacksSkill { reader: account(), modalities });
    }
    let on_duty = reader.hours.as_ref().is_some_and(|hours| hours.contains(now_local));
    (!on_duty).then(|| Reason::OffDuty { reader: account() })
}

fn with_choice(choice: Reason, mut passed_over: Vec<Reason>) -> Vec<Reason> {
    let left_out = passed_over.len().saturating_sub(REASONS_SHOWN);
    passed_over.truncate(REASONS_SHOWN);
    let mut reasons = vec![choice];
    reasons.append(&mut passed_over);
    if left_out > 0 {
        reasons.push(Reason::OthersNotEligible { count: left_out });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    fn reader(account: &str, modalities: &[&str]) -> ReaderFacts {
        ReaderFacts {
            account: id(account),
            modalities: modalities.iter().map(|m| (*m).to_owned()).collect(),
            accepting: true,
            hours: Some(OnDutyHours::always()),
            open_cases: 0,
            last_assigned_at: None,
        }
    }

    fn needs(modalities: &[&str]) -> CaseNeeds {
        CaseNeeds { modalities: modalities.iter().map(|m| (*m).to_owned()).collect(), gave_back: None }
    }

    /// A Monday morning.
    fn monday() -> civil::DateTime {
        date(2026, 11, 23).at(9, 0, 0, 0)
    }

    fn chosen(decision: &Decision) -> Option<&str> {
        decision.reader.as_ref().map(AccountId::as_str)
    }

    #[test]
    fn skill_for_every_modality_is_needed_but_not_for_documents() {
        let readers = [reader("A", &["CT"]), reader("B", &["CT", "PT"])];
        let decision = decide(&needs(&["CT", "PT", "SR", "OT"]), &readers, monday());
        assert_eq!(chosen(&decision), Some("B"));
        assert_eq!(
            decision.reasons,
            [
                Reason::Chosen { reader: id("B"), basis: Basis::OnlyCandidate, open_cases: 0, candidates: 1 },
                Reason::LacksSkill { reader: id("A"), modalities: vec!["PT".into()] },
            ]
        );
    }

    #[test]
    fn the_smallest_load_wins_then_the_longest_wait_then_the_identifier() {
        let mut readers = [reader("A", &["CT"]), reader("B", &["CT"]), reader("C", &["CT"])];
        let basis = |decision: &Decision| match &decision.reasons[0] {
            Reason::Chosen { basis, .. } => *basis,
            other => panic!("{other:?}"),
        };

        let all_equal = decide(&needs(&["CT"]), &readers, monday());
        assert_eq!((chosen(&all_equal), basis(&all_equal)), (Some("A"), Basis::First));

        readers[0].last_assigned_at = Some(Timestamp(10));
        readers[1].last_assigned_at = Some(Timestamp(5));
        readers[2].last_assigned_at = Some(Timestamp(7));
        let waited = decide(&needs(&["CT"]), &readers, monday());
        assert_eq!((chosen(&waited), basis(&waited)), (Some("B"), Basis::LongestWithoutCase));

        readers[0].open_cases = 1;
        readers[1].open_cases = 2;
        readers[2].open_cases = 3;
        let load = decide(&needs(&["CT"]), &readers, monday());
        assert_eq!((chosen(&load), basis(&load)), (Some("A"), Basis::SmallestLoad));
    }

    #[test]
    fn nobody_on_duty_leaves_the_case_free_and_says_why() {
        let mut off = reader("A", &["CT"]);
        off.hours = Some(OnDutyHours::parse("Tue 08:00-12:00").unwrap());
        let mut unreadable = reader("B", &["CT"]);
        unreadable.hours = None;
        let mut paused = reader("C", &["CT"]);
        paused.accepting = false;
        let decision = decide(&needs(&["CT"]), &[paused, unreadable, off], monday());
        assert_eq!(chosen(&decision), None);
        assert_eq!(
            decision.reasons,
            [
                Reason::NobodyEligible,
                Reason::OffDuty { reader: id("A") },
                Reason::OffDuty { reader: id("B") },
                Reason::NotAccepting { reader: id("C") },
            ]
        );
    }

    #[test]
    fn who_gave_it_back_gets_it_again_only_when_alone() {
        let case = CaseNeeds { gave_back: Some(id("A")), ..needs(&["CT"]) };
        let mut other = reader("B", &["CT"]);
        other.open_cases = 9;
        let decision = decide(&case, &[reader("A", &["CT"]), other], monday());
        assert_eq!(chosen(&decision), Some("B"));
        assert!(decision.reasons.contains(&Reason::GaveItBack { reader: id("A") }));

        assert_eq!(chosen(&decide(&case, &[reader("A", &["CT"]), reader("B", &["MR"])], monday())), Some("A"));
    }

    #[test]
    fn a_hundred_readers_do_not_make_a_hundred_reasons() {
        let readers: Vec<_> = (0..100).map(|n| reader(&format!("R{n}"), &["MR"])).collect();
        let reasons = decide(&needs(&["CT"]), &readers, monday()).reasons;
        assert_eq!(reasons.len(), 32);
        assert_eq!(reasons.last(), Some(&Reason::OthersNotEligible { count: 70 }));
    }

    const MODALITIES: [&str; 5] = ["CT", "MR", "US", "SR", "OT"];

    fn some_modalities() -> impl Strategy<Value = Vec<String>> {
        proptest::sample::subsequence(MODALITIES.to_vec(), 0..=MODALITIES.len())
            .prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect())
    }

    fn some_hours() -> impl Strategy<Value = Option<OnDutyHours>> {
        prop_oneof![
            Just(None),
            Just(Some(OnDutyHours::always())),
            Just(OnDutyHours::parse("Mon-Fri 08:00-20:00").ok()),
            Just(OnDutyHours::parse("Sat 22:00-06:00; Sun 00:00-24:00").ok()),
        ]
    }

    fn some_readers() -> impl Strategy<Value = Vec<ReaderFacts>> {
        let one = (some_modalities(), any::<bool>(), some_hours(), 0i64..4, proptest::option::of(0i64..4));
        proptest::collection::vec(one, 0..12).prop_map(|readers| {
            let facts = |(n, (modalities, accepting, hours, open_cases, last)): (usize, (_, _, _, _, Option<i64>))| {
                ReaderFacts {
                    account: id(&format!("R{n}")),
                    modalities,
                    accepting,
                    hours,
                    open_cases,
                    last_assigned_at: last.map(Timestamp),
                }
            };
            readers.into_iter().enumerate().map(facts).collect()
        })
    }

    proptest! {
        #[test]
        fn decides_always_the_same_and_never_for_somebody_ineligible(
            modalities in some_modalities(),
            gave_back in proptest::option::of(0usize..12),
            readers in some_readers(),
            minute in 0i64..7 * 24 * 60,
            seed in any::<u64>(),
        ) {
            let case = CaseNeeds { modalities, gave_back: gave_back.map(|n| id(&format!("R{n}"))) };
            let now = date(2026, 11, 23).at(0, 0, 0, 0).saturating_add(jiff::SignedDuration::from_mins(minute));
            let eligible = |reader: &ReaderFacts| {
                reader.accepting
                    && reader.hours.as_ref().is_some_and(|hours| hours.contains(now))
                    && case.modalities.iter().all(|m| m == "SR" || m == "OT" || reader.modalities.contains(m))
            };
            let decision = decide(&case, &readers, now);

            let mut shuffled = readers.clone();
            let turn = usize::try_from(seed % 13).unwrap_or(0) % readers.len().max(1);
            shuffled.rotate_left(turn);
            shuffled.reverse();
            prop_assert_eq!(&decision, &decide(&case, &shuffled, now));

            let candidates: Vec<_> = readers.iter().filter(|reader| eligible(reader)).collect();
            match &decision.reader {
                None => {
                    prop_assert!(candidates.is_empty());
                    prop_assert_eq!(&decision.reasons[0], &Reason::NobodyEligible);
                }
                Some(account) => {
                    let chosen = candidates.iter().find(|reader| reader.account == *account);
                    prop_assert!(chosen.is_some(), "an ineligible reader was chosen");
                    let others = |reader: &&&ReaderFacts| Some(&reader.account) != case.gave_back.as_ref();
                    let least = candidates.iter().filter(others).map(|reader| reader.open_cases).min();
                    match least {
                        Some(least) => {
                            prop_assert_eq!(chosen.map(|reader| reader.open_cases), Some(least));
                            prop_assert_ne!(Some(account), case.gave_back.as_ref());
                        }
                        None => prop_assert_eq!(candidates.len(), 1),
                    }
                }
            }
        }
    }
}
