//! Facilities with their peers and return targets, as administrators and the command line keep them.

use dokuei_database::{PeerRow, ReadTx, ReturnTargetRow, WriteTx};
use dokuei_domain::{Actor, FacilityId, Timestamp, patient::FacilityIssuer};

use crate::{
    Access, AccessError, Action, CertificateFingerprint, NewPeerCertificate, PeerCertificate, PeerSpecification,
    Resource, ReturnTarget, access::short_text, address::parse_issuer, rights::can,
};

/// A facility to add.
#[derive(Debug, Clone)]
pub struct NewFacility {
    pub id: FacilityId,
    pub name: String,
    /// The OID under which its patient IDs are filed; it never changes.
    pub issuer: String,
    /// Other texts that its equipment writes into Issuer of Patient ID (0010,0021).
    pub aliases: Vec<String>,
    pub peers: Vec<PeerSpecification>,
    pub return_targets: Vec<ReturnTarget>,
}

/// What may change about a facility. Entries are removed before others are added, so that a peer can change its role in one step.
#[derive(Debug, Clone, Default)]
pub struct FacilityEdit {
    pub name: Option<String>,
    pub remove_aliases: Vec<String>,
    pub add_aliases: Vec<String>,
    /// The role of an entry to remove is not looked at.
    pub remove_peers: Vec<PeerSpecification>,
    pub add_peers: Vec<PeerSpecification>,
    pub remove_return_targets: Vec<ReturnTarget>,
    pub add_return_targets: Vec<ReturnTarget>,
    pub remove_certificates: Vec<CertificateFingerprint>,
    pub add_certificates: Vec<NewPeerCertificate>,
    /// Whether its peers may come without a certificate although it has some.
    pub allow_plain: Option<bool>,
}

/// A facility as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    pub id: FacilityId,
    pub name: String,
    pub issuer: String,
    pub aliases: Vec<String>,
    pub peers: Vec<PeerSpecification>,
    pub return_targets: Vec<ReturnTarget>,
    pub certificates: Vec<PeerCertificate>,
    /// Its peers may come without a certificate although it has some.
    pub plain_allowed: bool,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

impl Access {
    pub async fn facility_add(&self, actor: &Actor, new: NewFacility) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, new.id.as_str()).await?;
        let name = short_text("the facility's name", &new.name)?;
        let issuer = parse_issuer(&new.issuer)?;
        let aliases = checked_aliases(&new.aliases)?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        if let Some(other) = tx.facility_by_issuer(&issuer).await?.filter(|other| other.id != new.id) {
            return Err(AccessError::IssuerTaken(other.id));
        }
        if !tx.facility_insert(&new.id, &name, &issuer, now).await? {
            return Err(AccessError::FacilityExists(new.id));
        }
        for alias in &aliases {
            tx.facility_alias_add(&new.id, alias).await?;
        }
        self.add_peers(&mut tx, &new.id, &new.peers).await?;
        self.add_targets(&mut tx, &new.id, &new.return_targets).await?;
        tx.audit(
            self.success(actor, "facility.add")
                .facility(&new.id)
                .subject(&new.id)
                .detail(describe(&new.peers, &new.return_targets)),
        );
        tx.commit().await?;
        Ok(())
    }

    pub async fn facility_edit(&self, actor: &Actor, id: &FacilityId, edit: FacilityEdit) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, id.as_str()).await?;
        let name = edit.name.as_deref().map(|name| short_text("the facility's name", name)).transpose()?;
        let add_aliases = checked_aliases(&edit.add_aliases)?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        if tx.facility_find(id).await?.is_none() {
            return Err(AccessError::UnknownFacility(id.clone()));
        }
        if let Some(name) = name {
            tx.facility_rename(id, &name).await?;
        }
        for alias in &edit.remove_aliases {
            if !tx.facility_alias_remove(id, alias.trim()).await? {
                return Err(AccessError::NothingToRemove(alias.clone()));
            }
        }
        for alias in &add_aliases {
            tx.facility_alias_add(id, alias).await?;
        }
        for peer in &edit.remove_peers {
            if !tx.peer_remove(id, &peer.calling, peer.address_text().as_deref(), now).await? {
                return Err(AccessError::NothingToRemove(peer.calling.to_string()));
            }
        }
        self.add_peers(&mut tx, id, &edit.add_peers).await?;
        for target in &edit.remove_return_targets {
            if !tx.return_target_remove(id, &target.called, &target.host, target.port, now).await? {
                return Err(AccessError::NothingToRemove(target.to_string()));
            }
        }
        self.add_targets(&mut tx, id, &edit.add_return_targets).await?;
        self.remove_certificates(&mut tx, id, &edit.remove_certificates).await?;
        self.add_certificates(&mut tx, id, &edit.add_certificates).await?;
        if let Some(allowed) = edit.allow_plain {
            tx.facility_allow_plain(id, allowed).await?;
        }
        let removed = describe(&edit.remove_peers, &edit.remove_return_targets);
        let added = describe(&edit.add_peers, &edit.add_return_targets);
        let transport = describe_transport(&edit);
        tx.audit(
            self.success(actor, "facility.edit")
                .facility(id)
                .subject(id)
                .detail(format!("removed [{removed}] added [{added}]{transport}")),
        );
        tx.commit().await?;
        Ok(())
    }

    /// Admits none of its peers from now on. What it has sent stays, and so do its users' accounts.
    pub async fn facility_disable(&self, actor: &Actor, id: &FacilityId) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, id.as_str()).await?;
        let mut tx = self.db.write().await?;
        let changed = tx.facility_disable(id, self.ambient.now()).await?;
        self.facility_switched(tx, actor, id, changed, "facility.disable").await
    }

    pub async fn facility_enable(&self, actor: &Actor, id: &FacilityId) -> Result<(), AccessError> {
        self.require(actor, Action::ManageFacilities, Resource::Node, id.as_str()).await?;
        let mut tx = self.db.write().await?;
        let changed = tx.facility_enable(id).await?;
        self.facility_switched(tx, actor, id, changed, "facility.enable").await
    }

    async fn facility_switched(
        &self,
        mut tx: WriteTx,
        actor: &Actor,
        id: &FacilityId,
        changed: bool,
        action: &'static str,
    ) -> Result<(), AccessError> {
        if !changed && tx.facility_find(id).await?.is_none() {
            return Err(AccessError::UnknownFacility(id.clone()));
        }
        if changed {
            tx.audit(self.success(actor, action).facility(id).subject(id));
            tx.commit().await?;
        }
        Ok(())
    }

    /// The facilities that the actor may know of: all for administrators and the office, disabled ones too; a facility's users see their own.
    pub async fn facility_list(&self, actor: &Actor) -> Result<Vec<Facility>, AccessError> {
        let mut read = self.db.read().await?;
        let rows = if let Some(own) = actor.facility() {
            read.facility_find(own).await?.into_iter().collect()
        } else {
            if can(actor, Action::ViewOffice, Resource::Node).is_err() {
                self.require(actor, Action::ManageFacilities, Resource::Node, "facilities").await?;
            }
            read.facility_list().await?
        };
        let mut facilities = Vec::new();
        for row in rows {
            let transport = read.facility_transport(&row.id).await?;
            facilities.push(Facility {
                certificates: read.peer_certificate_list(&row.id).await?.into_iter().map(Into::into).collect(),
                plain_allowed: transport.is_some_and(|transport| transport.plain_allowed),
                aliases: read.facility_aliases(&row.id).await?,
                peers: read.peer_list(&row.id).await?.into_iter().map(specification).collect(),
                return_targets: read.return_target_list(&row.id).await?.into_iter().map(target).collect(),
                id: row.id,
                name: row.name,
                issuer: row.issuer,
                created_at: row.created_at,
                disabled_at: row.disabled_at,
            });
        }
        Ok(facilities)
    }

    /// What a facility calls itself as an issuer of patient IDs; for imports and for rebuilding the index. `None`: there is no such facility.
    pub async fn facility_issuer(&self, id: &FacilityId) -> Result<Option<FacilityIssuer>, AccessError> {
        let mut read = self.db.read().await?;
        issuer_of(&mut read, id).await
    }

    async fn add_peers(
        &self,
        tx: &mut WriteTx,
        facility: &FacilityId,
        peers: &[PeerSpecification],
    ) -> Result<(), AccessError> {
        let now = self.ambient.now();
        for peer in peers {
            let address = peer.address_text();
            let id = self.ambient.new_uuid();
            if !tx.peer_add(id, facility, &peer.calling, address.as_deref(), peer.role, now).await? {
                let holder = tx.peer_holder(&peer.calling, address.as_deref()).await?;
                let facility = holder.map_or_else(|| facility.clone(), |holder| holder.facility);
                return Err(AccessError::PeerTaken { calling: peer.calling.clone(), address, facility });
            }
        }
        Ok(())
    }

    async fn add_targets(
        &self,
        tx: &mut WriteTx,
        facility: &FacilityId,
        targets: &[ReturnTarget],
    ) -> Result<(), AccessError> {
        let now = self.ambient.now();
        for target in targets {
            tx.return_target_add(self.ambient.new_uuid(), facility, &target.called, &target.host, target.port, now)
                .await?;
            tx.return_target_set_tls(facility, &target.called, &target.host, target.port, target.tls).await?;
        }
        Ok(())
    }
}

pub(crate) async fn issuer_of(read: &mut ReadTx, id: &FacilityId) -> Result<Option<FacilityIssuer>, AccessError> {
    let Some(row) = read.facility_find(id).await? else { return Ok(None) };
    let aliases = read.facility_aliases(id).await?;
    Ok(Some(FacilityIssuer { facility: row.id, issuer: row.issuer, aliases }))
}

fn specification(row: PeerRow) -> PeerSpecification {
    // Addresses are written by `address_text` alone; one that does not parse admits nobody and shows as any.
    let address = row.address.and_then(|text| text.parse().ok());
    PeerSpecification { calling: row.calling, role: row.role, address }
}

fn target(row: ReturnTargetRow) -> ReturnTarget {
    ReturnTarget { called: row.called, host: row.host, port: row.port, tls: row.tls }
}

fn checked_aliases(given: &[String]) -> Result<Vec<String>, AccessError> {
    given.iter().map(|alias| short_text("an issuer's alias", alias)).collect()
}

/// What changed about certificates, for the audit; empty when nothing did.
fn describe_transport(edit: &FacilityEdit) -> String {
    let removed = edit.remove_certificates.iter().map(|fingerprint| format!(", certificate {fingerprint} removed"));
    let added = edit.add_certificates.iter().map(|new| match &new.calling {
        None => format!(", certificate {} added", new.fingerprint),
        Some(calling) => format!(", certificate {} added for {calling}", new.fingerprint),
    });
    let plain = edit.allow_plain.map(|allowed| {
        if allowed { ", may come without certificate" } else { ", must come with a certificate" }.to_owned()
    });
    removed.chain(added).chain(plain).collect()
}

/// Peers and targets in one line for the audit.
fn describe(peers: &[PeerSpecification], targets: &[ReturnTarget]) -> String {
    let peers = peers.iter().map(|peer| match peer.address_text() {
        None => format!("{}:{}", peer.calling, peer.role.as_str()),
        Some(address) => format!("{}:{} from {address}", peer.calling, peer.role.as_str()),
    });
    peers.chain(targets.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
}
