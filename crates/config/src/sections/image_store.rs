use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, Template};

/// Where images and signed reports are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageStoreSection {
    /// `file://PATH`: a directory on a local file system.
    pub url: Template,
    /// With fewer free bytes than this, objects are refused with "out of resources" instead of filling the disk to the last byte.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub low_water_bytes: u64,
}

impl Default for ImageStoreSection {
    fn default() -> Self {
        Self { url: Template::new("file://{data_dir}/image-store"), low_water_bytes: 1_073_741_824 }
    }
}

impl ImageStoreSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        let path = self.url.as_written().strip_prefix("file://");
        if !path.is_some_and(|path| path.starts_with('/') || path.starts_with(Template::DATA_DIR)) {
            problems.push(Problem::new(
                "image_store.url",
                "must be file:// and an absolute path, or file://{data_dir}/ and a name",
            ));
        }
    }
}
