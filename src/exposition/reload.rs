//! `POST /-/reload`: the configuration is read anew. Who runs the exporter does that; here it is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::config::FixedKey;

use super::handlers::Api;
use super::json::{ApiError, answer};
use super::query::parameters;

/// What became of a reload.
pub(crate) type Outcome = Result<Reloaded, ReloadError>;

/// Somebody waits for a reload.
pub(crate) type Asked = oneshot::Sender<Outcome>;

const STOPPING: &str = "the exporter is stopping";
/// Most who may wait for a reload at once.
const MOST_WAITING: usize = 16;

/// What a reload of the configuration has changed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// The sections that have changed and are in force.
    pub changed: Vec<&'static str>,
    /// The keys that have changed and take effect at the next start only.
    pub needs_restart: Vec<&'static FixedKey>,
}

/// Why a reload has changed nothing: everything that is wrong with the configuration.
#[derive(Debug, Clone)]
pub struct ReloadError {
    problems: Vec<String>,
}

impl ReloadError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    fn because(problem: &str) -> Self {
        Self::new(vec![problem.to_owned()])
    }

    /// Each thing that is wrong.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for ReloadError {}

/// Asks for reloads.
#[derive(Debug, Clone)]
pub(crate) struct Reload(mpsc::Sender<Asked>);

impl Reload {
    /// One who asks, and where it is heard.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(MOST_WAITING);
        (Self(asks), asked)
    }

    /// Asks, and waits.
    pub(crate) async fn ask(&self) -> Outcome {
        self.begin()?.await.unwrap_or_else(stopping)
    }

    /// As [`ask`](Self::ask), on a thread that may block.
    pub(crate) fn ask_blocking(&self) -> Outcome {
        self.begin()?.blocking_recv().unwrap_or_else(stopping)
    }

    fn begin(&self) -> Result<oneshot::Receiver<Outcome>, ReloadError> {
        let (asked, outcome) = oneshot::channel();
        self.0.try_send(asked).map_err(|error| match error {
            TrySendError::Full(_) => ReloadError::because("too many reloads wait already"),
            TrySendError::Closed(_) => ReloadError::because(STOPPING),
        })?;
        Ok(outcome)
    }
}

fn stopping(_: oneshot::error::RecvError) -> Outcome {
    Err(ReloadError::because(STOPPING))
}

/// `POST /-/reload`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reload")]
pub(super) struct ReloadView {
    /// The sections of the configuration that have changed, and are in force.
    changed: Vec<&'static str>,
    /// What has changed in the file and takes effect at the next start only.
    needs_restart: Vec<FixedView>,
}

/// A key that takes effect at the next start.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FixedKey")]
struct FixedView {
    /// The key.
    key: &'static str,
    /// What speaks against changing it while the process runs.
    why: &'static str,
}

impl From<Reloaded> for ReloadView {
    fn from(reloaded: Reloaded) -> Self {
        let fixed = reloaded.needs_restart.into_iter();
        Self {
            changed: reloaded.changed,
            needs_restart: fixed
                .map(|FixedKey { key, why, .. }| FixedView { key, why })
                .collect(),
        }
    }
}

/// `POST /-/reload`
pub(super) async fn reload(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    if !api.is_lifecycle_enabled {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "the lifecycle API is not enabled",
            "set web.enable_lifecycle, or send SIGHUP to memory-exporter",
        ));
    }
    let Some(reload) = &api.reload else {
        return Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "this process does not say where its configuration is to be read from",
            "give Builder::source to the exporter",
        ));
    };
    match reload.ask().await {
        Ok(reloaded) => {
            let view = ReloadView::from(reloaded);
            let (status, now) = (StatusCode::OK, SystemTime::now());
            Ok(answer(&api.session, status, now, view))
        }
        Err(error) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
            "the configuration before stays in force; correct what is wrong and try again",
        )),
    }
}
