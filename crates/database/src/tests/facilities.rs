use dokuei_domain::{AeTitle, FacilityId};

use super::{World, both};
use crate::{Database, PeerRole};

fn id(text: &str) -> FacilityId {
    FacilityId::parse(text).unwrap()
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

async fn add(db: &Database, world: &World, name: &str, issuer: &str) -> FacilityId {
    let mut tx = db.write().await.unwrap();
    assert!(tx.facility_insert(&id(name), "病院", issuer, world.now()).await.unwrap());
    tx.commit().await.unwrap();
    id(name)
}

#[tokio::test]
async fn ids_and_issuers_are_unique_in_different_ways() {
    both(|db, world| async move {
        let one = add(&db, &world, "H1", "1.2.1").await;

        let mut tx = db.write().await.unwrap();
        assert!(!tx.facility_insert(&one, "other", "1.2.9", world.now()).await.unwrap());
        let error = tx.facility_insert(&id("H2"), "other", "1.2.1", world.now()).await.unwrap_err();
        assert!(error.is_conflict(), "{}", error.chain());
        drop(tx);

        let mut read = db.read().await.unwrap();
        assert_eq!(read.facility_by_issuer("1.2.1").await.unwrap().unwrap().id, one);
        assert_eq!(read.facility_find(&one).await.unwrap().unwrap().name, "病院");
        assert_eq!(read.facility_find(&id("H2")).await.unwrap(), None);
        assert_eq!(read.facility_list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_living_peer_keeps_its_place_and_a_removed_one_gives_it_up() {
    both(|db, world| async move {
        let (one, two) = (add(&db, &world, "H1", "1.2.1").await, add(&db, &world, "H2", "1.2.2").await);
        let calling = title("CT1");
        let now = world.now();
        let new = || world.ambient.new_uuid();

        let mut tx = db.write().await.unwrap();
        assert!(tx.peer_add(new(), &one, &calling, None, PeerRole::Reading, now).await.unwrap());
        assert!(
            tx.peer_add(new(), &two, &calling, Some("10.0.0.1"), PeerRole::Prior, now).await.unwrap(),
            "another address is another entry"
        );
        assert!(!tx.peer_add(new(), &two, &calling, None, PeerRole::Both, now).await.unwrap());
        assert_eq!(tx.peer_holder(&calling, None).await.unwrap().unwrap().facility, one);
        assert_eq!(tx.peer_by_calling(&calling).await.unwrap().len(), 2);

        assert!(!tx.peer_remove(&two, &calling, None, now).await.unwrap(), "not its own");
        assert!(tx.peer_remove(&one, &calling, None, now).await.unwrap());
        assert!(!tx.peer_remove(&one, &calling, None, now).await.unwrap());
        assert!(tx.peer_add(new(), &two, &calling, None, PeerRole::Both, now).await.unwrap());
        tx.commit().await.unwrap();

        let mut read = db.read().await.unwrap();
        let entries = read.peer_by_calling(&calling).await.unwrap();
        assert!(entries.iter().all(|entry| entry.facility == two) && entries.len() == 2);
        assert_eq!(read.peer_list(&one).await.unwrap(), []);
        assert_eq!(read.peer_by_calling(&title("ct1")).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_disabled_facility_has_no_peers_to_admit() {
    both(|db, world| async move {
        let one = add(&db, &world, "H1", "1.2.1").await;
        let mut tx = db.write().await.unwrap();
        assert!(
            tx.peer_add(world.ambient.new_uuid(), &one, &title("CT1"), None, PeerRole::Reading, world.now())
                .await
                .unwrap()
        );
        assert!(tx.facility_disable(&one, world.now()).await.unwrap());
        assert!(!tx.facility_disable(&one, world.now()).await.unwrap());
        assert_eq!(tx.peer_by_calling(&title("CT1")).await.unwrap(), []);
        assert!(tx.facility_enable(&one).await.unwrap());
        assert_eq!(tx.peer_by_calling(&title("CT1")).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_return_target_that_comes_back_is_the_same_row() {
    both(|db, world| async move {
        let one = add(&db, &world, "H1", "1.2.1").await;
        let called = title("PACS");
        let now = world.now();
        let mut tx = db.write().await.unwrap();
        tx.return_target_add(world.ambient.new_uuid(), &one, &called, "pacs", 104, now).await.unwrap();
        let first = tx.return_target_list(&one).await.unwrap().remove(0);
        assert_eq!((first.called.clone(), first.host.as_str(), first.port), (called.clone(), "pacs", 104));

        assert!(tx.return_target_remove(&one, &called, "pacs", 104, now).await.unwrap());
        assert_eq!(tx.return_target_list(&one).await.unwrap(), []);
        assert!(tx.return_target_find(first.id).await.unwrap().unwrap().disabled_at.is_some());
        tx.return_target_add(world.ambient.new_uuid(), &one, &called, "pacs", 104, now).await.unwrap();

        assert_eq!(tx.return_target_list(&one).await.unwrap(), [first]);
    })
    .await;
}

#[tokio::test]
async fn aliases_are_a_set() {
    both(|db, world| async move {
        let one = add(&db, &world, "H1", "1.2.1").await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.facility_alias_add(&one, "HIS").await.unwrap());
        assert!(!tx.facility_alias_add(&one, "HIS").await.unwrap());
        assert!(tx.facility_alias_add(&one, "病院").await.unwrap());
        assert_eq!(tx.facility_aliases(&one).await.unwrap(), ["HIS", "病院"]);
        assert!(tx.facility_alias_remove(&one, "HIS").await.unwrap());
        assert!(!tx.facility_alias_remove(&one, "HIS").await.unwrap());
    })
    .await;
}
