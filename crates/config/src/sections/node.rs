use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// This node and the organisation whose readers sign here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// Directory of everything that this node keeps, unless another place is named below. `{data_dir}` in other values stands for it.
    /// `--data-dir` on the command line wins.
    pub data_dir: PathBuf,
    /// Name of the reading organisation, as it is printed on reports. At most 64 characters, because it becomes
    /// Verifying Organization (0040,A027).
    pub organisation: String,
    /// Time zone of calendars, printed times and DICOM times, by its IANA name.
    pub time_zone: String,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/dokuei".into(),
            organisation: "遠隔読影センター".into(),
            time_zone: "Asia/Tokyo".into(),
        }
    }
}

impl NodeSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        if self.data_dir.as_os_str().is_empty() {
            problems.push(Problem::new("node.data_dir", "must name a directory"));
        }
        if self.data_dir.to_str().is_none() {
            problems.push(Problem::new("node.data_dir", "must be valid UTF-8"));
        }
        let name = self.organisation.trim();
        let legal = |c: char| !c.is_control() && c != '\\';
        if name.is_empty() || name.chars().count() > 64 || !name.chars().all(legal) {
            problems.push(Problem::new(
                "node.organisation",
                "must be 1 to 64 characters without backslash and control characters",
            ));
        }
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            problems.push(Problem::new(
                "node.time_zone",
                "is no time zone of the IANA database; write it as in Asia/Tokyo",
            ));
        }
    }
}
