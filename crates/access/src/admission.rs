//! Who may associate: calling AE title and address give one facility.

use std::net::IpAddr;

use dokuei_database::{PeerRole, PeerRow};
use dokuei_domain::{AeTitle, patient::FacilityIssuer};

use crate::{Access, AccessError, facilities::issuer_of};

/// A peer that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAdmission {
    pub facility: FacilityIssuer,
    pub calling: AeTitle,
    pub role: PeerRole,
}

/// Why a peer was not let in, in the terms of A-ASSOCIATE-RJ (PS3.8 9.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Result 1 (permanent), source 1 (service user), reason 3.
    #[error("calling AE title and address belong to no facility")]
    CallingNotRecognized,
    /// Result 1 (permanent), source 1 (service user), reason 7.
    #[error("called AE title is not this node's")]
    CalledNotRecognized,
    /// Result 2 (transient), source 3 (service provider, presentation), reason 1 (temporary congestion): the database does not answer.
    #[error("the node cannot look up its peers now")]
    Unavailable,
}

impl Access {
    /// Finds the facility for which a peer may associate. An entry with the peer's address wins over one without. The
    /// caller audits the answer: it knows the association.
    pub async fn admit_peer(
        &self,
        calling: &AeTitle,
        called: &AeTitle,
        address: IpAddr,
    ) -> Result<PeerAdmission, PeerRefusal> {
        if *called != self.settings.called_aet {
            return Err(PeerRefusal::CalledNotRecognized);
        }
        match self.find_peer(calling, address).await {
            Ok(found) => found.ok_or(PeerRefusal::CallingNotRecognized),
            Err(error) => {
                let cause = match &error {
                    AccessError::Database(database) => database.chain(),
                    other => other.to_string(),
                };
                tracing::error!(peer.calling = %calling, peer.address = %address, error = cause, "cannot look up a peer");
                Err(PeerRefusal::Unavailable)
            }
        }
    }

    async fn find_peer(&self, calling: &AeTitle, address: IpAddr) -> Result<Option<PeerAdmission>, AccessError> {
        let mut read = self.db.read().await?;
        let entries = read.peer_by_calling(calling).await?;
        let Some(entry) = choose(entries, address.to_canonical()) else { return Ok(None) };
        let facility = issuer_of(&mut read, &entry.facility).await?;
        Ok(facility.map(|facility| PeerAdmission { facility, calling: entry.calling, role: entry.role }))
    }
}

/// The entry for this very address, else the one for any.
fn choose(entries: Vec<PeerRow>, address: IpAddr) -> Option<PeerRow> {
    let (named, any): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.address.is_some());
    let is_from = |entry: &PeerRow| {
        entry.address.as_deref().and_then(|text| text.parse::<IpAddr>().ok()).is_some_and(|own| own == address)
    };
    named.into_iter().find(is_from).or_else(|| any.into_iter().next())
}
