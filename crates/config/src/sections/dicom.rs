use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dokuei_domain::{AeTitle, SopClassUid, TransferSyntaxUid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, Template};

/// The DICOM listener, to which hospitals send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DicomSection {
    /// Address and port to listen on for plain DICOM; port 0 takes any free one. Plain DICOM is neither encrypted nor authenticated: hospitals
    /// use `tls_bind`.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// Where plain DICOM may be spoken: "on the loopback address only", or "in a closed network", which says that nobody but the hospitals
    /// can reach the address in `bind`, as on a dedicated line or a VPN.
    #[schemars(with = "String")]
    pub plain_network: PlainNetwork,
    /// Address and port to listen on for DICOM over TLS, by the BCP 195 RFC 8996, 9325 profile (PS3.15 B.12). 2762 is the port registered for it.
    #[schemars(with = "Option<String>", example = &"0.0.0.0:2762")]
    pub tls_bind: Option<SocketAddr>,
    /// File with this node's certificate and, after it, those between it and its authority (PEM). Shown to those who connect and to those who
    /// are called over TLS. Changed files are taken over within half a minute, or at once on SIGHUP.
    #[schemars(example = &"{data_dir}/tls/certificate.pem")]
    pub tls_certificate_file: Option<Template>,
    /// File with the key of that certificate (PEM, not encrypted).
    #[schemars(example = &"{data_dir}/tls/key.pem")]
    pub tls_key_file: Option<Template>,
    /// File with the authorities whose certificates hospitals show (PEM). Which facility a certificate stands for, `dokuei facility edit
    /// --add-certificate` says.
    #[schemars(example = &"{data_dir}/tls/hospitals.pem")]
    pub tls_client_ca_file: Option<Template>,
    /// File with the authorities of those whom this node calls over TLS (PEM), if they are others.
    #[schemars(example = &"{data_dir}/tls/servers.pem")]
    pub tls_server_ca_file: Option<Template>,
    /// Whether who connects over TLS must show a certificate: "required"; "optional"; or "none", with which a peer is known by AE title and
    /// address alone, as in plain DICOM.
    #[schemars(with = "String")]
    pub tls_client_certificate: TlsClientCertificate,
    /// Application entity title of this node. A peer that calls another title is rejected.
    #[schemars(with = "String")]
    pub ae_title: AeTitle,
    /// Largest PDU in bytes that this node accepts (PS3.8 D.1).
    #[schemars(range(min = 4_096, max = 1_048_576))]
    pub max_pdu_length: u32,
    /// Associations that are served at the same time; further ones are rejected with "local limit exceeded".
    #[schemars(range(min = 1, max = 4_096))]
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
    /// Bytes per second, on average over half a minute of waiting, below which a peer in the middle of a message is aborted; 0 for no limit.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub min_bytes_per_second: u32,
    /// Transfer syntaxes to agree on first when a sender offers several, best first; for one SOP class after its UID and a colon, entries separated by
    /// semicolons. They are taken even where they lose pixel values. Without it, and for a sender that offers none of them, its first lossless one.
    #[schemars(with = "Option<String>", example = &"1.2.840.10008.1.2.4.70, 1.2.840.10008.1.2.1; 1.2.840.10008.5.1.4.1.1.77.1.4: 1.2.840.10008.1.2.4.90")]
    pub transfer_syntaxes: Option<TransferSyntaxOrder>,
    /// Largest object in bytes that is accepted.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub max_object_bytes: u64,
}

impl Default for DicomSection {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 11_112)),
            plain_network: PlainNetwork::Loopback,
            tls_bind: None,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
            tls_server_ca_file: None,
            tls_client_certificate: TlsClientCertificate::Required,
            ae_title: crate::default_ae_title(),
            max_pdu_length: 131_072,
            max_associations: 64,
            artim_seconds: 30,
            dimse_timeout_seconds: 60,
            idle_timeout_seconds: 300,
            min_bytes_per_second: 1_024,
            transfer_syntaxes: None,
            max_object_bytes: 4_294_967_296,
        }
    }
}

/// Where plain DICOM may be spoken. In words, so that nobody says it by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlainNetwork {
    #[serde(rename = "on the loopback address only")]
    Loopback,
    #[serde(rename = "in a closed network")]
    Closed,
}

/// Which transfer syntaxes are preferred, best first, as one text: lists of UIDs with commas, one for all SOP classes and others behind `UID:`, separated by
/// semicolons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TransferSyntaxOrder {
    /// For every storage SOP class that is not in `of_class`.
    pub of_all: Vec<TransferSyntaxUid>,
    pub of_class: Vec<(SopClassUid, Vec<TransferSyntaxUid>)>,
}

impl TryFrom<String> for TransferSyntaxOrder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut order = Self::default();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (sop_class, list) = match entry.split_once(':') {
                Some((sop_class, list)) => (Some(sop_class.trim()), list),
                None => (None, entry),
            };
            let mut syntaxes = Vec::new();
            for uid in list.split(',').map(str::trim) {
                syntaxes.push(
                    TransferSyntaxUid::parse(uid).map_err(|error| format!("'{uid}' is no transfer syntax: {error}"))?,
                );
            }
            match sop_class {
                None if order.of_all.is_empty() => order.of_all = syntaxes,
                None => return Err("only one list may stand without a SOP class and a colon".to_owned()),
                Some(uid) => {
                    let sop_class =
                        SopClassUid::parse(uid).map_err(|error| format!("'{uid}' is no SOP class: {error}"))?;
                    if order.of_class.iter().any(|(known, _)| *known == sop_class) {
                        return Err(format!("SOP class {sop_class} has two lists"));
                    }
                    order.of_class.push((sop_class, syntaxes));
                }
            }
        }
        Ok(order)
    }
}

impl From<TransferSyntaxOrder> for String {
    fn from(order: TransferSyntaxOrder) -> Self {
        let list = |syntaxes: &[TransferSyntaxUid]| {
            syntaxes.iter().map(TransferSyntaxUid::as_str).collect::<Vec<_>>().join(", ")
        };
        let all = (!order.of_all.is_empty()).then(|| list(&order.of_all));
        let of_class = order.of_class.iter().map(|(sop_class, syntaxes)| format!("{sop_class}: {}", list(syntaxes)));
        all.into_iter().chain(of_class).collect::<Vec<_>>().join("; ")
    }
}

/// Whether who connects over TLS must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsClientCertificate {
    Required,
    Optional,
    None,
}

/// The files of DICOM over TLS, with `{data_dir}` replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DicomTlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
    pub server_ca: Option<PathBuf>,
}

impl DicomSection {
    pub(crate) fn tls_files(&self, data_dir: &Path) -> Option<DicomTlsFiles> {
        let path = |template: &Option<Template>| template.as_ref().map(|template| template.in_path(data_dir));
        Some(DicomTlsFiles {
            certificate: path(&self.tls_certificate_file)?,
            key: path(&self.tls_key_file)?,
            client_ca: path(&self.tls_client_ca_file),
            server_ca: path(&self.tls_server_ca_file),
        })
    }

    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        if !self.bind.ip().to_canonical().is_loopback() && self.plain_network == PlainNetwork::Loopback {
            problems.push(Problem::new(
                "dicom.bind",
                "must be a loopback address, because plain DICOM is neither encrypted nor authenticated; use dicom.tls_bind, or say \
                 dicom.plain_network = \"in a closed network\" if nobody but the hospitals reaches it",
            ));
        }
        let (certificate, key) = (self.tls_certificate_file.is_some(), self.tls_key_file.is_some());
        let mut missing = |key: &str, message: &str| problems.push(Problem::new(key, message));
        if self.tls_bind.is_some() && !(certificate && key) {
            missing("dicom.tls_bind", "needs dicom.tls_certificate_file and dicom.tls_key_file");
        } else if certificate && !key {
            missing("dicom.tls_certificate_file", "needs dicom.tls_key_file");
        } else if key && !certificate {
            missing("dicom.tls_key_file", "needs dicom.tls_certificate_file");
        }
        let asked = self.tls_client_certificate != TlsClientCertificate::None;
        if self.tls_bind.is_some() && asked && self.tls_client_ca_file.is_none() {
            missing(
                "dicom.tls_bind",
                "needs dicom.tls_client_ca_file, so that certificates of hospitals can be checked; dicom.tls_client_certificate = \"none\" asks for none",
            );
        }
        for (key, file) in [
            ("dicom.tls_certificate_file", &self.tls_certificate_file),
            ("dicom.tls_key_file", &self.tls_key_file),
            ("dicom.tls_client_ca_file", &self.tls_client_ca_file),
            ("dicom.tls_server_ca_file", &self.tls_server_ca_file),
        ] {
            if file.as_ref().is_some_and(|file| file.as_written().trim().is_empty()) {
                problems.push(Problem::new(key, "must name a file"));
            }
        }
    }
}
