//! A reader's day: the list, the claim, images, the draft, the signature.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Node, Sent};

#[tokio::test]
async fn the_list_says_who_what_how_urgent_and_how_long() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    assert!(
        node.get(&reader, "/worklist").await.text().contains("読影待ちの依頼はありません"),
        "an empty list says so"
    );
    node.case("HOSP1", "P-1", 1).await;
    node.clock.advance(std::time::Duration::from_secs(65 * 60));

    // The session was not used for longer than it lasts.
    let reader =
        if node.get(&reader, "/worklist").await.status == StatusCode::OK { reader } else { node.sign_in("R1").await };
    let page = node.get(&reader, "/worklist").await.text();

    for part in [
        "山田 太郎",
        "やまだ たろう",
        "Yamada Taro",
        "P-1",
        "1960-04-01",
        "66歳",
        "CT",
        "HEAD",
        "みなと中央病院",
        "1時間5分",
        "通常",
        "自分の担当",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("指名"), "with the reasons of the assignment");
    let json = node.get(&reader, "/api/v1/worklist").await.json();
    assert_eq!((json[0]["patient"]["id"].as_str(), json[0]["received"].as_i64()), (Some("P-1"), Some(5)));
}

#[tokio::test]
async fn a_claimed_case_disappears_for_others_and_continues_in_another_browser() {
    let node = Node::new().await;
    let (mine, other) = (node.sign_in("R1").await, node.sign_in("R2").await);
    let case = node.case("HOSP1", "P-1", 1).await;

    let workitem = node.claim(&mine, case).await;

    assert_eq!(node.post(&other, &format!("/cases/{case}/claim"), "").await.status, StatusCode::NOT_FOUND);
    assert!(node.get(&mine, "/worklist").await.text().contains("続ける"));
    node.next_step();
    let elsewhere = node.sign_in("R1").await;
    assert_eq!(node.claim(&elsewhere, case).await, workitem, "the same claim");
    assert_eq!(node.save(&elsewhere, case, &workitem, "所見", 0).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_page_and_no_answer_tells_the_transaction_uid() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    let workitem = node.claim(&reader, case).await;
    let secret =
        crate::TransactionUids::new(&node.world.state.claim_key).derive(&workitem, &super::world::account("R1"));
    let keep = format!("/api/v1/cases/{case}/keep?workitem={workitem}");
    assert_eq!(
        node.ask(&reader, Method::POST, &keep, Sent::Nothing).await.status,
        StatusCode::OK,
        "it is the one in use"
    );

    for path in [format!("/cases/{case}/read"), format!("/cases/{case}"), "/worklist".into(), "/api/v1/worklist".into()]
    {
        assert!(!node.get(&reader, &path).await.text().contains(&secret), "{path}");
    }
    assert!(!node.ask(&reader, Method::POST, &keep, Sent::Nothing).await.text().contains(&secret));
}

#[tokio::test]
async fn the_reading_page_shows_the_patient_in_every_script() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    node.claim(&reader, case).await;

    let page = node.get(&reader, &format!("/cases/{case}/read")).await;

    let identity = page.between("<section class=\"identity\"", "</section>");
    let dialog = page.between("<dialog id=\"sign-dialog\"", "</dialog>");
    for part in ["山田 太郎", "やまだ たろう", "Yamada Taro", "P-1", "1960-04-01", "66歳", "男", "2026-11-22", "CT"]
    {
        assert!(identity.contains(part), "{part}: {identity}");
        assert!(dialog.contains(part), "{part}: {dialog}");
    }
    let text = page.text();
    for window in ["40,80", "-600,1500", "40,400", "400,1800"] {
        assert!(text.contains(&format!("data-window=\"{window}\"")), "{window}");
    }
    for id in [
        "reading",
        "viewport",
        "picture",
        "caption",
        "series",
        "findings",
        "impression",
        "recommendation",
        "save-state",
        "release-form",
        "sign-open",
        "sign-dialog",
        "sign-form",
        "sign-submit",
        "sign-cancel",
        "sign-problem",
        "sign-incomplete",
    ] {
        assert!(text.contains(&format!("id=\"{id}\"")), "the script needs #{id}");
    }
}

#[tokio::test]
async fn images_are_rendered_cached_privately_and_never_for_strangers() {
    let node = Node::new().await;
    let (reader, stranger) = (node.sign_in("R1").await, node.sign_in("F2").await);
    let case = node.case("HOSP1", "P-1", 1).await;
    let series = node.get(&reader, &format!("/api/v1/cases/{case}/series")).await.json();
    assert_eq!((series[0]["modality"].as_str(), series[0]["frames"].as_array().unwrap().len()), (Some("CT"), 5));
    assert_eq!(series[0]["frames"][0]["label"], "Im 1  5.0 mm");
    let href = series[0]["frames"][0]["href"].as_str().unwrap();

    let picture = node.get(&reader, href).await;
    assert_eq!(
        (picture.header("content-type"), picture.header("cache-control")),
        ("image/jpeg", "private, max-age=3600")
    );
    assert!(picture.body.starts_with(&[0xFF, 0xD8, 0xFF]));
    let windowed = node.get(&reader, &format!("{href}?center=-600&width=1500")).await;
    assert_ne!(windowed.body, picture.body);
    assert_ne!(windowed.header("etag"), picture.header("etag"));
    let thumbnail = node.get(&reader, &format!("{href}?edge=8")).await;
    assert_eq!(thumbnail.header("content-type"), "image/png");

    let tag = picture.header("etag").to_owned();
    let known = node.ask_with(&reader, Method::GET, href, Sent::Nothing, &[("if-none-match", &tag)]).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let stolen = node.ask_with(&stranger, Method::GET, href, Sent::Nothing, &[("if-none-match", &tag)]).await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND);

    for (bad, status) in
        [("?center=40", 400), ("?center=40&width=0", 400), ("?center=x&width=1", 400), ("?edge=0", 400)]
    {
        assert_eq!(node.get(&reader, &format!("{href}{bad}")).await.status.as_u16(), status, "{bad}");
    }
    let beyond = href.replace("frames/1", "frames/2");
    assert_eq!(node.get(&reader, &beyond).await.json()["kind"], "not_found");
}

#[tokio::test]
async fn a_draft_is_saved_as_typed_and_a_stale_window_is_told_what_is_stored() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    let workitem = node.claim(&reader, case).await;
    let typed = "  髙﨑さん\n\n〜所見〜 ";

    assert_eq!(node.save(&reader, case, &workitem, typed, 0).await.json()["version"], 1);
    let page = node.get(&reader, &format!("/cases/{case}/read")).await;
    assert!(page.text().contains("data-draft-version=\"1\""));
    assert!(page.text().contains(typed));
    assert_eq!(node.save(&reader, case, &workitem, "次", 1).await.json()["version"], 2);

    let stale = node.save(&reader, case, &workitem, "別", 1).await;

    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert_eq!(
        (stale.json()["kind"].as_str(), stale.json()["stored"]["findings"].as_str()),
        (Some("conflict"), Some("次"))
    );
    assert_eq!(stale.json()["stored"]["version"], 2);
}

#[tokio::test]
async fn a_released_case_goes_on_with_its_draft_and_the_old_page_can_neither_save_nor_sign() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    let workitem = node.claim(&reader, case).await;
    node.save(&reader, case, &workitem, "途中まで", 0).await;

    let released = node.post(&reader, &format!("/cases/{case}/release?workitem={workitem}"), "").await;

    assert_eq!(released.location(), "/worklist");
    let cli = dokuei_domain::Actor::CommandLine;
    node.world.state.worklist.assign(&cli, case, Some(super::world::account("R1"))).await.unwrap();
    let next = node.claim(&reader, case).await;
    assert_ne!(next, workitem);
    assert!(node.get(&reader, &format!("/cases/{case}/read")).await.text().contains("途中まで"));
    let old = node.save(&reader, case, &workitem, "古い窓", 1).await;
    assert_eq!((old.status, old.json()["kind"].as_str()), (StatusCode::CONFLICT, Some("claim_lost")));
    node.next_step();
    let credentials = json!({ "password": node.world.people["R1"].password, "code": node.world.code("R1") });
    let signed =
        node.json(&reader, Method::POST, &format!("/api/v1/cases/{case}/sign?workitem={workitem}"), credentials).await;
    assert_eq!((signed.status, signed.json()["kind"].as_str()), (StatusCode::CONFLICT, Some("claim_lost")));
    assert_eq!(node.save(&reader, case, &next, "新しい窓", 1).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_signature_needs_text_password_and_a_fresh_code() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    let workitem = node.claim(&reader, case).await;
    let sign = async |password: &str, code: &str| {
        let path = format!("/api/v1/cases/{case}/sign?workitem={workitem}");
        let answer = node.json(&reader, Method::POST, &path, json!({ "password": password, "code": code })).await;
        (answer.status.as_u16(), answer.json()["kind"].as_str().unwrap_or_default().to_owned(), answer.location())
    };
    let (password, used) = (node.world.people["R1"].password.clone(), node.world.code("R1"));

    assert_eq!(sign(&password, &used).await.1, "empty");
    node.save(&reader, case, &workitem, "所見", 0).await;
    assert_eq!(sign("wrong", &used).await.1, "wrong_credentials");
    let replayed = sign(&password, &used).await;
    assert_eq!((replayed.0, replayed.1.as_str()), (403, "replayed_code"), "it has signed in already");
    node.next_step();
    let path = format!("/api/v1/cases/{case}/sign?workitem={workitem}");
    let stale = json!({ "password": password, "code": node.world.code("R1"), "draft_version": 7 });
    let stale = node.json(&reader, Method::POST, &path, stale).await;
    assert_eq!(stale.json()["kind"], "conflict", "what is on the screen is what is signed");

    node.next_step();
    let whole = json!({ "password": password, "code": node.world.code("R1"), "draft_version": 1 });
    let signed = node.json(&reader, Method::POST, &path, whole).await;

    let location = signed.json()["location"].as_str().unwrap().to_owned();
    let report = node.get(&reader, &location).await.text();
    assert!(report.contains("署名とすべてのファイルは署名時のままです"), "{report}");
    assert!(report.contains("山田 太郎") && report.contains("所見") && report.contains("送信待ち"), "{report}");
    assert!(node.get(&reader, "/worklist?view=finished").await.text().contains(&location));
    assert_eq!(node.get(&reader, &format!("/cases/{case}/read")).await.location(), format!("/cases/{case}"));
}

#[tokio::test]
async fn files_are_downloaded_and_the_pdf_is_shown() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    let report = node.signed_report(&reader, case).await;
    let facility = node.sign_in("F1").await;
    for (kind, media_type, begins, disposition) in [
        ("pdf", "application/pdf", b"%PDF".as_slice(), "inline"),
        ("manifest", "application/json", b"{", "attachment"),
        ("signature", "application/pkcs7-signature", &[0x30], "attachment"),
        ("structured_report", "application/dicom", &[0; 128], "attachment"),
        ("encapsulated_pdf", "application/dicom", &[0; 128], "attachment"),
    ] {
        let file = node.get(&facility, &format!("{report}/files/{kind}")).await;
        assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, media_type), "{kind}");
        assert!(file.body.starts_with(begins), "{kind}");
        assert!(file.header("content-disposition").starts_with(disposition), "{kind}");
        assert_eq!(node.audit(1).await, ["account:F1 report.open success"], "{kind}");
    }
    assert_eq!(node.get(&facility, &format!("{report}/files/passwd")).await.status, StatusCode::NOT_FOUND);
}
