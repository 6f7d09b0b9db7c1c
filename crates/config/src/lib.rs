//! What an administrator can decide about a node: one TOML file, overridden by `DOKUEI__SECTION__KEY` environment variables.
//!
//! What it is: typed sections with a default for every key, so that a node runs without any file; [`Config::load`], which refuses what it does
//! not know and says where it stands; the example file and the JSON schema, both made from the types.
//!
//! What it is not: it opens nothing and connects nowhere; what hospitals, readers and accounts are is in the database and is changed while the
//! node runs.
//!
//! To add the next key: a field in `sections/`, with a doc comment (it becomes the text of the example), a default, and a `range` or a check
//! in the section's `validate`; then `UPDATE_EXAMPLE=1 cargo test -p dokuei-config` writes the example anew. A key comes with the code that
//! reads it, never before. A secret gets a sibling `…_file`, resolved as [`Config::database_url`] does.

mod error;
mod example;
mod load;
mod secret;
pub mod sections;
mod template;

use std::path::{Path, PathBuf};

use dokuei_domain::AeTitle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::{ConfigError, Problem};
pub use secret::Secret;
pub use sections::{
    AccessSection, DatabaseSection, DicomSection, DicomTlsFiles, HttpSection, ImageStoreKeys, ImageStoreSection,
    LogFormat, NodeSection, PlainNetwork, ReportSection, TelemetrySection, TlsClientCertificate, TransferSyntaxOrder,
    WorklistSection,
};
pub use template::Template;

/// The settings of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: NodeSection,
    pub dicom: DicomSection,
    pub http: HttpSection,
    pub database: DatabaseSection,
    pub image_store: ImageStoreSection,
    pub worklist: WorklistSection,
    pub report: ReportSection,
    pub access: AccessSection,
    pub telemetry: TelemetrySection,
}

impl Config {
    /// Reads `path` (no file: the defaults), lays the variables of `environment` that begin with `DOKUEI__` over it, and validates the result.
    /// Give it `std::env::vars_os()`.
    ///
    /// # Errors
    /// Everything that is unknown, of the wrong type or out of range, with file and line or the name of the variable.
    pub fn load<K, V>(path: Option<&Path>, environment: impl IntoIterator<Item = (K, V)>) -> Result<Self, ConfigError>
    where
        K: Into<std::ffi::OsString>,
        V: Into<std::ffi::OsString>,
    {
        load::load(path, environment.into_iter().map(|(name, value)| (name.into(), value.into())))
    }

    /// The same settings with another data directory, as `--data-dir` on the command line wants it; a relative one counts from the current directory.
    pub fn with_data_dir(mut self, directory: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        self.node.data_dir = directory.into();
        self.make_data_dir_absolute()?;
        Ok(self)
    }

    /// The data directory; absolute in a configuration that was loaded.
    pub fn data_dir(&self) -> &Path {
        &self.node.data_dir
    }

    /// The address of the database; read from its file now, if the configuration names one.
    pub fn database_url(&self) -> Result<Secret, ConfigError> {
        self.database.resolve(self.data_dir())
    }

    /// The files of DICOM over TLS; `None` when the configuration names no certificate.
    pub fn dicom_tls_files(&self) -> Option<DicomTlsFiles> {
        self.dicom.tls_files(self.data_dir())
    }

    /// The address of the image store.
    pub fn image_store_url(&self) -> String {
        self.image_store.url.in_url(self.data_dir())
    }

    /// Who the node is to the S3 server of [`Self::image_store_url`]; `None`: what the environment says. Read from files now, if the configuration names them.
    pub fn image_store_keys(&self) -> Result<Option<ImageStoreKeys>, ConfigError> {
        self.image_store.resolve_keys(self.data_dir())
    }

    /// The address of the second copy, if there is to be one.
    pub fn image_store_copy_url(&self) -> Option<String> {
        self.image_store.copy_url.as_ref().map(|url| url.in_url(self.data_dir()))
    }

    /// As [`Self::image_store_keys`], for [`Self::image_store_copy_url`].
    pub fn image_store_copy_keys(&self) -> Result<Option<ImageStoreKeys>, ConfigError> {
        self.image_store.resolve_copy_keys(self.data_dir())
    }

    /// The directory that holds the database; `None` when it is a server's.
    pub fn database_directory(&self) -> Result<Option<PathBuf>, ConfigError> {
        Ok(DatabaseSection::directory(&self.database_url()?))
    }

    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all problems, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = example::values_out_of_range(self);
        self.node.validate(&mut problems);
        self.dicom.validate(&mut problems);
        self.http.validate(&mut problems);
        self.database.validate(&mut problems);
        self.image_store.validate(&mut problems);
        self.worklist.validate(&mut problems);
        self.report.validate(&mut problems);
        self.access.validate(&mut problems);
        self.telemetry.validate(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The commented example file: every key with its explanation and default.
    pub fn example() -> String {
        Self::default().to_toml()
    }

    /// These settings as a commented file of the shape of [`Self::example`]. A password in a url is part of it.
    pub fn to_toml(&self) -> String {
        example::render(self)
    }

    /// The JSON schema (draft 2020-12) of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    fn make_data_dir_absolute(&mut self) -> Result<(), ConfigError> {
        let refuse = |message| ConfigError::Invalid(vec![Problem::new("node.data_dir", message)]);
        let absolute = std::path::absolute(&self.node.data_dir).map_err(|_| refuse("must name a directory"))?;
        if absolute.to_str().is_none() {
            return Err(refuse("must be valid UTF-8"));
        }
        self.node.data_dir = absolute;
        Ok(())
    }
}

/// How the node is called, and how it calls, when nobody says otherwise.
pub(crate) fn default_ae_title() -> AeTitle {
    #[expect(clippy::expect_used, reason = "a constant; the default configuration is tested")]
    AeTitle::parse("DOKUEI").expect("DOKUEI is an AE title")
}

#[cfg(test)]
mod tests;
