//! Who may associate: calling AE title and address map to one facility.

use std::sync::Arc;

use dokuei_access::{Access, PeerRefusal};
use dokuei_dimse::{Admission, AssociationRequest, Decision, Rejection};
use dokuei_ingest::{Ingest, Origin};

/// An admitted peer.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) origin: Origin,
}

pub(crate) struct FacilityAdmission {
    pub(crate) access: Arc<Access>,
    pub(crate) ingest: Arc<Ingest>,
}

impl Admission for FacilityAdmission {
    type Session = Session;

    async fn admit(&self, request: &AssociationRequest) -> Decision<Session> {
        let address = request.peer.ip();
        match self.access.admit_peer(&request.calling, &request.called, address).await {
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
                let who = format!("{}@{address}", request.calling);
                self.ingest.record_refused_association(&who, &refusal.to_string()).await;
                Decision::Reject(rejection)
            }
        }
    }
}

fn rejection_of(refusal: &PeerRefusal) -> Rejection {
    match refusal {
        PeerRefusal::CallingNotRecognized => Rejection::CALLING_AE_NOT_RECOGNIZED,
        PeerRefusal::CalledNotRecognized => Rejection::CALLED_AE_NOT_RECOGNIZED,
        PeerRefusal::Unavailable => Rejection::TEMPORARY_CONGESTION,
    }
}
