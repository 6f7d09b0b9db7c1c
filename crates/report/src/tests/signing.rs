use std::sync::Arc;

use dokuei_database::{Database, DatabaseErrorKind};
use dokuei_dataset::part10;
use dokuei_domain::{Role, workitem::WorkitemState};
use dokuei_testkit::{TestDatabase, Tool};

use super::scene::{CLAIM, PATIENT, Scene, actor, both, draft, reader};
use crate::{DraftText, ReportError, ReportErrorKind, ReportFileKind, SignRequest, SignedVersion, manifest::Manifest};

async fn bytes(scene: &Scene, version: &SignedVersion, kind: ReportFileKind) -> Vec<u8> {
    scene.reports.file(&reader(), version.id, kind).await.unwrap().bytes
}

#[tokio::test]
async fn signing_makes_a_final_version_and_everything_that_follows_at_once() {
    both(|scene| async move {
        scene.add_target("PACS", 11_114).await;
        scene.add_target("PACS2", 11_115).await;

        let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();

        assert_eq!((signed.number, signed.signed_at), (1, scene.ambient.now()));
        let mut read = scene.database.read().await.unwrap();
        let version = read.report_version_last(scene.case).await.unwrap().unwrap();
        assert_eq!(
            (version.id, version.findings.as_str(), version.instance_count),
            (signed.id, draft().findings.as_str(), 3)
        );
        assert_eq!(read.workitem_open(scene.case).await.unwrap(), None);
        let history = read.workitem_history(scene.case, 5).await.unwrap();
        assert_eq!(history.iter().map(|row| row.state).collect::<Vec<_>>(), [WorkitemState::Completed]);
        let mut queues: Vec<_> = read.job_list(10).await.unwrap().into_iter().map(|job| job.queue).collect();
        queues.sort();
        assert_eq!(queues, ["deliver_report", "deliver_report", "report_signed"]);
        drop(read);
        let audit = scene.audit("report.sign").await;
        assert_eq!(audit.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["success"]);
        assert!(audit[0].detail.contains("3 images, 2 recipients"), "{}", audit[0].detail);
        assert_eq!(scene.blobs().await.len(), 4);
        assert!(scene.reports.draft(&reader(), scene.case).await.unwrap().is_some(), "the draft stays");

        let again =
            scene.reports.sign(&reader(), SignRequest { code: "used up".into(), ..scene.request() }).await.unwrap();
        assert_eq!(again, signed, "a repeated request gives the version of the first one");
        assert_eq!(scene.blobs().await.len(), 4);
        assert!(scene.reports.verify(signed.id).await.unwrap().ok);
    })
    .await;
}

#[tokio::test]
async fn the_frozen_objects_are_read_by_other_peoples_programs() {
    let scene = Scene::new().await;
    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names = ["sr.dcm", "pdf.dcm", "manifest.json", "signature.p7s"];
    for (kind, name) in ReportFileKind::ALL.into_iter().zip(names) {
        std::fs::write(path(name), bytes(&scene, &signed, kind).await).unwrap();
    }
    std::fs::write(path("ca.pem"), &scene.authority_pem).unwrap();
    std::fs::write(path("report.pdf"), scene.reports.pdf(&reader(), signed.id).await.unwrap().bytes).unwrap();

    for name in ["sr.dcm", "pdf.dcm"] {
        let output = Tool::find("dciodvfy").unwrap().arg(path(name)).run().unwrap();
        assert!(!output.all_text().contains("Error"), "{name}: {output}");
    }
    let dump = Tool::find("dsrdump").unwrap().arg("+U8").arg(path("sr.dcm")).run().unwrap();
    let dump = if dump.status.success() {
        dump
    } else {
        Tool::find("dsrdump").unwrap().arg(path("sr.dcm")).run().unwrap().success()
    };
    for expected in ["Findings", "Impressions", "右上葉結節", "咳嗽が続く", "1.2.392.9.1"] {
        assert!(dump.all_text().contains(expected), "{expected}: {dump}");
    }
    let text = Tool::find("pdftotext")
        .unwrap()
        .args(["-enc", "UTF-8"])
        .arg(path("report.pdf"))
        .arg("-")
        .run()
        .unwrap()
        .success();
    let text = text.stdout_text();
    for expected in [
        "鈴木 花子",
        "すずき はなこ",
        "0001234567",
        "1960年4月1日",
        "66歳",
        "右上葉結節",
        "髙吸収域",
        "3か月後のCT",
        "至急",
        "2026年11月22日 09:00:00（UTC+09:00）",
        "山田 太郎",
        "徳島遠隔読影センター",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let at = (signed.signed_at.0 / 1_000_000).to_string();
    let openssl = Tool::find("openssl").unwrap().current_dir(folder.path());
    let arguments = [
        "cms",
        "-verify",
        "-binary",
        "-cades",
        "-inform",
        "DER",
        "-content",
        "manifest.json",
        "-CAfile",
        "ca.pem",
        "-in",
        "signature.p7s",
    ];
    openssl.args(arguments).args(["-out", "content", "-attime", &at]).run().unwrap().success();
}

#[tokio::test]
async fn the_manifest_states_what_was_signed_and_the_files_carry_their_owner() {
    let scene = Scene::new().await;
    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();

    let manifest = Manifest::parse(&bytes(&scene, &signed, ReportFileKind::Manifest).await).unwrap();
    assert_eq!((manifest.report_version, manifest.number, manifest.supersedes), (signed.id, 1, None));
    assert_eq!((manifest.case.id, manifest.case.workitem.as_str()), (scene.case, scene.workitem.as_str()));
    assert_eq!((manifest.patient.id.as_str(), manifest.patient.name.display()), ("0001234567", "鈴木 花子".into()));
    assert_eq!(manifest.content.recommendation, draft().recommendation);
    assert_eq!((manifest.evidence.instance_count(), manifest.evidence.signed_although_incomplete), (3, false));
    let instance = &manifest.evidence.studies[0].series[0].instances[2];
    assert_eq!((instance.sop_instance.as_str(), instance.dataset_sha256.0), ("1.2.392.9.1.1.3", [3; 32]));
    assert_eq!(manifest.author.certificate_serial, "4F1E2D");

    let file = bytes(&scene, &signed, ReportFileKind::StructuredReport).await;
    let (meta, _) = part10::parse_header(&file).unwrap();
    let receipt = meta.receipt.unwrap();
    assert_eq!((receipt.facility.as_str(), receipt.issuer.as_str()), ("HOSP1", super::scene::ISSUER));
    assert_eq!(meta.source_ae_title.unwrap().as_str(), "DOKUEI");
    assert_eq!(meta.sop_instance.as_ref(), Some(&signed.structured_report));
    let text = String::from_utf8_lossy(&file);
    assert!(
        (1..=3).all(|number| text.contains(&format!("1.2.392.9.1.1.{number}"))),
        "every image is listed as evidence"
    );
}

async fn refused(scene: &Scene, request: SignRequest) -> ReportError {
    let error = scene.reports.sign(&reader(), request).await.unwrap_err();
    assert_eq!(scene.blobs().await, Vec::<String>::new(), "{error}: files were left");
    assert_eq!(scene.database.read().await.unwrap().report_version_count().await.unwrap(), 0);
    let open = scene.database.read().await.unwrap().workitem_open(scene.case).await.unwrap();
    assert_eq!(open.map(|row| row.state), Some(WorkitemState::InProgress), "the claim stays");
    error
}

#[tokio::test]
async fn a_refused_signature_changes_nothing_and_is_audited() {
    let scene = Scene::new().await;
    let request = || scene.request();

    assert!(matches!(
        refused(&scene, SignRequest { password: "wrong".into(), ..request() }).await,
        ReportError::WrongCredentials
    ));
    assert!(matches!(
        refused(&scene, SignRequest { transaction_uid: "2.25.9".into(), ..request() }).await,
        ReportError::ClaimLost
    ));
    let stale = refused(&scene, SignRequest { draft_version: Some(7), ..request() }).await;
    assert!(matches!(stale, ReportError::Conflict { stored } if stored.version == 1));
    let unknown = SignRequest { case: dokuei_domain::CaseId(scene.ambient.new_uuid()), ..request() };
    assert!(matches!(refused(&scene, unknown).await, ReportError::NotFound));

    for (who, role) in [("R2", Role::Reader), ("O1", Role::Office), ("HOSP1-U", Role::Facility)] {
        let error = scene.reports.sign(&actor(who, role), request()).await.unwrap_err();
        assert!(matches!(error.kind(), ReportErrorKind::Denied | ReportErrorKind::Refused), "{who}: {error}");
    }
    let audit = scene.audit("report.sign").await;
    assert_eq!(audit.len(), 7);
    assert!(audit.iter().all(|row| row.outcome == "refused" && !row.detail.contains("wrong horse")), "{audit:?}");
}

#[tokio::test]
async fn an_empty_or_unprintable_report_is_not_signed() {
    let scene = Scene::new().await;
    let save =
        async |text: DraftText, base| scene.reports.save_draft(&reader(), scene.case, CLAIM, text, base).await.unwrap();
    let request = |version| SignRequest { draft_version: Some(version), ..scene.request() };

    save(DraftText { findings: " \n".into(), impression: String::new(), recommendation: "x".into() }, 1).await;
    assert!(matches!(refused(&scene, request(2)).await, ReportError::Empty));
    // A rare form of 吉 that the embedded font lacks.
    save(DraftText { impression: "𠮷".into(), ..draft() }, 2).await;
    assert!(matches!(
        refused(&scene, request(3)).await,
        ReportError::MissingGlyph { character: '𠮷', field: "impression" }
    ));
    save(DraftText { findings: "正常\u{202e}範囲".into(), ..draft() }, 3).await;
    assert!(matches!(
        refused(&scene, request(4)).await,
        ReportError::InvisibleCharacter { character: '\u{202e}', field: "findings" }
    ));
    save(DraftText { findings: "異常なし".into(), ..DraftText::default() }, 4).await;
    assert_eq!(scene.reports.sign(&reader(), request(5)).await.unwrap().number, 1, "findings alone are a report");
}

#[tokio::test]
async fn a_patients_name_that_the_font_lacks_does_not_keep_the_report_from_being_signed() {
    let scene = Scene::of_patient("Yoshida^Taro=𠮷田^太郎").await;

    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();

    let pdf = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pdf.path(), scene.reports.pdf(&reader(), signed.id).await.unwrap().bytes).unwrap();
    let text = Tool::find("pdftotext")
        .unwrap()
        .args(["-enc", "UTF-8"])
        .arg(pdf.path())
        .arg("-")
        .run()
        .unwrap()
        .success()
        .stdout_text();
    assert!(text.contains("〓(U+20BB7)田 太郎"), "{text}");
    let structured = bytes(&scene, &signed, ReportFileKind::StructuredReport).await;
    assert!(String::from_utf8_lossy(&structured).contains("𠮷田^太郎"), "the object has the name itself");
}

#[tokio::test]
async fn an_incomplete_study_needs_a_recorded_confirmation() {
    let scene = Scene::new().await;
    scene.receive(PATIENT, 4).await;

    let error = refused(&scene, scene.request()).await;
    assert!(
        matches!(error, ReportError::IncompleteNotConfirmed { received: 4, expected: None }),
        "{error}: images still arrive"
    );

    let signed =
        scene.reports.sign(&reader(), SignRequest { confirm_incomplete: true, ..scene.request() }).await.unwrap();
    let manifest = Manifest::parse(&bytes(&scene, &signed, ReportFileKind::Manifest).await).unwrap();
    assert!(manifest.evidence.signed_although_incomplete);
    assert_eq!(manifest.evidence.instance_count(), 4);
    assert!(scene.audit("report.sign").await[0].detail.contains("confirmed although"));
}

#[tokio::test]
async fn a_withdrawn_study_is_not_signed() {
    let scene = Scene::new().await;
    let mut tx = scene.database.write().await.unwrap();
    assert!(tx.study_withdraw(scene.study, "患者取り違え", scene.ambient.now()).await.unwrap());
    tx.commit().await.unwrap();

    assert!(matches!(refused(&scene, scene.request()).await, ReportError::Withdrawn));
}

#[tokio::test]
async fn images_that_arrive_while_the_files_are_frozen_are_in_the_version() {
    let scene = Scene::new().await;
    // The only writer is busy receiving an image; the signature is made meanwhile and has to wait.
    let mut receiving = scene.database.write().await.unwrap();
    let (reports, request) = (Arc::clone(&scene.reports), SignRequest { confirm_incomplete: true, ..scene.request() });
    let signing = tokio::spawn(async move { reports.sign(&reader(), request).await });
    four_files(&scene).await;
    scene.receive_in(&mut receiving, PATIENT, 4).await;
    receiving.commit().await.unwrap();

    let signed = signing.await.unwrap().unwrap();

    let manifest = Manifest::parse(&bytes(&scene, &signed, ReportFileKind::Manifest).await).unwrap();
    assert_eq!(manifest.evidence.instance_count(), 4);
    assert!(manifest.evidence.signed_although_incomplete, "it has become incomplete meanwhile");
    assert!(scene.reports.verify(signed.id).await.unwrap().ok);
    assert_eq!(scene.blobs().await.len(), 4, "the files of the first round are gone");
}

async fn four_files(scene: &Scene) {
    let probe = || async { (scene.blobs().await.len() == 4).then_some(()) };
    dokuei_testkit::eventually("four files in the store", std::time::Duration::from_secs(60), probe).await.unwrap();
}

#[tokio::test]
async fn of_many_signatures_at_once_one_is_made() {
    both(|scene| async move {
        let mut signing = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (reports, request) = (Arc::clone(&scene.reports), scene.request());
            signing.spawn(async move { reports.sign(&reader(), request).await });
        }
        let results = signing.join_all().await;

        let versions: Vec<_> = results.iter().map(|result| result.as_ref().unwrap().id).collect();
        assert!(versions.iter().all(|id| *id == versions[0]), "all hear of the same version: {versions:?}");
        assert_eq!(scene.database.read().await.unwrap().report_version_count().await.unwrap(), 1);
        assert_eq!(scene.blobs().await.len(), 4);
        assert_eq!(scene.audit("report.sign").await.len(), 1);
    })
    .await;
}

/// Lets the database choose the next so many signatures as victims of a deadlock.
fn plan_deadlocks(postgres: &TestDatabase, count: u32) {
    // A sequence goes on counting through rollbacks.
    let sql = format!(
        "CREATE SEQUENCE deadlocks; CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('deadlocks') <= {count} THEN RAISE EXCEPTION 'planned' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER deadlock BEFORE INSERT ON report_versions FOR EACH ROW EXECUTE FUNCTION deadlock()"
    );
    let psql = Tool::find("psql").unwrap();
    psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", postgres.url(), "-c", &sql]).run().unwrap().success();
}

#[tokio::test]
async fn a_signature_that_falls_to_a_deadlock_is_stored_again_under_the_same_code() {
    let Some((scene, postgres)) = Scene::on_postgres().await else { return };
    scene.add_target("PACS", 11_114).await;
    plan_deadlocks(&postgres, 1);

    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();

    assert_eq!(signed.number, 1);
    assert_eq!(scene.blobs().await.len(), 4, "the same files");
    assert!(scene.reports.verify(signed.id).await.unwrap().ok);
    let jobs = scene.database.read().await.unwrap().job_list(10).await.unwrap();
    assert_eq!(jobs.len(), 2, "one delivery and one event");
    let audit = scene.audit("report.sign").await;
    assert_eq!(audit.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["success"]);
    scene.database.close().await;
}

#[tokio::test]
async fn a_signature_that_keeps_falling_to_deadlocks_changes_nothing() {
    let Some((scene, postgres)) = Scene::on_postgres().await else { return };
    plan_deadlocks(&postgres, 2);

    let error = refused(&scene, scene.request()).await;

    assert!(matches!(&error, ReportError::Database(error) if error.kind == DatabaseErrorKind::Busy), "{error}");
    assert_eq!(scene.reports.sign(&reader(), scene.request()).await.unwrap().number, 1);
    scene.database.close().await;
}

/// Leaves the files of a version in the store without a row, as a power cut between the two does.
pub(super) async fn crash_before_the_commit(scene: &Scene) {
    let database: Database = scene.database.clone();
    // On SQLite there is one writer; who holds it keeps the signature from being stored.
    let writer = database.write().await.unwrap();
    let (reports, request) = (Arc::clone(&scene.reports), scene.request());
    let signing = tokio::spawn(async move { reports.sign(&reader(), request).await });
    four_files(scene).await;
    signing.abort();
    assert!(signing.await.unwrap_err().is_cancelled());
    drop(writer);
}

#[tokio::test]
async fn a_stop_between_files_and_index_leaves_no_version_and_signing_again_makes_one() {
    let scene = Scene::new().await;

    crash_before_the_commit(&scene).await;

    assert_eq!(scene.database.read().await.unwrap().report_version_count().await.unwrap(), 0);
    assert!(scene.reports.versions(&reader(), scene.case).await.unwrap().is_empty(), "nothing half-made is visible");
    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();
    assert_eq!(signed.number, 1);
    assert_eq!(scene.database.read().await.unwrap().report_version_count().await.unwrap(), 1);
    assert_eq!(scene.blobs().await.len(), 8, "the files of the first attempt are harmless");
    assert!(scene.reports.verify(signed.id).await.unwrap().ok);
}

#[tokio::test]
async fn a_next_version_succeeds_the_one_before() {
    let scene = Scene::new().await;
    let first = scene.reports.sign(&reader(), scene.request()).await.unwrap();
    scene.clock.advance(std::time::Duration::from_secs(600));
    let mut tx = scene.database.write().await.unwrap();
    tx.workitem_insert("2.25.2002", scene.case, None, scene.ambient.now()).await.unwrap();
    assert!(
        tx.workitem_claim("2.25.2002", &super::scene::account("R1"), "2.25.1002", scene.ambient.now(), None)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let text = DraftText { impression: "訂正：左上葉結節".into(), ..draft() };
    scene.reports.save_draft(&reader(), scene.case, "2.25.1002", text, 1).await.unwrap();

    let request = SignRequest { transaction_uid: "2.25.1002".into(), draft_version: Some(2), ..scene.request() };
    let second = scene.reports.sign(&reader(), request).await.unwrap();

    assert_eq!(second.number, 2);
    let manifest = Manifest::parse(&bytes(&scene, &second, ReportFileKind::Manifest).await).unwrap();
    assert_eq!(manifest.supersedes, Some(first.id));
    let structured = bytes(&scene, &second, ReportFileKind::StructuredReport).await;
    assert!(
        String::from_utf8_lossy(&structured).contains(first.structured_report.as_str()),
        "the SR names its predecessor"
    );
    let versions = scene.reports.versions(&reader(), scene.case).await.unwrap();
    assert_eq!(versions.iter().map(|row| (row.number, row.last_number)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    assert!(versions[0].impression.contains("右上葉"), "the first version is as it was");
    assert!(scene.reports.verify(first.id).await.unwrap().ok && scene.reports.verify(second.id).await.unwrap().ok);
}
