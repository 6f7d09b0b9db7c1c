//! Real files of many makers: what can be stored comes out byte for byte, what cannot is refused, what is broken is survived.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use dokuei_dimse::{AssociationError, Status};
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use dokuei_testkit::testdata_files;

use crate::harness::{CT, Index, Object, TestNode, associate, echo, send, uid};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
/// What a node may have in use while it receives anything at all.
const MEMORY_MIB: u64 = 256;

/// A file and what it is, as an independent reader (the manifest's) says.
struct RealFile {
    path: PathBuf,
    study: String,
    sop_instance: String,
    storable: bool,
}

/// What group 0002 says; `None` for a value that is absent or no UID.
#[derive(Default)]
struct Meta {
    sop_class: Option<String>,
    sop_instance: Option<String>,
    transfer_syntax: Option<String>,
    /// Where the data set begins; 0 for a file without preamble.
    data_set: usize,
}

impl Meta {
    /// Reads as far as it makes sense; whatever the bytes are, something is to be sent.
    fn read(file: &[u8]) -> Self {
        let mut meta = Self::default();
        if file.get(128..132) != Some(b"DICM") {
            return meta;
        }
        let mut at = 132;
        while let Some(&[2, 0, e0, e1, v0, v1, a, b]) = file.get(at..at + 8).and_then(|head| head.first_chunk::<8>()) {
            let long = matches!(&[v0, v1], b"OB" | b"OW" | b"UN" | b"UT" | b"SQ");
            let length = if long { file.get(at + 8..at + 12) } else { Some(&[a, b, 0, 0][..]) };
            let Some(length) = length.and_then(|bytes| bytes.first_chunk::<4>()) else { break };
            let value = at + if long { 12 } else { 8 };
            let end = value.saturating_add(u32::from_le_bytes(*length) as usize);
            let Some(text) = file.get(value..end) else { break };
            match u16::from_le_bytes([e0, e1]) {
                0x0002 => meta.sop_class = SopClassUid::parse_padded(text).ok().map(|uid| uid.to_string()),
                0x0003 => meta.sop_instance = SopInstanceUid::parse_padded(text).ok().map(|uid| uid.to_string()),
                0x0010 => meta.transfer_syntax = TransferSyntaxUid::parse_padded(text).ok().map(|uid| uid.to_string()),
                _ => {}
            }
            at = end;
        }
        meta.data_set = at;
        meta
    }
}

/// The SOP Class UID within an implicit or explicit little endian data set, for files that have no meta information.
fn sop_class_within(data_set: &[u8]) -> Option<String> {
    let at = data_set.windows(4).position(|window| window == [0x08, 0x00, 0x16, 0x00])?;
    let length = usize::from(u16::from_le_bytes([*data_set.get(at + 4)?, *data_set.get(at + 5)?]));
    let explicit = data_set.get(at + 4..at + 6)? == b"UI";
    let length = if explicit { usize::from(u16::from_le_bytes([data_set[at + 6], data_set[at + 7]])) } else { length };
    let value = data_set.get(at + 8..at + 8 + length)?;
    SopClassUid::parse_padded(value).ok().map(|uid| uid.to_string())
}

/// The file as an association would carry it. What it does not say is made up, so that it is sent all the same.
fn object_of(file: &[u8], sop_instance: Option<&str>, seed: u64) -> Object {
    let meta = Meta::read(file);
    let data_set = file[meta.data_set..].to_vec();
    let without_meta =
        if data_set.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase)) { EXPLICIT } else { IMPLICIT };
    let said = sop_instance.filter(|text| SopInstanceUid::parse(text).is_ok()).map(str::to_owned);
    Object {
        sop_class: meta.sop_class.or_else(|| sop_class_within(&data_set)).unwrap_or_else(|| CT.to_owned()),
        sop_instance: said.or(meta.sop_instance).unwrap_or_else(|| uid(seed)),
        transfer_syntax: meta.transfer_syntax.unwrap_or_else(|| without_meta.to_owned()),
        data_set,
    }
}

/// Sends each on an association of its own. The answer is the node's: a status, a refused context, an abort; never silence.
async fn send_whatever_comes(node: &TestNode, calling: &str, object: &Object) -> Result<Status, AssociationError> {
    let context = (object.sop_class.as_str(), &[object.transfer_syntax.as_str()][..]);
    let mut association = associate(node, calling, &[context]).await?;
    let status = send(&mut association, object).await?;
    association.release().await?;
    Ok(status)
}

/// The data sets that were sent of one study, by SOP Instance UID, and the files they are from.
type SentStudy<'a> = BTreeMap<String, (Vec<u8>, &'a Path)>;

/// Sends every storable file in its own transfer syntax and compares what comes out. Files that share a SOP Instance UID, or a study with another
/// identity, are sent by facilities of their own.
async fn all_come_out_as_they_went_in(node: &TestNode, files: &[RealFile]) {
    let mut copies: HashMap<&str, usize> = HashMap::new();
    let mut studies: BTreeMap<(String, &str), SentStudy<'_>> = BTreeMap::new();
    let mut facilities = 0;
    let mut wrong = Vec::new();
    for (number, file) in files.iter().filter(|file| file.storable).enumerate() {
        let copy = copies.entry(&file.sop_instance).or_default();
        *copy += 1;
        let facility = format!("VARIANT{copy}");
        if *copy > facilities {
            facilities = *copy;
            node.add_facility(&facility, &[&facility]).await;
        }
        let bytes = std::fs::read(&file.path).unwrap();
        let object = object_of(&bytes, Some(&file.sop_instance), number as u64);
        match send_whatever_comes(node, &facility, &object).await {
            Ok(Status::SUCCESS) => {
                let of_study = studies.entry((facility, &file.study)).or_default();
                of_study.insert(file.sop_instance.clone(), (object.data_set, &file.path));
            }
            refused => wrong.push(format!("{}: {refused:?}", file.path.display())),
        }
    }
    for ((facility, study), sent) in studies {
        let mut stored = node.export_study(&facility, study).await;
        for (instance, (data_set, path)) in sent {
            if stored.remove(&instance).as_ref() != Some(&data_set) {
                wrong.push(format!("{}: came out different or not at all", path.display()));
            }
        }
        assert!(stored.is_empty(), "{facility} has objects in {study} that nobody sent");
    }
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(node.cli(&["quarantine", "list"]).await, serde_json::json!([]));
}

/// Directories and objects without their UIDs are refused by name, and nothing of them stays.
async fn those_without_identity_are_refused(node: &TestNode, files: &[&RealFile]) {
    let before = node.indexed_objects().await;
    for (number, file) in files.iter().enumerate() {
        let bytes = std::fs::read(&file.path).unwrap();
        let object = object_of(&bytes, Some(&file.sop_instance), 5000 + number as u64);
        match send_whatever_comes(node, "HOSP1", &object).await {
            Err(AssociationError::NoContextAccepted) => {}
            Ok(status) if status.is_failure() && !status.is_transient() => {
                node.audited("instance.receive", "refused", &object.sop_instance).await;
            }
            other => panic!("{}: {other:?}", file.path.display()),
        }
    }
    assert_eq!(node.indexed_objects().await, before);
}

/// Sends broken files as they are. Each gets an answer, the node lives on, and what it acknowledged it gives back.
async fn broken_ones_are_survived(node: &TestNode, files: &[PathBuf]) {
    let mut acknowledged = 0;
    for (number, path) in files.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let object = object_of(&bytes, None, 9000 + number as u64);
        let answer = send_whatever_comes(node, "HOSP1", &object).await;
        match &answer {
            Ok(Status::SUCCESS) => {
                let stored = node.export_instance("HOSP1", &object.sop_instance).await;
                assert!(stored.as_ref() == Some(&object.data_set), "{}: acknowledged, not given back", path.display());
                acknowledged += 1;
            }
            Ok(status) => assert!(status.is_failure(), "{}: {status}", path.display()),
            Err(AssociationError::NoContextAccepted | AssociationError::Aborted(_)) => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
        assert_eq!(echo(node, "HOSP1").await.unwrap(), Status::SUCCESS, "after {}", path.display());
    }
    // Broken pixel data is stored as sent; a test in which everything was refused would prove nothing.
    assert!(acknowledged > 0 && acknowledged < files.len(), "{acknowledged} of {}", files.len());
    assert!(node.peak_memory_mib() < MEMORY_MIB, "{} MiB were in use", node.peak_memory_mib());
    assert!(!node.log_text().contains("panicked"), "{}", node.log_text());
}

fn in_testdata() -> Vec<RealFile> {
    let files = testdata_files().into_iter().filter(|file| !file.malformed());
    let file = |file: dokuei_testkit::TestFile| RealFile {
        path: file.location(),
        storable: file.storable(),
        study: file.study_uid,
        sop_instance: file.sop_uid,
    };
    files.map(file).collect()
}

#[tokio::test]
async fn every_storable_file_comes_out_as_it_went_in() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let files = in_testdata();
    assert!(files.iter().filter(|file| file.storable).count() > 100);

    Box::pin(all_come_out_as_they_went_in(&node, &files)).await;

    node.nothing_half_stored().await;
    assert!(node.peak_memory_mib() < MEMORY_MIB, "{} MiB were in use", node.peak_memory_mib());
    node.stop().await;
}

#[tokio::test]
async fn directories_and_files_without_uids_are_refused_and_kept_for_the_office() {
    let node = TestNode::start(Index::Sqlite).await;
    let files = in_testdata();
    let refused: Vec<_> = files.iter().filter(|file| !file.storable).collect();
    assert!(refused.iter().any(|file| file.path.ends_with("DICOMDIR")) && refused.len() > 10);

    Box::pin(those_without_identity_are_refused(&node, &refused)).await;

    node.nothing_half_stored().await;
    assert_eq!(node.indexed_objects().await, 0, "none of them is an instance");
    let held = node.cli(&["quarantine", "list"]).await;
    let held = held.as_array().unwrap();
    assert!(!held.is_empty() && held.len() <= refused.len(), "{} of {} are held", held.len(), refused.len());
    for object in held {
        let reason = object["reason"].as_str().unwrap();
        assert!(
            ["missing_uid", "illegal_uid", "illegal_value", "unreadable", "disagrees_with_command"].contains(&reason),
            "{object}"
        );
    }
}

#[tokio::test]
async fn every_malformed_file_is_survived() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let files: Vec<_> =
        testdata_files().into_iter().filter(|file| file.malformed()).map(|file| file.location()).collect();
    assert!(files.len() > 60);

    Box::pin(broken_ones_are_survived(&node, &files)).await;

    node.nothing_half_stored().await;
    node.stop().await;
}

/// `make sweep-data`: the same over a folder of files with a manifest like that of `testdata/`.
#[tokio::test]
#[ignore = "needs a folder of files: make sweep-data DATA=dir"]
async fn whole_data_folder() {
    let folder = std::env::var_os("DOKUEI_DATA_DIR").map(PathBuf::from).expect("DOKUEI_DATA_DIR names the folder");
    let listed = manifest(&folder);
    let (broken, sound): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|file| file.path.starts_with(folder.join("malformed")));
    let mut node = TestNode::start(Index::Sqlite).await;

    Box::pin(all_come_out_as_they_went_in(&node, &sound)).await;
    let refused: Vec<_> = sound.iter().filter(|file| !file.storable).collect();
    Box::pin(those_without_identity_are_refused(&node, &refused)).await;
    let broken: Vec<_> = broken.into_iter().map(|file| file.path).collect();
    Box::pin(broken_ones_are_survived(&node, &broken)).await;

    node.nothing_half_stored().await;
    let (stored, refused, survived) = (sound.len() - refused.len(), refused.len(), broken.len());
    say(&format!(
        "{stored} files came out as they went in, {refused} were refused, {survived} malformed ones survived"
    ));
    node.stop().await;
}

#[expect(clippy::print_stderr, reason = "for the person who runs the sweep")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// The lines of `MANIFEST.csv` that name files of the folder.
fn manifest(folder: &Path) -> Vec<RealFile> {
    let text = std::fs::read_to_string(folder.join("MANIFEST.csv")).expect("the folder has a MANIFEST.csv");
    let mut lines = text.lines().map(fields);
    let header = lines.next().expect("the manifest has a header");
    let column =
        |name: &str| header.iter().position(|field| field == name).expect("the manifest has the usual columns");
    let [path, study, series, instance] = ["path", "study_uid", "series_uid", "sop_uid"].map(column);
    let file = |line: Vec<String>| RealFile {
        path: folder.join(&line[path]),
        storable: [study, series, instance].iter().all(|column| !line[*column].is_empty()),
        study: line[study].clone(),
        sop_instance: line[instance].clone(),
    };
    let files: Vec<_> = lines.map(file).collect();
    assert!(files.iter().all(|file| file.path.exists()), "the manifest names files that are not there");
    files
}

/// One line of CSV (RFC 4180) without line breaks within fields.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match (character, quoted) {
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(String::new()),
            (other, _) => fields.last_mut().expect("never empty").push(other),
        }
    }
    fields
}
