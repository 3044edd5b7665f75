//! What each endpoint does: plain functions from a request's parts to a response.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;

use crate::alert::AlertManager;
use crate::analysis::{self, Status, Vitals};
use crate::collector::{CollectError, JemallocCollector, Target};
use crate::config::{Config, RecommendationThresholds, Thresholds};
use crate::profile::Profiler;
use crate::snapshot::{Point, Recorder};
use crate::watch::{Guard, LeakWatch};

use super::json::{ApiError, Session, answer};
use super::negotiate::{Format, accepts_gzip};
use super::query::parameters;
use super::reload::Reload;
use super::text::{MemoryCollector, Scrape, TextOptions};
use super::views::{GcView, HealthView, SnapshotView};

/// How long a forced release waits for other threads.
const PATIENCE: Duration = Duration::from_millis(50);

/// What is watched beside the numbers.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Builds profiles; there is none where the call sites of the process cannot be seen.
    pub(crate) profiler: Option<Arc<Profiler>>,
    /// Finds leaks.
    pub(crate) leaks: Arc<LeakWatch>,
    /// Keeps evidence, where it is told to.
    pub(crate) guard: Option<Arc<Guard>>,
    /// Evaluates alerts, unless it is told not to.
    pub(crate) alerts: Option<Arc<AlertManager>>,
}

/// Everything that the endpoints need.
#[derive(Debug)]
pub(crate) struct Api {
    pub(super) session: Session,
    pub(super) telemetry_path: String,
    pub(super) cors_allowed_origins: Vec<String>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) watched: Watched,
    pub(super) recommendations: RecommendationThresholds,
    pub(super) max_live_samples: usize,
    pub(super) is_lifecycle_enabled: bool,
    pub(super) reload: Option<Reload>,
    scrape: Scrape,
    text: TextOptions,
    thresholds: Thresholds,
    pub(super) interval: Duration,
    is_own: bool,
    releasing: AtomicBool,
    draining: AtomicBool,
}

impl Api {
    /// Endpoints over what `recorder` reads of `target`.
    pub(crate) fn new(
        config: &Config,
        recorder: Arc<Recorder>,
        watched: Watched,
        target: &Target,
        session: Session,
        text: TextOptions,
        reload: Option<Reload>,
    ) -> Self {
        Self {
            session,
            telemetry_path: config.web.telemetry_path.clone(),
            cors_allowed_origins: config.web.cors_allowed_origins.clone(),
            is_lifecycle_enabled: config.web.enable_lifecycle,
            reload,
            scrape: Scrape::new(Arc::clone(&recorder), &text),
            text,
            recorder,
            watched,
            recommendations: config.allocations.recommendations,
            max_live_samples: config.allocations.max_live_samples,
            thresholds: config.alerts.thresholds,
            interval: config.sampling.interval,
            is_own: *target == Target::Own,
            releasing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    /// The metrics for a registry of the host's own, named as they are now.
    pub(crate) fn collector(&self) -> MemoryCollector {
        MemoryCollector::new(Arc::clone(&self.recorder), &self.text)
    }

    /// From now on `/-/ready` says no.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The metrics as text, in the format that an `Accept` header asks for, with its content type.
    ///
    /// # Errors
    /// When the encoder fails, which no reading can make it do.
    pub(crate) fn render(&self, accept: &str) -> Result<(String, &'static str), std::fmt::Error> {
        let format = Format::accepted(accept);
        let body = self.scrape.render()?;
        let body = match format {
            Format::OpenMetrics => body,
            Format::Classic => super::classic::rewrite(&body),
        };
        Ok((body, format.content_type()))
    }
}

/// `GET /`
pub(super) fn landing(api: &Api) -> Response {
    const PAGE: &str = include_str!("landing.html");
    let page = PAGE
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{telemetry_path}", &api.telemetry_path);
    let mut response = Response::new(page.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

/// `GET /metrics`
pub(super) fn metrics(api: &Api, headers: &HeaderMap) -> Response {
    let (body, content_type) = match api.render(&joined(headers, &header::ACCEPT)) {
        Ok(rendered) => rendered,
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            return internal().respond(&api.session);
        }
    };
    let compressed = accepts_gzip(&joined(headers, &header::ACCEPT_ENCODING))
        .then(|| gzip(body.as_bytes()))
        .flatten();
    let is_compressed = compressed.is_some();
    let mut response = Response::new(compressed.unwrap_or_else(|| body.into_bytes()).into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::VARY,
        HeaderValue::from_static("accept, accept-encoding"),
    );
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// `GET /metrics/memory/snapshot`
pub(super) fn snapshot(api: &Api, query: &str) -> Result<Response, ApiError> {
    parameters(query, &[])?;
    let snapshot = api.recorder.snapshot();
    let view = SnapshotView::new(&snapshot, &api.session);
    Ok(answer(&api.session, StatusCode::OK, snapshot.time, view))
}

/// `GET /metrics/memory/health`
pub(super) fn health(api: &Api, query: &str) -> Result<Response, ApiError> {
    parameters(query, &[])?;
    let snapshot = api.recorder.snapshot();
    let past: Vec<Point> = api
        .recorder
        .history()
        .since(snapshot.time, analysis::PAST)
        .copied()
        .collect();
    let health = analysis::assess(Vitals {
        snapshot: &snapshot,
        past: &past,
        thresholds: &api.thresholds,
    });
    let status = match health.status {
        Status::Critical => StatusCode::SERVICE_UNAVAILABLE,
        Status::Healthy | Status::Warning => StatusCode::OK,
    };
    Ok(answer(
        &api.session,
        status,
        snapshot.time,
        HealthView::new(health, &snapshot),
    ))
}

/// `POST /metrics/memory/gc`
pub(super) async fn gc(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    if !api.is_own {
        return Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "the memory of another process cannot be released",
            "add the exporter to that process as a library",
        ));
    }
    if api.releasing.swap(true, Ordering::AcqRel) {
        let busy = ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "a release is in progress",
            "try again in a second",
        );
        return Err(busy.with_header(header::RETRY_AFTER, "1"));
    }
    let worker = Arc::clone(&api);
    // Purging can take long and waits for threads: never on the thread that answers scrapes.
    let released = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let before = worker.recorder.snapshot();
        let released = JemallocCollector::release(PATIENCE);
        let after = worker.recorder.snapshot();
        (before, released, after, start.elapsed())
    })
    .await;
    api.releasing.store(false, Ordering::Release);
    match released {
        Ok((before, Ok(released), after, duration)) => {
            tracing::info!(?duration, "memory released");
            let view = GcView::new(&before, &after, duration, released);
            Ok(answer(&api.session, StatusCode::OK, after.time, view))
        }
        Ok((_, Err(CollectError::NoData(why)), ..)) => Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            why,
            "make memory_exporter::Allocator over jemalloc the global allocator",
        )),
        Ok((_, Err(error), ..)) => {
            tracing::error!(%error, "memory cannot be released");
            Err(internal())
        }
        Err(error) => {
            tracing::error!(%error, "release ended early");
            Err(internal())
        }
    }
}

/// `GET /-/healthy`
pub(super) fn healthy() -> Response {
    plain(StatusCode::OK, "memory-exporter is healthy\n")
}

/// `GET /-/ready`
pub(super) fn ready(api: &Api) -> Response {
    if api.draining.load(Ordering::Relaxed) {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "memory-exporter is shutting down\n",
        )
    } else {
        plain(StatusCode::OK, "memory-exporter is ready\n")
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

pub(super) fn internal() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request could not be answered",
        "the log of the process says why",
    )
}

/// All values of a header as one list.
fn joined(headers: &HeaderMap, name: &header::HeaderName) -> String {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
