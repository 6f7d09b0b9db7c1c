//! A peer that writes what it likes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use dokuei_dimse::command::{CommandField, CommandSet, element};

use super::{CT, PATIENCE, VERIFICATION};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";

pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Associates as HOSP1: CT on context 1, verification on context 3.
    pub(crate) async fn associated(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&association_request()).await;
        let (kind, body) = peer.receive().await;
        assert_eq!(kind, 2, "no A-ASSOCIATE-AC: {body:02x?}");
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Type and content of the next PDU.
    pub(crate) async fn receive(&mut self) -> (u8, Vec<u8>) {
        let pdu = async {
            let mut header = [0; 6];
            self.stream.read_exact(&mut header).await?;
            let mut body = vec![0; u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize];
            self.stream.read_exact(&mut body).await?;
            std::io::Result::Ok((header[0], body))
        };
        timeout(PATIENCE, pdu).await.expect("no PDU came").expect("the node closed the connection")
    }

    /// Source and reason of the A-ABORT that must come, now or after responses.
    pub(crate) async fn aborted(&mut self) -> (u8, u8) {
        loop {
            match self.receive().await {
                (4, _) => {}
                (7, body) => {
                    self.closed().await;
                    return (body[2], body[3]);
                }
                (kind, body) => panic!("no A-ABORT but PDU type {kind}: {body:02x?}"),
            }
        }
    }

    /// The node must close without another word.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the node does not close");
        assert!(read.is_err() || rest.is_empty(), "more bytes: {rest:02x?}");
    }
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// HOSP1 calls DOKUEI (PS3.8 9.3.2).
pub(crate) fn association_request() -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(b"DOKUEI          HOSP1           ");
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (id, class, syntax) in [(1, CT, EXPLICIT), (3, VERIFICATION, IMPLICIT)] {
        let value = [&[id, 0, 0, 0][..], &item(0x30, class.as_bytes()), &item(0x40, syntax.as_bytes())].concat();
        body.extend(item(0x20, &value));
    }
    body.extend(item(0x50, &[item(0x51, &131_072u32.to_be_bytes()), item(0x52, b"1.2.3")].concat()));
    pdu(1, &body)
}

pub(crate) fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// A P-DATA-TF with one fragment; control 1 is a command, 2 the last one.
fn fragment(context: u8, control: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len() + 2).unwrap().to_be_bytes();
    pdu(4, &[&length[..], &[context, control], bytes].concat())
}

/// A C-STORE-RQ for a CT.
pub(crate) fn command(context: u8, sop_instance: &str) -> Vec<u8> {
    let command = CommandSet::new(CommandField::C_STORE_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, CT)
        .with_u16(element::MESSAGE_ID, 7)
        .with_u16(element::PRIORITY, 0)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance)
        .with_data_set(true);
    fragment(context, 3, &command.encode())
}

/// A piece of a data set.
pub(crate) fn data(context: u8, last: bool, bytes: &[u8]) -> Vec<u8> {
    fragment(context, if last { 2 } else { 0 }, bytes)
}
