//! Well-behaved senders: DCMTK's, and our own requestor for what DCMTK would change on the way.

use std::net::SocketAddr;
use std::path::Path;

use dokuei_dimse::{
    Association, AssociationError, ProposedContext, RequestOptions, RequestorTimeouts, Status, StoreOperation,
};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use dokuei_testkit::{
    SeededEntropy, Tool,
    data_set::Encoding,
    synthetic::{CT_IMAGE_STORAGE, CtImage, new_uid},
};

use tokio::io::AsyncRead;

use super::{PATIENCE, TestNode};

pub(crate) const CT: &str = CT_IMAGE_STORAGE;
pub(crate) const VERIFICATION: &str = "1.2.840.10008.1.1";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// One of DCMTK's senders, told who calls whom and where; options and files follow.
pub(crate) fn dcmtk(tool: &str, node: &TestNode, calling: &str, called: &str, options: &[&str]) -> Tool {
    dcmtk_at(tool, node.dicom(), calling, called, options)
}

/// As [`dcmtk`], to an address.
pub(crate) fn dcmtk_at(tool: &str, address: SocketAddr, calling: &str, called: &str, options: &[&str]) -> Tool {
    let tool = Tool::find(tool).unwrap().args(["-aet", calling, "-aec", called]).args(options);
    tool.arg(address.ip().to_string()).arg(address.port().to_string()).timeout(PATIENCE)
}

/// An object and what an association says of it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) sop_class: String,
    pub(crate) sop_instance: String,
    pub(crate) transfer_syntax: String,
    pub(crate) data_set: Vec<u8>,
}

impl Object {
    pub(crate) fn ct(image: &CtImage) -> Self {
        Self {
            sop_class: CT.to_owned(),
            sop_instance: image.sop_instance_uid.clone(),
            transfer_syntax: EXPLICIT.to_owned(),
            data_set: image.data_set(Encoding::ExplicitLittleEndian),
        }
    }
}

/// Slices of one new study and series that nobody else has.
pub(crate) fn synthetic(count: u32, seed: u64) -> Vec<CtImage> {
    CtImage::series(count, &SeededEntropy::new(seed))
}

/// A UID that nobody else has.
pub(crate) fn uid(seed: u64) -> String {
    new_uid(&SeededEntropy::new(seed))
}

fn timeouts() -> RequestorTimeouts {
    // A node without its database tries for a while before it refuses.
    RequestorTimeouts { connect: PATIENCE, association: PATIENCE, response: 2 * PATIENCE }
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

/// Associates with the node for the SOP classes in the transfer syntaxes, one context each.
pub(crate) async fn associate(
    node: &TestNode,
    calling: &str,
    contexts: &[(&str, &[&str])],
) -> Result<Association, AssociationError> {
    let context = |(class, syntaxes): &(&str, &[&str])| {
        let syntaxes = syntaxes.iter().map(|uid| TransferSyntaxUid::parse(uid).unwrap()).collect();
        ProposedContext::new(SopClassUid::parse(class).unwrap(), syntaxes)
    };
    let mut options = RequestOptions::new(title(calling), title("DOKUEI"), contexts.iter().map(context).collect());
    options.timeouts = timeouts();
    Association::request(node.dicom(), &options).await
}

/// C-ECHO on an association of its own.
pub(crate) async fn echo(node: &TestNode, calling: &str) -> Result<Status, AssociationError> {
    Association::verify(node.dicom(), title(calling), title("DOKUEI"), timeouts()).await
}

/// An association on which CT images in explicit little endian can be sent.
pub(crate) async fn scu(node: &TestNode, calling: &str) -> Association {
    associate(node, calling, &[(CT, &[EXPLICIT])]).await.unwrap()
}

/// C-STORE of the data set as it stands.
pub(crate) async fn send(association: &mut Association, object: &Object) -> Result<Status, AssociationError> {
    let mut data_set: &[u8] = &object.data_set;
    send_from(association, object, &mut data_set, object.data_set.len() as u64).await
}

/// C-STORE of `object` with another source for its data set.
pub(crate) async fn send_from(
    association: &mut Association,
    object: &Object,
    data_set: &mut (dyn AsyncRead + Send + Unpin),
    length: u64,
) -> Result<Status, AssociationError> {
    let operation = operation(association, object);
    association.store(&operation, data_set, Some(length)).await
}

pub(super) fn operation(association: &Association, object: &Object) -> StoreOperation {
    let class = SopClassUid::parse(&object.sop_class).unwrap();
    let syntax = TransferSyntaxUid::parse(&object.transfer_syntax).unwrap();
    let context = association.context_for(&class, &syntax).expect("the object's context was not negotiated");
    StoreOperation::new(context, class, SopInstanceUid::parse(&object.sop_instance).unwrap())
}

/// C-STORE on an association of its own, released afterwards.
pub(crate) async fn send_alone(node: &TestNode, calling: &str, object: &Object) -> Result<Status, AssociationError> {
    let context = (object.sop_class.as_str(), &[object.transfer_syntax.as_str()][..]);
    let mut association = associate(node, calling, &[context]).await?;
    let status = send(&mut association, object).await?;
    association.release().await?;
    Ok(status)
}

impl TestNode {
    /// Sends files or folders with DCMTK's storescu, which must succeed.
    pub(crate) async fn storescu(&self, calling: &str, paths: &[&Path]) {
        let sent = dcmtk("storescu", self, calling, "DOKUEI", &["-v", "+sd"]).args(paths).run_async().await.unwrap();
        assert!(sent.status.success() && !sent.all_text().contains("E: "), "{sent}");
    }
}
