use std::net::SocketAddr;

use dokuei_domain::AeTitle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The DICOM listener, to which hospitals send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DicomSection {
    /// Address and port to listen on; port 0 takes any free one. Plain DICOM is neither encrypted nor authenticated: name an address of a
    /// network that only the hospitals' lines reach, such as a VPN, and no public one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// Application entity title of this node. A peer that calls another title is rejected.
    #[schemars(with = "String")]
    pub ae_title: AeTitle,
    /// Largest PDU in bytes that this node accepts (PS3.8 D.1).
    #[schemars(range(min = 4_096, max = 1_048_576))]
    pub max_pdu_length: u32,
    /// Associations that are served at the same time; further ones are rejected with "local limit exceeded".
    #[schemars(range(min = 1, max = 256))]
    pub max_associations: u32,
    /// Seconds in which a peer that has connected must ask for its association, and close after the last word (ARTIM, PS3.8 9.1.5).
    #[schemars(range(min = 1, max = 600))]
    pub artim_seconds: u32,
    /// Seconds that a peer may pause in the middle of a message before it is aborted.
    #[schemars(range(min = 1, max = 3_600))]
    pub dimse_timeout_seconds: u32,
    /// Seconds that an association may rest between two messages before it is aborted.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_seconds: u32,
    /// Largest object in bytes that is accepted.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub max_object_bytes: u64,
}

impl Default for DicomSection {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 11_112)),
            ae_title: crate::default_ae_title(),
            max_pdu_length: 131_072,
            max_associations: 64,
            artim_seconds: 30,
            dimse_timeout_seconds: 60,
            idle_timeout_seconds: 300,
            max_object_bytes: 4_294_967_296,
        }
    }
}
