//! Does a subject grow as a leak does? Three kinds of evidence, each over a window that ends now.
//!
//! | evidence | what is seen | what it finds |
//! |---|---|---|
//! | [`Survivors`](Evidence::Survivors) | blocks of generation after generation stay, and hardly any old one was ever freed | nearly every leak |
//! | [`Backlog`](Evidence::Backlog) | blocks are freed, but ever later, and ever more are live | queues that are filled faster than drained |
//! | [`Doubling`](Evidence::Doubling) | one block is replaced by a larger one again and again | buffers that grow without bound |
//!
//! *Old* is relative: for a window of an hour, blocks that live for minutes are young. So a cache whose entries live for ten minutes is
//! judged by what outlives them, and a window that is too short for a subject's habits finds that its old blocks are freed.

use crate::config::LeakThresholds;
use crate::heap::AGES;

use super::curve::Curve;
use super::track::Track;
use super::window::Window;

/// Intervals of birth that a window is divided into; with the youngest tenth ignored nine of ten count.
const GENERATIONS: usize = 9;
/// Shares of the window below which blocks count as young: the least is configured.
const SETTLED: [f64; 3] = [0.0, 0.25, 0.5];
/// By so many deviations births must be earlier than even growth would make them: chance does it once in twelve times.
const EARLIER: f64 = -1.4;
/// Chance below which a small number in a third is not called chance.
const CHANCE: f64 = 0.08;
/// A few samples may overestimate a growth by so much.
const OVERESTIMATE: f64 = 8.0;

/// Why a subject is called a leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Generation after generation survives.
    Survivors,
    /// Few samples survive, and the exact heap grows at the same pace.
    Confirmed,
    /// What is freed is freed ever later, and the rest grows.
    Backlog,
    /// One block is replaced by a larger one again and again.
    Doubling,
    /// The process as a whole grows; its call sites cannot be seen.
    Whole,
}

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It is growth, and nobody can say of what.
    Low,
    /// Few samples, or blocks that are freed in the end.
    Medium,
    /// Many samples over generations.
    High,
}

impl Confidence {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Evidence {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Survivors => "survivors",
            Self::Confirmed => "confirmed_by_heap",
            Self::Backlog => "backlog",
            Self::Doubling => "doubling",
            Self::Whole => "whole_process",
        }
    }

    /// How sure it makes.
    pub fn confidence(self) -> Confidence {
        match self {
            Self::Survivors => Confidence::High,
            Self::Confirmed | Self::Backlog | Self::Doubling => Confidence::Medium,
            Self::Whole => Confidence::Low,
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Survivors | Self::Confirmed => {
                "blocks of this line are kept for good: find the collection, cycle or task that keeps them, and what should let them go"
            }
            Self::Backlog => {
                "blocks of this line are freed ever later while ever more wait: bound the queue, or drain it faster than it is filled"
            }
            Self::Doubling => {
                "one block of this line is replaced by a larger one again and again: bound the buffer, or clear and shrink it"
            }
            Self::Whole => {
                "the process grows: put the exporter into it as a library to see which line of code holds the memory"
            }
        }
    }
}

/// Samples freed at this age or above; the class that the age lies in counts in proportion.
pub(super) fn freed_old(freed: &[u32; AGES], age_ms: f64) -> f64 {
    let (mut sum, mut low, mut high) = (0.0, 0.0, 1_000.0);
    for (class, count) in freed.iter().enumerate() {
        if age_ms < high || class + 1 == AGES {
            let share = if age_ms <= low {
                1.0
            } else if class + 1 == AGES {
                low / age_ms
            } else {
                (high - age_ms) / (high - low)
            };
            sum += f64::from(*count) * share;
        }
        (low, high) = (high, high * 2.0);
    }
    sum
}

/// Whether generations of blocks stay.
pub(super) fn survivors(
    curve: &Curve,
    freed: &[u32; AGES],
    window: &Window,
    thresholds: &LeakThresholds,
) -> Option<Evidence> {
    SETTLED.iter().find_map(|settled| {
        let share = settled.max(thresholds.youngest_ratio);
        survivors_above(curve, freed, window, share, thresholds)
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "milliseconds within a window"
)]
fn survivors_above(
    curve: &Curve,
    freed: &[u32; AGES],
    window: &Window,
    share: f64,
    thresholds: &LeakThresholds,
) -> Option<Evidence> {
    let settled = window.length as f64 * share;
    let (from, to) = (window.from(), window.now.saturating_sub(settled as u64));
    let gained = curve.between(from, to);
    if gained.samples < 2.0 || gained.bytes < thresholds.minimum_bytes as f64 {
        return None;
    }
    let freed = freed_old(freed, settled);
    let old = curve.between(0, to).samples;
    if freed > thresholds.old_freed_ratio * (freed + old) {
        return None;
    }
    let mut generations = [0.0; GENERATIONS];
    let width = to.saturating_sub(from) as f64 / GENERATIONS as f64;
    let edge = |at: usize| from + (width * at as f64) as u64;
    for (at, generation) in generations.iter_mut().enumerate() {
        let end = if at + 1 == GENERATIONS {
            to
        } else {
            edge(at + 1)
        };
        *generation = curve.between(edge(at), end).samples;
    }
    let occupied = generations.iter().filter(|samples| **samples > 0.0).count();
    let third = |at: usize| generations[at * 3..at * 3 + 3].iter().sum::<f64>();
    let thirds = [third(0), third(1), third(2)];
    let heap = window.heap.map(|growth| {
        let expected = gained.bytes / to.saturating_sub(from).max(1) as f64;
        (growth, expected)
    });
    // The exact heap has the last word: what it does not show has not grown.
    if heap.is_some_and(|(growth, expected)| growth.high < thresholds.explained_ratio * expected) {
        return None;
    }
    // What grows so slowly is no batch and no load: it need not be watched for longer, and wavers.
    let slow = float(thresholds.slow_bytes);
    let is_slow = gained.bytes < slow
        && window
            .heap
            .is_none_or(|growth| growth.mean * float(window.length) < slow);
    let is_explained = heap.is_some_and(|(growth, expected)| {
        growth.is_even(thresholds.even_ratio * if is_slow { 2.0 / 3.0 } else { 1.0 })
            && growth.rate * thresholds.explained_ratio <= expected
            && growth.rate * OVERESTIMATE >= expected
    });
    // Where the subject is what the heap grows by, the heap says without chance how even that is.
    let is_uneven = heap.is_some_and(|(growth, expected)| {
        expected >= 0.6 * growth.rate.max(growth.mean) && !growth.is_even(0.5)
    });
    let windows = window.length as f64 / thresholds.window_ms().max(1) as f64;
    let is_confirmed = window.is_unusual
        && is_explained
        && freed < 0.5
        && occupied >= thresholds.confirmed_generations
        && (is_slow || windows >= thresholds.many_windows)
        && (gained.samples < thresholds.few_samples as f64
            || is_even(thirds, thresholds.plateau_ratio));
    if is_confirmed {
        return Some(Evidence::Confirmed);
    }
    // Many samples and an even heap need not wait for two windows.
    let least_windows = if is_explained && gained.samples >= thresholds.many_samples as f64 {
        thresholds.many_windows
    } else {
        thresholds.least_windows
    };
    if windows < least_windows || is_uneven || is_slowing(curve, window, thresholds) {
        return None;
    }
    let agrees =
        is_explained && freed < 0.5 && occupied >= 4 && thirds.iter().all(|third| *third > 0.0);
    let is_seen =
        occupied >= thresholds.minimum_generations && is_even(thirds, thresholds.plateau_ratio);
    (agrees || is_seen).then_some(Evidence::Survivors)
}

/// Whether growth since the start slows down, as that of a cache or a pool does while it fills. Where the subject is what the heap grows
/// by, the heap tells without chance: what came in the last half of the time against the quarter before it.
fn is_slowing(curve: &Curve, window: &Window, thresholds: &LeakThresholds) -> bool {
    let passed = window.now.saturating_sub(window.start);
    // A run that began later, behind a plateau, is measured by itself.
    let began = curve.last_run(window.length, 0).map_or(0, |run| run.first);
    let at = |share: u64| (window.start + passed / 8 * share).max(began);
    let (before, after) = (curve.between(at(2), at(4)), curve.between(at(4), at(8)));
    let by_heap = window.quarters.is_some_and(|(heap_before, heap_after)| {
        let share = (before.bytes + after.bytes) / (heap_before + heap_after).max(1.0);
        share > 0.3
            && before.samples > 0.0
            && heap_after < thresholds.slowing_heap_ratio * 2.0 * heap_before
    });
    by_heap || slows_down(curve, at(1), window, thresholds.slowing_ratio)
}

/// Whether the births of the survivors since `from` lie earlier than those of even growth would: by the mean of their logarithms, which
/// tells a power of the time below 1 better than any two counts.
fn slows_down(curve: &Curve, from: u64, window: &Window, slowing_ratio: f64) -> bool {
    let passed = float(window.now.saturating_sub(window.start)).max(1.0);
    let (mut samples, mut sum) = (0.0, 0.0);
    curve.each_since(from, |birth, count| {
        samples += count;
        sum += count * (float(birth.saturating_sub(window.start)).max(1.0) / passed).ln();
    });
    // Mean and variance of the logarithm of a number that is evenly distributed between 1/8 and 1.
    const MEAN: f64 = -0.702_9;
    const VARIANCE: f64 = 0.294_0;
    let middle = window.start + (window.now - window.start) / 2;
    let (early, late) = (
        curve.between(from, middle),
        curve.between(middle, window.now),
    );
    let z = (sum - samples * MEAN) / (samples * VARIANCE).sqrt();
    samples >= 2.0 && z < EARLIER && late.samples / 4.0 < slowing_ratio * early.samples / 3.0
}

/// Whether every third grew, and neither the first nor the last much less than the others.
fn is_even([first, middle, last]: [f64; 3], plateau_ratio: f64) -> bool {
    let is_occupied = first > 0.0 && middle > 0.0 && last > 0.0;
    is_occupied
        && !is_plateau([first, middle, last], plateau_ratio)
        && !is_plateau([last, middle, first], plateau_ratio)
}

/// Whether the last third is so much less than the others that chance is ruled out.
fn is_plateau([first, middle, last]: [f64; 3], plateau_ratio: f64) -> bool {
    let usual = (first + middle) / 2.0;
    last < plateau_ratio * usual && at_most(last, first + middle + last, 1.0 / 3.0) < CHANCE
}

/// Probability of so few successes or fewer among so many trials.
fn at_most(successes: f64, trials: f64, chance: f64) -> f64 {
    let mut term = (1.0 - chance).powf(trials);
    if term < 1e-12 {
        // So many trials that the share tells without a test.
        return 0.0;
    }
    let (mut sum, mut count) = (term, 0.0);
    while count < successes {
        term *= (trials - count) / (count + 1.0) * chance / (1.0 - chance);
        sum += term;
        count += 1.0;
    }
    sum
}

/// Whether more and more is live although old blocks are freed: at four moments of the window ever more samples, ever older ones, and
/// more than there ever was before the window.
pub(super) fn backlog(
    curve: &Curve,
    track: &Track,
    window: &Window,
    thresholds: &LeakThresholds,
) -> bool {
    let Some(heap) = window.heap.filter(|growth| growth.low > 0.0) else {
        return false;
    };
    let third = window.length / 3;
    let moments = [3, 2, 1, 0].map(|back| track.at(window.now.saturating_sub(third * back)));
    let [Some(first), Some(_), Some(_), Some(last)] = moments else {
        return false;
    };
    let mut steps = moments.windows(2);
    let grows = steps.all(|pair| match pair {
        [Some(before), Some(after)] => {
            let spread = (before.samples + after.samples).sqrt();
            after.samples - before.samples > spread && after.median_age > before.median_age
        }
        _ => false,
    });
    let gained = last.bytes - first.bytes;
    let half = window.now.saturating_sub(round(last.median_age));
    let Some(taken) = track.at(half).map(|mark| last.taken - mark.taken) else {
        return false;
    };
    // A queue frees nothing young; sessions that come and go do.
    let young = curve.between(half, window.now + 1).samples;
    grows
        && young >= thresholds.queue_kept_ratio * taken
        && last.median_age >= 1.5 * first.median_age
        && last.samples - first.samples > 4.0 * (first.samples + last.samples).sqrt()
        && gained >= float(thresholds.minimum_bytes)
        && heap.high * float(window.length) >= thresholds.explained_ratio * gained
        && !is_slowing(curve, window, thresholds)
        && !track.fell_since(window.from())
        && first.samples >= 0.8 * track.most_samples_before(window.from())
}

/// Whether few blocks were replaced by larger ones again and again: at now, half and a quarter of the time since `start` the level
/// was at least halved each time.
pub(super) fn doubling(track: &Track, now: u64, start: u64, thresholds: &LeakThresholds) -> bool {
    let passed = now.saturating_sub(start);
    if passed / 4 < thresholds.window_ms() {
        return false;
    }
    let at = |part: u64| track.at(start + passed / part);
    let (Some(last), Some(half), Some(quarter)) = (at(1), at(2), at(4)) else {
        return false;
    };
    [last, half, quarter].iter().all(|mark| mark.samples <= 1.5)
        && quarter.bytes > 0.0
        && half.bytes >= thresholds.doubling_ratio * quarter.bytes
        && last.bytes >= thresholds.doubling_ratio * half.bytes
        && last.bytes >= 8.0 * float(thresholds.minimum_bytes)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an age in milliseconds"
)]
fn round(age: f64) -> u64 {
    age as u64
}

#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_samples_count_from_an_age_on() {
        let mut freed = [0; AGES];
        (freed[0], freed[3], freed[AGES - 1]) = (10, 8, 4);
        // Class 3 is from 4 to 8 seconds, the last from 16384 on.
        assert_eq!(freed_old(&freed, 0.0), 22.0);
        assert_eq!(freed_old(&freed, 4_000.0), 12.0);
        assert_eq!(freed_old(&freed, 6_000.0), 8.0);
        assert_eq!(freed_old(&freed, 8_000.0), 4.0);
        assert_eq!(freed_old(&freed, 32_768_000.0), 2.0);
    }

    #[test]
    fn a_plateau_needs_more_than_chance() {
        assert!(is_plateau([20.0, 20.0, 2.0], 0.45));
        assert!(!is_plateau([3.0, 2.0, 1.0], 0.45), "chance");
        assert!(!is_plateau([20.0, 20.0, 15.0], 0.45));
        assert!(is_even([5.0, 6.0, 4.0], 0.45) && !is_even([0.0, 6.0, 9.0], 0.45));
        // A sum of binomial probabilities: (2/3)^3 of no success in three.
        assert!((at_most(0.0, 3.0, 1.0 / 3.0) - 8.0 / 27.0).abs() < 1e-12);
        assert_eq!(at_most(0.0, 500.0, 1.0 / 3.0), 0.0);
    }
}
