//! Profiles that are kept: in memory and on disk, those of earlier sessions among them.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::spawn_blocking;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::profile::evidence::Kept;
use crate::profile::{DecodeError, Decoded, Folded, Frames, Profiler, SampleType, Stored, decode};
use crate::watch::Guard;

use super::graphs::{Form, Graph, document, download, written};
use super::handlers::{Api, internal};
use super::json::{ApiError, answer, timestamp};
use super::profiles::{TYPES, build, frames, profiler};
use super::query::{choice, parameters};

/// What a kept profile is answered as; its leak report, if it is none of the forms of stacks.
pub(super) const FORMS: [(&str, Option<Form>); 4] = [
    ("pprof", Some(Form::Pprof)),
    ("svg", Some(Form::Svg)),
    ("folded", Some(Form::Folded)),
    ("leaks", None),
];

/// A profile in the list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
struct ProfileView {
    /// Under which it is to be had.
    id: String,
    /// When it was taken.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// The session that took it, perhaps one that has ended.
    session_id: String,
    /// Why it was taken.
    trigger: String,
    /// Mean number of bytes asked for between two samples.
    sample_interval_bytes: u64,
    /// Bytes that were live, estimated from samples.
    live_bytes: u64,
    /// Size of the file.
    size_bytes: u64,
    /// Whether functions are named in it; if not, they are in the program's file, as far as the build is the same.
    has_symbols: bool,
    /// Of profiles near the memory limit only.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitView>,
    /// Where it is to be had, on this server.
    pprof: String,
    /// Where it is drawn, on this server.
    flamegraph: String,
    /// Where the leak report of then is to be had, if one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<String>,
}

/// How near the limit was.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Limit")]
struct LimitView {
    /// What counted against it.
    used_bytes: u64,
    /// The limit.
    limit_bytes: u64,
}

/// `GET /metrics/memory/profiles`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Profiles")]
pub(super) struct ProfilesView {
    /// The latest first.
    profiles: Vec<ProfileView>,
}

/// `GET /metrics/memory/profiles`
pub(super) async fn profiles(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    let mut listed: Vec<(SystemTime, ProfileView)> = profiler(&api)?
        .stored()
        .into_iter()
        .map(|stored| (stored.time, ProfileView::stored(stored)))
        .collect();
    if let Some(guard) = &api.watched.guard {
        let kept = guard.kept().into_iter();
        listed.extend(kept.map(|kept| (kept.metadata.time, ProfileView::kept(kept))));
    }
    listed.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let profiles = listed.into_iter().map(|(_, view)| view).collect();
    Ok(answer(
        &api.session,
        StatusCode::OK,
        SystemTime::now(),
        ProfilesView { profiles },
    ))
}

/// A kept profile, wherever it is kept.
struct Found {
    time: SystemTime,
    period: u64,
    session: String,
    pprof: Arc<[u8]>,
}

/// `GET /metrics/memory/profiles/{id}?format=pprof&type=inuse`
pub(super) async fn profile(
    api: Arc<Api>,
    id: String,
    query: String,
) -> Result<Response, ApiError> {
    let parameters = parameters(&query, &["format", "type", "frames"])?;
    let form = choice(&parameters, "format", &FORMS)?.unwrap_or(Some(Form::Pprof));
    let value = choice(&parameters, "type", &TYPES)?.unwrap_or(SampleType::InuseSpace);
    let profiler = profiler(&api)?;
    let Some(form) = form else {
        let leaks = evidence(&api, &id, Guard::leaks).await?.ok_or_else(|| {
            let help = "GET /metrics/memory/profiles says which profiles have one";
            ApiError::new(
                StatusCode::NOT_FOUND,
                "no leak report is kept with a profile of this id",
                help,
            )
        })?;
        return Ok(document(leaks, "application/json"));
    };
    let frames = frames(&parameters, form)?;
    let found = match stored(profiler, &id).await? {
        Some(found) => Some(found),
        None => captured(&api, &id).await?,
    };
    let found = found.ok_or_else(|| {
        let help = "GET /metrics/memory/profiles lists those that are kept";
        ApiError::new(StatusCode::NOT_FOUND, "no profile of this id is kept", help)
    })?;
    if form == Form::Pprof {
        return Ok(download(found.pprof.to_vec(), &id));
    }
    let body = build(profiler, move |_| {
        let decoded = decode(&found.pprof)?;
        let graph = Graph {
            value,
            time: found.time,
            grown_in: None,
            component: None,
            period: found.period,
            session: &found.session,
        };
        Ok::<_, DecodeError>(graph.written(&folded(decoded, value, frames), form))
    })
    .await?;
    let body = body.map_err(|error| {
        tracing::error!(%error, "kept profile cannot be read");
        internal()
    })?;
    Ok(written(body, form, &id))
}

async fn stored(profiler: &Arc<Profiler>, id: &str) -> Result<Option<Found>, ApiError> {
    let (profiler, id) = (Arc::clone(profiler), id.to_owned());
    let found = read(move || profiler.stored_as(&id)).await?;
    Ok(found.map(|(stored, pprof)| Found {
        time: stored.time,
        period: stored.period,
        session: stored.session_id,
        pprof,
    }))
}

async fn captured(api: &Arc<Api>, id: &str) -> Result<Option<Found>, ApiError> {
    let kept = api.watched.guard.iter().flat_map(|guard| guard.kept());
    let Some(kept) = kept.into_iter().find(|kept| kept.id.as_str() == id) else {
        return Ok(None);
    };
    let pprof = evidence(api, id, Guard::profile).await?;
    Ok(pprof.map(|pprof| Found {
        time: kept.metadata.time,
        period: kept.metadata.sample_interval,
        session: kept.metadata.session_id,
        pprof: pprof.into(),
    }))
}

/// A file of what was captured near the limit.
async fn evidence(
    api: &Arc<Api>,
    id: &str,
    what: fn(&Guard, &str) -> io::Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(guard) = api.watched.guard.clone() else {
        return Ok(None);
    };
    let id = id.to_owned();
    read(move || what(&guard, &id)).await
}

/// Reads the disk, off the threads that answer.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let read = spawn_blocking(read).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.map_err(|error| {
        tracing::error!(%error, "kept profile or its leak report cannot be read");
        internal()
    })
}

impl ProfileView {
    fn stored(stored: Stored) -> Self {
        let pprof = link(&stored.id);
        Self {
            timestamp: timestamp(stored.time),
            session_id: stored.session_id,
            trigger: stored.trigger,
            sample_interval_bytes: stored.period,
            live_bytes: stored.live_bytes,
            size_bytes: stored.size_bytes,
            has_symbols: true,
            limit: None,
            flamegraph: format!("{pprof}?format=svg"),
            pprof,
            leaks: None,
            id: stored.id,
        }
    }

    fn kept(kept: Kept) -> Self {
        let pprof = link(kept.id.as_str());
        let metadata = kept.metadata;
        Self {
            id: kept.id.as_str().to_owned(),
            timestamp: timestamp(metadata.time),
            session_id: metadata.session_id,
            trigger: metadata.trigger,
            sample_interval_bytes: metadata.sample_interval,
            live_bytes: metadata.live_bytes,
            size_bytes: metadata.profile_bytes,
            has_symbols: metadata.has_symbols,
            limit: metadata.usage.map(|usage| LimitView {
                used_bytes: usage.used_bytes,
                limit_bytes: usage.limit_bytes,
            }),
            flamegraph: format!("{pprof}?format=svg"),
            leaks: metadata
                .leaks_bytes
                .map(|_| format!("{pprof}?format=leaks")),
            pprof,
        }
    }
}

fn link(id: &str) -> String {
    format!("/metrics/memory/profiles/{id}")
}

fn folded(decoded: Decoded, value: SampleType, shown: Frames) -> Folded {
    let at = decoded
        .sample_types
        .iter()
        .position(|name| name == value.name());
    let stacks = decoded
        .samples
        .into_iter()
        .filter_map(|sample| Some((shown.of(sample.frames), *sample.values.get(at?)?)));
    stacks.collect()
}
