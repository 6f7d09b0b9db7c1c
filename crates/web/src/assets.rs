//! The style sheet, the icon and the built script, out of the binary.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

use crate::problem::Problem;

const STYLE: &str = include_str!("../assets/style.css");
const ICON: &str = include_str!("../assets/icon.svg");
const SCRIPT: &str = "app.js";

/// The front end as npm built it; empty when it was not built.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
struct FrontEnd;

static STYLE_TAG: LazyLock<String> = LazyLock::new(|| tag(STYLE.as_bytes()));
static SCRIPT_TAG: LazyLock<Option<String>> = LazyLock::new(|| FrontEnd::get(SCRIPT).map(|file| tag(&file.data)));

/// The address changes with the content, so that browsers may keep it for ever.
pub(crate) fn style_href() -> String {
    format!("/assets/style.css?v={}", *STYLE_TAG)
}

pub(crate) fn script_href() -> Option<String> {
    SCRIPT_TAG.as_ref().map(|tag| format!("/assets/{SCRIPT}?v={tag}"))
}

pub(crate) async fn style(headers: HeaderMap) -> Response {
    serve(&headers, &STYLE_TAG, "text/css; charset=utf-8", STYLE.as_bytes().to_vec())
}

pub(crate) async fn icon(headers: HeaderMap) -> Response {
    serve(&headers, &tag(ICON.as_bytes()), "image/svg+xml", ICON.as_bytes().to_vec())
}

pub(crate) async fn script(headers: HeaderMap) -> Result<Response, Problem> {
    let (Some(file), Some(tag)) = (FrontEnd::get(SCRIPT), SCRIPT_TAG.as_ref()) else { return Err(Problem::NotFound) };
    Ok(serve(&headers, tag, "text/javascript; charset=utf-8", file.data.into_owned()))
}

fn serve(asked: &HeaderMap, tag: &str, media_type: &str, content: Vec<u8>) -> Response {
    let tag = format!("\"{tag}\"");
    let headers: [(HeaderName, String); 3] = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::CONTENT_TYPE, media_type.to_owned()),
    ];
    if is_known(asked, &tag) {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, content).into_response()
    }
}

/// Whether the client has this entity tag already (RFC 9110 section 13.1.2).
pub(crate) fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
}

fn tag(content: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, content);
    hex::encode(hash.as_ref().get(..8).unwrap_or_default())
}
