//! Storage commitment: the request of N-ACTION and the result of N-EVENT-REPORT (PS3.4 J.3.2, J.3.3).

use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid, Uid};

use super::{
    MOST_REFERENCES, NormalizedError,
    put::Put,
    walk::{Value, Visitor, set, walk},
};
use crate::{
    objects::InstanceReference,
    tag::{self, Tag},
    vr::Vr,
};

/// Action type 1, Request Storage Commitment (PS3.4 Table J.3-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRequest {
    pub transaction: Uid,
    /// At least one, in the order of the request.
    pub references: Vec<InstanceReference>,
}

/// An object that is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedReference {
    pub reference: InstanceReference,
    /// (0008,1197), PS3.3 C.14.1.1.
    pub reason: u16,
}

/// What became of a request (PS3.4 Table J.3-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentResult {
    pub transaction: Uid,
    /// (0008,0054): from where the objects can be retrieved.
    pub retrieve_from: Option<AeTitle>,
    pub committed: Vec<InstanceReference>,
    pub failed: Vec<FailedReference>,
}

impl CommitmentRequest {
    pub fn parse(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, NormalizedError> {
        let Reader { transaction, committed, saw_list, .. } = Reader::read(bytes, transfer_syntax)?;
        let transaction = transaction.ok_or(NormalizedError::Missing(tag::TRANSACTION_UID))?;
        if committed.is_empty() {
            let list = tag::REFERENCED_SOP_SEQUENCE;
            return Err(if saw_list { NormalizedError::Empty(list) } else { NormalizedError::Missing(list) });
        }
        Ok(Self { transaction, references: committed })
    }

    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Vec<u8> {
        let mut put = Put::new(transfer_syntax);
        put.text(tag::TRANSACTION_UID, Vr::UI, self.transaction.as_str());
        put.sequence(tag::REFERENCED_SOP_SEQUENCE, &self.references, put_reference);
        put.into_bytes()
    }
}

impl CommitmentResult {
    /// 1: everything is committed; 2: failures exist.
    pub fn event_type(&self) -> u16 {
        if self.failed.is_empty() { 1 } else { 2 }
    }

    pub fn parse(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, NormalizedError> {
        let Reader { transaction, retrieve_from, committed, failed, .. } = Reader::read(bytes, transfer_syntax)?;
        let transaction = transaction.ok_or(NormalizedError::Missing(tag::TRANSACTION_UID))?;
        if committed.is_empty() && failed.is_empty() {
            return Err(NormalizedError::Missing(tag::REFERENCED_SOP_SEQUENCE));
        }
        Ok(Self { transaction, retrieve_from, committed, failed })
    }

    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Vec<u8> {
        let mut put = Put::new(transfer_syntax);
        if let Some(title) = &self.retrieve_from {
            put.text(tag::RETRIEVE_AE_TITLE, Vr::AE, title.as_str());
        }
        put.text(tag::TRANSACTION_UID, Vr::UI, self.transaction.as_str());
        if !self.failed.is_empty() {
            put.sequence(tag::FAILED_SOP_SEQUENCE, &self.failed, |put, failed| {
                put_reference(put, &failed.reference);
                put.unsigned_short(tag::FAILURE_REASON, failed.reason);
            });
        }
        // Type 1C: only when there are any.
        if !self.committed.is_empty() {
            put.sequence(tag::REFERENCED_SOP_SEQUENCE, &self.committed, put_reference);
        }
        put.into_bytes()
    }
}

fn put_reference(put: &mut Put, reference: &InstanceReference) {
    put.text(tag::REFERENCED_SOP_CLASS_UID, Vr::UI, reference.sop_class.as_str());
    put.text(tag::REFERENCED_SOP_INSTANCE_UID, Vr::UI, reference.sop_instance.as_str());
}

#[derive(Default)]
struct Reader {
    transaction: Option<Uid>,
    retrieve_from: Option<AeTitle>,
    committed: Vec<InstanceReference>,
    failed: Vec<FailedReference>,
    saw_list: bool,
    class: Option<SopClassUid>,
    instance: Option<SopInstanceUid>,
    reason: Option<u16>,
}

impl Reader {
    fn read(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> Result<Self, NormalizedError> {
        let mut reader = Self::default();
        walk(bytes, transfer_syntax, &mut reader)?;
        Ok(reader)
    }
}

impl Visitor for Reader {
    fn wants(&self, path: &[Tag], tag: Tag) -> bool {
        match path {
            [] => matches!(
                tag,
                tag::TRANSACTION_UID | tag::RETRIEVE_AE_TITLE | tag::REFERENCED_SOP_SEQUENCE | tag::FAILED_SOP_SEQUENCE
            ),
            [tag::REFERENCED_SOP_SEQUENCE] => {
                matches!(tag, tag::REFERENCED_SOP_CLASS_UID | tag::REFERENCED_SOP_INSTANCE_UID)
            }
            [tag::FAILED_SOP_SEQUENCE] => {
                matches!(tag, tag::REFERENCED_SOP_CLASS_UID | tag::REFERENCED_SOP_INSTANCE_UID | tag::FAILURE_REASON)
            }
            _ => false,
        }
    }

    fn sequence(&mut self, path: &[Tag], tag: Tag) -> Result<(), NormalizedError> {
        if path.is_empty() && tag == tag::REFERENCED_SOP_SEQUENCE {
            self.saw_list = true;
        }
        Ok(())
    }

    fn value(&mut self, path: &[Tag], tag: Tag, value: Value<'_>) -> Result<(), NormalizedError> {
        match (path, tag) {
            ([], tag::TRANSACTION_UID) => set(&mut self.transaction, tag, value.uid(tag, Uid::parse_padded)?),
            ([], tag::RETRIEVE_AE_TITLE) => {
                // Of use to nobody here when it is wrong.
                self.retrieve_from = value.text(tag)?.and_then(|text| AeTitle::parse(&text).ok());
                Ok(())
            }
            (_, tag::REFERENCED_SOP_CLASS_UID) => set(&mut self.class, tag, value.uid(tag, SopClassUid::parse_padded)?),
            (_, tag::REFERENCED_SOP_INSTANCE_UID) => {
                set(&mut self.instance, tag, value.uid(tag, SopInstanceUid::parse_padded)?)
            }
            (_, tag::FAILURE_REASON) => set(&mut self.reason, tag, value.unsigned_short(tag)?),
            _ => Ok(()),
        }
    }

    fn item_end(&mut self, path: &[Tag]) -> Result<(), NormalizedError> {
        let list = match path {
            [list @ (tag::REFERENCED_SOP_SEQUENCE | tag::FAILED_SOP_SEQUENCE)] => *list,
            _ => return Ok(()),
        };
        if self.committed.len() + self.failed.len() >= MOST_REFERENCES {
            return Err(NormalizedError::TooMany { limit: MOST_REFERENCES });
        }
        let sop_class = self.class.take().ok_or(NormalizedError::Missing(tag::REFERENCED_SOP_CLASS_UID))?;
        let sop_instance = self.instance.take().ok_or(NormalizedError::Missing(tag::REFERENCED_SOP_INSTANCE_UID))?;
        let reference = InstanceReference { sop_class, sop_instance };
        if list == tag::FAILED_SOP_SEQUENCE {
            let reason = self.reason.take().ok_or(NormalizedError::Missing(tag::FAILURE_REASON))?;
            self.failed.push(FailedReference { reference, reason });
        } else {
            self.committed.push(reference);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

    fn both() -> [TransferSyntaxUid; 2] {
        [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN].map(|uid| TransferSyntaxUid::parse(uid).unwrap())
    }

    fn reference(number: usize) -> InstanceReference {
        InstanceReference {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: SopInstanceUid::parse(&format!("1.2.3.{number}")).unwrap(),
        }
    }

    fn request(count: usize) -> CommitmentRequest {
        let references = (0..count).map(reference).collect();
        CommitmentRequest { transaction: Uid::parse("2.25.7").unwrap(), references }
    }

    #[test]
    fn a_request_survives_being_written_and_read() {
        for transfer_syntax in both() {
            for count in [1, 2, 24_000] {
                let request = request(count);
                let bytes = request.encode(&transfer_syntax);
                assert_eq!(CommitmentRequest::parse(&bytes, &transfer_syntax), Ok(request));
            }
        }
    }

    #[test]
    fn a_result_survives_being_written_and_read() {
        for transfer_syntax in both() {
            for (committed, failed) in [(3, 0), (0, 2), (2, 2)] {
                let result = CommitmentResult {
                    transaction: Uid::parse("2.25.7").unwrap(),
                    retrieve_from: Some(AeTitle::parse("DOKUEI").unwrap()),
                    committed: (0..committed).map(reference).collect(),
                    failed: (10..10 + failed)
                        .map(|number| FailedReference { reference: reference(number), reason: 0x0112 })
                        .collect(),
                };
                assert_eq!(result.event_type(), if failed == 0 { 1 } else { 2 });
                let bytes = result.encode(&transfer_syntax);
                assert_eq!(CommitmentResult::parse(&bytes, &transfer_syntax), Ok(result));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_standard() {
        let [explicit, implicit] = both();
        let request = CommitmentRequest {
            transaction: Uid::parse("1.2").unwrap(),
            references: vec![InstanceReference {
                sop_class: SopClassUid::parse("1.3").unwrap(),
                sop_instance: SopInstanceUid::parse("1.4").unwrap(),
            }],
        };
        let expect = [
            &b"\x08\0\x95\x11UI\x04\x001.2\0"[..],
            b"\x08\0\x99\x11SQ\0\0\x20\0\0\0\xfe\xff\x00\xe0\x18\0\0\0",
            b"\x08\0\x50\x11UI\x04\x001.3\0\x08\0\x55\x11UI\x04\x001.4\0",
        ];
        assert_eq!(request.encode(&explicit), expect.concat());
        let expect = [
            &b"\x08\0\x95\x11\x04\0\0\x001.2\0"[..],
            b"\x08\0\x99\x11\x20\0\0\0\xfe\xff\x00\xe0\x18\0\0\0",
            b"\x08\0\x50\x11\x04\0\0\x001.3\0\x08\0\x55\x11\x04\0\0\x001.4\0",
        ];
        assert_eq!(request.encode(&implicit), expect.concat());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let [explicit, _] = both();
        let whole = request(1).encode(&explicit);
        let error = |bytes: &[u8]| CommitmentRequest::parse(bytes, &explicit).unwrap_err();
        assert_eq!(error(&[]), NormalizedError::Missing(tag::TRANSACTION_UID));
        assert_eq!(error(&whole[..14]), NormalizedError::Missing(tag::REFERENCED_SOP_SEQUENCE));
        assert!(matches!(error(&whole[..whole.len() - 1]), NormalizedError::Structure(_)));
        let empty_list = [&whole[..14], b"\x08\0\x99\x11SQ\0\0\0\0\0\0"].concat();
        assert_eq!(error(&empty_list), NormalizedError::Empty(tag::REFERENCED_SOP_SEQUENCE));
        let twice = [&whole[..14], &whole].concat();
        assert_eq!(error(&twice), NormalizedError::Repeated(tag::TRANSACTION_UID));
        let no_uid = [&b"\x08\0\x95\x11UI\x04\0abcd"[..], &whole[14..]].concat();
        assert!(matches!(error(&no_uid), NormalizedError::NotAUid(tag::TRANSACTION_UID, _)));
        let no_class =
            [&whole[..14], b"\x08\0\x99\x11SQ\0\0\x14\0\0\0\xfe\xff\x00\xe0\x0c\0\0\0\x08\0\x55\x11UI\x04\x001.4\0"]
                .concat();
        assert_eq!(error(&no_class), NormalizedError::Missing(tag::REFERENCED_SOP_CLASS_UID));
        let too_many = request(MOST_REFERENCES + 1).encode(&explicit);
        assert_eq!(error(&too_many), NormalizedError::TooMany { limit: MOST_REFERENCES });
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_an_error_or_another_request_and_never_a_panic() {
        for transfer_syntax in both() {
            let whole = request(2).encode(&transfer_syntax);
            for at in 0..whole.len() {
                let _ = CommitmentRequest::parse(&whole[..at], &transfer_syntax);
                for bits in [0x01, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[at] ^= bits;
                    let _ = CommitmentRequest::parse(&changed, &transfer_syntax);
                    let _ = CommitmentResult::parse(&changed, &transfer_syntax);
                }
            }
        }
    }
}
