//! The node's own keys, as files: the certificate authority that issues readers' certificates and the secret that encrypts second factors.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{hkdf, signature::RsaKeyPair};
use der::{DecodePem as _, Encode as _, EncodePem as _, SecretDocument, pem::LineEnding, zeroize::Zeroizing};
use dokuei_domain::{AccountId, Ambient, Timestamp};
use x509_cert::Certificate;

use crate::{
    certificate::{self, Subject},
    error::CryptoError,
    sealed,
};

const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const NODE_SECRET: &str = "node.secret";

/// Why the keys cannot be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{} exists already; keys are never overwritten", .0.display())]
    Exists(PathBuf),
    #[error("{} is missing: run `dokuei init`, or put it back from the backup", .0.display())]
    Missing(PathBuf),
    #[error("{} can be read by others: run `chmod 600` on it", .0.display())]
    Open(PathBuf),
    #[error("{} does not hold what it should; put it back from the backup", .0.display())]
    Damaged(PathBuf),
    #[error("the organisation's name must have 1 to 64 characters")]
    Organisation,
    #[error("cannot {operation} {}", path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The loaded keys. They never leave the process; `Debug` shows nothing of them.
pub struct NodeKeys {
    authority: Certificate,
    authority_der: Vec<u8>,
    authority_key: RsaKeyPair,
    totp_key: Zeroizing<[u8; 32]>,
    claim_key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKeys")
    }
}

impl NodeKeys {
    /// Makes new keys in `directory` (0700, files 0600), which must not exist or be empty. They appear all at once or not at all. Blocks for about a
    /// second.
    pub fn create(directory: &Path, ambient: &Ambient, organisation: &str) -> Result<Self, KeyError> {
        let organisation = organisation.trim();
        if organisation.is_empty() || organisation.chars().count() > 64 {
            return Err(KeyError::Organisation);
        }
        let exists = || KeyError::Exists(directory.to_owned());
        if directory.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(exists());
        }
        let key = certificate::generate_key()?;
        let authority =
            certificate::issue_authority(&key, organisation, certificate::new_serial(ambient), ambient.now())?;
        let secret = Zeroizing::new(ambient.random::<32>());

        let certificate_pem =
            authority.to_pem(LineEnding::LF).map_err(|_| CryptoError("encode the authority's certificate"))?;
        let key_der = certificate::private_key_der(&key)?;
        let key_pem = SecretDocument::try_from(key_der.as_slice())
            .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF))
            .map_err(|_| CryptoError("encode the authority's key"))?;
        let secret_hex = Zeroizing::new(hex::encode(*secret) + "\n");

        let staged = staging_directory(directory, ambient);
        let failed = |operation| move |source| KeyError::File { operation, path: directory.to_owned(), source };
        let write_all = || -> io::Result<()> {
            DirBuilder::new().mode(0o700).recursive(true).create(&staged)?;
            write_private(&staged.join(AUTHORITY_CERTIFICATE), certificate_pem.as_bytes())?;
            write_private(&staged.join(AUTHORITY_KEY), key_pem.as_bytes())?;
            write_private(&staged.join(NODE_SECRET), secret_hex.as_bytes())?;
            File::open(&staged)?.sync_all()
        };
        if let Err(error) = write_all() {
            discard(&staged);
            return Err(failed("write keys to")(error));
        }
        // Onto a directory with anything in it the rename fails: of two that come here at once, one wins.
        if let Err(error) = std::fs::rename(&staged, directory) {
            discard(&staged);
            let taken = matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists);
            return Err(if taken { exists() } else { failed("write keys to")(error) });
        }
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("write keys to"))?;
        }
        Self::load(directory)
    }

    /// Loads the keys of an initialised node.
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        let certificate_path = directory.join(AUTHORITY_CERTIFICATE);
        let damaged = |path: &Path| KeyError::Damaged(path.to_owned());
        let pem = read(&certificate_path, false)?;
        let authority = Certificate::from_pem(pem.as_slice()).map_err(|_| damaged(&certificate_path))?;
        let authority_der = authority.to_der().map_err(|_| damaged(&certificate_path))?;

        let key_path = directory.join(AUTHORITY_KEY);
        let pem = read(&key_path, true)?;
        let pem = std::str::from_utf8(&pem).map_err(|_| damaged(&key_path))?;
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| damaged(&key_path))?;
        if label != "PRIVATE KEY" {
            return Err(damaged(&key_path));
        }
        let authority_key = RsaKeyPair::from_pkcs8(document.as_bytes()).map_err(|_| damaged(&key_path))?;
        if certificate::public_key_info(&authority_key)? != authority.tbs_certificate.subject_public_key_info {
            return Err(damaged(&key_path));
        }

        let secret_path = directory.join(NODE_SECRET);
        let text = read(&secret_path, true)?;
        let mut secret = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim_ascii(), secret.as_mut_slice()).map_err(|_| damaged(&secret_path))?;
        let totp_key = derive(&secret, b"dokuei totp secrets v1")?;
        let claim_key = derive(&secret, b"dokuei web claims v1")?;
        Ok(Self { authority, authority_der, authority_key, totp_key, claim_key })
    }

    /// The authority's certificate, DER: what signatures are verified against.
    pub fn authority_der(&self) -> &[u8] {
        &self.authority_der
    }

    /// The authority's certificate as PEM, for people who verify with their own tools.
    pub fn authority_pem(&self) -> Result<String, CryptoError> {
        self.authority.to_pem(LineEnding::LF).map_err(|_| CryptoError("encode the authority's certificate"))
    }

    /// The key under which the web derives the Transaction UID of a reader's claim; the same on every node of one installation.
    pub fn claim_key(&self) -> [u8; 32] {
        *self.claim_key
    }

    /// Issues a signing certificate for a public key.
    pub(crate) fn issue(
        &self,
        subject: &Subject,
        key: &RsaKeyPair,
        serial: [u8; 16],
        now: Timestamp,
        days: i64,
    ) -> Result<Certificate, CryptoError> {
        let public_key = certificate::public_key_info(key)?;
        certificate::issue_signer(&self.authority, &self.authority_key, subject, public_key, serial, now, days)
    }

    pub(crate) fn seal_totp_secret(&self, account: &AccountId, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let sealed = sealed::seal(&self.totp_key, account.as_str().as_bytes(), secret)?;
        Ok([&[TOTP_FORMAT], sealed.as_slice()].concat())
    }

    pub(crate) fn open_totp_secret(
        &self,
        account: &AccountId,
        stored: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        match stored.split_first() {
            Some((&TOTP_FORMAT, sealed)) => sealed::open(&self.totp_key, account.as_str().as_bytes(), sealed),
            _ => Err(CryptoError("read the stored second factor")),
        }
    }
}

const TOTP_FORMAT: u8 = 1;

/// A key for one purpose from the node's secret (HKDF-SHA-256, RFC 5869).
fn derive(secret: &[u8; 32], purpose: &'static [u8]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    const FAILED: CryptoError = CryptoError("derive a key from the node's secret");
    let mut key = Zeroizing::new([0u8; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(key.as_mut_slice()))
        .map_err(|_| FAILED)?;
    Ok(key)
}

/// A sibling, so that the rename stays within one file system.
fn staging_directory(directory: &Path, ambient: &Ambient) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", hex::encode(ambient.random::<6>())));
    directory.with_file_name(name)
}

/// Removes what this call wrote and nobody has seen; what cannot be removed does no harm.
fn discard(staged: &Path) {
    if let Err(error) = std::fs::remove_dir_all(staged) {
        tracing::warn!(path = %staged.display(), %error, "cannot remove unused keys");
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// No key file is longer than a few kilobytes.
const MAXIMUM_FILE: u64 = 64 * 1024;

fn read(path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => KeyError::Missing(path.to_owned()),
        _ => KeyError::File { operation: "read", path: path.to_owned(), source },
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.len() > MAXIMUM_FILE {
        return Err(KeyError::Damaged(path.to_owned()));
    }
    if private && metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_private_never_overwritten_and_missed_when_gone() {
        let (_, ambient) = dokuei_testkit::test_ambient(1);
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("keys");

        let missing = NodeKeys::load(&directory).unwrap_err();
        assert!(missing.to_string().contains("run `dokuei init`"), "{missing}");

        let made = NodeKeys::create(&directory, &ambient, "デモ読影NPO").unwrap();
        assert_eq!(mode(&directory), 0o700);
        for name in [AUTHORITY_CERTIFICATE, AUTHORITY_KEY, NODE_SECRET] {
            assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left beside the keys");

        let refused = NodeKeys::create(&directory, &ambient, "other").unwrap_err();
        assert!(matches!(refused, KeyError::Exists(_)), "{refused}");
        let loaded = NodeKeys::load(&directory).unwrap();
        assert_eq!(loaded.authority_der(), made.authority_der());
        let account = AccountId::parse("R1").unwrap();
        let sealed = made.seal_totp_secret(&account, b"secret").unwrap();
        assert_eq!(loaded.open_totp_secret(&account, &sealed).unwrap().as_slice(), b"secret");
        assert!(loaded.open_totp_secret(&AccountId::parse("R2").unwrap(), &sealed).is_err(), "bound to its account");

        std::fs::set_permissions(directory.join(AUTHORITY_KEY), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(NodeKeys::load(&directory), Err(KeyError::Open(_))));
        std::fs::set_permissions(directory.join(AUTHORITY_KEY), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(directory.join(NODE_SECRET), "not hexadecimal").unwrap();
        assert!(matches!(NodeKeys::load(&directory), Err(KeyError::Damaged(_))));
        std::fs::remove_file(directory.join(NODE_SECRET)).unwrap();
        assert!(matches!(NodeKeys::load(&directory), Err(KeyError::Missing(_))));
    }

    #[test]
    fn the_authority_of_another_key_is_noticed() {
        let (_, ambient) = dokuei_testkit::test_ambient(2);
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        NodeKeys::create(&one, &ambient, "one").unwrap();
        NodeKeys::create(&other, &ambient, "other").unwrap();

        std::fs::copy(other.join(AUTHORITY_CERTIFICATE), one.join(AUTHORITY_CERTIFICATE)).unwrap();

        assert!(matches!(NodeKeys::load(&one), Err(KeyError::Damaged(path)) if path.ends_with(AUTHORITY_KEY)));
    }
}
