//! Call sites for tests. A fixture says what is unusual about a site; the rest is plausible.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::catalog::{BUCKETS, SIZE_BOUNDS};
use crate::heap::Amount;

use super::allocation::{AllocationInput, Earlier, EarlierSite, Frame, SiteReading};
use super::estimate::float;

pub(crate) const MB: f64 = 1_048_576.0;
/// Length of the window of [`input`].
pub(crate) const WINDOW: Duration = Duration::from_secs(100);

pub(crate) fn frame(function: &str, line: u32, is_runtime: bool) -> Frame {
    Frame {
        function: function.into(),
        file: Some("src/app.rs".into()),
        line: Some(line),
        is_runtime,
    }
}

pub(crate) fn amount(objects: f64, bytes: f64) -> Amount {
    Amount { objects, bytes }
}

/// A site that made `objects` blocks of `size` bytes, all of them alive, with `samples` samples.
pub(crate) fn site(id: u32, function: &str, objects: f64, size: f64, samples: u64) -> SiteReading {
    let all = amount(objects, objects * size);
    let mut sizes = [0.0; BUCKETS];
    let bucket = SIZE_BOUNDS.iter().position(|bound| size <= float(*bound));
    sizes[bucket.unwrap_or(BUCKETS - 1)] = objects;
    SiteReading {
        id,
        component: "app".into(),
        operation: 0,
        frames: [
            frame("alloc::vec::Vec<T>::push", 1, true),
            frame(function, 42, false),
            frame("app::main", 7, false),
        ]
        .into(),
        samples,
        live_samples: samples,
        allocated: all,
        live: all,
        live_within_second: Amount::default(),
        live_within_minute: Amount::default(),
        freed: Amount::default(),
        freed_within_second: Amount::default(),
        freed_within_minute: Amount::default(),
        peak_live_bytes: all.bytes,
        sizes,
    }
}

/// The same, with this share freed within a second and the rest alive.
pub(crate) fn churning(mut site: SiteReading, share: f64) -> SiteReading {
    let part = |of: f64| amount(site.allocated.objects * of, site.allocated.bytes * of);
    let (freed, live) = (part(share), part(1.0 - share));
    site.freed = freed;
    site.freed_within_second = freed;
    site.freed_within_minute = freed;
    site.live = live;
    site.live_samples = 0;
    site
}

/// These sites after [`WINDOW`] of sampling, with nothing known of an earlier moment.
pub(crate) fn input(sites: Vec<SiteReading>) -> AllocationInput {
    let sampling_since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    AllocationInput {
        now: sampling_since + WINDOW,
        sampling_since,
        sample_interval: 2 << 20,
        allocated_bytes: 123_456,
        operations: 789,
        distribution: [700, 80, 6, 2, 1],
        heap_bytes: None,
        rss_bytes: None,
        jemalloc: None,
        sites,
        earlier: None,
        dropped_samples: 0,
    }
}

/// Adds an earlier moment, [`WINDOW`] before the present one, at which the sites held this share of what they hold now.
pub(crate) fn with_earlier(mut input: AllocationInput, share: f64) -> AllocationInput {
    let time = input.now;
    input.now = time + WINDOW;
    let part = |of: Amount| amount(of.objects * share, of.bytes * share);
    let count = |of: u64| {
        // Whole samples: tests use shares that leave no remainder.
        (0..=of)
            .find(|count| float(*count) >= float(of) * share - 1e-9)
            .unwrap_or(of)
    };
    let sites: HashMap<u32, EarlierSite> = input
        .sites
        .iter()
        .map(|site| {
            let earlier = EarlierSite {
                samples: count(site.samples),
                live_samples: count(site.live_samples),
                allocated: part(site.allocated),
                live: part(site.live),
            };
            (site.id, earlier)
        })
        .collect();
    input.earlier = Some(Earlier { time, sites });
    input
}
