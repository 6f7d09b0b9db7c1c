//! Who may do what: facilities and their DICOM peers, accounts with a second factor, sessions, rights, signing keys, and what two administrators must
//! agree on. Every success and every refusal leaves an audit row.
//!
//! What it is not: it reads no sockets, sets no cookies and writes no pages; adapters do, and ask here. It knows no study and no report: use cases ask
//! [`can`] and add the facility to their queries. It verifies no chain of a peer's certificate: TLS does, and gives the fingerprint.
//!
//! To add an action: a variant of [`Action`] with its words, its place in the role's list in `rights.rs`, and its row in the matrix test, which does not
//! compile without it. To add an operation for administrators: begin it with [`Access::require`], so that a refusal is audited.

mod access;
mod accounts;
mod address;
mod admission;
mod approvals;
mod audit;
mod certificate;
mod commitment_targets;
mod enrolment;
mod error;
mod facilities;
mod keys;
mod one_time;
mod password;
mod peer_certificates;
mod rights;
mod sealed;
mod session;
mod settings;
mod sign_in;
mod signing_key;
mod step_up;

pub use access::Access;
pub use accounts::{Account, AccountEdit, Language, NewAccount, NewReader, Reader, ReaderEdit};
pub use address::{PeerSpecification, ReturnTarget, SpecificationError, parse_address};
pub use admission::{PeerAdmission, PeerRefusal};
pub use approvals::Approval;
pub use dokuei_database::{AuditEvent, AuditOutcome, AuditRow, PeerRole};
pub use enrolment::Enrolment;
pub use error::{AccessError, CryptoError, SignInError};
pub use facilities::{Facility, FacilityEdit, NewFacility};
pub use keys::{KeyError, NodeKeys};
pub use peer_certificates::{CertificateFingerprint, NewPeerCertificate, PeerCertificate};
pub use rights::{Action, Denied, Resource, can};
pub use session::Session;
pub use settings::{AccessSettings, PasswordCost};
pub use sign_in::SignedIn;
pub use signing_key::SigningKey;

#[cfg(test)]
mod tests;
