//! Text that must not be printed.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// A longer file is not a secret that somebody typed.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A text with a password in it. Prints as `***`; [`Self::expose`] gives it to who needs it, and so does writing the configuration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The content of a `*_file`, without the line end that editors put after it.
    pub(crate) fn read(key: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::SecretFile { key, path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text)).map_err(failed)?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(Self(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
