//! Who gets what from which route. Everything is asked of a node with one case that R1 reads, one that R1 signed, and one study without a case; a request that
//! would be allowed to change something is made in a way that is refused later than by rights, so that one node serves all rows.

use std::collections::HashSet;

use axum::http::Method;
use serde_json::json;

use super::{Browser, Node, Sent};

/// Nobody, the reader who holds the case, another reader, the case's facility, another facility, the office, an administrator.
const WHO: [&str; 7] = ["", "R1", "R2", "F1", "F2", "O1", "A1"];

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

type Row<'a> = (Method, &'static str, String, Sent<'a>, [u16; 7]);

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    let node = Node::new().await;
    let mut browsers = vec![Browser::default()];
    for person in &WHO[1..] {
        browsers.push(node.sign_in(person).await);
    }
    node.next_step();
    let held = node.case("HOSP1", "P-1", 1).await;
    let signed = node.case("HOSP1", "P-2", 2).await;
    let report = node.signed_report(&browsers[1], signed).await;
    let workitem = node.claim(&browsers[1], held).await;
    node.world.work().await;

    let cli = dokuei_domain::Actor::CommandLine;
    let studies = node.world.state.ingest.studies(&cli, 10).await.unwrap();
    let study = studies.iter().find(|study| study.patient.id == "P-1").unwrap().pk;
    let series = node.get(&browsers[1], &format!("/api/v1/cases/{held}/series")).await.json();
    let frame = series[0]["frames"][0]["href"].as_str().unwrap().to_owned();
    let deliveries =
        node.world.state.reports.deliveries(&cli, &dokuei_report::DeliverySelection::default()).await.unwrap();
    let delivery = deliveries[0].row.id;
    let missing = uuid::Uuid::from_u128(1);
    let dead = uuid::Uuid::from_u128(9);
    let token = "A".repeat(43);
    let bad_draft = json!({ "findings": "\u{0}", "impression": "", "recommendation": "", "base_version": 0 });
    let wrong = json!({ "password": "wrong", "code": "000000" });
    let too_long = format!("clinical_question={}&callback_number=1&priority=routine", "a".repeat(4001));
    let form = Sent::Form;
    let nothing = || Sent::Nothing;

    // Who is not signed in is sent to the sign-in page (303), a program is told so (401). What is not for somebody does not exist (404).
    #[rustfmt::skip]
    let table: Vec<Row<'_>> = vec![
        (GET,  "/",                                        "/".into(), nothing(),                               [303, 303, 303, 303, 303, 303, 303]),
        (GET,  "/sign-in",                                 "/sign-in".into(), nothing(),                        [200, 200, 200, 200, 200, 200, 200]),
        (POST, "/sign-in",                                 "/sign-in".into(), form("account=x&password=x&code=x"), [401, 401, 401, 401, 401, 429, 429]),
        (GET,  "/sign-in/link/{token}",                    format!("/sign-in/link/{token}"), nothing(),         [410, 410, 410, 410, 410, 410, 410]),
        (GET,  "/worklist",                                "/worklist".into(), nothing(),                       [303, 200, 200, 303, 303, 303, 404]),
        (GET,  "/cases/{case}",                            format!("/cases/{held}"), nothing(),                 [303, 200, 404, 200, 404, 200, 404]),
        (POST, "/cases/{case}/claim",                      format!("/cases/{held}/claim"), form(""),            [303, 303, 404, 404, 404, 404, 404]),
        (GET,  "/cases/{case}/read",                       format!("/cases/{held}/read"), nothing(),            [303, 200, 404, 303, 404, 303, 404]),
        (POST, "/cases/{case}/release",                    format!("/cases/{held}/release?workitem=2.25.1"), form(""), [303, 409, 409, 404, 404, 404, 404]),
        (POST, "/cases/{case}/assign",                     format!("/cases/{held}/assign"), form("reader=R2"),  [303, 404, 404, 404, 404, 409, 404]),
        (GET,  "/reports/{version}",                       report.clone(), nothing(),                           [303, 200, 200, 200, 404, 200, 404]),
        (GET,  "/reports/{version}/deliveries",            format!("{report}/deliveries"), nothing(),           [303, 200, 200, 200, 404, 200, 404]),
        (GET,  "/reports/{version}/files/{kind}",          format!("{report}/files/pdf"), nothing(),            [303, 200, 200, 200, 404, 200, 404]),
        (POST, "/deliveries/{delivery}/retry",             format!("/deliveries/{delivery}/retry"), form(""),   [303, 404, 404, 404, 404, 303, 404]),
        (GET,  "/studies",                                 "/studies".into(), nothing(),                        [303, 404, 404, 200, 200, 200, 404]),
        (GET,  "/studies/{study}",                         format!("/studies/{study}"), nothing(),              [303, 404, 404, 200, 404, 200, 404]),
        (POST, "/studies/{study}/request",                 format!("/studies/{study}/request"), form(&too_long), [303, 404, 404, 422, 404, 422, 404]),
        (POST, "/studies/{study}/complete",                format!("/studies/{study}/complete"), form(""),      [303, 404, 404, 303, 404, 404, 404]),
        (GET,  "/studies/{study}/withdraw",                format!("/studies/{study}/withdraw"), nothing(),     [303, 404, 404, 200, 404, 404, 404]),
        (POST, "/studies/{study}/withdraw",                format!("/studies/{study}/withdraw"), form("reason="), [303, 404, 404, 422, 404, 404, 404]),
        (GET,  "/office",                                  "/office".into(), nothing(),                         [303, 404, 404, 404, 404, 200, 404]),
        (GET,  "/office/quarantine/{object}",              format!("/office/quarantine/{missing}"), nothing(),  [303, 404, 404, 404, 404, 404, 404]),
        (POST, "/office/quarantine/{object}/release",      format!("/office/quarantine/{missing}/release"), form("reason=x"), [303, 404, 404, 404, 404, 404, 404]),
        (POST, "/office/quarantine/{object}/reject",       format!("/office/quarantine/{missing}/reject"), form("reason=x"), [303, 404, 404, 404, 404, 404, 404]),
        (GET,  "/office/holds/{hold}",                     format!("/office/holds/{missing}"), nothing(),       [303, 404, 404, 404, 404, 404, 404]),
        (POST, "/office/holds/{hold}/decide",              format!("/office/holds/{missing}/decide"), form("decision=same_person&reason=x"), [303, 404, 404, 404, 404, 404, 404]),
        (POST, "/jobs/{job}/retry",                        format!("/jobs/{dead}/retry"), form(""),             [303, 404, 404, 404, 404, 303, 404]),
        (GET,  "/office/storage",                          "/office/storage".into(), nothing(),                 [303, 404, 404, 404, 404, 200, 404]),
        (POST, "/office/storage/{damage}/verify",          format!("/office/storage/{missing}/verify"), form(""), [303, 404, 404, 404, 404, 303, 404]),
        (POST, "/office/storage/{damage}/repair",          format!("/office/storage/{missing}/repair"), form(""), [303, 404, 404, 404, 404, 303, 404]),
        (POST, "/office/storage/{damage}/accept",          format!("/office/storage/{missing}/accept"), form("reason="), [303, 404, 404, 404, 404, 422, 404]),
        (GET,  "/admin",                                   "/admin".into(), nothing(),                          [303, 404, 404, 404, 404, 404, 200]),
        (POST, "/admin/reenrolments",                      "/admin/reenrolments".into(), form("account=R1&reason="), [303, 404, 404, 404, 404, 404, 422]),
        (POST, "/admin/approvals/{approval}/grant",        format!("/admin/approvals/{missing}/grant"), form(""), [303, 404, 404, 404, 404, 404, 422]),
        (POST, "/admin/approvals/{approval}/refuse",       format!("/admin/approvals/{missing}/refuse"), form(""), [303, 404, 404, 404, 404, 404, 422]),
        (POST, "/admin/accounts/{account}/disable",        "/admin/accounts/NOBODY/disable".into(), form(""),   [303, 404, 404, 404, 404, 404, 422]),
        (POST, "/admin/accounts/{account}/enable",         "/admin/accounts/NOBODY/enable".into(), form(""),    [303, 404, 404, 404, 404, 404, 422]),
        (GET,  "/enrol/{token}",                           format!("/enrol/{token}"), nothing(),                [200, 200, 200, 200, 200, 200, 200]),
        (POST, "/enrol/{token}",                           format!("/enrol/{token}"), form(""),                 [410, 410, 410, 410, 410, 410, 410]),
        (GET,  "/account",                                 "/account".into(), nothing(),                        [303, 200, 200, 200, 200, 200, 200]),
        (POST, "/account/password",                        "/account/password".into(), form("old=a&new=b&again=c&code=1"), [303, 422, 422, 422, 422, 422, 422]),
        (POST, "/account/recovery-codes",                  "/account/recovery-codes".into(), form("password=a&code=1"), [303, 403, 403, 403, 403, 403, 403]),
        (GET,  "/api/v1/worklist",                         "/api/v1/worklist".into(), nothing(),                [401, 200, 200, 200, 200, 200, 404]),
        (GET,  "/api/v1/cases/{case}/series",              format!("/api/v1/cases/{held}/series"), nothing(),   [401, 200, 404, 200, 404, 200, 404]),
        (GET,  "/api/v1/instances/{instance}/frames/{number}", frame, nothing(),                                [401, 200, 404, 200, 404, 200, 404]),
        (PUT,  "/api/v1/cases/{case}/draft",               format!("/api/v1/cases/{held}/draft?workitem={workitem}"), Sent::Json(bad_draft), [401, 422, 422, 422, 422, 422, 422]),
        (POST, "/api/v1/cases/{case}/keep",                format!("/api/v1/cases/{held}/keep?workitem={workitem}"), nothing(), [401, 200, 409, 404, 404, 404, 404]),
        (POST, "/api/v1/cases/{case}/sign",                format!("/api/v1/cases/{held}/sign?workitem={workitem}"), Sent::Json(wrong), [401, 422, 409, 404, 404, 404, 404]),
        (GET,  "/readyz",                                  "/readyz".into(), nothing(),                         [200, 200, 200, 200, 200, 200, 200]),
        // These two end or change the session that they are asked with; last.
        (POST, "/language",                                "/language".into(), form("language=en&back=/account"), [303, 303, 303, 303, 303, 303, 303]),
        (POST, "/sign-out",                                "/sign-out".into(), form(""),                        [303, 303, 303, 303, 303, 303, 303]),
    ];

    let mut wrong = Vec::new();
    for (method, route, path, sent, expected) in &table {
        for ((who, browser), expected) in WHO.iter().zip(&browsers).zip(expected) {
            let sent = match sent {
                Sent::Nothing => Sent::Nothing,
                Sent::Form(text) => Sent::Form(text),
                Sent::Json(value) => Sent::Json(value.clone()),
            };
            let answer = node.ask(browser, method.clone(), path, sent).await;
            if answer.status.as_u16() != *expected {
                wrong.push(format!("{method} {route} for '{who}': {} instead of {expected}", answer.status.as_u16()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let listed: HashSet<_> = table.iter().map(|(method, route, ..)| (method.clone(), *route)).collect();
    let routes: HashSet<_> = crate::routes::routes().into_iter().map(|route| (route.method, route.path)).collect();
    assert_eq!(listed, routes, "each route has its row");
}
