//! The message service over real sockets: with itself, with DCMTK, and with peers that misbehave.

mod dcmtk;
mod exchange;
mod limits;
mod misbehaviour;
mod requestor;
mod support;
