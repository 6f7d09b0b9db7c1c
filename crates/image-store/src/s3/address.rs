//! What an `s3:` URL says.

use std::net::IpAddr;

use crate::{StoreError, StoreErrorKind};

/// Where a bucket is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) bucket: String,
    /// What stands before every key: empty, or segments that end with a slash.
    pub(super) prefix: String,
    /// `None`: Amazon's own, by region.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    /// The bucket is the first part of the path and not of the host's name.
    pub(super) path_style: bool,
}

impl Address {
    /// Reads `s3://bucket/prefix?endpoint=…&region=…&path_style=…&unencrypted=…`.
    ///
    /// # Errors
    /// [`StoreErrorKind::InvalidKey`]; the cause says which part is wrong. The text of the URL is not repeated: nobody knows what was pasted there.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        Self::read(url).map_err(|cause| {
            StoreError::new(StoreErrorKind::InvalidKey, "open image store", None).because(cause.to_owned())
        })
    }

    fn read(url: &str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix("s3://").ok_or("address of the image store must begin with file:// or s3://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if !is_bucket(bucket) {
            return Err("s3:// must be followed by the name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'");
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
            return Err(
                "the prefix after the bucket may have letters, digits, '-', '_' and '.', in parts separated by one '/'",
            );
        }
        let mut address = Self {
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: None,
            region: None,
            path_style: false,
        };
        let (mut path_style, mut unencrypted) = (None, false);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or("after '?' stand name=value, separated by '&'")?;
            let value = percent_decoded(value).ok_or("'%' in the address of the image store must be written %25")?;
            match name {
                "endpoint" if address.endpoint.is_none() => address.endpoint = Some(value),
                "region" if address.region.is_none() && is_segment(&value) => address.region = Some(value),
                "path_style" if path_style.is_none() => {
                    path_style = Some(value.parse().map_err(|_| "path_style is true or false")?);
                }
                "unencrypted" if value == "allowed" => unencrypted = true,
                _ => {
                    return Err(
                        "after '?' may stand endpoint, region, path_style=true|false and unencrypted=allowed, each once",
                    );
                }
            }
        }
        if let Some(endpoint) = &mut address.endpoint {
            let (host, encrypted) = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
                (Some(host), _) => (host, true),
                (_, Some(host)) => (host, false),
                _ => return Err("endpoint must begin with https:// or http://"),
            };
            let host = host.trim_end_matches('/');
            if host.is_empty() || host.contains(['/', '@', '?', '#']) {
                return Err("endpoint must be https:// and a host, with a port if it needs one");
            }
            if !encrypted && !unencrypted && !is_loopback(host) {
                return Err(
                    "images would cross the network in the clear: use an https:// endpoint, or say unencrypted=allowed",
                );
            }
            *endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        address.path_style = path_style.unwrap_or(address.endpoint.is_some());
        Ok(address)
    }

    pub(super) fn is_unencrypted(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// The endpoint as the client wants it: with the bucket before the host's name unless it belongs to the path.
    pub(super) fn client_endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_ref()?;
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => Some(format!("{scheme}://{}.{host}", self.bucket)),
            _ => Some(endpoint.clone()),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.contains("..")
        && outer(name.bytes().next())
        && outer(name.bytes().last())
}

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |digit: Option<u8>| {
                digit.and_then(|digit| char::from(digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
            };
            decoded.push(digit(rest.next())? * 16 + digit(rest.next())?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Address {
        Address::parse(url).unwrap_or_else(|error| panic!("{url}: {:?}", error.source))
    }

    fn refusal(url: &str) -> String {
        let error = Address::parse(url).expect_err(url);
        assert_eq!(error.kind, StoreErrorKind::InvalidKey);
        error.source.unwrap().to_string()
    }

    #[test]
    fn an_address_names_bucket_prefix_and_server() {
        let plain = read("s3://images.npo");
        assert_eq!((plain.bucket.as_str(), plain.prefix.as_str(), plain.endpoint), ("images.npo", "", None));
        assert!(!plain.path_style, "Amazon wants the bucket in the host's name");

        let own =
            read("s3://images/node-1/a/?endpoint=https%3A%2F%2Fs3.hospital.example%3A9000/&region=ap-northeast-1");
        assert_eq!((own.prefix.as_str(), own.region.as_deref()), ("node-1/a/", Some("ap-northeast-1")));
        assert_eq!(own.client_endpoint().as_deref(), Some("https://s3.hospital.example:9000"));
        assert!(own.path_style && !own.is_unencrypted());

        let hosted = read("s3://images?endpoint=https://s3.example&path_style=false");
        assert_eq!(hosted.client_endpoint().as_deref(), Some("https://images.s3.example"));
    }

    #[test]
    fn images_cross_a_network_in_the_clear_only_when_somebody_has_said_so() {
        for host in ["127.0.0.1:9000", "127.8.9.1", "localhost:1", "[::1]:9000", "[::1]"] {
            assert!(read(&format!("s3://images?endpoint=http://{host}")).is_unencrypted());
        }
        for host in ["10.0.0.1:9000", "s3.example", "localhost.example", "127.0.0.1.example:80", "[2001:db8::1]:9000"] {
            let url = format!("s3://images?endpoint=http://{host}");
            assert!(refusal(&url).contains("in the clear"), "{url}");
            assert!(read(&format!("{url}&unencrypted=allowed")).is_unencrypted());
        }
        assert!(refusal("s3://images?endpoint=http://s3.example&unencrypted=yes").contains("unencrypted=allowed"));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (url, part) in [
            ("/var/lib", "s3://"),
            ("s3://", "bucket"),
            ("s3://Images", "bucket"),
            ("s3://im", "bucket"),
            ("s3://images..a", "bucket"),
            ("s3://key:secret@images", "bucket"),
            ("s3://images//a", "prefix"),
            ("s3://images/../a", "prefix"),
            ("s3://images/画像", "prefix"),
            ("s3://images?endpoint", "name=value"),
            ("s3://images?endpoint=ftp://x", "https://"),
            ("s3://images?endpoint=https://", "host"),
            ("s3://images?endpoint=https://key:secret@x", "host"),
            ("s3://images?endpoint=https://x/path", "host"),
            ("s3://images?endpoint=https://x&endpoint=https://y", "each once"),
            ("s3://images?region=a%2", "%25"),
            ("s3://images?region=%00", "each once"),
            ("s3://images?path_style=maybe", "true or false"),
            ("s3://images?secret_key=hunter2", "each once"),
        ] {
            let said = refusal(url);
            assert!(said.contains(part), "{url}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
