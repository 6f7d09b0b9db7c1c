//! Blobs that are not what they should be: found by a walk, ended by a repair or by a person who accepts the loss.

use dokuei_domain::{FacilityId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    custody::optional_hash,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// As it stands in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// Which of the two copies.
    BlobPlace {
        Store = "store",
        Copy = "copy",
    }
}

words! {
    /// What is wrong with a blob.
    DamageKind {
        Missing = "missing",
        /// The bytes that were received differ.
        Altered = "altered",
        /// Our own header before them differs.
        HeadAltered = "head_altered",
        /// The place answers, but not for this blob.
        Unreadable = "unreadable",
        /// A blob that the index lacks and that cannot be put into it.
        NotAdopted = "not_adopted",
    }
}

words! {
    /// What became of it.
    DamageState {
        Open = "open",
        /// It is as it should be again.
        Repaired = "repaired",
        /// A person has seen that it cannot be repaired.
        Accepted = "accepted",
    }
}

/// A damage that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlobDamage<'a> {
    pub id: Uuid,
    pub blob_key: &'a str,
    pub place: BlobPlace,
    pub kind: DamageKind,
    pub facility: &'a FacilityId,
    /// SOP Instance UID, or the report version; empty when not known.
    pub subject: &'a str,
    pub expected_sha256: Option<[u8; 32]>,
    pub found_sha256: Option<[u8; 32]>,
    /// For a person.
    pub detail: &'a str,
    pub found_at: Timestamp,
}

/// A damage as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobDamageRow {
    pub id: Uuid,
    pub blob_key: String,
    pub place: BlobPlace,
    pub kind: DamageKind,
    pub facility: FacilityId,
    pub subject: String,
    pub expected_sha256: Option<[u8; 32]>,
    pub found_sha256: Option<[u8; 32]>,
    pub detail: String,
    pub found_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub state: DamageState,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub decision_reason: Option<String>,
}

/// How many damages there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DamageCounts {
    pub open: i64,
    pub accepted: i64,
}

statements! {
    /// What is open already, or was accepted as it is, is not said again.
    DAMAGE_INSERT = "INSERT INTO blob_damages (id, blob_key, place, kind, facility_id, subject, expected_sha256, found_sha256, detail, found_at, \
                     last_seen_at, state) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 'open' \
                     WHERE NOT EXISTS (SELECT 1 FROM blob_damages d WHERE d.blob_key = $2 AND d.place = $3 AND d.state = 'accepted' AND d.kind = $4) \
                     ON CONFLICT DO NOTHING",
                    "INSERT INTO blob_damages (id, blob_key, place, kind, facility_id, subject, expected_sha256, found_sha256, detail, found_at, \
                     last_seen_at, state) SELECT $1, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BYTEA), \
                     CAST($8 AS BYTEA), CAST($9 AS TEXT), CAST($10 AS BIGINT), CAST($10 AS BIGINT), 'open' \
                     WHERE NOT EXISTS (SELECT 1 FROM blob_damages d WHERE d.blob_key = $2 AND d.place = $3 AND d.state = 'accepted' AND d.kind = $4) \
                     ON CONFLICT DO NOTHING";
    DAMAGE_SEEN_AGAIN = "UPDATE blob_damages SET last_seen_at = $3, kind = $4, found_sha256 = $5, detail = $6 WHERE blob_key = $1 AND place = $2 AND state = 'open'";
    DAMAGE_CLOSE = "UPDATE blob_damages SET state = $2, decided_by = $3, decided_at = $4, decision_reason = $5 WHERE id = $1 AND state = 'open'";
    DAMAGE_CLOSE_BY_KEY = "UPDATE blob_damages SET state = 'repaired', decided_by = $3, decided_at = $4, decision_reason = $5 \
                     WHERE blob_key = $1 AND place = $2 AND state IN ('open', 'accepted')";
    DAMAGE_FIND = "SELECT * FROM blob_damages WHERE id = $1";
    DAMAGES_OPEN = "SELECT * FROM blob_damages WHERE state = 'open' ORDER BY found_at DESC, id DESC LIMIT $1";
    DAMAGES_CLOSED = "SELECT * FROM blob_damages WHERE state <> 'open' ORDER BY found_at DESC, id DESC LIMIT $1";
    DAMAGE_COUNTS = "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'open' THEN 1 ELSE 0 END), 0) AS BIGINT) AS open_count, \
                     CAST(COALESCE(SUM(CASE WHEN state = 'accepted' THEN 1 ELSE 0 END), 0) AS BIGINT) AS accepted_count FROM blob_damages \
                     WHERE state IN ('open', 'accepted')";
}

fn read_row(row: &Row) -> Result<BlobDamageRow, DatabaseError> {
    Ok(BlobDamageRow {
        id: row.uuid("id")?,
        blob_key: row.text("blob_key")?,
        place: row.parsed("place", BlobPlace::parse)?,
        kind: row.parsed("kind", DamageKind::parse)?,
        facility: row.facility("facility_id")?,
        subject: row.text("subject")?,
        expected_sha256: optional_hash(row, "expected_sha256")?,
        found_sha256: optional_hash(row, "found_sha256")?,
        detail: row.text("detail")?,
        found_at: row.time("found_at")?,
        last_seen_at: row.time("last_seen_at")?,
        state: row.parsed("state", DamageState::parse)?,
        decided_by: row.get("decided_by")?,
        decided_at: row.optional_time("decided_at")?,
        decision_reason: row.get("decision_reason")?,
    })
}

impl WriteTx {
    /// Records a damage; `false` when it is known: then it was seen again, or a person has accepted it as it is.
    pub async fn damage_report(&mut self, damage: &NewBlobDamage<'_>) -> Result<bool, DatabaseError> {
        let hash = |hash: Option<[u8; 32]>| hash.map(|hash| hash.to_vec());
        let values = args![
            damage.id,
            damage.blob_key,
            damage.place.as_str(),
            damage.kind.as_str(),
            damage.facility,
            damage.subject,
            hash(damage.expected_sha256),
            hash(damage.found_sha256),
            damage.detail,
            damage.found_at
        ];
        if self.execute(DAMAGE_INSERT, values).await? == 1 {
            return Ok(true);
        }
        let again = args![
            damage.blob_key,
            damage.place.as_str(),
            damage.found_at,
            damage.kind.as_str(),
            hash(damage.found_sha256),
            damage.detail
        ];
        self.execute(DAMAGE_SEEN_AGAIN, again).await?;
        Ok(false)
    }

    /// Ends an open damage; `false` when it is not open any more.
    pub async fn damage_close(
        &mut self,
        id: Uuid,
        state: DamageState,
        by: &str,
        at: Timestamp,
        reason: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DAMAGE_CLOSE, args![id, state.as_str(), by, at, reason]).await? == 1)
    }

    /// The blob is as it should be again: ends what was open or accepted about it there; `false` when there was nothing.
    pub async fn damage_repaired(
        &mut self,
        blob_key: &str,
        place: BlobPlace,
        by: &str,
        at: Timestamp,
        reason: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DAMAGE_CLOSE_BY_KEY, args![blob_key, place.as_str(), by, at, reason]).await? > 0)
    }
}

impl ReadTx {
    pub async fn damage_find(&mut self, id: Uuid) -> Result<Option<BlobDamageRow>, DatabaseError> {
        self.optional(DAMAGE_FIND, args![id]).await?.as_ref().map(read_row).transpose()
    }

    /// Open damages, newest first.
    pub async fn damages_open(&mut self, limit: u32) -> Result<Vec<BlobDamageRow>, DatabaseError> {
        self.rows(DAMAGES_OPEN, args![limit]).await?.iter().map(read_row).collect()
    }

    /// Damages that were repaired or accepted, newest first.
    pub async fn damages_closed(&mut self, limit: u32) -> Result<Vec<BlobDamageRow>, DatabaseError> {
        self.rows(DAMAGES_CLOSED, args![limit]).await?.iter().map(read_row).collect()
    }

    pub async fn damage_counts(&mut self) -> Result<DamageCounts, DatabaseError> {
        let row = self.one(DAMAGE_COUNTS, args![]).await?;
        Ok(DamageCounts { open: row.get("open_count")?, accepted: row.get("accepted_count")? })
    }
}
