//! Drafts and signed versions.

use dokuei_domain::{AccountId, CaseId, Priority, ReportVersionId, SopClassUid, SopInstanceUid, StudyUid};

use super::{
    World, both,
    cases::{account, add_facility, add_reader, hospital, open_case},
};
use crate::{
    Database, DatabaseErrorKind, NewReportVersion, ReportFileKind, ReportFileRow, ReportTexts, RestoredCase,
    RestoredWorkitem, WriteTx,
};

const TEXTS: ReportTexts<'static> =
    ReportTexts { findings: "髙い吸収域。\n葛\u{e0100}城", impression: "肺結節", recommendation: "" };

pub(super) struct Claimed {
    pub(super) case: CaseId,
    pub(super) workitem: String,
    pub(super) reader: AccountId,
}

/// A case that R1 holds under the Transaction UID 2.25.1.
pub(super) async fn claimed_case(db: &Database, world: &World) -> Claimed {
    add_facility(db, world, "HOSP1").await;
    let reader = add_reader(db, world, "R1", &["CT"]).await;
    let (case, workitem) = open_case(db, world, 1, &["CT"], Priority::Routine).await;
    let mut tx = db.write().await.unwrap();
    assert!(tx.workitem_claim(&workitem, &reader, "2.25.1", world.now(), None).await.unwrap());
    tx.commit().await.unwrap();
    Claimed { case, workitem, reader }
}

pub(super) async fn insert_version(
    tx: &mut WriteTx,
    world: &World,
    claimed: &Claimed,
    number: i64,
) -> Result<ReportVersionId, crate::DatabaseError> {
    let id = ReportVersionId(world.ambient.new_uuid());
    let facility = hospital();
    let version = NewReportVersion {
        id,
        case: claimed.case,
        facility: &facility,
        number,
        workitem_uid: &claimed.workitem,
        author: &claimed.reader,
        texts: TEXTS,
        signed_at: world.now(),
        manifest_sha256: [7; 32],
        certificate_serial: "4F",
        instance_count: 1,
    };
    tx.report_version_insert(&version).await?;
    for (index, kind) in ReportFileKind::ALL.into_iter().enumerate() {
        let object = matches!(kind, ReportFileKind::StructuredReport | ReportFileKind::EncapsulatedPdf)
            .then(|| (SopClassUid::parse("1.2.3").unwrap(), SopInstanceUid::new(world.ambient.new_uid())));
        let blob_key = format!("reports/v1/HOSP1/{id}/{index}");
        tx.report_file_insert(
            id,
            &ReportFileRow { kind, blob_key, sha256: [u8::try_from(index).unwrap(); 32], size_bytes: 9, object },
        )
        .await?;
    }
    Ok(id)
}

#[tokio::test]
async fn a_draft_is_kept_exactly_and_never_overwritten_by_a_stale_editor() {
    both(|db, world| async move {
        let Claimed { case, reader, .. } = claimed_case(&db, &world).await;
        let other = account("R9");
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.draft_find(case).await.unwrap(), None);
        assert_eq!(tx.draft_save(case, 3, TEXTS, &reader, world.now()).await.unwrap(), None, "there is no version 3");
        assert_eq!(tx.draft_save(case, 0, TEXTS, &reader, world.now()).await.unwrap(), Some(1));
        assert_eq!(tx.draft_save(case, 0, TEXTS, &other, world.now()).await.unwrap(), None, "another editor was first");

        let changed = ReportTexts { impression: "転移を疑う", ..TEXTS };
        assert_eq!(tx.draft_save(case, 1, changed, &other, world.now()).await.unwrap(), Some(2));
        assert_eq!(tx.draft_save(case, 1, TEXTS, &reader, world.now()).await.unwrap(), None);

        let stored = tx.draft_find(case).await.unwrap().unwrap();
        assert_eq!((stored.findings.as_str(), stored.impression.as_str()), (TEXTS.findings, "転移を疑う"));
        assert_eq!((stored.version, stored.author), (2, other));
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_version_is_read_back_with_its_files_and_only_by_its_facility() {
    both(|db, world| async move {
        let claimed = claimed_case(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.report_version_last(claimed.case).await.unwrap().is_none());
        let id = insert_version(&mut tx, &world, &claimed, 1).await.unwrap();
        tx.workitem_complete(claimed.case, &claimed.reader, "2.25.1", world.now()).await.unwrap().unwrap();
        let opened = world.now().plus_seconds(5);
        tx.report_opening_insert(world.ambient.new_uuid(), id, &claimed.reader, "pdf", opened).await.unwrap();
        tx.commit().await.unwrap();

        let mut read = db.read().await.unwrap();
        let (own, other) = (hospital(), dokuei_domain::FacilityId::parse("HOSP2").unwrap());
        let found = read.report_version_find(id, Some(&own)).await.unwrap().unwrap();
        assert_eq!((found.number, found.last_number, found.findings.as_str()), (1, 1, TEXTS.findings));
        assert_eq!(
            (&found.author, found.author_name.as_str(), found.manifest_sha256),
            (&claimed.reader, "医師R1", [7; 32])
        );
        assert_eq!(read.report_version_find(id, None).await.unwrap().as_ref(), Some(&found));
        assert_eq!(read.report_version_find(id, Some(&other)).await.unwrap(), None);
        assert_eq!(read.report_version_list(claimed.case, Some(&other)).await.unwrap(), []);
        assert_eq!(read.report_version_list(claimed.case, Some(&own)).await.unwrap(), std::slice::from_ref(&found));
        assert_eq!(read.report_version_last(claimed.case).await.unwrap().as_ref(), Some(&found));
        assert_eq!(read.report_version_numbered(claimed.case, 1).await.unwrap().as_ref(), Some(&found));
        assert_eq!(read.report_version_numbered(claimed.case, 2).await.unwrap(), None);
        let under = read.report_version_signed_under(claimed.case, &claimed.reader, "2.25.1").await.unwrap();
        assert_eq!(under, Some(found));
        assert_eq!(read.report_version_signed_under(claimed.case, &claimed.reader, "2.25.2").await.unwrap(), None);
        assert_eq!(read.report_version_signed_under(claimed.case, &account("R9"), "2.25.1").await.unwrap(), None);

        let files = read.report_files(id).await.unwrap();
        let mut kinds: Vec<_> = files.iter().map(|file| (file.kind, file.object.is_some())).collect();
        kinds.sort();
        assert_eq!(
            kinds,
            [
                (ReportFileKind::StructuredReport, true),
                (ReportFileKind::EncapsulatedPdf, true),
                (ReportFileKind::Manifest, false),
                (ReportFileKind::Signature, false),
            ]
        );
        let uid = files.iter().find_map(|file| file.object.clone()).unwrap().1;
        assert!(
            read.report_file_known(&hospital(), &uid).await.unwrap(),
            "our own report that comes back is recognised"
        );
        let openings = read.report_openings(id, 10).await.unwrap();
        assert_eq!(
            openings.iter().map(|opening| (opening.kind.as_str(), opening.opened_at)).collect::<Vec<_>>(),
            [("pdf", opened)]
        );
        assert_eq!(read.report_version_count().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_number_and_a_workitem_have_one_version_and_rows_are_final() {
    both(|db, world| async move {
        let claimed = claimed_case(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        let id = insert_version(&mut tx, &world, &claimed, 1).await.unwrap();
        tx.commit().await.unwrap();

        // The same workitem under another number, then the same number under another workitem.
        let mut tx = db.write().await.unwrap();
        let error = insert_version(&mut tx, &world, &claimed, 2).await.unwrap_err();
        assert_eq!(error.kind, DatabaseErrorKind::Conflict);
        drop(tx);
        let mut tx = db.write().await.unwrap();
        tx.workitem_complete(claimed.case, &claimed.reader, "2.25.1", world.now()).await.unwrap().unwrap();
        tx.workitem_insert("2.25.77", claimed.case, None, world.now()).await.unwrap();
        let again = Claimed { workitem: "2.25.77".into(), case: claimed.case, reader: claimed.reader.clone() };
        let error = insert_version(&mut tx, &world, &again, 1).await.unwrap_err();
        assert_eq!(error.kind, DatabaseErrorKind::Conflict);
        drop(tx);

        const UPDATE: crate::statements::Statement = final_statement("UPDATE report_versions SET findings = 'x'");
        const DELETE: crate::statements::Statement = final_statement("DELETE FROM report_versions");
        const UPDATE_FILE: crate::statements::Statement = final_statement("UPDATE report_files SET blob_key = 'x'");
        const DELETE_FILE: crate::statements::Statement = final_statement("DELETE FROM report_files");
        for statement in [UPDATE, DELETE, UPDATE_FILE, DELETE_FILE] {
            let mut tx = db.write().await.unwrap();
            assert!(tx.execute(statement, &[]).await.is_err(), "{}", statement.sqlite);
        }
        let version = db.read().await.unwrap().report_version_find(id, None).await.unwrap().unwrap();
        assert_eq!(version.findings, TEXTS.findings);
    })
    .await;
}

const fn final_statement(sql: &'static str) -> crate::statements::Statement {
    crate::statements::Statement { name: "FINAL", sqlite: sql, postgres: sql }
}

#[tokio::test]
async fn what_blobs_tell_is_restored_once_and_finishes_what_an_older_index_had_open() {
    both(|db, world| async move {
        let claimed = claimed_case(&db, &world).await;
        let (facility, study) = (hospital(), StudyUid::parse("1.2.3.1").unwrap());
        let case = CaseId(world.ambient.new_uuid());
        let ended_at = world.now().plus_seconds(60);
        for _ in 0..2 {
            let mut tx = db.write().await.unwrap();
            let (_, patient) = tx.study_owner(&facility, &study).await.unwrap().unwrap();
            let (opened_at, due_at) = (world.now(), world.now().plus_seconds(3600));
            tx.report_case_restore(&RestoredCase {
                id: case,
                facility: &facility,
                patient,
                priority: Priority::Urgent,
                opened_at,
                due_at,
            })
            .await
            .unwrap();
            assert_eq!(
                tx.report_study_attach(case, &facility, &study).await.unwrap(),
                Some(claimed.case),
                "filed under its case before"
            );
            let unknown = StudyUid::parse("1.2.3.999").unwrap();
            assert_eq!(tx.report_study_attach(case, &facility, &unknown).await.unwrap(), None);
            for (uid, of) in [("2.25.500", case), (claimed.workitem.as_str(), claimed.case)] {
                tx.report_workitem_restore(&RestoredWorkitem {
                    uid,
                    case: of,
                    performer: &claimed.reader,
                    transaction_uid: "2.25.9",
                    created_at: world.now(),
                    ended_at,
                })
                .await
                .unwrap();
            }
            tx.commit().await.unwrap();
        }

        let mut read = db.read().await.unwrap();
        let restored = read.case_head(case).await.unwrap().unwrap();
        assert_eq!((restored.priority, restored.due_at), (Priority::Urgent, world.now().plus_seconds(3600)));
        let history = read.workitem_history(case, 9).await.unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!((history[0].uid.as_str(), history[0].ended_at), ("2.25.500", Some(ended_at)));
        assert_eq!(read.report_workitem_state(&claimed.workitem).await.unwrap().as_deref(), Some("COMPLETED"));
        assert_eq!(read.report_workitem_state("2.25.404").await.unwrap(), None);
        assert_eq!(read.workitem_open(claimed.case).await.unwrap(), None);
    })
    .await;
}
