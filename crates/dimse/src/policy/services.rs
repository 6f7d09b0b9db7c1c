//! Storage with configurable preferences, and the services that the node offers beside it.

use dicom_dictionary_std::uids;
use dokuei_domain::{SopClassUid, TransferSyntaxUid};

use super::{ContextPolicy, ContextRejection, Roles, StoragePolicy};

/// A SOP class that is accepted for a service of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedService {
    sop_class: String,
    peer_roles: Roles,
    transfer_syntaxes: Vec<TransferSyntaxUid>,
    extended: Vec<u8>,
}

impl OfferedService {
    /// Peers use it and we provide it, in implicit or explicit VR little endian, as the peer prefers.
    pub fn new(sop_class: impl Into<String>) -> Self {
        Self {
            sop_class: sop_class.into(),
            peer_roles: Roles::USER,
            transfer_syntaxes: Vec::new(),
            extended: Vec::new(),
        }
    }

    /// What a peer may be. With `scp` it may send us events on an association that it opens, such as the result of a storage commitment.
    #[must_use]
    pub fn peer_may_be(mut self, roles: Roles) -> Self {
        self.peer_roles = roles;
        self
    }

    /// Other transfer syntaxes, in our order of preference, which then wins over the peer's.
    #[must_use]
    pub fn in_transfer_syntaxes(mut self, order: Vec<TransferSyntaxUid>) -> Self {
        self.transfer_syntaxes = order;
        self
    }

    /// Answers a SOP class extended negotiation with these bytes, as many as were proposed.
    #[must_use]
    pub fn answering_extended(mut self, information: Vec<u8>) -> Self {
        self.extended = information;
        self
    }
}

/// [`StoragePolicy`], and a list of services. Transfer syntaxes of stored objects can be given an order, for one SOP class or for all.
#[derive(Clone, Debug, Default)]
pub struct ServicePolicy {
    services: Vec<OfferedService>,
    preferences: Vec<(SopClassUid, Vec<TransferSyntaxUid>)>,
    default_preference: Vec<TransferSyntaxUid>,
}

impl ServicePolicy {
    pub fn new(services: Vec<OfferedService>) -> Self {
        Self { services, ..Self::default() }
    }

    /// Of the transfer syntaxes that a requestor offers for this storage SOP class, the first of this list is taken, even a lossy one; when it has none of them,
    /// the requestor's first lossless one as ever.
    #[must_use]
    pub fn prefer_for(mut self, sop_class: SopClassUid, order: Vec<TransferSyntaxUid>) -> Self {
        self.preferences.push((sop_class, order));
        self
    }

    /// As [`prefer_for`](Self::prefer_for), for every storage SOP class that has no list of its own.
    #[must_use]
    pub fn prefer(mut self, order: Vec<TransferSyntaxUid>) -> Self {
        self.default_preference = order;
        self
    }

    fn service(&self, abstract_syntax: &SopClassUid) -> Option<&OfferedService> {
        self.services.iter().find(|service| service.sop_class == abstract_syntax.as_str())
    }
}

impl ContextPolicy for ServicePolicy {
    fn negotiate(
        &self,
        abstract_syntax: &SopClassUid,
        offered: &[TransferSyntaxUid],
    ) -> Result<TransferSyntaxUid, ContextRejection> {
        let first_of = |order: &[TransferSyntaxUid]| order.iter().find(|ts| offered.contains(ts)).cloned();
        if let Some(service) = self.service(abstract_syntax) {
            let chosen = if service.transfer_syntaxes.is_empty() {
                offered.iter().find(|ts| is_uncompressed_little_endian(ts)).cloned()
            } else {
                first_of(&service.transfer_syntaxes)
            };
            return chosen.ok_or(ContextRejection::TransferSyntaxesNotSupported);
        }
        let own = self.preferences.iter().find(|(sop_class, _)| sop_class == abstract_syntax).map(|(_, order)| order);
        let preferred = first_of(own.unwrap_or(&self.default_preference));
        match preferred.filter(|_| StoragePolicy.stores(abstract_syntax)) {
            Some(chosen) => Ok(chosen),
            None => StoragePolicy.negotiate(abstract_syntax, offered),
        }
    }

    fn stores(&self, abstract_syntax: &SopClassUid) -> bool {
        self.service(abstract_syntax).is_none() && StoragePolicy.stores(abstract_syntax)
    }

    fn roles(&self, abstract_syntax: &SopClassUid, proposed: Roles) -> Roles {
        match self.service(abstract_syntax) {
            Some(OfferedService { peer_roles, .. }) => {
                Roles { scu: peer_roles.scu && proposed.scu, scp: peer_roles.scp && proposed.scp }
            }
            None => StoragePolicy.roles(abstract_syntax, proposed),
        }
    }

    fn extended(&self, abstract_syntax: &SopClassUid, proposed: &[u8]) -> Option<Vec<u8>> {
        match self.service(abstract_syntax) {
            Some(service) => {
                let answer: Vec<u8> = service.extended.iter().copied().take(proposed.len()).collect();
                (!answer.is_empty()).then_some(answer)
            }
            None => StoragePolicy.extended(abstract_syntax, proposed),
        }
    }
}

/// What every command's data set may be in.
pub(super) fn is_uncompressed_little_endian(transfer_syntax: &TransferSyntaxUid) -> bool {
    matches!(transfer_syntax.as_str(), uids::IMPLICIT_VR_LITTLE_ENDIAN | uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
    const COMMITMENT: &str = "1.2.840.10008.1.20.1";
    const MPPS: &str = "1.2.840.10008.3.1.2.3.3";
    const PRIVATE: &str = "1.3.12.2.1107.5.9.1";
    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
    const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
    const GE_PRIVATE: &str = "1.2.840.113619.5.2";

    fn class(uid: &str) -> SopClassUid {
        SopClassUid::parse(uid).unwrap()
    }

    fn syntaxes(uids: &[&str]) -> Vec<TransferSyntaxUid> {
        uids.iter().map(|uid| TransferSyntaxUid::parse(uid).unwrap()).collect()
    }

    fn policy() -> ServicePolicy {
        ServicePolicy::new(vec![
            OfferedService::new(COMMITMENT).peer_may_be(Roles::BOTH),
            OfferedService::new(MPPS).in_transfer_syntaxes(syntaxes(&[EXPLICIT, IMPLICIT])).answering_extended(vec![1]),
        ])
        .prefer_for(class(MR), syntaxes(&[JPEG_BASELINE]))
        .prefer(syntaxes(&[JPEG_LOSSLESS, EXPLICIT]))
    }

    fn check(abstract_syntax: &str, offered: &[&str], expected: Result<&str, ContextRejection>) {
        let chosen = policy().negotiate(&class(abstract_syntax), &syntaxes(offered));
        let chosen = chosen.as_ref().map(TransferSyntaxUid::as_str);
        assert_eq!(chosen, expected.as_ref().copied(), "{abstract_syntax} {offered:?}");
    }

    #[test]
    fn each_class_has_its_preference_and_falls_back_to_the_requestors() {
        check(CT, &[IMPLICIT, EXPLICIT, JPEG_LOSSLESS], Ok(JPEG_LOSSLESS));
        check(CT, &[IMPLICIT, EXPLICIT], Ok(EXPLICIT));
        check(CT, &[JPEG_BASELINE, GE_PRIVATE, IMPLICIT], Ok(GE_PRIVATE));
        check(CT, &[JPEG_BASELINE], Ok(JPEG_BASELINE));
        check(MR, &[EXPLICIT, JPEG_LOSSLESS, JPEG_BASELINE], Ok(JPEG_BASELINE));
        check(MR, &[IMPLICIT, JPEG_LOSSLESS], Ok(IMPLICIT));
        check(PRIVATE, &[GE_PRIVATE], Ok(GE_PRIVATE));
    }

    #[test]
    fn services_speak_what_they_are_told_to_and_store_nothing() {
        check(COMMITMENT, &[JPEG_LOSSLESS, IMPLICIT, EXPLICIT], Ok(IMPLICIT));
        check(COMMITMENT, &[JPEG_LOSSLESS], Err(ContextRejection::TransferSyntaxesNotSupported));
        check(MPPS, &[IMPLICIT, EXPLICIT], Ok(EXPLICIT));
        check("1.2.840.10008.5.1.4.31", &[EXPLICIT], Err(ContextRejection::AbstractSyntaxNotSupported));
        assert!(
            !policy().stores(&class(COMMITMENT)) && policy().stores(&class(CT)) && policy().stores(&class(PRIVATE))
        );
    }

    #[test]
    fn roles_and_extensions_are_granted_as_far_as_they_are_asked_and_offered() {
        let (both, user, provider) = (Roles::BOTH, Roles::USER, Roles::PROVIDER);
        for (uid, proposed, granted) in [
            (COMMITMENT, both, both),
            (COMMITMENT, provider, provider),
            (COMMITMENT, user, user),
            (MPPS, both, user),
            (MPPS, provider, Roles { scu: false, scp: false }),
            (CT, both, user),
        ] {
            assert_eq!(policy().roles(&class(uid), proposed), granted, "{uid} {proposed:?}");
        }
        assert_eq!(policy().extended(&class(MPPS), &[1, 1]), Some(vec![1]));
        assert_eq!(policy().extended(&class(MPPS), &[]), None);
        assert_eq!(policy().extended(&class(COMMITMENT), &[1, 1]), None);
        assert_eq!(policy().extended(&class(CT), &[2, 0, 0, 0, 0, 0]), Some(vec![2, 0, 3, 0, 0, 0]));
    }
}
