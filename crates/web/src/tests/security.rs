//! What no page may lack, whoever asks for it.

use axum::http::{Method, StatusCode};

use super::{Browser, Node, Sent};

#[tokio::test]
async fn a_change_that_comes_from_another_site_is_refused() {
    let node = Node::new().await;
    let browser = node.sign_in("A1").await;
    let attempts = [
        (vec![("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (vec![("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (vec![("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        (vec![("sec-fetch-site", "same-origin")], StatusCode::SEE_OTHER),
        (vec![("origin", "http://dokuei.example")], StatusCode::SEE_OTHER),
    ];
    for (headers, expected) in attempts {
        let path = "/admin/accounts/R2/disable";
        let answer = node.ask_with(&browser, Method::POST, path, Sent::Form(""), &headers).await;

        assert_eq!(answer.status, expected, "{headers:?}");
        let disabled = node.get(&browser, "/admin").await.text().contains("/admin/accounts/R2/enable");
        assert_eq!(disabled, expected == StatusCode::SEE_OTHER, "{headers:?}");
        node.post(&browser, "/admin/accounts/R2/enable", "").await;
    }

    let json = node
        .ask_with(&browser, Method::POST, "/api/v1/cases/x/keep", Sent::Nothing, &[("sec-fetch-site", "cross-site")])
        .await;
    assert_eq!((json.status, json.json()["kind"].as_str()), (StatusCode::FORBIDDEN, Some("cross_site")));
    let read = node.ask_with(&browser, Method::GET, "/admin", Sent::Nothing, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(read.status, StatusCode::OK, "a link from elsewhere may be followed");
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_it() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let nobody = Browser::default();
    for (browser, path) in [
        (&nobody, "/sign-in"),
        (&nobody, "/worklist"),
        (&nobody, "/no-such-page"),
        (&nobody, "/assets/style.css"),
        (&nobody, "/healthz"),
        (&nobody, "/api/v1/worklist"),
        (&reader, "/worklist"),
        (&reader, "/office"),
        (&reader, "/account"),
    ] {
        let answer = node.get(browser, path).await;

        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'self'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "object-src 'none'",
        ] {
            assert!(policy.contains(part), "{path} lacks {part}");
        }
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        let cached = answer.header("cache-control");
        assert_eq!(cached == "no-store", !path.starts_with("/assets"), "{path}: {cached}");
    }
}

#[tokio::test]
async fn pages_hold_no_script_or_style_that_the_policy_would_refuse() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let office = node.sign_in("O1").await;
    let administrator = node.sign_in("A1").await;
    let case = node.case("HOSP1", "P-1", 3).await;
    node.claim(&reader, case).await;
    for (browser, path) in [
        (&reader, format!("/cases/{case}/read")),
        (&reader, format!("/cases/{case}")),
        (&office, "/office".into()),
        (&administrator, "/admin".into()),
    ] {
        let text = node.get(browser, &path).await.text();
        assert!(!text.contains("style=") && !text.contains("<style"), "{path}");
        assert!(!text.contains("onclick=") && !text.contains("onload=") && !text.contains("javascript:"), "{path}");
        let inline =
            text.split("<script").skip(1).filter(|script| !script.starts_with(" type=\"module\" src=")).count();
        assert_eq!(inline, 0, "{path}");
    }
}

#[tokio::test]
async fn what_somebody_typed_is_text_on_every_page() {
    let node = Node::new().await;
    let facility = node.sign_in("F1").await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "<script>1", 4).await;
    let studies = node.world.state.ingest.studies(&dokuei_domain::Actor::CommandLine, 1).await.unwrap();
    let form =
        "clinical_question=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&callback_number=%22onfocus%3D1&priority=urgent";
    let saved = node.post(&facility, &format!("/studies/{}/request", studies[0].pk), form).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);

    let workitem = node.claim(&reader, case).await;
    node.save(&reader, case, &workitem, "</textarea><script>alert(2)</script>", 0).await;

    for (browser, path) in [
        (&reader, format!("/cases/{case}/read")),
        (&reader, "/worklist".into()),
        (&facility, format!("/studies/{}", studies[0].pk)),
        (&facility, format!("/cases/{case}")),
    ] {
        let text = node.get(browser, &path).await.text();
        assert!(!text.contains("<script>"), "{path}");
        assert!(!text.contains("\"onfocus"), "{path}");
        assert!(text.contains("&#60;script&#62;") || text.contains("&lt;script&gt;"), "{path} shows it as text");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_strictly_read() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let path = "/api/v1/cases/0189d5a0-0000-7000-8000-000000000000/draft?workitem=2.25.1";
    let check = async |sent, status, kind: &str| {
        let answer = node.ask(&reader, Method::PUT, path, sent).await;
        assert_eq!((answer.status, answer.json()["kind"].as_str().unwrap()), (status, kind));
    };
    let long = serde_json::json!({ "findings": "あ".repeat(400_000), "impression": "", "recommendation": "", "base_version": 0 });
    check(Sent::Json(long), StatusCode::PAYLOAD_TOO_LARGE, "too_large").await;
    check(Sent::Json(serde_json::json!({ "findings": 5 })), StatusCode::BAD_REQUEST, "bad_request").await;
    check(Sent::Form("findings=x"), StatusCode::BAD_REQUEST, "bad_request").await;
    let whole = serde_json::json!({ "findings": "x", "impression": "", "recommendation": "", "base_version": 0 });
    check(Sent::Json(whole), StatusCode::NOT_FOUND, "not_found").await;
}

#[tokio::test]
async fn a_path_that_names_nothing_is_not_found_and_a_method_that_is_not_there_refused() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    for path in
        ["/cases/x", "/cases/%00", "/reports/1", "/api/v1/instances/x/frames/1", "/nothing", "/cases/../etc/passwd"]
    {
        let answer = node.get(&reader, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let answer = node.ask(&reader, Method::DELETE, "/worklist", Sent::Nothing).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.text().contains("最初のページへ"), "with a way back");
}
