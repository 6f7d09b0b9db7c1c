//! Putting a good blob in the place of a damaged one.
//!
//! The only way by which a key gets other bytes than it had, and it overwrites nothing: what is there is set aside under `damaged/` for whoever wants to
//! know what happened to it. That the new bytes are the right ones is for the caller to check *before*, with [`StagedBlob::payload_digest`].

use std::sync::Arc;

use crate::store::{Backend, in_background};
use crate::{BlobKey, ImageStore, Receipt, StagedBlob, StoreError};

/// A repaired blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub receipt: Receipt,
    /// Where in the store the damaged bytes are now; `None` when the blob was missing.
    pub set_aside: Option<String>,
}

/// Where a damaged blob goes. The label keeps the second damage of a blob apart from the first.
pub(crate) fn aside_name(key: &BlobKey, label: &str) -> String {
    format!("damaged/{key}.{label}")
}

impl ImageStore {
    /// Commits `staged` in the place of the damaged or missing blob of its key. `label` is a name of ours, such as a UUID.
    ///
    /// Between the two steps the key has no blob for a moment: a reader gets [`crate::StoreErrorKind::NotFound`] instead of damaged bytes. When the commit
    /// fails, the damaged blob is put back; after a crash in between the blob is missing, which the next scrub finds and repairs in the same way.
    pub async fn replace_damaged(&self, staged: StagedBlob, label: &str) -> Result<Replaced, StoreError> {
        let key = staged.key().clone();
        let set_aside = self.set_aside(&key, label).await?;
        match staged.commit().await {
            Ok(receipt) => Ok(Replaced { receipt, set_aside }),
            Err(error) => {
                if let Some(name) = &set_aside
                    && let Err(second) = self.put_back(&key, name).await
                {
                    tracing::error!(blob.key = %key, error = %second, "a damaged blob stays where it was set aside");
                }
                Err(error)
            }
        }
    }

    /// Whether the place is there at all. A store that is not mounted looks like one whose blobs are all missing; who is about to say so asks here first.
    pub async fn answers(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let store = Arc::clone(store);
                in_background("look for image store", None, move || store.answers()).await
            }
            Backend::S3(store) => store.is_there("look for image store", None).await,
        }
    }

    async fn set_aside(&self, key: &BlobKey, label: &str) -> Result<Option<String>, StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted, label) = (Arc::clone(store), key.clone(), label.to_owned());
                in_background("set damaged blob aside", Some(key), move || store.set_aside(&wanted, &label)).await
            }
            Backend::S3(store) => store.set_aside(key, label).await,
        }
    }

    async fn put_back(&self, key: &BlobKey, name: &str) -> Result<(), StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted, name) = (Arc::clone(store), key.clone(), name.to_owned());
                in_background("put damaged blob back", Some(key), move || store.put_back(&wanted, &name)).await
            }
            Backend::S3(store) => store.put_back(key, name).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::conformance::{instance, keys};
    use crate::{ImageStore, StoreErrorKind};

    async fn staged(store: &ImageStore, number: u128, bytes: &'static [u8]) -> crate::StagedBlob {
        let mut staged = store.stage(instance("HOSP1", number), Bytes::from_static(b"head")).await.unwrap();
        staged.write(Bytes::from_static(bytes)).await.unwrap();
        staged
    }

    #[tokio::test]
    async fn a_damaged_blob_is_replaced_and_kept_aside() {
        let place = tempfile::tempdir().unwrap();
        let store = ImageStore::connect(&format!("file://{}", place.path().display())).await.unwrap();
        let key = instance("HOSP1", 1);
        staged(&store, 1, b"damaged").await.commit().await.unwrap();

        let replaced = store.replace_damaged(staged(&store, 1, b"sound").await, "a").await.unwrap();

        assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"headsound");
        let aside = place.path().join(replaced.set_aside.unwrap());
        assert_eq!(std::fs::read(&aside).unwrap(), b"headdamaged");
        assert_eq!(keys(&store, "").await, [key.as_str()], "what is set aside is never listed");

        // Missing instead of damaged; and a second repair keeps apart what the first one set aside.
        store.delete(&key).await.unwrap();
        let replaced = store.replace_damaged(staged(&store, 1, b"sound").await, "b").await.unwrap();
        assert_eq!(replaced.set_aside, None);
        store.replace_damaged(staged(&store, 1, b"again").await, "c").await.unwrap();
        assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"headagain");
        assert!(aside.is_file());
    }

    #[tokio::test]
    async fn what_cannot_be_replaced_stays_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let store = ImageStore::connect(&format!("file://{}", place.path().display())).await.unwrap();
        let key = instance("HOSP1", 1);
        staged(&store, 1, b"damaged").await.commit().await.unwrap();
        let mut good = staged(&store, 1, b"sound").await;
        good.payload_digest().await.unwrap();
        // The staged bytes go away under the commit.
        std::fs::remove_dir_all(place.path().join("staging")).unwrap();

        store.replace_damaged(good, "a").await.unwrap_err();

        assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"headdamaged");
    }

    #[tokio::test]
    async fn a_store_that_is_not_mounted_does_not_answer() {
        let place = tempfile::tempdir().unwrap();
        let store = ImageStore::connect(&format!("file://{}", place.path().display())).await.unwrap();
        store.answers().await.unwrap();
        std::fs::remove_dir_all(place.path().join("staging")).unwrap();
        assert_eq!(store.answers().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_walk_goes_on_where_it_was() {
        let place = tempfile::tempdir().unwrap();
        let store = ImageStore::connect(&format!("file://{}", place.path().display())).await.unwrap();
        // Two shards, two facilities of which one name begins with the other, and a fact.
        let far = 0x0199_a2b3_c4d5_7e6f_8a9b_0c1d_2e3f_4a5b;
        let mut all = Vec::new();
        for (facility, number) in [("A", 1), ("A", 2), ("A", far), ("A-B", 1), ("AB", far)] {
            all.push(instance(facility, number));
        }
        all.push(crate::BlobKey::fact(all[0].facility(), uuid::Uuid::from_u128(far)));
        for key in &all {
            store.put(key.clone(), Bytes::from_static(b"x")).await.unwrap();
        }
        let mut sorted: Vec<String> = all.iter().map(ToString::to_string).collect();
        sorted.sort();
        assert_eq!(keys(&store, "").await, sorted);
        for prefix in ["", "v1/", "v1/A/", "facts/v1/"] {
            let wanted: Vec<_> = sorted.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
            let between = ["v1/A/", "v1/A/0199a2", "v1/A/0199a2b3-c4d5", "v1/A0", "v1/B", "zzz", ""].map(str::to_owned);
            for after in sorted.iter().cloned().chain(between) {
                let mut found = Vec::new();
                let mut list = store.list_after(prefix, &after);
                while let Some((key, _)) = list.next().await.unwrap() {
                    found.push(key.to_string());
                }
                let rest: Vec<_> = wanted.iter().filter(|key| **key > after).cloned().collect();
                assert_eq!(found, rest, "{prefix:?} after {after:?}");
            }
        }
    }
}
