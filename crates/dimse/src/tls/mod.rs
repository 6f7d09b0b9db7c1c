//! DICOM over TLS by the BCP 195 RFC 8996, 9325 profile (PS3.15 B.12): TLS 1.3, and TLS 1.2 with ephemeral elliptic-curve keys and AES-GCM. There is no
//! renegotiation, no compression, no early data and no resumption: associations are long, and each begins with a full handshake, so that a
//! certificate that has expired or lost its authority is not let in by a ticket.
//!
//! * [`NodeTls`]: this node's certificate, key and authorities, from files that are read again while it runs.
//! * [`ClientTls`]: what one outgoing association needs.
//! * [`PeerCertificate`]: what a certificate says; whom it stands for is decided elsewhere.
//!
//! The provider is aws-lc, named here for every configuration: what another library installs as the default of the process changes nothing.

mod certificate;
mod client;
mod files;
mod node;

use std::{sync::Arc, time::Duration};

use dokuei_domain::Ambient;
use rustls::{
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, cipher_suite, kx_group},
    },
    pki_types::UnixTime,
    time_provider::TimeProvider,
};

pub use certificate::{CertificateTrouble, PeerCertificate};
pub use client::{ClientTls, ClientTlsFiles};
pub use files::{ClientCertificate, TlsError, TlsFiles};
pub use node::{NodeTls, Reloaded};

static VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The suites and groups of the profile that are also CRYPTREC's, best first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
}

/// The node's clock decides whether a certificate is valid.
#[derive(Debug)]
struct AmbientTime(Ambient);

impl TimeProvider for AmbientTime {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}
