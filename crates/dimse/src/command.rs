//! Command sets (PS3.7 6.3, 9.3, 10.3, annex E): group 0000 in implicit VR little endian, for every C-* and N-* operation.

use std::fmt;

use bytes::{BufMut, Bytes};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid};

use crate::Status;

/// The longest command set read. Real ones have some 200 bytes; C-MOVE failure lists and N-GET attribute lists are longer.
pub const MAX_COMMAND_LENGTH: usize = 64 * 1024;

/// Element numbers in group 0000 (PS3.7 E.1).
pub mod element {
    pub const GROUP_LENGTH: u16 = 0x0000;
    pub const AFFECTED_SOP_CLASS_UID: u16 = 0x0002;
    pub const REQUESTED_SOP_CLASS_UID: u16 = 0x0003;
    pub const COMMAND_FIELD: u16 = 0x0100;
    pub const MESSAGE_ID: u16 = 0x0110;
    pub const MESSAGE_ID_BEING_RESPONDED_TO: u16 = 0x0120;
    pub const MOVE_DESTINATION: u16 = 0x0600;
    pub const PRIORITY: u16 = 0x0700;
    pub const COMMAND_DATA_SET_TYPE: u16 = 0x0800;
    pub const STATUS: u16 = 0x0900;
    pub const OFFENDING_ELEMENT: u16 = 0x0901;
    pub const ERROR_COMMENT: u16 = 0x0902;
    pub const ERROR_ID: u16 = 0x0903;
    pub const AFFECTED_SOP_INSTANCE_UID: u16 = 0x1000;
    pub const REQUESTED_SOP_INSTANCE_UID: u16 = 0x1001;
    pub const EVENT_TYPE_ID: u16 = 0x1002;
    pub const ATTRIBUTE_IDENTIFIER_LIST: u16 = 0x1005;
    pub const ACTION_TYPE_ID: u16 = 0x1008;
    pub const REMAINING_SUB_OPERATIONS: u16 = 0x1020;
    pub const COMPLETED_SUB_OPERATIONS: u16 = 0x1021;
    pub const FAILED_SUB_OPERATIONS: u16 = 0x1022;
    pub const WARNING_SUB_OPERATIONS: u16 = 0x1023;
    pub const MOVE_ORIGINATOR_AE_TITLE: u16 = 0x1030;
    pub const MOVE_ORIGINATOR_MESSAGE_ID: u16 = 0x1031;
}

/// The value of Command Field (0000,0100).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandField(pub u16);

impl CommandField {
    pub const C_STORE_RQ: Self = Self(0x0001);
    pub const C_GET_RQ: Self = Self(0x0010);
    pub const C_FIND_RQ: Self = Self(0x0020);
    pub const C_MOVE_RQ: Self = Self(0x0021);
    pub const C_ECHO_RQ: Self = Self(0x0030);
    pub const N_EVENT_REPORT_RQ: Self = Self(0x0100);
    pub const N_GET_RQ: Self = Self(0x0110);
    pub const N_SET_RQ: Self = Self(0x0120);
    pub const N_ACTION_RQ: Self = Self(0x0130);
    pub const N_CREATE_RQ: Self = Self(0x0140);
    pub const N_DELETE_RQ: Self = Self(0x0150);
    pub const C_CANCEL_RQ: Self = Self(0x0FFF);

    pub const C_STORE_RSP: Self = Self::C_STORE_RQ.response();
    pub const C_ECHO_RSP: Self = Self::C_ECHO_RQ.response();

    /// Bit 15 distinguishes responses (PS3.7 E.1).
    pub const fn is_response(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// The field of the response to this request.
    pub const fn response(self) -> Self {
        Self(self.0 | 0x8000)
    }
}

impl fmt::Debug for CommandField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandField({:#06x})", self.0)
    }
}

/// Command Data Set Type (0000,0800) that says "no data set follows"; every other value says one does.
const NO_DATA_SET: u16 = 0x0101;
/// The value sent when one follows.
const HAS_DATA_SET: u16 = 0x0000;

/// Why bytes are not a command set, or lack what every command set has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("it ends inside an element")]
    Truncated,
    #[error("it contains an element of group {0:#06x}")]
    ForeignGroup(u16),
    #[error("element (0000,{0:04x}) is missing")]
    Missing(u16),
    #[error("element (0000,{0:04x}) has the wrong length")]
    WrongLength(u16),
}

/// One command set: its elements without the group length, values as on the wire.
///
/// Reading is lenient where nothing depends on it (order, the group length, odd lengths); of a repeated element the first counts.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CommandSet {
    elements: Vec<(u16, Bytes)>,
}

impl CommandSet {
    /// An empty set with a command field.
    pub fn new(field: CommandField) -> Self {
        Self::default().with_u16(element::COMMAND_FIELD, field.0)
    }

    /// Reads implicit VR little endian elements; values share the memory of `bytes`.
    pub fn parse(mut bytes: Bytes) -> Result<Self, CommandError> {
        let mut elements = Vec::new();
        while !bytes.is_empty() {
            let [g0, g1, e0, e1, l0, l1, l2, l3] = *bytes.first_chunk::<8>().ok_or(CommandError::Truncated)?;
            let (group, number) = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
            if group != 0 {
                return Err(CommandError::ForeignGroup(group));
            }
            let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).map_err(|_| CommandError::Truncated)?;
            if length > bytes.len() - 8 {
                return Err(CommandError::Truncated);
            }
            let _ = bytes.split_to(8);
            let value = bytes.split_to(length);
            if number != element::GROUP_LENGTH {
                elements.push((number, value));
            }
        }
        Ok(Self { elements })
    }

    /// Writes the set with its group length, elements in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        let mut sorted: Vec<_> = self.elements.iter().collect();
        sorted.sort_by_key(|(number, _)| *number);
        let length: usize = sorted.iter().map(|(_, value)| 8 + value.len()).sum();
        let mut out = Vec::with_capacity(12 + length);
        let mut put = |number: u16, value: &[u8]| {
            out.put_u16_le(0);
            out.put_u16_le(number);
            // Values come from MAX_COMMAND_LENGTH bytes or from our own code; none is near 4 GiB.
            out.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value);
        };
        put(element::GROUP_LENGTH, &u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        for (number, value) in sorted {
            put(*number, value);
        }
        out
    }

    /// The value as on the wire; `None` when the element is absent.
    pub fn get(&self, number: u16) -> Option<&Bytes> {
        self.elements.iter().find(|(of, _)| *of == number).map(|(_, value)| value)
    }

    /// A US value. `Ok(None)` when absent or empty.
    pub fn u16(&self, number: u16) -> Result<Option<u16>, CommandError> {
        match self.get(number).map(Bytes::as_ref) {
            None | Some([]) => Ok(None),
            Some([low, high]) => Ok(Some(u16::from_le_bytes([*low, *high]))),
            Some(_) => Err(CommandError::WrongLength(number)),
        }
    }

    /// A text without its padding, for showing; what is not ASCII becomes `?`. Empty when absent.
    pub fn text(&self, number: u16) -> String {
        let raw = self.get(number).map_or(&[][..], Bytes::as_ref);
        raw.iter()
            .map(|&byte| if (0x20..0x7f).contains(&byte) || byte == 0 { char::from(byte) } else { '?' })
            .collect::<String>()
            .trim_matches([' ', '\0'])
            .replace('\0', "?")
    }

    pub fn command_field(&self) -> Result<CommandField, CommandError> {
        self.u16(element::COMMAND_FIELD)?.map(CommandField).ok_or(CommandError::Missing(element::COMMAND_FIELD))
    }

    pub fn message_id(&self) -> Result<u16, CommandError> {
        self.u16(element::MESSAGE_ID)?.ok_or(CommandError::Missing(element::MESSAGE_ID))
    }

    pub fn message_id_being_responded_to(&self) -> Result<u16, CommandError> {
        let number = element::MESSAGE_ID_BEING_RESPONDED_TO;
        self.u16(number)?.ok_or(CommandError::Missing(number))
    }

    pub fn has_data_set(&self) -> Result<bool, CommandError> {
        let number = element::COMMAND_DATA_SET_TYPE;
        Ok(self.u16(number)?.ok_or(CommandError::Missing(number))? != NO_DATA_SET)
    }

    pub fn status(&self) -> Result<Status, CommandError> {
        self.u16(element::STATUS)?.map(Status).ok_or(CommandError::Missing(element::STATUS))
    }

    /// Affected SOP Class UID, or the requested one of an N-* request. `None` when absent or not a UID.
    pub fn sop_class(&self) -> Option<SopClassUid> {
        let raw = self.get(element::AFFECTED_SOP_CLASS_UID).or_else(|| self.get(element::REQUESTED_SOP_CLASS_UID))?;
        SopClassUid::parse_padded(raw).ok()
    }

    /// Affected SOP Instance UID, or the requested one of an N-* request. `None` when absent or not a UID.
    pub fn sop_instance(&self) -> Option<SopInstanceUid> {
        let raw =
            self.get(element::AFFECTED_SOP_INSTANCE_UID).or_else(|| self.get(element::REQUESTED_SOP_INSTANCE_UID))?;
        SopInstanceUid::parse_padded(raw).ok()
    }

    /// 0 medium, 1 high, 2 low; medium when absent.
    pub fn priority(&self) -> u16 {
        self.u16(element::PRIORITY).ok().flatten().unwrap_or(0)
    }

    /// What an N-GET asks for, group and element (PS3.7 10.1.2.1.5); empty when absent.
    pub fn attribute_identifiers(&self) -> Result<Vec<u32>, CommandError> {
        let number = element::ATTRIBUTE_IDENTIFIER_LIST;
        let (tags, rest) = self.get(number).map_or(&[][..], Bytes::as_ref).as_chunks::<4>();
        if !rest.is_empty() {
            return Err(CommandError::WrongLength(number));
        }
        let tag = |[g0, g1, e0, e1]: &[u8; 4]| u32::from_be_bytes([*g1, *g0, *e1, *e0]);
        Ok(tags.iter().map(tag).collect())
    }

    /// AE title and message ID of the C-MOVE that caused this C-STORE (PS3.7 9.1.1.1). `None` unless both are there.
    pub fn move_originator(&self) -> Option<(AeTitle, u16)> {
        let title = AeTitle::parse(&self.text(element::MOVE_ORIGINATOR_AE_TITLE)).ok()?;
        let message = self.u16(element::MOVE_ORIGINATOR_MESSAGE_ID).ok()??;
        Some((title, message))
    }

    /// Sets a value as on the wire, replacing an earlier one.
    #[must_use]
    pub fn with(mut self, number: u16, value: Bytes) -> Self {
        self.elements.retain(|(of, _)| *of != number);
        self.elements.push((number, value));
        self
    }

    #[must_use]
    pub fn with_u16(self, number: u16, value: u16) -> Self {
        self.with(number, Bytes::copy_from_slice(&value.to_le_bytes()))
    }

    /// Sets a UID, padded with NUL to even length.
    #[must_use]
    pub fn with_uid(self, number: u16, uid: &str) -> Self {
        self.with(number, padded(uid, 0))
    }

    /// Sets an AE, LO or similar text, padded with a space to even length.
    #[must_use]
    pub fn with_text(self, number: u16, text: &str) -> Self {
        self.with(number, padded(text, b' '))
    }

    /// Sets what an N-GET asks for, group and element.
    #[must_use]
    pub fn with_attribute_identifiers(self, tags: &[u32]) -> Self {
        let le = |tag: &u32| {
            let [g1, g0, e1, e0] = tag.to_be_bytes();
            [g0, g1, e0, e1]
        };
        self.with(element::ATTRIBUTE_IDENTIFIER_LIST, tags.iter().flat_map(le).collect())
    }

    /// Says whether a data set follows.
    #[must_use]
    pub fn with_data_set(self, present: bool) -> Self {
        self.with_u16(element::COMMAND_DATA_SET_TYPE, if present { HAS_DATA_SET } else { NO_DATA_SET })
    }

    /// The response to this request, without a data set: message ID, SOP class and instance and the type of event or action are those of the
    /// request, byte for byte. For N-* requests the requested SOP class and instance become the affected ones (PS3.7 10.3).
    pub fn response(&self, status: Status) -> Result<Self, CommandError> {
        let mut response = Self::new(self.command_field()?.response())
            .with_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, self.message_id()?)
            .with_data_set(false)
            .with_u16(element::STATUS, status.0);
        for (to, candidates) in [
            (element::AFFECTED_SOP_CLASS_UID, [element::AFFECTED_SOP_CLASS_UID, element::REQUESTED_SOP_CLASS_UID]),
            (
                element::AFFECTED_SOP_INSTANCE_UID,
                [element::AFFECTED_SOP_INSTANCE_UID, element::REQUESTED_SOP_INSTANCE_UID],
            ),
            (element::EVENT_TYPE_ID, [element::EVENT_TYPE_ID; 2]),
            (element::ACTION_TYPE_ID, [element::ACTION_TYPE_ID; 2]),
        ] {
            if let Some(value) = candidates.iter().find_map(|from| self.get(*from)) {
                response = response.with(to, value.clone());
            }
        }
        Ok(response)
    }
}

/// Shows element numbers and lengths only: values may carry what does not belong into logs.
impl fmt::Debug for CommandSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.elements.iter().map(|(number, value)| (format!("{number:04x}"), value.len())))
            .finish()
    }
}

fn padded(text: &str, with: u8) -> Bytes {
    let mut raw = Vec::with_capacity(text.len() + 1);
    raw.extend_from_slice(text.as_bytes());
    if raw.len() % 2 == 1 {
        raw.push(with);
    }
    raw.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store_request() -> CommandSet {
        CommandSet::new(CommandField::C_STORE_RQ)
            .with_u16(element::MESSAGE_ID, 7)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, "1.2.840.10008.5.1.4.1.1.2")
            .with_uid(element::AFFECTED_SOP_INSTANCE_UID, "1.2.3")
            .with_data_set(true)
    }

    #[test]
    fn a_command_set_is_written_as_the_standard_says() {
        let bytes = CommandSet::new(CommandField::C_ECHO_RQ)
            .with_data_set(false)
            .with_u16(element::MESSAGE_ID, 1)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, "1.2.3")
            .encode();

        let expected: &[u8] = &[
            0, 0, 0x00, 0x00, 4, 0, 0, 0, 44, 0, 0, 0, // group length
            0, 0, 0x02, 0x00, 6, 0, 0, 0, b'1', b'.', b'2', b'.', b'3', 0, // affected SOP class
            0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x30, 0x00, // command field
            0, 0, 0x10, 0x01, 2, 0, 0, 0, 1, 0, // message ID
            0, 0, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x01, // no data set
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        let request = store_request()
            .with_text(element::MOVE_ORIGINATOR_AE_TITLE, "PACS1")
            .with_u16(element::MOVE_ORIGINATOR_MESSAGE_ID, 9);
        let read = CommandSet::parse(request.encode().into()).unwrap();

        assert_eq!(read.command_field(), Ok(CommandField::C_STORE_RQ));
        assert_eq!(read.message_id(), Ok(7));
        assert_eq!(read.has_data_set(), Ok(true));
        assert_eq!(read.sop_class().unwrap().as_str(), "1.2.840.10008.5.1.4.1.1.2");
        assert_eq!(read.sop_instance().unwrap().as_str(), "1.2.3");
        assert_eq!(read.move_originator(), Some((AeTitle::parse("PACS1").unwrap(), 9)));
        assert_eq!(read.encode(), request.encode());
    }

    #[test]
    fn a_response_echoes_the_request() {
        let response = store_request().response(Status::OUT_OF_RESOURCES).unwrap();

        assert_eq!(response.command_field(), Ok(CommandField::C_STORE_RSP));
        assert_eq!(response.message_id_being_responded_to(), Ok(7));
        assert_eq!(response.status(), Ok(Status::OUT_OF_RESOURCES));
        assert_eq!(response.has_data_set(), Ok(false));
        assert_eq!(response.get(element::AFFECTED_SOP_INSTANCE_UID).unwrap().as_ref(), b"1.2.3\0");
        assert_eq!(response.message_id(), Err(CommandError::Missing(element::MESSAGE_ID)));
    }

    #[test]
    fn the_response_to_a_normalised_request_names_the_affected_instance() {
        let request = CommandSet::new(CommandField::N_ACTION_RQ)
            .with_u16(element::MESSAGE_ID, 3)
            .with_uid(element::REQUESTED_SOP_CLASS_UID, "1.2.840.10008.1.20.1")
            .with_uid(element::REQUESTED_SOP_INSTANCE_UID, "1.2.840.10008.1.20.1.1")
            .with_u16(element::ACTION_TYPE_ID, 1)
            .with_data_set(true);
        let response = request.response(Status::SUCCESS).unwrap();

        assert_eq!(response.command_field(), Ok(CommandField(0x8130)));
        assert_eq!(response.text(element::AFFECTED_SOP_CLASS_UID), "1.2.840.10008.1.20.1");
        assert_eq!(response.text(element::AFFECTED_SOP_INSTANCE_UID), "1.2.840.10008.1.20.1.1");
        assert_eq!(response.u16(element::ACTION_TYPE_ID), Ok(Some(1)));
        assert_eq!(response.get(element::REQUESTED_SOP_INSTANCE_UID), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let whole = store_request().encode();
        assert_eq!(CommandSet::parse(Bytes::copy_from_slice(&whole[..whole.len() - 1])), Err(CommandError::Truncated));
        assert_eq!(
            CommandSet::parse(Bytes::from_static(&[8, 0, 5, 0, 0, 0, 0, 0])),
            Err(CommandError::ForeignGroup(8))
        );
        assert_eq!(
            CommandSet::parse(Bytes::from_static(&[0, 0, 2, 0, 0xff, 0xff, 0xff, 0xff])),
            Err(CommandError::Truncated)
        );
        let long = CommandSet::default().with(element::MESSAGE_ID, Bytes::from_static(&[1, 0, 0, 0]));
        assert_eq!(long.message_id(), Err(CommandError::WrongLength(element::MESSAGE_ID)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = CommandSet::parse(bytes.into()) {
                let again = CommandSet::parse(read.encode().into());
                prop_assert!(again.is_ok());
                let _ = (read.command_field(), read.sop_class(), read.text(element::ERROR_COMMENT), read.response(Status::SUCCESS));
            }
        }
    }
}
