//! A sender in the middle of an object: the association that others must not harm, or that a stop must let finish.

use dokuei_dimse::{Association, AssociationError, Status};
use dokuei_testkit::eventually;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::{Object, PATIENCE, TestNode, dicom, scu};

/// Has sent the first half of an object and waits.
pub(crate) struct SlowSender {
    object: Object,
    rest: Vec<u8>,
    feed: DuplexStream,
    sending: JoinHandle<Result<(Status, Association), AssociationError>>,
}

impl SlowSender {
    /// Sends the first half of a CT of a study of its own, and returns when the node has staged it (in a bucket nobody sees that).
    pub(crate) async fn begin(node: &TestNode, calling: &str, seed: u64) -> Self {
        let mut image = dicom::synthetic(1, seed).remove(0);
        image.size = 1024;
        let object = Object::ct(&image);
        let before = node.staged().len();
        let mut association = scu(node, calling).await;
        let operation = dicom::operation(&association, &object);
        let length = object.data_set.len();
        let (mut feed, mut source) = tokio::io::duplex(length);
        let sending = tokio::spawn(async move {
            let status = association.store(&operation, &mut source, Some(length as u64)).await?;
            Ok((status, association))
        });
        let (first, rest) = object.data_set.split_at(length / 2);
        feed.write_all(first).await.unwrap();
        if node.s3().is_none() {
            let staged = || async { (node.staged().len() > before).then_some(()) };
            eventually("the staged half", PATIENCE, staged).await.unwrap();
        }
        Self { rest: rest.to_vec(), object, feed, sending }
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Sends the other half; gives the answer.
    pub(crate) async fn finish(mut self) -> Result<(Status, Association), AssociationError> {
        // A node that has gone away does not read; the sender's error says so.
        let _ = self.feed.write_all(&self.rest).await;
        drop(self.feed);
        self.sending.await.unwrap()
    }

    /// As [`Self::finish`], and nothing had disturbed it: the object is there, byte for byte.
    pub(crate) async fn finish_unharmed(self, node: &TestNode, facility: &str) {
        let object = self.object.clone();
        let (status, association) = self.finish().await.expect("another association was harmed");
        assert_eq!(status, Status::SUCCESS);
        association.release().await.unwrap();
        let stored = node.export_instance(facility, &object.sop_instance).await;
        assert!(stored.as_ref() == Some(&object.data_set), "the object of another association was changed or lost");
    }
}
