//! The whole way with the reader's real key, password and one-time code.

use std::{sync::Arc, time::Duration};

use dokuei_access::{Access, AccessSettings, Enrolment, Language, NewReader, NodeKeys, PasswordCost};
use dokuei_domain::{Actor, AeTitle, PersonName, Role, hours::OnDutyHours, workitem::Discontinuation};
use dokuei_testkit::Tool;

use super::scene::{CLAIM, Scene, account, actor, draft};
use crate::{ReportError, ReportFileKind, Reports, SignRequest};

fn code(scene: &Scene, enrolment: &Enrolment) -> String {
    let secret = totp_rs::Secret::try_from_base32(&enrolment.totp_secret_base32).unwrap();
    let seconds = scene.ambient.now().0 / 1_000_000;
    totp_rs::Builder::new().with_secret(secret).build().unwrap().generate(seconds.try_into().unwrap()).to_string()
}

#[tokio::test]
async fn a_reader_signs_with_password_and_code_and_openssl_believes_it() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let keys = NodeKeys::create(&folder.path().join("keys"), &scene.ambient, "徳島遠隔読影センター").unwrap();
    let cost = PasswordCost { memory_kib: 64, passes: 1, lanes: 1 };
    let access_settings =
        AccessSettings { password_cost: cost, ..AccessSettings::new(AeTitle::parse("DOKUEI").unwrap()) };
    let access = Arc::new(Access::new(scene.database.clone(), scene.ambient.clone(), Arc::new(keys), access_settings));
    let settings = super::scene::settings();
    let reports =
        Reports::new(scene.database.clone(), scene.store.clone(), scene.ambient.clone(), Arc::clone(&access), settings);
    let new = NewReader {
        id: account("R3"),
        name: PersonName::parse("Takahashi^Ken=髙橋^健=たかはし^けん"),
        organisation: "徳島遠隔読影センター".into(),
        modalities: vec!["CT".into()],
        hours: OnDutyHours::always(),
        language: Language::Japanese,
    };
    let enrolment = access.reader_add(&Actor::CommandLine, new).await.unwrap();
    // R1 gives the case back and R3 takes it, with the draft as it is.
    let mut tx = scene.database.write().await.unwrap();
    let now = scene.ambient.now();
    tx.workitem_cancel_held(scene.case, &account("R1"), CLAIM, now, (Discontinuation::Unspecified, ""))
        .await
        .unwrap()
        .unwrap();
    tx.workitem_insert("2.25.2003", scene.case, Some(&scene.workitem), now).await.unwrap();
    assert!(tx.workitem_claim("2.25.2003", &account("R3"), "2.25.1003", now, None).await.unwrap());
    tx.commit().await.unwrap();
    scene.clock.advance(Duration::from_secs(60));
    let reader = actor("R3", Role::Reader);
    let request = |password: &str, code: String| SignRequest {
        transaction_uid: "2.25.1003".into(),
        password: password.into(),
        code,
        ..scene.request()
    };

    let wrong = reports.sign(&reader, request("not the password", code(&scene, &enrolment))).await.unwrap_err();
    assert!(matches!(wrong, ReportError::WrongCredentials), "{wrong}");
    scene.clock.advance(Duration::from_secs(60));
    let used = code(&scene, &enrolment);
    let wrong = reports.sign(&reader, request(&enrolment.password, "000000".into())).await.unwrap_err();
    assert!(matches!(wrong, ReportError::WrongCredentials), "{wrong}");
    let unlocked = access.unlock_signing_key(&account("R3"), &enrolment.password, &used, "127.0.0.1").await;
    assert!(unlocked.is_ok());
    let replayed = reports.sign(&reader, request(&enrolment.password, used)).await.unwrap_err();
    assert!(matches!(replayed, ReportError::ReplayedCode), "{replayed}");
    assert!(scene.blobs().await.is_empty());
    scene.clock.advance(Duration::from_secs(60));

    let signed = reports.sign(&reader, request(&enrolment.password, code(&scene, &enrolment))).await.unwrap();

    let verification = reports.verify(signed.id).await.unwrap();
    assert!(verification.ok, "{:?}", verification.first_failure());
    let version = scene.database.read().await.unwrap().report_version_last(scene.case).await.unwrap().unwrap();
    assert_eq!(Some(version.certificate_serial), enrolment.certificate_serial);
    assert_eq!((version.author.as_str(), version.findings), ("R3", draft().findings));
    for (kind, name) in [(ReportFileKind::Manifest, "manifest.json"), (ReportFileKind::Signature, "signature.p7s")] {
        std::fs::write(folder.path().join(name), reports.file(&reader, signed.id, kind).await.unwrap().bytes).unwrap();
    }
    std::fs::write(folder.path().join("ca.pem"), access.authority_pem().unwrap()).unwrap();
    let at = (signed.signed_at.0 / 1_000_000).to_string();
    let openssl = |extra: &[&str]| {
        let tool = Tool::find("openssl")
            .unwrap()
            .current_dir(folder.path())
            .args(["cms", "-verify", "-binary", "-inform", "DER"]);
        let tool = tool.args([
            "-content",
            "manifest.json",
            "-CAfile",
            "ca.pem",
            "-in",
            "signature.p7s",
            "-out",
            "content",
            "-attime",
            &at,
        ]);
        tool.args(extra).run().unwrap()
    };
    openssl(&[]).success();
    openssl(&["-cades"]).success();
    let signer = openssl(&["-signer", "signer.pem"]).success();
    assert!(signer.all_text().contains("successful"));
    let mut manifest = std::fs::read(folder.path().join("manifest.json")).unwrap();
    manifest[100] ^= 1;
    std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    openssl(&[]).failure();
}
