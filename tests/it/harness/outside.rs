//! What other people's tools say of a signed report.

use std::path::Path;

use dokuei_testkit::{CommandOutput, Tool, data_set::data_set_of};
use serde_json::Value;

fn tool(name: &str) -> Tool {
    Tool::find(name).unwrap()
}

/// Without white space and hyphenless: line breaks of a page are not part of its text.
fn dense(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// DCMTK reads the structured report, dicom3tools finds no error in it, and the texts and names are in it.
pub(crate) fn check_structured_report(file: &Path, texts: &[&str], names: &[&str]) {
    no_error(file);
    let dump = tool("dsrdump").args(["+U8", "-Ee", "+Pl"]).arg(file).run().unwrap().success();
    let html = tool("dsr2html").args(["+U8", "-Ee"]).arg(file).run().unwrap().success();
    for text in texts.iter().flat_map(|text| text.lines()) {
        assert!(dense(&dump.stdout_text()).contains(&dense(text)), "'{text}' is not in {dump}");
        assert!(dense(&html.stdout_text()).contains(&dense(text)), "'{text}' is not in {html}");
    }
    // dsr2html shows the alphabetic form of names only.
    for name in names {
        assert!(dump.stdout_text().contains(name), "'{name}' is not in {dump}");
    }
}

/// The PDF comes out of its envelope, poppler finds the texts in it, and dicom3tools finds no error in the envelope.
pub(crate) fn check_pdf(file: &Path, texts: &[&str]) {
    no_error(file);
    let folder = tempfile::tempdir().unwrap();
    let pdf = folder.path().join("report.pdf");
    tool("dcm2pdf").arg(file).arg(&pdf).run().unwrap().success();
    let text = tool("pdftotext").args(["-enc", "UTF-8"]).arg(&pdf).arg("-").run().unwrap().success();
    let found = dense(&text.stdout_text());
    for text in texts.iter().flat_map(|text| text.lines()) {
        assert!(found.contains(&dense(text)), "'{text}' is not on the page:\n{found}");
    }
}

fn no_error(file: &Path) {
    let checked = tool("dciodvfy").arg(file).run().unwrap();
    assert!(checked.status.success() && !checked.all_text().contains("Error"), "{checked}");
}

/// `openssl cms -verify` of the detached signature against the node's authority.
pub(crate) fn verify_signature(folder: &Path, signature: &Path, manifest: &Path, authority: &Path) -> CommandOutput {
    let verify = tool("openssl").args(["cms", "-verify", "-binary", "-inform", "DER", "-in"]).arg(signature);
    let out = folder.join("content");
    verify.arg("-content").arg(manifest).arg("-CAfile").arg(authority).arg("-out").arg(out).run().unwrap()
}

/// OpenSSL accepts the signature, and refuses it when one bit of the manifest or of the signature is another one.
pub(crate) fn check_signature(signature: &Path, manifest: &Path, authority: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let verify = |signature: &Path, manifest: &Path| verify_signature(folder.path(), signature, manifest, authority);
    let accepted = verify(signature, manifest).success();
    assert!(accepted.all_text().contains("Verification successful"), "{accepted}");

    let flipped = folder.path().join("flipped");
    let length = |path: &Path| usize::try_from(path.metadata().unwrap().len()).unwrap();
    for at in [0, length(manifest) / 2, length(manifest) - 1] {
        flip(manifest, &flipped, at);
        verify(signature, &flipped).failure();
    }
    // The last bytes are the signature value itself.
    flip(signature, &flipped, length(signature) - 20);
    verify(&flipped, manifest).failure();
}

/// Copies a file with one bit changed.
pub(crate) fn flip(from: &Path, to: &Path, at: usize) {
    let mut bytes = std::fs::read(from).unwrap();
    bytes[at] ^= 1;
    std::fs::write(to, bytes).unwrap();
}

/// The manifest names the SHA-256 of the files.
pub(crate) fn check_hashes(manifest: &Value, files: &[&Path]) {
    for file in files {
        let sum = tool("sha256sum").arg("-b").arg(file).run().unwrap().success();
        let hash = sum.stdout_text().split(' ').next().unwrap().to_owned();
        let named = manifest["files"].as_array().unwrap().iter().any(|entry| entry["sha256"] == hash.as_str());
        assert!(named, "{} has hash {hash}; the manifest names {}", file.display(), manifest["files"]);
    }
}

/// The recipient's files hold the data sets of the signed ones, each once, and nothing else.
pub(crate) fn check_received(received: &[std::path::PathBuf], signed: &[&Path]) {
    let data_set = |path: &Path| data_set_of(&std::fs::read(path).unwrap()).unwrap().to_vec();
    let mut received: Vec<_> = received.iter().map(|path| data_set(path)).collect();
    for file in signed {
        let at = received.iter().position(|bytes| *bytes == data_set(file));
        let at = at.unwrap_or_else(|| panic!("{} did not arrive as it was signed", file.display()));
        received.remove(at);
    }
    assert!(received.is_empty(), "{} objects more than were signed", received.len());
}
