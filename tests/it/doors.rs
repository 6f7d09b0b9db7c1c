//! Who may not, does not get in, and it is written down.

use dokuei_domain::{FacilityId, StudyUid};
use serde_json::json;

use crate::harness::{Index, Person, TestNode};
use crate::loop_story::{Loop, node_with_reader, send_study};

on_both_databases!(wrong_and_replayed_credentials_are_refused, what_belongs_to_another_facility_does_not_exist);

async fn wrong_and_replayed_credentials_are_refused(index: Index) {
    let Loop { node, reader, .. } = node_with_reader(index, &[], &[]).await;
    // Nobody is let in without a session.
    for path in ["/api/v1/worklist", "/worklist", "/office", "/admin"] {
        let answer = reader.get(path).await;
        assert!(
            answer.status == 401 || answer.status == 303 && answer.location.starts_with("/sign-in"),
            "{path}: {answer:?}"
        );
    }

    let password = reader.password();
    let code = reader.code().await;
    assert_eq!(reader.try_sign_in("wrong password", &code).await.status, 401);
    node.audited("sign_in", "refused", "wrong account or password").await;
    assert_eq!(reader.try_sign_in(&password, "000000").await.status, 401);
    node.audited("sign_in", "refused", "wrong code").await;
    assert_eq!(reader.try_sign_in(&password, "").await.status, 401);
    assert_eq!(reader.get("/api/v1/worklist").await.status, 401);

    assert_eq!(reader.try_sign_in(&password, &code).await.status, 303, "a right code after wrong ones");
    assert_eq!(reader.get("/api/v1/worklist").await.status, 200);
    node.audited("sign_in", "success", "R1").await;
    let replayed = reader.try_sign_in(&password, &code).await;
    assert_eq!(replayed.status, 401);
    // The page does not say which of the three was wrong; the audit does.
    let refusals = node.audit().await.into_iter().filter(|row| row.action == "sign_in" && row.outcome == "refused");
    assert_eq!(refusals.count(), 4);
    assert!(!replayed.text().contains(&code) && !replayed.text().contains(&password));

    // The same at the signature.
    send_study(&node, "HOSP1", 1, 901).await;
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    let sign = format!("/api/v1/cases/{case}/sign");
    let fresh = reader.code().await;
    for (password, code, kind) in [
        ("wrong password", fresh.as_str(), "wrong_credentials"),
        (password.as_str(), "000000", "wrong_credentials"),
        (password.as_str(), code.as_str(), "replayed_code"),
    ] {
        let refused =
            reader.post(&sign, &json!({ "password": password, "code": code, "confirm_incomplete": false })).await;
        assert_eq!((refused.status, refused.json()["kind"].as_str()), (403, Some(kind)), "{refused:?}");
    }
    let refusals = node.audit().await.into_iter().filter(|row| row.outcome == "refused" && row.action.contains("sign"));
    assert!(refusals.count() >= 7, "{:#?}", node.audit().await);
    let database = node.database().await;
    assert_eq!(database.read().await.unwrap().report_version_count().await.unwrap(), 0);
    database.close().await;
    let signed = reader.post(&sign, &json!({ "password": password, "code": fresh, "confirm_incomplete": false })).await;
    assert_eq!(signed.status, 200, "{signed:?}");

    // Guessing ends.
    let guesses = 20;
    let mut statuses = Vec::new();
    for _ in 0..guesses {
        statuses.push(reader.try_sign_in("guess", "123456").await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(reader.get("/api/v1/worklist").await.status, 200, "who is in already is not disturbed");
    reader.submit("/sign-out", &[]).await.success();
    assert_eq!(reader.get("/api/v1/worklist").await.status, 401);
}

async fn what_belongs_to_another_facility_does_not_exist(index: Index) {
    let Loop { node, reader, clerk } = node_with_reader(index, &[], &[]).await;
    node.add_facility("HOSP2", &["HOSP2"]).await;
    let add = |id: &'static str, role: &'static str| {
        let node = &node;
        async move {
            let mut arguments = vec!["user", "add", "--id", id, "--role", role, "--name", id];
            if role == "facility" {
                arguments.extend(["--facility", "HOSP2"]);
            }
            Person::new(node, &node.cli(&arguments).await)
        }
    };
    let (stranger, office, administrator) =
        (add("stranger", "facility").await, add("office", "office").await, add("second", "administrator").await);
    let other_reader =
        node.cli(&["reader", "add", "--id", "R2", "--name", "Kato^Jiro=加藤^次郎", "--modality", "CT"]).await;
    let other_reader = Person::new(&node, &other_reader);
    let images = send_study(&node, "HOSP1", 1, 911).await;
    for person in [&reader, &clerk, &stranger, &office, &administrator, &other_reader] {
        person.sign_in().await;
    }
    let study = study_key(&node, &images[0].study_instance_uid).await;
    let case = office.first_case().await;
    node.cli(&["worklist", "assign", &case, "--reader", "R1"]).await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    let series = reader.get(&format!("/api/v1/cases/{case}/series")).await.success().json();
    let frame = series[0]["frames"][0]["href"].as_str().unwrap().to_owned();

    // A case that another reader has claimed is not there for this one.
    for path in
        [format!("/cases/{case}"), format!("/cases/{case}/read"), format!("/api/v1/cases/{case}/series"), frame.clone()]
    {
        assert_eq!(other_reader.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(other_reader.submit(&format!("/cases/{case}/claim"), &[]).await.status, 404);
    let draft = json!({ "findings": "x", "impression": "x", "recommendation": "", "base_version": 1 });
    assert_eq!(other_reader.put(&format!("/api/v1/cases/{case}/draft"), &draft).await.status, 404);
    assert_eq!(other_reader.try_sign(&case).await.status, 404);

    let report = reader.sign(&case).await;
    let own = [
        format!("/studies/{study}"),
        format!("/cases/{case}"),
        format!("/reports/{report}"),
        format!("/reports/{report}/files/pdf"),
        format!("/reports/{report}/files/structured_report"),
        format!("/reports/{report}/files/manifest"),
        format!("/reports/{report}/deliveries"),
    ];
    for path in &own {
        assert_eq!(clerk.get(path).await.status, 200, "{path}");
        let nothing = stranger.get(path).await;
        assert_eq!(nothing.status, 404, "{path}");
        assert!(!nothing.text().contains("山田") && !nothing.text().contains("K-77"), "{path} tells who it is");
        assert_eq!(administrator.get(path).await.status, 404, "administrators see no patient: {path}");
    }
    for (path, fields) in [
        (format!("/studies/{study}/complete"), &[][..]),
        (format!("/studies/{study}/withdraw"), &[("reason", "x"), ("confirm", "yes")][..]),
        (
            format!("/studies/{study}/request"),
            &[("clinical_question", "x"), ("callback_number", "x"), ("priority", "routine")][..],
        ),
        (format!("/cases/{case}/claim"), &[][..]),
        (format!("/cases/{case}/assign"), &[("reader", "R2")][..]),
    ] {
        assert_eq!(stranger.submit(&path, fields).await.status, 404, "{path}");
    }
    assert_eq!(stranger.get(&frame).await.status, 404);
    let worklist = stranger.get("/api/v1/worklist").await.success().json();
    assert_eq!(worklist, json!([]), "another facility's case is on the list");
    let listed = stranger.get("/studies").await.success().text();
    assert!(!listed.contains("山田") && !listed.contains("K-77"), "another facility's study is on the list");
    let refused =
        node.audit().await.into_iter().filter(|row| row.outcome == "refused" && row.actor.contains("stranger"));
    let refused: Vec<_> = refused.map(|row| row.action).collect();
    assert!(refused.len() >= 5, "refusals are not audited: {refused:?}");

    // A form of another site changes nothing.
    let forged = clerk.submit_from("https://evil.example", &format!("/studies/{study}/complete"), &[]).await;
    assert_eq!(forged.status, 403, "{forged:?}");

    // The facility takes its study back: it is gone for everybody who reads, the report stays.
    clerk.submit(&format!("/studies/{study}/withdraw"), &[("reason", "別の患者"), ("confirm", "yes")]).await.success();
    node.audited("study.withdraw", "success", &images[0].study_instance_uid).await;
    assert_eq!(node.cli(&["report", "verify", &report]).await["ok"], true);
}

async fn study_key(node: &TestNode, uid: &str) -> String {
    let database = node.database().await;
    let (facility, uid) = (FacilityId::parse("HOSP1").unwrap(), StudyUid::parse(uid).unwrap());
    let study = database.read().await.unwrap().study_by_uid(&facility, &uid).await.unwrap().unwrap();
    database.close().await;
    study.pk.to_string()
}
