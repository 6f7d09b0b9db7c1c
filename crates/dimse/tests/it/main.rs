//! The message service over real sockets: with itself, with DCMTK, and with peers that misbehave.

mod dcmtk;
mod desk;
mod events;
mod exchange;
mod limits;
mod misbehaviour;
mod negotiation;
mod normalized;
mod pynetdicom;
mod query;
mod raw;
mod requestor;
mod support;
mod tls;
mod tls_peers;
