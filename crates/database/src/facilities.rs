//! Facilities, what they call themselves, who may associate for them and where their reports go.

use dokuei_domain::{AeTitle, FacilityId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// What the objects of a calling AE title are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// They open reading cases.
    Reading,
    /// They are kept as earlier examinations and open nothing.
    Prior,
    /// Either; what arrives opens a case.
    Both,
}

impl PeerRole {
    pub const ALL: [Self; 3] = [Self::Reading, Self::Prior, Self::Both];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Prior => "prior",
            Self::Both => "both",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether a study that came this way opens a reading case.
    pub const fn opens_case(self) -> bool {
        matches!(self, Self::Reading | Self::Both)
    }
}

/// A facility. The issuer never changes: its patients are filed under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacilityRow {
    pub id: FacilityId,
    pub name: String,
    pub issuer: String,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// Who may associate for a facility: a calling AE title, from one address or from any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub calling: AeTitle,
    /// An IP address in its canonical text form.
    pub address: Option<String>,
    pub role: PeerRole,
    pub disabled_at: Option<Timestamp>,
}

/// Where a facility receives its reports by C-STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTargetRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub called: AeTitle,
    pub host: String,
    pub port: u16,
    /// By DICOM over TLS.
    pub tls: bool,
    pub disabled_at: Option<Timestamp>,
}

statements! {
    FACILITY_INSERT = "INSERT INTO facilities (id, name, issuer, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
    FACILITY_FIND = "SELECT id, name, issuer, created_at, disabled_at FROM facilities WHERE id = $1";
    FACILITY_BY_ISSUER = "SELECT id, name, issuer, created_at, disabled_at FROM facilities WHERE issuer = $1";
    FACILITY_LIST = "SELECT id, name, issuer, created_at, disabled_at FROM facilities ORDER BY id";
    FACILITY_RENAME = "UPDATE facilities SET name = $2 WHERE id = $1";
    FACILITY_DISABLE = "UPDATE facilities SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
    FACILITY_ENABLE = "UPDATE facilities SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
    ALIAS_INSERT = "INSERT INTO facility_issuer_aliases (facility_id, alias) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    ALIAS_DELETE = "DELETE FROM facility_issuer_aliases WHERE facility_id = $1 AND alias = $2";
    ALIAS_LIST = "SELECT alias FROM facility_issuer_aliases WHERE facility_id = $1 ORDER BY alias";
    /// A removed entry makes place for a new one of the same title and address, also of another facility; a living one does not.
    PEER_INSERT = "INSERT INTO peers (id, facility_id, calling_aet, address, role, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (calling_aet, COALESCE(address, '')) DO UPDATE SET facility_id = excluded.facility_id, role = excluded.role, \
                   created_at = excluded.created_at, disabled_at = NULL WHERE peers.disabled_at IS NOT NULL";
    PEER_DISABLE = "UPDATE peers SET disabled_at = $4 WHERE facility_id = $1 AND calling_aet = $2 AND COALESCE(address, '') = $3 \
                    AND disabled_at IS NULL";
    PEER_LIST = "SELECT id, facility_id, calling_aet, address, role, disabled_at FROM peers WHERE facility_id = $1 AND disabled_at IS NULL \
                 ORDER BY calling_aet, address";
    /// Every living entry of a calling AE title whose facility is not disabled.
    PEER_BY_CALLING = "SELECT p.id, p.facility_id, p.calling_aet, p.address, p.role, p.disabled_at FROM peers p \
                       JOIN facilities f ON f.id = p.facility_id \
                       WHERE p.calling_aet = $1 AND p.disabled_at IS NULL AND f.disabled_at IS NULL ORDER BY p.address LIMIT 1000";
    PEER_HOLDER = "SELECT id, facility_id, calling_aet, address, role, disabled_at FROM peers WHERE calling_aet = $1 AND COALESCE(address, '') = $2";
    RETURN_TARGET_INSERT = "INSERT INTO return_targets (id, facility_id, called_aet, host, port, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
                            ON CONFLICT (facility_id, called_aet, host, port) DO UPDATE SET disabled_at = NULL";
    RETURN_TARGET_DISABLE = "UPDATE return_targets SET disabled_at = $5 WHERE facility_id = $1 AND called_aet = $2 AND host = $3 AND port = $4 \
                             AND disabled_at IS NULL";
    RETURN_TARGET_SET_TLS = "UPDATE return_targets SET tls = $5 WHERE facility_id = $1 AND called_aet = $2 AND host = $3 AND port = $4";
    RETURN_TARGET_LIST = "SELECT id, facility_id, called_aet, host, port, tls, disabled_at FROM return_targets \
                          WHERE facility_id = $1 AND disabled_at IS NULL ORDER BY called_aet, host, port";
    RETURN_TARGET_FIND = "SELECT id, facility_id, called_aet, host, port, tls, disabled_at FROM return_targets WHERE id = $1";
}

fn read_facility(row: &Row) -> Result<FacilityRow, DatabaseError> {
    Ok(FacilityRow {
        id: row.facility("id")?,
        name: row.text("name")?,
        issuer: row.text("issuer")?,
        created_at: row.time("created_at")?,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

fn read_peer(row: &Row) -> Result<PeerRow, DatabaseError> {
    Ok(PeerRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        calling: row.parsed("calling_aet", |text| AeTitle::parse(text).ok())?,
        address: row.get("address")?,
        role: row.parsed("role", PeerRole::parse)?,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

fn read_target(row: &Row) -> Result<ReturnTargetRow, DatabaseError> {
    Ok(ReturnTargetRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        called: row.parsed("called_aet", |text| AeTitle::parse(text).ok())?,
        host: row.text("host")?,
        port: u16::try_from(row.get::<i64>("port")?)
            .map_err(|_| DatabaseError::inconsistent("port", "column port holds no port number"))?,
        tls: row.flag("tls")?,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

impl ReadTx {
    pub async fn facility_find(&mut self, id: &FacilityId) -> Result<Option<FacilityRow>, DatabaseError> {
        self.optional(FACILITY_FIND, args![id]).await?.as_ref().map(read_facility).transpose()
    }

    pub async fn facility_by_issuer(&mut self, issuer: &str) -> Result<Option<FacilityRow>, DatabaseError> {
        self.optional(FACILITY_BY_ISSUER, args![issuer]).await?.as_ref().map(read_facility).transpose()
    }

    /// All facilities, disabled ones too.
    pub async fn facility_list(&mut self) -> Result<Vec<FacilityRow>, DatabaseError> {
        self.rows(FACILITY_LIST, args![]).await?.iter().map(read_facility).collect()
    }

    /// The other texts by which a facility's equipment names its issuer.
    pub async fn facility_aliases(&mut self, id: &FacilityId) -> Result<Vec<String>, DatabaseError> {
        self.rows(ALIAS_LIST, args![id]).await?.iter().map(|row| row.text("alias")).collect()
    }

    /// The living peer entries of a facility.
    pub async fn peer_list(&mut self, facility: &FacilityId) -> Result<Vec<PeerRow>, DatabaseError> {
        self.rows(PEER_LIST, args![facility]).await?.iter().map(read_peer).collect()
    }

    /// The living entries of a calling AE title in facilities that are not disabled, at most one per address.
    pub async fn peer_by_calling(&mut self, calling: &AeTitle) -> Result<Vec<PeerRow>, DatabaseError> {
        self.rows(PEER_BY_CALLING, args![calling]).await?.iter().map(read_peer).collect()
    }

    /// Who holds a calling AE title at an address (or at any), removed entries included.
    pub async fn peer_holder(
        &mut self,
        calling: &AeTitle,
        address: Option<&str>,
    ) -> Result<Option<PeerRow>, DatabaseError> {
        self.optional(PEER_HOLDER, args![calling, address.unwrap_or("")]).await?.as_ref().map(read_peer).transpose()
    }

    /// The living return targets of a facility.
    pub async fn return_target_list(&mut self, facility: &FacilityId) -> Result<Vec<ReturnTargetRow>, DatabaseError> {
        self.rows(RETURN_TARGET_LIST, args![facility]).await?.iter().map(read_target).collect()
    }

    /// A return target by its id, also a removed one: ledger rows keep naming it.
    pub async fn return_target_find(&mut self, id: Uuid) -> Result<Option<ReturnTargetRow>, DatabaseError> {
        self.optional(RETURN_TARGET_FIND, args![id]).await?.as_ref().map(read_target).transpose()
    }
}

impl WriteTx {
    /// `false`: the id is taken. An issuer that another facility has is a conflict.
    pub async fn facility_insert(
        &mut self,
        id: &FacilityId,
        name: &str,
        issuer: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(FACILITY_INSERT, args![id, name, issuer, now]).await? == 1)
    }

    pub async fn facility_rename(&mut self, id: &FacilityId, name: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(FACILITY_RENAME, args![id, name]).await? == 1)
    }

    pub async fn facility_disable(&mut self, id: &FacilityId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(FACILITY_DISABLE, args![id, now]).await? == 1)
    }

    pub async fn facility_enable(&mut self, id: &FacilityId) -> Result<bool, DatabaseError> {
        Ok(self.execute(FACILITY_ENABLE, args![id]).await? == 1)
    }

    pub async fn facility_alias_add(&mut self, id: &FacilityId, alias: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(ALIAS_INSERT, args![id, alias]).await? == 1)
    }

    pub async fn facility_alias_remove(&mut self, id: &FacilityId, alias: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(ALIAS_DELETE, args![id, alias]).await? == 1)
    }

    /// `false`: a living entry has this title and address; [`ReadTx::peer_holder`] tells whose.
    pub async fn peer_add(
        &mut self,
        id: Uuid,
        facility: &FacilityId,
        calling: &AeTitle,
        address: Option<&str>,
        role: PeerRole,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(PEER_INSERT, args![id, facility, calling, address, role.as_str(), now]).await? == 1)
    }

    pub async fn peer_remove(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
        address: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(PEER_DISABLE, args![facility, calling, address.unwrap_or(""), now]).await? == 1)
    }

    /// Adds a target or brings a removed one back.
    pub async fn return_target_add(
        &mut self,
        id: Uuid,
        facility: &FacilityId,
        called: &AeTitle,
        host: &str,
        port: u16,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(RETURN_TARGET_INSERT, args![id, facility, called, host, i64::from(port), now]).await.map(drop)
    }

    /// Says of a living or removed target whether it is reached over TLS.
    pub async fn return_target_set_tls(
        &mut self,
        facility: &FacilityId,
        called: &AeTitle,
        host: &str,
        port: u16,
        tls: bool,
    ) -> Result<bool, DatabaseError> {
        let values = args![facility, called, host, i64::from(port), i64::from(tls)];
        Ok(self.execute(RETURN_TARGET_SET_TLS, values).await? == 1)
    }

    pub async fn return_target_remove(
        &mut self,
        facility: &FacilityId,
        called: &AeTitle,
        host: &str,
        port: u16,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(RETURN_TARGET_DISABLE, args![facility, called, host, i64::from(port), now]).await? == 1)
    }
}
