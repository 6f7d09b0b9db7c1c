//! The pictures are the ones another reader computes. Expected numbers: pydicom 3.0.2 (decoding, rescale, palette)
//! and NumPy (the window equations of PS3.3 C.11.2.1.2), from the files in `testdata`.

use std::path::Path;

use dokuei_pixels::{Format, FrameFacts, RenderRequest, Rendered, Window, describe, render};
use image::DynamicImage;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).expect("test file")
}

const PNG: RenderRequest = RenderRequest { frame: 0, window: Window::FromObject, max_edge: None, format: Format::Png };

fn picture(rendered: &Rendered) -> DynamicImage {
    image::load_from_memory(&rendered.bytes).expect("a readable picture")
}

type Point = (u32, u32, &'static [u8]);

/// Compares size, sum of all samples and single pixels; `tolerance` is per sample, for lossy codecs.
fn check(name: &str, frame: u32, size: (u32, u32), sum: i64, points: [Point; 3], tolerance: u8) {
    let rendered =
        render(&file(name), &RenderRequest { frame, ..PNG }).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((rendered.columns, rendered.rows), size, "{name}");
    assert_eq!(rendered.media_type, "image/png");
    let picture = picture(&rendered);
    assert_eq!((picture.width(), picture.height()), size, "{name}");
    let bytes = picture.as_bytes();
    let samples = bytes.len() / (size.0 * size.1) as usize;
    let difference = (bytes.iter().map(|&byte| i64::from(byte)).sum::<i64>() - sum).abs();
    assert!(
        difference <= i64::from(tolerance) * bytes.len() as i64 / 10,
        "{name} frame {frame}: sum off by {difference}"
    );
    for (x, y, expected) in points {
        let at = (y * size.0 + x) as usize * samples;
        let got = &bytes[at..at + samples];
        assert_eq!(got.len(), expected.len(), "{name}: samples per pixel");
        let close = got.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= tolerance);
        assert!(close, "{name} frame {frame} at {x},{y}: {got:?} instead of {expected:?}");
    }
}

#[test]
fn one_magnetic_resonance_image_looks_the_same_in_every_encoding() {
    let names = [
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
    ];
    for name in names {
        check(name, 0, (64, 64), 463_120, [(16, 21, &[106]), (32, 32, &[61]), (63, 62, &[245])], 0);
    }
}

#[test]
fn grey_frames_follow_rescale_window_and_inversion() {
    // CT with slope, intercept and window; CR with MONOCHROME1, slope and window.
    check("CT_17106.dcm", 0, (16, 16), 3077, [(4, 5, &[0]), (8, 8, &[0]), (15, 14, &[100])], 0);
    check("CR_6278.dcm", 0, (16, 16), 27_068, [(4, 5, &[113]), (8, 8, &[109]), (15, 14, &[111])], 0);
    // Enhanced MR: windows in the functional groups of each frame.
    check("6_1.dcm", 0, (64, 64), 123_203, [(16, 21, &[12]), (32, 32, &[34]), (63, 62, &[12])], 0);
    check("6_1.dcm", 5, (64, 64), 123_205, [(16, 21, &[12]), (32, 32, &[148]), (63, 62, &[12])], 0);
    // 32-bit dose in run length encoding; one-bit segmentation, partly and entirely filled.
    check("rtdose_rle.dcm", 7, (10, 10), 12_012, [(2, 3, &[159]), (5, 5, &[99]), (9, 8, &[26])], 0);
    check("seg_image_ct_binary.dcm", 0, (16, 16), 127 * 255, [(0, 0, &[255]), (9, 15, &[255]), (10, 15, &[0])], 0);
    check("seg_image_ct_binary.dcm", 1, (16, 16), 256 * 255, [(0, 0, &[255]), (15, 15, &[255]), (8, 15, &[255])], 0);
}

#[test]
fn colour_frames_come_out_in_their_colours() {
    let dark: [Point; 3] = [(25, 33, &[127, 0, 127]), (50, 50, &[127, 127, 0]), (99, 98, &[0, 0, 0])];
    check("SC_rgb_rle_2frame.dcm", 1, (100, 100), 3_819_000, dark, 0);
    let bright: [Point; 3] = [(25, 33, &[128, 255, 128]), (50, 50, &[128, 128, 255]), (99, 98, &[255, 255, 255])];
    check("SC_rgb_jpeg_gdcm.dcm", 0, (100, 100), 3_831_000, bright, 0);
    check("SC_rgb_gdcm_KY.dcm", 0, (100, 100), 3_831_000, bright, 0);
    let from_luminance: [Point; 3] =
        [(25, 33, &[129, 255, 129]), (50, 50, &[125, 130, 255]), (99, 98, &[255, 255, 255])];
    check("SC_ybr_full_422_uncompressed.dcm", 0, (100, 100), 3_832_000, from_luminance, 0);
    check("SC_rgb_jpeg_dcmtk.dcm", 0, (100, 100), 3_832_000, from_luminance, 2);
    // Bytes of a big endian file, in words.
    check(
        "SC_rgb_small_odd_big_endian.dcm",
        0,
        (3, 3),
        3477,
        [(0, 1, &[63, 87, 176]), (1, 1, &[63, 87, 176]), (2, 1, &[63, 87, 176])],
        0,
    );
}

#[test]
fn palette_indices_become_colours() {
    let points: [Point; 3] = [(200, 200, &[1, 1, 1]), (400, 300, &[57, 96, 150]), (799, 598, &[1, 1, 1])];
    check("OBXXXX1A_rle_2frame.dcm", 1, (800, 600), 63_043_096, points, 0);
}

#[test]
fn a_chosen_window_replaces_the_objects_own_and_is_reported() {
    let ct = file("CT_17106.dcm");

    let own = render(&ct, &PNG).expect("own window");
    let same = render(&ct, &RenderRequest { window: Window::Linear { center: 30.0, width: 100.0 }, ..PNG })
        .expect("same window");
    let wide = render(&ct, &RenderRequest { window: Window::Linear { center: 0.0, width: 4000.0 }, ..PNG })
        .expect("wide window");

    assert_eq!(own.window, Some((30.0, 100.0)));
    assert_eq!(own, same);
    assert_eq!(wide.window, Some((0.0, 4000.0)));
    let (own, wide) = (picture(&own), picture(&wide));
    assert!(own.as_bytes().contains(&0), "lung is black in a soft tissue window");
    assert!(wide.as_bytes().iter().all(|&level| level > 0 && level < 255), "nothing is cut off in a very wide one");
}

#[test]
fn without_a_window_the_frame_spans_black_to_white() {
    let dose = render(&file("rtdose_rle.dcm"), &PNG).expect("dose");
    let bytes = picture(&dose).into_bytes();
    assert_eq!((bytes.iter().min(), bytes.iter().max()), (Some(&0), Some(&255)));

    let (center, width) = dose.window.expect("the window that was chosen");
    let again = render(&file("rtdose_rle.dcm"), &RenderRequest { window: Window::Linear { center, width }, ..PNG })
        .expect("asked again");
    assert_eq!(picture(&again).into_bytes(), bytes);
}

#[test]
fn a_thumbnail_keeps_its_proportions_and_small_frames_are_not_enlarged() {
    let palette = file("OBXXXX1A_rle_2frame.dcm");
    let request = RenderRequest { max_edge: Some(128), format: Format::Jpeg(80), ..PNG };

    let small = render(&palette, &request).expect("thumbnail");
    assert_eq!((small.columns, small.rows, small.media_type), (128, 96, "image/jpeg"));
    assert_eq!((picture(&small).width(), picture(&small).height()), (128, 96));

    let tiny = render(&file("CT_17106.dcm"), &request).expect("already small");
    assert_eq!((tiny.columns, tiny.rows), (16, 16));
}

#[test]
fn an_object_is_described_without_decoding() {
    let ct = describe(&file("CT_17106.dcm")).expect("CT");
    let expected = FrameFacts {
        has_pixels: true,
        decodable: true,
        transfer_syntax: "1.2.840.10008.1.2.1".into(),
        rows: 16,
        columns: 16,
        frames: 1,
        photometric: "MONOCHROME2".into(),
        bits_allocated: 16,
        bits_stored: 16,
        default_window: Some((30.0, 100.0)),
        rescale: Some((1.0, -1024.0)),
    };
    assert_eq!(ct, expected);

    let enhanced = describe(&file("6_1.dcm")).expect("enhanced MR");
    assert_eq!(enhanced.frames, 6);
    assert!(enhanced.default_window.is_some(), "from the first frame's functional group");

    let jpeg_ls = describe(&file("JPEGLSNearLossless_08.dcm")).expect("JPEG-LS can be described");
    assert_eq!((jpeg_ls.has_pixels, jpeg_ls.decodable, jpeg_ls.rows, jpeg_ls.columns), (true, false, 45, 10));

    let report = describe(&file("test-SR.dcm")).expect("a report has no pixels");
    assert!(!report.has_pixels);
}
