//! What can be refused and what can go wrong.

use dokuei_database::DatabaseError;
use dokuei_domain::{AccountId, AeTitle, FacilityId};

use crate::{CertificateFingerprint, address::SpecificationError, rights::Denied};

/// A primitive of the cryptographic library failed, or something encrypted does not open with our keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {0}")]
pub struct CryptoError(pub(crate) &'static str);

/// Why a sign-in, or the password and code before a signature, was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Never says which of account, password and code is wrong.
    #[error("account, password or code is wrong")]
    WrongCredentials,
    #[error("this code has been used already; wait for the next one")]
    ReplayedCode,
    #[error("too many failed attempts; try again in {retry_after_seconds} s")]
    TooManyAttempts { retry_after_seconds: i64 },
    /// Said only to those who know the password.
    #[error("the account is disabled; ask an administrator")]
    Disabled,
    #[error("the sign-in link has expired, was used before, or never existed")]
    LinkInvalid,
    #[error("the account has no signing certificate; only readers sign")]
    NoCertificate,
    #[error("the signing certificate has expired; ask two administrators for a re-enrolment")]
    CertificateExpired,
    #[error("cannot look at the account")]
    Database(#[from] DatabaseError),
    #[error("cannot check the credentials")]
    Crypto(#[from] CryptoError),
}

/// Why an operation on accounts, facilities or approvals was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error(transparent)]
    Specification(#[from] SpecificationError),
    #[error("there is no account {0}")]
    UnknownAccount(AccountId),
    #[error("account {0} exists already")]
    AccountExists(AccountId),
    #[error("account {0} is disabled; enable it first")]
    AccountDisabled(AccountId),
    #[error("account {0} is the last administrator; add another one first")]
    LastAdministrator(AccountId),
    #[error("account {0} is no reader")]
    NotAReader(AccountId),
    #[error("readers are added with their name and modalities: use `reader add`")]
    ReaderNeedsName,
    #[error("administrators are added on the node's own command line, by whoever runs it")]
    AdministratorByCommandLine,
    #[error("an account of a facility needs the facility's id, and no other account has one")]
    FacilityRequired,
    #[error("the name has no kanji, romaji or kana group; write it like 'Yamada^Taro=山田^太郎=やまだ^たろう'")]
    NameMissing,
    #[error("{field} must be {rule}")]
    Text { field: &'static str, rule: &'static str },
    #[error("'{0}' is not a modality; use DICOM codes such as CT or MR")]
    Modality(String),
    #[error("the password must have at least {minimum} characters")]
    PasswordTooShort { minimum: usize },
    #[error("the password must have at most {maximum} bytes")]
    PasswordTooLong { maximum: usize },
    #[error("the password must differ from the account's id")]
    PasswordIsAccount,
    #[error("there is no facility {0}")]
    UnknownFacility(FacilityId),
    #[error("facility {0} exists already")]
    FacilityExists(FacilityId),
    #[error("the issuer belongs to facility {0} already; every facility needs its own")]
    IssuerTaken(FacilityId),
    #[error("calling AE title {calling} {} belongs to facility {facility} already", from_address(.address.as_deref()))]
    PeerTaken { calling: AeTitle, address: Option<String>, facility: FacilityId },
    #[error("certificate {fingerprint} is registered for facility {facility} already")]
    CertificateTaken { fingerprint: CertificateFingerprint, facility: FacilityId },
    #[error("there is no such entry to remove: {0}")]
    NothingToRemove(String),
    #[error("this needs two administrators who sign in with their own accounts; the command line cannot stand for one")]
    NeedsAdministrator,
    #[error("there is no such approval")]
    UnknownApproval,
    #[error("another administrator must grant what you have asked for")]
    SameAdministrator,
    #[error("the approval has been decided already")]
    ApprovalDecided,
    #[error("a request for account {0} waits for a second administrator already")]
    ApprovalWaiting(AccountId),
    #[error("the re-enrolment token has expired, was used before, or never existed")]
    TokenInvalid,
    #[error("the account was changed by somebody else meanwhile; try again")]
    ChangedMeanwhile,
    #[error("sign-in links exist in the demonstration only")]
    LinksNotAllowed,
    #[error("cannot read or change what is stored about accounts and facilities")]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

fn from_address(address: Option<&str>) -> String {
    address.map_or_else(|| "from any address".to_owned(), |address| format!("from {address}"))
}
