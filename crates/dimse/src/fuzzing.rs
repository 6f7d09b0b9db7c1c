//! What is promised for any bytes, as functions that the fuzz targets call (folder `fuzz` of the repository) and that panic where a promise is
//! broken. The tests replay the inputs that were kept.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    Status,
    association_pdu::{
        fragment_limit, peer_max_length, read_associate_accept, read_associate_request, write_associate,
    },
    command::{CommandSet, element},
    fault::Fault,
    wire::{Receiver, Unit},
};

const MAX_PDU: u32 = 4096;

/// Reads the bytes after the first two as what a peer sends: once as they come, once in pieces whose sizes the second byte decides. Nothing
/// that comes out may depend on them.
pub fn pdu(input: &[u8]) {
    let [mode, seed, stream @ ..] = input else { return };
    let established = mode & 1 == 1;
    let stream = Bytes::copy_from_slice(stream);
    let whole = units(Pieces { rest: stream.clone(), state: 0, mask: u32::MAX }, established);
    let seed = u32::from(*seed);
    let mask = if seed.is_multiple_of(2) { 15 } else { 1023 };
    let pieces = units(Pieces { rest: stream, state: seed | 0x100, mask }, established);
    assert_eq!(whole, pieces, "what is read depends on how the bytes arrive");
}

/// Reads the bytes as the content of an A-ASSOCIATE-RQ and of an A-ASSOCIATE-AC; what can be written again is read as the same.
pub fn association(input: &[u8]) {
    if let Ok(request) = read_associate_request(input) {
        let _ = fragment_limit(peer_max_length(&request.user_variables), 131_072);
        if let Ok(written) = write_associate(&request.into()) {
            let body = written.get(6..).expect("a PDU has a header");
            let again = read_associate_request(body).expect("a request of ours is read");
            assert_eq!(write_associate(&again.into()).as_ref(), Ok(&written));
        }
    }
    if let Ok(accept) = read_associate_accept(input) {
        let _ = fragment_limit(peer_max_length(&accept.user_variables), 131_072);
        if let Ok(written) = write_associate(&accept.into()) {
            let body = written.get(6..).expect("a PDU has a header");
            let again = read_associate_accept(body).expect("an accept of ours is read");
            assert_eq!(write_associate(&again.into()).as_ref(), Ok(&written));
        }
    }
}

/// Reads the bytes as a command set; what is written of it is read as the same, and so is the response to it.
pub fn command_set(input: &[u8]) {
    let Ok(read) = CommandSet::parse(Bytes::copy_from_slice(input)) else { return };
    let written = read.encode();
    let again = CommandSet::parse(written.clone().into()).expect("a command set of ours is read");
    assert_eq!(again.encode(), written);
    let said = |set: &CommandSet| {
        (
            (set.command_field(), set.message_id(), set.message_id_being_responded_to(), set.has_data_set()),
            (set.status(), set.sop_class(), set.sop_instance(), set.move_originator()),
            (set.text(element::ERROR_COMMENT), set.text(element::AFFECTED_SOP_INSTANCE_UID)),
        )
    };
    assert_eq!(said(&again), said(&read));
    if let Ok(response) = read.response(Status::SUCCESS) {
        let response = CommandSet::parse(response.encode().into()).expect("a response of ours is read");
        assert_eq!(response.message_id_being_responded_to(), read.message_id());
        assert_eq!(response.status(), Ok(Status::SUCCESS));
    }
}

/// What a stream says, with the fragments of one command set or data set put together, and how it ends.
fn units(stream: Pieces, established: bool) -> (Vec<Said>, String) {
    let mut receiver = Receiver::new(Box::new(stream), MAX_PDU);
    if established {
        receiver.establish();
    }
    let mut said = Vec::new();
    loop {
        match now(receiver.next()) {
            Ok(Unit::Fragment(fragment)) => {
                match said.last_mut() {
                    Some(Said::Message { context_id, command, last: last @ false, data })
                        if (*context_id, *command) == (fragment.context_id, fragment.command) =>
                    {
                        data.extend_from_slice(&fragment.data);
                        *last = fragment.last;
                    }
                    _ => said.push(Said::Message {
                        context_id: fragment.context_id,
                        command: fragment.command,
                        last: fragment.last,
                        data: fragment.data.to_vec(),
                    }),
                }
                if let Some(Said::Message { command: true, last: true, data, .. }) = said.last() {
                    command_set(data);
                }
            }
            Ok(unit) => {
                match &unit {
                    Unit::AssociateRequest(body) | Unit::AssociateAccept(body) => {
                        association(body);
                        receiver.establish();
                    }
                    _ => {}
                }
                said.push(Said::Other(format!("{unit:?}")));
            }
            Err(Fault::Closed) => return (said, "closed".into()),
            Err(fault) => return (said, format!("{fault:?}")),
        }
    }
}

#[derive(PartialEq, Debug)]
enum Said {
    Message { context_id: u8, command: bool, last: bool, data: Vec<u8> },
    Other(String),
}

/// The result of a future that has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a reader waits although its stream has ended"),
    }
}

/// A stream that gives its bytes in pieces; `mask` is the longest of them less one.
struct Pieces {
    rest: Bytes,
    state: u32,
    mask: u32,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = if self.mask == u32::MAX { self.rest.len() } else { (self.state >> 16 & self.mask) as usize + 1 };
        let size = size.min(self.rest.len()).min(into.remaining());
        into.put_slice(&self.rest.split_to(size));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    fn replay(target: &str, run: fn(&[u8])) {
        let seeds = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut replayed = 0;
        for seed in std::fs::read_dir(&seeds).unwrap() {
            run(&std::fs::read(seed.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{seeds} is empty");
    }

    #[test]
    fn kept_inputs_break_nothing() {
        replay("pdu", super::pdu);
        replay("association", super::association);
        replay("command_set", super::command_set);
    }
}
