//! Who may associate. Over TLS the certificate gives the facility and the calling AE title must be one of its own; without, calling AE title and address
//! give one facility.

use std::net::IpAddr;

use dokuei_database::{PeerRole, PeerRow, ReadTx};
use dokuei_domain::{AeTitle, FacilityId, patient::FacilityIssuer};

use crate::{Access, AccessError, CertificateFingerprint, facilities::issuer_of};

/// A peer that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAdmission {
    pub facility: FacilityIssuer,
    pub calling: AeTitle,
    pub role: PeerRole,
}

/// Why a peer was not let in, in the terms of A-ASSOCIATE-RJ (PS3.8 9.3.4). What a stranger is told is less: all but two are reason 3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Result 1 (permanent), source 1 (service user), reason 3.
    #[error("calling AE title and address belong to no facility")]
    CallingNotRecognized,
    /// Result 1 (permanent), source 1 (service user), reason 7.
    #[error("called AE title is not this node's")]
    CalledNotRecognized,
    /// Result 1, source 1, reason 3: an authority vouches for the certificate, and no facility has it.
    #[error("certificate {0} is registered for no facility; `dokuei facility edit --add-certificate` registers it")]
    CertificateNotRegistered(CertificateFingerprint),
    /// Result 1, source 1, reason 3.
    #[error("certificate belongs to facility {certificate_of}, and the calling AE title at this address to {}", named(calling_of.as_ref()))]
    CertificateOfAnother { certificate_of: FacilityId, calling_of: Option<FacilityId> },
    /// Result 1, source 1, reason 3.
    #[error("certificate of facility {facility} is for calling AE title {calling} only")]
    CertificateOfAnotherTitle { facility: FacilityId, calling: AeTitle },
    /// Result 1, source 1, reason 3.
    #[error(
        "facility {0} has certificates and must show one; `dokuei facility edit --allow-plain` lets it come without"
    )]
    CertificateMissing(FacilityId),
    /// Result 2 (transient), source 3 (service provider, presentation), reason 1 (temporary congestion): the database does not answer.
    #[error("the node cannot look up its peers now")]
    Unavailable,
}

impl PeerRefusal {
    /// Whom it concerns, as far as something proves it or the refused claim names it.
    pub fn facility(&self) -> Option<&FacilityId> {
        match self {
            Self::CertificateOfAnother { certificate_of: facility, .. }
            | Self::CertificateOfAnotherTitle { facility, .. }
            | Self::CertificateMissing(facility) => Some(facility),
            Self::CallingNotRecognized
            | Self::CalledNotRecognized
            | Self::CertificateNotRegistered(_)
            | Self::Unavailable => None,
        }
    }
}

fn named(facility: Option<&FacilityId>) -> String {
    facility.map_or_else(|| "none".to_owned(), |facility| format!("facility {facility}"))
}

/// What went wrong while looking, or what was found out.
enum Stopped {
    Refused(PeerRefusal),
    Failed(AccessError),
}

impl<E: Into<AccessError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Access {
    /// Finds the facility for which a peer may associate. An entry with the peer's address wins over one without. `certificate` is that of the peer whose key
    /// and chain TLS has verified. The caller audits the answer: it knows the association.
    pub async fn admit_peer(
        &self,
        calling: &AeTitle,
        called: &AeTitle,
        address: IpAddr,
        certificate: Option<&CertificateFingerprint>,
    ) -> Result<PeerAdmission, PeerRefusal> {
        if *called != self.settings.called_aet {
            return Err(PeerRefusal::CalledNotRecognized);
        }
        match self.find_peer(calling, address, certificate).await {
            Ok(admission) => Ok(admission),
            Err(Stopped::Refused(refusal)) => Err(refusal),
            Err(Stopped::Failed(error)) => {
                let cause = match &error {
                    AccessError::Database(database) => database.chain(),
                    other => other.to_string(),
                };
                tracing::error!(peer.calling = %calling, peer.address = %address, error = cause, "cannot look up a peer");
                Err(PeerRefusal::Unavailable)
            }
        }
    }

    async fn find_peer(
        &self,
        calling: &AeTitle,
        address: IpAddr,
        certificate: Option<&CertificateFingerprint>,
    ) -> Result<PeerAdmission, Stopped> {
        let mut read = self.db.read().await?;
        let entries = read.peer_by_calling(calling).await?;
        let address = address.to_canonical();
        let entry = match certificate {
            Some(fingerprint) => entry_of_certificate(&mut read, entries, (calling, address), fingerprint).await?,
            None => {
                let entry = choose(&entries, address).ok_or(Stopped::Refused(PeerRefusal::CallingNotRecognized))?;
                let transport = read.facility_transport(&entry.facility).await?;
                if transport.is_some_and(|transport| transport.has_certificates && !transport.plain_allowed) {
                    return Err(Stopped::Refused(PeerRefusal::CertificateMissing(entry.facility.clone())));
                }
                entry.clone()
            }
        };
        let facility = issuer_of(&mut read, &entry.facility).await?;
        let facility = facility.ok_or(Stopped::Refused(PeerRefusal::CallingNotRecognized))?;
        Ok(PeerAdmission { facility, calling: entry.calling, role: entry.role })
    }
}

/// The certificate decides the facility; the title and address must be one of that facility's entries.
async fn entry_of_certificate(
    read: &mut ReadTx,
    entries: Vec<PeerRow>,
    (calling, address): (&AeTitle, IpAddr),
    fingerprint: &CertificateFingerprint,
) -> Result<PeerRow, Stopped> {
    let refused = |refusal| Err(Stopped::Refused(refusal));
    let Some(certificate) = read.peer_certificate_find(&fingerprint.0).await? else {
        return refused(PeerRefusal::CertificateNotRegistered(*fingerprint));
    };
    let own: Vec<PeerRow> = entries.iter().filter(|entry| entry.facility == certificate.facility).cloned().collect();
    let Some(entry) = choose(&own, address) else {
        let calling_of = choose(&entries, address).map(|entry| entry.facility.clone());
        return refused(PeerRefusal::CertificateOfAnother { certificate_of: certificate.facility, calling_of });
    };
    match certificate.calling {
        Some(only) if only != *calling => {
            refused(PeerRefusal::CertificateOfAnotherTitle { facility: certificate.facility, calling: only })
        }
        _ => Ok(entry.clone()),
    }
}

/// The entry for this very address, else the one for any.
fn choose(entries: &[PeerRow], address: IpAddr) -> Option<&PeerRow> {
    let is_from = |entry: &&PeerRow| {
        entry.address.as_deref().and_then(|text| text.parse::<IpAddr>().ok()).is_some_and(|own| own == address)
    };
    entries.iter().find(is_from).or_else(|| entries.iter().find(|entry| entry.address.is_none()))
}
