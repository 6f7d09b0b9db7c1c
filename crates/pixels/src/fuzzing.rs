//! What is promised for any bytes, as a function that the fuzz target calls (folder `fuzz` of the repository) and that panics where the
//! promise is broken. The tests replay the inputs that were kept.

use crate::{Format, RenderRequest, Window, describe, render};

/// Renders the first two frames of a file; a picture is as large as it says.
pub fn render_frames(input: &[u8]) {
    let facts = describe(input);
    for (frame, window) in [(0, Window::FromObject), (1, Window::Linear { center: 40.0, width: 400.0 })] {
        let request = RenderRequest { frame, window, max_edge: Some(64), format: Format::Png };
        let Ok(rendered) = render(input, &request) else { continue };
        assert!(facts.as_ref().is_ok_and(|facts| facts.has_pixels), "a picture without pixels");
        assert!((1..=64).contains(&rendered.columns) && (1..=64).contains(&rendered.rows), "a picture of another size");
        assert!(rendered.bytes.starts_with(b"\x89PNG"), "not a PNG");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs_break_nothing() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/render");
        let mut replayed = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::render_frames(&std::fs::read(seed.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{seeds} is empty");
    }
}
