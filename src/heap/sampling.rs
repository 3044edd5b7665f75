//! Which allocations are sampled, and what becomes of the samples.
//!
//! Samples are a Poisson process over the bytes that are asked for: the gap from one to the next is exponential with the sampling interval as its mean, so an allocation
//! of `size` bytes is sampled with probability `1 - exp(-size / interval)`, and a sample stands for the inverse of that many. The process has no memory, so each
//! counter of bytes (per thread, component and operation) has a gap of its own, and a gap may be thrown away and drawn anew at any time.

use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use super::clock::now;
use super::counters::{Counters, Counts, LONGEST_QUICK, Operation, SizeCounters};
use super::live::Record;
use super::unwind::{self, Stack};
use super::{component::ComponentId, filter, live, sites, threads};

/// Mean number of bytes between two samples; 0 = none are taken.
static INTERVAL: AtomicU64 = AtomicU64::new(0);
/// Where the next thread's random numbers start; 0 = anywhere.
static SEED: AtomicU64 = AtomicU64::new(0);
/// Samples that could not be followed because there was no room.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How allocations are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplingOptions {
    /// Mean number of bytes between two samples; 0 switches sampling off. Samples that are live stay followed.
    pub interval: u64,
    /// Most samples that are followed at once, up to [`MOST_LIVE_SAMPLES`](super::MOST_LIVE_SAMPLES).
    pub max_live_samples: usize,
    /// Start of the random numbers, for tests that must be repeatable; each further thread starts further on. By default, and with 0: anywhere.
    pub seed: Option<u64>,
}

impl SamplingOptions {
    /// Samples every `interval` bytes on average.
    pub fn every(interval: u64) -> Self {
        Self {
            interval,
            max_live_samples: super::MOST_LIVE_SAMPLES,
            seed: None,
        }
    }
}

/// Upper bound of the live bytes that were allocated while sampling was off.
static UNSAMPLED: AtomicU64 = AtomicU64::new(0);
/// How much work goes on that is not sampled.
static UNSAMPLED_WORK: AtomicU64 = AtomicU64::new(0);

/// Switches sampling on, off, or to another interval; from now on and while everything runs. Without our
/// [`Allocator`](super::Allocator) nothing is sampled.
pub fn sample(options: SamplingOptions) {
    unwind::refresh();
    live::set_most(options.max_live_samples);
    SEED.store(options.seed.unwrap_or(0), Ordering::Relaxed);
    // Longer gaps would overflow when they are added to a counter.
    let interval = options.interval.min(1 << 56);
    if interval > 0 && sample_interval() == 0 {
        UNSAMPLED.store(unseen(), Ordering::Relaxed);
    }
    INTERVAL.store(interval, Ordering::Release);
    threads::redraw();
}

/// Looks for libraries that were loaded or unloaded since sampling began, so that stacks through them are seen. Costs a microsecond
/// when there are none.
pub fn refresh_modules() {
    unwind::refresh();
}

/// Live bytes that no sample stands for, as things are now.
fn unseen() -> u64 {
    let mut counts = Counts::default();
    threads::read(&mut counts);
    let operations = counts
        .components
        .iter()
        .flat_map(|component| &component.operations);
    let asked = operations.fold(0, |sum: u64, sizes| sum.saturating_add(sizes.bytes));
    let live = asked.saturating_sub(counts.deallocations.bytes);
    let seen = sites::all().fold(0, |sum: u64, site| sum.saturating_add(site.live_bytes()));
    live.saturating_sub(seen)
}

/// Upper bound of the bytes that were allocated without sampling and may be live, so that no sample stands for them: those from before
/// it was switched on, and any number while something is [`unsampled`].
pub fn unsampled_bytes() -> u64 {
    match UNSAMPLED_WORK.load(Ordering::Relaxed) {
        0 => UNSAMPLED.load(Ordering::Relaxed),
        _ => u64::MAX,
    }
}

/// Mean number of bytes between two samples; 0 = sampling is off.
pub fn sample_interval() -> u64 {
    INTERVAL.load(Ordering::Relaxed)
}

/// Samples that are followed now.
pub fn live_samples() -> u64 {
    live::count() as u64
}

/// Samples so far that could not be followed because [`SamplingOptions::max_live_samples`] were live, or memory was not to be had.
pub fn dropped_samples() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// All call sites that were ever sampled.
pub fn call_sites() -> impl Iterator<Item = super::CallSite> {
    sites::all().map(super::CallSite)
}

/// What a thread needs for sampling; lies in its block of counters, and only the thread itself writes it.
#[derive(Debug)]
pub(super) struct Sampler {
    /// State of the random numbers.
    random: AtomicU64,
    /// Where the thread's stack ends; 0 = not asked yet.
    stack_end: AtomicUsize,
    /// Whether a sample is being taken right now: what is allocated meanwhile is counted and not sampled.
    busy: AtomicBool,
}

/// A sample to be taken if the allocation succeeds. Must be used up, by [`take`](Self::take) or [`cancel`](Self::cancel).
pub(super) struct Ticket {
    sampler: &'static Sampler,
    scope: ComponentId,
    mean: u64,
    operation: Operation,
    is_followed: bool,
}

impl Sampler {
    pub(super) const fn new() -> Self {
        Self {
            random: AtomicU64::new(0),
            stack_end: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// Makes it that of another thread.
    pub(super) fn adopt(&self) {
        self.stack_end.store(0, Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether an operation that the quick path has declined is to be sampled. The operation must be counted afterwards, and then
    /// [`rearm`](Self::rearm) called.
    pub(super) fn is_due(
        &'static self,
        counters: &Counters,
        scope: ComponentId,
        operation: Operation,
        size: usize,
    ) -> Option<Ticket> {
        if self.busy.load(Ordering::Relaxed) {
            return None;
        }
        let counters = counters.of(operation);
        let mean = counters.mean.load(Ordering::Relaxed);
        let stop = counters.stop.load(Ordering::Relaxed);
        // 0: a new counter, or one whose gap was thrown away. Another interval: its gap is too.
        if stop == 0 || mean != sample_interval() {
            self.draw(counters);
        }
        let mean = counters.mean.load(Ordering::Relaxed);
        let stop = counters.stop.load(Ordering::Relaxed);
        let next = stop.saturating_add(counters.beyond.load(Ordering::Relaxed));
        let is_due = mean > 0 && counters.bytes().saturating_add(size as u64) >= next;
        is_due.then(|| Ticket {
            sampler: self,
            scope,
            mean,
            operation,
            is_followed: live::reserve(),
        })
    }

    /// Lets the quick path go on after an operation that it declined was counted: a gap that is used up, or was thrown away, is drawn anew.
    pub(super) fn rearm(&self, counters: &Counters, operation: Operation) {
        let of = counters.of(operation);
        let stop = of.stop.load(Ordering::Relaxed);
        let next = stop.saturating_add(of.beyond.load(Ordering::Relaxed));
        if stop == 0 || next <= of.bytes() {
            self.draw(of);
        } else {
            set_gap(of, next - of.bytes());
        }
        // See `Counters::ask_for_attention`.
        fence(Ordering::SeqCst);
        if counters.wants_attention() {
            of.stop.store(0, Ordering::Relaxed);
        }
    }

    /// Draws the gap to the next sample, from here.
    fn draw(&self, counters: &SizeCounters) {
        let mean = sample_interval();
        counters.mean.store(mean, Ordering::Relaxed);
        set_gap(counters, self.gap(mean));
    }

    /// An exponential number of bytes, at least 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positive, and `as` saturates"
    )]
    fn gap(&self, mean: u64) -> u64 {
        if mean == 0 {
            return u64::MAX;
        }
        // 53 random bits: above 0, at most 1.
        let uniform = ((self.random() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * mean as f64).ceil().max(1.0) as u64
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        const BETWEEN_THREADS: u64 = 0xd1b5_4a32_d192_ed03;
        let mut state = self.random.load(Ordering::Relaxed);
        if state == 0 {
            state = match SEED.load(Ordering::Relaxed) {
                0 => std::ptr::from_ref(self) as u64 ^ now(),
                // Threads that drew the same gaps would err together.
                _ => SEED.fetch_add(BETWEEN_THREADS, Ordering::Relaxed),
            };
        }
        state = state.wrapping_add(STEP);
        self.random.store(state, Ordering::Relaxed);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn stack_end(&self) -> usize {
        let mut end = self.stack_end.load(Ordering::Relaxed);
        if end == 0 {
            // 1 is an end as well, of no stack at all: it is asked for once.
            end = unwind::stack_end().max(1);
            self.stack_end.store(end, Ordering::Relaxed);
        }
        end
    }
}

/// Runs `work`, in which nothing that this thread allocates is sampled; it is counted as ever. For what takes much memory for a moment, and
/// whose call sites nobody wants to see: the reading of symbols, for one.
pub fn unsampled<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(Option<(&'static Sampler, bool)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            UNSAMPLED_WORK.fetch_sub(1, Ordering::Relaxed);
            if let Some((sampler, was_busy)) = self.0 {
                sampler.busy.store(was_busy, Ordering::Relaxed);
            }
        }
    }
    UNSAMPLED_WORK.fetch_add(1, Ordering::Relaxed);
    let sampler = threads::own_sampler();
    let _restore =
        Restore(sampler.map(|sampler| (sampler, sampler.busy.swap(true, Ordering::Relaxed))));
    work()
}

impl Ticket {
    /// How the block is to be laid out.
    pub(super) fn placement(&self, layout: Layout) -> Layout {
        if self.is_followed {
            filter::placement(layout)
        } else {
            layout
        }
    }

    /// Takes the sample of a block that was laid out as [`placement`](Self::placement) said, and says whether the block is followed.
    pub(super) fn take(self, block: *mut u8, size: usize) -> bool {
        let Self {
            sampler,
            scope,
            mean,
            operation,
            mut is_followed,
        } = self;
        sampler.busy.store(true, Ordering::Relaxed);
        let mut stack = Stack::new();
        unwind::capture(&mut stack, sampler.stack_end());
        let record = Record {
            size,
            weight: weight(size, mean),
            birth: now(),
            site: sites::find(scope, operation, &stack),
        };
        if is_followed {
            is_followed = follow(block, &record);
        }
        if !is_followed {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        record.site.allocated(size, record.weight, is_followed);
        sampler.busy.store(false, Ordering::Relaxed);
        is_followed
    }

    /// The allocation failed.
    pub(super) fn cancel(self) {
        if self.is_followed {
            live::give_back();
        }
    }
}

/// A block that was followed, taken out so that it can be freed.
pub(super) struct Followed(Record);

impl Followed {
    /// Takes a block out if it is followed.
    pub(super) fn out(block: *mut u8, size: usize) -> Option<Self> {
        if !filter::may_be_sampled(block, size) {
            return None;
        }
        let record = live::remove(block as usize)?;
        filter::remove(block as usize);
        Some(Self(record))
    }

    /// The block was freed.
    pub(super) fn end(self) {
        let Self(record) = self;
        live::give_back();
        let age = now().saturating_sub(record.birth);
        record.site.freed(record.size, record.weight, age);
    }

    /// The block lives on: a realloc of it failed. Only for a block that was not placed, for if there is no room it is followed no more.
    pub(super) fn put_back(self, block: *mut u8) {
        let Self(record) = self;
        if !follow(block, &record) {
            record.site.freed(record.size, record.weight, u64::MAX);
        }
    }
}

/// Whether the block was laid out by [`Ticket::placement`] in another way than its own layout says.
pub(super) fn is_placed(block: *mut u8, layout: Layout) -> bool {
    filter::may_be_sampled(block, layout.size())
        && filter::placement(layout) != layout
        && live::holds(block as usize)
}

/// Follows a block for which room was reserved; else the room is given back.
fn follow(block: *mut u8, record: &Record) -> bool {
    filter::add(block as usize);
    let is_followed = live::insert(block as usize, record);
    if !is_followed {
        filter::remove(block as usize);
        live::give_back();
    }
    is_followed
}

/// How many allocations of a size a sample of it stands for.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "f32 holds weights to seven digits"
)]
fn weight(size: usize, mean: u64) -> f32 {
    (-1.0 / (-(size as f64) / mean as f64).exp_m1()) as f32
}

fn set_gap(counters: &SizeCounters, gap: u64) {
    let quick = gap.min(LONGEST_QUICK);
    counters.beyond.store(gap - quick, Ordering::Relaxed);
    counters
        .stop
        .store(counters.bytes().saturating_add(quick), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_no_two_threads_draw_the_same() {
        let draw = || {
            SEED.store(7, Ordering::Relaxed);
            let threads = [Sampler::new(), Sampler::new(), Sampler::new()];
            threads.map(|sampler| sampler.random())
        };
        let first = draw();
        assert_eq!(draw(), first);
        assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
        SEED.store(0, Ordering::Relaxed);
    }
}
