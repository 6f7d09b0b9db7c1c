//! The two directions of one association's byte stream: PDUs in, PDUs out.
//!
//! Data set fragments leave as slices of the read buffer, as they arrive; a PDU is never waited for as a whole and nothing is copied. The buffer
//! is used again as soon as the receiver of the slices has dropped them.

use std::{io, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Abort, ProtocolError, Rejection, Waiting,
    association_pdu::{
        ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, MAX_ASSOCIATE_LENGTH, P_DATA_TF, RELEASE_RP, RELEASE_RQ,
    },
    fault::Fault,
    pace::Pace,
    transport::{ReadHalf, Transport, WriteHalf},
};

/// Memory of one association that is receiving. One read from the socket takes up to this many bytes.
const READ_BUFFER: usize = 256 * 1024;
/// A read is not attempted into less; the rest of the buffer is given up instead.
const LEAST_READ: usize = 64 * 1024;
/// Memory of one that waits or negotiates.
const IDLE_BUFFER: usize = 4 * 1024;
/// Fields of every PDU before its content (PS3.8 9.3.1): type, reserved, length.
const PDU_HEADER: usize = 6;
/// Fields of a PDV before its fragment (PS3.8 9.3.5.1): length, context, control.
const PDV_HEADER: usize = 6;
/// What stands before the fragment of a PDU with one PDV.
pub(crate) const DATA_HEADER: usize = PDU_HEADER + PDV_HEADER;

const IS_COMMAND: u8 = 0x01;
const IS_LAST: u8 = 0x02;

/// One thing that arrived.
#[derive(Debug)]
pub(crate) enum Unit {
    /// Content of an A-ASSOCIATE-RQ.
    AssociateRequest(Bytes),
    /// Content of an A-ASSOCIATE-AC.
    AssociateAccept(Bytes),
    AssociateReject(Rejection),
    Fragment(Fragment),
    ReleaseRequest,
    ReleaseResponse,
    Abort(Abort),
}

impl Unit {
    /// The error of this unit coming when it must not.
    pub(crate) fn unexpected(&self) -> Fault {
        let pdu_type = match self {
            Self::AssociateRequest(_) => ASSOCIATE_RQ,
            Self::AssociateAccept(_) => ASSOCIATE_AC,
            Self::AssociateReject(_) => ASSOCIATE_RJ,
            Self::Fragment(_) => P_DATA_TF,
            Self::ReleaseRequest => RELEASE_RQ,
            Self::ReleaseResponse => RELEASE_RP,
            Self::Abort(abort) => return Fault::Aborted(*abort),
        };
        ProtocolError::UnexpectedPdu(pdu_type).into()
    }
}

/// A part of a command set or data set: what one read brought of one PDV.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) context_id: u8,
    pub(crate) command: bool,
    /// Nothing of this command set or data set follows.
    pub(crate) last: bool,
    pub(crate) data: Bytes,
}

/// The PDV being read.
#[derive(Debug, Clone, Copy)]
struct Pdv {
    context_id: u8,
    control: u8,
    remaining: usize,
}

pub(crate) struct Receiver {
    stream: ReadHalf,
    buffer: BytesMut,
    /// P-DATA is allowed and A-ASSOCIATE is not.
    established: bool,
    max_pdu: u32,
    /// Bytes of the current P-DATA-TF that are not yet in a PDV.
    pdata_remaining: usize,
    pdv: Option<Pdv>,
    /// Bytes since the connection was made.
    received: u64,
    /// How slowly a message may come.
    pub(crate) pace: Pace,
}

pub(crate) struct Sender {
    stream: WriteHalf,
    /// Largest fragment of a PDV, from the negotiation.
    pub(crate) max_fragment: usize,
    pub(crate) limit: Duration,
}

/// Splits a connection. `max_pdu` is what we tell the peer and enforce; `write_limit` how long a single write may take.
pub(crate) fn split(transport: Transport, max_pdu: u32, write_limit: Duration) -> (Receiver, Sender) {
    let (read, write) = transport.split();
    (Receiver::new(read, max_pdu), Sender { stream: write, max_fragment: 0, limit: write_limit })
}

impl Receiver {
    pub(crate) fn new(stream: ReadHalf, max_pdu: u32) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            established: false,
            max_pdu,
            pdata_remaining: 0,
            pdv: None,
            received: 0,
            pace: Pace::default(),
        }
    }

    /// From here on P-DATA may come and A-ASSOCIATE may not.
    pub(crate) fn establish(&mut self) {
        self.established = true;
    }

    /// Gives the memory back until something arrives.
    pub(crate) fn release_buffer(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next unit. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Result<Unit, Fault> {
        loop {
            if let Some(unit) = self.parse()? {
                return Ok(unit);
            }
            self.fill().await?;
        }
    }

    /// As [`Self::next`], within `limit` of silence.
    pub(crate) async fn next_within(&mut self, limit: Duration, waiting: Waiting) -> Result<Unit, Fault> {
        // Most fragments are in the buffer already: no timer for those.
        if let Some(unit) = self.parse()? {
            return Ok(unit);
        }
        self.next_until(Instant::now() + limit, waiting).await
    }

    pub(crate) async fn next_until(&mut self, deadline: Instant, waiting: Waiting) -> Result<Unit, Fault> {
        let (began, before) = (Instant::now(), self.received);
        let unit = timeout_at(deadline, self.next()).await.unwrap_or(Err(Fault::Timeout(waiting)))?;
        match waiting {
            Waiting::RestOfMessage if !self.pace.add(began.elapsed(), self.received - before) => {
                return Err(Fault::Timeout(Waiting::FasterMessage));
            }
            Waiting::NextMessage => self.pace.reset(),
            _ => {}
        }
        Ok(unit)
    }

    /// Reads and forgets until the peer closes, so that our last PDU is not lost in a reset (PS3.8 9.2.3, Sta13).
    pub(crate) async fn wait_for_close(&mut self, limit: Duration) {
        let drain = async {
            loop {
                self.buffer.clear();
                if self.fill().await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(limit, drain).await;
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        let in_data = self.pdata_remaining > 0 || self.pdv.is_some();
        let (size, least) = if in_data { (READ_BUFFER, LEAST_READ) } else { (IDLE_BUFFER, IDLE_BUFFER / 2) };
        let held = self.buffer.len();
        if self.buffer.capacity() - held < least && !self.buffer.try_reclaim(size.saturating_sub(held).max(least)) {
            // Only association PDUs make `held` grow; then this doubles, up to their limit.
            let mut fresh = BytesMut::with_capacity(size.max(held * 2));
            fresh.put_slice(&self.buffer);
            self.buffer = fresh;
        }
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Fault::Closed),
            Ok(count) => {
                self.received = self.received.saturating_add(u64::try_from(count).unwrap_or(0));
                Ok(())
            }
            // A peer that closed with data of ours unread, or TLS without saying so.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                Err(Fault::Closed)
            }
            Err(error) => Err(Fault::Io(error)),
        }
    }

    /// Takes one unit off the buffer; `None` when more bytes are needed.
    fn parse(&mut self) -> Result<Option<Unit>, ProtocolError> {
        loop {
            if let Some(pdv) = self.pdv {
                return Ok(self.take_fragment(pdv).map(Unit::Fragment));
            }
            if self.pdata_remaining == 0 {
                match self.parse_header()? {
                    Header::Incomplete => return Ok(None),
                    Header::Unit(unit) => return Ok(Some(unit)),
                    Header::Data => continue,
                }
            }
            if self.pdata_remaining < PDV_HEADER {
                return Err(ProtocolError::MalformedPdu("bytes are left over after the last PDV"));
            }
            let Some(&[l0, l1, l2, l3, context_id, control]) = self.buffer.first_chunk::<PDV_HEADER>() else {
                return Ok(None);
            };
            let length = to_usize(u32::from_be_bytes([l0, l1, l2, l3]));
            if length < 2 || length > self.pdata_remaining - 4 {
                return Err(ProtocolError::MalformedPdu("PDV length does not fit its PDU"));
            }
            self.buffer.advance(PDV_HEADER);
            self.pdata_remaining -= length + 4;
            self.pdv = Some(Pdv { context_id, control, remaining: length - 2 });
        }
    }

    fn take_fragment(&mut self, mut pdv: Pdv) -> Option<Fragment> {
        if pdv.remaining > 0 && self.buffer.is_empty() {
            return None;
        }
        let take = pdv.remaining.min(self.buffer.len());
        let data = if take == 0 { Bytes::new() } else { self.buffer.split_to(take).freeze() };
        pdv.remaining -= take;
        let ended = pdv.remaining == 0;
        self.pdv = (!ended).then_some(pdv);
        Some(Fragment {
            context_id: pdv.context_id,
            command: pdv.control & IS_COMMAND != 0,
            last: ended && pdv.control & IS_LAST != 0,
            data,
        })
    }

    fn parse_header(&mut self) -> Result<Header, ProtocolError> {
        let Some(&[pdu_type, _, l0, l1, l2, l3]) = self.buffer.first_chunk::<PDU_HEADER>() else {
            return Ok(Header::Incomplete);
        };
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        match (pdu_type, self.established) {
            (P_DATA_TF, true) => {
                if length > self.max_pdu {
                    return Err(ProtocolError::PduTooLong { length, limit: self.max_pdu });
                }
                if to_usize(length) < PDV_HEADER {
                    return Err(ProtocolError::MalformedPdu("P-DATA-TF without a PDV"));
                }
                self.buffer.advance(PDU_HEADER);
                self.pdata_remaining = to_usize(length);
                Ok(Header::Data)
            }
            (ASSOCIATE_RQ | ASSOCIATE_AC, false) => {
                if length > MAX_ASSOCIATE_LENGTH {
                    return Err(ProtocolError::PduTooLong { length, limit: MAX_ASSOCIATE_LENGTH });
                }
                if self.buffer.len() < PDU_HEADER + to_usize(length) {
                    return Ok(Header::Incomplete);
                }
                self.buffer.advance(PDU_HEADER);
                let body = self.buffer.split_to(to_usize(length)).freeze();
                Ok(Header::Unit(if pdu_type == ASSOCIATE_RQ {
                    Unit::AssociateRequest(body)
                } else {
                    Unit::AssociateAccept(body)
                }))
            }
            (ASSOCIATE_RJ, false) | (RELEASE_RQ | RELEASE_RP | ABORT, _) => {
                if length != 4 {
                    return Err(ProtocolError::MalformedPdu("PDU of fixed length has another length"));
                }
                let Some(&[.., _, result, source, reason]) = self.buffer.first_chunk::<10>() else {
                    return Ok(Header::Incomplete);
                };
                self.buffer.advance(10);
                Ok(Header::Unit(match pdu_type {
                    ASSOCIATE_RJ => Unit::AssociateReject(Rejection { result, source, reason }),
                    RELEASE_RQ => Unit::ReleaseRequest,
                    RELEASE_RP => Unit::ReleaseResponse,
                    _ => Unit::Abort(Abort { source, reason }),
                }))
            }
            (ASSOCIATE_RQ..=ABORT, _) => Err(ProtocolError::UnexpectedPdu(pdu_type)),
            _ => Err(ProtocolError::UnknownPdu(pdu_type)),
        }
    }
}

enum Header {
    Incomplete,
    Unit(Unit),
    Data,
}

impl Sender {
    /// Writes all, within the limit.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let write = async {
            self.stream.write_all(bytes).await?;
            // TLS keeps what the socket did not take at once.
            self.stream.flush().await
        };
        match timeout(self.limit, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                Err(Fault::Closed)
            }
            Ok(Err(error)) => Err(Fault::Io(error)),
            Err(_) => Err(Fault::Timeout(Waiting::Write)),
        }
    }

    /// Writes a command set without data set in one go.
    pub(crate) async fn write_command(&mut self, context_id: u8, command: &[u8]) -> Result<(), Fault> {
        let mut out = BytesMut::with_capacity(DATA_HEADER + command.len());
        put_command(&mut out, context_id, command, self.max_fragment);
        self.write(&out).await
    }

    /// Writes a message in one go.
    pub(crate) async fn write_message(
        &mut self,
        context_id: u8,
        command: &[u8],
        data_set: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let mut out = BytesMut::with_capacity(2 * DATA_HEADER + command.len() + data_set.map_or(0, <[u8]>::len));
        put_fragments(&mut out, context_id, true, command, self.max_fragment);
        if let Some(data_set) = data_set {
            put_fragments(&mut out, context_id, false, data_set, self.max_fragment);
        }
        self.write(&out).await
    }

    /// Tells the peer that nothing more comes.
    pub(crate) async fn shut_down(&mut self) {
        let _ = timeout(self.limit, self.stream.shutdown()).await;
    }
}

/// Appends a whole command set as P-DATA-TF PDUs of one PDV each.
pub(crate) fn put_command(out: &mut BytesMut, context_id: u8, command: &[u8], max_fragment: usize) {
    put_fragments(out, context_id, true, command, max_fragment);
}

fn put_fragments(out: &mut BytesMut, context_id: u8, command: bool, bytes: &[u8], max_fragment: usize) {
    let mut rest = bytes;
    loop {
        let (fragment, after) = rest.split_at(rest.len().min(max_fragment.max(1)));
        out.put_slice(&data_header(context_id, command, after.is_empty(), fragment.len()));
        out.put_slice(fragment);
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}

/// The headers of a P-DATA-TF with one PDV of `length` bytes. `length` is at most the largest fragment, which fits by far.
pub(crate) fn data_header(context_id: u8, command: bool, last: bool, length: usize) -> [u8; DATA_HEADER] {
    let pdv_length = u32::try_from(length).unwrap_or(u32::MAX - 6) + 2;
    let control = if command { IS_COMMAND } else { 0 } | if last { IS_LAST } else { 0 };
    let [a0, a1, a2, a3] = (pdv_length + 4).to_be_bytes();
    let [b0, b1, b2, b3] = pdv_length.to_be_bytes();
    [P_DATA_TF, 0, a0, a1, a2, a3, b0, b1, b2, b3, context_id, control]
}

fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receiver(bytes: &[u8]) -> Receiver {
        let mut receiver = Receiver::new(Box::new(tokio::io::empty()), 1000);
        receiver.establish();
        receiver.buffer.put_slice(bytes);
        receiver
    }

    fn check_error(bytes: &[u8], expected: ProtocolError) {
        assert_eq!(receiver(bytes).parse().unwrap_err(), expected, "{bytes:02x?}");
    }

    #[test]
    fn several_pdvs_of_one_pdu_come_one_by_one() {
        let mut receiver = receiver(&[4, 0, 0, 0, 0, 15, 0, 0, 0, 5, 1, 3, b'a', b'b', b'c', 0, 0, 0, 2, 3, 2]);

        let Some(Unit::Fragment(first)) = receiver.parse().unwrap() else { panic!("no fragment") };
        assert_eq!((first.context_id, first.command, first.last, first.data.as_ref()), (1, true, true, &b"abc"[..]));
        let Some(Unit::Fragment(second)) = receiver.parse().unwrap() else { panic!("no fragment") };
        assert_eq!((second.context_id, second.command, second.last, second.data.as_ref()), (3, false, true, &b""[..]));
        assert!(receiver.parse().unwrap().is_none());
        assert!(receiver.buffer.is_empty() && receiver.pdata_remaining == 0);
    }

    #[test]
    fn a_pdv_is_handed_on_before_it_is_complete() {
        let mut receiver = receiver(&[4, 0, 0, 0, 0, 10, 0, 0, 0, 6, 1, 2, b'a']);

        let Some(Unit::Fragment(start)) = receiver.parse().unwrap() else { panic!("no fragment") };
        assert_eq!((start.last, start.data.as_ref()), (false, &b"a"[..]));
        assert!(receiver.parse().unwrap().is_none());
        receiver.buffer.put_slice(b"bcd");
        let Some(Unit::Fragment(end)) = receiver.parse().unwrap() else { panic!("no fragment") };
        assert_eq!((end.last, end.data.as_ref()), (true, &b"bcd"[..]));
    }

    #[test]
    fn lengths_that_lie_are_refused_before_they_are_read() {
        check_error(&[4, 0, 0, 0, 3, 0xe9], ProtocolError::PduTooLong { length: 1001, limit: 1000 });
        check_error(&[4, 0, 0, 0, 0, 5], ProtocolError::MalformedPdu("P-DATA-TF without a PDV"));
        check_error(
            &[4, 0, 0, 0, 0, 6, 0, 0, 0, 3, 1, 0],
            ProtocolError::MalformedPdu("PDV length does not fit its PDU"),
        );
        check_error(
            &[4, 0, 0, 0, 0, 6, 0, 0, 0, 1, 1, 0],
            ProtocolError::MalformedPdu("PDV length does not fit its PDU"),
        );
        check_error(&[5, 0, 0, 0, 0, 5], ProtocolError::MalformedPdu("PDU of fixed length has another length"));
        check_error(&[1, 0, 0, 0, 0, 80], ProtocolError::UnexpectedPdu(1));
        check_error(b"GET / HTTP/1.1", ProtocolError::UnknownPdu(b'G'));

        let mut left_over = receiver(&[4, 0, 0, 0, 0, 9, 0, 0, 0, 3, 1, 0, 7, 1, 1]);
        assert!(matches!(left_over.parse(), Ok(Some(Unit::Fragment(_)))));
        assert_eq!(
            left_over.parse().unwrap_err(),
            ProtocolError::MalformedPdu("bytes are left over after the last PDV")
        );
    }

    #[test]
    fn before_the_association_no_data_is_read() {
        let mut receiver = receiver(&[4, 0, 0, 0, 0, 10]);
        receiver.established = false;
        assert_eq!(receiver.parse().unwrap_err(), ProtocolError::UnexpectedPdu(4));

        receiver.buffer.clear();
        receiver.buffer.put_slice(&[1, 0, 0, 0x10, 0, 1]);
        assert_eq!(
            receiver.parse().unwrap_err(),
            ProtocolError::PduTooLong { length: 0x0010_0001, limit: MAX_ASSOCIATE_LENGTH }
        );
    }

    #[test]
    fn a_command_is_cut_to_the_peers_size() {
        let mut out = BytesMut::new();
        put_command(&mut out, 5, b"abcde", 2);
        let mut receiver = receiver(&out);

        let mut pieces = Vec::new();
        while let Some(Unit::Fragment(fragment)) = receiver.parse().unwrap() {
            assert!(fragment.command && fragment.context_id == 5);
            pieces.push((fragment.last, fragment.data.to_vec()));
        }
        assert_eq!(pieces, [(false, b"ab".to_vec()), (false, b"cd".to_vec()), (true, b"e".to_vec())]);
    }

    #[tokio::test]
    async fn the_buffer_is_used_again_and_does_not_grow() {
        let fragment = vec![7u8; 990];
        let mut stream = Vec::new();
        for _ in 0..2000 {
            stream.extend_from_slice(&data_header(1, false, false, fragment.len()));
            stream.extend_from_slice(&fragment);
        }
        let total = 2000 * fragment.len();
        let mut receiver = Receiver::new(Box::new(io::Cursor::new(stream)), 1000);
        receiver.establish();

        let (mut seen, mut most) = (0, 0);
        while let Ok(Unit::Fragment(part)) = receiver.next().await {
            assert!(part.data.iter().all(|byte| *byte == 7));
            seen += part.data.len();
            most = most.max(receiver.buffer.capacity());
        }
        assert_eq!(seen, total);
        assert!(most <= READ_BUFFER, "{most}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), established in any::<bool>(), data in any::<bool>()) {
            let mut receiver = receiver(if data { &[4, 0, 0, 0, 0, 90] } else { &[] });
            receiver.established = established;
            receiver.buffer.put_slice(&bytes);
            for _ in 0..=bytes.len() + 1 {
                match receiver.parse() {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
            prop_assert!(false, "more units than bytes");
        }
    }
}
