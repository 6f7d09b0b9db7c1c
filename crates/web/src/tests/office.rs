//! The office: what needs a person, with a reason and a button.

use axum::http::StatusCode;
use dokuei_report::{DeliverySelection, DeliveryState};

use super::Node;

#[tokio::test]
async fn the_office_sees_every_case_and_assigns_one() {
    let node = Node::new().await;
    let office = node.sign_in("O1").await;
    let empty = node.get(&office, "/office").await.text();
    for part in [
        "読影依頼はまだありません",
        "返送に失敗したレポートはありません",
        "隔離された画像はありません",
        "connection refused",
    ] {
        assert!(empty.contains(part), "{part}");
    }
    let case = node.case("HOSP1", "P-1", 1).await;
    node.case("HOSP2", "P-2", 2).await;
    let page = node.get(&office, "/office").await.text();
    assert!(page.contains("P-1") && page.contains("P-2"), "{page}");
    assert!(node.get(&office, &format!("/cases/{case}")).await.text().contains("鈴木 花子 (R2) CT MR"));

    let assigned = node.post(&office, &format!("/cases/{case}/assign"), "reader=R2").await;

    assert_eq!(assigned.location(), format!("/cases/{case}"));
    let page = node.get(&office, &format!("/cases/{case}")).await.text();
    assert!(page.contains("R2:account:O1 が指名"), "{page}");
    let reader = node.sign_in("R2").await;
    assert!(node.get(&reader, "/worklist").await.text().contains("P-1"));
    assert_eq!(node.post(&office, &format!("/cases/{case}/assign"), "reader=").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        node.post(&office, &format!("/cases/{case}/assign"), "reader=R9").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn a_return_that_does_not_arrive_is_shown_with_each_attempt_and_tried_again() {
    let node = Node::new().await;
    let (reader, office) = (node.sign_in("R1").await, node.sign_in("O1").await);
    let case = node.case("HOSP1", "P-1", 1).await;
    let report = node.signed_report(&reader, case).await;

    node.world.work().await;

    let deliveries = async || {
        let cli = dokuei_domain::Actor::CommandLine;
        node.world.state.reports.deliveries(&cli, &DeliverySelection::default()).await.unwrap().remove(0)
    };
    let first = deliveries().await;
    assert_ne!(first.row.state, DeliveryState::Accepted, "nobody listens");
    let page = node.get(&office, "/office").await.text();
    let button = format!("/deliveries/{}/retry", first.row.id);
    assert!(page.contains(&button) && page.contains("Connection refused"), "{page}");
    let part = node.get(&reader, &format!("{report}/deliveries")).await.text();
    assert!(part.contains("接続不可") && !part.contains(&button), "the reader sees it, without the button: {part}");

    let retried = node.post(&office, &format!("{button}?back={report}"), "").await;

    assert_eq!(retried.location(), report);
    node.world.work().await;
    assert_eq!(deliveries().await.attempts.len(), first.attempts.len() + 1);
}

#[tokio::test]
async fn work_that_has_stopped_is_started_again() {
    let node = Node::new().await;
    let office = node.sign_in("O1").await;
    let job = uuid::Uuid::from_u128(9);
    assert!(node.get(&office, "/office").await.text().contains(&format!("/jobs/{job}/retry")));
    assert_eq!(node.post(&office, &format!("/jobs/{job}/retry"), "").await.location(), "/office#dead-jobs");
    let other = uuid::Uuid::from_u128(10);
    assert_eq!(node.post(&office, &format!("/jobs/{other}/retry"), "").await.status, StatusCode::NOT_FOUND);
}
