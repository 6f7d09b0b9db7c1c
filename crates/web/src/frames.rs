//! Images of the reading page: one frame, rendered here, as JPEG; thumbnails as PNG.

use std::sync::Arc;

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use dokuei_domain::InstanceId;
use dokuei_pixels::{Format, RenderRequest, Window};
use serde::Deserialize;

use crate::{assets::is_known, extract::Asked, problem::Problem, visitor::User};

/// Objects beyond this are for workstations: each image of a series would read all of it again.
const MAX_OBJECT_BYTES: u64 = 256 << 20;
const JPEG_QUALITY: u8 = 90;
const MAX_EDGE: u32 = 4096;
/// Changes when the same request would give another picture.
const RENDERING: u32 = 1;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    center: Option<f64>,
    width: Option<f64>,
    edge: Option<u32>,
}

impl Wanted {
    fn request(&self, number: u32) -> Result<RenderRequest, Problem> {
        let window = match (self.center, self.width) {
            (None, None) => Window::FromObject,
            (Some(center), Some(width)) if center.is_finite() && width.is_finite() && width > 0.0 => {
                Window::Linear { center, width }
            }
            _ => return Err(Problem::BadRequest),
        };
        if self.edge.is_some_and(|edge| !(1..=MAX_EDGE).contains(&edge)) {
            return Err(Problem::BadRequest);
        }
        let frame = number.checked_sub(1).ok_or(Problem::NotFound)?;
        let format = if self.edge.is_some() { Format::Png } else { Format::Jpeg(JPEG_QUALITY) };
        Ok(RenderRequest { frame, window, max_edge: self.edge, format })
    }

    fn tag(&self, instance: InstanceId, number: u32) -> String {
        let text = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let edge = self.edge.unwrap_or_default();
        format!("\"{RENDERING}-{instance}-{number}-{}-{}-{edge}\"", text(self.center), text(self.width))
    }
}

/// Frame `number`, counted from 1, of an instance.
pub(crate) async fn frame(
    user: User,
    path: Result<Path<(InstanceId, u32)>, axum::extract::rejection::PathRejection>,
    Asked(wanted): Asked<Wanted>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let Path((instance, number)) = path.map_err(|_| Problem::NotFound)?;
    let request = wanted.request(number)?;
    // Waiting here, before the object is read, bounds the memory.
    let renders = Arc::clone(&user.visitor.shared.renders);
    let permit = renders.acquire_owned().await.map_err(|error| Problem::Task(error.to_string()))?;
    let file = user.state().archive.instance_file(user.actor(), instance, MAX_OBJECT_BYTES).await?;
    let tag = wanted.tag(instance, number);
    // Whoever signs in next at the same browser asks again.
    let private = (header::CACHE_CONTROL, "private, max-age=3600".to_owned());
    let caching = [(header::ETAG, tag.clone()), private, (header::VARY, "Cookie".to_owned())];
    if is_known(&asked, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let work = move || {
        // A client that leaves does not free the place of a rendering that still runs.
        let _permit = permit;
        dokuei_pixels::render(&file, &request)
    };
    let rendered = tokio::task::spawn_blocking(work).await.map_err(|error| Problem::Task(error.to_string()))??;
    Ok((caching, [(header::CONTENT_TYPE, rendered.media_type)], rendered.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        center: Option<f64>,
        width: Option<f64>,
        edge: Option<u32>,
        number: u32,
    ) -> Result<RenderRequest, Problem> {
        Wanted { center, width, edge }.request(number)
    }

    #[test]
    fn a_request_is_whole_or_refused() {
        let plain = check(None, None, None, 1).unwrap();
        assert_eq!((plain.frame, plain.window, plain.format), (0, Window::FromObject, Format::Jpeg(90)));
        let brain = check(Some(40.0), Some(80.0), Some(96), 3).unwrap();
        assert_eq!((brain.frame, brain.window), (2, Window::Linear { center: 40.0, width: 80.0 }));
        assert_eq!((brain.max_edge, brain.format), (Some(96), Format::Png));

        assert!(matches!(check(None, None, None, 0), Err(Problem::NotFound)));
        for (center, width, edge) in [
            (Some(40.0), None, None),
            (Some(40.0), Some(0.0), None),
            (Some(f64::NAN), Some(80.0), None),
            (None, None, Some(0)),
            (None, None, Some(100_000)),
        ] {
            assert!(matches!(check(center, width, edge, 1), Err(Problem::BadRequest)), "{center:?} {width:?} {edge:?}");
        }
    }

    #[test]
    fn pictures_that_differ_have_different_tags() {
        let instance = InstanceId(uuid::Uuid::from_u128(5));
        let tag = |center, width, edge, number| Wanted { center, width, edge }.tag(instance, number);
        let tags = [
            tag(None, None, None, 1),
            tag(None, None, None, 2),
            tag(Some(40.0), Some(80.0), None, 1),
            tag(Some(40.0), Some(400.0), None, 1),
            tag(None, None, Some(96), 1),
        ];
        let distinct: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len());
    }
}
