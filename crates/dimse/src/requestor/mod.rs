//! The client side: asks for associations, verifies and sends.
//!
//! [`Association`] is one association, with an operation of each service; [`send_objects`] sends many objects over as many associations as their presentation contexts need.

mod association;
mod error;
mod find;
mod incoming;
mod normalized;
mod options;
mod part10;
mod send;
mod store;

pub use association::Association;
pub use error::AssociationError;
pub use find::{FindOperation, FindReply, Query};
pub use normalized::{NormalizedCommand, NormalizedReply, ReceivedEvent};
pub use options::{NegotiatedContext, ProposedContext, RequestOptions, RequestorTimeouts};
pub use part10::{Part10Error, Part10File};
pub use send::{DataSetSource, OutgoingObject, SendOutcome, SendReport, Target, send_objects};
pub use store::StoreOperation;
