//! `dokuei study`: what was received, and finding it.

use clap::{Args, Subcommand};
use dokuei_database::StudyRow;
use dokuei_domain::Actor;
use dokuei_ingest::StudySearch;
use jiff::{civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use super::accounts::facility_id;
use crate::{
    compose::Node,
    output::{Output, local_time},
};

const WHO: Actor = Actor::CommandLine;

#[derive(Debug, Subcommand)]
pub(crate) enum StudyCommand {
    /// List studies, latest received first
    List(StudyListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StudyListArgs {
    /// Patient's name or its beginning in kanji, kana or romaji, a Patient ID, an Accession Number; several words must all be met
    #[arg(long, default_value = "")]
    name: String,
    /// Of this facility only
    #[arg(long)]
    facility: Option<String>,
    /// First Study Date
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Date>,
    /// Last Study Date
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<Date>,
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

pub(crate) async fn run(node: &Node, output: Output, command: StudyCommand) -> anyhow::Result<()> {
    let StudyCommand::List(args) = command;
    let search = StudySearch {
        text: args.name,
        facility: args.facility.as_deref().map(facility_id).transpose()?,
        from: args.from.map(dicom_date),
        to: args.to.map(dicom_date),
    };
    let found = node.ingest.find_studies(&WHO, &search, args.limit).await?;
    let zone = node.time_zone()?;
    let rows: Vec<_> = found.studies.iter().map(|study| study_json(study, &zone)).collect();
    let empty = if search.is_everything() { "no study was received yet" } else { "no study matches" };
    let header = ["received", "facility", "patient", "kana", "romaji", "id", "date", "what", "images", "state"];
    output.table(&rows, &header, empty, |row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        vec![
            text("last_received_at"),
            text("facility"),
            text("patient_name"),
            text("name_phonetic"),
            text("name_alphabetic"),
            text("patient_id"),
            text("study_date"),
            format!("{} {}", text("modalities"), text("description")),
            row["instances"].to_string(),
            text("state"),
        ]
    })?;
    if found.more {
        tracing::warn!(shown = rows.len(), "there are more; raise --limit or search more narrowly");
    }
    Ok(())
}

fn dicom_date(date: Date) -> String {
    date.strftime("%Y%m%d").to_string()
}

fn study_json(study: &StudyRow, zone: &TimeZone) -> Value {
    let name = &study.patient.name;
    json!({
        "study": study.uid,
        "facility": study.facility,
        "patient_name": name.display(),
        "name_alphabetic": name.display_alphabetic(),
        "name_ideographic": name.display_ideographic(),
        "name_phonetic": name.display_phonetic(),
        "patient_id": study.patient.id,
        "charset_repaired": study.patient.charset_repaired,
        "birth_date": study.patient.birth_date,
        "sex": study.patient.sex,
        "study_date": study.study_date,
        "accession_number": study.accession_number,
        "modalities": study.modalities,
        "description": study.description,
        "instances": study.instance_count,
        "state": study.state.as_str(),
        "last_received_at": local_time(study.last_received_at, zone),
    })
}
