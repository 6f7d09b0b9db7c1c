//! What a person can do about a damage: read the blob again, repair it from the other place, or accept the loss.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{
    AuditEvent, AuditOutcome, BlobDamageRow, BlobPlace, CustodyBlob, DamageKind, DamageState, DatabaseError, WriteTx,
};
use dokuei_domain::Actor;
use dokuei_image_store::{BlobKey, ImageStore, StoreError};
use uuid::Uuid;

use super::{
    Custody, CustodyError, Damage,
    examine::{Failed, Fault, Read, Verdict, blame, examine, read},
    pace::Pace,
};

/// What became of a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is sound; nothing had to be done.
    Sound,
    Repaired,
    /// It is still as it was, for this reason.
    StillDamaged(String),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error("not allowed")]
    Denied,
    #[error("there is no such damage, or it is dealt with already")]
    NotOpen,
    #[error("give a reason")]
    NoReason,
    #[error("the other copy is no better: {0}")]
    OtherCopyDamaged(String),
    #[error("what was put in place is damaged as well: {0}; look at the disk")]
    DamagedAgain(String),
    #[error("the good copy could not be put in place")]
    Replace(#[source] StoreError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

impl From<DatabaseError> for RepairError {
    fn from(error: DatabaseError) -> Self {
        Self::Custody(CustodyError::Index(error))
    }
}

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 1000;

impl Custody {
    /// Damages that wait for a person and, latest first, some that were dealt with.
    pub async fn damages(&self, actor: &Actor) -> Result<(Vec<BlobDamageRow>, Vec<BlobDamageRow>), RepairError> {
        allow(actor, Action::ViewOffice)?;
        let mut tx = self.database.read().await?;
        Ok((tx.damages_open(500).await?, tx.damages_closed(50).await?))
    }

    /// Reads the blob again.
    pub async fn verify_again(&self, actor: &Actor, damage: Uuid) -> Result<Outcome, RepairError> {
        allow(actor, Action::RetryDelivery)?;
        let (row, key) = self.open_damage(damage).await?;
        let Some(blob) = self.blob_of(&row).await? else {
            return self.not_in_the_index(actor, &row, &key).await;
        };
        let store = self.place(row.place).await?;
        match examine(&store, &key, &blob, &Pace::unlimited()).await.map_err(|error| at(row.place, error))? {
            Verdict::Sound { head } => {
                self.close(actor, &row, &blob, &head, "it was sound when it was read again").await?;
                Ok(Outcome::Sound)
            }
            Verdict::Damaged(fault) => {
                let detail = fault.detail.clone();
                let mut tx = self.database.write().await?;
                self.report(&mut tx, actor, &Damage::of(&blob, &key, row.place, fault)).await?;
                tx.commit().await?;
                Ok(Outcome::StillDamaged(detail))
            }
        }
    }

    /// Puts the other place's copy where the damaged blob is. The damaged one is set aside and never deleted.
    ///
    /// # Errors
    ///
    /// [`RepairError::OtherCopyDamaged`] when there is nothing better to put there.
    pub async fn repair(&self, actor: &Actor, damage: Uuid) -> Result<Outcome, RepairError> {
        allow(actor, Action::RetryDelivery)?;
        let (row, key) = self.open_damage(damage).await?;
        let Some(blob) = self.blob_of(&row).await? else {
            return self.not_in_the_index(actor, &row, &key).await;
        };
        let other = match row.place {
            BlobPlace::Store => BlobPlace::Copy,
            BlobPlace::Copy => BlobPlace::Store,
        };
        let (good, bad) = (self.place(other).await?, self.place(row.place).await?);
        let pace = Pace::unlimited();
        // It may be sound by now: another node has repaired it, or a disk has come back.
        if let Verdict::Sound { head } =
            examine(&bad, &key, &blob, &pace).await.map_err(|error| at(row.place, error))?
        {
            self.close(actor, &row, &blob, &head, "it was sound when it was read again").await?;
            return Ok(Outcome::Sound);
        }
        let staged = match read(&good, &key, &blob, &pace, Some(&bad)).await {
            Ok(Read::Sound { staged: Some(staged), .. }) => staged,
            Ok(Read::Sound { .. }) => return Ok(Outcome::StillDamaged("nothing was staged".to_owned())),
            Ok(Read::Faulty(fault)) => return self.no_better(actor, other, &blob, &key, fault).await,
            Err(Failed::Reading(error)) => {
                let fault = blame(&good, error).await.map_err(|error| at(other, error))?;
                return self.no_better(actor, other, &blob, &key, fault).await;
            }
            Err(Failed::Writing(error)) => return Err(RepairError::Replace(error)),
        };
        let replaced = bad.replace_damaged(staged, &row.id.to_string()).await.map_err(RepairError::Replace)?;
        let head = match examine(&bad, &key, &blob, &pace).await.map_err(|error| at(row.place, error))? {
            Verdict::Sound { head } => head,
            Verdict::Damaged(fault) => return Err(RepairError::DamagedAgain(fault.detail)),
        };
        let reason = match replaced.set_aside {
            Some(name) => format!("replaced by the sound blob of the {}; the damaged one is {name}", other.as_str()),
            None => format!("replaced by the sound blob of the {}", other.as_str()),
        };
        self.close(actor, &row, &blob, &head, &reason).await?;
        Ok(Outcome::Repaired)
    }

    /// A person has seen that it cannot be repaired, and says what was done about it.
    pub async fn accept(&self, actor: &Actor, damage: Uuid, reason: &str) -> Result<(), RepairError> {
        allow(actor, Action::DecideQuarantine)?;
        let reason: String = reason.trim().chars().take(LONGEST_REASON).collect();
        if reason.is_empty() {
            return Err(RepairError::NoReason);
        }
        let (row, _) = self.open_damage(damage).await?;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.damage_close(row.id, DamageState::Accepted, &actor.label(), now, &reason).await? {
            return Err(RepairError::NotOpen);
        }
        self.audit(&mut tx, actor, "blob.accept_damage", &row, &reason);
        tx.commit().await?;
        Ok(())
    }

    async fn open_damage(&self, damage: Uuid) -> Result<(BlobDamageRow, BlobKey), RepairError> {
        let row = self.database.read().await?.damage_find(damage).await?;
        let row = row.filter(|row| row.state == DamageState::Open).ok_or(RepairError::NotOpen)?;
        let key = BlobKey::parse(&row.blob_key).map_err(|_| RepairError::NotOpen)?;
        Ok((row, key))
    }

    async fn blob_of(&self, row: &BlobDamageRow) -> Result<Option<CustodyBlob>, RepairError> {
        Ok(self.database.read().await?.custody_blob(&row.blob_key).await?)
    }

    /// A blob that the index lacks: tried once more, or no longer there.
    async fn not_in_the_index(
        &self,
        actor: &Actor,
        row: &BlobDamageRow,
        key: &BlobKey,
    ) -> Result<Outcome, RepairError> {
        let now = self.ambient.now();
        let size = match self.store.open(key).await {
            Ok(reader) if row.kind == DamageKind::NotAdopted => Some(reader.size()),
            Ok(_) => None,
            Err(error) => {
                let fault = blame(&self.store, error).await.map_err(CustodyError::Store)?;
                if fault.kind != DamageKind::Missing {
                    return Ok(Outcome::StillDamaged(fault.detail));
                }
                None
            }
        };
        if let Some(size) = size {
            let mut walk = self.unindexed.begin(None).await.map_err(CustodyError::Adoption)?;
            let mut refused = walk.take(key, size).await.map_err(CustodyError::Adoption)?;
            refused.extend(walk.finish().await.map_err(CustodyError::Adoption)?.1);
            if let Some(refused) = refused.into_iter().find(|refused| refused.key == *key) {
                return Ok(Outcome::StillDamaged(refused.reason));
            }
        }
        let reason = if size.is_some() { "it was adopted" } else { "nothing in the index refers to it any more" };
        let mut tx = self.database.write().await?;
        tx.damage_close(row.id, DamageState::Repaired, &actor.label(), now, reason).await?;
        self.audit(&mut tx, actor, "blob.repair", row, reason);
        tx.commit().await?;
        Ok(Outcome::Sound)
    }

    async fn no_better(
        &self,
        actor: &Actor,
        place: BlobPlace,
        blob: &CustodyBlob,
        key: &BlobKey,
        fault: Fault,
    ) -> Result<Outcome, RepairError> {
        let detail = fault.detail.clone();
        let mut tx = self.database.write().await?;
        // A copy that was never made is no damage of the copy.
        if place == BlobPlace::Store || blob.copied_at.is_some() {
            self.report(&mut tx, actor, &Damage::of(blob, key, place, fault)).await?;
            tx.commit().await?;
        }
        Err(RepairError::OtherCopyDamaged(detail))
    }

    async fn close(
        &self,
        actor: &Actor,
        row: &BlobDamageRow,
        blob: &CustodyBlob,
        head: &[u8; 32],
        reason: &str,
    ) -> Result<(), RepairError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.damage_close(row.id, DamageState::Repaired, &actor.label(), now, reason).await?;
        match row.place {
            BlobPlace::Store => tx.custody_verified(blob, now, head).await?,
            BlobPlace::Copy => tx.custody_copied(blob, Some(now), Some(*head)).await?,
        }
        self.audit(&mut tx, actor, "blob.repair", row, reason);
        tx.commit().await?;
        Ok(())
    }

    fn audit(&self, tx: &mut WriteTx, actor: &Actor, action: &'static str, row: &BlobDamageRow, reason: &str) {
        let event = AuditEvent::new(self.ambient.now(), actor, action, AuditOutcome::Success).facility(&row.facility);
        let subject = if row.subject.is_empty() { &row.blob_key } else { &row.subject };
        tx.audit(event.subject(subject).detail(format!(
            "{} in the {}: {reason}",
            row.kind.as_str(),
            row.place.as_str()
        )));
    }

    async fn place(&self, place: BlobPlace) -> Result<ImageStore, CustodyError> {
        match place {
            BlobPlace::Store => Ok(self.store.clone()),
            BlobPlace::Copy => self.copy_store().await,
        }
    }
}

fn at(place: BlobPlace, error: StoreError) -> CustodyError {
    match place {
        BlobPlace::Store => CustodyError::Store(error),
        BlobPlace::Copy => CustodyError::Copy(error),
    }
}

fn allow(actor: &Actor, action: Action) -> Result<(), RepairError> {
    can(actor, action, Resource::Node).map_err(|_| RepairError::Denied)
}
