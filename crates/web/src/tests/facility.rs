//! A facility and its studies.

use axum::http::StatusCode;
use dokuei_database::StudyRow;
use dokuei_domain::Actor;

use super::Node;

async fn study(node: &Node, patient: &str) -> StudyRow {
    let studies = node.world.state.ingest.studies(&Actor::CommandLine, 10).await.unwrap();
    studies.into_iter().find(|study| study.patient.id == patient).unwrap()
}

#[tokio::test]
async fn a_facility_sees_its_own_studies_and_learns_nothing_of_others() {
    let node = Node::new().await;
    let (own, other) = (node.sign_in("F1").await, node.sign_in("F2").await);
    assert!(node.get(&own, "/studies").await.text().contains("受信した検査はまだありません"));
    let case = node.case("HOSP1", "P-1", 1).await;
    let study = study(&node, "P-1").await.pk;

    let list = node.get(&own, "/studies").await.text();
    assert!(list.contains("P-1") && list.contains("受信完了") && list.contains("割当済"), "{list}");
    assert!(!node.get(&other, "/studies").await.text().contains("P-1"));

    for path in [
        format!("/studies/{study}"),
        format!("/studies/{study}/withdraw"),
        format!("/cases/{case}"),
        format!("/api/v1/cases/{case}/series"),
    ] {
        assert_eq!(node.get(&own, &path).await.status, StatusCode::OK, "{path}");
        let refused = node.get(&other, &path).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
        let missing = node.get(&other, &path.replace(&study.to_string(), "0189d5a0-0000-7000-8000-000000000000")).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "like one that does not exist");
    }
    let form = "clinical_question=x&callback_number=1&priority=routine";
    assert_eq!(node.post(&other, &format!("/studies/{study}/request"), form).await.status, StatusCode::NOT_FOUND);
    assert_eq!(node.audit(1).await, ["account:F2 request.enter refused"]);
    assert_eq!(node.post(&other, &format!("/studies/{study}/complete"), "").await.status, StatusCode::NOT_FOUND);
    let withdrawal = "reason=x&confirm=yes";
    assert_eq!(
        node.post(&other, &format!("/studies/{study}/withdraw"), withdrawal).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(node.get(&own, &format!("/studies/{study}")).await.status, StatusCode::OK, "nothing happened to it");
}

#[tokio::test]
async fn a_request_reaches_the_reader() {
    let node = Node::new().await;
    let (facility, reader) = (node.sign_in("F1").await, node.sign_in("R1").await);
    let case = node.case("HOSP1", "P-1", 1).await;
    let path = format!("/studies/{}", study(&node, "P-1").await.pk);
    let form = "clinical_question=%E9%A0%AD%E7%97%9B&callback_number=03-0000-1234&requesting_physician=%E4%BD%90%E8%97%A4&priority=emergency";

    let saved = node.post(&facility, &format!("{path}/request"), form).await;

    assert_eq!(saved.location(), format!("{path}?saved=request"));
    assert!(node.get(&facility, &saved.location()).await.text().contains("依頼内容を保存しました"));
    node.claim(&reader, case).await;
    let page = node.get(&reader, &format!("/cases/{case}/read")).await;
    let request = page.between("<details class=\"request\"", "</details>");
    assert!(request.contains("頭痛") && request.contains("03-0000-1234") && request.contains("佐藤"), "{request}");
    assert!(page.text().contains("緊急"));

    let long = format!("clinical_question={}&callback_number=0120&priority=urgent", "a".repeat(4001));
    let refused = node.post(&facility, &format!("{path}/request"), &long).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text().contains(&"a".repeat(4001)) && refused.text().contains("0120"),
        "what was typed is still there"
    );
}

#[tokio::test]
async fn a_study_is_declared_complete_and_withdrawn_with_a_reason() {
    let node = Node::new().await;
    let (facility, reader) = (node.sign_in("F1").await, node.sign_in("R1").await);
    let case = node.case("HOSP1", "P-1", 1).await;
    let path = format!("/studies/{}", study(&node, "P-1").await.pk);
    let complete = node.post(&facility, &format!("{path}/complete"), "").await;
    assert!(node.get(&facility, &complete.location()).await.text().contains("送信完了を受け付けました"));

    let asked = node.get(&facility, &format!("{path}/withdraw")).await.text();
    assert!(asked.contains("山田 太郎") && asked.contains("P-1"), "the page shows whose study it is: {asked}");
    for incomplete in ["reason=&confirm=yes", "reason=wrong+patient", "reason=+&confirm=yes"] {
        let refused = node.post(&facility, &format!("{path}/withdraw"), incomplete).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{incomplete}");
    }
    assert_eq!(node.get(&reader, &format!("/cases/{case}")).await.status, StatusCode::OK, "not withdrawn yet");

    let withdrawn = node.post(&facility, &format!("{path}/withdraw"), "reason=wrong+patient&confirm=yes").await;
    node.world.work().await;

    assert_eq!(withdrawn.status, StatusCode::SEE_OTHER);
    assert_eq!(node.get(&reader, &format!("/cases/{case}")).await.status, StatusCode::GONE);
    assert!(!node.get(&reader, "/worklist").await.text().contains("P-1"));
    let office = node.sign_in("O1").await;
    assert!(node.get(&office, "/office").await.text().contains("取消"), "the office still sees it");
}
