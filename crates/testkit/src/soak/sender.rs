//! A sender of its own, on plain sockets: what stands here shares no code with what it tests. Blocking; one thread per association.
//!
//! It negotiates any number of contexts, stores from memory or from a reader, and hands out the raw bytes of its messages for peers that misbehave.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::node::{CALLED, FACILITY};

/// Verification (PS3.4 A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// The largest fragment sent, and what is announced as the largest PDU taken.
const LARGEST: usize = 128 << 10;
/// Longer than any answer may take, also on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// A presentation context to propose.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub abstract_syntax: &'static str,
    pub transfer_syntaxes: Vec<&'static str>,
}

impl Proposal {
    pub fn new(abstract_syntax: &'static str, transfer_syntaxes: &[&'static str]) -> Self {
        Self { abstract_syntax, transfer_syntaxes: transfer_syntaxes.to_vec() }
    }

    /// Verification and one storage class in explicit VR little endian.
    pub fn storage(sop_class: &'static str) -> Vec<Self> {
        vec![Self::new(VERIFICATION, &[IMPLICIT]), Self::new(sop_class, &[super::objects::EXPLICIT])]
    }
}

/// A context that the node has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    pub id: u8,
    pub abstract_syntax: &'static str,
    pub accepted: bool,
    pub transfer_syntax: String,
}

/// An association; aborted by the closing of its socket when dropped.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
    pub contexts: Vec<Negotiated>,
    fragment: usize,
    message_id: u16,
}

/// Connects from a loopback address of one's own, so that limits per address count as they would for many hospitals. `host` 0 is 127.0.0.1.
pub fn connect(address: SocketAddr, host: u16) -> io::Result<TcpStream> {
    let [high, low] = host.to_be_bytes();
    let from = Ipv4Addr::new(127, 0, high, low.max(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        socket.connect(address).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Sender {
    /// Connects and negotiates.
    pub fn associate(address: SocketAddr, host: u16, proposals: &[Proposal]) -> anyhow::Result<Self> {
        let mut stream = connect(address, host).context("cannot connect")?;
        stream.write_all(&associate_request(proposals))?;
        let (kind, body) = read_pdu(&mut stream)?;
        match kind {
            2 => {
                let (contexts, peer_largest) = read_accept(&body, proposals)?;
                let room = if peer_largest == 0 { LARGEST } else { peer_largest.saturating_sub(6).min(LARGEST) };
                Ok(Self { stream, contexts, fragment: room & !1, message_id: 0 })
            }
            3 => bail!("rejected: {:?}", body.get(1..).unwrap_or_default()),
            other => bail!("PDU type {other} instead of an answer"),
        }
    }

    /// For one storage class.
    pub fn storage(address: SocketAddr, host: u16, sop_class: &'static str) -> anyhow::Result<Self> {
        Self::associate(address, host, &Proposal::storage(sop_class))
    }

    /// Sends an object and gives the status. `whole` is called when all of it has been handed to the system.
    pub fn store(
        &mut self,
        sop_class: &str,
        sop_instance: &str,
        length: u64,
        mut data: impl Read,
        whole: impl FnOnce(),
    ) -> anyhow::Result<u16> {
        let context = self.context(sop_class)?;
        self.message_id = self.message_id.wrapping_add(1);
        let command = store_command(sop_class, sop_instance, self.message_id);
        let mut out = Vec::with_capacity(LARGEST + 4096);
        put_p_data(&mut out, context, 3, &command);
        let mut left = length;
        while left > 0 {
            let size = self.fragment.min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= size as u64;
            put_header(&mut out, context, if left == 0 { 2 } else { 0 }, size);
            let start = out.len();
            out.resize(start + size, 0);
            data.read_exact(&mut out[start..])?;
            if left == 0 || out.len() >= LARGEST {
                self.stream.write_all(&out)?;
                out.clear();
            }
        }
        whole();
        self.status(context)
    }

    /// Sends an object from memory, which must be accepted.
    pub fn store_object(&mut self, object: &super::objects::Object) -> anyhow::Result<()> {
        let length = object.data_set.len() as u64;
        let status = self.store(object.sop_class, &object.sop_instance, length, &object.data_set[..], || {})?;
        ensure!(status == 0, "C-STORE was answered with {status:#06x}");
        Ok(())
    }

    /// C-ECHO.
    pub fn echo(&mut self) -> anyhow::Result<()> {
        let context = self.context(VERIFICATION)?;
        self.message_id = self.message_id.wrapping_add(1);
        let mut out = Vec::new();
        put_p_data(&mut out, context, 3, &command(VERIFICATION, 0x30, self.message_id, false, &[]));
        self.stream.write_all(&out)?;
        let status = self.status(context)?;
        ensure!(status == 0, "C-ECHO was answered with {status:#06x}");
        Ok(())
    }

    /// Ends the association in order.
    pub fn release(mut self) -> anyhow::Result<()> {
        self.stream.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
        let (kind, _) = read_pdu(&mut self.stream)?;
        ensure!(kind == 6, "PDU type {kind} instead of a release");
        Ok(())
    }

    pub fn context(&self, abstract_syntax: &str) -> anyhow::Result<u8> {
        let fits = |context: &&Negotiated| context.accepted && context.abstract_syntax == abstract_syntax;
        let found = self.contexts.iter().find(fits);
        Ok(found.with_context(|| format!("{abstract_syntax} was not accepted"))?.id)
    }

    /// The socket, for peers that misbehave.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn status(&mut self, context: u8) -> anyhow::Result<u16> {
        let mut response = Vec::new();
        loop {
            let (kind, body) = read_pdu(&mut self.stream)?;
            ensure!(kind == 4, "PDU type {kind} instead of a response: {body:02x?}");
            let [_, _, _, _, id, control, data @ ..] = &body[..] else { bail!("a P-DATA of {} bytes", body.len()) };
            ensure!(*id == context && control & 1 == 1, "a response on context {id}, control {control}");
            response.extend_from_slice(data);
            if control & 2 == 2 {
                break;
            }
        }
        let mut rest = &response[..];
        while let Some(([g0, g1, e0, e1, l0, l1, l2, l3], after)) = rest.split_first_chunk::<8>() {
            let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
            let (value, after) = after.split_at_checked(length).context("a response ends early")?;
            if let ([0, 0, 0x00, 0x09], [low, high]) = ([*g0, *g1, *e0, *e1], value) {
                return Ok(u16::from_le_bytes([*low, *high]));
            }
            rest = after;
        }
        bail!("a response without status")
    }
}

/// The whole A-ASSOCIATE-RQ PDU (PS3.8 9.3.2). Contexts get the ids 1, 3, 5, …
pub fn associate_request(proposals: &[Proposal]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    for title in [CALLED, FACILITY] {
        body.extend_from_slice(format!("{title:16}").as_bytes());
    }
    body.extend_from_slice(&[0; 32]);
    put_item(&mut body, 0x10, APPLICATION_CONTEXT.as_bytes());
    for (index, proposal) in proposals.iter().enumerate() {
        let mut context = vec![context_id(index), 0, 0, 0];
        put_item(&mut context, 0x30, proposal.abstract_syntax.as_bytes());
        for syntax in &proposal.transfer_syntaxes {
            put_item(&mut context, 0x40, syntax.as_bytes());
        }
        put_item(&mut body, 0x20, &context);
    }
    let mut user = Vec::new();
    put_item(&mut user, 0x51, &(LARGEST as u32).to_be_bytes());
    put_item(&mut user, 0x52, b"2.25.215270513203406157049031735203841823");
    put_item(&mut body, 0x50, &user);
    let mut pdu = vec![1, 0];
    pdu.extend_from_slice(&(body.len() as u32).to_be_bytes());
    pdu.extend_from_slice(&body);
    pdu
}

/// The P-DATA-TF with the command of a C-STORE, without the data set.
pub fn store_request(context: u8, sop_class: &str, sop_instance: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_p_data(&mut out, context, 3, &store_command(sop_class, sop_instance, 1));
    out
}

/// Header of a P-DATA-TF with one PDV of `length` bytes; control 0: part of a data set, 2: its end, 3: a whole command.
pub fn put_header(out: &mut Vec<u8>, context: u8, control: u8, length: usize) {
    out.extend_from_slice(&[4, 0]);
    out.extend_from_slice(&(length as u32 + 6).to_be_bytes());
    out.extend_from_slice(&(length as u32 + 2).to_be_bytes());
    out.extend_from_slice(&[context, control]);
}

fn put_p_data(out: &mut Vec<u8>, context: u8, control: u8, data: &[u8]) {
    put_header(out, context, control, data.len());
    out.extend_from_slice(data);
}

fn context_id(index: usize) -> u8 {
    u8::try_from(index * 2 + 1).expect("an association has at most 128 contexts")
}

fn put_item(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&u16::try_from(value.len()).expect("an item is below 64 KiB").to_be_bytes());
    out.extend_from_slice(value);
}

fn store_command(sop_class: &str, sop_instance: &str, message_id: u16) -> Vec<u8> {
    let mut instance = sop_instance.as_bytes().to_vec();
    if !instance.len().is_multiple_of(2) {
        instance.push(0);
    }
    command(sop_class, 0x01, message_id, true, &[(0x0700, &[0, 0]), (0x1000, &instance)])
}

/// A command set (PS3.7 6.3) with the elements that follow (0000,0800) last, as their numbers want.
fn command(sop_class: &str, field: u16, message_id: u16, data_set: bool, more: &[(u16, &[u8])]) -> Vec<u8> {
    let mut class = sop_class.as_bytes().to_vec();
    if !class.len().is_multiple_of(2) {
        class.push(0);
    }
    let (field, message_id) = (field.to_le_bytes(), message_id.to_le_bytes());
    let data_set = if data_set { [0, 0] } else { [1, 1] };
    let mut elements: Vec<(u16, &[u8])> =
        vec![(0x02, &class), (0x100, &field), (0x110, &message_id), (0x800, &data_set)];
    elements.extend(more);
    elements.sort_by_key(|(number, _)| *number);
    let mut body = Vec::new();
    for (number, value) in elements {
        put_element(&mut body, number, value);
    }
    let mut out = Vec::new();
    put_element(&mut out, 0, &(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

fn put_element(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

/// One PDU: its type and content.
pub fn read_pdu(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 6];
    stream.read_exact(&mut header)?;
    let [kind, _, l0, l1, l2, l3] = header;
    let mut body = vec![0; u32::from_be_bytes([l0, l1, l2, l3]).min(1 << 24) as usize];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

fn read_accept(body: &[u8], proposals: &[Proposal]) -> anyhow::Result<(Vec<Negotiated>, usize)> {
    let (mut contexts, mut largest) = (Vec::new(), 0);
    for (kind, value) in items(body.get(68..).context("an A-ASSOCIATE-AC ends early")?)? {
        match (kind, value) {
            (0x21, [id, _, result, _, syntax @ ..]) => {
                let proposal = proposals.get(usize::from(*id) / 2).context("an answer to no context of ours")?;
                let syntax = items(syntax)?.first().map(|(_, name)| String::from_utf8_lossy(name).into_owned());
                contexts.push(Negotiated {
                    id: *id,
                    abstract_syntax: proposal.abstract_syntax,
                    accepted: *result == 0,
                    transfer_syntax: syntax.unwrap_or_default(),
                });
            }
            (0x50, user) => {
                for item in items(user)? {
                    if let (0x51, &[a, b, c, d]) = item {
                        largest = u32::from_be_bytes([a, b, c, d]) as usize;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((contexts, largest))
}

fn items(mut bytes: &[u8]) -> anyhow::Result<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while let Some(([kind, _, high, low], rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).context("an item ends early")?;
        found.push((*kind, value));
        bytes = rest;
    }
    Ok(found)
}
