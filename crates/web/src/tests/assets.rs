//! Style, script and health.

use axum::http::{Method, StatusCode};

use super::{Browser, Node, Sent};

#[tokio::test]
async fn assets_come_out_of_the_binary_and_are_kept_by_browsers() {
    let node = Node::new().await;
    let nobody = Browser::default();
    let page = node.get(&nobody, "/sign-in").await;
    let style = page.between("rel=\"stylesheet\" href=\"", "\"");

    let answer = node.get(&nobody, &style).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    let known =
        node.ask_with(&nobody, Method::GET, &style, Sent::Nothing, &[("if-none-match", answer.header("etag"))]).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(node.get(&nobody, "/assets/icon.svg").await.header("content-type"), "image/svg+xml");
    assert_eq!(node.get(&nobody, "/assets/../Cargo.toml").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_script_is_there_or_missed_by_name() {
    let node = Node::new().await;
    let reader = node.sign_in("R1").await;
    let case = node.case("HOSP1", "P-1", 1).await;
    node.claim(&reader, case).await;
    let page = node.get(&reader, &format!("/cases/{case}/read")).await.text();
    let script = node.get(&reader, "/assets/app.js").await;

    let built = script.status == StatusCode::OK;
    assert_eq!(page.contains("/assets/app.js?v="), built);
    assert_eq!(page.contains("npm run build"), !built, "{page}");
}

#[tokio::test]
async fn health_tells_nothing_about_anybody() {
    let node = Node::new().await;
    let nobody = Browser::default();
    assert_eq!(node.get(&nobody, "/healthz").await.text(), "ok\n");
    assert_eq!(node.get(&nobody, "/readyz").await.text(), "ready\n");
}
