//! One file per section. Every key has a doc comment, which is its text in the example file, and a default, with which the node runs.

mod access;
mod database;
mod dicom;
mod http;
mod image_store;
mod node;
mod report;
mod telemetry;
mod worklist;

pub use access::AccessSection;
pub use database::DatabaseSection;
pub use dicom::{DicomSection, DicomTlsFiles, PlainNetwork, TlsClientCertificate, TransferSyntaxOrder};
pub use http::HttpSection;
pub use image_store::{ImageStoreKeys, ImageStoreSection};
pub use node::NodeSection;
pub use report::ReportSection;
pub use telemetry::{LogFormat, TelemetrySection};
pub use worklist::WorklistSection;
