//! What is damaged, with a reason and a button.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use dokuei_archive::custody::Custody;
use dokuei_domain::Actor;

use super::Node;

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

async fn copy(custody: &std::sync::Arc<Custody>) {
    let walk = custody.periodics().into_iter().find(|walk| walk.name() == "copy").unwrap();
    walk.run().await.unwrap();
}

#[tokio::test]
async fn the_office_sees_what_is_damaged_and_repairs_it() {
    let node = Node::new().await;
    let office = node.sign_in("O1").await;
    let custody = &node.world.state.custody;
    node.case("HOSP1", "P-1", 1).await;
    let page = node.get(&office, "/office/storage").await.text();
    for part in ["異常のあるファイルはありません", "まだ行っていません", "受信可", "コピー待ち"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    copy(custody).await;
    assert!(node.get(&office, "/office/storage").await.text().contains("すべてコピー済み"));

    // One that can be repaired, one that cannot.
    let stored = files(&node._folder.path().join("store/v1"));
    let sound = std::fs::read(&stored[0]).unwrap();
    std::fs::write(&stored[0], &sound[..sound.len() - 1]).unwrap();
    std::fs::remove_file(&stored[1]).unwrap();
    std::fs::remove_file(&files(&node._folder.path().join("copy/v1"))[1]).unwrap();
    custody.scrub_everything(|_| {}).await.unwrap();

    let front = node.get(&office, "/office").await.text();
    assert!(front.contains("保管の異常") && front.contains("href=\"/office/storage\""), "{front}");
    let ready = node.get(&office, "/readyz").await.text();
    assert!(ready.contains("stored objects are damaged"), "{ready}");
    let page = node.get(&office, "/office/storage").await.text();
    assert!(page.contains("内容が受信時と異なります") && page.contains("ファイルがありません"), "{page}");
    let (open, _) = custody.damages(&Actor::CommandLine).await.unwrap();
    let find = |kind: &str| {
        open.iter().find(|damage| damage.kind.as_str() == kind && damage.place.as_str() == "store").unwrap().id
    };
    let (altered, missing) = (find("altered"), find("missing"));
    assert!(page.contains(&format!("/office/storage/{altered}/repair")), "{page}");

    let answer = node.post(&office, &format!("/office/storage/{altered}/verify"), "").await;
    assert_eq!(answer.location(), "/office/storage?said=still");
    let answer = node.post(&office, &format!("/office/storage/{altered}/repair"), "").await;
    assert_eq!(answer.location(), "/office/storage?said=repaired");
    assert!(std::fs::read(&stored[0]).unwrap() == sound);
    assert!(node.get(&office, &answer.location()).await.text().contains("復元しました"));
    let answer = node.post(&office, &format!("/office/storage/{altered}/repair"), "").await;
    assert_eq!(answer.location(), "/office/storage?said=gone");

    let answer = node.post(&office, &format!("/office/storage/{missing}/repair"), "").await;
    assert_eq!(answer.location(), "/office/storage?said=no_better");
    let empty = node.post(&office, &format!("/office/storage/{missing}/accept"), "reason=+").await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = node.post(&office, &format!("/office/storage/{missing}/accept"), "reason=resend+asked").await;
    assert_eq!(answer.location(), "/office/storage?said=accepted");
    let page = node.get(&office, "/office/storage").await.text();
    assert!(page.contains("復元不能") && page.contains("account:O1: resend asked"), "{page}");
}
