//! Finding a study on the list of studies.

use axum::http::{Method, StatusCode};
use dokuei_testkit::{SeededEntropy, data_set::Encoding, synthetic::CtImage};

use super::{Browser, Node, Sent};

/// A node at which HOSP1 has three patients and HOSP2 one of the same name.
async fn with_patients() -> Node {
    let node = Node::new().await;
    let patients: [(&str, &str, &[u8], &str); 4] = [
        ("HOSP1", "0001234567", "Yamada^Tarou=山田^太郎=やまだ^たろう".as_bytes(), "ISO_IR 192"),
        ("HOSP1", "K-22", b"TAKAHASHI^ICHIRO=\x1B$B9b66\x1B(B^\x1B$B0lO:\x1B(B", "\\ISO 2022 IR 87"),
        ("HOSP1", "K-23", b"\xBB\xC4\xB3^\xCA\xC5\xBA", "ISO_IR 13"),
        ("HOSP2", "0001234567", b"\xD4\xCF\xC0\xDE^\xBC\xDE\xDB\xB3", "ISO_IR 13"),
    ];
    for (number, (from, id, name, set)) in patients.into_iter().enumerate() {
        let images = CtImage::series(1, &SeededEntropy::new(40 + number as u64));
        let files: Vec<_> = images
            .into_iter()
            .map(|image| image.with_patient(id.as_bytes(), name, set).part10(Encoding::ExplicitLittleEndian))
            .collect();
        node.world.send(from, &files).await;
    }
    node
}

/// The Patient IDs on the page that is found by what is typed.
async fn found(node: &Node, browser: &Browser, typed: &str) -> Vec<String> {
    let page = node.get(browser, &format!("/studies?q={}", encoded(typed))).await;
    assert_eq!(page.status, StatusCode::OK, "{typed}");
    let text = page.text();
    text.split("<span class=\"id\">").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_patient_is_found_in_whatever_script_somebody_types() {
    let node = with_patients().await;
    let facility = node.sign_in("F1").await;
    for typed in [
        "やまだ",
        "ヤマダ",
        "ﾔﾏﾀﾞ",
        "YAMADA",
        "yamada tarou",
        "yamada taro",
        "山田",
        "山田太郎",
        "山田　太郎",
        "山田 太郎",
        "太郎",
        "0001234567",
        "1234",
        "１２３４５６７",
        " 山田 ",
    ] {
        assert_eq!(found(&node, &facility, typed).await, ["0001234567"], "{typed}");
    }
    for typed in ["たかはし", "takahasi", "高橋", "髙橋一郎", "k-22", "Ｋ２２"] {
        assert_eq!(found(&node, &facility, typed).await, ["K-22"], "{typed}");
    }
    for typed in ["さとう", "satoh", "サトウ ハナコ"] {
        assert_eq!(found(&node, &facility, typed).await, ["K-23"], "{typed}");
    }
}

#[tokio::test]
async fn a_search_ends_at_the_facility_and_says_when_it_finds_nothing() {
    let node = with_patients().await;
    let (one, two, office) = (node.sign_in("F1").await, node.sign_in("F2").await, node.sign_in("O1").await);
    assert_eq!(found(&node, &one, "yamada").await.len(), 1);
    assert_eq!(found(&node, &two, "yamada jiro").await, ["0001234567"]);
    assert!(found(&node, &two, "高橋").await.is_empty());
    assert_eq!(found(&node, &office, "やまだ").await.len(), 2, "the office sees both hospitals'");

    let nothing = node.get(&two, &format!("/studies?q={}", encoded("高橋"))).await.text();
    assert!(nothing.contains("条件に合う検査はありません"), "{nothing}");
    assert!(nothing.contains("value=\"高橋\"") && nothing.contains("条件を消す"), "what was typed stays");
    let unsearchable = node.get(&one, "/studies?q=%21%21").await.text();
    assert!(unsearchable.contains("条件に合う検査はありません"), "{unsearchable}");
}

#[tokio::test]
async fn dates_narrow_the_list_and_what_is_no_date_is_refused() {
    let node = with_patients().await;
    let facility = node.sign_in("F1").await;
    let all = node.get(&facility, "/studies").await.text();
    let study_date =
        all.split("<span class=\"dim\">").find_map(|rest| rest.get(..10).filter(|date| date.starts_with("20")));
    let date = study_date.unwrap().to_owned();
    let ids = async |query: String| {
        let page = node.get(&facility, &format!("/studies?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        page.text().matches("<span class=\"id\">").count()
    };
    assert_eq!(ids(format!("from={date}&to={date}")).await, 3);
    assert_eq!(ids(format!("q=yamada&from={date}&to=")).await, 1);
    assert_eq!(ids("from=2099-01-01".to_owned()).await, 0);
    assert_eq!(ids("to=1990-01-01&q=".to_owned()).await, 0);
    for wrong in ["from=20261101", "from=yesterday", "to=2026-02-30", "to=%27--"] {
        assert_eq!(node.get(&facility, &format!("/studies?{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_typed_is_shown_as_text() {
    let node = Node::new().await;
    let facility = node.sign_in("F1").await;
    let typed = "\"><script>alert(1)</script>";
    let page = node.ask(&facility, Method::GET, &format!("/studies?q={}", encoded(typed)), Sent::Nothing).await;
    assert!(!page.text().contains("<script>alert"), "{}", page.text());
    let long = node.get(&facility, &format!("/studies?q={}", encoded(&"あ い ".repeat(500)))).await;
    assert_eq!(long.status, StatusCode::OK);
}
