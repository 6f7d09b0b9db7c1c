//! Authorities and certificates, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dokuei_dimse::{ClientTls, ClientTlsFiles};
use dokuei_domain::{Ambient, Timestamp};
use dokuei_testkit::{FakeClock, SeededEntropy, Tool};

use super::{PATIENCE, TestNode};

/// A folder with `NAME.pem` and `NAME.key` for whoever was made one.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    /// With the authority `ca`.
    pub(crate) fn new() -> Self {
        let all = Self(tempfile::tempdir().unwrap());
        all.authority("ca");
        all
    }

    pub(crate) fn pem(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.key"))
    }

    pub(crate) fn authority(&self, name: &str) {
        self.request(name, &["-days", "3650", "-addext", "basicConstraints=critical,CA:TRUE"], "ec");
    }

    /// A certificate for localhost, signed by an authority.
    pub(crate) fn issue(&self, name: &str, authority: &str) {
        self.issue_with(name, authority, &["-days", "365"], "ec");
    }

    pub(crate) fn issue_with(&self, name: &str, authority: &str, more: &[&str], key: &str) {
        let (ca, ca_key) = (self.pem(authority), self.key(authority));
        let signed = ["-CA", ca.to_str().unwrap(), "-CAkey", ca_key.to_str().unwrap()];
        let extensions =
            ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
        self.request(name, &[&signed[..], &extensions, more].concat(), key);
    }

    fn request(&self, name: &str, arguments: &[&str], key: &str) {
        let tool = Tool::find("openssl").unwrap().args(["req", "-x509", "-nodes", "-newkey", key]);
        let curve: &[&str] = if key == "ec" { &["-pkeyopt", "ec_paramgen_curve:P-256"] } else { &[] };
        let subject = format!("/O=Test/CN={name}");
        let tool = tool.args(curve).args(["-subj", &subject]).args(arguments);
        tool.arg("-keyout")
            .arg(self.key(name))
            .arg("-out")
            .arg(self.pem(name))
            .timeout(PATIENCE)
            .run()
            .unwrap()
            .success();
    }

    /// DCMTK's options for TLS with this certificate.
    pub(crate) fn dcmtk(&self, name: &str) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec!["+tls".into(), text(self.key(name)), text(self.pem(name)), "+cf".into(), text(self.pem("ca"))]
    }

    /// Our requestor's TLS with this certificate, trusting this authority.
    pub(crate) fn client(&self, name: &str, authority: &str) -> ClientTls {
        let files =
            ClientTlsFiles { authorities: self.pem(authority), identity: Some((self.pem(name), self.key(name))) };
        // A minute after the certificate was made.
        let made = std::fs::metadata(self.pem(name)).and_then(|file| file.modified()).unwrap();
        let now = made.duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(60);
        let clock = FakeClock::at(Timestamp(i64::try_from(now.as_micros()).unwrap()));
        ClientTls::load(&files, "127.0.0.1", &Ambient::new(Arc::new(clock), Arc::new(SeededEntropy::new(1)))).unwrap()
    }

    /// Lets the node listen for TLS with the certificate `node`, and ask hospitals for those of `ca`.
    pub(crate) fn give_to(&self, node: &mut TestNode) {
        node.set("dicom.tls_bind", "127.0.0.1:0");
        for (key, path) in self.settings() {
            node.set(key, path);
        }
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("dicom.tls_certificate_file", text(self.pem("node"))),
            ("dicom.tls_key_file", text(self.key("node"))),
            ("dicom.tls_client_ca_file", text(self.pem("ca"))),
        ]
    }

    /// The fingerprint as OpenSSL has it: upper case, with colons.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let tool = Tool::find("openssl").unwrap().args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
        let text = tool.arg(self.pem(name)).timeout(PATIENCE).run().unwrap().success().stdout_text().to_string();
        text.trim().split_once('=').unwrap().1.to_owned()
    }

    /// Puts one certificate with its key where another was.
    pub(crate) fn replace(&self, old: &str, new: &str) {
        copy(&self.key(new), &self.key(old));
        copy(&self.pem(new), &self.pem(old));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}
