//! The reading page: one patient's images and report.

use askama::Template;
use axum::response::Response;
use dokuei_domain::CaseId;

use super::{case::VersionView, page};
use crate::{
    extract::Id,
    problem::Problem,
    shell::Shell,
    text::Words,
    view::{CaseView, Eyes, RequestView},
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "reading.html")]
pub(crate) struct Reading {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) row: CaseView,
    /// The workitem that this page works on; under another one it can neither save nor sign.
    pub(crate) workitem: String,
    pub(crate) request: Option<RequestView>,
    pub(crate) previous_reports: Vec<VersionView>,
    pub(crate) draft: DraftView,
    pub(crate) presets: &'static [Preset],
}

#[derive(Default)]
pub(crate) struct DraftView {
    pub(crate) findings: String,
    pub(crate) impression: String,
    pub(crate) recommendation: String,
    /// 0: there is none yet.
    pub(crate) version: i64,
}

/// A window for one modality, chosen by a number key.
pub(crate) struct Preset {
    pub(crate) key: u8,
    pub(crate) label: &'static str,
    pub(crate) center: i32,
    pub(crate) width: i32,
    pub(crate) modality: &'static str,
}

/// Hounsfield units; what Japanese departments usually set.
static CT_JAPANESE: [Preset; 4] = ct_presets(&crate::text::JAPANESE);
static CT_ENGLISH: [Preset; 4] = ct_presets(&crate::text::ENGLISH);

const fn ct_presets(t: &Words) -> [Preset; 4] {
    [
        Preset { key: 1, label: t.window_brain, center: 40, width: 80, modality: "CT" },
        Preset { key: 2, label: t.window_lung, center: -600, width: 1500, modality: "CT" },
        Preset { key: 3, label: t.window_mediastinum, center: 40, width: 400, modality: "CT" },
        Preset { key: 4, label: t.window_bone, center: 400, width: 1800, modality: "CT" },
    ]
}

/// Windows for the modalities of a case.
pub(crate) fn presets(modalities: &[String], t: &Words) -> &'static [Preset] {
    if !modalities.iter().any(|modality| modality == "CT") {
        return &[];
    }
    match t.language() {
        dokuei_access::Language::Japanese => &CT_JAPANESE,
        dokuei_access::Language::English => &CT_ENGLISH,
    }
}

/// Opens the page for who holds the case, and prolongs the claim; everybody else is shown the case instead.
pub(crate) async fn show(user: User, Id(case): Id<CaseId>) -> Result<Response, Problem> {
    let state = user.state();
    let detail = state.worklist.case(user.actor(), case).await?;
    let eyes = Eyes::of(&user);
    let row = CaseView::new(&detail.entry, eyes);
    let Some(workitem) = detail.open_workitem().map(|workitem| workitem.uid.clone()).filter(|_| row.can_continue)
    else {
        return Ok(see_other(&format!("/cases/{case}")));
    };
    state.worklist.keep_claim(user.actor(), case, &user.transaction_uid(&workitem)).await?;
    let draft = state.reports.draft(user.actor(), case).await?;
    let versions = state.reports.versions(user.actor(), case).await?;
    let draft = draft.map(|draft| DraftView {
        findings: draft.findings,
        impression: draft.impression,
        recommendation: draft.recommendation,
        version: draft.version,
    });
    page(&Reading {
        shell: Shell::new(&user.visitor, "reading"),
        t: user.t(),
        presets: presets(&detail.entry.modalities, user.t()),
        row,
        workitem,
        request: detail.request().map(|request| RequestView::new(request, eyes)),
        previous_reports: versions.iter().rev().map(|version| VersionView::new(version, eyes)).collect(),
        draft: draft.unwrap_or_default(),
    })
}
