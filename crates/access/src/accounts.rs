//! Accounts and readers, as administrators and the command line keep them.

use dokuei_database::{AccountRow, ReaderRow, WriteTx};
use dokuei_domain::{AccountId, Actor, FacilityId, PersonName, Role, Timestamp, hours::OnDutyHours};

use crate::{
    Access, AccessError, Action, Enrolment, Resource,
    access::short_text,
    enrolment::{Prepared, store_enrolment},
    rights::{Denied, can},
};

/// The language of somebody's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    #[default]
    Japanese,
    English,
}

impl Language {
    /// The code of ISO 639-1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Japanese => "ja",
            Self::English => "en",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Japanese, Self::English].into_iter().find(|language| language.as_str() == text)
    }
}

/// An account of anybody but a reader.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: AccountId,
    pub role: Role,
    /// For facility users, and for them only.
    pub facility: Option<FacilityId>,
    pub display_name: String,
    pub language: Language,
}

/// A reader's account.
#[derive(Debug, Clone)]
pub struct NewReader {
    pub id: AccountId,
    pub name: PersonName,
    /// The reading organisation, as it stands in the certificate.
    pub organisation: String,
    /// DICOM modality codes.
    pub modalities: Vec<String>,
    pub hours: OnDutyHours,
    pub language: Language,
}

/// What may change about an account; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct AccountEdit {
    pub display_name: Option<String>,
    pub language: Option<Language>,
}

/// What may change about a reader; `None` leaves it. Name and organisation stand in the certificate and do not.
#[derive(Debug, Clone, Default)]
pub struct ReaderEdit {
    pub modalities: Option<Vec<String>>,
    pub hours: Option<OnDutyHours>,
    /// Whether new cases may be given to the reader.
    pub accepting: Option<bool>,
}

/// An account as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub role: Role,
    pub facility: Option<FacilityId>,
    pub display_name: String,
    pub language: Language,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
    pub recovery_codes_left: i64,
}

/// A reader as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub account: AccountId,
    pub name: PersonName,
    pub organisation: String,
    pub modalities: Vec<String>,
    /// The text of [`OnDutyHours`].
    pub hours: String,
    pub accepting_since: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    /// The serial number of the certificate the reader signs with.
    pub certificate_serial: Option<String>,
    pub certificate_expires_at: Option<Timestamp>,
}

impl Access {
    /// Adds an account and gives what its owner needs to sign in, once. Administrators are added by the node's command line only.
    pub async fn account_add(&self, actor: &Actor, new: NewAccount) -> Result<Enrolment, AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, new.id.as_str()).await?;
        if new.role == Role::Reader {
            return Err(AccessError::ReaderNeedsName);
        }
        // One administrator who could make another would be two administrators.
        if new.role == Role::Administrator && actor.account().is_some() {
            self.audit_denied(
                actor,
                &Denied { actor: actor.label(), action: Action::ManageAccounts, facility: None },
                new.id.as_str(),
            )
            .await?;
            return Err(AccessError::AdministratorByCommandLine);
        }
        if (new.role == Role::Facility) != new.facility.is_some() {
            return Err(AccessError::FacilityRequired);
        }
        let display_name = short_text("the display name", &new.display_name)?;
        let mut read = self.db.read().await?;
        if let Some(facility) = &new.facility
            && read.facility_find(facility).await?.is_none()
        {
            return Err(AccessError::UnknownFacility(facility.clone()));
        }
        if read.account_find(&new.id).await?.is_some() {
            return Err(AccessError::AccountExists(new.id));
        }
        drop(read);

        let prepared = self.prepare_enrolment(&new.id, None).await?;
        let row = self.account_row(&prepared, new.role, new.facility, display_name, new.language);
        let mut tx = self.db.write().await?;
        insert(&mut tx, &row, &prepared).await?;
        let mut event =
            self.success(actor, "account.add").subject(&row.id).detail(format!("role {}", row.role.as_str()));
        if let Some(facility) = &row.facility {
            event = event.facility(facility);
        }
        tx.audit(event);
        tx.commit().await?;
        Ok(prepared.enrolment)
    }

    /// Adds a reader, issues the signing certificate, and gives what the reader needs to sign in, once.
    pub async fn reader_add(&self, actor: &Actor, new: NewReader) -> Result<Enrolment, AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, new.id.as_str()).await?;
        if new.name.is_empty() || new.name.display().is_empty() {
            return Err(AccessError::NameMissing);
        }
        let display_name = short_text("the name", &new.name.display())?;
        let organisation = short_text("the organisation", &new.organisation)?;
        let modalities = checked_modalities(&new.modalities)?;
        if self.db.read().await?.account_find(&new.id).await?.is_some() {
            return Err(AccessError::AccountExists(new.id));
        }

        let prepared = self.prepare_enrolment(&new.id, Some((&new.name, &organisation))).await?;
        let row = self.account_row(&prepared, Role::Reader, None, display_name, new.language);
        let reader = ReaderRow {
            account: new.id,
            name: new.name,
            organisation,
            hours: new.hours.as_str().to_owned(),
            accepting_since: Some(row.created_at),
            modalities,
            disabled_at: None,
        };
        let mut tx = self.db.write().await?;
        insert(&mut tx, &row, &prepared).await?;
        tx.reader_insert(&reader).await?;
        let serial = prepared.enrolment.certificate_serial.as_deref().unwrap_or_default();
        tx.audit(self.success(actor, "account.add").subject(&row.id).detail("role reader"));
        tx.audit(self.success(actor, "certificate.issue").subject(&row.id).detail(format!("certificate {serial}")));
        tx.commit().await?;
        Ok(prepared.enrolment)
    }

    fn account_row(
        &self,
        prepared: &Prepared,
        role: Role,
        facility: Option<FacilityId>,
        display_name: String,
        language: Language,
    ) -> AccountRow {
        let now = self.ambient.now();
        AccountRow {
            id: prepared.enrolment.account.clone(),
            role,
            facility,
            display_name,
            language: language.as_str().to_owned(),
            password_hash: prepared.password_hash.clone(),
            password_changed_at: now,
            totp_secret: prepared.sealed_totp_secret.clone(),
            totp_last_step: 0,
            created_at: now,
            disabled_at: None,
        }
    }

    /// All accounts, disabled ones too.
    pub async fn account_list(&self, actor: &Actor) -> Result<Vec<Account>, AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, "accounts").await?;
        let mut read = self.db.read().await?;
        let mut accounts = Vec::new();
        for row in read.account_list().await? {
            let recovery_codes_left = read.recovery_codes_left(&row.id).await?;
            accounts.push(Account {
                language: Language::parse(&row.language).unwrap_or_default(),
                id: row.id,
                role: row.role,
                facility: row.facility,
                display_name: row.display_name,
                created_at: row.created_at,
                disabled_at: row.disabled_at,
                recovery_codes_left,
            });
        }
        Ok(accounts)
    }

    /// All readers, disabled ones too; for those who keep accounts and those who assign cases.
    pub async fn reader_list(&self, actor: &Actor) -> Result<Vec<Reader>, AccessError> {
        if can(actor, Action::AssignCase, Resource::Node).is_err() {
            self.require(actor, Action::ManageAccounts, Resource::Node, "readers").await?;
        }
        let mut read = self.db.read().await?;
        let mut readers = Vec::new();
        for row in read.reader_list().await? {
            let certificate = read.certificate_current(&row.account).await?;
            let expires =
                certificate.as_ref().map(|found| crate::certificate::expiry(&found.certificate)).transpose()?;
            readers.push(Reader {
                account: row.account,
                name: row.name,
                organisation: row.organisation,
                modalities: row.modalities,
                hours: row.hours,
                accepting_since: row.accepting_since,
                disabled_at: row.disabled_at,
                certificate_serial: certificate.map(|found| found.serial),
                certificate_expires_at: expires,
            });
        }
        Ok(readers)
    }

    pub async fn account_edit(&self, actor: &Actor, id: &AccountId, edit: AccountEdit) -> Result<(), AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, id.as_str()).await?;
        let display_name = edit.display_name.map(|name| short_text("the display name", &name)).transpose()?;
        let mut tx = self.db.write().await?;
        let row = tx.account_lock(id).await?.ok_or_else(|| AccessError::UnknownAccount(id.clone()))?;
        let language = edit.language.map_or(row.language, |language| language.as_str().to_owned());
        tx.account_edit(id, &display_name.unwrap_or(row.display_name), &language).await?;
        tx.audit(self.success(actor, "account.edit").subject(id));
        tx.commit().await?;
        Ok(())
    }

    /// Changes the language of somebody's own pages.
    pub async fn language_change(&self, actor: &Actor, language: Language) -> Result<(), AccessError> {
        let Some(id) = actor.account() else { return Ok(()) };
        let mut tx = self.db.write().await?;
        let row = tx.account_lock(id).await?.ok_or_else(|| AccessError::UnknownAccount(id.clone()))?;
        tx.account_edit(id, &row.display_name, language.as_str()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn reader_edit(&self, actor: &Actor, id: &AccountId, edit: ReaderEdit) -> Result<(), AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, id.as_str()).await?;
        let modalities = edit.modalities.map(|modalities| checked_modalities(&modalities)).transpose()?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        tx.account_lock(id).await?.ok_or_else(|| AccessError::UnknownAccount(id.clone()))?;
        let reader = tx.reader_find(id).await?.ok_or_else(|| AccessError::NotAReader(id.clone()))?;
        let mut changed = Vec::new();
        if let Some(modalities) = modalities {
            tx.reader_set_modalities(id, &modalities).await?;
            changed.push(format!("modalities {}", modalities.join(",")));
        }
        if let Some(hours) = &edit.hours {
            tx.reader_set_hours(id, hours.as_str()).await?;
            changed.push(format!("hours {}", hours.as_str()));
        }
        if let Some(accepting) = edit.accepting {
            tx.reader_set_accepting(id, accepting.then(|| reader.accepting_since.unwrap_or(now))).await?;
            changed.push(format!("accepting {accepting}"));
        }
        tx.audit(self.success(actor, "reader.edit").subject(id).detail(changed.join("; ")));
        tx.commit().await?;
        Ok(())
    }

    /// Disables an account and ends its sessions at once. Its certificate and signatures stay valid; the last administrator stays enabled.
    pub async fn account_disable(&self, actor: &Actor, id: &AccountId) -> Result<(), AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, id.as_str()).await?;
        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        if !tx.account_disable(id, now).await? {
            return match tx.account_find(id).await? {
                None => Err(AccessError::UnknownAccount(id.clone())),
                Some(row) if row.disabled_at.is_some() => Ok(()),
                Some(_) => Err(AccessError::LastAdministrator(id.clone())),
            };
        }
        let sessions = tx.session_end_all(id, now).await?;
        tx.audit(self.success(actor, "account.disable").subject(id).detail(format!("{sessions} sessions ended")));
        tx.commit().await?;
        Ok(())
    }

    /// Lets a disabled account sign in again with the credentials it had.
    pub async fn account_enable(&self, actor: &Actor, id: &AccountId) -> Result<(), AccessError> {
        self.require(actor, Action::ManageAccounts, Resource::Node, id.as_str()).await?;
        let mut tx = self.db.write().await?;
        if !tx.account_enable(id).await? {
            return match tx.account_find(id).await? {
                None => Err(AccessError::UnknownAccount(id.clone())),
                Some(_) => Ok(()),
            };
        }
        tx.audit(self.success(actor, "account.enable").subject(id));
        tx.commit().await?;
        Ok(())
    }
}

async fn insert(tx: &mut WriteTx, row: &AccountRow, prepared: &Prepared) -> Result<(), AccessError> {
    if !tx.account_insert(row).await? {
        return Err(AccessError::AccountExists(row.id.clone()));
    }
    store_enrolment(tx, prepared).await
}

/// Codes as in Modality (0008,0060): VR CS, 1 to 16 upper-case letters, digits or underscores.
fn checked_modalities(given: &[String]) -> Result<Vec<String>, AccessError> {
    let mut modalities = Vec::new();
    for text in given {
        let code = text.trim().to_ascii_uppercase();
        let legal = (1..=16).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !legal {
            return Err(AccessError::Modality(text.clone()));
        }
        modalities.push(code);
    }
    modalities.sort_unstable();
    modalities.dedup();
    if modalities.is_empty() {
        return Err(AccessError::Text { field: "the list of modalities", rule: "at least one code, such as CT,MR" });
    }
    Ok(modalities)
}
