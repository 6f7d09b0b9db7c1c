use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The web pages and interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// Address and port to listen on; port 0 takes any free one. The node speaks plain HTTP: leave it on the loopback address and put a
    /// reverse proxy with TLS before it.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// Address under which browsers reach the node, if it is not `bind`. With https:// the session cookie is sent over TLS only.
    #[schemars(example = &"https://dokuei.example.jp")]
    pub public_url: Option<String>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 8_080)), public_url: None }
    }
}

impl HttpSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        let Some(url) = &self.public_url else { return };
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
        // An origin and nothing more: links are built by appending a path.
        if !rest.is_some_and(|host| !host.is_empty() && host.chars().all(legal)) {
            problems.push(Problem::new(
                "http.public_url",
                "must be https://HOST or http://HOST, with a port if it is not the usual one, without path",
            ));
        }
    }
}
