//! Profiles and flame graphs: of now, and of what changed.
//!
//! What takes long (symbols) runs on a thread of its own, one at a time; who comes meanwhile is told to try again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::sleep;
use warp::http::{StatusCode, header};
use warp::reply::Response;

use crate::config::parse_size;
use crate::heap::{self, SamplingOptions};
use crate::profile::{Asker, Build, Frames, Moment, Profile, Profiler, SampleType};

use super::graphs::{Form, Graph, document, download, text, written};
use super::handlers::{Api, internal};
use super::json::{ApiError, answer};
use super::query::{Parameters, bad_parameter, choice, duration, parameters};

/// Between two looks whether something can be built.
const PAUSE: Duration = Duration::from_millis(20);
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Longest difference that is waited for, and furthest look back.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a flame graph or folded stacks can show.
pub(super) const TYPES: [(&str, SampleType); 6] = [
    ("inuse", SampleType::InuseSpace),
    ("alloc", SampleType::AllocSpace),
    ("inuse_space", SampleType::InuseSpace),
    ("inuse_objects", SampleType::InuseObjects),
    ("alloc_space", SampleType::AllocSpace),
    ("alloc_objects", SampleType::AllocObjects),
];
/// How a flame graph is answered.
pub(super) const FORMS: [(&str, Form); 2] = [("svg", Form::Svg), ("folded", Form::Folded)];
/// Which frames are shown.
pub(super) const FRAMES: [(&str, Frames); 2] =
    [("condensed", Frames::Condensed), ("all", Frames::All)];
/// Whether a profile is answered as text.
pub(super) const DEBUG: [(&str, bool); 2] = [("0", false), ("1", true)];
/// What a sampling interval may be.
pub(super) const INTERVALS: &str =
    "a size such as 512KiB or 2MiB, up to 1TiB; 0 switches sampling off";
/// What the length of a difference may be.
pub(super) const SECONDS: &str = "a whole number of seconds up to 3600";

/// `POST /debug/sampling`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Sampling")]
pub(super) struct SamplingView {
    /// Mean number of bytes asked for between two samples; 0 when sampling is off.
    sample_interval_bytes: u64,
    /// Sampled blocks that are live.
    live_samples: u64,
    /// Samples that there was no room for.
    dropped_samples: u64,
}

/// `GET /debug/pprof/heap`, `GET /debug/pprof/allocs`: as Go's, which differ in what a reader is shown first.
pub(super) async fn pprof(
    api: Arc<Api>,
    query: String,
    name: &'static str,
    default_type: SampleType,
) -> Result<Response, ApiError> {
    // `gc` is known and needs nothing: a free is seen when it happens, so there is never garbage in a profile.
    let parameters = parameters(&query, &["seconds", "debug", "gc", "component"])?;
    let profiler = profiler(&api)?;
    let seconds = seconds(&parameters)?;
    let is_text = choice(&parameters, "debug", &DEBUG)?.unwrap_or(false);
    let component = component(&parameters)?;
    let (moment, build) = match seconds {
        Some(seconds) => {
            let moment = Moment::now();
            sleep(seconds).await;
            (Some(moment), turn(profiler).await)
        }
        None => (None, permission(profiler).await?),
    };
    let body = built(build, move |build| {
        let mut profile = moment.as_ref().map_or_else(Profile::now, Profile::since);
        if let Some(component) = component {
            profile = profile.of_component(&component);
        }
        if is_text {
            text(build, &profile).into_bytes()
        } else {
            build.pprof(&profile, default_type)
        }
    })
    .await?;
    Ok(if is_text {
        document(body, "text/plain; charset=utf-8")
    } else {
        download(body, name)
    })
}

/// `GET /debug/flamegraph?type=inuse&since=10m&component=cache&format=svg&frames=condensed`
pub(super) async fn flamegraph(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    let known = ["type", "since", "component", "format", "frames"];
    let parameters = parameters(&query, &known)?;
    let profiler = profiler(&api)?;
    let value = choice(&parameters, "type", &TYPES)?.unwrap_or(SampleType::InuseSpace);
    let form = choice(&parameters, "format", &FORMS)?.unwrap_or(Form::Svg);
    let frames = frames(&parameters, form)?;
    let since = duration(&parameters, "since", SECOND, DAY)?;
    let component = component(&parameters)?;
    let now = SystemTime::now();
    let moment = match since {
        Some(since) => Some(profiler.before(now, since).ok_or_else(|| {
            let help = "try again after sampling.interval";
            ApiError::new(
                StatusCode::NOT_FOUND,
                "no earlier moment is known yet",
                help,
            )
        })?),
        None => None,
    };
    let session = api.session.id.clone();
    let body = build(profiler, move |build| {
        let mut profile = moment.as_ref().map_or_else(Profile::now, Profile::since);
        if let Some(component) = &component {
            profile = profile.of_component(component);
        }
        let folded = build.folded(&profile, value, frames);
        let graph = Graph {
            value,
            time: profile.time,
            grown_in: profile.duration,
            component,
            period: profile.period,
            session: &session,
        };
        graph.written(&folded, form)
    })
    .await?;
    Ok(written(body, form, "stacks"))
}

/// `POST /debug/sampling?interval=512KiB`
pub(super) fn sampling(api: &Api, query: &str) -> Result<Response, ApiError> {
    let parameters = parameters(query, &["interval"])?;
    profiler(api)?;
    if let Some(text) = parameters.get("interval") {
        let interval = parse_size(text).filter(|interval| *interval <= 1 << 40);
        let interval = interval.ok_or_else(|| bad_parameter("interval", text, INTERVALS))?;
        let mut options = SamplingOptions::every(interval);
        options.max_live_samples = api.max_live_samples;
        heap::sample(options);
        tracing::info!(interval, "sampling interval changed");
    }
    let view = SamplingView {
        sample_interval_bytes: heap::sample_interval(),
        live_samples: heap::live_samples(),
        dropped_samples: heap::dropped_samples(),
    };
    Ok(answer(
        &api.session,
        StatusCode::OK,
        SystemTime::now(),
        view,
    ))
}

/// How much longer than others an answer may take, because it was asked to wait.
pub(super) fn asked_to_wait(path: &str, query: Option<&str>) -> Duration {
    if !path.starts_with("/debug/pprof/") {
        return Duration::ZERO;
    }
    let seconds = parameters(
        query.unwrap_or_default(),
        &["seconds", "debug", "gc", "component"],
    )
    .and_then(|parameters| seconds(&parameters));
    seconds.ok().flatten().unwrap_or_default()
}

/// The profiler, or why there is none.
pub(super) fn profiler(api: &Api) -> Result<&Arc<Profiler>, ApiError> {
    api.watched.profiler.as_ref().ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "call sites are only seen in a process whose global allocator is memory_exporter::Allocator",
            "add the exporter and its allocator to the process as a library",
        )
    })
}

/// Builds off the threads that answer; 429 while something else is being built.
pub(super) async fn build<T: Send + 'static>(
    profiler: &Arc<Profiler>,
    work: impl FnOnce(&Build) -> T + Send + 'static,
) -> Result<T, ApiError> {
    built(permission(profiler).await?, work).await
}

/// Permission to build, or 429 while another request's profile is being built. What the ticker builds is waited for: it ends by itself
/// soon, and nobody would understand the refusal.
async fn permission(profiler: &Arc<Profiler>) -> Result<Build, ApiError> {
    loop {
        match profiler.begin(Asker::Request) {
            Ok(build) => return Ok(build),
            Err(Asker::Ticker) => sleep(PAUSE).await,
            Err(Asker::Request) => {
                let busy = "another profile is being built, and each takes memory for its symbols";
                let help = "try again in a second";
                return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, busy, help)
                    .with_header(header::RETRY_AFTER, "1"));
            }
        }
    }
}

/// Permission as soon as it is to be had: who has waited for a difference would lose it by being told to try again. What is being built
/// ends, and the request has its time-out.
async fn turn(profiler: &Arc<Profiler>) -> Build {
    loop {
        match profiler.begin(Asker::Request) {
            Ok(build) => return build,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn built<T: Send + 'static>(
    build: Build,
    work: impl FnOnce(&Build) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let worker = move || {
        heap::apart(|| {
            build.attribute();
            work(&build)
        })
    };
    let built = tokio::task::spawn_blocking(worker).await;
    built.map_err(|error| {
        tracing::error!(%error, "profile cannot be built");
        internal()
    })
}

fn seconds(parameters: &Parameters) -> Result<Option<Duration>, ApiError> {
    let Some(text) = parameters.get("seconds") else {
        return Ok(None);
    };
    match text.parse().map(Duration::from_secs) {
        // Go takes 0 as "no difference".
        Ok(Duration::ZERO) => Ok(None),
        Ok(seconds) if seconds <= HOUR => Ok(Some(seconds)),
        _ => Err(bad_parameter("seconds", text, SECONDS)),
    }
}

/// A graph is for eyes, so it hides what nobody looks for; folded stacks are for tools.
pub(super) fn frames(parameters: &Parameters, form: Form) -> Result<Frames, ApiError> {
    let usual = match form {
        Form::Svg => Frames::Condensed,
        Form::Folded | Form::Pprof => Frames::All,
    };
    Ok(choice(parameters, "frames", &FRAMES)?.unwrap_or(usual))
}

fn component(parameters: &Parameters) -> Result<Option<String>, ApiError> {
    let Some(name) = parameters.get("component") else {
        return Ok(None);
    };
    let names: Vec<_> = heap::component_names().collect();
    if names.contains(&name.as_str()) {
        return Ok(Some(name.clone()));
    }
    Err(bad_parameter("component", name, &names.join(", ")))
}
