//! `GET /metrics/memory/leaks`: the leak report.

use std::sync::Arc;
use std::time::SystemTime;

use warp::http::StatusCode;
use warp::reply::Response;

use super::handlers::Api;
use super::json::{ApiError, answer};
use super::profiles::build;
use super::query::parameters;

/// `GET /metrics/memory/leaks`
pub(super) async fn leaks(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    let worker = Arc::clone(&api);
    let respond = move |report| answer(&worker.session, StatusCode::OK, SystemTime::now(), report);
    let leaks = Arc::clone(&api.watched.leaks);
    match &api.watched.profiler {
        Some(profiler) => build(profiler, move |build| respond(leaks.report(Some(build)))).await,
        // Nothing has a name there, so nothing takes long.
        None => Ok(respond(leaks.report(None))),
    }
}
