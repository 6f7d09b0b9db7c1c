//! `dokuei find`: asks a peer what it has (C-FIND of the Study Root and Patient Root information models), as an SCU.

mod identifier;
mod keys;

use std::collections::BTreeMap;

use anyhow::Context as _;
use dokuei_dataset::Tag;
use dokuei_dimse::{Association, FindOperation, ProposedContext, RequestOptions, RequestorTimeouts, Status};
use dokuei_domain::{Ambient, SopClassUid, TransferSyntaxUid};
use serde_json::json;

use self::{
    identifier::{Match, encode},
    keys::Key,
};
use super::peer::{title, tls};
use crate::{
    cli::{FindArgs, QueryLevel},
    output::Output,
};

const STUDY_ROOT: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const PATIENT_ROOT: &str = "1.2.840.10008.5.1.4.1.2.1.1";
const TRANSFER_SYNTAXES: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"];

impl QueryLevel {
    fn information_model(self) -> &'static str {
        match self {
            Self::Patient => PATIENT_ROOT,
            Self::Study | Self::Series | Self::Image => STUDY_ROOT,
        }
    }

    /// Query/Retrieve Level (0008,0052).
    fn term(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// What is asked for when nothing else is said; the columns of the table, in this order.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Patient => &["PatientID", "PatientName", "PatientBirthDate", "PatientSex"],
            Self::Study => &[
                "PatientID",
                "PatientName",
                "PatientBirthDate",
                "PatientSex",
                "StudyDate",
                "StudyTime",
                "AccessionNumber",
                "ModalitiesInStudy",
                "StudyDescription",
                "NumberOfStudyRelatedInstances",
                "StudyInstanceUID",
            ],
            Self::Series => &[
                "StudyInstanceUID",
                "Modality",
                "SeriesNumber",
                "SeriesDescription",
                "NumberOfSeriesRelatedInstances",
                "SeriesInstanceUID",
            ],
            Self::Image => {
                &["StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "SOPClassUID", "SOPInstanceUID"]
            }
        }
    }
}

/// The keys of the level, and those that the user gave in their place or beside them.
fn keys(level: QueryLevel, given: &[String]) -> anyhow::Result<Vec<(&'static Key, String)>> {
    let mut keys = Vec::new();
    for keyword in level.columns() {
        keys.push((Key::named(keyword)?, String::new()));
    }
    for text in given {
        let (keyword, value) = text.split_once('=').unwrap_or((text, ""));
        let key = Key::named(keyword)?;
        match keys.iter_mut().find(|(known, _)| known.tag == key.tag) {
            Some((_, known)) => value.clone_into(known),
            None => keys.push((key, value.to_owned())),
        }
    }
    Ok(keys)
}

pub(crate) async fn run(output: Output, args: FindArgs, ambient: &Ambient) -> anyhow::Result<()> {
    let keys = keys(args.level, &args.keys)?;
    let sop_class = SopClassUid::parse(args.level.information_model())?;
    let mut contexts = Vec::new();
    // One context each: some peers take the worse of two, and either can be written.
    for uid in TRANSFER_SYNTAXES {
        contexts.push(ProposedContext::new(sop_class.clone(), vec![TransferSyntaxUid::parse(uid)?]));
    }
    let mut options = RequestOptions::new(title(&args.peer.calling)?, title(&args.peer.called)?, contexts);
    options.timeouts = RequestorTimeouts::default();
    options.tls = tls(&args.peer, ambient)?;
    let mut association = Association::request(&args.peer.peer, &options).await?;
    let (context_id, transfer_syntax) =
        association.context_of(&sop_class).context("the peer answers no queries of this level")?;
    let transfer_syntax = transfer_syntax.clone();
    let identifier = encode(args.level.term(), &keys, &args.charset, &transfer_syntax)?;
    let operation = FindOperation { context_id, sop_class, priority: 0, identifier };
    let reply = association.find_all(&operation, args.limit).await?;
    association.release().await?;

    let mut matches = Vec::with_capacity(reply.identifiers.len());
    for identifier in &reply.identifiers {
        matches.push(Match::decode(identifier, &transfer_syntax).context("the peer sent a match that cannot be read")?);
    }
    show(output, &keys, &matches, reply.truncated, reply.status)?;
    anyhow::ensure!(
        reply.status.is_accepted() || reply.truncated,
        "the peer ended the query with {}{}",
        reply.status,
        reply.comment.map(|comment| format!(": {comment}")).unwrap_or_default()
    );
    Ok(())
}

fn show(
    output: Output,
    keys: &[(&'static Key, String)],
    matches: &[Match],
    truncated: bool,
    status: Status,
) -> anyhow::Result<()> {
    if output.json {
        let matches: Vec<_> = matches
            .iter()
            .map(|found| {
                let values: BTreeMap<_, _> = found.values().map(|(tag, text)| (Key::name_of(tag), text)).collect();
                json!({ "values": values, "repaired": found.repaired })
            })
            .collect();
        return output.line(&json!({ "status": status.0, "truncated": truncated, "matches": matches }));
    }
    let header: Vec<_> = keys.iter().map(|(key, _)| key.keyword).collect();
    let cells = |found: &Match| keys.iter().map(|(key, _)| cell(found, key.tag)).collect();
    let rows: Vec<Vec<String>> = matches.iter().map(cells).collect();
    output.table(&rows, &header, "nothing found", Clone::clone)?;
    if truncated {
        output.text("There may be more; --limit asks for them.");
    }
    Ok(())
}

/// A value on one line, without what a terminal would act on.
fn cell(found: &Match, tag: Tag) -> String {
    found.value(tag).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_keys_stand_in_the_place_of_the_levels_own_or_behind_them() {
        let given = ["PatientID=A*".to_owned(), "ReferringPhysicianName".to_owned(), "00080060=CT".to_owned()];
        let keys = keys(QueryLevel::Study, &given).unwrap();
        let said: Vec<_> = keys.iter().map(|(key, value)| (key.keyword, value.as_str())).collect();
        assert_eq!(said[0], ("PatientID", "A*"));
        assert_eq!(said[11..], [("ReferringPhysicianName", ""), ("Modality", "CT")]);
        let unknown = super::keys(QueryLevel::Study, &["PatientsID=1".to_owned()]).unwrap_err().to_string();
        assert!(unknown.contains("PatientsID") && unknown.contains("PatientID"), "{unknown}");
    }

    #[test]
    fn every_column_is_a_key() {
        for level in [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Image] {
            assert_eq!(keys(level, &[]).unwrap().len(), level.columns().len());
        }
    }
}
