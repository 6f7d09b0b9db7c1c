//! Values in which `{data_dir}` stands for the data directory.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A path or url as it is written in the file. It is only given out with `{data_dir}` replaced, so that nobody opens a directory of that name.
/// Its debug form hides what stands before an `@`: there may be a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Template(String);

impl Template {
    pub const DATA_DIR: &str = "{data_dir}";

    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// With `{data_dir}` still in it: for checks, never for opening.
    pub(crate) fn as_written(&self) -> &str {
        &self.0
    }

    /// As part of a url: the characters of the directory that would end the path of a url are escaped.
    pub(crate) fn in_url(&self, data_dir: &Path) -> String {
        let directory = data_dir.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        self.0.replace(Self::DATA_DIR, &directory)
    }

    pub(crate) fn in_path(&self, data_dir: &Path) -> PathBuf {
        self.0.replace(Self::DATA_DIR, &data_dir.to_string_lossy()).into()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('@') {
            Some((_, host)) => write!(f, "\"***@{host}\""),
            None => write!(f, "{:?}", self.0),
        }
    }
}
