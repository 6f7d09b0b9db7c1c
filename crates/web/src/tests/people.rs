//! Signing in and out, one's own account, and enrolment by two administrators.

use axum::http::{Method, StatusCode};
use dokuei_domain::Actor;

use super::{Browser, Node, Sent};

#[tokio::test]
async fn signing_in_needs_all_three_and_never_says_which_was_wrong() {
    let node = Node::new().await;
    let (password, code) = (node.world.people["R1"].password.clone(), node.world.code("R1"));
    let nobody = Browser::default();
    let mut told = Vec::new();
    for (account, password, code) in
        [("R9", password.as_str(), code.as_str()), ("R1", "wrong", &code), ("R1", &password, "000000")]
    {
        let form = format!("account={account}&password={password}&code={code}");
        let refused = node.post(&nobody, "/sign-in", &form).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.headers.get("set-cookie").is_none());
        assert!(refused.text().contains(&format!("value=\"{account}\"")), "the account need not be typed again");
        told.push(refused.between("role=\"alert\">", "<"));
    }
    assert_eq!((&told[0], &told[1]), (&told[1], &told[2]));

    let form = format!("account=R1&password={password}&code={code}&next=/account");
    let entered = node.post(&nobody, "/sign-in", &form).await;
    assert_eq!((entered.status, entered.location().as_str()), (StatusCode::SEE_OTHER, "/account"));
    let cookie = entered.header("set-cookie");
    assert!(
        cookie.starts_with("dokuei=")
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Lax")
            && cookie.contains("Path=/"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "the node runs on plain HTTP here");

    let replayed = node.post(&nobody, "/sign-in", &form).await;
    assert_eq!(replayed.between("role=\"alert\">", "<"), told[0]);
    assert_eq!(node.audit(1).await, ["system:sign_in sign_in refused"]);
}

#[tokio::test]
async fn after_too_many_failures_one_has_to_wait() {
    let node = Node::new().await;
    let nobody = Browser::default();
    for _ in 0..5 {
        node.post(&nobody, "/sign-in", "account=R1&password=x&code=000000").await;
    }
    let form = format!("account=R1&password={}&code={}", node.world.people["R1"].password, node.world.code("R1"));
    let refused = node.post(&nobody, "/sign-in", &form).await;

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().contains("15分後"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "900");
}

#[tokio::test]
async fn behind_https_the_cookie_is_bound_to_the_host() {
    let mut node = Node::new().await;
    node.world.state.settings.public_https = true;
    node.router = crate::router(node.world.state.clone());

    let form = format!("account=R1&password={}&code={}", node.world.people["R1"].password, node.world.code("R1"));
    let entered = node.post(&Browser::default(), "/sign-in", &form).await;

    let cookie = entered.header("set-cookie");
    assert!(cookie.starts_with("__Host-dokuei=") && cookie.contains("Secure"), "{cookie}");
    let browser = Browser { cookie: Some(entered.cookie()) };
    assert_eq!(node.get(&browser, "/worklist").await.status, StatusCode::OK);
}

#[tokio::test]
async fn whoever_is_signed_out_comes_back_to_where_they_were() {
    let node = Node::new().await;
    let browser = node.sign_in("R1").await;

    let out = node.post(&browser, "/sign-out", "").await;
    assert_eq!(out.location(), "/sign-in?notice=signed-out");
    assert!(out.header("set-cookie").contains("Max-Age=0"));

    let page = node.get(&browser, "/worklist?view=finished").await;
    assert_eq!(page.location(), "/sign-in?next=/worklist%3Fview%3Dfinished");
    let shown = node.get(&browser, &page.location()).await;
    assert!(shown.text().contains("name=\"next\" value=\"/worklist?view=finished\""), "{}", shown.text());
    let json = node.get(&browser, "/api/v1/worklist").await;
    assert_eq!((json.status, json.json()["kind"].as_str()), (StatusCode::UNAUTHORIZED, Some("signed_out")));
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it() {
    let node = Node::new().await;
    let browser = node.sign_in("R1").await;
    node.clock.advance(std::time::Duration::from_secs(29 * 60));
    assert_eq!(node.get(&browser, "/worklist").await.status, StatusCode::OK);

    node.clock.advance(std::time::Duration::from_secs(31 * 60));

    assert_eq!(node.get(&browser, "/worklist").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_demonstration_link_works_once_and_a_preview_of_it_does_not_count() {
    let node = Node::new().await;
    let token = node.world.state.access.sign_in_link_create(&super::world::account("O1"), 600).await.unwrap();
    let (path, nobody) = (format!("/sign-in/link/{token}"), Browser::default());

    let preview = node.ask(&nobody, Method::HEAD, &path, Sent::Nothing).await;
    assert_eq!((preview.status, preview.headers.get("set-cookie")), (StatusCode::NO_CONTENT, None));
    let entered = node.get(&nobody, &path).await;
    assert_eq!(entered.location(), "/");
    let browser = Browser { cookie: Some(entered.cookie()) };
    assert_eq!(node.get(&browser, "/").await.location(), "/office");
    assert_eq!(node.get(&nobody, &path).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn the_language_is_switched_everywhere() {
    let node = Node::new().await;
    let nobody = Browser::default();
    assert!(node.get(&nobody, "/sign-in").await.text().contains("<html lang=\"ja\">"));
    let switched = node.post(&nobody, "/language", "language=en&back=/sign-in").await;
    assert_eq!(switched.location(), "/sign-in");
    let english = Browser { cookie: Some(switched.cookie()) };
    assert!(node.get(&english, "/sign-in").await.text().contains("Sign in"));
    assert_eq!(node.post(&nobody, "/language", "language=fr").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(node.post(&nobody, "/language", "language=en&back=//evil.example").await.location(), "/");

    let reader = node.sign_in("R1").await;
    node.post(&reader, "/language", "language=en&back=/worklist").await;
    let page = node.get(&reader, "/worklist").await.text();
    assert!(page.contains("<html lang=\"en\">") && page.contains("There is nothing to read."), "{page}");
    let json = node.get(&reader, "/api/v1/cases/0189d5a0-0000-7000-8000-000000000000/series").await;
    assert_eq!(json.json()["message"], "There is no such page, or it is not for you.");
}

#[tokio::test]
async fn a_password_is_changed_with_a_fresh_code_and_ends_the_session() {
    let node = Node::new().await;
    let browser = node.sign_in("R1").await;
    let old = node.world.people["R1"].password.clone();
    let form = |new: &str, again: &str, code: &str| format!("old={old}&new={new}&again={again}&code={code}");

    let differ = node.post(&browser, "/account/password", &form("abcdefgh-ijkl", "other", "1")).await;
    assert_eq!(differ.status, StatusCode::UNPROCESSABLE_ENTITY);
    let used =
        node.post(&browser, "/account/password", &form("abcdefgh-ijkl", "abcdefgh-ijkl", &node.world.code("R1"))).await;
    assert_eq!(used.status, StatusCode::FORBIDDEN, "the code has signed in already");
    assert!(used.text().contains("使用済み"));
    node.next_step();
    let short = node.post(&browser, "/account/password", &form("abc", "abc", &node.world.code("R1"))).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    node.next_step();

    let changed =
        node.post(&browser, "/account/password", &form("abcdefgh-ijkl", "abcdefgh-ijkl", &node.world.code("R1"))).await;

    assert_eq!(changed.location(), "/sign-in?notice=password-changed", "{}", changed.text());
    assert_eq!(node.get(&browser, "/worklist").await.status, StatusCode::SEE_OTHER);
    node.next_step();
    let form = format!("account=R1&password=abcdefgh-ijkl&code={}", node.world.code("R1"));
    assert_eq!(node.post(&Browser::default(), "/sign-in", &form).await.location(), "/");
}

#[tokio::test]
async fn recovery_codes_are_renewed_and_shown_once() {
    let node = Node::new().await;
    let browser = node.sign_in("O1").await;
    node.next_step();
    let form = format!("password={}&code={}", node.world.people["O1"].password, node.world.code("O1"));

    let shown = node.post(&browser, "/account/recovery-codes", &form).await;

    let code = shown.between("<ul class=\"codes\"><li><code>", "</code>");
    assert!(!node.get(&browser, "/account").await.text().contains(&code));
    let form = format!("account=O1&password={}&code={code}", node.world.people["O1"].password);
    assert_eq!(node.post(&Browser::default(), "/sign-in", &form).await.location(), "/");
    assert_eq!(node.post(&Browser::default(), "/sign-in", &form).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_administrators_enrol_somebody_anew() {
    let node = Node::new().await;
    let (first, second) = (node.sign_in("A1").await, node.sign_in("A2").await);
    let nobody = Browser::default();

    assert_eq!(node.post(&first, "/admin/reenrolments", "account=R1&reason=phone+lost").await.location(), "/admin");
    let approvals = node.world.state.access.approvals_open(&Actor::CommandLine).await.unwrap();
    let path = format!("/admin/approvals/{}/grant", approvals[0].id);
    assert!(!node.get(&first, "/admin").await.text().contains(&path), "who asked is offered no button");
    let own = node.post(&first, &path, "").await;
    assert_eq!(own.status, StatusCode::CONFLICT);
    assert!(own.text().contains("別の管理者"));
    assert!(node.get(&second, "/admin").await.text().contains(&path));

    let granted = node.post(&second, &path, "").await;
    let link = granted.between("<code id=\"enrol-link\">", "</code>");
    let link = link.strip_prefix("http://dokuei.example").unwrap().to_owned();

    assert_eq!(node.get(&nobody, &link).await.status, StatusCode::OK, "looking uses nothing up");
    let enrolled = node.post(&nobody, &link, "").await;
    assert!(enrolled.text().contains("data:image/png;base64,"), "{}", enrolled.text());
    let password = enrolled.between("<dd><code>", "</code>");
    assert_ne!(password, node.world.people["R1"].password);
    let again = node.post(&nobody, &link, "").await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(!again.text().contains("data:image/png"));
}
