use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Problem, Secret, Template};

/// Where images and signed reports are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageStoreSection {
    /// `file://PATH`: a directory on a local file system. `s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION`: an S3-compatible server that
    /// knows conditional writes; without `endpoint` Amazon's. An `http://` endpoint must be a loopback address, unless `&unencrypted=allowed` is said;
    /// `&path_style=false` puts the bucket into the host's name.
    pub url: Template,
    /// For `s3://`: the access key. Without it the environment is asked: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity, the machine's role.
    #[schemars(example = &"AKIAIOSFODNN7EXAMPLE")]
    pub access_key: Option<Secret>,
    /// File that holds the access key. Then `access_key` must not be set.
    #[schemars(example = &"/run/credentials/dokuei.service/s3-access-key")]
    pub access_key_file: Option<Template>,
    /// For `s3://`: the secret that belongs to the access key.
    #[schemars(example = &"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")]
    pub secret_key: Option<Secret>,
    /// File that holds the secret, so that it is not in this file. Then `secret_key` must not be set.
    #[schemars(example = &"/run/credentials/dokuei.service/s3-secret-key")]
    pub secret_key_file: Option<Template>,
    /// With fewer free bytes than this, objects are refused with "out of resources" instead of filling the disk to the last byte. An S3 server does not
    /// tell how much is free; it refuses by itself.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub low_water_bytes: u64,
    /// A second place that gets a copy of everything stored, in the form of `url`. Node and senders wait for it never: copies follow within seconds, and
    /// when it is down the lag is shown. What is damaged in one place can be repaired from the other.
    #[schemars(example = &"file:///mnt/backup/dokuei")]
    pub copy_url: Option<Template>,
    /// For `s3://` in `copy_url`: files that hold the access key and its secret. Without them those of `url`, or the environment.
    #[schemars(example = &"/run/credentials/dokuei.service/copy-access-key")]
    pub copy_access_key_file: Option<Template>,
    /// File that holds the secret that belongs to `copy_access_key_file`.
    #[schemars(example = &"/run/credentials/dokuei.service/copy-secret-key")]
    pub copy_secret_key_file: Option<Template>,
    /// Every stored object is read again and its hash compared within this many days.
    #[schemars(range(min = 1, max = 3_650))]
    pub scrub_days: u32,
    /// Reading again, comparing and copying take at most this many bytes in a second, a quarter of it while objects arrive; 0 sets no limit.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub scrub_bytes_per_second: u64,
    /// Index and store are compared as a whole every this many days; what is new is compared at start and every ten minutes.
    #[schemars(range(min = 1, max = 3_650))]
    pub reconcile_full_days: u32,
}

/// Who the node is to an S3 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStoreKeys {
    pub access_key: Secret,
    pub secret_key: Secret,
}

impl Default for ImageStoreSection {
    fn default() -> Self {
        Self {
            url: Template::new("file://{data_dir}/image-store"),
            access_key: None,
            access_key_file: None,
            secret_key: None,
            secret_key_file: None,
            low_water_bytes: 1_073_741_824,
            copy_url: None,
            copy_access_key_file: None,
            copy_secret_key_file: None,
            scrub_days: 30,
            scrub_bytes_per_second: 16 * 1_048_576,
            reconcile_full_days: 7,
        }
    }
}

impl ImageStoreSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        for (name, url) in [("image_store.url", Some(&self.url)), ("image_store.copy_url", self.copy_url.as_ref())] {
            if !url.is_none_or(|url| is_place(url.as_written())) {
                problems.push(Problem::new(
                    name,
                    "must be file:// and an absolute path, file://{data_dir}/ and a name, or s3:// and a bucket; keys have their own lines",
                ));
            }
        }
        if self.copy_url.as_ref().is_some_and(|copy| copy.as_written() == self.url.as_written()) {
            problems.push(Problem::new("image_store.copy_url", "must be another place than image_store.url"));
        }
        for (one, other, name) in [
            (&self.copy_access_key_file, &self.copy_secret_key_file, "image_store.copy_access_key_file"),
            (&self.copy_secret_key_file, &self.copy_access_key_file, "image_store.copy_secret_key_file"),
        ] {
            if one.is_some() && other.is_none() {
                problems.push(Problem::new(name, "needs the other half of the key beside it"));
            }
        }
        let access_key = self.access_key.is_some() || self.access_key_file.is_some();
        let secret_key = self.secret_key.is_some() || self.secret_key_file.is_some();
        if access_key && !secret_key {
            problems.push(Problem::new(
                "image_store.access_key",
                "needs image_store.secret_key or secret_key_file beside it",
            ));
        }
        if secret_key && !access_key {
            problems.push(Problem::new(
                "image_store.secret_key",
                "needs image_store.access_key or access_key_file beside it",
            ));
        }
    }

    /// The keys, read from their files if those are set; `None` when the environment is to be asked.
    pub(crate) fn resolve_keys(&self, data_dir: &Path) -> Result<Option<ImageStoreKeys>, ConfigError> {
        let read = |key, value: &Option<Secret>, file: &Option<Template>| match file {
            Some(file) => Secret::read(key, &file.in_path(data_dir)).map(Some),
            None => Ok(value.clone()),
        };
        let access_key = read("image_store.access_key_file", &self.access_key, &self.access_key_file)?;
        let secret_key = read("image_store.secret_key_file", &self.secret_key, &self.secret_key_file)?;
        Ok(access_key.zip(secret_key).map(|(access_key, secret_key)| ImageStoreKeys { access_key, secret_key }))
    }

    /// The keys of the second place: its own, else those of the first.
    pub(crate) fn resolve_copy_keys(&self, data_dir: &Path) -> Result<Option<ImageStoreKeys>, ConfigError> {
        let (Some(access_key), Some(secret_key)) = (&self.copy_access_key_file, &self.copy_secret_key_file) else {
            return self.resolve_keys(data_dir);
        };
        Ok(Some(ImageStoreKeys {
            access_key: Secret::read("image_store.copy_access_key_file", &access_key.in_path(data_dir))?,
            secret_key: Secret::read("image_store.copy_secret_key_file", &secret_key.in_path(data_dir))?,
        }))
    }
}

fn is_place(url: &str) -> bool {
    let directory =
        url.strip_prefix("file://").is_some_and(|path| path.starts_with('/') || path.starts_with(Template::DATA_DIR));
    let bucket = url.strip_prefix("s3://").is_some_and(|bucket| !bucket.is_empty() && !url.contains('@'));
    directory || bucket
}
