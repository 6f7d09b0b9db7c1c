//! Whatever the file, rendering ends with a picture or a named refusal, within bounded memory.
//!
//! `DOKUEI_PIXELS_DATA=DIR cargo test -p dokuei-pixels --test survives -- --nocapture` goes over a folder of files
//! and prints one line each; `DOKUEI_PIXELS_OUT=DIR` also writes the pictures, to be compared with another reader.

#![expect(clippy::print_stdout, reason = "the list is what the run over a folder is for")]

use std::path::{Path, PathBuf};

use dokuei_pixels::{Format, RenderError, RenderRequest, Window, describe, render};

const PNG: RenderRequest = RenderRequest { frame: 0, window: Window::FromObject, max_edge: None, format: Format::Png };

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("folder entry").path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

fn kind(error: &RenderError) -> String {
    let text = format!("{error:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

#[test]
fn a_folder_of_foreign_files_is_survived() {
    let folder = std::env::var_os("DOKUEI_PIXELS_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"), PathBuf::from);
    let out = std::env::var_os("DOKUEI_PIXELS_OUT").map(PathBuf::from);
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    assert!(!files.is_empty(), "no files in {}", folder.display());

    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for path in files {
        let file = std::fs::read(&path).expect("readable file");
        let name = path.strip_prefix(&folder).expect("inside the folder").display().to_string();
        let described = describe(&file);
        let rendered = render(&file, &PNG);
        let line = match &rendered {
            Ok(picture) => format!("picture {}x{} {:?}", picture.columns, picture.rows, picture.window),
            Err(error) => format!("{error:?}"),
        };
        println!(
            "{name}|{line}|{}",
            described.as_ref().map_or_else(|error| format!("{error:?}"), |facts| facts.photometric.clone())
        );
        *counts.entry(rendered.as_ref().map_or_else(kind, |_| "picture".into())).or_default() += 1;
        if let (Some(out), Ok(picture)) = (&out, rendered) {
            std::fs::write(out.join(name.replace('/', "__") + ".png"), picture.bytes).expect("writable folder");
        }
    }
    println!("{counts:?}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
}
