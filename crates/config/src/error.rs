//! Why a configuration is refused.

use std::fmt;
use std::path::PathBuf;

/// A refused configuration. The message says where the fault stands: file and line, or environment variable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Not TOML, an unknown key, or a value of the wrong type. The message holds no line of the file, which may have a secret in it.
    #[error("{}:{line}: {message}", path.display())]
    File { path: PathBuf, line: usize, message: String },
    #[error("environment variable {variable}: {message}")]
    Environment { variable: String, message: String },
    /// Values of the right type that cannot be right.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    #[error("cannot read the file that {key} names: {}", path.display())]
    SecretFile { key: &'static str, path: PathBuf, source: std::io::Error },
}

/// One value that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `section.key`
    pub key: String,
    /// What must be, to be read after the key.
    pub message: String,
    /// Where the value stands: `FILE:LINE` or `environment variable NAME`. `None` for a default or a value set by the program.
    pub origin: Option<String>,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), origin: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{} {}", self.key, self.message)
    }
}
