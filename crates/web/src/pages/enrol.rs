//! The one-time link of a granted re-enrolment.

use askama::Template;
use axum::response::Response;
use dokuei_access::Enrolment;

use super::{page, page_with};
use crate::{extract::Id, problem::Problem, shell::Shell, text::Words, visitor::Visitor};

#[derive(Template)]
#[template(path = "enrol.html")]
pub(crate) struct Enrol {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) token: String,
    pub(crate) problem: Option<String>,
}

#[derive(Template)]
#[template(path = "enrolled.html")]
pub(crate) struct Enrolled {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) enrolment: EnrolmentView,
}

pub(crate) struct EnrolmentView {
    pub(crate) account: String,
    pub(crate) password: String,
    pub(crate) secret: String,
    /// A PNG in base64.
    pub(crate) qr: String,
    pub(crate) recovery_codes: Vec<String>,
    pub(crate) certificate_serial: String,
}

impl From<Enrolment> for EnrolmentView {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            account: enrolment.account.to_string(),
            password: enrolment.password,
            secret: enrolment.totp_secret_base32,
            qr: enrolment.qr_png_base64,
            recovery_codes: enrolment.recovery_codes,
            certificate_serial: enrolment.certificate_serial.unwrap_or_default(),
        }
    }
}

/// Says what will happen; opening the link alone uses nothing up.
pub(crate) async fn show(visitor: Visitor, Id(token): Id<String>) -> Result<Response, Problem> {
    // A token is 43 characters of URL-safe base64; anything else is not repeated on a page.
    let shaped = token.len() <= 64 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let token = if shaped { token } else { return Err(Problem::NotFound) };
    page(&Enrol { shell: shell(&visitor), t: visitor.t, token, problem: None })
}

pub(crate) async fn complete(visitor: Visitor, Id(token): Id<String>) -> Result<Response, Problem> {
    match visitor.state().access.reenrol_complete(&token, &visitor.address).await {
        Ok(enrolment) => {
            let enrolment = EnrolmentView::from(enrolment);
            page(&Enrolled { shell: shell(&visitor), t: visitor.t, enrolment })
        }
        Err(error) => {
            let refusal = visitor.refusal(&Problem::Access(error));
            let shown =
                Enrol { shell: shell(&visitor), t: visitor.t, token: String::new(), problem: Some(refusal.message) };
            page_with(refusal.status, &shown)
        }
    }
}

/// Without the token in the language switch.
fn shell(visitor: &Visitor) -> Shell {
    Shell { back: "/".to_owned(), ..Shell::new(visitor, "enrol") }
}
