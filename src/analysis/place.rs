//! Places: call sites grouped by the line of code that a person can change.
//!
//! One line shows up with many stacks, as it is reached in many ways, and with several operations. A place is the innermost frame
//! that is not the standard library or a runtime (where there is none, the innermost), for each component that reaches it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::{BUCKETS, OPERATIONS};
use crate::heap::Amount;

use super::allocation::{AllocationInput, EarlierSite, Frame, SiteReading, Window, sound};
use super::estimate::{Doubt, Interval, float, interval, median, ratio, unseen};

/// Index of `alloc_zeroed` in [`OPERATIONS`].
pub(crate) const ALLOC_ZEROED: usize = 1;
/// Index of `realloc` in [`OPERATIONS`].
pub(crate) const REALLOC: usize = 2;

/// A share of something, once by blocks and once by bytes; 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    /// Of the blocks.
    pub(crate) objects: f64,
    /// Of the bytes.
    pub(crate) bytes: f64,
}

/// How fast a place allocates, over the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// Blocks and bytes per second.
    pub(crate) per_second: Amount,
    /// Its share of what all places allocate.
    pub(crate) share: Share,
    /// Samples that this rests on.
    pub(crate) samples: u64,
}

/// How much more a place holds than at the start of the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    /// Bytes that were alive at the start.
    pub(crate) before_bytes: f64,
    /// Bytes that came on top; 0 where it shrank.
    pub(crate) bytes: f64,
    /// Live samples that came on top.
    pub(crate) samples: u64,
}

/// What a place asks of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Part {
    /// Everything since sampling began.
    pub(crate) allocated: Amount,
    /// Within the window.
    pub(crate) recent: Amount,
    /// Samples within the window.
    pub(crate) recent_samples: u64,
    /// Blocks by size since sampling began.
    pub(crate) sizes: [f64; BUCKETS],
}

/// A line of code that allocates on behalf of a component. Estimates since sampling began, unless a field says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Whose memory it is.
    pub(crate) component: Arc<str>,
    /// The line; absent where no stack could be read.
    pub(crate) frame: Option<Frame>,
    /// Different stacks that lead here.
    pub(crate) stacks: usize,
    /// The stack that allocated the most bytes, innermost frame first.
    pub(crate) allocating_stack: Arc<[Frame]>,
    /// The stack that holds the most bytes, innermost frame first; where nothing is held, as `allocating_stack`.
    pub(crate) holding_stack: Arc<[Frame]>,
    /// Samples taken: a plain count.
    pub(crate) samples: u64,
    /// Samples alive: a plain count.
    pub(crate) live_samples: u64,
    /// Everything asked for.
    pub(crate) allocated: Amount,
    /// Its share of all bytes asked for since sampling began.
    pub(crate) allocated_ratio: f64,
    /// What is alive.
    pub(crate) live: Amount,
    /// Where the live bytes lie at 95 % confidence.
    pub(crate) live_interval: Interval,
    /// Its share of the heap; of all that is sampled and alive, where the heap is unknown or smaller than that.
    pub(crate) live_ratio: f64,
    /// The heap that `live_ratio` is a share of.
    pub(crate) heap_bytes: f64,
    /// Most live bytes: the peaks of its call sites added up, which may have come at different times, so an upper bound.
    pub(crate) peak_live_bytes: f64,
    /// Allocation rate; absent while no time has passed.
    pub(crate) rate: Option<Rate>,
    /// Growth of what is held; absent without an earlier moment.
    pub(crate) growth: Option<Growth>,
    /// Median size of a block in bytes, from buckets.
    pub(crate) median_size: Option<f64>,
    /// Blocks by size.
    pub(crate) sizes: [f64; BUCKETS],
    /// Share freed within a second, of what is old enough to tell; absent where nothing is.
    pub(crate) within_second: Option<Share>,
    /// Share freed within a minute, likewise.
    pub(crate) within_minute: Option<Share>,
    /// Share of the bytes that outlived a minute that was freed later; absent where nothing did.
    pub(crate) old_freed_ratio: Option<f64>,
    /// Share of its operations that are reallocations.
    pub(crate) realloc_ratio: f64,
    /// By operation, in the order of [`OPERATIONS`].
    pub(crate) operations: [Part; OPERATIONS.len()],
}

/// Sums over the call sites of one place.
struct Gathering<'a> {
    sites: Vec<&'a SiteReading>,
    earlier: EarlierSite,
    recent: Amount,
    recent_samples: u64,
    operations: [Part; OPERATIONS.len()],
}

/// All places, in a fixed order.
pub(crate) fn places(input: &AllocationInput, window: Option<&Window<'_>>) -> Vec<Arc<Place>> {
    let mut gathered: HashMap<(&str, Option<&Frame>), Gathering<'_>> = HashMap::new();
    let mut recent = Amount::default();
    for site in &input.sites {
        let before = window
            .and_then(|window| window.start?.sites.get(&site.id).copied())
            .unwrap_or_default();
        let gathering = gathered
            .entry((&site.component, place_of(&site.frames)))
            .or_insert_with(Gathering::new);
        recent = recent.plus(gathering.add(site, before));
    }
    let sum = |amount: fn(&SiteReading) -> Amount| {
        let amounts = input.sites.iter().map(|site| amount(site).sound());
        amounts.fold(Amount::default(), Amount::plus).bytes
    };
    let whole = Whole {
        window,
        recent,
        allocated_bytes: sum(|site| site.allocated),
        heap_bytes: input
            .heap_bytes
            .map_or(0.0, float)
            .max(sum(|site| site.live)),
    };
    let mut gathered: Vec<_> = gathered.into_iter().collect();
    gathered.sort_by_key(|(key, _)| *key);
    gathered
        .into_iter()
        .map(|((component, frame), gathering)| Arc::new(gathering.finish(component, frame, &whole)))
        .collect()
}

/// The innermost frame that somebody could change.
fn place_of(frames: &[Frame]) -> Option<&Frame> {
    frames
        .iter()
        .find(|frame| !frame.is_runtime)
        .or(frames.first())
}

/// What the shares are shares of.
struct Whole<'a> {
    window: Option<&'a Window<'a>>,
    recent: Amount,
    allocated_bytes: f64,
    heap_bytes: f64,
}

impl<'a> Gathering<'a> {
    fn new() -> Self {
        Self {
            sites: Vec::new(),
            earlier: EarlierSite::default(),
            recent: Amount::default(),
            recent_samples: 0,
            operations: Default::default(),
        }
    }

    /// Adds a call site, and returns what it allocated within the window.
    fn add(&mut self, site: &'a SiteReading, before: EarlierSite) -> Amount {
        let allocated = site.allocated.sound();
        let recent = allocated.minus(before.allocated.sound());
        let recent_samples = site.samples.saturating_sub(before.samples);
        if let Some(part) = self.operations.get_mut(site.operation) {
            part.allocated = part.allocated.plus(allocated);
            part.recent = part.recent.plus(recent);
            part.recent_samples = part.recent_samples.saturating_add(recent_samples);
            add_sizes(&mut part.sizes, &site.sizes);
        }
        let earlier = &mut self.earlier;
        earlier.live = earlier.live.plus(before.live.sound());
        earlier.live_samples = earlier.live_samples.saturating_add(before.live_samples);
        self.recent = self.recent.plus(recent);
        self.recent_samples = self.recent_samples.saturating_add(recent_samples);
        self.sites.push(site);
        recent
    }

    fn sum(&self, amount: impl Fn(&SiteReading) -> Amount) -> Amount {
        let amounts = self.sites.iter().map(|site| amount(site).sound());
        amounts.fold(Amount::default(), Amount::plus)
    }

    fn count(&self, number: impl Fn(&SiteReading) -> u64) -> u64 {
        self.sites
            .iter()
            .fold(0, |sum, site| sum.saturating_add(number(site)))
    }

    fn heaviest_stack(&self, amount: impl Fn(&SiteReading) -> Amount) -> Option<Arc<[Frame]>> {
        // The call sites of one stack, its operations, weigh together; the first of equals wins.
        let mut stacks: Vec<(&Arc<[Frame]>, f64)> = Vec::new();
        let mut index: HashMap<&[Frame], usize> = HashMap::new();
        for site in &self.sites {
            let at = *index.entry(&site.frames).or_insert(stacks.len());
            let bytes = amount(site).sound().bytes;
            match stacks.get_mut(at) {
                Some((_, sum)) => *sum += bytes,
                None => stacks.push((&site.frames, bytes)),
            }
        }
        let heavier = |heaviest: (&'a Arc<[Frame]>, f64), next: (&'a Arc<[Frame]>, f64)| {
            if next.1 > heaviest.1 { next } else { heaviest }
        };
        stacks
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0.0)
            .reduce(heavier)
            .map(|(frames, _)| Arc::clone(frames))
    }

    fn finish(self, component: &str, frame: Option<&Frame>, whole: &Whole<'_>) -> Place {
        let allocated = self.sum(|site| site.allocated);
        let live = self.sum(|site| site.live);
        let samples = self.count(|site| site.samples);
        let live_samples = self.count(|site| site.live_samples);
        let mut sizes = [0.0; BUCKETS];
        for site in &self.sites {
            add_sizes(&mut sizes, &site.sizes);
        }
        let outlived = allocated
            .minus(self.sum(|site| site.freed_within_minute))
            .minus(self.sum(|site| site.live_within_minute));
        let freed_old = self
            .sum(|site| site.freed)
            .minus(self.sum(|site| site.freed_within_minute));
        let churn = |freed: fn(&SiteReading) -> Amount, undecided: fn(&SiteReading) -> Amount| {
            Share::of(self.sum(freed), allocated.minus(self.sum(undecided)))
        };
        let live_interval = if live.bytes > 0.0 {
            let doubts = self
                .sites
                .iter()
                .map(|site| Doubt::of(site.live.sound(), site.live_samples));
            interval(live.bytes, doubts.fold(Doubt::default(), Doubt::plus))
        } else {
            unseen(allocated, samples)
        };
        let allocating_stack = self
            .heaviest_stack(|site| site.allocated)
            .unwrap_or_default();
        Place {
            component: component.into(),
            frame: frame.cloned(),
            stacks: self
                .sites
                .iter()
                .map(|site| &site.frames)
                .collect::<HashSet<_>>()
                .len(),
            holding_stack: self
                .heaviest_stack(|site| site.live)
                .unwrap_or_else(|| Arc::clone(&allocating_stack)),
            allocating_stack,
            samples,
            live_samples,
            allocated_ratio: ratio(allocated.bytes, whole.allocated_bytes).unwrap_or_default(),
            live_interval,
            live_ratio: ratio(live.bytes, whole.heap_bytes).unwrap_or_default(),
            heap_bytes: whole.heap_bytes,
            peak_live_bytes: self
                .sites
                .iter()
                .map(|site| sound(site.peak_live_bytes))
                .sum::<f64>()
                .max(live.bytes),
            rate: whole.window.map(|window| Rate {
                per_second: window.per_second(self.recent),
                share: Share::of(self.recent, whole.recent).unwrap_or(Share::NOTHING),
                samples: self.recent_samples,
            }),
            growth: whole
                .window
                .and_then(|window| window.start)
                .map(|_| Growth {
                    before_bytes: self.earlier.live.bytes,
                    bytes: live.minus(self.earlier.live).bytes,
                    samples: live_samples.saturating_sub(self.earlier.live_samples),
                }),
            median_size: median(&sizes, allocated.mean_size().unwrap_or_default()),
            sizes,
            within_second: churn(
                |site| site.freed_within_second,
                |site| site.live_within_second,
            ),
            within_minute: churn(
                |site| site.freed_within_minute,
                |site| site.live_within_minute,
            ),
            old_freed_ratio: ratio(freed_old.bytes, outlived.bytes).map(|ratio| ratio.min(1.0)),
            realloc_ratio: ratio(
                self.operations[REALLOC].allocated.objects,
                allocated.objects,
            )
            .unwrap_or_default(),
            operations: self.operations,
            allocated,
            live,
        }
    }
}

impl Share {
    /// No share at all.
    const NOTHING: Self = Self {
        objects: 0.0,
        bytes: 0.0,
    };

    /// A part of a whole, at most all of it; absent where there is no whole.
    fn of(part: Amount, whole: Amount) -> Option<Self> {
        Some(Self {
            objects: ratio(part.objects, whole.objects)?.min(1.0),
            bytes: ratio(part.bytes, whole.bytes)?.min(1.0),
        })
    }
}

impl Part {
    /// Median size of a block in bytes, from buckets.
    pub(crate) fn median_size(&self) -> Option<f64> {
        median(&self.sizes, self.allocated.mean_size()?)
    }
}

fn add_sizes(sum: &mut [f64; BUCKETS], sizes: &[f64; BUCKETS]) {
    for (sum, size) in sum.iter_mut().zip(sizes) {
        *sum += sound(*size);
    }
}

#[cfg(test)]
mod tests {
    use super::super::allocation::analyse;
    use super::super::fixture::{MB, amount, churning, frame, input, site};
    use super::*;
    use crate::config::RecommendationThresholds;

    fn by_live(input: &AllocationInput) -> Vec<Arc<Place>> {
        analyse(input, &RecommendationThresholds::default()).by_live_bytes
    }

    fn only(sites: Vec<SiteReading>) -> Arc<Place> {
        let places = places(&input(sites), None);
        assert_eq!(places.len(), 1);
        Arc::clone(&places[0])
    }

    #[test]
    fn the_indices_are_those_of_the_catalog() {
        assert_eq!(OPERATIONS[ALLOC_ZEROED], "alloc_zeroed");
        assert_eq!(OPERATIONS[REALLOC], "realloc");
    }

    #[test]
    fn one_line_is_one_place_whatever_stack_leads_to_it() {
        let line = frame("app::load", 10, false);
        let push = site(1, "app::load", 10.0, 100.0, 5);
        let stack = |frames: &[Frame]| SiteReading {
            frames: frames.into(),
            ..push.clone()
        };
        let short = [frame("alloc::push", 1, true), line.clone()];
        let heavy = [
            frame("alloc::grow", 2, true),
            line.clone(),
            frame("app::main", 7, false),
        ];
        let mut grown = stack(&heavy);
        grown.operation = REALLOC;
        let mut light = stack(&short);
        light.live = amount(15.0, 1_500.0);
        let place = only(vec![light, stack(&heavy), grown]);
        assert_eq!(place.frame, Some(line));
        assert_eq!(place.stacks, 2);
        assert_eq!((place.samples, place.live_samples), (15, 15));
        assert_eq!(place.allocated, amount(30.0, 3_000.0));
        assert_eq!(place.live, amount(35.0, 3_500.0));
        assert_eq!(place.realloc_ratio, 1.0 / 3.0);
        // The two operations of one stack weigh together.
        assert_eq!(*place.allocating_stack, heavy);
        assert_eq!(*place.holding_stack, heavy);
    }

    #[test]
    fn of_equal_stacks_the_first_is_shown() {
        let line = frame("f", 10, false);
        let of = |function: &str, live: f64| SiteReading {
            frames: [line.clone(), frame(function, 1, false)].into(),
            live: amount(live, live),
            ..site(1, "f", 10.0, 100.0, 5)
        };
        let caller = |stack: &[Frame]| stack[1].function.to_string();
        let place = only(vec![of("one", 3.0), of("other", 3.0)]);
        assert_eq!(caller(&place.allocating_stack), "one");
        assert_eq!(caller(&place.holding_stack), "one");
        // Where nothing is held, it is the stack that allocates the most.
        let mut small = of("small", 0.0);
        small.allocated = amount(1.0, 1.0);
        let place = only(vec![small, of("large", 0.0)]);
        assert_eq!(caller(&place.holding_stack), "large");
    }

    #[test]
    fn another_line_or_component_is_another_place() {
        let one = site(1, "f", 10.0, 100.0, 5);
        let mut other_component = one.clone();
        other_component.component = "cache".into();
        let mut other_line = one.clone();
        other_line.frames = [frame("f", 43, false)].into();
        let sites = vec![one.clone(), other_component, other_line, one];
        assert_eq!(places(&input(sites), None).len(), 3);
    }

    #[test]
    fn a_runtime_frame_is_the_place_only_where_there_is_no_other() {
        let mut site = site(1, "f", 10.0, 100.0, 5);
        let inner = frame("tokio::spawn", 1, true);
        site.frames = [inner.clone(), frame("std::thread", 2, true)].into();
        assert_eq!(only(vec![site.clone()]).frame, Some(inner));
        site.frames = [].into();
        assert_eq!(only(vec![site]).frame, None);
    }

    #[test]
    fn young_blocks_are_not_counted_as_survivors() {
        // A million blocks: 600,000 died within a second, 100,000 later in their first minute, 50,000 are younger than a second,
        // 150,000 younger than a minute, and of the 150,000 that are older 30,000 were freed.
        let mut site = site(1, "f", 1e6, 100.0, 500);
        let part = |objects: f64| amount(objects, objects * 100.0);
        site.freed_within_second = part(6e5);
        site.freed_within_minute = part(7e5);
        site.freed = part(7.3e5);
        site.live_within_second = part(5e4);
        site.live_within_minute = part(1.5e5);
        site.live = part(2.7e5);
        let place = only(vec![site.clone()]);
        let second = place.within_second.unwrap();
        assert_eq!(second.objects, 6e5 / 9.5e5);
        assert_eq!(second.bytes, second.objects);
        assert_eq!(place.within_minute.unwrap().objects, 7e5 / 8.5e5);
        assert_eq!(place.old_freed_ratio, Some(3e4 / 1.5e5));

        // Where everything is young, nothing is known.
        site.live_within_second = part(1e6);
        site.live_within_minute = part(1e6);
        let place = only(vec![site]);
        assert_eq!((place.within_second, place.within_minute), (None, None));
        assert_eq!(place.old_freed_ratio, None);
    }

    #[test]
    fn live_bytes_come_with_their_uncertainty() {
        // 10 samples that stand for a million blocks.
        let place = only(vec![site(1, "f", 1e6, 100.0, 10)]);
        let Interval { low, high } = place.live_interval;
        assert!((low / 1e8 - 0.479_54).abs() < 1e-3, "{low}");
        assert!((high / 1e8 - 1.839_04).abs() < 1e-3, "{high}");
        let gone = only(vec![churning(site(1, "f", 1e6, 100.0, 10), 1.0)]);
        assert_eq!(gone.live_interval.low, 0.0);
        assert!((gone.live_interval.high / 1e7 - 3.6889).abs() < 1e-3);
    }

    #[test]
    fn shares_are_of_the_heap_and_of_everything_allocated() {
        let mut input = input(vec![
            site(1, "f", 10.0, 3.0 * MB, 10),
            site(2, "g", 10.0, MB, 10),
        ]);
        let live = |input: &AllocationInput| by_live(input)[0].live_ratio;
        assert_eq!(live(&input), 0.75);
        assert_eq!(by_live(&input)[1].allocated_ratio, 0.25);
        input.heap_bytes = Some(100 << 20);
        assert_eq!(live(&input), 0.3);
        // An estimate above the exact heap does not give more than everything.
        input.heap_bytes = Some(1 << 20);
        assert_eq!(live(&input), 0.75);
    }

    #[test]
    fn the_peak_is_never_below_the_present() {
        let mut one = site(1, "f", 10.0, 100.0, 5);
        one.peak_live_bytes = 4_000.0;
        let mut other = one.clone();
        other.peak_live_bytes = 500.0;
        assert_eq!(
            only(vec![one.clone(), other.clone()]).peak_live_bytes,
            4_500.0
        );
        one.peak_live_bytes = 0.0;
        assert_eq!(only(vec![one, other]).peak_live_bytes, 2_000.0);
    }
}
