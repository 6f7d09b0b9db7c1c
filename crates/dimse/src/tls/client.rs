//! TLS of one outgoing association.

use std::{fmt, io, path::PathBuf, sync::Arc};

use dokuei_domain::Ambient;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    TlsError,
    files::{Identity, client_config, read_roots},
};

/// Whom to trust, what to show, and which name the peer's certificate must have. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<rustls::ClientConfig>,
    server_name: ServerName<'static>,
}

/// Where the files of a client are that belongs to no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// PEM: the authorities of the peer.
    pub authorities: PathBuf,
    /// PEM: certificate chain and key to show.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Reads the files. `server_name` is what the peer's certificate must name: a host name or an address.
    pub fn load(files: &ClientTlsFiles, server_name: &str, ambient: &Ambient) -> Result<Self, TlsError> {
        let identity =
            files.identity.as_ref().map(|(certificate, key)| Identity::read(certificate, key)).transpose()?;
        Self::new(client_config(read_roots(&files.authorities)?, identity.as_ref(), ambient)?, server_name)
    }

    pub(super) fn new(config: Arc<rustls::ClientConfig>, server_name: &str) -> Result<Self, TlsError> {
        let bare = server_name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server_name);
        let server_name =
            ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::ServerName(server_name.to_owned()))?;
        Ok(Self { config, server_name })
    }

    /// Shakes hands.
    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<tokio_rustls::TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(self.server_name.clone(), stream).await.map(Into::into)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
