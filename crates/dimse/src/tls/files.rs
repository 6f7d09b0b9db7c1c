//! Certificate, key and authorities from PEM files (RFC 7468), and everything that can be wrong with them.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use dokuei_domain::Ambient;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{AmbientTime, PeerCertificate, VERSIONS, provider};

/// A bundle of every public authority is shorter.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Whether a peer that connects must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// No handshake without one of a known authority.
    #[default]
    Required,
    /// One that is shown must be of a known authority.
    Optional,
    /// None is asked for; the peer is known by its AE title and address only.
    NotAskedFor,
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the node's certificate first, then those between it and its authority.
    pub certificate: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// PEM: the authorities of those who connect.
    pub client_authorities: Option<PathBuf>,
    /// PEM: the authorities of those who are called; without it the same ones.
    pub server_authorities: Option<PathBuf>,
    pub client_certificate: ClientCertificate,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is longer than {MAX_FILE_BYTES} bytes and cannot be what it should be", .0.display())]
    TooLong(PathBuf),
    #[error("{} holds no certificate; it must be PEM, with the holder's own certificate first", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key; it must be PEM and not encrypted", .0.display())]
    NoKey(PathBuf),
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    KeyDoesNotMatch { key: PathBuf, certificate: PathBuf },
    #[error("the certificate in {} is too weak: {weakness}", path.display())]
    Weak { path: PathBuf, weakness: String },
    #[error("the authorities in {} cannot be used", path.display())]
    Authorities {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "client certificates cannot be checked without their authorities; name a file of them, or say that none are asked for"
    )]
    NoClientAuthorities,
    #[error("peers that are called over TLS cannot be checked without their authorities; name a file of them")]
    NoServerAuthorities,
    #[error("certificate and key cannot be used for TLS")]
    Unusable(#[source] rustls::Error),
    #[error("'{0}' is neither a host name nor an address that a certificate can name")]
    ServerName(String),
    /// Only of files that should replace others: the ones in use stay.
    #[error("the new {0}")]
    NotNow(super::CertificateTrouble),
}

/// What the files hold, not yet understood.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
    server_authorities: Option<Vec<u8>>,
}

/// Ready for handshakes in both directions.
pub(super) struct Loaded {
    pub(super) server: Arc<rustls::ServerConfig>,
    /// `None`: no authorities are known for those who are called.
    pub(super) client: Option<Arc<rustls::ClientConfig>>,
    pub(super) certificate: PeerCertificate,
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_authorities: self.client_authorities.as_deref().map(read).transpose()?,
            server_authorities: self.server_authorities.as_deref().map(read).transpose()?,
        })
    }

    pub(super) fn load(&self, contents: &Contents, ambient: &Ambient) -> Result<Loaded, TlsError> {
        let identity = Identity::parse((&self.certificate, &contents.certificate), (&self.key, &contents.key))?;
        let authorities = |path: &Option<PathBuf>, bytes: &Option<Vec<u8>>| match (path, bytes) {
            (Some(path), Some(bytes)) => roots(path, bytes).map(Some),
            _ => Ok(None),
        };
        let clients = authorities(&self.client_authorities, &contents.client_authorities)?;
        let servers = authorities(&self.server_authorities, &contents.server_authorities)?.or_else(|| clients.clone());
        let client = servers.map(|roots| client_config(roots, Some(&identity), ambient)).transpose()?;
        Ok(Loaded {
            server: self.server_config(clients, &identity, ambient)?,
            client,
            certificate: identity.certificate,
        })
    }

    fn server_config(
        &self,
        clients: Option<Arc<RootCertStore>>,
        identity: &Identity,
        ambient: &Ambient,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let builder = rustls::ServerConfig::builder_with_details(provider(), Arc::new(AmbientTime(ambient.clone())))
            .with_protocol_versions(VERSIONS)
            .map_err(TlsError::Unusable)?;
        let builder = match self.client_certificate {
            ClientCertificate::NotAskedFor => builder.with_no_client_auth(),
            asked => builder.with_client_cert_verifier(self.verifier(clients, asked)?),
        };
        let mut config = builder
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| identity.refused(error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        clients: Option<Arc<RootCertStore>>,
        asked: ClientCertificate,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let roots = clients.ok_or(TlsError::NoClientAuthorities)?;
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = if asked == ClientCertificate::Optional { builder.allow_unauthenticated() } else { builder };
        builder.build().map_err(|error| TlsError::Authorities {
            path: self.client_authorities.clone().unwrap_or_default(),
            source: error.into(),
        })
    }
}

impl Contents {
    /// Tells whether anything has changed.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let none = Vec::new();
        for part in [
            &self.certificate,
            &self.key,
            self.client_authorities.as_ref().unwrap_or(&none),
            self.server_authorities.as_ref().unwrap_or(&none),
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut sum = [0; 32];
        sum.copy_from_slice(context.finish().as_ref());
        sum
    }
}

/// A certificate with its chain and its key.
pub(super) struct Identity {
    certificate: PeerCertificate,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: (PathBuf, PathBuf),
}

impl Identity {
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (certificate_bytes, key_bytes) = (read(certificate)?, read(key)?);
        Self::parse((certificate, &certificate_bytes), (key, &key_bytes))
    }

    fn parse(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, TlsError> {
        let no_certificate = || TlsError::NoCertificate(certificate.0.to_owned());
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate.1).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
        let own = chain.first().and_then(|first| PeerCertificate::from_der(first)).ok_or_else(no_certificate)?;
        if let Some(weakness) = own.weakness() {
            return Err(TlsError::Weak { path: certificate.0.to_owned(), weakness });
        }
        let private = PrivateKeyDer::from_pem_slice(key.1).map_err(|_| TlsError::NoKey(key.0.to_owned()))?;
        let files = (certificate.0.to_owned(), key.0.to_owned());
        Ok(Self { certificate: own, chain, key: private, files })
    }

    fn refused(&self, error: rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                let (certificate, key) = self.files.clone();
                TlsError::KeyDoesNotMatch { key, certificate }
            }
            other => TlsError::Unusable(other),
        }
    }
}

pub(super) fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
    ambient: &Ambient,
) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let builder = rustls::ClientConfig::builder_with_details(provider(), Arc::new(AmbientTime(ambient.clone())))
        .with_protocol_versions(VERSIONS)
        .map_err(TlsError::Unusable)?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| identity.refused(error))?,
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

pub(super) fn read_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    roots(path, &read(path)?)
}

fn roots(path: &Path, bytes: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let certificate = certificate.map_err(|_| TlsError::NoCertificate(path.to_owned()))?;
        let refused = |source: rustls::Error| TlsError::Authorities { path: path.to_owned(), source: source.into() };
        roots.add(certificate).map_err(refused)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(TlsError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}
