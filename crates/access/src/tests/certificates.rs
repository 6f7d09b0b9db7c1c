//! What OpenSSL says about the certificates.

use der::{Decode as _, EncodePem as _, pem::LineEnding};
use dokuei_testkit::Tool;
use x509_cert::Certificate;

use super::{ADDRESS, CLI, Node, id, new_reader};

#[tokio::test]
async fn openssl_reads_and_verifies_certificate_and_signature() {
    let node = Node::new().await;
    let reader = node.access.reader_add(&CLI, new_reader("R_1-a")).await.unwrap();
    let code = node.code(&reader);
    let key = node.access.unlock_signing_key(&id("R_1-a"), &reader.password, &code, ADDRESS).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("ca.pem"), node.access.authority_pem().unwrap()).unwrap();
    let pem = Certificate::from_der(&key.certificate_der).unwrap().to_pem(LineEnding::LF).unwrap();
    std::fs::write(file("reader.pem"), pem).unwrap();
    // The tests' clock stands in 2026.
    let now = (dokuei_testkit::clock::TEST_START.micros() / 1_000_000).to_string();

    let text = Tool::find("openssl")
        .unwrap()
        .args(["x509", "-noout", "-text", "-nameopt", "utf8", "-in"])
        .arg(file("reader.pem"));
    let text = text.run().unwrap().success().stdout_text();
    for expected in [
        "Version: 3 (0x2)",
        "Signature Algorithm: sha256WithRSAEncryption",
        "Public-Key: (3072 bit)",
        "O=読影テストNPO, CN=山田 太郎, serialNumber=R_1-a",
        "CN=Dokuei node authority",
        "CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature, Non Repudiation\n",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "Not Before: Nov 22 00:00:00 2026 GMT",
        "Not After : Nov 22 00:00:00 2031 GMT",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    let serial = Tool::find("openssl")
        .unwrap()
        .args(["x509", "-noout", "-serial", "-in"])
        .arg(file("reader.pem"))
        .run()
        .unwrap();
    assert_eq!(serial.success().stdout_text().trim(), format!("serial={}", key.serial));

    let verified = Tool::find("openssl").unwrap().args(["verify", "-x509_strict", "-attime", &now, "-CAfile"]);
    let verified = verified.arg(file("ca.pem")).arg(file("reader.pem")).run().unwrap().success();
    assert!(verified.stdout_text().ends_with("reader.pem: OK\n"), "{verified}");
    let authority = Tool::find("openssl")
        .unwrap()
        .args(["x509", "-noout", "-text", "-in"])
        .arg(file("ca.pem"))
        .run()
        .unwrap()
        .success();
    for expected in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "Not After : Nov 14 00:00:00 2056 GMT"] {
        assert!(authority.stdout_text().contains(expected), "{expected} is missing in\n{authority}");
    }

    // A signature by the unlocked key, checked with nothing of ours.
    std::fs::write(file("message"), "所見なし").unwrap();
    std::fs::write(file("signature"), key.sign_sha256("所見なし".as_bytes()).unwrap()).unwrap();
    let public = Tool::find("openssl")
        .unwrap()
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(file("reader.pem"))
        .run()
        .unwrap()
        .success();
    std::fs::write(file("public.pem"), public.stdout).unwrap();
    let check = || {
        let tool = Tool::find("openssl").unwrap().args(["dgst", "-sha256", "-verify"]).arg(file("public.pem"));
        tool.arg("-signature").arg(file("signature")).arg(file("message")).run().unwrap()
    };
    check().success();
    std::fs::write(file("message"), "所見あり").unwrap();
    check().failure();
}
