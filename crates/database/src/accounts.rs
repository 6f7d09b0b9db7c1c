//! Accounts, their recovery codes, and what makes an account a reader.

use std::{collections::HashMap, fmt};

use dokuei_domain::{AccountId, FacilityId, PersonName, Role, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// Somebody who signs in. Its `Debug` leaves out what would help to sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountRow {
    pub id: AccountId,
    pub role: Role,
    /// Set for facility users and for nobody else.
    pub facility: Option<FacilityId>,
    pub display_name: String,
    /// `ja` or `en`.
    pub language: String,
    /// A PHC string.
    pub password_hash: String,
    pub password_changed_at: Timestamp,
    /// Encrypted by `access`.
    pub totp_secret: Vec<u8>,
    /// The youngest time step of which a code was used.
    pub totp_last_step: i64,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

impl fmt::Debug for AccountRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRow")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("facility", &self.facility)
            .field("disabled_at", &self.disabled_at)
            .finish_non_exhaustive()
    }
}

/// A reader's own facts, beside the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderRow {
    pub account: AccountId,
    pub name: PersonName,
    pub organisation: String,
    /// The text of `OnDutyHours`.
    pub hours: String,
    /// Since when new cases may be given to this reader; `None` while they take none.
    pub accepting_since: Option<Timestamp>,
    /// DICOM modality codes, sorted.
    pub modalities: Vec<String>,
    /// The account's.
    pub disabled_at: Option<Timestamp>,
}

statements! {
    ACCOUNT_INSERT = "INSERT INTO accounts (id, role, facility_id, display_name, language, password_hash, password_changed_at, totp_secret, \
                      totp_last_step, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING";
    ACCOUNT_FIND = "SELECT id, role, facility_id, display_name, language, password_hash, password_changed_at, totp_secret, totp_last_step, \
                    created_at, disabled_at FROM accounts WHERE id = $1";
    ACCOUNT_LIST = "SELECT id, role, facility_id, display_name, language, password_hash, password_changed_at, totp_secret, totp_last_step, \
                    created_at, disabled_at FROM accounts ORDER BY id";
    /// Changes nothing: the row stays locked until commit, so that what was read is still true when the rest is written.
    ACCOUNT_LOCK = "UPDATE accounts SET totp_last_step = totp_last_step WHERE id = $1 RETURNING id, role, facility_id, display_name, language, \
                    password_hash, password_changed_at, totp_secret, totp_last_step, created_at, disabled_at";
    ACCOUNT_EDIT = "UPDATE accounts SET display_name = $2, language = $3 WHERE id = $1";
    /// The last administrator stays.
    ACCOUNT_DISABLE = "UPDATE accounts SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL AND (role <> 'administrator' OR EXISTS \
                       (SELECT 1 FROM accounts o WHERE o.role = 'administrator' AND o.disabled_at IS NULL AND o.id <> accounts.id))";
    ACCOUNT_ENABLE = "UPDATE accounts SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
    /// Only the first use of a code, or of a younger one, changes the row.
    ACCOUNT_USE_TOTP_STEP = "UPDATE accounts SET totp_last_step = $2 WHERE id = $1 AND totp_last_step < $2";
    ACCOUNT_SET_PASSWORD = "UPDATE accounts SET password_hash = $2, password_changed_at = $3 WHERE id = $1";
    ACCOUNT_REENROL = "UPDATE accounts SET password_hash = $2, password_changed_at = $3, totp_secret = $4, totp_last_step = $5 WHERE id = $1";
    RECOVERY_CODE_INSERT = "INSERT INTO recovery_codes (account_id, code_hash) VALUES ($1, $2)";
    RECOVERY_CODE_USE = "UPDATE recovery_codes SET used_at = $3 WHERE account_id = $1 AND code_hash = $2 AND used_at IS NULL";
    RECOVERY_CODE_KNOWN = "SELECT COUNT(*) AS known FROM recovery_codes WHERE account_id = $1 AND code_hash = $2";
    RECOVERY_CODES_LEFT = "SELECT COUNT(*) AS remaining FROM recovery_codes WHERE account_id = $1 AND used_at IS NULL";
    RECOVERY_CODES_DELETE = "DELETE FROM recovery_codes WHERE account_id = $1";
    READER_INSERT = "INSERT INTO readers (account_id, name_alphabetic, name_ideographic, name_phonetic, organisation, hours, accepting_since) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)";
    READER_FIND = "SELECT r.account_id, r.name_alphabetic, r.name_ideographic, r.name_phonetic, r.organisation, r.hours, r.accepting_since, \
                   a.disabled_at FROM readers r JOIN accounts a ON a.id = r.account_id WHERE r.account_id = $1";
    READER_LIST = "SELECT r.account_id, r.name_alphabetic, r.name_ideographic, r.name_phonetic, r.organisation, r.hours, r.accepting_since, \
                   a.disabled_at FROM readers r JOIN accounts a ON a.id = r.account_id ORDER BY r.account_id";
    READER_SET_HOURS = "UPDATE readers SET hours = $2 WHERE account_id = $1";
    READER_SET_ACCEPTING = "UPDATE readers SET accepting_since = $2 WHERE account_id = $1";
    READER_MODALITY_INSERT = "INSERT INTO reader_modalities (account_id, modality) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    READER_MODALITIES_DELETE = "DELETE FROM reader_modalities WHERE account_id = $1";
    READER_MODALITIES = "SELECT modality FROM reader_modalities WHERE account_id = $1 ORDER BY modality";
    READER_MODALITIES_ALL = "SELECT account_id, modality FROM reader_modalities ORDER BY account_id, modality";
}

fn read_account(row: &Row) -> Result<AccountRow, DatabaseError> {
    let facility = match row.get::<Option<String>>("facility_id")? {
        None => None,
        Some(_) => Some(row.facility("facility_id")?),
    };
    Ok(AccountRow {
        id: row.account("id")?,
        role: row.parsed("role", Role::parse)?,
        facility,
        display_name: row.text("display_name")?,
        language: row.text("language")?,
        password_hash: row.text("password_hash")?,
        password_changed_at: row.time("password_changed_at")?,
        totp_secret: row.get("totp_secret")?,
        totp_last_step: row.get("totp_last_step")?,
        created_at: row.time("created_at")?,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

fn read_reader(row: &Row, modalities: Vec<String>) -> Result<ReaderRow, DatabaseError> {
    Ok(ReaderRow {
        account: row.account("account_id")?,
        name: PersonName {
            alphabetic: row.text("name_alphabetic")?,
            ideographic: row.text("name_ideographic")?,
            phonetic: row.text("name_phonetic")?,
        },
        organisation: row.text("organisation")?,
        hours: row.text("hours")?,
        accepting_since: row.optional_time("accepting_since")?,
        modalities,
        disabled_at: row.optional_time("disabled_at")?,
    })
}

impl ReadTx {
    pub async fn account_find(&mut self, id: &AccountId) -> Result<Option<AccountRow>, DatabaseError> {
        self.optional(ACCOUNT_FIND, args![id]).await?.as_ref().map(read_account).transpose()
    }

    /// All accounts, disabled ones too.
    pub async fn account_list(&mut self) -> Result<Vec<AccountRow>, DatabaseError> {
        self.rows(ACCOUNT_LIST, args![]).await?.iter().map(read_account).collect()
    }

    /// Whether a recovery code was ever issued to the account, used or not.
    pub async fn recovery_code_known(
        &mut self,
        account: &AccountId,
        code_hash: &[u8; 32],
    ) -> Result<bool, DatabaseError> {
        Ok(self.one(RECOVERY_CODE_KNOWN, args![account, code_hash]).await?.get::<i64>("known")? > 0)
    }

    pub async fn recovery_codes_left(&mut self, account: &AccountId) -> Result<i64, DatabaseError> {
        self.one(RECOVERY_CODES_LEFT, args![account]).await?.get("remaining")
    }

    pub async fn reader_find(&mut self, account: &AccountId) -> Result<Option<ReaderRow>, DatabaseError> {
        let Some(row) = self.optional(READER_FIND, args![account]).await? else { return Ok(None) };
        let modalities: Result<Vec<_>, _> =
            self.rows(READER_MODALITIES, args![account]).await?.iter().map(|row| row.text("modality")).collect();
        read_reader(&row, modalities?).map(Some)
    }

    /// All readers, disabled ones too.
    pub async fn reader_list(&mut self) -> Result<Vec<ReaderRow>, DatabaseError> {
        let mut modalities: HashMap<String, Vec<String>> = HashMap::new();
        for row in self.rows(READER_MODALITIES_ALL, args![]).await? {
            modalities.entry(row.text("account_id")?).or_default().push(row.text("modality")?);
        }
        let rows = self.rows(READER_LIST, args![]).await?;
        rows.iter()
            .map(|row| read_reader(row, modalities.remove(&row.text("account_id")?).unwrap_or_default()))
            .collect()
    }
}

impl WriteTx {
    /// `false`: the id is taken.
    pub async fn account_insert(&mut self, account: &AccountRow) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                ACCOUNT_INSERT,
                args![
                    &account.id,
                    account.role.as_str(),
                    account.facility.as_ref(),
                    &account.display_name,
                    &account.language,
                    &account.password_hash,
                    account.password_changed_at,
                    account.totp_secret.clone(),
                    account.totp_last_step,
                    account.created_at
                ],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Reads an account and keeps others from changing it until commit.
    pub async fn account_lock(&mut self, id: &AccountId) -> Result<Option<AccountRow>, DatabaseError> {
        self.optional(ACCOUNT_LOCK, args![id]).await?.as_ref().map(read_account).transpose()
    }

    pub async fn account_edit(
        &mut self,
        id: &AccountId,
        display_name: &str,
        language: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_EDIT, args![id, display_name, language]).await? == 1)
    }

    /// `false`: there is no such account, it is disabled already, or it is the last administrator.
    pub async fn account_disable(&mut self, id: &AccountId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_DISABLE, args![id, now]).await? == 1)
    }

    pub async fn account_enable(&mut self, id: &AccountId) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_ENABLE, args![id]).await? == 1)
    }

    /// Uses up the one-time code of a time step. `false`: this one or a younger one was used before.
    pub async fn account_use_totp_step(&mut self, id: &AccountId, step: i64) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_USE_TOTP_STEP, args![id, step]).await? == 1)
    }

    pub async fn account_set_password(
        &mut self,
        id: &AccountId,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_SET_PASSWORD, args![id, password_hash, now]).await? == 1)
    }

    /// Replaces password and second factor; codes up to `totp_last_step` count as used.
    pub async fn account_reenrol(
        &mut self,
        id: &AccountId,
        password_hash: &str,
        totp_secret: &[u8],
        totp_last_step: i64,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(ACCOUNT_REENROL, args![id, password_hash, now, totp_secret, totp_last_step]).await? == 1)
    }

    /// Throws the account's recovery codes away, used ones too, and stores new ones.
    pub async fn recovery_codes_replace(
        &mut self,
        account: &AccountId,
        code_hashes: &[[u8; 32]],
    ) -> Result<(), DatabaseError> {
        self.execute(RECOVERY_CODES_DELETE, args![account]).await?;
        for hash in code_hashes {
            self.execute(RECOVERY_CODE_INSERT, args![account, hash]).await?;
        }
        Ok(())
    }

    /// Uses up a recovery code. `false`: it was used before or never issued.
    pub async fn recovery_code_use(
        &mut self,
        account: &AccountId,
        code_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(RECOVERY_CODE_USE, args![account, code_hash, now]).await? == 1)
    }

    /// Makes an account a reader; `disabled_at` of the row is not looked at.
    pub async fn reader_insert(&mut self, reader: &ReaderRow) -> Result<(), DatabaseError> {
        self.execute(
            READER_INSERT,
            args![
                &reader.account,
                &reader.name.alphabetic,
                &reader.name.ideographic,
                &reader.name.phonetic,
                &reader.organisation,
                &reader.hours,
                reader.accepting_since
            ],
        )
        .await?;
        self.reader_set_modalities(&reader.account, &reader.modalities).await
    }

    pub async fn reader_set_modalities(
        &mut self,
        account: &AccountId,
        modalities: &[String],
    ) -> Result<(), DatabaseError> {
        self.execute(READER_MODALITIES_DELETE, args![account]).await?;
        for modality in modalities {
            self.execute(READER_MODALITY_INSERT, args![account, modality]).await?;
        }
        Ok(())
    }

    pub async fn reader_set_hours(&mut self, account: &AccountId, hours: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(READER_SET_HOURS, args![account, hours]).await? == 1)
    }

    pub async fn reader_set_accepting(
        &mut self,
        account: &AccountId,
        since: Option<Timestamp>,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(READER_SET_ACCEPTING, args![account, since]).await? == 1)
    }
}
