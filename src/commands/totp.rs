//! `dokuei totp`.

use dokuei_domain::Ambient;
use serde_json::json;
use totp_rs::Totp;

use crate::output::Output;

/// Prints the code that an authenticator would show now, and for how many seconds more.
pub(crate) fn run(output: Output, secret: &str, ambient: &Ambient) -> anyhow::Result<()> {
    let totp = Totp::from_url(format!("otpauth://totp/Dokuei:demo?secret={}&issuer=Dokuei", secret.trim()))?;
    let now = u64::try_from(ambient.now().0 / 1_000_000)?;
    let (code, left) = (totp.generate(now).to_string(), 30 - now % 30);
    output.show(&json!({ "code": code, "seconds_left": left }), || code.clone())
}
