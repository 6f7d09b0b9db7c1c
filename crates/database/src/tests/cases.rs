//! Cases, their lists, and the small world that the tests of workitems stand on as well.

use dokuei_domain::{
    AccountId, AeTitle, CaseId, FacilityId, InstanceId, PatientPk, PersonName, Priority, ReportVersionId, Role,
    SeriesPk, StudyPk, Timestamp,
    facts::{InstanceFacts, PatientFacts},
    patient::PatientIdentity,
    uid::{SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid},
    workitem::{Discontinuation, WorkitemState},
};
use std::time::Duration;

use super::{World, both};
use crate::{
    AccountRow, CaseSelection, Database, NewCase, NewInstance, ReaderRow, ReaderSelection, ReadingRequestRow, WriteTx,
    statements::Statement, value::args,
};

pub(super) fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub(super) fn hospital() -> FacilityId {
    FacilityId::parse("HOSP1").unwrap()
}

pub(super) async fn add_facility(db: &Database, world: &World, id: &str) {
    let mut tx = db.write().await.unwrap();
    let facility = FacilityId::parse(id).unwrap();
    assert!(
        tx.facility_insert(&facility, &format!("{id}病院"), &format!("1.2.392.{}", id.len()), world.now())
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
}

pub(super) async fn add_reader(db: &Database, world: &World, id: &str, modalities: &[&str]) -> AccountId {
    let mut tx = db.write().await.unwrap();
    let account = account(id);
    let row = AccountRow {
        id: account.clone(),
        role: Role::Reader,
        facility: None,
        display_name: format!("医師{id}"),
        language: "ja".into(),
        password_hash: "x".into(),
        password_changed_at: world.now(),
        totp_secret: vec![1],
        totp_last_step: 0,
        created_at: world.now(),
        disabled_at: None,
    };
    assert!(tx.account_insert(&row).await.unwrap());
    tx.reader_insert(&ReaderRow {
        account: account.clone(),
        name: PersonName::parse("Sato^Hanako=佐藤^花子"),
        organisation: "NPO".into(),
        hours: "Mon-Fri 08:00-20:00".into(),
        accepting_since: Some(world.now()),
        modalities: modalities.iter().map(|m| (*m).to_owned()).collect(),
        disabled_at: None,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    account
}

/// Receives one more instance of study number `n`, in a series of its own per modality.
pub(super) async fn receive(db: &Database, world: &World, n: u32, modality: &str, instance: u32) -> StudyPk {
    let facility = hospital();
    let patient = PatientFacts {
        id: format!("P{n}"),
        name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
        birth_date: "19700101".into(),
        sex: "M".into(),
        ..PatientFacts::default()
    };
    let series = modality.bytes().map(u32::from).sum::<u32>();
    let facts = InstanceFacts {
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: SopInstanceUid::parse(&format!("1.2.3.{n}.{series}.{instance}")).unwrap(),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        study: StudyUid::parse(&format!("1.2.3.{n}")).unwrap(),
        series: SeriesUid::parse(&format!("1.2.3.{n}.{series}")).unwrap(),
        patient: patient.clone(),
        accession_number: String::new(),
        study_date: "20261122".into(),
        study_time: "0900".into(),
        study_id: String::new(),
        study_description: String::new(),
        referring_physician: PersonName::default(),
        modality: modality.into(),
        series_number: Some(1),
        series_description: String::new(),
        body_part: "CHEST".into(),
        instance_number: Some(1),
        number_of_frames: None,
        rows: None,
        columns: None,
        slice_position: None,
        window: None,
        charset_repaired: false,
    };
    let identity = PatientIdentity::Established { issuer: "1.2.392.5".into(), id: patient.id.clone() };
    let mut tx = db.write().await.unwrap();
    let patient_pk = PatientPk(world.ambient.new_uuid());
    let patient =
        tx.patient_find_or_insert(patient_pk, &facility, &identity, &patient, false, world.now()).await.unwrap();
    let study_pk = StudyPk(world.ambient.new_uuid());
    let (study, _) = tx.study_find_or_insert(study_pk, &facility, patient, &facts, true, world.now()).await.unwrap();
    let series_pk = SeriesPk(world.ambient.new_uuid());
    let (series, _, is_new) = tx.series_find_or_insert(series_pk, &facility, study, &facts).await.unwrap();
    let id = InstanceId(world.ambient.new_uuid());
    let key = format!("v1/HOSP1/{id}");
    let new = NewInstance {
        id,
        facility: &facility,
        facts: &facts,
        blob_key: &key,
        size_bytes: 1,
        dataset_offset: 0,
        dataset_sha256: [0; 32],
        calling_aet: "HOSP1",
        received_at: world.now(),
    };
    assert!(tx.instance_insert(study, series, &new).await.unwrap());
    tx.study_received(study, series, is_new, true, "CHEST", world.now()).await.unwrap();
    tx.commit().await.unwrap();
    study
}

/// A settled study of one instance per modality with a case and its first workitem, due in an hour; each opens a second after the one before.
pub(super) async fn open_case(
    db: &Database,
    world: &World,
    n: u32,
    modalities: &[&str],
    priority: Priority,
) -> (CaseId, String) {
    world.clock.advance(Duration::from_secs(1));
    let mut study = None;
    for modality in modalities {
        study = Some(receive(db, world, n, modality, 1).await);
    }
    let study = study.unwrap();
    let mut tx = db.write().await.unwrap();
    tx.study_settle(study, world.now(), world.now()).await.unwrap();
    let (case, uid) = insert_case(&mut tx, world, study, priority).await;
    tx.commit().await.unwrap();
    (case, uid)
}

async fn insert_case(tx: &mut WriteTx, world: &World, study: StudyPk, priority: Priority) -> (CaseId, String) {
    let facts = tx.case_study_facts(study).await.unwrap().unwrap();
    let case = CaseId(world.ambient.new_uuid());
    let new = NewCase {
        id: case,
        study,
        facility: &facts.facility,
        patient: facts.patient,
        priority,
        opened_at: world.now(),
        due_at: world.now().plus_seconds(3600),
    };
    assert!(tx.case_insert(&new).await.unwrap());
    let uid = world.ambient.new_uid().to_string();
    tx.workitem_insert(&uid, case, None, world.now()).await.unwrap();
    (case, uid)
}

const INSERT_REPORT: Statement = both_databases(
    "INSERT INTO report_versions (id, case_id, facility_id, number, workitem_uid, author, findings, impression, recommendation, \
     signed_at, manifest_sha256, certificate_serial, instance_count) VALUES ($1, $2, 'HOSP1', $3, $4, $5, '', '', '', $6, $7, '1', 1)",
);
const INSERT_REPORT_FILE: Statement = both_databases(
    "INSERT INTO report_files (report_version_id, kind, blob_key, sha256, size_bytes, sop_instance_uid) \
     VALUES ($1, 'structured_report', $2, $3, 1, $4)",
);
const INSERT_DELIVERY: Statement = both_databases(
    "INSERT INTO deliveries (id, report_version_id, facility_id, target_id, state, attempt_count, created_at) \
     VALUES ($1, $2, 'HOSP1', $3, $4, 1, $5)",
);

const fn both_databases(sql: &'static str) -> Statement {
    Statement { name: "of a test", sqlite: sql, postgres: sql }
}

/// Claims the open workitem and completes it with a report version.
pub(super) async fn sign(
    db: &Database,
    world: &World,
    case: CaseId,
    reader: &AccountId,
    number: i64,
) -> ReportVersionId {
    let mut tx = db.write().await.unwrap();
    let uid = tx.workitem_open(case).await.unwrap().unwrap().uid;
    assert!(tx.workitem_claim(&uid, reader, "2.25.1", world.now(), None).await.unwrap());
    assert_eq!(tx.workitem_complete(case, reader, "2.25.1", world.now()).await.unwrap(), Some(uid.clone()));
    let id = ReportVersionId(world.ambient.new_uuid());
    tx.execute(INSERT_REPORT, args![id, case, number, uid, reader, world.now(), [0u8; 32]]).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn deliver(db: &Database, world: &World, version: ReportVersionId, port: u16, state: &str) {
    let mut tx = db.write().await.unwrap();
    let called = AeTitle::parse("PACS").unwrap();
    tx.return_target_add(world.ambient.new_uuid(), &hospital(), &called, "127.0.0.1", port, world.now()).await.unwrap();
    let targets = tx.return_target_list(&hospital()).await.unwrap();
    let target = targets.iter().find(|target| target.port == port).unwrap().id;
    tx.execute(INSERT_DELIVERY, args![world.ambient.new_uuid(), version, target, state, world.now()]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn withdraw_study(db: &Database, world: &World, study: StudyPk) {
    let mut tx = db.write().await.unwrap();
    assert!(tx.study_withdraw(study, "wrong patient", world.now()).await.unwrap());
    tx.commit().await.unwrap();
}

fn everything(world: &World) -> CaseSelection<'static> {
    let since = world.now().plus_seconds(-86_400);
    CaseSelection { facility: None, open: true, finished: true, withdrawn: true, since, limit: 100 }
}

fn for_reader<'a>(reader: &'a AccountId, now: Timestamp) -> ReaderSelection<'a> {
    let assigned_before = now.plus_seconds(-1800);
    ReaderSelection { reader, facility: None, assigned_before, without_skill: &["OT", "SR"], limit: 100 }
}

async fn readers_cases(db: &Database, world: &World, reader: &AccountId) -> Vec<CaseId> {
    let mut tx = db.read().await.unwrap();
    let entries = tx.case_entries_for_reader(for_reader(reader, world.now())).await.unwrap();
    entries.into_iter().map(|entry| entry.case).collect()
}

#[tokio::test]
async fn a_study_opens_one_case_and_its_entry_tells_everything() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        receive(&db, &world, 1, "SR", 1).await;
        receive(&db, &world, 1, "CT", 1).await;
        let study = receive(&db, &world, 1, "CT", 2).await;
        let mut tx = db.read().await.unwrap();
        assert_eq!(tx.case_missing(10).await.unwrap(), [], "not settled yet");
        drop(tx);
        let mut tx = db.write().await.unwrap();
        tx.study_settle(study, world.now(), world.now()).await.unwrap();
        assert_eq!(tx.case_missing(10).await.unwrap(), [study]);
        assert!(tx.case_study_lock(study).await.unwrap());
        assert!(!tx.case_study_lock(StudyPk(world.ambient.new_uuid())).await.unwrap());
        let (case, uid) = insert_case(&mut tx, &world, study, Priority::Urgent).await;
        tx.commit().await.unwrap();

        let mut tx = db.write().await.unwrap();
        let facts = tx.case_study_facts(study).await.unwrap().unwrap();
        assert_eq!(facts.case, Some(case));
        let second = NewCase {
            id: CaseId(world.ambient.new_uuid()),
            study,
            facility: &facts.facility,
            patient: facts.patient,
            priority: Priority::Routine,
            opened_at: world.now(),
            due_at: world.now(),
        };
        assert!(!tx.case_insert(&second).await.unwrap(), "a study belongs to one case");
        drop(tx);

        let mut tx = db.read().await.unwrap();
        assert_eq!(tx.case_missing(10).await.unwrap(), []);
        assert_eq!(tx.case_of_study(study).await.unwrap(), Some(case));
        assert_eq!(tx.case_modalities(case).await.unwrap(), ["CT", "SR"]);
        let entry = tx.case_entry(case).await.unwrap().unwrap();
        assert_eq!((entry.facility_name.as_str(), entry.priority), ("HOSP1病院", Priority::Urgent));
        assert_eq!((entry.patient.name.display().as_str(), entry.patient.id.as_str()), ("山田 太郎", "P1"));
        assert_eq!((entry.studies.len(), entry.studies[0].instance_count), (1, 3));
        assert_eq!((entry.studies[0].modalities.as_str(), entry.studies[0].body_part.as_str()), ("CT,SR", "CHEST"));
        assert!(!entry.studies[0].has_request && !entry.has_draft && entry.report.is_none());
        let open = entry.open_workitem.unwrap();
        assert_eq!((open.uid, open.state), (uid, WorkitemState::Scheduled));
        assert_eq!(tx.case_entry(CaseId(world.ambient.new_uuid())).await.unwrap(), None);
        assert_eq!(tx.case_entries(everything(&world)).await.unwrap().len(), 1, "the second attempt left nothing");
    })
    .await;
}

#[tokio::test]
async fn the_latest_request_counts_and_earlier_ones_stay() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let (case, _) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        let study = tx.case_entry(case).await.unwrap().unwrap().studies[0].pk;
        assert_eq!(tx.case_requested_priority(case).await.unwrap(), None);
        assert_eq!(tx.request_latest(study).await.unwrap(), None);
        for (question, priority) in [("肺炎の疑い", Priority::Urgent), ("気胸の疑い", Priority::Emergency)] {
            world.clock.advance(Duration::from_secs(60));
            tx.request_insert(&ReadingRequestRow {
                id: world.ambient.new_uuid(),
                facility: hospital(),
                study,
                clinical_question: question.into(),
                callback_number: "088-000-0000".into(),
                requesting_physician: "田中".into(),
                priority,
                entered_by: "cli".into(),
                entered_at: world.now(),
            })
            .await
            .unwrap();
        }
        assert_eq!(tx.case_requested_priority(case).await.unwrap(), Some(Priority::Emergency));
        assert_eq!(tx.case_study_facts(study).await.unwrap().unwrap().requested_priority, Some(Priority::Emergency));
        assert!(tx.case_set_priority(case, Priority::Emergency, Timestamp(5)).await.unwrap());
        assert!(!tx.case_set_priority(case, Priority::Emergency, Timestamp(6)).await.unwrap(), "it is that already");
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        assert_eq!(tx.case_head(case).await.unwrap().unwrap().due_at, Timestamp(5));
        assert_eq!(tx.request_latest(study).await.unwrap().unwrap().clinical_question, "気胸の疑い");
        let all = tx.request_list(case, 10).await.unwrap();
        assert_eq!(
            all.iter().map(|request| request.priority).collect::<Vec<_>>(),
            [Priority::Emergency, Priority::Urgent]
        );
        assert!(tx.case_entry(case).await.unwrap().unwrap().studies[0].has_request);
    })
    .await;
}

#[tokio::test]
async fn a_reader_sees_own_claims_then_own_assignments_then_free_cases_within_skill() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let me = add_reader(&db, &world, "R1", &["CT", "100%"]).await;
        let other = add_reader(&db, &world, "R2", &["CT", "MR"]).await;
        let routine = Priority::Routine;
        let (free_routine, _) = open_case(&db, &world, 1, &["CT", "OT"], routine).await;
        let (free_emergency, _) = open_case(&db, &world, 2, &["CT"], Priority::Emergency).await;
        let (mine, mine_uid) = open_case(&db, &world, 3, &["MR"], routine).await;
        let (claimed, claimed_uid) = open_case(&db, &world, 4, &["CT"], routine).await;
        let (others_claim, others_uid) = open_case(&db, &world, 5, &["CT"], Priority::Emergency).await;
        let (beyond_skill, _) = open_case(&db, &world, 6, &["CT", "MR"], Priority::Emergency).await;
        let (others_turn, others_turn_uid) = open_case(&db, &world, 7, &["CT"], Priority::Urgent).await;
        let (document, _) = open_case(&db, &world, 8, &["SR"], Priority::Urgent).await;

        let mut tx = db.write().await.unwrap();
        assert!(tx.workitem_assign(&mine_uid, None, Some(&me), world.now(), "[]").await.unwrap());
        assert!(tx.workitem_assign(&others_turn_uid, None, Some(&other), world.now(), "[]").await.unwrap());
        assert!(tx.workitem_claim(&claimed_uid, &me, "2.25.1", world.now(), None).await.unwrap());
        assert!(tx.workitem_claim(&others_uid, &other, "2.25.2", world.now(), None).await.unwrap());
        tx.commit().await.unwrap();

        assert_eq!(readers_cases(&db, &world, &me).await, [claimed, mine, free_emergency, document, free_routine]);
        assert_eq!(
            readers_cases(&db, &world, &other).await,
            [others_claim, others_turn, free_emergency, beyond_skill, document, free_routine],
            "never the other's claim, nor a case assigned to the other a moment ago"
        );

        world.clock.advance(Duration::from_secs(1800));
        let later = readers_cases(&db, &world, &me).await;
        assert!(later.contains(&others_turn), "not taken in time, free for others");
        assert!(!later.contains(&others_claim));

        let selection = ReaderSelection { limit: 2, ..for_reader(&me, world.now()) };
        let first: Vec<_> = db.read().await.unwrap().case_entries_for_reader(selection).await.unwrap();
        assert_eq!(first.iter().map(|entry| entry.case).collect::<Vec<_>>(), [claimed, mine], "the limit cuts the end");
        let elsewhere = FacilityId::parse("HOSP2").unwrap();
        let selection = ReaderSelection { facility: Some(&elsewhere), ..for_reader(&me, world.now()) };
        assert_eq!(db.read().await.unwrap().case_entries_for_reader(selection).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_office_sees_first_what_needs_somebody_and_old_trouble_for_ever() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let reader = add_reader(&db, &world, "R1", &["CT"]).await;
        let (failed, _) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let version = sign(&db, &world, failed, &reader, 1).await;
        deliver(&db, &world, version, 104, "accepted").await;
        deliver(&db, &world, version, 105, "failed").await;
        let (returned, _) = open_case(&db, &world, 2, &["CT"], Priority::Routine).await;
        let version = sign(&db, &world, returned, &reader, 1).await;
        deliver(&db, &world, version, 104, "accepted").await;
        let (withdrawn, _) = open_case(&db, &world, 3, &["CT"], Priority::Routine).await;
        let study = db.read().await.unwrap().case_entry(withdrawn).await.unwrap().unwrap().studies[0].pk;
        withdraw_study(&db, &world, study).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.case_withdraw(withdrawn, world.now()).await.unwrap());
        let why = (Discontinuation::IncorrectWorklistEntry, "withdrawn");
        assert!(tx.workitem_cancel_open(withdrawn, world.now(), why).await.unwrap().is_some());
        tx.commit().await.unwrap();
        world.clock.advance(Duration::from_secs(60));
        let (routine, _) = open_case(&db, &world, 4, &["CT"], Priority::Routine).await;
        let (urgent, _) = open_case(&db, &world, 5, &["CT"], Priority::Urgent).await;

        let cases = async |selection: CaseSelection<'_>| {
            let entries = db.read().await.unwrap().case_entries(selection).await.unwrap();
            entries.into_iter().map(|entry| entry.case).collect::<Vec<_>>()
        };
        assert_eq!(cases(everything(&world)).await, [failed, urgent, routine, returned, withdrawn]);
        let selection = CaseSelection { finished: false, withdrawn: false, ..everything(&world) };
        assert_eq!(cases(selection).await, [urgent, routine]);
        let selection = CaseSelection { open: false, withdrawn: false, ..everything(&world) };
        assert_eq!(cases(selection).await, [failed, returned]);
        let selection = CaseSelection { since: world.now(), ..everything(&world) };
        assert_eq!(cases(selection).await, [failed, urgent, routine], "old finished cases go, trouble stays");
        let elsewhere = FacilityId::parse("HOSP2").unwrap();
        assert_eq!(cases(CaseSelection { facility: Some(&elsewhere), ..everything(&world) }).await, []);

        let mut tx = db.read().await.unwrap();
        let report = tx.case_entry(failed).await.unwrap().unwrap().report.unwrap();
        assert_eq!(
            (report.number, report.deliveries, report.deliveries_accepted, report.deliveries_failed),
            (1, 2, 1, 1)
        );
        let signed = tx.case_entries_signed_by(&reader, None, Timestamp(0), 10).await.unwrap();
        assert_eq!(signed.len(), 2);
        assert_eq!(tx.case_entries_signed_by(&account("R9"), None, Timestamp(0), 10).await.unwrap(), []);
        assert_eq!(tx.case_entries_signed_by(&reader, None, world.now(), 10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_case_is_withdrawn_once_and_only_with_its_study() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let (case, uid) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        assert!(!tx.case_withdraw(case, world.now()).await.unwrap(), "its study is still there");
        let study = tx.case_entry(case).await.unwrap().unwrap().studies[0].pk;
        drop(tx);
        withdraw_study(&db, &world, study).await;
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.case_to_withdraw(10).await.unwrap(), [case]);
        assert!(tx.case_withdraw(case, world.now()).await.unwrap());
        assert!(!tx.case_withdraw(case, world.now()).await.unwrap());
        let why = (Discontinuation::IncorrectWorklistEntry, "withdrawn");
        assert_eq!(tx.workitem_cancel_open(case, world.now(), why).await.unwrap(), Some(uid));
        assert_eq!(tx.workitem_cancel_open(case, world.now(), why).await.unwrap(), None);
        assert!(!tx.case_set_priority(case, Priority::Emergency, world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = db.read().await.unwrap();
        assert_eq!(tx.case_to_withdraw(10).await.unwrap(), []);
        let history = tx.workitem_history(case, 10).await.unwrap();
        assert_eq!(history[0].discontinuation_code.as_deref(), Some("110514"));
    })
    .await;
}

#[tokio::test]
async fn images_after_the_signature_are_found_once_and_our_own_report_is_none() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let reader = add_reader(&db, &world, "R1", &["CT"]).await;
        let (case, _) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        world.clock.advance(Duration::from_secs(60));
        let version = sign(&db, &world, case, &reader, 1).await;
        let signed_at = world.now();
        let mut tx = db.write().await.unwrap();
        let series = "SR".bytes().map(u32::from).sum::<u32>();
        tx.execute(INSERT_REPORT_FILE, args![version, "v1/HOSP1/report", [0u8; 32], format!("1.2.3.1.{series}.1")])
            .await
            .unwrap();
        tx.commit().await.unwrap();

        world.clock.advance(Duration::from_secs(60));
        let study = receive(&db, &world, 1, "SR", 1).await;
        let mut tx = db.read().await.unwrap();
        let images = tx.case_images(case, signed_at).await.unwrap();
        assert_eq!((images.count, images.later), (1, 0), "our own report came back");
        drop(tx);

        receive(&db, &world, 1, "CT", 2).await;
        let late = world.now();
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.case_with_unseen_images(10).await.unwrap(), [], "not settled again yet");
        tx.study_settle(study, world.now(), world.now()).await.unwrap();
        assert_eq!(tx.case_with_unseen_images(10).await.unwrap(), [case]);
        let images = tx.case_images(case, signed_at).await.unwrap();
        assert_eq!((images.count, images.later, images.latest), (2, 1, Some(late)));
        assert!(tx.case_set_images_added(case, late).await.unwrap());
        assert!(!tx.case_set_images_added(case, late).await.unwrap());
        assert_eq!(
            tx.case_with_unseen_images(10).await.unwrap(),
            [case],
            "more than was signed over, and nobody is to look"
        );
        tx.workitem_insert_reverify("2.25.77", case, 1, world.now()).await.unwrap();
        assert!(tx.workitem_set_added(case, 2).await.unwrap());
        assert!(!tx.workitem_set_added(case, 2).await.unwrap());
        assert_eq!(tx.case_with_unseen_images(10).await.unwrap(), []);
        let open = tx.workitem_open(case).await.unwrap().unwrap();
        assert_eq!((open.uid.as_str(), open.added_instances), ("2.25.77", Some(2)));
        let head = tx.case_head(case).await.unwrap().unwrap();
        assert_eq!((head.images_added_after_signing_at, head.last_signed_at), (Some(late), Some(signed_at)));
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let entry = tx.case_entries(everything(&world)).await.unwrap().remove(0);
        assert_eq!(entry.open_workitem.unwrap().added_instances, Some(2), "needs somebody again");
    })
    .await;
}
