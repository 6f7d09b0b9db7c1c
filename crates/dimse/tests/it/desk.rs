//! A node that offers storage commitment, performed procedure steps and study queries, and does with requests what a test tells it to.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dokuei_dimse::{
    FindAnswers, FindRequest, NormalizedRequest, NormalizedResponse, NormalizedService, OfferedService, PeerLink,
    QueryService, RequestOptions, Roles, ServerConfig, ServicePolicy, Status,
};
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

pub(crate) const COMMITMENT: &str = "1.2.840.10008.1.20.1";
pub(crate) const COMMITMENT_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
pub(crate) const PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";
pub(crate) const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";

pub(crate) fn policy() -> ServicePolicy {
    ServicePolicy::new(vec![
        OfferedService::new(COMMITMENT).peer_may_be(Roles::BOTH),
        OfferedService::new(PROCEDURE_STEP),
        OfferedService::new(STUDY_ROOT_FIND).answering_extended(vec![1, 1, 0]),
    ])
}

type Answer = dyn Fn(&NormalizedRequest) -> NormalizedResponse + Send + Sync;

/// What the services saw.
pub(crate) struct Desk {
    pub(crate) node: Node,
    requests: Arc<Mutex<Vec<NormalizedRequest>>>,
    links: mpsc::UnboundedReceiver<PeerLink>,
    queries: mpsc::UnboundedReceiver<QueryEvent>,
    /// Each match takes a permit.
    pub(crate) matches: Arc<Semaphore>,
}

#[derive(Debug)]
pub(crate) enum QueryEvent {
    Asked(FindRequest),
    /// The service was stopped before it was done.
    Dropped,
}

impl Desk {
    /// Answers N-* requests with success, and queries with `matches` identifiers as fast as they can go.
    pub(crate) async fn open(matches: usize) -> Self {
        Self::with(quick(), matches, |_| NormalizedResponse::new(Status::SUCCESS)).await
    }

    pub(crate) async fn with(
        config: ServerConfig,
        matches: usize,
        answer: impl Fn(&NormalizedRequest) -> NormalizedResponse + Send + Sync + 'static,
    ) -> Self {
        let (link_sender, links) = mpsc::unbounded_channel();
        let (query_sender, queries) = mpsc::unbounded_channel();
        let requests = Arc::default();
        let permits = Arc::new(Semaphore::new(matches));
        let normalized =
            Steps { requests: Arc::clone(&requests), links: link_sender, answer: Box::new(answer) as Box<Answer> };
        let query = Studies { matches: Arc::clone(&permits), events: query_sender };
        let node = Node::offering(config, Behaviour::Keep, policy(), Arc::new(normalized), Arc::new(query)).await;
        Self { node, requests, links, queries, matches: permits }
    }

    pub(crate) fn requests(&self) -> Vec<NormalizedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// The way back to the peer of the next N-* request.
    pub(crate) async fn link(&mut self) -> PeerLink {
        soon("an N-* request", self.links.recv()).await.unwrap()
    }

    pub(crate) async fn query(&mut self) -> QueryEvent {
        soon("a query", self.queries.recv()).await.unwrap()
    }
}

struct Steps {
    requests: Arc<Mutex<Vec<NormalizedRequest>>>,
    links: mpsc::UnboundedSender<PeerLink>,
    answer: Box<Answer>,
}

#[async_trait]
impl NormalizedService<Session> for Steps {
    async fn handle(&self, _: &Arc<Session>, request: NormalizedRequest, peer: &PeerLink) -> NormalizedResponse {
        let response = (self.answer)(&request);
        self.requests.lock().unwrap().push(request);
        let _ = self.links.send(peer.clone());
        response
    }
}

struct Studies {
    matches: Arc<Semaphore>,
    events: mpsc::UnboundedSender<QueryEvent>,
}

/// The identifier of one match, in explicit VR little endian: the level and a Study Instance UID.
pub(crate) fn found(number: usize) -> Vec<u8> {
    let mut uid = format!("1.2.{number}").into_bytes();
    uid.resize(uid.len().next_multiple_of(2), 0);
    let level = [&[0x08, 0, 0x52, 0][..], b"CS", &[6, 0], b"STUDY "].concat();
    let header = [&[0x20, 0, 0x0d, 0][..], b"UI", &[u8::try_from(uid.len()).unwrap(), 0]].concat();
    [level, header, uid].concat()
}

/// An identifier that is answered with as many matches as there are permits, and no end.
pub(crate) const ENDLESS: &[u8] = b"endless ";

#[async_trait]
impl QueryService<Session> for Studies {
    async fn find(&self, _: &Arc<Session>, request: FindRequest, answers: &FindAnswers) -> Status {
        let endless = request.identifier == ENDLESS;
        let _ = self.events.send(QueryEvent::Asked(request));
        let unfinished = Unfinished(&self.events);
        let mut number = 0;
        loop {
            let permit = if endless { self.matches.acquire().await.ok() } else { self.matches.try_acquire().ok() };
            let Some(permit) = permit else { break };
            permit.forget();
            match number % 2 {
                0 => answers.found(found(number)).await,
                _ => answers.found_with_unsupported_keys(found(number)).await,
            }
            number += 1;
        }
        std::mem::forget(unfinished);
        Status::SUCCESS
    }
}

struct Unfinished<'a>(&'a mpsc::UnboundedSender<QueryEvent>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let _ = self.0.send(QueryEvent::Dropped);
    }
}

/// HOSP1 calls DOKUEI, for all services of the desk and verification: contexts 1, 3, 5 and 7.
pub(crate) fn desk_options() -> RequestOptions {
    let mut options = RequestOptions::new(
        ae("HOSP1"),
        ae("DOKUEI"),
        vec![
            context(COMMITMENT, &[EXPLICIT]),
            context(PROCEDURE_STEP, &[IMPLICIT, EXPLICIT]),
            context(STUDY_ROOT_FIND, &[EXPLICIT]),
            context(VERIFICATION, &[IMPLICIT]),
        ],
    );
    options.timeouts = patient();
    options
}

/// As [`desk_options`], but speaking bytes.
pub(crate) async fn raw_desk_peer(desk: &Desk, user_items: &[Vec<u8>]) -> RawPeer {
    let mut peer = RawPeer::connect(desk.node.address).await;
    let contexts: &[(u8, &str, &[&str])] = &[
        (1, COMMITMENT, &[EXPLICIT]),
        (3, PROCEDURE_STEP, &[IMPLICIT]),
        (5, STUDY_ROOT_FIND, &[EXPLICIT]),
        (7, VERIFICATION, &[IMPLICIT]),
    ];
    peer.send(&associate_request(contexts, user_items)).await;
    assert_eq!(peer.receive().await.0, 2, "no A-ASSOCIATE-AC");
    peer
}
