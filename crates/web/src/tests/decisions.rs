//! The office decides: whose study it is, and what becomes of objects that were kept aside.

use axum::http::StatusCode;
use dokuei_domain::Actor;
use dokuei_testkit::{data_set::Encoding, synthetic::CtImage};

use super::Node;

fn image(study: &str, sop: &str, birth_date: &str) -> CtImage {
    CtImage::new(study, &format!("{study}.1"), sop)
        .with_patient("K-9", "Mori^Aki=森^亜紀".as_bytes(), "ISO_IR 192")
        .born(birth_date, "F")
}

fn file(image: &CtImage) -> Vec<u8> {
    image.part10(Encoding::ExplicitLittleEndian)
}

#[tokio::test]
async fn a_study_that_contradicts_its_patient_is_shown_beside_it_and_decided() {
    let node = Node::new().await;
    let office = node.sign_in("O1").await;
    let (first, second) = (image("1.2.1", "1.2.1.1", "19500131"), image("1.2.2", "1.2.2.1", "19500113"));
    node.world.send("HOSP1", &[file(&first), file(&second)]).await;
    let hold = node.world.state.ingest.held_studies(&Actor::CommandLine).await.unwrap().remove(0);

    let page = node.get(&office, "/office").await.text();
    let link = format!("/office/holds/{}", hold.id);
    assert!(page.contains(&link) && page.contains("生年月日が異なる") && page.contains("森 亜紀"), "{page}");
    let clerk = node.sign_in("F1").await;
    assert!(
        node.get(&clerk, "/studies").await.text().contains("本人確認待ち"),
        "the facility sees why nobody reads it"
    );
    let shown = node.get(&office, &link).await.text();
    for part in ["1950-01-13", "1950-01-31", "Mori Aki", "同一人物", "別人", "受け付けない", "HOSP1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let decide = format!("{link}/decide");
    let unreasoned = node.post(&office, &decide, "decision=another_person&reason=+").await;
    assert_eq!(unreasoned.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(unreasoned.text().contains("理由を500文字以内"), "{}", unreasoned.text());
    assert_eq!(node.post(&office, &decide, "decision=nonsense&reason=x").await.status, StatusCode::BAD_REQUEST);
    let decided = node.post(&office, &decide, "decision=another_person&reason=ID+reused").await;

    assert_eq!(decided.location(), "/office#holds");
    assert!(node.get(&office, "/office").await.text().contains("本人確認待ちの検査はありません"));
    let shown = node.get(&office, &link).await.text();
    assert!(shown.contains("ID reused") && !shown.contains(&decide), "decided once: {shown}");
    assert_eq!(node.post(&office, &decide, "decision=rejected&reason=x").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_quarantined_object_is_shown_beside_what_is_stored_and_released_or_rejected() {
    let node = Node::new().await;
    let office = node.sign_in("O1").await;
    let first = image("1.2.1", "1.2.1.1", "19500131");
    let differs = image("1.2.1", "1.2.1.2", "19500113");
    let mut other_pixels = file(&first);
    *other_pixels.last_mut().unwrap() ^= 1;
    let no_series = CtImage { series_instance_uid: String::new(), ..image("1.2.1", "1.2.1.3", "19500131") };
    let sent = node.world.try_send("HOSP1", &[file(&first), file(&differs), other_pixels, file(&no_series)]).await;
    assert_eq!(sent.iter().filter(|sent| sent.is_err()).count(), 3, "{sent:?}");
    let held = node.world.state.ingest.quarantine(&Actor::CommandLine).await.unwrap();
    let link =
        |reason: &str| format!("/office/quarantine/{}", held.iter().find(|row| row.reason == reason).unwrap().id);

    let page = node.get(&office, "/office").await.text();
    let confirmed = link("patient_facts_differ");
    assert!(page.contains(&confirmed) && page.contains("必要なUIDがない (the data set cannot be filed"), "{page}");
    let shown = node.get(&office, &confirmed).await.text();
    assert!(
        shown.contains("1950-01-13") && shown.contains("1950-01-31") && shown.contains("class=\"differs\""),
        "{shown}"
    );
    let unreasoned = node.post(&office, &format!("{confirmed}/release"), "reason=").await;
    assert_eq!(unreasoned.status, StatusCode::UNPROCESSABLE_ENTITY);
    let released = node.post(&office, &format!("{confirmed}/release"), "reason=typing+error").await;
    assert_eq!(released.location(), "/office#quarantine");
    let study = node.world.state.ingest.studies(&Actor::CommandLine, 1).await.unwrap().remove(0);
    assert_eq!(study.instance_count, 2);
    assert!(node.get(&office, &confirmed).await.text().contains("typing error"));

    for (reason, why) in
        [("same_uid_other_content", "新しいUIDで送り直す"), ("missing_uid", "このままでは取り込めません")]
    {
        let link = link(reason);
        let shown = node.get(&office, &link).await.text();
        assert!(shown.contains(why) && !shown.contains("/release"), "{shown}");
        let refused = node.post(&office, &format!("{link}/release"), "reason=x").await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert_eq!(node.post(&office, &format!("{link}/reject"), "reason=x").await.status, StatusCode::SEE_OTHER);
        assert_eq!(node.post(&office, &format!("{link}/reject"), "reason=x").await.status, StatusCode::CONFLICT);
    }
    assert!(node.get(&office, "/office").await.text().contains("隔離された画像はありません"));
    let audit = node.audit(50).await.join("\n");
    assert!(audit.contains("quarantine.release") && audit.contains("quarantine.reject"), "{audit}");
}
