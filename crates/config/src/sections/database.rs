use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Problem, Secret, Template};

/// The index, worklist, reports in work and jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSection {
    /// `sqlite://PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE` for PostgreSQL 15 or newer.
    pub url: Template,
    /// File that holds the url, so that its password is not in this file. Then `url` must not be set.
    #[schemars(example = &"/run/credentials/dokuei.service/database-url")]
    pub url_file: Option<Template>,
    /// For SQLite on another file system than the images: with fewer free bytes than this there, nothing is received. A PostgreSQL server watches its own disk.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub low_water_bytes: u64,
}

impl Default for DatabaseSection {
    fn default() -> Self {
        Self { url: Template::new("sqlite://{data_dir}/dokuei.db"), url_file: None, low_water_bytes: 268_435_456 }
    }
}

impl DatabaseSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        if self.url_file.is_none() && !is_supported(self.url.as_written()) {
            problems.push(Problem::new("database.url", "must begin with sqlite:// or postgres://"));
        }
    }

    /// The directory of the file, for SQLite.
    pub(crate) fn directory(url: &Secret) -> Option<std::path::PathBuf> {
        let path = url.expose().strip_prefix("sqlite://")?;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        Path::new(path).parent().map(Path::to_owned)
    }

    /// The url for a data directory; read from `url_file` if that is set.
    pub(crate) fn resolve(&self, data_dir: &Path) -> Result<Secret, ConfigError> {
        let Some(file) = &self.url_file else { return Ok(Secret::new(self.url.in_url(data_dir))) };
        let secret = Secret::read("database.url_file", &file.in_path(data_dir))?;
        if is_supported(secret.expose()) {
            Ok(secret)
        } else {
            Err(ConfigError::Invalid(vec![Problem::new(
                "database.url_file",
                "names a file whose text does not begin with sqlite:// or postgres://",
            )]))
        }
    }
}

fn is_supported(url: &str) -> bool {
    ["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}
