//! Whether a study is complete enough to be read, as a pure decision over what is known of it.
//!
//! Evidence, strongest first: everything that completed procedure steps or availability notifications list is here; the facility's 送信完了 (`studies.rs`); no
//! image for the quiet time. What is listed and has not come is waited for longer, but never without end: a study that is incomplete can be read too, and says so.

use dokuei_database::Completeness;
use dokuei_domain::Timestamp;

/// How often a study is looked at while something that was listed is awaited.
const LOOK_SECONDS: i64 = 10;

/// What is known of a study that is being received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reception {
    pub(crate) last_received_at: Timestamp,
    /// The facility has said that all was sent.
    pub(crate) declared: bool,
    /// An association of this node or another one is sending parts of it.
    pub(crate) under_way: bool,
    pub(crate) completeness: Completeness,
    pub(crate) quiet_seconds: i64,
    pub(crate) patience_seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On this evidence.
    Settle(String),
    LookAgain(Timestamp),
}

pub(crate) fn judge(reception: &Reception, now: Timestamp) -> Verdict {
    let Reception { last_received_at, declared, under_way, completeness, quiet_seconds, patience_seconds } = *reception;
    let Completeness { listed, missing, steps_in_progress, steps_completed, steps_discontinued, announced } =
        completeness;
    let lists_are_final = steps_in_progress == 0 && (steps_completed > 0 || announced > 0);
    if listed > 0 && missing == 0 && lists_are_final {
        return Verdict::Settle(match (steps_completed, announced) {
            (0, _) => format!("all {listed} objects of the availability notification are here"),
            (_, 0) => format!("all {listed} objects of the completed procedure step are here"),
            _ => format!("all {listed} objects of procedure step and availability notification are here"),
        });
    }
    // A modality that gave up will send no more; a facility that says it has sent everything knows better than its lists.
    let given_up = steps_discontinued > 0 && steps_in_progress == 0;
    let awaited = !declared && !given_up && (missing > 0 || steps_in_progress > 0);
    let silence = if awaited { patience_seconds.max(quiet_seconds) } else { quiet_seconds };
    let due = last_received_at.plus_seconds(silence);
    if under_way || due > now {
        let soon = now.plus_seconds(quiet_seconds.clamp(1, LOOK_SECONDS));
        return Verdict::LookAgain(match (under_way, missing > 0) {
            (true, true) => soon,
            (false, true) => due.min(soon),
            (true, false) => now.plus_seconds(quiet_seconds.max(1)),
            (false, false) => due,
        });
    }
    let mut evidence =
        format!("no image for {}", if awaited { "longer than the quiet time" } else { "the quiet time" });
    if missing > 0 {
        evidence.push_str(&format!("; incomplete: {missing} of {listed} listed objects have not come"));
    }
    if steps_in_progress > 0 {
        evidence.push_str("; a procedure step is still in progress");
    }
    if steps_discontinued > 0 {
        evidence.push_str("; a procedure step was discontinued");
    }
    Verdict::Settle(evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: i64 = 60;
    const PATIENCE: i64 = 300;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(0).plus_seconds(seconds)
    }

    /// Everything was received at second 0.
    fn reception(listed: i64, missing: i64, steps: [i64; 3], announced: i64) -> Reception {
        let [steps_in_progress, steps_completed, steps_discontinued] = steps;
        Reception {
            last_received_at: at(0),
            declared: false,
            under_way: false,
            completeness: Completeness {
                listed,
                missing,
                steps_in_progress,
                steps_completed,
                steps_discontinued,
                announced,
            },
            quiet_seconds: QUIET,
            patience_seconds: PATIENCE,
        }
    }

    /// The second at which the study settles if nothing more happens, and on what.
    fn settles(reception: &Reception) -> (i64, String) {
        let mut now = at(0);
        for _ in 0..1000 {
            match judge(reception, now) {
                Verdict::Settle(evidence) => return (now.seconds_since(at(0)), evidence),
                Verdict::LookAgain(next) => {
                    assert!(next > now, "time must go on");
                    now = next;
                }
            }
        }
        panic!("never settles");
    }

    #[test]
    fn the_stronger_evidence_decides() {
        let table = [
            ("nobody says anything", reception(0, 0, [0, 0, 0], 0), QUIET, "no image for the quiet time"),
            ("a completed step, all here", reception(500, 0, [0, 1, 0], 0), 0, "all 500 objects of the completed"),
            ("a notification, all here", reception(500, 0, [0, 0, 0], 500), 0, "all 500 objects of the availability"),
            ("both, all here", reception(500, 0, [0, 1, 0], 500), 0, "all 500 objects of procedure step and"),
            ("a step without a list", reception(0, 0, [0, 1, 0], 0), QUIET, "no image for the quiet time"),
            ("some are missing", reception(500, 18, [0, 1, 0], 0), PATIENCE, "incomplete: 18 of 500 listed"),
            ("a step goes on", reception(200, 0, [1, 0, 0], 0), PATIENCE, "still in progress"),
            ("one of two steps goes on", reception(200, 0, [1, 1, 0], 0), PATIENCE, "still in progress"),
            (
                "a step was discontinued",
                reception(20, 3, [0, 0, 1], 0),
                QUIET,
                "3 of 20 listed objects have not come; a procedure step was discontinued",
            ),
        ];
        for (case, reception, second, evidence) in table {
            let (settled, said) = settles(&reception);
            assert_eq!(settled, second, "{case}: {said}");
            assert!(said.contains(evidence), "{case}: {said}");
        }
    }

    #[test]
    fn a_facility_that_has_sent_everything_is_not_asked_to_wait_for_its_lists() {
        let declared = Reception { declared: true, ..reception(500, 18, [0, 1, 0], 0) };
        assert_eq!(settles(&declared).0, QUIET);
    }

    #[test]
    fn an_open_association_is_waited_for_unless_everything_is_here() {
        let open = Reception { under_way: true, ..reception(0, 0, [0, 0, 0], 0) };
        assert_eq!(judge(&open, at(10 * PATIENCE)), Verdict::LookAgain(at(10 * PATIENCE + QUIET)));
        let whole = Reception { under_way: true, ..reception(5, 0, [0, 1, 0], 0) };
        assert!(matches!(judge(&whole, at(0)), Verdict::Settle(_)));
        let missing = Reception { under_way: true, ..reception(5, 1, [0, 1, 0], 0) };
        assert_eq!(judge(&missing, at(0)), Verdict::LookAgain(at(LOOK_SECONDS)), "the last one may come any moment");
    }
}
