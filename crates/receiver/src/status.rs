//! What a sender is told: one table (PS3.4 B.2.3, PS3.7 C).

use dokuei_dimse::Status;
use dokuei_ingest::IngestError;

/// The C-STORE status of a refusal. A7xx asks the sender to try again later, Axxx and Cxxx not to.
pub fn status_of(error: &IngestError) -> Status {
    match error {
        IngestError::OutOfSpace | IngestError::Store(_) | IngestError::Index(_) | IngestError::NotFiled => {
            Status::OUT_OF_RESOURCES
        }
        IngestError::SopClassMismatch => Status::DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        IngestError::NotADataSet(_) => Status::CANNOT_UNDERSTAND,
        IngestError::Unfileable(_) | IngestError::TooLong { .. } => Status(0xC001),
        IngestError::SopInstanceMismatch => Status(0xC002),
        IngestError::TooLarge { .. } => Status(0xC003),
        IngestError::Quarantined(_) => Status::CONFLICTING_DUPLICATE,
        IngestError::Denied => Status::NOT_AUTHORIZED,
        // No object is refused with these: they answer people.
        IngestError::NoSuchStudy
        | IngestError::NotInQuarantine
        | IngestError::AlreadyDecided
        | IngestError::ReasonMissing { .. }
        | IngestError::NotReleasable(_) => Status::NO_SUCH_SOP_INSTANCE,
    }
}

#[cfg(test)]
mod tests {
    use dokuei_ingest::QuarantineReason;

    use super::*;

    #[test]
    fn only_a_lack_of_resources_asks_to_try_again() {
        let table = [
            (IngestError::OutOfSpace, 0xA700),
            (IngestError::NotFiled, 0xA700),
            (IngestError::SopClassMismatch, 0xA900),
            (IngestError::SopInstanceMismatch, 0xC002),
            (IngestError::TooLarge { limit: 1 }, 0xC003),
            (IngestError::Quarantined(QuarantineReason::SameUidOtherContent), 0xC111),
            (IngestError::Denied, 0x0124),
        ];
        for (error, status) in table {
            assert_eq!(status_of(&error), Status(status), "{error}");
        }
    }
}
