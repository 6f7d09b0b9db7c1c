//! The texts by which an administrator names a peer and a return target.

use std::{fmt, net::IpAddr};

use dokuei_database::PeerRole;
use dokuei_domain::{AeTitle, ae_title::AeTitleError};

/// Why a text names no peer or target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecificationError {
    #[error("'{text}' has no valid AE title: {reason}")]
    AeTitle { text: String, reason: AeTitleError },
    #[error("'{0}' is not a role; write for example 'HOSP1:reading', 'HOSP1:prior' or 'HOSP1:both'")]
    Role(String),
    #[error("'{0}' is not an IP address; host names are not looked up")]
    Address(String),
    #[error("'{0}' is not a return target; write 'dicom:AETITLE@HOST:PORT', or 'dicom-tls:' for TLS")]
    Target(String),
    #[error("'{0}' is neither a host name nor an IP address; write IPv6 addresses in brackets")]
    Host(String),
    #[error("'{0}' is not a port from 1 to 65535")]
    Port(String),
    #[error("the certificate file {0}")]
    Certificate(&'static str),
    #[error("'{0}' is not the SHA-256 fingerprint of a certificate: 64 hexadecimal digits")]
    Fingerprint(String),
    #[error("'{0}' is not an OID; write the facility's own, such as 1.2.392.100495.20.3.51.1…")]
    Issuer(String),
}

/// A calling AE title with its role, and the address it must come from if one is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpecification {
    pub calling: AeTitle,
    pub role: PeerRole,
    pub address: Option<IpAddr>,
}

impl PeerSpecification {
    /// Reads `HOSP1` or `HOSP1:reading|prior|both`; without a role, what it sends is read. An AE title with a colon must be followed by a role.
    pub fn parse(text: &str, address: Option<&str>) -> Result<Self, SpecificationError> {
        let (title, role) = match text.rsplit_once(':') {
            None => (text, PeerRole::Reading),
            Some((title, role)) => {
                (title, PeerRole::parse(role).ok_or_else(|| SpecificationError::Role(role.to_owned()))?)
            }
        };
        let calling = parse_title(title)?;
        let address = address.map(parse_address).transpose()?;
        Ok(Self { calling, role, address })
    }

    pub(crate) fn address_text(&self) -> Option<String> {
        self.address.map(|address| address.to_canonical().to_string())
    }
}

/// An IP address in the form in which it is stored and compared: IPv4 written as IPv6 is IPv4.
pub fn parse_address(text: &str) -> Result<IpAddr, SpecificationError> {
    let parsed: Result<IpAddr, _> = text.trim().parse();
    parsed.map(|address| address.to_canonical()).map_err(|_| SpecificationError::Address(text.to_owned()))
}

/// Where reports are sent by C-STORE: `dicom:AETITLE@HOST:PORT`, or `dicom-tls:…` over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTarget {
    pub called: AeTitle,
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl ReturnTarget {
    pub fn parse(text: &str) -> Result<Self, SpecificationError> {
        let wrong = || SpecificationError::Target(text.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
        let tls = match scheme {
            "dicom" => false,
            "dicom-tls" => true,
            _ => return Err(wrong()),
        };
        let (title, location) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let (host, port) = location.rsplit_once(':').ok_or_else(wrong)?;
        let called = parse_title(title)?;
        let port =
            port.parse().ok().filter(|port| *port != 0).ok_or_else(|| SpecificationError::Port(port.to_owned()))?;
        let host = parse_host(host)?;
        Ok(Self { called, host, port, tls })
    }
}

impl fmt::Display for ReturnTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { called, host, port, tls } = self;
        let scheme = if *tls { "dicom-tls" } else { "dicom" };
        if host.contains(':') {
            write!(f, "{scheme}:{called}@[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{called}@{host}:{port}")
        }
    }
}

fn parse_title(text: &str) -> Result<AeTitle, SpecificationError> {
    AeTitle::parse(text).map_err(|reason| SpecificationError::AeTitle { text: text.to_owned(), reason })
}

fn parse_host(text: &str) -> Result<String, SpecificationError> {
    let wrong = || SpecificationError::Host(text.to_owned());
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inner.parse().map_err(|_| wrong())?;
        return Ok(address.to_string());
    }
    let label_is_legal = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    let legal = text.len() <= 253 && text.split('.').all(label_is_legal);
    if legal { Ok(text.to_ascii_lowercase()) } else { Err(wrong()) }
}

/// An OID as issuer of patient IDs: digits and dots, at least two components, no leading zeros (ITU-T X.660).
pub(crate) fn parse_issuer(text: &str) -> Result<String, SpecificationError> {
    let text = text.trim();
    let component_is_legal = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let mut parts = text.split('.');
    let first_is_arc = parts.next().is_some_and(|first| matches!(first, "0" | "1" | "2"));
    // 64 characters: the length of a UID (PS3.5 9.1), which the issuer becomes in data sets.
    let legal = first_is_arc && text.len() <= 64 && text.contains('.') && parts.all(component_is_legal);
    if legal { Ok(text.to_owned()) } else { Err(SpecificationError::Issuer(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_title_and_a_role() {
        let peer = |text| PeerSpecification::parse(text, None).map(|peer| (peer.calling.to_string(), peer.role));
        assert_eq!(peer("HOSP1"), Ok(("HOSP1".to_owned(), PeerRole::Reading)));
        assert_eq!(peer("HOSP1:prior"), Ok(("HOSP1".to_owned(), PeerRole::Prior)));
        assert_eq!(peer("A:B:both"), Ok(("A:B".to_owned(), PeerRole::Both)));
        assert_eq!(peer("HOSP1:readng"), Err(SpecificationError::Role("readng".to_owned())));
        assert!(matches!(peer(":reading"), Err(SpecificationError::AeTitle { .. })));
        assert!(matches!(peer("病院"), Err(SpecificationError::AeTitle { .. })));
    }

    #[test]
    fn an_address_has_one_form() {
        let address = |text| PeerSpecification::parse("A", Some(text)).map(|peer| peer.address_text().unwrap());
        assert_eq!(address("127.0.0.1"), Ok("127.0.0.1".to_owned()));
        assert_eq!(address("::ffff:10.0.0.1"), Ok("10.0.0.1".to_owned()));
        assert_eq!(address("2001:DB8::1"), Ok("2001:db8::1".to_owned()));
        assert_eq!(address("pacs.hospital"), Err(SpecificationError::Address("pacs.hospital".to_owned())));
    }

    #[test]
    fn a_target_survives_being_written_and_read() {
        for (text, expected) in [
            ("dicom:PACS@127.0.0.1:11113", ("PACS", "127.0.0.1", 11113)),
            ("dicom:PACS@pacs.hospital.example:104", ("PACS", "pacs.hospital.example", 104)),
            ("dicom:A@B@[::1]:104", ("A@B", "::1", 104)),
            ("dicom-tls:PACS@pacs.hospital.example:2762", ("PACS", "pacs.hospital.example", 2762)),
        ] {
            let target = ReturnTarget::parse(text).unwrap();
            assert_eq!(target.tls, text.starts_with("dicom-tls:"));
            assert_eq!((target.called.as_str(), target.host.as_str(), target.port), expected);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn a_wrong_target_says_what_is_wrong() {
        let error = |text: &str| ReturnTarget::parse(text).unwrap_err();
        assert!(matches!(error("PACS@host:104"), SpecificationError::Target(_)));
        assert!(matches!(error("dicoms:PACS@host:104"), SpecificationError::Target(_)));
        assert!(matches!(error("dicom:PACS@host"), SpecificationError::Target(_)));
        assert!(matches!(error("dicom:@host:104"), SpecificationError::AeTitle { .. }));
        for port in ["0", "70000", "dicom", ""] {
            assert!(matches!(error(&format!("dicom:PACS@host:{port}")), SpecificationError::Port(_)), "{port}");
        }
        for host in ["", "a b", "a/b", "a..b", "::1", "[::g]", "user:pass"] {
            assert!(matches!(error(&format!("dicom:PACS@{host}:104")), SpecificationError::Host(_)), "{host}");
        }
    }

    #[test]
    fn an_issuer_is_an_oid() {
        assert_eq!(parse_issuer(" 1.2.392.1 "), Ok("1.2.392.1".to_owned()));
        for bad in ["", "1", "3.1", "1.02", "1..2", "1.2.", "HOSP1", &format!("1.{}", "1".repeat(64))] {
            assert!(parse_issuer(bad).is_err(), "{bad}");
        }
    }
}
