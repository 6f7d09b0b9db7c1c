//! The hospital's archive that takes reports: DCMTK's storescp.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use dokuei_dimse::{Association, RequestorTimeouts};
use dokuei_domain::AeTitle;
use dokuei_testkit::{NodeCommand, NodeProcess, eventually, find_binary};

use super::{PATIENCE, node::files_below};

/// A running storescp that writes what it gets, bit for bit, into a folder.
pub(crate) struct Pacs {
    _process: NodeProcess,
    address: SocketAddr,
    folder: PathBuf,
}

impl Pacs {
    /// Starts one on a free port and waits until it answers.
    pub(crate) async fn start(folder: &Path, title: &str, options: &[&str]) -> Self {
        Self::start_on(Self::free_address(), folder, title, options).await
    }

    /// An address where nobody listens.
    pub(crate) fn free_address() -> SocketAddr {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    /// As [`Self::start`], on an address that a node was told before.
    pub(crate) async fn start_on(address: SocketAddr, folder: &Path, title: &str, options: &[&str]) -> Self {
        let command = NodeCommand::new(find_binary("storescp").unwrap())
            .args(["+B", "-dhl", "--fork", "-aet", title, "-od"])
            .arg(folder);
        let process = command.args(options).arg(address.port().to_string()).start().unwrap();
        let pacs = Self { _process: process, address, folder: folder.to_owned() };
        let title = |text: &str| AeTitle::parse(text).unwrap();
        // A refusal is an answer too.
        let answers = || async {
            use dokuei_dimse::AssociationError as E;
            let echo =
                Association::verify(address, title("PROBE"), title("PROBED"), RequestorTimeouts::default()).await;
            matches!(echo, Ok(_) | Err(E::Rejected(_) | E::Aborted(_))).then_some(())
        };
        eventually("storescp to answer", PATIENCE, answers).await.unwrap();
        pacs
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has been received, whole or not.
    pub(crate) fn received(&self) -> Vec<PathBuf> {
        files_below(&self.folder)
    }
}
