//! The crates' borders, as the manifests draw them.

use std::{collections::BTreeMap, fs, path::Path};

/// The crates that each crate's `[dependencies]` name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let name = manifest.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let section = text.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
        let names = section.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        let names = names.map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        found.insert(name, names.collect());
    }
    assert!(found.len() >= 18, "the manifests were not found");
    found
}

fn who_uses(library: &str) -> Vec<String> {
    dependencies()
        .into_iter()
        .filter(|(_, names)| names.iter().any(|name| name == library))
        .map(|(user, _)| user)
        .collect()
}

#[test]
fn each_heavy_library_lives_in_one_room() {
    assert_eq!(who_uses("sqlx"), ["database"]);
    assert_eq!(who_uses("dicom-ul"), ["dimse"]);
    assert_eq!(who_uses("dicom-pixeldata"), ["pixels"]);
    assert_eq!(who_uses("typst"), ["report-pdf"]);
    assert_eq!(who_uses("axum"), ["web"]);
}

#[test]
fn arrows_point_down_only() {
    const LAYERS: [&[&str]; 5] = [
        &["domain", "charset"],
        &["image-store", "database", "dataset", "config"],
        &["dimse", "report-pdf", "pixels", "access", "jobs"],
        &["ingest", "archive", "worklist", "report"],
        &["receiver", "web"],
    ];
    let layer = |name: &str| LAYERS.iter().position(|names| names.contains(&name));
    for (user, names) in dependencies() {
        let Some(own) = layer(&user) else { continue };
        for used in names.iter().filter_map(|name| name.strip_prefix("dokuei-")) {
            let theirs = layer(used).unwrap_or_else(|| panic!("{user} depends on {used}, which has no layer"));
            let sibling_below = own == theirs && own < 3;
            assert!(theirs < own || sibling_below, "{user} must not depend on {used}");
        }
    }
}

#[test]
fn the_vocabulary_does_no_input_or_output() {
    let domain = &dependencies()["domain"];
    for library in ["tokio", "sqlx", "axum", "futures", "reqwest"] {
        assert!(!domain.iter().any(|name| name == library), "domain depends on {library}");
    }
}
