//! The ports, and who comes in at them.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::task::TaskTracker;

use super::{
    Admission, EndCause, Handlers, ServerConfig, Stop, StoreService,
    collect::CollectBudget,
    limits::{AssociationLimit, PerAddress, subscriber},
    server::Shared,
    threads::Threads,
};
use crate::tls::NodeTls;

/// Nothing lasting can be wrong with a listener; when the process is out of descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The DICOM listener.
pub struct Server;

/// A server that has its ports and does not accept yet.
pub struct BoundServer {
    listeners: Vec<Listener>,
    threads: Threads,
    local_addr: SocketAddr,
    config: ServerConfig,
}

struct Listener {
    listener: TcpListener,
    /// `None`: plain DICOM.
    tls: Option<Arc<NodeTls>>,
}

impl Server {
    /// Takes the port for plain DICOM; port 0 takes any free one. Peers that connect wait in the listener's queue until [`BoundServer::serve`].
    pub async fn bind(address: impl ToSocketAddrs, mut config: ServerConfig) -> io::Result<BoundServer> {
        config.max_pdu = config.max_pdu.clamp(4096, 16 << 20);
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        let threads = Threads::start(config.threads)?;
        Ok(BoundServer { listeners: vec![Listener { listener, tls: None }], threads, local_addr, config })
    }
}

impl BoundServer {
    /// Where it listens for plain DICOM.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes another port, for DICOM over TLS, and gives it. The limits hold for both together.
    pub async fn bind_tls(&mut self, address: impl ToSocketAddrs, tls: Arc<NodeTls>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        self.listeners.push(Listener { listener, tls: Some(tls) });
        Ok(local_addr)
    }

    /// Accepts associations until told to stop, then closes the listeners and returns when the last association has ended.
    pub async fn serve<A: Admission, S: StoreService<A::Session>>(self, handlers: Handlers<A, S>, stop: Stop) {
        let Self { listeners, threads, config, .. } = self;
        // Each listener holds one while it waits.
        let most = config.max_associations.saturating_add(config.max_other_connections.max(1));
        let connections =
            Arc::new(Semaphore::new(most.saturating_add(listeners.len() - 1).min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            associations: AssociationLimit::new(config.max_associations, config.max_associations_per_peer),
            others: Arc::default(),
            next_id: AtomicU64::new(1),
            budget: CollectBudget::new(config.max_collected_bytes),
            config,
            handlers,
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        let accepting = listeners.iter().map(|listener| accept(listener, &shared, &connections, (&threads, &tasks)));
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = stop.hard.cancelled() => {}
            _ = futures::future::join_all(accepting) => {}
        }
        drop(listeners);
        tasks.close();
        tasks.wait().await;
    }
}

async fn accept<A: Admission, S: StoreService<A::Session>>(
    Listener { listener, tls }: &Listener,
    shared: &Arc<Shared<A, S>>,
    connections: &Arc<Semaphore>,
    (threads, tasks): (&Threads, &TaskTracker),
) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let most = shared.config.max_other_connections_per_peer.unwrap_or(usize::MAX);
                let Some(slot) = PerAddress::take(&shared.others, subscriber(peer.ip()), most) else {
                    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(association.peer = %peer, "connection closed at once: its address has too many");
                    shared.handlers.observer.connection_failed(id, peer, &EndCause::TooManyConnections);
                    continue;
                };
                let (shared, tls) = (Arc::clone(shared), tls.clone());
                let running = tasks.token();
                // Registered anew with the runtime on which it will live.
                let stream = match stream.into_std() {
                    Ok(stream) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot hand a connection over");
                        continue;
                    }
                };
                threads.spawn(move || async move {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => shared.connection(stream, peer, tls, slot).await,
                        Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                    }
                    drop((permit, running));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
