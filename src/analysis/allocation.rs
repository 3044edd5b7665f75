//! Allocation analyser: who allocates, how much, how often, for how long, and what could be done about it.
//!
//! What goes in is what sampling knows of each call site; every number of a site is an unbiased estimate unless its text says
//! otherwise. What comes out is a report by *place*, the line of code that a person can change.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::catalog::{BUCKETS, SIZE_CATEGORIES};
use crate::config::RecommendationThresholds;
use crate::heap::Amount;

use super::place::{Place, places};
use super::recommendation::{Recommendation, recommend};

/// Most places in each list of the report.
pub(crate) const MOST_PLACES: usize = 20;

/// One line of a stack in readable form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Frame {
    /// Name of the function.
    pub(crate) function: Arc<str>,
    /// Source file, where it is known.
    pub(crate) file: Option<Arc<str>>,
    /// Line in that file, where it is known.
    pub(crate) line: Option<u32>,
    /// Whether it belongs to the standard library, an allocator or a well-known runtime, which nobody would change.
    pub(crate) is_runtime: bool,
}

/// What is known of one call site (one stack, one component, one operation) since sampling began.
#[derive(Debug, Clone)]
pub(crate) struct SiteReading {
    /// The call site; the same in an [`Earlier`] moment.
    pub(crate) id: u32,
    /// Whose memory it is.
    pub(crate) component: Arc<str>,
    /// Index in [`OPERATIONS`](crate::catalog::OPERATIONS). For `realloc`, each block counts with its new size, and the block that
    /// it replaces as freed.
    pub(crate) operation: usize,
    /// The stack, innermost frame first.
    pub(crate) frames: Arc<[Frame]>,
    /// Samples taken here: a plain count, no estimate.
    pub(crate) samples: u64,
    /// Samples that are still alive: a plain count, no estimate.
    pub(crate) live_samples: u64,
    /// Everything asked for.
    pub(crate) allocated: Amount,
    /// What is still alive.
    pub(crate) live: Amount,
    /// Of what is alive: blocks younger than a second, whose fate within their first second is not decided yet.
    pub(crate) live_within_second: Amount,
    /// Of what is alive: blocks younger than a minute, likewise.
    pub(crate) live_within_minute: Amount,
    /// Everything freed.
    pub(crate) freed: Amount,
    /// Of what is freed: blocks that lived for less than a second.
    pub(crate) freed_within_second: Amount,
    /// Of what is freed: blocks that lived for less than a minute, those of less than a second included.
    pub(crate) freed_within_minute: Amount,
    /// Most live bytes at any one time.
    pub(crate) peak_live_bytes: f64,
    /// Everything asked for, in blocks by size; the bounds are [`SIZE_BOUNDS`](crate::catalog::SIZE_BOUNDS), the last bucket lies
    /// above them. Not cumulative.
    pub(crate) sizes: [f64; BUCKETS],
}

/// What was known of a call site at an earlier moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EarlierSite {
    /// Samples taken until then.
    pub(crate) samples: u64,
    /// Samples that were alive then.
    pub(crate) live_samples: u64,
    /// Everything asked for until then.
    pub(crate) allocated: Amount,
    /// What was alive then.
    pub(crate) live: Amount,
}

/// An earlier moment, for rates and growth.
#[derive(Debug, Clone)]
pub(crate) struct Earlier {
    /// When it was.
    pub(crate) time: SystemTime,
    /// The call sites known then, by their id; one that is missing had nothing.
    pub(crate) sites: HashMap<u32, EarlierSite>,
}

/// What jemalloc says of itself, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllocatorLevels {
    /// Held by the program.
    pub(crate) allocated: u64,
    /// In pages that hold something.
    pub(crate) active: u64,
    /// In memory.
    pub(crate) resident: u64,
    /// Address space kept without memory behind it.
    pub(crate) retained: u64,
}

/// Everything that the analyser looks at.
#[derive(Debug, Clone)]
pub(crate) struct AllocationInput {
    /// The time of the readings.
    pub(crate) now: SystemTime,
    /// When sampling began.
    pub(crate) sampling_since: SystemTime,
    /// Mean number of bytes between two samples; 0 where sampling is off.
    pub(crate) sample_interval: u64,
    /// Bytes asked for since the start of the process: exact.
    pub(crate) allocated_bytes: u64,
    /// Allocator operations since the start of the process: exact.
    pub(crate) operations: u64,
    /// Operations since the start of the process per category of [`SIZE_CATEGORIES`]: exact.
    pub(crate) distribution: [u64; SIZE_CATEGORIES.len()],
    /// Bytes that the program holds: exact.
    pub(crate) heap_bytes: Option<u64>,
    /// Resident set size.
    pub(crate) rss_bytes: Option<u64>,
    /// jemalloc's levels, where it serves this process.
    pub(crate) jemalloc: Option<AllocatorLevels>,
    /// Every call site with a sample.
    pub(crate) sites: Vec<SiteReading>,
    /// An earlier moment; without one, or with one from before sampling began, rates count from when sampling began.
    pub(crate) earlier: Option<Earlier>,
    /// Samples that had to be dropped; the estimates miss what they stood for.
    pub(crate) dropped_samples: u64,
}

/// What the estimates rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// Sampling is off: exact totals only.
    Off,
    /// Sampling is on and has not met a block yet.
    Waiting,
    /// There are samples.
    Sampled,
}

/// Allocation per second of everything sampled: an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TotalRate {
    /// What the rate is taken over.
    pub(crate) window: Duration,
    /// Blocks and bytes per second.
    pub(crate) per_second: Amount,
}

/// The report.
#[derive(Debug, Clone)]
pub(crate) struct AllocationReport {
    /// What the estimates rest on.
    pub(crate) coverage: Coverage,
    /// Rate of the whole program; absent without a sample or while no time has passed.
    pub(crate) rate: Option<TotalRate>,
    /// Live bytes of all places together: an estimate, and without what was allocated before sampling began.
    pub(crate) live: Amount,
    /// How many places there are.
    pub(crate) places: usize,
    /// At most [`MOST_PLACES`] that hold something, the largest holder first.
    pub(crate) by_live_bytes: Vec<Arc<Place>>,
    /// At most [`MOST_PLACES`] that allocated within the window, the most bytes per second first.
    pub(crate) by_rate: Vec<Arc<Place>>,
    /// What could be done, the most worthwhile first.
    pub(crate) recommendations: Vec<Recommendation>,
}

/// Writes the report on one moment.
pub(crate) fn analyse(
    input: &AllocationInput,
    thresholds: &RecommendationThresholds,
) -> AllocationReport {
    let coverage = match (input.sample_interval, input.sites.as_slice()) {
        (0, _) => Coverage::Off,
        (_, []) => Coverage::Waiting,
        _ => Coverage::Sampled,
    };
    let window = Window::of(input);
    let places = if coverage == Coverage::Sampled {
        places(input, window.as_ref())
    } else {
        Vec::new()
    };
    let per_second = places
        .iter()
        .filter_map(|place| Some(place.rate?.per_second))
        .reduce(Amount::plus);
    AllocationReport {
        coverage,
        rate: window
            .as_ref()
            .zip(per_second)
            .map(|(window, per_second)| TotalRate {
                window: window.duration,
                per_second,
            }),
        live: places
            .iter()
            .map(|place| place.live)
            .fold(Amount::default(), Amount::plus),
        places: places.len(),
        by_live_bytes: top(&places, |place| place.live.bytes),
        by_rate: top(&places, |place| {
            place.rate.map_or(0.0, |rate| rate.per_second.bytes)
        }),
        recommendations: recommend(&places, input.jemalloc, window.as_ref(), thresholds),
    }
}

/// The largest by a number, without those that have none of it; the places come in a fixed order, which breaks ties.
fn top(places: &[Arc<Place>], number: impl Fn(&Place) -> f64) -> Vec<Arc<Place>> {
    let mut top: Vec<_> = places
        .iter()
        .filter(|place| number(place) > 0.0)
        .cloned()
        .collect();
    top.sort_by(|one, other| number(other).total_cmp(&number(one)));
    top.truncate(MOST_PLACES);
    top
}

/// The time that rates are taken over; never empty.
#[derive(Debug, Clone)]
pub(crate) struct Window<'a> {
    /// How long it is.
    pub(crate) duration: Duration,
    /// What was there at its start; absent where sampling began then.
    pub(crate) start: Option<&'a Earlier>,
}

impl<'a> Window<'a> {
    fn of(input: &'a AllocationInput) -> Option<Self> {
        let start = input
            .earlier
            .as_ref()
            .filter(|earlier| input.sampling_since <= earlier.time && earlier.time < input.now);
        let from = start.map_or(input.sampling_since, |earlier| earlier.time);
        let duration = input.now.duration_since(from).ok()?;
        (!duration.is_zero()).then_some(Self { duration, start })
    }

    /// What it is per second.
    pub(crate) fn per_second(&self, amount: Amount) -> Amount {
        let seconds = self.duration.as_secs_f64();
        Amount {
            objects: amount.objects / seconds,
            bytes: amount.bytes / seconds,
        }
    }
}

/// Itself; what is not a number, infinite or below nothing becomes nothing.
pub(crate) fn sound(number: f64) -> f64 {
    if number.is_finite() {
        number.max(0.0)
    } else {
        0.0
    }
}

impl fmt::Display for Frame {
    /// `function (file:line)`, as far as it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            (Some(file), None) => write!(f, " ({file})"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{WINDOW, input, site, with_earlier};
    use super::*;

    fn report(input: &AllocationInput) -> AllocationReport {
        analyse(input, &RecommendationThresholds::default())
    }

    fn functions(places: &[Arc<Place>]) -> Vec<String> {
        let name = |place: &Arc<Place>| place.frame.as_ref().unwrap().function.to_string();
        places.iter().map(name).collect()
    }

    #[test]
    fn the_twenty_largest_come_first() {
        // 25 places: the number n holds n blocks, and allocated 100 - n.
        let sites = (1..=25_u32).map(|n| {
            let mut site = site(n, &format!("f{n:02}"), 100.0 - f64::from(n), 64.0, 50);
            site.live = Amount {
                objects: f64::from(n),
                bytes: f64::from(n) * 64.0,
            };
            site
        });
        let report = report(&input(sites.collect()));
        let down: Vec<String> = (6..=25).rev().map(|n| format!("f{n:02}")).collect();
        let up: Vec<String> = (1..=20).map(|n| format!("f{n:02}")).collect();
        assert_eq!(functions(&report.by_live_bytes), down);
        assert_eq!(functions(&report.by_rate), up);
        assert_eq!(report.places, 25);
    }

    #[test]
    fn equals_stand_in_a_fixed_order_and_nothing_is_not_listed() {
        let mut idle = site(3, "idle", 10.0, 64.0, 50);
        idle.live = Amount::default();
        let sites = vec![
            site(1, "b", 10.0, 64.0, 50),
            idle,
            site(2, "a", 10.0, 64.0, 50),
        ];
        let report = report(&input(sites));
        assert_eq!(functions(&report.by_live_bytes), ["a", "b"]);
        assert_eq!(functions(&report.by_rate), ["a", "b", "idle"]);
    }

    #[test]
    fn rates_count_from_the_earlier_moment() {
        let plain = input(vec![site(1, "f", 1_000.0, 64.0, 40)]);
        let rate = report(&plain).rate.unwrap();
        assert_eq!(rate.window, WINDOW);
        assert_eq!(
            rate.per_second,
            Amount {
                objects: 10.0,
                bytes: 640.0
            }
        );

        let since = with_earlier(plain.clone(), 0.75);
        let report_since = report(&since);
        let place = &report_since.by_rate[0];
        assert_eq!(report_since.rate.unwrap().per_second.objects, 2.5);
        assert_eq!(place.rate.unwrap().samples, 10);
        let growth = place.growth.unwrap();
        assert_eq!(
            (growth.before_bytes, growth.bytes, growth.samples),
            (48_000.0, 16_000.0, 10)
        );

        // A site that was not known then has done everything since.
        let mut unknown = since.clone();
        unknown.earlier.as_mut().unwrap().sites.clear();
        assert_eq!(report(&unknown).rate.unwrap().per_second.objects, 10.0);
    }

    #[test]
    fn an_earlier_moment_outside_the_sampling_does_not_count() {
        let mut input = with_earlier(input(vec![site(1, "f", 1_000.0, 64.0, 40)]), 0.75);
        let now = input.now;
        for time in [input.sampling_since - WINDOW, now, now + WINDOW] {
            input.earlier.as_mut().unwrap().time = time;
            let report = report(&input);
            assert_eq!(report.rate.unwrap().window, WINDOW * 2);
            assert_eq!(report.rate.unwrap().per_second.objects, 5.0);
            assert_eq!(report.by_rate[0].growth, None);
        }
        input.earlier.as_mut().unwrap().time = input.sampling_since;
        assert!(report(&input).by_rate[0].growth.is_some());
    }

    #[test]
    fn no_time_has_no_rate() {
        let mut input = input(vec![site(1, "f", 1_000.0, 64.0, 40)]);
        for ahead in [Duration::ZERO, WINDOW] {
            input.sampling_since = input.now + ahead;
            let report = report(&input);
            assert_eq!(report.rate, None);
            assert_eq!(report.by_rate, []);
            assert_eq!(report.by_live_bytes[0].rate, None);
        }
    }

    #[test]
    fn without_samples_nothing_is_estimated() {
        let mut input = input(Vec::new());
        assert_eq!(report(&input).coverage, Coverage::Waiting);
        input.sites = vec![site(1, "f", 1_000.0, 64.0, 40)];
        assert_eq!(report(&input).coverage, Coverage::Sampled);
        input.sample_interval = 0;
        let report = report(&input);
        assert_eq!(report.coverage, Coverage::Off);
        assert_eq!(report.rate, None);
        assert_eq!((report.by_live_bytes, report.by_rate), (vec![], vec![]));
        assert_eq!(report.recommendations, []);
    }

    #[test]
    fn a_frame_reads_as_far_as_it_is_known() {
        let mut frame = super::super::fixture::frame("app::f", 42, false);
        assert_eq!(frame.to_string(), "app::f (src/app.rs:42)");
        frame.line = None;
        assert_eq!(frame.to_string(), "app::f (src/app.rs)");
        frame.file = None;
        assert_eq!(frame.to_string(), "app::f");
    }
}
