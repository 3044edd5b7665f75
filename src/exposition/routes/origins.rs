//! Requests for where memory comes from: leaks, allocations, profiles.

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::reply::Response;

use crate::exposition::Current;
use crate::exposition::handlers::Api;
use crate::exposition::{allocations, kept, leaks, profiles};
use crate::profile::SampleType;

use super::{from_loopback, method, query, reading, rejecting, with};

pub(super) fn routes(api: &Current) -> BoxedFilter<(Response,)> {
    allocations(api)
        .or(leaks(api))
        .unify()
        .or(pprof(api))
        .unify()
        .or(flamegraph(api))
        .unify()
        .or(profiles(api))
        .unify()
        .or(sampling(api))
        .unify()
        .boxed()
}

/// `GET /metrics/memory/allocations`
fn allocations(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "allocations")
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(allocations::allocations(api, query).await)
        })
        .boxed()
}

/// `GET /metrics/memory/leaks`
fn leaks(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "leaks")
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(leaks::leaks(api, query).await)
        })
        .boxed()
}

/// `GET /debug/pprof/heap`, `GET /debug/pprof/allocs`
fn pprof(api: &Current) -> BoxedFilter<(Response,)> {
    let heap = warp::path!("debug" / "pprof" / "heap").map(|| ("heap", SampleType::InuseSpace));
    let allocs =
        warp::path!("debug" / "pprof" / "allocs").map(|| ("allocs", SampleType::AllocSpace));
    heap.or(allocs)
        .unify()
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|(name, value), api: Arc<Api>, query: String| async move {
            rejecting(profiles::pprof(api, query, name, value).await)
        })
        .boxed()
}

/// `GET /debug/flamegraph`
fn flamegraph(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("debug" / "flamegraph")
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(profiles::flamegraph(api, query).await)
        })
        .boxed()
}

/// `GET /metrics/memory/profiles`, `GET /metrics/memory/profiles/{id}`
fn profiles(api: &Current) -> BoxedFilter<(Response,)> {
    let list = warp::path!("metrics" / "memory" / "profiles")
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(kept::profiles(api, query).await)
        });
    let one = warp::path!("metrics" / "memory" / "profiles" / String)
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|id: String, api: Arc<Api>, query: String| async move {
            rejecting(kept::profile(api, id, query).await)
        });
    list.or(one).unify().boxed()
}

/// `POST /debug/sampling?interval=512KiB`
fn sampling(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("debug" / "sampling")
        .and(method(&[Method::POST], "POST"))
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(profiles::sampling(&api, &query))
        })
        .boxed()
}
