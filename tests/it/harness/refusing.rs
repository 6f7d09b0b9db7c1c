//! Recipients that take an association and then fail.

use std::net::SocketAddr;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use dokuei_dimse::{
    Admission, AssociationRequest, Decision, Handlers, Server, ServerConfig, Status, Stop, StoragePolicy, StoreRequest,
    StoreService, StoreSink,
};
use tokio::net::TcpListener;

/// Answers the first objects with success and all further ones with a failure. Lives as long as this value.
pub(crate) struct RefusingPacs {
    address: SocketAddr,
    stop: Stop,
}

impl RefusingPacs {
    pub(crate) async fn start(accepted: usize, failure: Status) -> Self {
        let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
        let (address, stop) = (server.local_addr(), Stop::default());
        let handlers = Handlers {
            admission: Anybody,
            policy: Box::new(StoragePolicy),
            store: Refusing { accepted, failure },
            normalized: Arc::new(()),
            query: Arc::new(()),
            observer: Box::new(()),
        };
        tokio::spawn(server.serve(handlers, stop.clone()));
        Self { address, stop }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RefusingPacs {
    fn drop(&mut self) {
        self.stop.hard.cancel();
    }
}

struct Anybody;

impl Admission for Anybody {
    type Session = AtomicUsize;

    async fn admit(&self, _: &AssociationRequest) -> Decision<Self::Session> {
        Decision::Accept(Self::Session::new(0))
    }
}

struct Refusing {
    accepted: usize,
    failure: Status,
}

struct Forgetful(Status);

impl StoreService<AtomicUsize> for Refusing {
    type Sink = Forgetful;

    async fn begin(&self, count: &Arc<AtomicUsize>, _: StoreRequest) -> Result<Forgetful, Status> {
        let number = count.fetch_add(1, Ordering::SeqCst);
        Ok(Forgetful(if number < self.accepted { Status::SUCCESS } else { self.failure }))
    }
}

impl StoreSink for Forgetful {
    async fn write(&mut self, _: Bytes) -> Result<(), Status> {
        Ok(())
    }

    async fn finish(self) -> Status {
        self.0
    }
}

/// Takes the connection and never says a word.
pub(crate) struct SilentPacs(SocketAddr, tokio::task::JoinHandle<()>);

impl SilentPacs {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok(connection) = listener.accept().await {
                open.push(connection);
            }
        });
        Self(address, listening)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

impl Drop for SilentPacs {
    fn drop(&mut self) {
        self.1.abort();
    }
}
