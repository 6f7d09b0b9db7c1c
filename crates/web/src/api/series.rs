//! The series of a case with the address of every image.

use axum::Json;
use dokuei_archive::SeriesEntry;
use dokuei_database::InstanceRow;
use dokuei_domain::CaseId;
use serde::Serialize;

use crate::{extract::Id, problem::Problem, visitor::User};

/// Images listed of one case. The number of frames is what a header claims.
const MAX_FRAMES: usize = 20_000;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Series {
    id: String,
    number: Option<i64>,
    modality: String,
    description: String,
    frames: Vec<Frame>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Frame {
    href: String,
    label: String,
}

pub(crate) async fn list(user: User, Id(case): Id<CaseId>) -> Result<Json<Vec<Series>>, Problem> {
    let detail = user.state().worklist.case(user.actor(), case).await?;
    let mut all = Vec::new();
    let mut room = MAX_FRAMES;
    for study in detail.entry.studies.iter().filter(|study| study.withdrawn_at.is_none()) {
        let (_, series) = user.state().archive.series_of_study(user.actor(), study.pk).await?;
        all.extend(series.iter().map(|entry| series_of(entry, &mut room)));
    }
    Ok(Json(all))
}

fn series_of(entry: &SeriesEntry, room: &mut usize) -> Series {
    let mut frames = Vec::new();
    for instance in entry.instances.iter().filter(|instance| instance.rows.is_some() && instance.columns.is_some()) {
        let count = instance.frames.max(1);
        for number in 1..=count {
            if *room == 0 {
                break;
            }
            *room -= 1;
            let href = format!("/api/v1/instances/{}/frames/{number}", instance.id);
            frames.push(Frame { href, label: label(instance, number, count) });
        }
    }
    let series = &entry.series;
    Series {
        id: series.pk.to_string(),
        number: series.number,
        modality: series.modality.clone(),
        description: series.description.clone(),
        frames,
    }
}

/// `Im 12  z -35.0 mm`, or `Im 1  3/20` of several frames.
fn label(instance: &InstanceRow, number: i64, count: i64) -> String {
    let mut label = instance.number.map(|number| format!("Im {number}")).unwrap_or_default();
    if count > 1 {
        label.push_str(&format!("  {number}/{count}"));
    }
    if let Some(position) = instance.slice_position.filter(|position| position.is_finite()) {
        label.push_str(&format!("  {position:.1} mm"));
    }
    label.trim().to_owned()
}
