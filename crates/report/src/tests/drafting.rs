use dokuei_domain::Role;

use super::scene::{CLAIM, Scene, account, actor, draft, reader};
use crate::{DraftText, ReportError};

#[tokio::test]
async fn a_draft_is_kept_exactly_as_typed_and_seen_by_those_who_may() {
    let scene = Scene::new().await;

    let stored = scene.reports.draft(&reader(), scene.case).await.unwrap().unwrap();
    assert_eq!((stored.findings, stored.impression), (draft().findings, draft().impression));
    assert_eq!((stored.version, stored.author), (1, account("R1")));
    assert!(scene.reports.draft(&actor("O1", Role::Office), scene.case).await.unwrap().is_some());

    // Another reader's claim hides it; the hospital sees what is signed; an administrator sees no case.
    for stranger in [actor("R2", Role::Reader), actor("HOSP1-U", Role::Facility), actor("A1", Role::Administrator)] {
        let refused = scene.reports.draft(&stranger, scene.case).await.unwrap_err();
        assert!(matches!(refused, ReportError::Denied(_) | ReportError::NotFound), "{stranger:?}: {refused}");
    }
    assert_eq!(scene.audit("draft.read").await.len(), 3, "every refusal leaves a row");
}

#[tokio::test]
async fn saving_is_fenced_by_the_claim_and_by_the_version() {
    let scene = Scene::new().await;
    let text = |impression: &str| DraftText { impression: impression.into(), ..draft() };
    let save = async |who, claim: &str, text, base| {
        scene.reports.save_draft(&actor(who, Role::Reader), scene.case, claim, text, base).await
    };

    assert_eq!(save("R1", CLAIM, text("二"), 1).await.unwrap(), 2);
    let Err(ReportError::Conflict { stored }) = save("R1", CLAIM, text("別の窓"), 1).await else {
        panic!("a stale editor won")
    };
    assert_eq!((stored.version, stored.impression.as_str()), (2, "二"));
    assert_eq!(
        save("R1", CLAIM, text("二"), 1).await.unwrap(),
        2,
        "a repeated save whose answer was lost does no harm"
    );

    for (who, claim) in [("R1", "2.25.9"), ("R1", ""), ("R2", CLAIM), ("R2", "2.25.9")] {
        assert!(matches!(save(who, claim, text("三"), 2).await, Err(ReportError::ClaimLost)), "{who} {claim}");
    }
    let office = scene.reports.save_draft(&actor("O1", Role::Office), scene.case, CLAIM, text("三"), 2).await;
    assert!(matches!(office, Err(ReportError::Denied(_))));
    assert_eq!(scene.audit("draft.save").await.len(), 5);
    assert_eq!(scene.reports.draft(&reader(), scene.case).await.unwrap().unwrap().impression, "二");
}

#[tokio::test]
async fn what_cannot_be_printed_or_sent_is_refused_while_it_is_typed() {
    let scene = Scene::new().await;
    let save = async |text| scene.reports.save_draft(&reader(), scene.case, CLAIM, text, 1).await.unwrap_err();

    let long = DraftText { findings: "長".repeat(22_000), ..draft() };
    assert!(matches!(save(long).await, ReportError::TooLong { field: "findings", limit: 65_536 }));
    for character in ['\0', '\u{1b}', '\u{7f}', '\u{85}'] {
        let text = DraftText { recommendation: format!("a{character}b"), ..draft() };
        let error = save(text).await;
        assert!(
            matches!(error, ReportError::ControlCharacter { field: "recommendation", character: found } if found == character),
            "{error}"
        );
    }
    let lines = DraftText { findings: "一\n二\r\n三\t四".into(), ..draft() };
    assert_eq!(scene.reports.save_draft(&reader(), scene.case, CLAIM, lines.clone(), 1).await.unwrap(), 2);
    assert_eq!(scene.reports.draft(&reader(), scene.case).await.unwrap().unwrap().findings, lines.findings);
    assert_eq!(scene.audit("draft.save").await.len(), 0, "typing errors are no matter for the audit trail");
}
