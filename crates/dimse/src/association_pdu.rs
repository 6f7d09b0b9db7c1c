//! The association PDUs (PS3.8 9.3.2 to 9.3.8) on dicom-ul's types.
//!
//! Before dicom-ul reads an A-ASSOCIATE PDU it is brought into the form dicom-ul insists on where the standard tells receivers not to look:
//! unknown items are dropped (PS3.8 9.3.1), and the transfer syntax of a refused context, which "shall not be tested" and which some peers leave
//! out, is set to empty.

use bytes::BufMut;
use dicom_ul::pdu::{AssociationAC, AssociationRQ, Pdu, UserVariableItem, read_pdu, write_pdu};

use crate::{Abort, ProtocolError, Rejection};

pub(crate) const ASSOCIATE_RQ: u8 = 0x01;
pub(crate) const ASSOCIATE_AC: u8 = 0x02;
pub(crate) const ASSOCIATE_RJ: u8 = 0x03;
pub(crate) const P_DATA_TF: u8 = 0x04;
pub(crate) const RELEASE_RQ: u8 = 0x05;
pub(crate) const RELEASE_RP: u8 = 0x06;
pub(crate) const ABORT: u8 = 0x07;

/// User information item types that dicom-ul leaves to us (PS3.7 D.3.3.3, D.3.3.6, D.3.3.7).
pub(crate) const ASYNCHRONOUS_OPERATIONS: u8 = 0x53;
pub(crate) const COMMON_EXTENDED: u8 = 0x57;
pub(crate) const USER_IDENTITY_RESPONSE: u8 = 0x59;

/// The longest A-ASSOCIATE PDU read: 128 contexts of 38 transfer syntaxes are 140 KB.
pub(crate) const MAX_ASSOCIATE_LENGTH: u32 = 1024 * 1024;

/// Assumed when a peer says nothing about what it takes (PS3.7 D.3.3.1 requires the item): small enough for all implementations known.
const UNSTATED_MAX_LENGTH: u32 = 16_384;

pub(crate) fn read_associate_request(body: &[u8]) -> Result<AssociationRQ, ProtocolError> {
    match read(ASSOCIATE_RQ, body)? {
        Pdu::AssociationRQ(request) => Ok(request),
        _ => Err(ProtocolError::MalformedPdu("not an A-ASSOCIATE-RQ")),
    }
}

pub(crate) fn read_associate_accept(body: &[u8]) -> Result<AssociationAC, ProtocolError> {
    match read(ASSOCIATE_AC, body)? {
        Pdu::AssociationAC(accept) => Ok(accept),
        _ => Err(ProtocolError::MalformedPdu("not an A-ASSOCIATE-AC")),
    }
}

pub(crate) fn write_associate(pdu: &Pdu) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::with_capacity(1024);
    write_pdu(&mut out, pdu).map_err(|error| ProtocolError::MalformedAssociation(error.to_string()))?;
    Ok(out)
}

pub(crate) const fn reject_pdu(rejection: Rejection) -> [u8; 10] {
    [ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, rejection.result, rejection.source, rejection.reason]
}

pub(crate) const fn abort_pdu(abort: Abort) -> [u8; 10] {
    [ABORT, 0, 0, 0, 0, 4, 0, 0, abort.source, abort.reason]
}

pub(crate) const fn release_request_pdu() -> [u8; 10] {
    [RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0]
}

pub(crate) const fn release_response_pdu() -> [u8; 10] {
    [RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0]
}

/// The largest PDU the peer takes; 0 is "no limit" (PS3.8 D.1.1).
pub(crate) fn peer_max_length(items: &[UserVariableItem]) -> u32 {
    let stated = items.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(length) => Some(*length),
        _ => None,
    });
    stated.unwrap_or(UNSTATED_MAX_LENGTH)
}

/// Largest fragment that fits the peer's limit and ours; even, because all but the last fragment are (PS3.8 E.2).
pub(crate) fn fragment_limit(peer_max: u32, ours: usize) -> Result<usize, ProtocolError> {
    if peer_max == 0 {
        return Ok(ours);
    }
    // Six bytes of the PDU are the PDV's length, context and control header.
    let room = peer_max.saturating_sub(6) & !1;
    if room == 0 {
        return Err(ProtocolError::MaximumLengthTooSmall(peer_max));
    }
    Ok(usize::try_from(room).map_or(ours, |room| room.min(ours)))
}

/// A UID of an association PDU without the NUL padding that does not belong there.
pub(crate) fn trim_uid(text: &str) -> &str {
    text.trim_matches(['\0', ' '])
}

/// Text of a peer fit for logs: printable ASCII, at most 64 characters.
pub(crate) fn printable(text: &str) -> String {
    text.trim().chars().take(64).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

fn read(kind: u8, body: &[u8]) -> Result<Pdu, ProtocolError> {
    let pdu = normalised(kind, body)?;
    match read_pdu(&pdu[..], MAX_ASSOCIATE_LENGTH * 2, true) {
        Ok(Some(pdu)) => Ok(pdu),
        Ok(None) => Err(ProtocolError::MalformedPdu("association PDU ends early")),
        Err(error) => Err(ProtocolError::MalformedAssociation(error.to_string())),
    }
}

/// The whole PDU with header, reduced to what dicom-ul reads.
fn normalised(kind: u8, body: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    const FIXED: usize = 68;
    const APPLICATION_CONTEXT: u8 = 0x10;
    const CONTEXT_PROPOSED: u8 = 0x20;
    const CONTEXT_RESULT: u8 = 0x21;
    const USER_INFORMATION: u8 = 0x50;
    let (fixed, mut rest) =
        body.split_at_checked(FIXED).ok_or(ProtocolError::MalformedPdu("association PDU is too short"))?;
    let mut items = Vec::with_capacity(body.len());
    let mut has_application_context = false;
    while !rest.is_empty() {
        let (item_type, value, after) = split_item(rest)?;
        match (kind, item_type) {
            (_, APPLICATION_CONTEXT) => {
                has_application_context = true;
                put_item(&mut items, item_type, value);
            }
            (ASSOCIATE_RQ, CONTEXT_PROPOSED) => put_item(&mut items, item_type, value),
            (ASSOCIATE_AC, CONTEXT_RESULT) => match value {
                [_, _, 0, ..] => put_item(&mut items, item_type, value),
                [id, _, reason, ..] => {
                    put_item(&mut items, item_type, &[*id, 0, (*reason).clamp(1, 4), 0, 0x40, 0, 0, 0])
                }
                _ => return Err(ProtocolError::MalformedPdu("presentation context result is too short")),
            },
            (_, USER_INFORMATION) => put_item(&mut items, item_type, &known_user_items(value)?),
            _ => {}
        }
        rest = after;
    }
    if !has_application_context {
        put_item(&mut items, APPLICATION_CONTEXT, &[]);
    }
    let mut pdu = Vec::with_capacity(6 + FIXED + items.len());
    pdu.put_slice(&[kind, 0]);
    pdu.put_u32(u32::try_from(FIXED + items.len()).unwrap_or(u32::MAX));
    pdu.put_slice(fixed);
    pdu.put_slice(&items);
    Ok(pdu)
}

/// Checks that the sub-items fill the user information exactly; a maximum length that is not four bytes long is left out.
fn known_user_items(mut rest: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    const MAXIMUM_LENGTH: u8 = 0x51;
    let mut items = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (item_type, value, after) = split_item(rest)?;
        if item_type != MAXIMUM_LENGTH || value.len() == 4 {
            put_item(&mut items, item_type, value);
        }
        rest = after;
    }
    Ok(items)
}

fn split_item(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ProtocolError> {
    const ENDS_EARLY: ProtocolError = ProtocolError::MalformedPdu("an item is longer than what contains it");
    let ([item_type, _, high, low], rest) = bytes.split_first_chunk::<4>().ok_or(ENDS_EARLY)?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, after) = rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
    Ok((*item_type, value, after))
}

fn put_item(out: &mut Vec<u8>, item_type: u8, value: &[u8]) {
    out.put_slice(&[item_type, 0]);
    // Values come out of items, so that they fit.
    out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::{PresentationContextProposed, PresentationContextResultReason};
    use proptest::prelude::*;

    use super::*;

    fn item(item_type: u8, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_item(&mut out, item_type, value);
        out
    }

    fn body(items: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0, 1, 0, 0];
        out.extend_from_slice(b"CALLED          CALLING         ");
        out.extend_from_slice(&[0; 32]);
        out.extend(items.concat());
        out
    }

    #[test]
    fn a_request_with_unknown_items_is_read() {
        let context = [vec![1, 0, 0, 0], item(0x30, b"1.2.840.10008.1.1"), item(0x40, b"1.2.840.10008.1.2")].concat();
        let user = [item(0x51, &[0, 0, 0x40, 0]), item(0x7f, b"odd"), item(0x53, &[0, 5, 0, 5])].concat();
        let request = read_associate_request(&body(&[
            item(0x10, b"1.2.840.10008.3.1.1.1"),
            item(0x66, b"from the future"),
            item(0x20, &context),
            item(0x50, &user),
        ]))
        .unwrap();

        assert_eq!((request.called_ae_title.as_str(), request.calling_ae_title.as_str()), ("CALLED", "CALLING"));
        assert_eq!(
            request.presentation_contexts,
            [PresentationContextProposed {
                id: 1,
                abstract_syntax: "1.2.840.10008.1.1".into(),
                transfer_syntaxes: vec!["1.2.840.10008.1.2".into()]
            }]
        );
        assert_eq!(peer_max_length(&request.user_variables), 16_384);
        assert!(request.user_variables.contains(&UserVariableItem::Unknown(0x53, vec![0, 5, 0, 5])));
    }

    #[test]
    fn a_refused_context_needs_no_transfer_syntax() {
        let accept = read_associate_accept(&body(&[
            item(0x10, b"1.2.840.10008.3.1.1.1"),
            item(0x21, &[1, 0, 3, 0]),
            item(0x21, &[3, 0, 77, 0, 1, 2, 3]),
            item(0x21, &[vec![5, 0, 0, 0], item(0x40, b"1.2.840.10008.1.2")].concat()),
        ]))
        .unwrap();

        let reasons: Vec<_> =
            accept.presentation_contexts.iter().map(|context| (context.id, context.reason.clone())).collect();
        assert_eq!(
            reasons,
            [
                (1, PresentationContextResultReason::AbstractSyntaxNotSupported),
                (3, PresentationContextResultReason::TransferSyntaxesNotSupported),
                (5, PresentationContextResultReason::Acceptance),
            ]
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for wrong in [
            body(&[vec![0x20, 0, 0xff, 0xff, 1]]),
            body(&[item(0x50, &[0x51, 0, 0, 9, 1])]),
            body(&[vec![0x10, 0]]),
            b"short".to_vec(),
            body(&[item(0x21, &[1])]),
        ] {
            let read = (read_associate_request(&wrong).is_err(), read_associate_accept(&wrong).is_err());
            assert!(read.0 || read.1, "{wrong:02x?}");
        }
    }

    #[test]
    fn fragments_fit_the_peer() {
        let ours = 131_072;
        assert_eq!(fragment_limit(0, ours), Ok(ours));
        assert_eq!(fragment_limit(16_384, ours), Ok(16_378));
        assert_eq!(fragment_limit(128, ours), Ok(122));
        assert_eq!(fragment_limit(9, ours), Ok(2));
        assert_eq!(fragment_limit(u32::MAX, ours), Ok(ours));
        assert_eq!(fragment_limit(7, ours), Err(ProtocolError::MaximumLengthTooSmall(7)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..300), structured in any::<bool>()) {
            let mut bytes = body(&[]);
            if structured {
                bytes.extend(item(0x20, &tail));
                bytes.extend(item(0x21, &tail));
                bytes.extend(item(0x50, &tail));
            } else {
                bytes.extend(&tail);
            }
            let _ = (read_associate_request(&bytes), read_associate_accept(&bytes), read_associate_request(&tail));
        }

        #[test]
        fn any_user_information_is_read_or_refused(item_type in 0x51u8..0x5a, value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = body(&[item(0x10, b"1.2.840.10008.3.1.1.1"), item(0x50, &item(item_type, &value))]);
            let _ = (read_associate_request(&bytes), read_associate_accept(&bytes));
        }
    }
}
