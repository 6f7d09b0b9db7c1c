//! What cannot be shown faithfully is refused by name, and hostile bytes cost nothing.

use std::path::Path;

use dokuei_pixels::{Format, RenderError, RenderRequest, Rendered, Window, describe, render};

const PNG: RenderRequest = RenderRequest { frame: 0, window: Window::FromObject, max_edge: None, format: Format::Png };

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).expect("test file")
}

fn show(file: &[u8]) -> Result<Rendered, RenderError> {
    render(file, &PNG)
}

/// Explicit VR little endian element; the length is what is declared, not necessarily what is there.
fn element(group: u16, number: u16, vr: &[u8; 2], declared: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend_from_slice(vr);
    if matches!(vr, b"OB" | b"OW" | b"SQ" | b"UN" | b"UT") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&declared.to_le_bytes());
    } else {
        bytes.extend_from_slice(&u16::try_from(declared).expect("short").to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

fn text(group: u16, number: u16, vr: &[u8; 2], value: &str) -> Vec<u8> {
    let padded = if value.len() % 2 == 1 { format!("{value} ") } else { value.to_owned() };
    element(group, number, vr, padded.len() as u32, padded.as_bytes())
}

fn short(group: u16, number: u16, value: u16) -> Vec<u8> {
    element(group, number, b"US", 2, &value.to_le_bytes())
}

fn part10(transfer_syntax: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend_from_slice(b"DICM");
    bytes.extend_from_slice(&text(0x0002, 0x0010, b"UI", transfer_syntax));
    bytes.extend(elements.concat());
    bytes
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// An 8-bit grey image of `rows` x `columns`; `change` may replace or add elements before Pixel Data.
fn grey(rows: u16, columns: u16, pixels: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut elements = vec![
        short(0x0028, 0x0002, 1),
        text(0x0028, 0x0004, b"CS", "MONOCHROME2"),
        short(0x0028, 0x0010, rows),
        short(0x0028, 0x0011, columns),
        short(0x0028, 0x0100, 8),
        short(0x0028, 0x0101, 8),
        short(0x0028, 0x0102, 7),
        short(0x0028, 0x0103, 0),
    ];
    change(&mut elements);
    elements.push(element(0x7FE0, 0x0010, b"OB", pixels.len() as u32, pixels));
    part10(EXPLICIT, &elements)
}

#[test]
fn the_synthetic_image_of_these_tests_is_a_good_one() {
    let rendered = show(&grey(2, 2, &[0, 85, 170, 255], |_| ())).expect("picture");
    let picture = image::load_from_memory(&rendered.bytes).expect("png");
    assert_eq!(picture.as_bytes(), [0, 85, 170, 255]);
}

#[test]
fn each_reason_has_its_kind() {
    assert_eq!(show(&file("test-SR.dcm")), Err(RenderError::NotAnImage));
    assert_eq!(
        render(&file("MR_small.dcm"), &RenderRequest { frame: 1, ..PNG }),
        Err(RenderError::NoSuchFrame { frame: 1, frames: 1 })
    );
    let jpeg_ls = Err(RenderError::UnsupportedTransferSyntax("1.2.840.10008.1.2.4.81".into()));
    assert_eq!(show(&file("JPEGLSNearLossless_08.dcm")), jpeg_ls);
    let twelve_bits = Err(RenderError::UnsupportedTransferSyntax("1.2.840.10008.1.2.4.51".into()));
    assert_eq!(show(&file("JPEG-lossy.dcm")), twelve_bits);
    let deflated = part10("1.2.840.10008.1.2.1.99", &[]);
    assert_eq!(show(&deflated), Err(RenderError::UnsupportedTransferSyntax("1.2.840.10008.1.2.1.99".into())));
    let hsv = grey(2, 2, &[0; 4], |elements| elements[1] = text(0x0028, 0x0004, b"CS", "HSV"));
    assert_eq!(show(&hsv), Err(RenderError::UnsupportedPhotometric("HSV".into())));
    for broken in ["badVR.dcm", "MR_truncated.dcm"] {
        assert!(matches!(show(&file(broken)), Err(RenderError::Malformed(_))), "{broken}");
    }
    assert!(matches!(show(b""), Err(RenderError::Malformed(_))));
    for request in [
        RenderRequest { window: Window::Linear { center: 0.0, width: 0.0 }, ..PNG },
        RenderRequest { window: Window::Linear { center: f64::NAN, width: 10.0 }, ..PNG },
        RenderRequest { max_edge: Some(0), ..PNG },
        RenderRequest { format: Format::Jpeg(0), ..PNG },
    ] {
        assert!(matches!(render(&file("MR_small.dcm"), &request), Err(RenderError::InvalidRequest(_))), "{request:?}");
    }
}

#[test]
fn a_declared_length_is_worth_nothing_until_the_bytes_are_there() {
    for vr in [b"OB", b"UT", b"UN"] {
        let liar = part10(EXPLICIT, &[element(0x0009, 0x0010, vr, 0xFFFF_FFFE, &[])]);
        assert!(matches!(show(&liar), Err(RenderError::Malformed(_))));
        assert!(matches!(describe(&liar), Err(RenderError::Malformed(_))));
    }
    let short_pixels = grey(200, 200, &[0; 100], |_| ());
    assert_eq!(show(&short_pixels), Err(RenderError::Malformed("the pixel data end before the frame does".into())));
    let huge = grey(65_535, 65_535, &[0; 100], |_| ());
    assert!(matches!(show(&huge), Err(RenderError::TooLarge(_))));
    let many_frames = grey(2, 2, &[0; 4], |elements| elements.push(text(0x0028, 0x0008, b"IS", "4294967295")));
    let last = RenderRequest { frame: 4_294_967_294, ..PNG };
    assert!(matches!(render(&many_frames, &last), Err(RenderError::Malformed(_))));
}

#[test]
fn sequences_nested_beyond_sixty_four_are_refused() {
    let nested = |depth: usize| {
        let item = [0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
        let open = [element(0x0008, 0x1140, b"SQ", u32::MAX, &[]), item.to_vec()].concat();
        let close = [[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0], [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]].concat();
        let sequence = [open.repeat(depth), close.repeat(depth)].concat();
        grey(1, 1, &[7, 0], |elements| elements.insert(0, sequence))
    };
    assert!(show(&nested(20)).is_ok());
    for depth in [100, 100_000] {
        assert_eq!(show(&nested(depth)), Err(RenderError::Malformed("sequences are nested too deeply".into())));
    }
}

#[test]
fn an_object_that_contradicts_itself_is_not_guessed_at() {
    type Change = fn(&mut Vec<Vec<u8>>);
    let contradictions: [(&str, Change); 6] = [
        ("rows given twice", |elements| elements.push(short(0x0028, 0x0010, 4))),
        ("three samples of grey", |elements| elements[0] = short(0x0028, 0x0002, 3)),
        ("more bits stored than allocated", |elements| elements[5] = short(0x0028, 0x0101, 12)),
        ("high bit outside the sample", |elements| elements[6] = short(0x0028, 0x0102, 8)),
        ("a slope of zero", |elements| elements.push(text(0x0028, 0x1053, b"DS", "0"))),
        ("palette colour without a palette", |elements| elements[1] = text(0x0028, 0x0004, b"CS", "PALETTE COLOR")),
    ];
    for (what, change) in contradictions {
        let refused = show(&grey(2, 2, &[0; 4], change));
        assert!(matches!(refused, Err(RenderError::Malformed(_))), "{what}: {refused:?}");
    }
}

#[test]
fn a_codestream_of_another_size_is_refused_before_it_is_decoded() {
    for name in ["MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm"] {
        let mut bytes = file(name);
        let rows = [0x28, 0x00, 0x10, 0x00, b'U', b'S', 2, 0];
        let at = bytes.windows(8).position(|window| window == rows).expect("rows");
        bytes[at + 8] += 1;
        let refused = show(&bytes);
        assert_eq!(
            refused,
            Err(RenderError::Malformed("the codestream and the object differ in rows, columns or samples".into())),
            "{name}"
        );
    }
}

#[test]
fn colour_marked_two_ways_is_refused() {
    // The codestream says luminance by its component identifiers alone, the object says RGB.
    let mut bytes = file("SC_rgb_jpeg_dcmtk.dcm");
    let at = bytes.windows(8).position(|window| window == b"YBR_FULL").expect("photometric interpretation");
    bytes[at..at + 8].copy_from_slice(b"RGB     ");
    if let Some(jfif) = bytes.windows(5).position(|window| window == b"JFIF\0") {
        bytes[jfif..jfif + 4].copy_from_slice(b"XXXX");
    }
    assert!(matches!(show(&bytes), Err(RenderError::UnsupportedPhotometric(_))));
}

#[test]
fn padding_does_not_widen_an_automatic_window() {
    let pixels: Vec<u8> = [100, 110, 120, 255].into();
    let picture = |change: fn(&mut Vec<Vec<u8>>)| show(&grey(2, 2, &pixels, change)).expect("picture").window;
    assert_eq!(picture(|_| ()), Some((178.0, 156.0)));
    assert_eq!(picture(|elements| elements.push(short(0x0028, 0x0120, 255))), Some((110.5, 21.0)));
}

#[test]
fn a_modality_table_and_a_table_of_interest_are_applied() {
    let table = |group_element: u16, descriptor: [u16; 3], entries: &[u16]| {
        let words = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let content = [
            element(0x0028, 0x3002, b"US", 6, &words(&descriptor)),
            element(0x0028, 0x3006, b"OW", entries.len() as u32 * 2, &words(entries)),
        ]
        .concat();
        let item = [[0xFE, 0xFF, 0x00, 0xE0].to_vec(), (content.len() as u32).to_le_bytes().to_vec(), content].concat();
        element(0x0028, group_element, b"SQ", item.len() as u32, &item)
    };
    // 0,1,2,3 -> 10,20,30,40 by the modality table -> 0, 0, 2048, 4095 of 12 bits by the table of interest.
    let object = grey(2, 2, &[0, 1, 2, 3], |elements| {
        elements.push(table(0x3000, [4, 0, 16], &[10, 20, 30, 40]));
        elements.push(table(
            0x3010,
            [21, 20, 12],
            &(0..21).map(|at| if at < 20 { at * 2048 / 10 } else { 4095 }).collect::<Vec<u16>>(),
        ));
    });
    let rendered = show(&object).expect("picture");
    assert_eq!(rendered.window, None);
    let picture = image::load_from_memory(&rendered.bytes).expect("png");
    assert_eq!(picture.as_bytes(), [0, 0, 128, 255]);
}

#[test]
fn flipped_bytes_end_in_a_picture_or_a_refusal() {
    // A fixed sequence, so that a failure can be repeated.
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let rounds = std::env::var("DOKUEI_PIXELS_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let names = [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "CT_17106.dcm",
    ];
    let mut shown = 0;
    for name in names {
        let original = file(name);
        for _ in 0..rounds {
            let mut bytes = original.clone();
            for _ in 0..1 + next() % 4 {
                let at = next() as usize % (bytes.len() - 132) + 132;
                bytes[at] = next() as u8;
            }
            if next() % 4 == 0 {
                bytes.truncate(next() as usize % bytes.len());
            }
            shown += usize::from(show(&bytes).is_ok());
        }
    }
    assert!(shown > 0, "some damage leaves a picture");
}
