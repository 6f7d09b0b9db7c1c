//! Who may associate: certificate, calling AE title and address map to one facility.

use std::sync::Arc;

use dokuei_access::{Access, CertificateFingerprint, PeerRefusal};
use dokuei_dimse::{Admission, AssociationRequest, Decision, Rejection};
use dokuei_ingest::{Origin, SpaceWatch};

use crate::refusals::{Refusal, Refusals};

/// An admitted peer.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) origin: Origin,
}

pub(crate) struct FacilityAdmission {
    pub(crate) access: Arc<Access>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) space: SpaceWatch,
}

impl Admission for FacilityAdmission {
    type Session = Session;

    async fn admit(&self, request: &AssociationRequest) -> Decision<Session> {
        let address = request.peer.ip();
        let certificate = request.certificate.as_ref();
        let fingerprint = certificate.map(|certificate| CertificateFingerprint(certificate.sha256));
        match self.access.admit_peer(&request.calling, &request.called, address, fingerprint.as_ref()).await {
            // Refused before it sends what would be refused one by one; who only asks or retrieves is welcome.
            Ok(peer) if request.wants_storage && self.space.is_low().await => {
                let refused = Refusal {
                    calling: request.calling.to_string(),
                    address: Some(address.to_canonical()),
                    facility: Some(peer.facility.facility),
                    reason: "short of space; the sender was told to try again later".to_owned(),
                };
                self.refusals.record(refused).await;
                Decision::Reject(Rejection::TEMPORARY_CONGESTION)
            }
            Ok(peer) => Decision::Accept(Session {
                origin: Origin {
                    opens_case: peer.role.opens_case(),
                    facility: peer.facility,
                    calling: request.calling.clone(),
                    called: request.called.clone(),
                    address,
                    association: request.id,
                },
            }),
            Err(refusal) => {
                let rejection = rejection_of(&refusal);
                let shown = certificate.map(|certificate| format!(" (certificate of {})", certificate.subject));
                let refused = Refusal {
                    calling: request.calling.to_string(),
                    address: Some(address.to_canonical()),
                    facility: refusal.facility().cloned(),
                    reason: format!("{refusal}{}", shown.unwrap_or_default()),
                };
                self.refusals.record(refused).await;
                Decision::Reject(rejection)
            }
        }
    }
}

/// What a stranger learns: that its title is not known here, whatever it was.
fn rejection_of(refusal: &PeerRefusal) -> Rejection {
    match refusal {
        PeerRefusal::CallingNotRecognized
        | PeerRefusal::CertificateNotRegistered(_)
        | PeerRefusal::CertificateOfAnother { .. }
        | PeerRefusal::CertificateOfAnotherTitle { .. }
        | PeerRefusal::CertificateMissing(_) => Rejection::CALLING_AE_NOT_RECOGNIZED,
        PeerRefusal::CalledNotRecognized => Rejection::CALLED_AE_NOT_RECOGNIZED,
        PeerRefusal::Unavailable => Rejection::TEMPORARY_CONGESTION,
    }
}
