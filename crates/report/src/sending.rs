//! One attempt on the wire, and what became of it in words for the ledger.

use std::io::Cursor;

use async_trait::async_trait;
use bytes::Bytes;
use dokuei_database::{AttemptOutcome, AttemptRow, ReportFileKind};
use dokuei_dimse::{AssociationError, DataSetSource, OutgoingObject, SendOutcome, SendReport, Status};
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use crate::error::with_causes;

/// Longest text of one attempt, in characters.
const LONGEST_DETAIL: usize = 1_500;
/// What the ledger says of an object that the recipient has.
const ACCEPTED: &str = "accepted";
/// What it says of one that the recipient may have.
const UNKNOWN: &str = "failed on the way";

/// A data set in memory.
pub(crate) struct ReportObject {
    pub(crate) kind: ReportFileKind,
    pub(crate) sop_class: SopClassUid,
    pub(crate) sop_instance: SopInstanceUid,
    pub(crate) transfer_syntax: [TransferSyntaxUid; 1],
    pub(crate) data_set: Bytes,
}

#[async_trait]
impl OutgoingObject for &ReportObject {
    fn sop_class(&self) -> &SopClassUid {
        &self.sop_class
    }

    fn sop_instance(&self) -> &SopInstanceUid {
        &self.sop_instance
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntaxUid] {
        &self.transfer_syntax
    }

    async fn open(&self, _: &TransferSyntaxUid) -> std::io::Result<DataSetSource> {
        Ok(DataSetSource {
            length: Some(self.data_set.len() as u64),
            reader: Box::new(Cursor::new(self.data_set.clone())),
        })
    }
}

/// What the ledger is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: AttemptOutcome,
    /// What became of each object, and why.
    pub(crate) detail: String,
    /// The recipient has something of it, or may have.
    pub(crate) something_arrived: bool,
}

/// Whether one of these attempts may have left the object with the recipient.
pub(crate) fn may_have_arrived(attempts: &[AttemptRow], object: &SopInstanceUid) -> bool {
    let told = [ACCEPTED, UNKNOWN].map(|word| format!(" {object}: {word}"));
    attempts.iter().any(|attempt| {
        let detail = attempt.detail.as_deref().unwrap_or_default();
        attempt.outcome == Some(AttemptOutcome::Interrupted) || told.iter().any(|words| detail.contains(words.as_str()))
    })
}

/// Judges an attempt: accepted only when the recipient said of every object that it has it. How the association ended afterwards changes nothing.
///
/// A recipient that refuses an object as a duplicate (PS3.7 C.5.8, 0111H) has it, provided that `may_have` says so of an earlier attempt.
pub(crate) fn judge(
    objects: &[ReportObject],
    report: &SendReport,
    may_have: impl Fn(&SopInstanceUid) -> bool,
) -> Verdict {
    let had = |object: &ReportObject, outcome: &SendOutcome| {
        matches!(outcome, SendOutcome::Answered(Status::DUPLICATE_SOP_INSTANCE)) && may_have(&object.sop_instance)
    };
    let pairs = || {
        let pairs = objects.iter().zip(&report.outcomes);
        pairs.map(|(object, outcome)| (object, outcome, had(object, outcome)))
    };
    let mut lines: Vec<String> = pairs().map(|(object, outcome, had)| line(object, outcome, had)).collect();
    if let Some(error) = &report.error {
        lines.push(with_causes(error));
    }
    let first_trouble = pairs().find(|(_, outcome, had)| !outcome.is_accepted() && !had).map(|(_, outcome, _)| outcome);
    let complete = report.outcomes.len() == objects.len() && first_trouble.is_none();
    let outcome = match first_trouble {
        _ if complete => AttemptOutcome::Accepted,
        Some(SendOutcome::Answered(_) | SendOutcome::NotNegotiated) => AttemptOutcome::Refused,
        Some(SendOutcome::Failed(error)) => outcome_of(error),
        Some(SendOutcome::NotSent) | None => report.error.as_ref().map_or(AttemptOutcome::Interrupted, outcome_of),
    };
    let something_arrived =
        pairs().any(|(_, outcome, had)| had || outcome.is_accepted() || matches!(outcome, SendOutcome::Failed(_)));
    Verdict { outcome, detail: bounded(&lines.join("; ")), something_arrived }
}

fn line(object: &ReportObject, outcome: &SendOutcome, had: bool) -> String {
    let what = match object.kind {
        ReportFileKind::StructuredReport => "SR",
        ReportFileKind::EncapsulatedPdf => "PDF",
        ReportFileKind::Manifest => "manifest",
        ReportFileKind::Signature => "signature",
    };
    let uid = &object.sop_instance;
    match outcome {
        SendOutcome::Answered(status) if status.is_accepted() => {
            format!("{what} {uid}: {ACCEPTED} ({:04X}, {})", status.0, status.meaning())
        }
        SendOutcome::Answered(status) if had => {
            let (code, meaning) = (status.0, status.meaning());
            format!("{what} {uid}: {ACCEPTED} ({code:04X}, {meaning}: the recipient has it from an earlier attempt)")
        }
        SendOutcome::Answered(status) => format!("{what} {uid}: refused ({:04X}, {})", status.0, status.meaning()),
        SendOutcome::NotNegotiated => {
            format!("{what} {uid}: not sent, the recipient does not take this kind of object")
        }
        SendOutcome::Failed(error) => {
            format!("{what} {uid}: {UNKNOWN}, whether it arrived is unknown ({})", with_causes(error))
        }
        SendOutcome::NotSent => format!("{what} {uid}: not sent"),
    }
}

fn outcome_of(error: &AssociationError) -> AttemptOutcome {
    match error {
        AssociationError::Connect { source, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
            AttemptOutcome::TimedOut
        }
        AssociationError::Connect { .. } => AttemptOutcome::Unreachable,
        // Also when it is we who do not know its certificate.
        AssociationError::Handshake(_)
        | AssociationError::Rejected(_)
        | AssociationError::NoContextAccepted
        | AssociationError::NotAccepted(_) => AttemptOutcome::Refused,
        AssociationError::Timeout(_) => AttemptOutcome::TimedOut,
        AssociationError::Aborted(_)
        | AssociationError::Closed
        | AssociationError::Protocol(_)
        | AssociationError::Connection(_)
        | AssociationError::KeepsFailing(_) => AttemptOutcome::Aborted,
        _ => AttemptOutcome::Failed,
    }
}

/// What a peer or the system wrote may be long.
pub(crate) fn bounded(text: &str) -> String {
    if text.chars().count() <= LONGEST_DETAIL {
        return text.to_owned();
    }
    text.chars().take(LONGEST_DETAIL).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> [ReportObject; 2] {
        let object = |kind, uid: &str| ReportObject {
            kind,
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.88.11").unwrap(),
            sop_instance: SopInstanceUid::parse(uid).unwrap(),
            transfer_syntax: [TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap()],
            data_set: Bytes::new(),
        };
        [object(ReportFileKind::StructuredReport, "2.25.1"), object(ReportFileKind::EncapsulatedPdf, "2.25.2")]
    }

    fn verdict(outcomes: Vec<SendOutcome>, error: Option<AssociationError>) -> Verdict {
        judge(&objects(), &SendReport { outcomes, associations: 1, error }, |_| false)
    }

    const SUCCESS: SendOutcome = SendOutcome::Answered(Status(0x0000));

    #[test]
    fn every_end_has_its_word_and_only_two_acceptances_are_one() {
        use AttemptOutcome::{Aborted, Accepted, Interrupted, Refused, TimedOut, Unreachable};
        let refused =
            |kind: std::io::ErrorKind| AssociationError::Connect { address: "h:1".into(), source: kind.into() };
        let table = [
            (vec![SUCCESS, SUCCESS], None, Accepted, true),
            (vec![SUCCESS, SendOutcome::Answered(Status(0xB007))], None, Accepted, true),
            (vec![SUCCESS, SendOutcome::Answered(Status(0xA700))], None, Refused, true),
            (vec![SendOutcome::Answered(Status(0x0122)), SUCCESS], None, Refused, true),
            (vec![SendOutcome::Answered(Status(0xC000)), SendOutcome::NotNegotiated], None, Refused, false),
            (vec![SUCCESS, SendOutcome::Failed(AssociationError::Closed)], None, Aborted, true),
            (vec![SendOutcome::Failed(AssociationError::Closed), SUCCESS], None, Aborted, true),
            (
                vec![SendOutcome::NotSent, SendOutcome::NotSent],
                Some(refused(std::io::ErrorKind::ConnectionRefused)),
                Unreachable,
                false,
            ),
            (
                vec![SendOutcome::NotSent, SendOutcome::NotSent],
                Some(refused(std::io::ErrorKind::TimedOut)),
                TimedOut,
                false,
            ),
            (vec![SUCCESS, SendOutcome::NotSent], None, Interrupted, true),
            (vec![SUCCESS], None, Interrupted, true),
        ];
        for (outcomes, error, outcome, something_arrived) in table {
            let text = format!("{outcomes:?} {error:?}");
            let verdict = verdict(outcomes, error);
            assert_eq!(
                (verdict.outcome, verdict.something_arrived),
                (outcome, something_arrived),
                "{text}: {verdict:?}"
            );
        }
    }

    fn attempt(outcome: AttemptOutcome, detail: &str) -> AttemptRow {
        AttemptRow {
            id: uuid::Uuid::nil(),
            number: 1,
            started_by: dokuei_database::AttemptStart::Automatic,
            started_at: dokuei_domain::Timestamp(0),
            ended_at: None,
            outcome: Some(outcome),
            detail: Some(detail.to_owned()),
        }
    }

    #[test]
    fn a_duplicate_is_an_acceptance_only_of_what_an_earlier_attempt_may_have_left() {
        const DUPLICATE: SendOutcome = SendOutcome::Answered(Status(0x0111));
        let report = || SendReport { outcomes: vec![DUPLICATE, SUCCESS], associations: 1, error: None };
        let first = verdict(vec![SUCCESS, SendOutcome::Failed(AssociationError::Closed)], None);
        let refused = verdict(vec![SendOutcome::Answered(Status(0xA700)), SUCCESS], None);
        let table = [
            (vec![], AttemptOutcome::Refused),
            (vec![attempt(AttemptOutcome::Interrupted, "unknown")], AttemptOutcome::Accepted),
            (vec![attempt(first.outcome, &first.detail)], AttemptOutcome::Accepted),
            (vec![attempt(refused.outcome, &refused.detail)], AttemptOutcome::Refused),
            (vec![attempt(AttemptOutcome::Refused, "SR 12.25.1: accepted (0000")], AttemptOutcome::Refused),
        ];
        for (attempts, expected) in table {
            let verdict = judge(&objects(), &report(), |uid| may_have_arrived(&attempts, uid));
            assert_eq!((verdict.outcome, verdict.something_arrived), (expected, true), "{attempts:?}: {verdict:?}");
            let told = verdict.detail.contains("the recipient has it from an earlier attempt");
            assert_eq!(told, expected == AttemptOutcome::Accepted, "{}", verdict.detail);
        }
        assert!(may_have_arrived(&[attempt(first.outcome, &first.detail)], &objects()[1].sop_instance), "unknown");
    }

    #[test]
    fn the_detail_says_for_each_object_what_became_of_it() {
        let verdict = verdict(vec![SUCCESS, SendOutcome::Answered(Status(0xA700))], None);
        assert!(
            verdict.detail.starts_with("SR 2.25.1: accepted (0000, success); PDF 2.25.2: refused (A700, "),
            "{}",
            verdict.detail
        );
        assert_eq!(bounded(&"長".repeat(9_000)).chars().count(), LONGEST_DETAIL + 1);
    }
}
