//! Which presentation contexts an acceptor accepts, and with which transfer syntax.

mod services;

use dicom_dictionary_std::uids;
use dokuei_domain::{SopClassUid, TransferSyntaxUid};

pub use services::{OfferedService, ServicePolicy};

/// Why a presentation context is not accepted: the Result/Reason field of PS3.8 Table 9-18.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ContextRejection {
    #[error("rejected by the peer's application")]
    UserRejection,
    #[error("rejected without a reason")]
    NoReason,
    #[error("abstract syntax not supported")]
    AbstractSyntaxNotSupported,
    #[error("transfer syntaxes not supported")]
    TransferSyntaxesNotSupported,
}

/// The roles a requestor takes for one SOP class (PS3.7 D.3.3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Roles {
    pub scu: bool,
    pub scp: bool,
}

impl Roles {
    /// What a requestor is that says nothing.
    pub const USER: Self = Self { scu: true, scp: false };
    pub const PROVIDER: Self = Self { scu: false, scp: true };
    pub const BOTH: Self = Self { scu: true, scp: true };
}

/// Decides about presentation contexts, one at a time. A SOP class that is refused as unknown but comes with a common extended negotiation (PS3.7 D.3.3.6) is
/// judged again as each of the general SOP classes that it claims to specialise.
pub trait ContextPolicy: Send + Sync + 'static {
    /// Chooses one of the offered transfer syntaxes, in the requestor's order, or refuses the context.
    fn negotiate(
        &self,
        abstract_syntax: &SopClassUid,
        offered: &[TransferSyntaxUid],
    ) -> Result<TransferSyntaxUid, ContextRejection>;

    /// Whether a C-STORE makes sense on a context of this SOP class.
    fn stores(&self, abstract_syntax: &SopClassUid) -> bool {
        is_storage(abstract_syntax)
    }

    /// Answers a role selection for an accepted SOP class. Nothing is granted that was not proposed; unless overridden the requestor is SCU only. A requestor
    /// that selects no role has what would be granted if it proposed both: there are providers that send their events without a word about roles.
    fn roles(&self, _abstract_syntax: &SopClassUid, proposed: Roles) -> Roles {
        Roles { scu: proposed.scu, scp: false }
    }

    /// Answers a SOP class extended negotiation (PS3.7 D.3.3.5) with the service-class-application-information; `None` answers nothing.
    fn extended(&self, _abstract_syntax: &SopClassUid, _proposed: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Verification, and everything that can be stored with any transfer syntax: standard, retired and private, because bytes are kept as they come.
///
/// Of several transfer syntaxes in one context the requestor's first lossless one is taken: a sender that holds the original must not be asked
/// to compress it away. Only when all are lossy (the original is) or unresolvable is the requestor's first taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoragePolicy;

impl ContextPolicy for StoragePolicy {
    fn negotiate(
        &self,
        abstract_syntax: &SopClassUid,
        offered: &[TransferSyntaxUid],
    ) -> Result<TransferSyntaxUid, ContextRejection> {
        if abstract_syntax.as_str() == uids::VERIFICATION {
            let mut uncompressed = offered.iter().filter(|ts| services::is_uncompressed_little_endian(ts));
            return uncompressed.next().cloned().ok_or(ContextRejection::TransferSyntaxesNotSupported);
        }
        if !is_storage(abstract_syntax) {
            return Err(ContextRejection::AbstractSyntaxNotSupported);
        }
        let lossless = offered.iter().find(|ts| !may_lose_pixels(ts));
        lossless.or(offered.first()).cloned().ok_or(ContextRejection::TransferSyntaxesNotSupported)
    }

    /// Storage (PS3.4 B.3.1): level 2, all attributes are kept; signature level 3, bits are kept, so that signatures stay valid; nothing is coerced.
    fn extended(&self, abstract_syntax: &SopClassUid, _proposed: &[u8]) -> Option<Vec<u8>> {
        is_storage(abstract_syntax).then(|| vec![2, 0, 3, 0, 0, 0])
    }
}

/// Whether objects of this SOP class are stored. DICOM's own services are told from its storage classes by their UIDs; a UID outside of DICOM's root
/// is taken for a private storage class.
pub fn is_storage(abstract_syntax: &SopClassUid) -> bool {
    const DICOM: &str = "1.2.840.10008.";
    const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
    /// Under the storage prefix, but query, retrieve and management services.
    const NOT_STORAGE: [&str; 9] = [
        uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_FIND,
        uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_MOVE,
        uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_GET,
        uids::STORAGE_MANAGEMENT_INSTANCE,
        uids::INVENTORY_FIND,
        uids::INVENTORY_MOVE,
        uids::INVENTORY_GET,
        uids::INVENTORY_CREATION,
        uids::REPOSITORY_QUERY,
    ];
    /// Elsewhere, but stored.
    const ALSO_STORAGE: [&str; 11] = [
        uids::RT_BEAMS_DELIVERY_INSTRUCTION_STORAGE,
        "1.2.840.10008.5.1.4.34.1", // RT Beams Delivery Instruction (trial), retired
        uids::RT_BRACHY_APPLICATION_SETUP_DELIVERY_INSTRUCTION_STORAGE,
        uids::HANGING_PROTOCOL_STORAGE,
        uids::COLOR_PALETTE_STORAGE,
        uids::GENERIC_IMPLANT_TEMPLATE_STORAGE,
        uids::IMPLANT_ASSEMBLY_TEMPLATE_STORAGE,
        uids::IMPLANT_TEMPLATE_GROUP_STORAGE,
        "1.2.840.10008.5.1.1.27", // Stored Print, retired
        "1.2.840.10008.5.1.1.29", // Hardcopy Grayscale Image, retired
        "1.2.840.10008.5.1.1.30", // Hardcopy Color Image, retired
    ];
    let uid = abstract_syntax.as_str();
    if uid.starts_with(DICOM) {
        (uid.starts_with(STORAGE) && !NOT_STORAGE.contains(&uid)) || ALSO_STORAGE.contains(&uid)
    } else {
        true
    }
}

/// Whether choosing this transfer syntax could cost pixel values: lossy compression, syntaxes that allow it, and JPIP, which leaves the pixels with
/// the sender. Unknown and private syntaxes are taken for lossless.
pub fn may_lose_pixels(transfer_syntax: &TransferSyntaxUid) -> bool {
    const COMPRESSED: &str = "1.2.840.10008.1.2.4.";
    let Some(kind) = transfer_syntax.as_str().strip_prefix(COMPRESSED) else {
        return false;
    };
    let number: u16 = match kind.split('.').next().map(str::parse) {
        Some(Ok(number)) => number,
        _ => return false,
    };
    match number {
        50..=56 | 59..=64 => true,   // JPEG baseline, extended, spectral selection, full progression
        81 => true,                  // JPEG-LS near-lossless
        91 | 93 => true,             // JPEG 2000
        94 | 95 | 204 | 205 => true, // JPIP: pixels by reference
        100..=108 => true,           // MPEG-2, MPEG-4, HEVC
        112 => true,                 // JPEG XL
        203 => true,                 // HTJ2K
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";

    fn check(abstract_syntax: &str, offered: &[&str], expected: Result<&str, ContextRejection>) {
        let abstract_syntax = SopClassUid::parse(abstract_syntax).unwrap();
        let offered: Vec<_> = offered.iter().map(|ts| TransferSyntaxUid::parse(ts).unwrap()).collect();
        let chosen = StoragePolicy.negotiate(&abstract_syntax, &offered);
        assert_eq!(
            chosen.as_ref().map(TransferSyntaxUid::as_str),
            expected.as_ref().copied(),
            "{abstract_syntax} {offered:?}"
        );
    }

    #[test]
    fn no_lossy_transfer_syntax_is_chosen_beside_a_lossless_one() {
        let lossy = [
            "50", "51", "52", "53", "54", "55", "56", "59", "60", "61", "62", "63", "64", "81", "91", "93", "94", "95",
            "100", "100.1", "101", "101.1", "102", "102.1", "103", "103.1", "104", "104.1", "105", "105.1", "106",
            "106.1", "107", "108", "112", "203", "204", "205",
        ];
        let lossless = ["57", "58", "65", "66", "70", "80", "90", "92", "110", "111", "201", "202"];
        for bad in lossy.map(|kind| format!("1.2.840.10008.1.2.4.{kind}")) {
            check(CT, &[&bad, EXPLICIT], Ok(EXPLICIT));
            check(CT, &[&bad], Ok(&bad));
            for good in lossless.map(|kind| format!("1.2.840.10008.1.2.4.{kind}")) {
                check(CT, &[&bad, &good], Ok(&good));
            }
        }
    }

    #[test]
    fn otherwise_the_requestor_chooses() {
        check(CT, &[EXPLICIT, IMPLICIT], Ok(EXPLICIT));
        check(CT, &[IMPLICIT, EXPLICIT], Ok(IMPLICIT));
        check(CT, &["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"], Ok("1.2.840.10008.1.2.4.50"));
        check(CT, &["1.2.840.10008.1.2.5", EXPLICIT], Ok("1.2.840.10008.1.2.5"));
        check(CT, &["1.2.840.113619.5.2"], Ok("1.2.840.113619.5.2"));
        check(CT, &["1.2.840.10008.1.2.1.99"], Ok("1.2.840.10008.1.2.1.99"));
        check(CT, &[], Err(ContextRejection::TransferSyntaxesNotSupported));
    }

    #[test]
    fn everything_storable_is_accepted_and_no_other_service() {
        for storage in [
            CT,
            "1.2.840.10008.5.1.4.1.1.5",     // retired NM
            "1.2.840.10008.5.1.4.1.1.88.11", // Basic Text SR
            "1.2.840.10008.5.1.4.1.1.104.1", // Encapsulated PDF
            "1.2.840.10008.5.1.4.1.1.999.7", // of a later edition
            "1.2.840.10008.5.1.4.34.7",      // RT Beams Delivery Instruction
            "1.2.840.10008.5.1.1.30",        // retired hardcopy
            "1.3.12.2.1107.5.9.1",           // Siemens CSA Non-Image
            "1.2.840.113619.4.30",           // GE private
        ] {
            check(storage, &[EXPLICIT], Ok(EXPLICIT));
        }
        for service in [
            "1.2.840.10008.1.3.10",          // DICOMDIR
            "1.2.840.10008.1.20.1",          // storage commitment
            "1.2.840.10008.3.1.2.3.3",       // MPPS
            "1.2.840.10008.5.1.1.9",         // print management
            "1.2.840.10008.5.1.4.1.2.2.1",   // Study Root FIND
            "1.2.840.10008.5.1.4.31",        // modality worklist
            "1.2.840.10008.5.1.4.33",        // IAN
            "1.2.840.10008.5.1.4.34.6.1",    // UPS Push
            "1.2.840.10008.5.1.4.1.1.200.4", // Protocol Approval FIND
            "1.2.840.10008.5.1.4.1.1.201.2", // Inventory FIND
            "1.2.840.10008.3.1.1.1",         // the application context
        ] {
            check(service, &[EXPLICIT], Err(ContextRejection::AbstractSyntaxNotSupported));
        }
    }

    #[test]
    fn verification_speaks_the_two_uncompressed_syntaxes() {
        check("1.2.840.10008.1.1", &["1.2.840.10008.1.2.2", EXPLICIT, IMPLICIT], Ok(EXPLICIT));
        check("1.2.840.10008.1.1", &["1.2.840.10008.1.2.4.50"], Err(ContextRejection::TransferSyntaxesNotSupported));
    }
}
