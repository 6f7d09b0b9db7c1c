use std::fs;
use std::path::Path;

use dokuei_testkit::{data_set::Encoding, synthetic::CtImage, testdata};

use super::*;
use crate::tests::{Scene, from};

fn image(number: u32) -> CtImage {
    CtImage::new("1.2.1", "1.2.1.1", &format!("1.2.1.1.{number}"))
}

fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn options(path: &Path) -> ImportOptions {
    ImportOptions { path: path.to_owned(), ignore_dicomdir: false }
}

fn prior() -> Origin {
    Origin { opens_case: false, ..from("HOSP1", 9) }
}

async fn import(scene: &Scene, options: &ImportOptions) -> ImportSummary {
    scene.ingest.import(&prior(), options, std::future::pending(), |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_folder_goes_in_once_whatever_else_is_in_it() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 0..20 {
        write(root.join(format!("a/b{}/IM{number}", number % 3)), image(number).part10(Encoding::ExplicitLittleEndian));
    }
    write(root.join("no preamble"), &image(20).part10(Encoding::ExplicitLittleEndian)[132..]);
    write(root.join("bare"), image(21).data_set(Encoding::ImplicitLittleEndian));
    write(root.join("AUTORUN.INF"), "[autorun]");
    write(root.join("viewer/empty"), "");
    write(root.join("cut"), &image(22).part10(Encoding::ExplicitLittleEndian)[..160]);
    std::os::unix::fs::symlink("/", root.join("a/root")).unwrap();
    std::os::unix::fs::symlink("..", root.join("a/circle")).unwrap();

    let mut last = ImportProgress::default();
    let summary =
        scene.ingest.import(&prior(), &options(root), std::future::pending(), |far| last = far).await.unwrap();

    assert_eq!(
        (summary.stored, summary.not_dicom, summary.refused, summary.interrupted),
        (22, 2, 1, false),
        "{summary:?}"
    );
    assert_eq!(summary.reasons, BTreeMap::from([("the header of the file is damaged".to_owned(), 1)]));
    assert!(summary.not_imported[0].file.ends_with("cut"), "{summary:?}");
    assert_eq!(last, ImportProgress { found: 25, done: 25 });
    let study = scene.study("HOSP1", "1.2.1").await.unwrap();
    assert_eq!((study.instance_count, study.opens_case), (22, false));
    assert_eq!(scene.blobs().await, 22);

    let again = import(&scene, &options(root)).await;
    assert_eq!((again.stored, again.already_stored, again.not_dicom, again.refused), (0, 22, 2, 1));
    assert_eq!(scene.blobs().await, 22, "nothing was written");
}

#[tokio::test]
async fn the_rules_are_those_of_every_reception() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &image(1)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut other = image(1).part10(Encoding::ExplicitLittleEndian);
    *other.last_mut().unwrap() ^= 1;
    write(folder.path().join("other"), other);
    let mut lying = image(2).part10(Encoding::ExplicitLittleEndian);
    let at = lying.windows(9).position(|window| window == b"1.2.1.1.2").unwrap();
    lying[at + 8] = b'3';
    write(folder.path().join("lying"), lying);

    // The header of this one says another UID than the object has.
    let summary = import(&scene, &options(folder.path())).await;

    assert_eq!((summary.stored, summary.refused, summary.reasons.len()), (1, 1, 1), "{summary:?}");
    assert!(summary.reasons.keys().any(|reason| reason.starts_with("kept in quarantine")), "{summary:?}");
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, 2);
    let uid = dokuei_domain::SopInstanceUid::parse("1.2.1.1.2").unwrap();
    let stored = scene.ingest.database.read().await.unwrap().instance_by_uid(&prior().facility.facility, &uid).await;
    assert!(stored.unwrap().is_some());
}

#[tokio::test]
async fn what_was_imported_as_a_prior_opens_a_case_when_it_is_to_be_read() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("one"), image(1).part10(Encoding::ExplicitLittleEndian));
    import(&scene, &options(folder.path())).await;
    assert!(!scene.study("HOSP1", "1.2.1").await.unwrap().opens_case);

    let to_read = Origin { opens_case: true, ..prior() };
    let options = options(folder.path());
    let again = scene.ingest.import(&to_read, &options, std::future::pending(), |_| {}).await.unwrap();

    assert_eq!((again.stored, again.already_stored), (0, 1));
    assert!(scene.study("HOSP1", "1.2.1").await.unwrap().opens_case);
    assert_eq!(scene.blobs().await, 1);
}

#[tokio::test]
async fn a_medium_gives_what_its_dicomdir_names() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let medium = testdata("dicomdir/dicomdirtests");
    // As a Linux machine may show a CD: other case, versions, and files that the directory does not name.
    write(folder.path().join("dicomdir;1"), fs::read(medium.join("DICOMDIR")).unwrap());
    for name in ["CR1/6154", "CR2/6247", "CR3/6278", "CT2/17106", "CT2/17136", "CT2/17166", "CT2/17196"] {
        let bytes = fs::read(medium.join("77654033").join(name)).unwrap();
        write(folder.path().join("77654033").join(format!("{}.;1", name.to_lowercase())), bytes);
    }
    write(folder.path().join("77654033/not named"), image(1).part10(Encoding::ExplicitLittleEndian));

    let summary = import(&scene, &options(folder.path())).await;

    assert!(summary.by_dicomdir);
    assert_eq!(summary.stored, 7, "{summary:?}");
    // Two of its patients are not on this medium.
    assert_eq!(summary.reasons.keys().collect::<Vec<_>>(), ["named by the DICOMDIR, but not there"]);
    assert!(summary.not_imported.iter().all(|refused| refused.file.starts_with("98892")), "{summary:?}");
    assert_eq!(scene.blobs().await, 7);

    let all = import(&scene, &ImportOptions { ignore_dicomdir: true, ..options(folder.path()) }).await;
    assert_eq!((all.stored, all.already_stored, all.not_dicom, all.refused), (1, 7, 1, 0), "{all:?}");
}

#[tokio::test]
async fn a_dicomdir_leads_nowhere_but_below_its_folder() {
    let scene = Scene::new().await;
    let outside = tempfile::tempdir().unwrap();
    write(outside.path().join("SECRET"), image(1).part10(Encoding::ExplicitLittleEndian));
    write(outside.path().join("cd/INSIDE"), image(2).part10(Encoding::ExplicitLittleEndian));
    let medium = outside.path().join("cd");
    std::os::unix::fs::symlink(outside.path(), medium.join("LINK")).unwrap();
    let names = ["INSIDE", "..\\SECRET", "LINK\\SECRET", "\\INSIDE", ".\\INSIDE", "INSIDE\\", "../SECRET"];
    let dcmmkdir = dicomdir(&names);
    write(medium.join("DICOMDIR"), dcmmkdir);

    let summary = import(&scene, &options(&medium)).await;

    assert_eq!((summary.stored, summary.refused), (1, 6), "{summary:?}");
    assert_eq!(scene.blobs().await, 1);
}

#[tokio::test]
async fn a_damaged_dicomdir_keeps_no_file_out() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..4 {
        write(folder.path().join(format!("IM{number}")), image(number).part10(Encoding::ExplicitLittleEndian));
    }
    let mut directory = dicomdir(&["IM0", "IM1", "IM2"]);
    directory.truncate(directory.len() - 3);
    write(folder.path().join("DICOMDIR"), directory);

    let summary = import(&scene, &options(folder.path())).await;

    assert_eq!((summary.stored, summary.already_stored), (4, 2), "{summary:?}");
    assert_eq!(summary.reasons, BTreeMap::from([("cannot be read".to_owned(), 1)]));

    write(folder.path().join("DICOMDIR"), "a text");
    let summary = import(&scene, &options(folder.path())).await;
    assert_eq!((summary.already_stored, summary.refused), (4, 1), "{summary:?}");
    assert!(summary.not_imported[0].reason.contains("not a DICOMDIR"), "{summary:?}");
}

/// The least that is a DICOMDIR: explicit little endian, one record for each name.
fn dicomdir(names: &[&str]) -> Vec<u8> {
    let short = |group: u16, element: u16, vr: &str, value: &[u8]| {
        let mut out = [group.to_le_bytes(), element.to_le_bytes()].concat();
        out.extend(vr.as_bytes());
        out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        out.extend(value);
        out
    };
    let even = |text: &str| if text.len().is_multiple_of(2) { text.to_owned() } else { format!("{text} ") };
    let mut items = Vec::new();
    for name in names {
        let record = short(4, 0x1500, "CS", even(name).as_bytes());
        items.extend([0xfe, 0xff, 0, 0xe0]);
        items.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
        items.extend(record);
    }
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(short(2, 2, "UI", b"1.2.840.10008.1.3.10"));
    file.extend(short(2, 3, "UI", b"1.2.3\0"));
    file.extend(short(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0"));
    file.extend([4, 0, 0x20, 0x12, b'S', b'Q', 0, 0]);
    file.extend(u32::try_from(items.len()).unwrap().to_le_bytes());
    file.extend(items);
    file
}

#[tokio::test]
async fn an_import_that_is_told_to_stop_leaves_nothing_half_and_goes_on_the_next_time() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..60 {
        write(folder.path().join(format!("{number}")), image(number).part10(Encoding::ExplicitLittleEndian));
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    let summary = scene
        .ingest
        .import(&prior(), &options(folder.path()), async { drop(stopped.await) }, |far| {
            if far.done >= 10 {
                stop.take();
            }
        })
        .await
        .unwrap();
    assert!(summary.interrupted && summary.stored >= 10 && summary.stored < 60, "{summary:?}");
    assert_eq!(scene.blobs().await as u64, summary.stored);
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, i64::try_from(summary.stored).unwrap());

    let rest = import(&scene, &options(folder.path())).await;
    assert_eq!((rest.stored + summary.stored, rest.already_stored), (60, summary.stored));
    assert!(!rest.interrupted);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_an_error() {
    let scene = Scene::new().await;
    let missing = options(Path::new("/nowhere/at/all"));
    let error = scene.ingest.import(&prior(), &missing, std::future::pending(), |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}
