//! The page as other programs read it: poppler for the text and the fonts, qpdf for the structure.
//!
//! `DOKUEI_PDF_OUT=DIR` keeps the pages to look at.

use std::io::Write;
use std::process::{Command, Stdio};

use dokuei_report_pdf::{Language, ReportPage, ReportPdfError, render};
use jiff::civil::date;
use jiff::tz::{TimeZone, offset};

fn page() -> ReportPage {
    ReportPage {
        language: Language::Ja,
        facility_name: "デモ病院".into(),
        reading_organisation: "遠隔読影センター".into(),
        patient_name: "山田 太郎".into(),
        patient_name_kana: "ヤマダ タロウ".into(),
        patient_name_romaji: "YAMADA TARO".into(),
        patient_id: "P-0012345".into(),
        birth_date: "昭和45年3月9日（1970-03-09）".into(),
        sex: "男".into(),
        age: Some("56歳".into()),
        accession_number: "ACC20261122001".into(),
        modality: "CT".into(),
        body_part: "頭部".into(),
        study_date: "2026年11月22日 09:30".into(),
        study_description: "頭部単純CT".into(),
        priority: "至急".into(),
        requesting_physician: "佐藤 花子".into(),
        clinical_question: "頭痛、嘔気。出血の有無をお願いします。".into(),
        findings: "頭蓋内に明らかな出血は認めません。\n脳室の拡大はありません。\n\n正中偏位なし。副鼻腔に軽度の粘膜肥厚（5 mm）を認めます。".into(),
        impression: "1. 頭蓋内出血なし。\n2. 副鼻腔炎疑い。".into(),
        recommendation: "症状が続く場合はMRIをご検討ください。".into(),
        predecessor_note: None,
        status: "確定".into(),
        report_id: "R-2026-000123".into(),
        version: 1,
        signer_name: "鈴木 一郎".into(),
        signer_organisation: "遠隔読影センター 放射線診断科".into(),
        signed_at: "2026年11月22日 10:15:02（日本時間）".into(),
        image_count: 28,
        study_uid: "1.2.392.200036.9125.2.138612190166.20211122000001".into(),
        created: date(2026, 11, 22).at(10, 15, 2, 0).to_zoned(TimeZone::fixed(offset(9))).expect("a fixed offset has no gaps"),
    }
}

fn keep(name: &str, pdf: &[u8]) {
    if let Some(folder) = std::env::var_os("DOKUEI_PDF_OUT") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.pdf")), pdf).expect("writable folder");
    }
}

/// Runs a program of the system on a PDF; `make test` installs poppler-utils and qpdf.
fn tool(program: &str, arguments: &[&str], pdf: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(pdf).expect("temporary file");
    let path = file.path().to_str().expect("plain path");
    let arguments = arguments.iter().map(|&argument| if argument == "FILE" { path } else { argument });
    let output = Command::new(program).args(arguments).stderr(Stdio::piped()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(pdf: &[u8]) -> String {
    tool("pdftotext", &["-enc", "UTF-8", "-layout", "FILE", "-"], pdf)
}

fn pages(pdf: &[u8]) -> Vec<String> {
    text(pdf).split_terminator('\u{0C}').map(str::to_owned).collect()
}

#[test]
fn a_report_says_who_what_and_by_whom() {
    let pdf = render(&page()).expect("page");
    keep("plain", &pdf);

    let text = text(&pdf);
    for expected in [
        "画像診断報告書",
        "患者氏名",
        "山田 太郎",
        "ヤマダ タロウ",
        "YAMADA TARO",
        "P-0012345",
        "昭和45年3月9日（1970-03-09）",
        "男",
        "56歳",
        "2026年11月22日 09:30",
        "CT",
        "頭部",
        "頭部単純CT",
        "デモ病院",
        "佐藤 花子",
        "ACC20261122001",
        "至急",
        "28",
        "臨床情報・依頼内容",
        "頭痛、嘔気。出血の有無をお願いします。",
        "所見",
        "頭蓋内に明らかな出血は認めません。",
        "診断",
        "1. 頭蓋内出血なし。",
        "2. 副鼻腔炎疑い。",
        "推奨",
        "症状が続く場合はMRIをご検討ください。",
        "読影医",
        "鈴木 一郎",
        "遠隔読影センター 放射線診断科",
        "2026年11月22日 10:15:02（日本時間）",
        "電子署名済 — 検証は添付の署名ファイルで",
        "R-2026-000123",
        "第1版",
        "1.2.392.200036.9125.2.138612190166.20211122000001",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("未署名"));
    assert_eq!(pages(&pdf).len(), 1);
}

#[test]
fn the_file_is_archivable_and_sound() {
    let pdf = render(&page()).expect("page");

    tool("qpdf", &["--check", "FILE"], &pdf);
    let fonts = tool("pdffonts", &["FILE"], &pdf);
    let rows: Vec<&str> = fonts.lines().skip(2).collect();
    assert!(!rows.is_empty(), "{fonts}");
    for row in rows {
        assert!(row.contains("BIZUDPGothic"), "{fonts}");
        // name … emb sub uni: embedded, as a subset, with a Unicode map.
        assert!(row.contains(" yes yes yes"), "{fonts}");
    }
    let info = tool("pdfinfo", &["-meta", "FILE"], &pdf);
    assert!(
        info.contains("<pdfaid:part>2</pdfaid:part>") && info.contains("<pdfaid:conformance>A</pdfaid:conformance>"),
        "{info}"
    );
    assert!(info.contains("2026-11-22T10:15:02+09:00"), "{info}");
    let general = tool("pdfinfo", &["FILE"], &pdf);
    assert!(general.contains("画像診断報告書 R-2026-000123"), "{general}");
    assert!(
        !general.contains("山田") && !info.contains("山田"),
        "the patient's name belongs on the page, not in the metadata"
    );
}

#[test]
fn the_same_page_is_the_same_file() {
    let first = render(&page()).expect("page");
    let second = std::thread::spawn(|| render(&page()).expect("page")).join().expect("thread");
    assert_eq!(first, second);

    let next = render(&ReportPage { version: 2, ..page() }).expect("page");
    assert_ne!(first, next);
}

#[test]
fn names_keep_their_characters() {
    let names = ["髙橋 﨑子", "辻\u{E0100} 花子", "鷗外 〜①㈱", "ﾔﾏﾀﾞ ﾀﾛｳ", "Müller^François"];
    for name in names {
        let page = ReportPage { patient_name: name.into(), findings: format!("{name}さんの所見"), ..page() };
        let pdf = render(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        keep(&format!("name-{}", name.chars().count()), &pdf);
        let text = text(&pdf);
        assert!(text.contains(name), "{name} is not in\n{text}");
        assert!(text.contains(&format!("{name}さんの所見")), "{name} is not in\n{text}");
    }
}

#[test]
fn typed_text_is_never_a_program() {
    let hostile = "#panic() *x* $y$ _z_ `code` = 見出し @ref <label> // 注 /* */ \\ \" #import \"@preview/a:1.0.0\" -- ... ' [x](y) #sys.inputs";
    let page = ReportPage {
        patient_name: hostile.into(),
        patient_id: "#{1+1}".into(),
        findings: hostile.into(),
        impression: hostile.into(),
        predecessor_note: Some(hostile.into()),
        ..page()
    };
    let pdf = render(&page).expect("page");
    keep("hostile", &pdf);

    let raw = tool("pdftotext", &["-enc", "UTF-8", "-raw", "FILE", "-"], &pdf);
    let flat = raw.replace('\n', " ");
    assert!(flat.contains("#panic() *x* $y$ _z_ `code` = 見出し @ref <label> // 注 /* */ \\ \" #import"), "{raw}");
    assert!(flat.contains("#{1+1}"), "{raw}");
}

#[test]
fn long_text_flows_over_pages_that_cannot_be_mixed() {
    let line = |number: usize| {
        format!(
            "{number}行目: 肝S{}に径{}mmの低吸収域を認めます。前回と比べて変化はありません。",
            number % 8 + 1,
            number
        )
    };
    let findings: Vec<String> = (1..=150).map(line).collect();
    let page = ReportPage { findings: findings.join("\n"), ..page() };
    let pdf = render(&page).expect("page");
    keep("long", &pdf);

    let pages = pages(&pdf);
    assert!(pages.len() >= 3, "{} pages", pages.len());
    for (index, text) in pages.iter().enumerate() {
        for expected in ["山田 太郎", "ID P-0012345", "R-2026-000123 第1版"] {
            assert!(text.contains(expected), "{expected} is not on page {}:\n{text}", index + 1);
        }
        // Narrow spaces in the footer are not always read back.
        let number = format!("頁{}/{}", index + 1, pages.len());
        assert!(text.replace(' ', "").contains(&number), "{number} is not on page {}:\n{text}", index + 1);
    }
    let all = pages.concat();
    let mut at = 0;
    for expected in &findings {
        let found =
            all[at..].find(expected.as_str()).unwrap_or_else(|| panic!("{expected} is missing or out of order"));
        at += found;
    }
}

#[test]
fn line_breaks_stay_where_they_were_typed() {
    let page =
        ReportPage { findings: "一行目\r\n二行目\n\n四行目\n\u{3000}字下げ\n  - 箇条".into(), ..page() };
    let pdf = render(&page).expect("page");
    keep("lines", &pdf);

    let text = text(&pdf);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for expected in ["一行目", "二行目", "四行目", "字下げ", "- 箇条"] {
        assert!(lines.contains(&expected), "{expected} is not a line of its own in\n{text}");
    }
}

#[test]
fn empty_sections_are_left_out_and_an_unsigned_page_says_so() {
    let page = ReportPage {
        recommendation: String::new(),
        clinical_question: " \n ".into(),
        predecessor_note: Some("第1版の左右の誤りを訂正しました。".into()),
        status: "下書き".into(),
        signed_at: String::new(),
        version: 2,
        ..page()
    };
    let pdf = render(&page).expect("page");
    keep("unsigned", &pdf);

    let text = text(&pdf);
    assert!(!text.contains("推奨") && !text.contains("臨床情報"), "{text}");
    assert!(text.contains("第1版の左右の誤りを訂正しました。"), "{text}");
    assert!(text.contains("未署名 — 診療に使用しないこと"), "{text}");
    assert!(!text.contains("電子署名済") && !text.contains("署名日時"), "{text}");
}

#[test]
fn english_labels_go_with_any_text() {
    let pdf = render(&ReportPage { language: Language::En, status: "Final".into(), ..page() }).expect("page");
    keep("english", &pdf);

    let text = text(&pdf);
    for expected in ["Diagnostic Imaging Report", "Findings", "Impression", "Recommendation", "version 1", "山田 太郎"]
    {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("所見\n"), "{text}");
}

#[test]
fn what_cannot_be_printed_is_refused_by_name() {
    let with_findings = |findings: &str| render(&ReportPage { findings: findings.into(), ..page() });

    let missing = render(&ReportPage { patient_name: "𠮷田 太郎".into(), ..page() });
    let error = ReportPdfError::MissingGlyph { character: '𠮷', field: "patient_name" };
    assert_eq!(
        error.to_string(),
        "character 𠮷 (U+20BB7) in patient_name cannot be printed, write it with another character"
    );
    assert_eq!(missing, Err(error));
    assert_eq!(with_findings("異常なし😀"), Err(ReportPdfError::MissingGlyph { character: '😀', field: "findings" }));
    for character in ['\u{7}', '\u{0}', '\u{202E}', '\u{200B}', '\u{FEFF}'] {
        let refused = with_findings(&format!("左{character}右"));
        assert_eq!(refused, Err(ReportPdfError::InvisibleCharacter { character, field: "findings" }));
    }
    assert!(matches!(with_findings(&"あ".repeat(60_000)), Err(ReportPdfError::TooLong { field: "findings", .. })));
    for (field, page) in [
        ("patient_name", ReportPage { patient_name: " ".into(), ..page() }),
        ("patient_id", ReportPage { patient_id: String::new(), ..page() }),
        ("report_id", ReportPage { report_id: String::new(), ..page() }),
        ("impression", ReportPage { impression: "\n".into(), ..page() }),
    ] {
        assert_eq!(render(&page), Err(ReportPdfError::Empty { field }));
    }
}

#[test]
fn the_longest_report_allowed_is_printed() {
    let line = "肝臓に占拠性病変を認めない。".repeat(1000);
    let page = ReportPage { findings: format!("{line}\n{line}\n{line}"), ..page() };
    let pdf = render(&page).expect("page");
    keep("longest", &pdf);
    assert!(pages(&pdf).len() > 10);
}

#[test]
fn long_identifiers_break_instead_of_leaving_the_paper() {
    let id = "A1B2C3D4E5".repeat(7);
    let page =
        ReportPage { patient_id: id.clone(), accession_number: id.clone(), patient_name_romaji: id.clone(), ..page() };
    let pdf = render(&page).expect("page");
    keep("identifiers", &pdf);
    let raw = tool("pdftotext", &["-enc", "UTF-8", "-raw", "FILE", "-"], &pdf);
    let flat: String = raw.split_whitespace().collect();
    assert_eq!(flat.matches(&id).count(), 4, "header, identifier, accession number, romaji:\n{raw}");

    let unbreakable = ReportPage { accession_number: "語\u{2060}".repeat(60), ..page.clone() };
    assert!(matches!(render(&unbreakable), Err(ReportPdfError::InvisibleCharacter { field: "accession_number", .. })));
    let no_break_spaces = ReportPage { findings: ["語"; 120].join("\u{A0}"), ..page.clone() };
    assert_eq!(render(&no_break_spaces), Err(ReportPdfError::OutsidePage));
    let too_long = ReportPage { patient_id: "1".repeat(201), ..page };
    assert_eq!(render(&too_long), Err(ReportPdfError::TooLong { field: "patient_id", limit: 200 }));
}
