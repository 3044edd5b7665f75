//! `GET /metrics/memory/leaks`: the leak report.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;
use warp::http::StatusCode;
use warp::reply::Response;

use super::handlers::{Api, internal};
use super::json::{ApiError, answer};
use super::profiles::build;
use super::query::parameters;

/// `GET /metrics/memory/leaks`
pub(super) async fn leaks(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    let leaks = Arc::clone(&api.watched.leaks);
    // What is named already needs no symbols; but the detector may be at work, which is waited for elsewhere.
    let look = Arc::clone(&leaks);
    let unnamed = elsewhere(move || look.unnamed()).await?;
    let report = match &api.watched.profiler {
        Some(profiler) if !unnamed.is_empty() => {
            build(profiler, move |build| leaks.whole_report(Some(build))).await?
        }
        _ => elsewhere(move || leaks.whole_report(None)).await?,
    };
    Ok(answer(
        &api.session,
        StatusCode::OK,
        SystemTime::now(),
        report,
    ))
}

async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "leaks cannot be reported");
        internal()
    })
}
