//! A peer that speaks bytes.

use std::net::SocketAddr;

use dokuei_dimse::command::{CommandField, CommandSet, element};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{CT, EXPLICIT, IMPLICIT, VERIFICATION, soon};

/// A peer that sends what it likes.
pub(crate) struct RawPeer {
    pub(crate) stream: TcpStream,
}

impl RawPeer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Waits for a requestor.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        Self { stream }
    }

    /// Associates as HOSP1 with CT on context 1 and verification on context 3.
    pub(crate) async fn associated(address: SocketAddr) -> Self {
        Self::associated_with(address, &[max_length(131_072)]).await
    }

    pub(crate) async fn associated_with(address: SocketAddr, user_items: &[Vec<u8>]) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&associate_request(&[(1, CT, &[EXPLICIT]), (3, VERIFICATION, &[IMPLICIT])], user_items)).await;
        assert_eq!(peer.receive().await.0, 2, "no A-ASSOCIATE-AC");
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Type and content of the next PDU.
    pub(crate) async fn receive(&mut self) -> (u8, Vec<u8>) {
        soon("a PDU", async {
            let mut header = [0; 6];
            self.stream.read_exact(&mut header).await.unwrap();
            let mut body = vec![0; u32::from_be_bytes(header[2..].try_into().unwrap()) as usize];
            self.stream.read_exact(&mut body).await.unwrap();
            (header[0], body)
        })
        .await
    }

    /// Puts the PDVs of one command set or data set together. Returns it with the largest PDU length seen and whether it was a command.
    pub(crate) async fn receive_message(&mut self) -> (bool, Vec<u8>, usize) {
        let (mut whole, mut largest) = (Vec::new(), 0);
        loop {
            let (pdu_type, body) = self.receive().await;
            assert_eq!(pdu_type, 4, "no P-DATA-TF: {body:02x?}");
            largest = largest.max(body.len());
            assert_eq!(u32::from_be_bytes(body[..4].try_into().unwrap()) as usize, body.len() - 4, "more than one PDV");
            whole.extend_from_slice(&body[6..]);
            if body[5] & 2 != 0 {
                return (body[5] & 1 != 0, whole, largest);
            }
        }
    }

    pub(crate) async fn receive_command(&mut self) -> CommandSet {
        let (is_command, bytes, _) = self.receive_message().await;
        assert!(is_command);
        CommandSet::parse(bytes.into()).unwrap()
    }

    /// Source and reason of the A-ABORT that must come now or after responses; then the connection must be closed.
    pub(crate) async fn aborted(&mut self) -> (u8, u8) {
        let (pdu_type, body) = loop {
            match self.receive().await {
                (4, _) => {}
                other => break other,
            }
        };
        assert_eq!(pdu_type, 7, "no A-ABORT but PDU type {pdu_type}: {body:02x?}");
        self.closed().await;
        (body[2], body[3])
    }

    /// Result, source and reason of the A-ASSOCIATE-RJ that must come now; then the connection must be closed.
    pub(crate) async fn rejected(&mut self) -> (u8, u8, u8) {
        let (pdu_type, body) = self.receive().await;
        assert_eq!(pdu_type, 3, "no A-ASSOCIATE-RJ but PDU type {pdu_type}");
        self.closed().await;
        (body[1], body[2], body[3])
    }

    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = soon("the close", self.stream.read_to_end(&mut rest)).await;
        assert!(read.is_err() || rest.is_empty(), "more bytes: {rest:02x?}");
    }

    /// Reads whatever still comes until the other side closes.
    pub(crate) async fn drained(&mut self) {
        let _ = soon("the close", self.stream.read_to_end(&mut Vec::new())).await;
    }

    pub(crate) async fn release(mut self) {
        self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        assert_eq!(self.receive().await.0, 6, "no A-RELEASE-RP");
    }
}

fn item(item_type: u8, value: &[u8]) -> Vec<u8> {
    [&[item_type, 0][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

pub(crate) fn user_item(item_type: u8, value: &[u8]) -> Vec<u8> {
    item(item_type, value)
}

pub(crate) fn max_length(length: u32) -> Vec<u8> {
    item(0x51, &length.to_be_bytes())
}

pub(crate) fn associate_request(contexts: &[(u8, &str, &[&str])], user_items: &[Vec<u8>]) -> Vec<u8> {
    associate_request_of(b"DOKUEI          HOSP1           ", 1, "1.2.840.10008.3.1.1.1", contexts, user_items)
}

pub(crate) fn associate_request_of(
    titles: &[u8; 32],
    version: u16,
    application_context: &str,
    contexts: &[(u8, &str, &[&str])],
    user_items: &[Vec<u8>],
) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(titles);
    body.extend([0; 32]);
    body.extend(item(0x10, application_context.as_bytes()));
    for (id, abstract_syntax, transfer_syntaxes) in contexts {
        let mut value = vec![*id, 0, 0, 0];
        value.extend(item(0x30, abstract_syntax.as_bytes()));
        transfer_syntaxes.iter().for_each(|ts| value.extend(item(0x40, ts.as_bytes())));
        body.extend(item(0x20, &value));
    }
    body.extend(item(0x50, &user_items.concat()));
    pdu(1, &body)
}

/// An A-ASSOCIATE-AC that accepts the contexts.
pub(crate) fn associate_accept(contexts: &[(u8, &str)], max_pdu: u32) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(b"DOKUEI          HOSP1           ");
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (id, transfer_syntax) in contexts {
        body.extend(item(0x21, &[&[*id, 0, 0, 0][..], &item(0x40, transfer_syntax.as_bytes())].concat()));
    }
    body.extend(item(0x50, &[max_length(max_pdu), item(0x52, b"1.2.3")].concat()));
    pdu(2, &body)
}

pub(crate) fn pdu(pdu_type: u8, body: &[u8]) -> Vec<u8> {
    [&[pdu_type, 0][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// Control 1 is a command, 2 the last fragment.
pub(crate) fn pdv(context_id: u8, control: u8, bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len() + 2).unwrap().to_be_bytes()[..], &[context_id, control], bytes].concat()
}

pub(crate) fn command(context_id: u8, command: &CommandSet) -> Vec<u8> {
    pdu(4, &pdv(context_id, 3, &command.encode()))
}

pub(crate) fn data(context_id: u8, last: bool, bytes: &[u8]) -> Vec<u8> {
    pdu(4, &pdv(context_id, if last { 2 } else { 0 }, bytes))
}

pub(crate) fn echo(message_id: u16) -> CommandSet {
    CommandSet::new(CommandField::C_ECHO_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, VERIFICATION)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_data_set(false)
}

pub(crate) fn store(message_id: u16, sop_instance: &str) -> CommandSet {
    CommandSet::new(CommandField::C_STORE_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, CT)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_u16(element::PRIORITY, 0)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance)
        .with_data_set(true)
}
