//! The node's own TLS, which changes with its files while associations run.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use dokuei_domain::Ambient;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{
    ClientTls, PeerCertificate, TlsError, TlsFiles,
    files::{Contents, Loaded},
};

/// Certificate, key and authorities of this node, for its listener and for the associations it asks for. What is read anew holds for the next
/// handshakes; associations that run are not touched.
pub struct NodeTls {
    files: TlsFiles,
    ambient: Ambient,
    state: RwLock<State>,
}

struct State {
    loaded: Arc<Loaded>,
    /// What was looked at last, whether it could be used or not.
    seen: Seen,
    /// Why what was looked at last is not in use.
    refused: Option<Refused>,
}

struct Refused {
    reason: String,
    /// Time alone may mend it.
    for_now: bool,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Contents([u8; 32]),
    Unreadable(String),
}

/// What looking at the files again brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// They are as they were at the last look.
    Unchanged,
    /// The next handshakes use what they say now.
    Replaced,
}

impl NodeTls {
    /// Reads the files. A certificate that is not valid now is taken, because a node that does not start helps nobody; see
    /// [`trouble`](Self::trouble). Blocks for as long as reading small files takes.
    pub fn open(files: TlsFiles, ambient: Ambient) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let loaded = Arc::new(files.load(&contents, &ambient)?);
        let seen = Seen::Contents(contents.digest());
        Ok(Self { files, ambient, state: RwLock::new(State { loaded, seen, refused: None }) })
    }

    /// Reads the files again and uses what they say for the next handshakes, if they differ from the last look. Files that cannot be used, also
    /// because their certificate is not valid now, change nothing; the same failure is told once. Blocks as [`open`](Self::open) does.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let contents = self.files.read();
        let seen = match &contents {
            Ok(contents) => Seen::Contents(contents.digest()),
            Err(error) => Seen::Unreadable(error.to_string()),
        };
        let (known, may_mend_itself) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.seen == seen, state.refused.as_ref().is_some_and(|refused| refused.for_now))
        };
        if known && !may_mend_itself {
            return Ok(Reloaded::Unchanged);
        }
        let loaded = contents.and_then(|contents| self.load_for_now(&contents));
        if known && loaded.is_err() {
            return Ok(Reloaded::Unchanged);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        match loaded {
            Ok(loaded) => {
                state.loaded = Arc::new(loaded);
                state.refused = None;
                Ok(Reloaded::Replaced)
            }
            Err(error) => {
                let for_now = matches!(error, TlsError::NotNow(_));
                state.refused = Some(Refused { reason: with_causes(&error), for_now });
                Err(error)
            }
        }
    }

    fn load_for_now(&self, contents: &Contents) -> Result<Loaded, TlsError> {
        let loaded = self.files.load(contents, &self.ambient)?;
        match loaded.certificate.trouble(self.ambient.now()).filter(super::CertificateTrouble::is_fatal) {
            Some(trouble) => Err(TlsError::NotNow(trouble)),
            None => Ok(loaded),
        }
    }

    /// The certificate that is shown now.
    pub fn certificate(&self) -> PeerCertificate {
        self.loaded().certificate.clone()
    }

    /// What a person should do something about: files that could not replace the ones in use, or a certificate that is, or soon will be, no good.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let refused =
            state.refused.as_ref().map(|refused| format!("changed TLS files are not in use: {}", refused.reason));
        drop(state);
        refused.or_else(|| self.loaded().certificate.trouble(self.ambient.now()).map(|trouble| trouble.to_string()))
    }

    /// What an association with a peer needs whose certificate must name `server_name`, a host name or an address.
    pub fn connect_to(&self, server_name: &str) -> Result<ClientTls, TlsError> {
        let client = self.loaded().client.clone().ok_or(TlsError::NoServerAuthorities)?;
        ClientTls::new(client, server_name)
    }

    /// Shakes hands with a peer that connected; gives its certificate if it showed one. After an error the peer has been told, if TLS has a word for it.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<PeerCertificate>), (io::Error, TcpStream)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded().server));
        let stream = acceptor.accept(stream).into_fallible().await?;
        let (_, connection) = stream.get_ref();
        let certificate =
            connection.peer_certificates().and_then(|chain| chain.first()).map(|leaf| PeerCertificate::from_der(leaf));
        match certificate {
            // What webpki has verified and x509-cert cannot read is nobody's.
            Some(None) => Err((
                io::Error::new(io::ErrorKind::InvalidData, "peer certificate cannot be read"),
                stream.into_inner().0,
            )),
            certificate => Ok((stream.into(), certificate.flatten())),
        }
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).loaded)
    }
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn with_causes(error: &TlsError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
