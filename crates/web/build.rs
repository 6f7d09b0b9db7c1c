//! Makes sure that the folder of the built front end exists, so that the crate also compiles without it, and is built again when it changes.

use std::{env, fs, path::Path};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("ui/dist");
    if let Err(error) = fs::create_dir_all(&folder) {
        println!("cargo::warning=cannot create {}: {error}", folder.display());
    }
    println!("cargo::rerun-if-changed=ui/dist");
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=templates");
}
