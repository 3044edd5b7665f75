//! `GET /metrics/memory/allocations`: what the analyser is given, and its report.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use warp::http::StatusCode;
use warp::reply::Response;

use crate::analysis::{self, AllocationInput, AllocatorLevels, Earlier, EarlierSite, SiteReading};
use crate::catalog;
use crate::heap::{self, Amount, CallSite};
use crate::profile::{Moment, Symbols};
use crate::snapshot::Snapshot;
use crate::watch::readable;

use super::handlers::Api;
use super::json::{ApiError, answer};
use super::profiles::{build, profiler};
use super::query::parameters;
use super::views::AllocationsView;

/// What rates and growth are taken over, if so much is known.
const WINDOW: Duration = Duration::from_secs(300);

/// `GET /metrics/memory/allocations`
pub(super) async fn allocations(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    parameters(&query, &[])?;
    let profiler = profiler(&api)?;
    let snapshot = api.recorder.snapshot();
    let now = snapshot.time;
    let earlier = profiler.before(now, WINDOW);
    let since = profiler.started();
    let worker = Arc::clone(&api);
    let response = build(profiler, move |build| {
        let sites: Vec<CallSite> = heap::call_sites().collect();
        let addresses = sites.iter().flat_map(|site| site.frames());
        let symbols = build.symbols(addresses.map(|address| *address as u64));
        let input = input(&snapshot, &sites, &symbols, since, earlier.as_ref());
        let report = analysis::analyse(&input, &worker.recommendations);
        let view = AllocationsView::new(&input, &report);
        answer(&worker.session, StatusCode::OK, now, view)
    });
    response.await
}

fn input(
    snapshot: &Snapshot,
    sites: &[CallSite],
    symbols: &Symbols,
    sampling_since: SystemTime,
    earlier: Option<&Moment>,
) -> AllocationInput {
    let mut buckets = [0_u64; catalog::BUCKETS];
    let mut bytes: u64 = 0;
    let components = snapshot
        .heap
        .get()
        .map(|counts| counts.components.as_slice());
    for sizes in components
        .unwrap_or_default()
        .iter()
        .flat_map(|component| &component.operations)
    {
        bytes = bytes.saturating_add(sizes.bytes);
        for (sum, count) in buckets.iter_mut().zip(&sizes.buckets) {
            *sum = sum.saturating_add(*count);
        }
    }
    AllocationInput {
        now: snapshot.time,
        sampling_since,
        sample_interval: heap::sample_interval(),
        allocated_bytes: bytes,
        operations: buckets.iter().copied().fold(0, u64::saturating_add),
        distribution: catalog::by_category(&buckets, u64::saturating_add),
        heap_bytes: snapshot.heap_bytes(),
        rss_bytes: snapshot.process.get().map(|process| process.rss),
        jemalloc: snapshot.jemalloc.get().map(|jemalloc| AllocatorLevels {
            allocated: jemalloc.allocated,
            active: jemalloc.active,
            resident: jemalloc.resident,
            retained: jemalloc.retained,
        }),
        sites: readings(sites, symbols),
        earlier: earlier.map(|moment| Earlier {
            time: moment.time(),
            sites: moment.levels().map(earlier_site).collect(),
        }),
        dropped_samples: heap::dropped_samples(),
    }
}

fn earlier_site((site, level): (u32, crate::profile::Level)) -> (u32, EarlierSite) {
    let (samples, live_samples) = level.samples();
    let site_then = EarlierSite {
        samples,
        live_samples,
        allocated: level.allocated(),
        live: level.live(),
    };
    (site, site_then)
}

fn readings(sites: &[CallSite], symbols: &Symbols) -> Vec<SiteReading> {
    let young = young();
    let mut names: HashMap<&str, Arc<str>> = HashMap::new();
    let mut shared =
        |text: &'static str| Arc::clone(names.entry(text).or_insert_with(|| text.into()));
    sites
        .iter()
        .map(|site| {
            let totals = site.totals();
            let [within_second, within_minute] = young.get(&site.id()).copied().unwrap_or_default();
            SiteReading {
                id: site.id(),
                component: shared(site.component()),
                operation: site.operation(),
                frames: readable(site.frames(), symbols),
                samples: totals.samples,
                live_samples: totals.live_samples,
                allocated: totals.allocated,
                live: totals.live(),
                live_within_second: within_second,
                live_within_minute: within_minute,
                freed: totals.freed,
                freed_within_second: totals.freed_within_second,
                freed_within_minute: totals.freed_within_minute,
                peak_live_bytes: totals.peak_bytes,
                sizes: totals.sizes,
            }
        })
        .collect()
}

/// By site, what is live and younger than a second and than a minute.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn young() -> HashMap<u32, [Amount; 2]> {
    const SECOND: u64 = 1_000_000_000;
    let mut young: HashMap<u32, [Amount; 2]> = HashMap::new();
    heap::each_live_sample(|sample| {
        let amount = Amount {
            objects: sample.weight,
            bytes: sample.weight * sample.size as f64,
        };
        for (at, age) in [SECOND, 60 * SECOND].into_iter().enumerate() {
            if sample.age < age {
                let amounts = young.entry(sample.site.id()).or_default();
                amounts[at] = amounts[at].plus(amount);
            }
        }
    });
    young
}
