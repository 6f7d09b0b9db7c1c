//! Refusals in words: status, a stable kind for programs, a sentence for the person. One function per use case's error.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use dokuei_access::{AccessError, SignInError};
use dokuei_archive::ArchiveError;
use dokuei_domain::workitem::Refusal as WorkitemRefusal;
use dokuei_ingest::IngestError;
use dokuei_pixels::RenderError;
use dokuei_report::ReportError;
use dokuei_worklist::WorklistError;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::{
    format,
    problem::Problem,
    text::{Words, fill},
};

/// A problem as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    /// With `conflict`: what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<StoredDraft>,
    #[serde(skip)]
    pub(crate) retry_after_seconds: Option<i64>,
}

/// A draft as the editor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StoredDraft {
    pub(crate) findings: String,
    pub(crate) impression: String,
    pub(crate) recommendation: String,
    pub(crate) version: i64,
}

/// Language and time zone of a sentence.
#[derive(Clone, Copy)]
pub(crate) struct Tongue<'a> {
    pub(crate) t: &'static Words,
    pub(crate) zone: &'a TimeZone,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), stored: None, retry_after_seconds: None }
    }

    /// Says when to come back, where that is known (RFC 9110 section 10.2.3).
    pub(crate) fn with_retry_after(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(0).unsigned_abs()));
        }
        response
    }

    pub(crate) fn of(problem: &Problem, tongue: Tongue<'_>) -> Self {
        let t = tongue.t;
        match problem {
            Problem::SignedOut => Self::new(StatusCode::UNAUTHORIZED, "signed_out", t.session_ended),
            Problem::NotFound => not_found(t),
            Problem::CrossSite => Self::new(StatusCode::FORBIDDEN, "cross_site", t.cross_site),
            Problem::BadRequest => Self::new(StatusCode::BAD_REQUEST, "bad_request", t.bad_request),
            Problem::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", t.too_large),
            Problem::MethodNotAllowed => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", t.method_not_allowed)
            }
            Problem::NotConfirmed => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not_confirmed", t.confirm_first),
            Problem::PasswordsDiffer => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "passwords_differ", t.passwords_differ)
            }
            Problem::SignIn(error) => of_sign_in(error, t),
            Problem::Access(error) => of_access(error, t),
            Problem::Worklist(error) => of_worklist(error, tongue),
            Problem::Ingest(error) => of_ingest(error, t),
            Problem::Archive(error) => of_archive(error, t),
            Problem::Report(error) => of_report(error, t),
            Problem::Render(error) => of_render(error, t),
            Problem::Page(_) | Problem::Task(_) => unavailable(StatusCode::INTERNAL_SERVER_ERROR, t),
        }
    }
}

fn not_found(t: &Words) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", t.not_found)
}

fn unavailable(status: StatusCode, t: &Words) -> Refusal {
    Refusal::new(status, "unavailable", t.unavailable)
}

fn conflict(kind: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, kind, message)
}

fn invalid(kind: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, kind, message)
}

fn too_many(retry_after_seconds: i64, t: &Words) -> Refusal {
    let minutes = (retry_after_seconds.max(0) + 59) / 60;
    let message = fill(t.too_many_attempts, &[("minutes", &minutes)]);
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message);
    Refusal { retry_after_seconds: Some(retry_after_seconds), ..refusal }
}

/// At the sign-in page: what was wrong is not told, nor whether the account is disabled.
fn of_sign_in(error: &SignInError, t: &Words) -> Refusal {
    match error {
        SignInError::WrongCredentials | SignInError::ReplayedCode | SignInError::Disabled => {
            Refusal::new(StatusCode::UNAUTHORIZED, "wrong_credentials", t.wrong_credentials)
        }
        SignInError::TooManyAttempts { retry_after_seconds } => too_many(*retry_after_seconds, t),
        SignInError::LinkInvalid => Refusal::new(StatusCode::GONE, "link_invalid", t.link_invalid),
        other => of_step_up(other, t),
    }
}

/// Password and code asked for within a session: the person is known, so the reason helps nobody else. Never 401, which would mean that the session ended.
fn of_step_up(error: &SignInError, t: &Words) -> Refusal {
    match error {
        SignInError::WrongCredentials => Refusal::new(StatusCode::FORBIDDEN, "wrong_credentials", t.wrong_step_up),
        SignInError::ReplayedCode => Refusal::new(StatusCode::FORBIDDEN, "replayed_code", t.replayed_code),
        SignInError::TooManyAttempts { retry_after_seconds } => too_many(*retry_after_seconds, t),
        SignInError::Disabled => Refusal::new(StatusCode::FORBIDDEN, "account_disabled", t.account_disabled),
        SignInError::LinkInvalid => Refusal::new(StatusCode::GONE, "link_invalid", t.link_invalid),
        SignInError::NoCertificate => Refusal::new(StatusCode::FORBIDDEN, "no_certificate", t.no_signing_certificate),
        SignInError::CertificateExpired => {
            Refusal::new(StatusCode::FORBIDDEN, "certificate_expired", t.certificate_expired)
        }
        SignInError::Database(_) => unavailable(StatusCode::SERVICE_UNAVAILABLE, t),
        SignInError::Crypto(_) => unavailable(StatusCode::INTERNAL_SERVER_ERROR, t),
    }
}

fn of_access(error: &AccessError, t: &Words) -> Refusal {
    let rule = |rule: &dyn std::fmt::Display| invalid("invalid", fill(t.invalid_text, &[("rule", rule)]));
    match error {
        AccessError::Denied(_) => not_found(t),
        AccessError::SignIn(error) => of_step_up(error, t),
        AccessError::UnknownAccount(_) => invalid("unknown_account", t.unknown_account),
        AccessError::UnknownApproval => invalid("unknown_approval", t.unknown_approval),
        AccessError::AccountDisabled(_) => conflict("account_disabled", t.account_disabled),
        AccessError::LastAdministrator(_) => conflict("last_administrator", t.last_administrator),
        AccessError::Text { .. } => rule(&t.short_text_rule),
        AccessError::PasswordTooShort { minimum } => {
            invalid("password_too_short", fill(t.password_too_short, &[("minimum", minimum)]))
        }
        AccessError::PasswordTooLong { .. } => invalid("password_too_long", t.password_too_long),
        AccessError::PasswordIsAccount => invalid("password_is_account", t.password_is_account),
        AccessError::NeedsAdministrator => conflict("needs_administrator", t.needs_administrator),
        AccessError::SameAdministrator => conflict("same_administrator", t.same_administrator),
        AccessError::ApprovalDecided => conflict("approval_decided", t.approval_decided),
        AccessError::ApprovalWaiting(_) => conflict("approval_waiting", t.approval_waiting),
        AccessError::TokenInvalid => Refusal::new(StatusCode::GONE, "token_invalid", t.token_invalid),
        AccessError::ChangedMeanwhile => conflict("changed_meanwhile", t.changed_meanwhile),
        AccessError::Database(_) => unavailable(StatusCode::SERVICE_UNAVAILABLE, t),
        AccessError::Crypto(_) => unavailable(StatusCode::INTERNAL_SERVER_ERROR, t),
        // Reached only by what no page offers: adding and editing accounts and facilities is done on the command line.
        other => rule(other),
    }
}

fn of_worklist(error: &WorklistError, tongue: Tongue<'_>) -> Refusal {
    let t = tongue.t;
    match error {
        WorklistError::Denied(_) | WorklistError::CaseNotFound(_) | WorklistError::StudyNotFound(_) => not_found(t),
        WorklistError::ReaderNotFound(_) => invalid("reader_not_found", t.reader_not_found),
        WorklistError::Withdrawn => Refusal::new(StatusCode::GONE, "withdrawn", t.case_withdrawn),
        WorklistError::OnlyReaders => Refusal::new(StatusCode::FORBIDDEN, "only_readers", t.only_readers),
        WorklistError::LacksSkill(missing) => {
            conflict("lacks_skill", fill(t.lacks_skill, &[("modalities", &missing.join(", "))]))
        }
        WorklistError::ClaimedByOther { by } => {
            conflict("claimed_by_other", fill(t.claimed_by_other, &[("reader", by)]))
        }
        WorklistError::AssignedToOther { reader, free_at } => {
            let time = format::minute(tongue.zone, *free_at);
            conflict("assigned_to_other", fill(t.assigned_to_other, &[("reader", reader), ("time", &time)]))
        }
        WorklistError::Workitem(refusal) => of_workitem(*refusal, t),
        WorklistError::TransactionUid(_) => Refusal::new(StatusCode::BAD_REQUEST, "bad_request", t.bad_request),
        WorklistError::TooLong { limit, .. } => invalid("too_long", fill(t.text_too_long, &[("limit", limit)])),
        WorklistError::Database(_) => unavailable(StatusCode::SERVICE_UNAVAILABLE, t),
    }
}

fn of_workitem(refusal: WorkitemRefusal, t: &Words) -> Refusal {
    match refusal {
        WorkitemRefusal::WrongTransactionUid => conflict("claimed_elsewhere", t.claimed_elsewhere),
        WorkitemRefusal::AlreadyInProgress => conflict("already_in_progress", t.already_in_progress),
        WorkitemRefusal::NotInProgress => conflict("claim_lost", t.claim_lost),
        WorkitemRefusal::MayNoLongerBeUpdated
        | WorkitemRefusal::OnlyCreateSchedules
        | WorkitemRefusal::AlreadyCompleted
        | WorkitemRefusal::AlreadyCanceled => conflict("no_longer_open", t.no_longer_open),
    }
}

fn of_ingest(error: &IngestError, t: &Words) -> Refusal {
    match error {
        IngestError::Denied | IngestError::NoSuchStudy | IngestError::NotInQuarantine => not_found(t),
        IngestError::AlreadyDecided => conflict("already_decided", t.already_decided),
        IngestError::ReasonMissing { limit } => invalid("reason_missing", fill(t.reason_missing, &[("limit", limit)])),
        IngestError::NotReleasable(_) => conflict("not_releasable", t.stays_in_quarantine),
        // The others belong to reception, which the web does not do.
        _ => unavailable(StatusCode::SERVICE_UNAVAILABLE, t),
    }
}

fn of_archive(error: &ArchiveError, t: &Words) -> Refusal {
    match error {
        ArchiveError::NotFound => not_found(t),
        ArchiveError::TooLarge { .. } => invalid("image_too_large", t.image_too_large),
        ArchiveError::Corrupt(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "image_corrupt", t.image_corrupt),
        ArchiveError::Index(_) | ArchiveError::Store(_) => unavailable(StatusCode::SERVICE_UNAVAILABLE, t),
        ArchiveError::BadKey(_) | ArchiveError::Write { .. } => unavailable(StatusCode::INTERNAL_SERVER_ERROR, t),
    }
}

fn of_render(error: &RenderError, t: &Words) -> Refusal {
    match error {
        RenderError::NoSuchFrame { .. } | RenderError::NotAnImage => not_found(t),
        RenderError::InvalidRequest(_) => Refusal::new(StatusCode::BAD_REQUEST, "bad_request", t.bad_request),
        RenderError::UnsupportedTransferSyntax(_)
        | RenderError::UnsupportedPhotometric(_)
        | RenderError::UnsupportedLayout(_) => invalid("image_unsupported", t.image_unsupported),
        RenderError::TooLarge(_) => invalid("image_too_large", t.image_too_large),
        _ => invalid("image_malformed", t.image_malformed),
    }
}

fn of_report(error: &ReportError, t: &Words) -> Refusal {
    match error {
        ReportError::Denied(_) | ReportError::NotFound => not_found(t),
        ReportError::Withdrawn => Refusal::new(StatusCode::GONE, "withdrawn", t.case_withdrawn),
        ReportError::ClaimLost => conflict("claim_lost", t.claim_lost),
        ReportError::Conflict { stored } => {
            let stored = StoredDraft {
                findings: stored.findings.clone(),
                impression: stored.impression.clone(),
                recommendation: stored.recommendation.clone(),
                version: stored.version,
            };
            Refusal { stored: Some(stored), ..conflict("conflict", t.draft_conflict) }
        }
        ReportError::Empty => invalid("empty", t.report_empty),
        ReportError::TooLong { limit, .. } => invalid("too_long", fill(t.text_too_long, &[("limit", &(limit / 3))])),
        ReportError::ControlCharacter { character, .. } | ReportError::InvisibleCharacter { character, .. } => {
            let code = format!("U+{:04X}", u32::from(*character));
            invalid("character", fill(t.glyph_missing, &[("characters", &code)]))
        }
        ReportError::MissingGlyph { character, .. } => {
            let shown = format!("{character} (U+{:04X})", u32::from(*character));
            invalid("character", fill(t.glyph_missing, &[("characters", &shown)]))
        }
        ReportError::IncompleteNotConfirmed { .. } => conflict("incomplete_not_confirmed", t.incomplete_not_confirmed),
        ReportError::NoImages => conflict("no_images", t.no_images),
        ReportError::ImagesKeptArriving => conflict("images_kept_arriving", t.images_kept_arriving),
        ReportError::AlreadyAccepted => conflict("already_accepted", t.nothing_to_retry),
        ReportError::WrongCredentials => of_step_up(&SignInError::WrongCredentials, t),
        ReportError::ReplayedCode => of_step_up(&SignInError::ReplayedCode, t),
        ReportError::TooManyAttempts { retry_after_seconds } => too_many(*retry_after_seconds, t),
        ReportError::CannotUnlock(error) => of_step_up(error, t),
        ReportError::OutcomeUnknown(_) => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", t.outcome_unknown)
        }
        ReportError::Damaged { .. } => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", t.not_verified),
        ReportError::PrintTimedOut | ReportError::Store(_) | ReportError::Database(_) => {
            unavailable(StatusCode::SERVICE_UNAVAILABLE, t)
        }
        _ => unavailable(StatusCode::INTERNAL_SERVER_ERROR, t),
    }
}

#[cfg(test)]
mod tests {
    use dokuei_access::Denied;
    use dokuei_domain::{AccountId, CaseId, InstanceId, StudyPk, Timestamp, Uid};
    use dokuei_report::Draft;

    use super::*;
    use crate::text::{ENGLISH, JAPANESE};

    fn denied() -> Denied {
        Denied { actor: "account:F2".to_owned(), action: dokuei_access::Action::ViewCase, facility: None }
    }

    fn reader() -> AccountId {
        AccountId::parse("R2").unwrap()
    }

    fn draft() -> Box<Draft> {
        let (findings, impression, recommendation) = ("所見".to_owned(), String::new(), String::new());
        Box::new(Draft { findings, impression, recommendation, version: 3, author: reader(), saved_at: Timestamp(0) })
    }

    fn check<E: Into<Problem>>(table: Vec<(E, u16, &str)>) {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        for (error, status, kind) in table {
            let problem = error.into();
            let [japanese, english] = [&JAPANESE, &ENGLISH].map(|t| Refusal::of(&problem, Tongue { t, zone: &zone }));
            assert_eq!((japanese.status.as_u16(), japanese.kind), (status, kind), "{problem:?}");
            assert_eq!((english.status, english.kind), (japanese.status, japanese.kind), "{problem:?}");
            assert!(!japanese.message.is_ascii() && !english.message.is_empty(), "{problem:?}");
            assert!(
                !japanese.message.contains('{') && !english.message.contains('{'),
                "{problem:?}: a placeholder is left"
            );
        }
    }

    #[test]
    fn what_the_web_itself_refuses() {
        check(vec![
            (Problem::SignedOut, 401, "signed_out"),
            (Problem::NotFound, 404, "not_found"),
            (Problem::CrossSite, 403, "cross_site"),
            (Problem::BadRequest, 400, "bad_request"),
            (Problem::TooLarge, 413, "too_large"),
            (Problem::MethodNotAllowed, 405, "method_not_allowed"),
            (Problem::NotConfirmed, 422, "not_confirmed"),
            (Problem::PasswordsDiffer, 422, "passwords_differ"),
            (Problem::Task("x".to_owned()), 500, "unavailable"),
        ]);
    }

    #[test]
    fn at_the_sign_in_page_three_reasons_look_the_same() {
        check(vec![
            (SignInError::WrongCredentials, 401, "wrong_credentials"),
            (SignInError::ReplayedCode, 401, "wrong_credentials"),
            (SignInError::Disabled, 401, "wrong_credentials"),
            (SignInError::TooManyAttempts { retry_after_seconds: 61 }, 429, "too_many_attempts"),
            (SignInError::LinkInvalid, 410, "link_invalid"),
        ]);
    }

    #[test]
    fn within_a_session_the_reason_is_told() {
        let step_up = |error| AccessError::SignIn(error);
        check(vec![
            (step_up(SignInError::WrongCredentials), 403, "wrong_credentials"),
            (step_up(SignInError::ReplayedCode), 403, "replayed_code"),
            (step_up(SignInError::Disabled), 403, "account_disabled"),
            (step_up(SignInError::NoCertificate), 403, "no_certificate"),
            (step_up(SignInError::CertificateExpired), 403, "certificate_expired"),
            (step_up(SignInError::TooManyAttempts { retry_after_seconds: 1 }), 429, "too_many_attempts"),
            (AccessError::Denied(denied()), 404, "not_found"),
            (AccessError::UnknownAccount(reader()), 422, "unknown_account"),
            (AccessError::UnknownApproval, 422, "unknown_approval"),
            (AccessError::AccountDisabled(reader()), 409, "account_disabled"),
            (AccessError::LastAdministrator(reader()), 409, "last_administrator"),
            (AccessError::Text { field: "the reason", rule: "short" }, 422, "invalid"),
            (AccessError::PasswordTooShort { minimum: 12 }, 422, "password_too_short"),
            (AccessError::PasswordTooLong { maximum: 256 }, 422, "password_too_long"),
            (AccessError::PasswordIsAccount, 422, "password_is_account"),
            (AccessError::NeedsAdministrator, 409, "needs_administrator"),
            (AccessError::SameAdministrator, 409, "same_administrator"),
            (AccessError::ApprovalDecided, 409, "approval_decided"),
            (AccessError::ApprovalWaiting(reader()), 409, "approval_waiting"),
            (AccessError::TokenInvalid, 410, "token_invalid"),
            (AccessError::ChangedMeanwhile, 409, "changed_meanwhile"),
            (AccessError::ReaderNeedsName, 422, "invalid"),
        ]);
    }

    #[test]
    fn refusals_of_the_worklist() {
        let case = CaseId(uuid::Uuid::nil());
        check(vec![
            (WorklistError::Denied(denied()), 404, "not_found"),
            (WorklistError::CaseNotFound(case), 404, "not_found"),
            (WorklistError::StudyNotFound(StudyPk(uuid::Uuid::nil())), 404, "not_found"),
            (WorklistError::ReaderNotFound(reader()), 422, "reader_not_found"),
            (WorklistError::Withdrawn, 410, "withdrawn"),
            (WorklistError::OnlyReaders, 403, "only_readers"),
            (WorklistError::LacksSkill(vec!["MR".to_owned()]), 409, "lacks_skill"),
            (WorklistError::ClaimedByOther { by: reader() }, 409, "claimed_by_other"),
            (WorklistError::AssignedToOther { reader: reader(), free_at: Timestamp(0) }, 409, "assigned_to_other"),
            (WorklistError::Workitem(WorkitemRefusal::WrongTransactionUid), 409, "claimed_elsewhere"),
            (WorklistError::Workitem(WorkitemRefusal::AlreadyInProgress), 409, "already_in_progress"),
            (WorklistError::Workitem(WorkitemRefusal::NotInProgress), 409, "claim_lost"),
            (WorklistError::Workitem(WorkitemRefusal::MayNoLongerBeUpdated), 409, "no_longer_open"),
            (WorklistError::TransactionUid(Uid::parse("").unwrap_err()), 400, "bad_request"),
            (WorklistError::TooLong { field: "reason", limit: 400 }, 422, "too_long"),
        ]);
    }

    #[test]
    fn refusals_of_reception_archive_and_images() {
        check(vec![
            (IngestError::Denied, 404, "not_found"),
            (IngestError::NoSuchStudy, 404, "not_found"),
            (IngestError::NotFiled, 503, "unavailable"),
        ]);
        check(vec![
            (ArchiveError::NotFound, 404, "not_found"),
            (ArchiveError::TooLarge { size: 2, limit: 1 }, 422, "image_too_large"),
            (ArchiveError::Corrupt("x".to_owned()), 500, "image_corrupt"),
            (ArchiveError::BadKey(InstanceId(uuid::Uuid::nil())), 500, "unavailable"),
        ]);
        check(vec![
            (RenderError::NotAnImage, 404, "not_found"),
            (RenderError::NoSuchFrame { frame: 1, frames: 1 }, 404, "not_found"),
            (RenderError::InvalidRequest("x"), 400, "bad_request"),
            (RenderError::UnsupportedTransferSyntax("1.2".to_owned()), 422, "image_unsupported"),
            (RenderError::UnsupportedPhotometric("x".to_owned()), 422, "image_unsupported"),
            (RenderError::UnsupportedLayout("x".to_owned()), 422, "image_unsupported"),
            (RenderError::Malformed("x".to_owned()), 422, "image_malformed"),
            (RenderError::TooLarge("x".to_owned()), 422, "image_too_large"),
        ]);
    }

    #[test]
    fn refusals_of_reports() {
        check(vec![
            (ReportError::Denied(denied()), 404, "not_found"),
            (ReportError::NotFound, 404, "not_found"),
            (ReportError::Withdrawn, 410, "withdrawn"),
            (ReportError::ClaimLost, 409, "claim_lost"),
            (ReportError::Conflict { stored: draft() }, 409, "conflict"),
            (ReportError::Empty, 422, "empty"),
            (ReportError::TooLong { field: "findings", limit: 65_536 }, 422, "too_long"),
            (ReportError::ControlCharacter { field: "findings", character: '\u{7}' }, 422, "character"),
            (ReportError::MissingGlyph { field: "findings", character: '𠮷' }, 422, "character"),
            (ReportError::InvisibleCharacter { field: "findings", character: '\u{200b}' }, 422, "character"),
            (
                ReportError::IncompleteNotConfirmed { received: 482, expected: Some(500) },
                409,
                "incomplete_not_confirmed",
            ),
            (ReportError::NoImages, 409, "no_images"),
            (ReportError::WrongCredentials, 403, "wrong_credentials"),
            (ReportError::ReplayedCode, 403, "replayed_code"),
            (ReportError::TooManyAttempts { retry_after_seconds: 900 }, 429, "too_many_attempts"),
            (ReportError::CannotUnlock(SignInError::CertificateExpired), 403, "certificate_expired"),
            (ReportError::PrintTimedOut, 503, "unavailable"),
            (ReportError::ImagesKeptArriving, 409, "images_kept_arriving"),
            (ReportError::Damaged { kind: dokuei_report::ReportFileKind::Manifest }, 500, "damaged"),
            (ReportError::AlreadyAccepted, 409, "already_accepted"),
        ]);
    }

    #[test]
    fn a_conflict_carries_what_is_stored() {
        let zone = TimeZone::UTC;
        let refusal = Refusal::of(
            &Problem::Report(ReportError::Conflict { stored: draft() }),
            Tongue { t: &ENGLISH, zone: &zone },
        );
        let json = serde_json::to_value(&refusal).unwrap();
        assert_eq!(
            json["stored"],
            serde_json::json!({ "findings": "所見", "impression": "", "recommendation": "", "version": 3 })
        );
        assert_eq!(json["kind"], "conflict");
    }
}
