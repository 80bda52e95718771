//! The report of the installation for the command line, through the control socket.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use store::Store;

use super::super::language::Language;
use super::super::zone::Zone;
use super::book::Book;
use super::pages::{PaperError, write_pdf};
use super::report::SignedReport;
use crate::local::blocking;

/// What can be asked for.
pub(crate) const INSTALLATION_REPORT: &str = "/v1/report/installation";

/// The report that was made last, if one was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct InstallationReport(SignedReport);

impl InstallationReport {
    /// Writes it as PDF. The same report in the same language and zone is the same file.
    ///
    /// # Errors
    ///
    /// [`PaperError`], of a report of another version or of more pages than one may have.
    pub(crate) fn to_pdf(&self, zone: &Zone, language: Language) -> Result<Vec<u8>, PaperError> {
        write_pdf(&self.0, zone, language)
    }
}

/// Hands out the report as it is on the disk, where the wizard has written it.
pub(crate) fn report_router(store: Arc<Store>) -> Router {
    Router::new()
        .route(INSTALLATION_REPORT, get(report))
        .with_state(store)
}

async fn report(State(store): State<Arc<Store>>) -> Result<Json<Option<InstallationReport>>, StatusCode> {
    let progress = blocking(move || Book::open(store).progress()).await?;
    Ok(Json(progress.report.map(InstallationReport)))
}
