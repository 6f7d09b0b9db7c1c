use dokuei_domain::Actor;

use super::both;
use crate::{AuditEvent, AuditOutcome};

#[tokio::test]
async fn events_form_a_chain_that_verifies() {
    both(|db, world| async move {
        for round in 0..3 {
            let mut tx = db.write().await.unwrap();
            for action in ["case.claim", "case.release"] {
                let event = AuditEvent::new(world.now(), &Actor::CommandLine, action, AuditOutcome::Success);
                tx.audit(event.subject(round).detail("detail"));
            }
            tx.commit().await.unwrap();
        }

        let mut tx = db.read().await.unwrap();
        assert_eq!(tx.audit_verify().await.unwrap(), Ok(6));
        let latest = tx.audit_latest(2).await.unwrap();
        assert_eq!(latest.iter().map(|row| row.sequence).collect::<Vec<_>>(), [6, 5]);
        assert_eq!((latest[0].actor.as_str(), latest[0].action.as_str()), ("cli", "case.release"));
    })
    .await;
}

#[tokio::test]
async fn a_rolled_back_transaction_leaves_no_event() {
    both(|db, world| async move {
        let mut tx = db.write().await.unwrap();
        tx.audit(AuditEvent::new(world.now(), &Actor::CommandLine, "case.claim", AuditOutcome::Success));
        drop(tx);
        assert_eq!(db.read().await.unwrap().audit_latest(10).await.unwrap(), []);
    })
    .await;
}
