//! Sends many objects: proposes what they need, splits them over associations, says for each what became of it.

use std::{collections::HashSet, io};

use async_trait::async_trait;
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use super::{
    Association, AssociationError, ProposedContext, RequestOptions, RequestorTimeouts, StoreOperation,
    options::MAX_CONTEXTS,
};
use crate::{ClientTls, Status};

/// Associations in a row that end before they have stored anything; then the peer is taken to be unable.
const MAX_FRUITLESS: usize = 3;

/// An object that can be sent. Nothing is opened before its turn.
#[async_trait]
pub trait OutgoingObject: Send + Sync {
    fn sop_class(&self) -> &SopClassUid;

    fn sop_instance(&self) -> &SopInstanceUid;

    /// The transfer syntaxes in which [`open`](Self::open) can give the data set, best first. Usually the one it is stored in.
    fn transfer_syntaxes(&self) -> &[TransferSyntaxUid];

    /// The data set, without file meta information, in one of [`transfer_syntaxes`](Self::transfer_syntaxes). May be called again after a failure.
    async fn open(&self, transfer_syntax: &TransferSyntaxUid) -> io::Result<DataSetSource>;
}

/// The bytes of a data set.
pub struct DataSetSource {
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// When known, a source that gives more or less is not sent to its end.
    pub length: Option<u64>,
}

/// Where to send.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    pub calling: AeTitle,
    pub called: AeTitle,
    pub timeouts: RequestorTimeouts,
    /// `None`: plain DICOM.
    pub tls: Option<ClientTls>,
}

/// What became of one object.
#[derive(Debug)]
pub enum SendOutcome {
    /// The peer answered with this status; [`Status::is_accepted`] says whether it has the object.
    Answered(Status),
    /// The peer accepts the SOP class in none of the object's transfer syntaxes. Not sent.
    NotNegotiated,
    /// Sending failed on the way; whether the peer has the object is unknown.
    Failed(AssociationError),
    /// Never begun: the peer could not be reached or keeps failing, as [`SendReport::error`] says, or the sending was stopped.
    NotSent,
}

impl SendOutcome {
    /// Whether the peer said that it has the object.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Answered(status) if status.is_accepted())
    }
}

/// What became of all objects.
#[derive(Debug)]
pub struct SendReport {
    /// One for each object, in the given order.
    pub outcomes: Vec<SendOutcome>,
    /// Associations that were established.
    pub associations: usize,
    /// Why objects were left [`SendOutcome::NotSent`]; `None` when none was or the caller stopped.
    pub error: Option<AssociationError>,
}

impl SendReport {
    pub fn all_accepted(&self) -> bool {
        self.outcomes.iter().all(SendOutcome::is_accepted)
    }
}

/// Sends every object once, in order, over as few associations as 128 presentation contexts each allow. After an object on which the association fails,
/// the next ones get a new association. `progress` hears of each object as its outcome is known. Stops after the current object when `stop` is
/// cancelled.
pub async fn send_objects<O: OutgoingObject>(
    target: &Target,
    objects: impl IntoIterator<Item = O>,
    stop: &CancellationToken,
    mut progress: impl FnMut(usize, &SendOutcome),
) -> SendReport {
    let objects: Vec<O> = objects.into_iter().collect();
    let mut report = SendReport { outcomes: Vec::with_capacity(objects.len()), associations: 0, error: None };
    let mut fruitless = 0;
    while let Some(rest) = objects.get(report.outcomes.len()..).filter(|rest| !rest.is_empty()) {
        if stop.is_cancelled() {
            break;
        }
        let (batch, contexts) = next_batch(rest);
        if contexts.is_empty() {
            settle(&mut report, &mut progress, SendOutcome::NotNegotiated);
            continue;
        }
        let mut options = RequestOptions::new(target.calling.clone(), target.called.clone(), contexts);
        options.timeouts = target.timeouts;
        options.tls.clone_from(&target.tls);
        let mut association = match Association::request(target.address.as_str(), &options).await {
            Ok(association) => association,
            Err(AssociationError::NoContextAccepted) => {
                batch.iter().for_each(|_| settle(&mut report, &mut progress, SendOutcome::NotNegotiated));
                continue;
            }
            Err(error) => {
                report.error = Some(error);
                break;
            }
        };
        report.associations += 1;
        let mut stored = 0;
        let mut broken = false;
        for object in batch {
            if stop.is_cancelled() {
                break;
            }
            let outcome = send_one(&mut association, object).await;
            broken = association.has_ended();
            stored += usize::from(matches!(outcome, SendOutcome::Answered(_)));
            settle(&mut report, &mut progress, outcome);
            if broken {
                break;
            }
        }
        if broken {
            fruitless = if stored > 0 { 0 } else { fruitless + 1 };
            if fruitless >= MAX_FRUITLESS && report.outcomes.len() < objects.len() {
                report.error = Some(AssociationError::KeepsFailing(fruitless));
                break;
            }
        } else {
            fruitless = 0;
            // All responses are here; how the peer takes the release changes none of them.
            if let Err(error) = association.release().await {
                tracing::debug!(%error, "release failed");
            }
        }
    }
    while report.outcomes.len() < objects.len() {
        settle(&mut report, &mut progress, SendOutcome::NotSent);
    }
    report
}

fn settle(report: &mut SendReport, progress: &mut impl FnMut(usize, &SendOutcome), outcome: SendOutcome) {
    progress(report.outcomes.len(), &outcome);
    report.outcomes.push(outcome);
}

/// As many of the first objects as one association has contexts for; one context for each SOP class in each transfer syntax, so that the acceptor's
/// choice leaves no object behind.
fn next_batch<O: OutgoingObject>(objects: &[O]) -> (&[O], Vec<ProposedContext>) {
    let mut contexts = Vec::new();
    let mut known: HashSet<(&SopClassUid, &TransferSyntaxUid)> = HashSet::new();
    let mut count = 0;
    for object in objects {
        let mut needed: Vec<_> = object.transfer_syntaxes().iter().map(|ts| (object.sop_class(), ts)).collect();
        needed.truncate(MAX_CONTEXTS);
        needed.retain(|pair| !known.contains(pair));
        if contexts.len() + needed.len() > MAX_CONTEXTS || (contexts.is_empty() && needed.is_empty()) {
            break;
        }
        for (sop_class, transfer_syntax) in needed {
            if known.insert((sop_class, transfer_syntax)) {
                contexts.push(ProposedContext::new(sop_class.clone(), vec![transfer_syntax.clone()]));
            }
        }
        count += 1;
    }
    (objects.get(..count).unwrap_or_default(), contexts)
}

async fn send_one<O: OutgoingObject>(association: &mut Association, object: &O) -> SendOutcome {
    let accepted = |ts: &&TransferSyntaxUid| association.context_for(object.sop_class(), ts).is_some();
    let Some(transfer_syntax) = object.transfer_syntaxes().iter().find(accepted) else {
        return SendOutcome::NotNegotiated;
    };
    let Some(context_id) = association.context_for(object.sop_class(), transfer_syntax) else {
        return SendOutcome::NotNegotiated;
    };
    let mut source = match object.open(transfer_syntax).await {
        Ok(source) => source,
        Err(error) => return SendOutcome::Failed(AssociationError::Source(error)),
    };
    let operation = StoreOperation::new(context_id, object.sop_class().clone(), object.sop_instance().clone());
    match association.store(&operation, &mut *source.reader, source.length).await {
        Ok(status) => SendOutcome::Answered(status),
        Err(error) => SendOutcome::Failed(error),
    }
}
