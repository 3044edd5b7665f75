//! The growth verdict: does resident memory grow, and which part of it.
//!
//! Resident memory is cut into parts that add up to it: what the program holds (`leak`), the room beside that in pages which hold a
//! live block (`fragmentation`), pages that jemalloc keeps without one (`retention`), files and shared memory (`page_cache`), and
//! the rest of anonymous memory (`non_heap`). Without jemalloc the allocator's own part cannot be told from the rest, and of a foreign
//! process neither can what it holds: that part has no name, and while it is the one that grows there is no verdict.

use std::time::{Duration, SystemTime};

use crate::catalog::Verdict;
use crate::snapshot::{Growth, PartGrowth, Parts, Point};

use super::tracker::{MOST_BLOCKS, Slope, blocks, rate, slope};

/// No older points are looked at.
pub(crate) const REACH: Duration = Duration::from_secs(4_500);
/// Windows, in seconds: what the shorter one does not show the longer one may.
const WINDOWS: [f64; 2] = [600.0, 3_600.0];
/// Fewest points.
const FEWEST: usize = 7;
/// Shortest history, in seconds, unless there are ...
const LEAST: f64 = 120.0;
/// ... so many points.
const MANY: usize = 15;
/// Least growth within a window: so many bytes, more by the root of what a shorter one lacks, as everything grows a little at start, ...
const LEAST_BYTES: f64 = 1_048_576.0;
/// ... and this part of what is resident.
const LEAST_RATIO: f64 = 0.005;
/// Before it is called stable again, growth must fall below this part of the least growth.
const STILL: f64 = 0.5;
/// Shares that lie no further apart are about the same; the part that is named is the first of them in the list.
const ABOUT: f64 = 0.15;
/// Whether it grew before is asked of a window that ended this part of it earlier.
const EARLIER: f64 = 0.25;
/// A last third that grows less than this part of the whole is a plateau.
const PLATEAU: f64 = 0.25;

/// A part of resident memory: its verdict, where it has one, and how large it is.
type Part = (Option<Verdict>, fn(&Parts) -> Option<f64>);

const WITH_JEMALLOC: &[Part] = &[
    (Some(Verdict::Leak), Parts::heap),
    (Some(Verdict::Fragmentation), |parts| {
        Some(parts.active()? - parts.heap()?)
    }),
    (Some(Verdict::Retention), |parts| {
        Some(parts.resident()? - parts.active()?)
    }),
    (Some(Verdict::PageCache), Parts::file),
    (Some(Verdict::NonHeap), |parts| {
        Some(parts.anon()? - parts.resident()?)
    }),
];
const WITH_COUNTERS: &[Part] = &[
    (Some(Verdict::Leak), Parts::heap),
    (Some(Verdict::PageCache), Parts::file),
    (None, |parts| Some(parts.anon()? - parts.heap()?)),
];
const FROM_OUTSIDE: &[Part] = &[(Some(Verdict::PageCache), Parts::file), (None, Parts::anon)];

/// How resident memory grows up to `now`; absent where the kernel does not say what it consists of, and while there is little history.
///
/// It is looked at over ten minutes, and if nothing grows over an hour, or over as much of that as there is history. What grew
/// a quarter of the window ago needs half as much to go on growing, which follows from the points too.
pub(crate) fn growth<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    now: SystemTime,
) -> Option<Growth> {
    let ago = |point: &Point| now.duration_since(point.time).ok();
    let known: Vec<(f64, Parts)> = points
        .into_iter()
        .filter_map(|point| Some((-ago(point)?.as_secs_f64(), point.parts)))
        .filter(|(_, parts)| total(parts).is_some())
        .collect();
    let (last, of) = (known.last()?, known.first()?.0);
    let parts = [WITH_JEMALLOC, WITH_COUNTERS, FROM_OUTSIDE]
        .into_iter()
        .find(|parts| parts.iter().all(|(_, size)| size(&last.1).is_some()))?;
    let mut found: Option<Growth> = None;
    for window in WINDOWS {
        let window = window.min(-of);
        let earlier = -window * EARLIER;
        let did_grow = within(&known, earlier - window, earlier).is_some_and(|within| {
            let whole = course(within, total);
            slope(&whole).is_some_and(|slope| is_growth(&whole, &slope, false))
        });
        let Some(growth) =
            within(&known, -window, 0.0).and_then(|within| judge(within, parts, did_grow))
        else {
            break;
        };
        let grows = growth.verdict != Some(Verdict::Stable);
        if grows || found.is_none() {
            found = Some(growth);
        }
        if grows || window >= -of {
            break;
        }
    }
    found
}

fn total(parts: &Parts) -> Option<f64> {
    Some(parts.anon()? + parts.file()?)
}

/// Points from one time until another, if they are enough to judge by.
fn within(known: &[(f64, Parts)], from: f64, until: f64) -> Option<&[(f64, Parts)]> {
    let first = known.partition_point(|(time, _)| *time < from);
    let end = known.partition_point(|(time, _)| *time <= until);
    let within = known.get(first..end)?;
    let covered = within.last()?.0 - within.first()?.0;
    let is_enough = within.len() >= FEWEST && (covered >= LEAST || within.len() >= MANY);
    is_enough.then_some(within)
}

/// A size in the course of time.
fn course(within: &[(f64, Parts)], size: impl Fn(&Parts) -> Option<f64>) -> Vec<(f64, f64)> {
    let sizes = within
        .iter()
        .filter_map(|(time, parts)| Some((*time, size(parts)?)));
    blocks(&sizes.collect::<Vec<_>>(), MOST_BLOCKS)
}

/// The verdict of one window.
fn judge(within: &[(f64, Parts)], parts: &[Part], did_grow: bool) -> Option<Growth> {
    let whole = course(within, total);
    let all = slope(&whole)?;
    let covered = within.last()?.0 - within.first()?.0;
    let mut growth = Growth::new(
        Duration::from_secs_f64(covered),
        all.per_second,
        all.lowest,
        all.highest,
    );
    let rates: Vec<_> = parts
        .iter()
        .map(|(verdict, size)| (*verdict, rate(&course(within, size)).unwrap_or(0.0)))
        .collect();
    let growing: f64 = rates.iter().map(|(_, rate)| rate.max(0.0)).sum();
    growth.parts = rates
        .iter()
        .map(|(verdict, rate)| {
            let share = if growing > 0.0 {
                rate.max(0.0) / growing
            } else {
                0.0
            };
            PartGrowth::new(*verdict, *rate, share)
        })
        .collect();
    growth.verdict = if is_growth(&whole, &all, did_grow) {
        largest(&growth.parts)
    } else {
        Some(Verdict::Stable)
    };
    Some(growth)
}

/// Whether it grows beyond doubt, enough to matter and more than it wavers, and has not stopped.
fn is_growth(whole: &[(f64, f64)], all: &Slope, did_grow: bool) -> bool {
    let (Some(first), Some(last), Some(middle)) =
        (whole.first(), whole.last(), whole.get(whole.len() / 2))
    else {
        return false;
    };
    let covered = last.0 - first.0;
    let bytes = LEAST_BYTES * (WINDOWS[0] / covered).sqrt().max(1.0);
    let least = bytes.max(LEAST_RATIO * middle.1) * if did_grow { STILL } else { 1.0 };
    let grown = all.per_second * covered;
    if !all.is_growth() || grown < least || grown < wavering(whole, all.per_second) {
        return false;
    }
    let last_third = &whole[whole.len() - whole.len() / 3..];
    let has_stopped = last_third.len() >= FEWEST
        && slope(last_third).is_some_and(|last| last.highest < all.per_second * PLATEAU);
    !has_stopped
}

/// How far the levels lie apart beside their growth, the outermost tenths left out.
fn wavering(levels: &[(f64, f64)], per_second: f64) -> f64 {
    let mut beside: Vec<_> = levels
        .iter()
        .map(|(time, level)| level - per_second * time)
        .collect();
    beside.sort_unstable_by(f64::total_cmp);
    let tenth = beside.len() / 10;
    match (beside.get(tenth), beside.iter().rev().nth(tenth)) {
        (Some(low), Some(high)) => high - low,
        _ => 0.0,
    }
}

/// The part that grows most; of several with about the same share the first, so that they do not take turns.
fn largest(parts: &[PartGrowth]) -> Option<Verdict> {
    let most = parts.iter().map(|part| part.share).max_by(f64::total_cmp)?;
    parts
        .iter()
        .find(|part| part.share + ABOUT >= most)?
        .verdict
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]
mod tests {
    use super::*;

    /// Sizes in MB: heap, active, resident, anonymous, file.
    type Sizes = [f64; 5];

    const START: Sizes = [80.0, 100.0, 120.0, 130.0, 50.0];

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    /// Every `interval` until `now`; -1 for a size that nobody knows.
    fn record(sizes: &dyn Fn(f64) -> Sizes, interval: f64, now: f64) -> Vec<Point> {
        let moments = (now / interval) as u32;
        let bytes = |size: f64| (size >= 0.0).then_some((size * 1_048_576.0) as u64);
        (0..=moments)
            .map(|moment| f64::from(moment) * interval)
            .map(|at| Point::at(at, Parts::resident_memory(sizes(at).map(bytes))))
            .collect()
    }

    fn found(sizes: &dyn Fn(f64) -> Sizes, interval: f64, now: f64) -> Option<Growth> {
        growth(&record(sizes, interval, now), at(now))
    }

    fn verdict(sizes: &dyn Fn(f64) -> Sizes, interval: f64, now: f64) -> Option<&'static str> {
        found(sizes, interval, now)?.verdict.map(Verdict::as_str)
    }

    /// Adds to these sizes, from the first on which it shows.
    fn more(by: f64, of: [usize; 5]) -> Sizes {
        let mut sizes = START;
        for (size, times) in sizes.iter_mut().zip(of) {
            *size += by * [0.0, 1.0][times];
        }
        sizes
    }

    #[test]
    fn the_part_that_grows_is_named() {
        let parts: [(&str, [usize; 5]); 5] = [
            ("leak", [1, 1, 1, 1, 0]),
            ("fragmentation", [0, 1, 1, 1, 0]),
            ("retention", [0, 0, 1, 1, 0]),
            ("non_heap", [0, 0, 0, 1, 0]),
            ("page_cache", [0, 0, 0, 0, 1]),
        ];
        for (name, of) in parts {
            for (interval, now, per_second) in
                [(1.0, 20.0, 0.5), (5.0, 300.0, 0.05), (30.0, 7_200.0, 0.01)]
            {
                let growth = found(&|t| more(t * per_second, of), interval, now).unwrap();
                assert_eq!(
                    growth.verdict.map(Verdict::as_str),
                    Some(name),
                    "every {interval} s"
                );
                let part = growth
                    .parts
                    .iter()
                    .find(|part| part.verdict == growth.verdict);
                let part = part.unwrap();
                assert!(part.share > 0.999, "{growth:?}");
                let rate = per_second * 1_048_576.0;
                for found in [growth.bytes_per_second, part.bytes_per_second] {
                    assert!(
                        (found / rate - 1.0).abs() < 0.01,
                        "{name}: {found} and {rate}"
                    );
                }
                assert_eq!(growth.parts.len(), 5);
            }
        }
    }

    #[test]
    fn shares_are_those_of_what_grows() {
        let growth = found(
            &|t| {
                [
                    80.0 + t * 0.3,
                    100.0 + t * 0.4,
                    130.0 + t * 0.4,
                    150.0 + t * 0.3,
                    50.0 + t * 0.2,
                ]
            },
            1.0,
            60.0,
        );
        let growth = growth.unwrap();
        assert_eq!(growth.verdict, Some(Verdict::Leak));
        let shares: Vec<_> = growth
            .parts
            .iter()
            .map(|part| (part.share * 100.0).round())
            .collect();
        assert_eq!(shares, [50.0, 17.0, 0.0, 33.0, 0.0]);
        assert!(
            growth.parts[4].bytes_per_second < 0.0,
            "what shrinks says so"
        );
    }

    #[test]
    fn what_does_not_grow_is_stable() {
        let noise = |t: f64| ((t * 12.989_8).sin() * 43_758.545).rem_euclid(6.0);
        let calm: [(&str, &dyn Fn(f64) -> Sizes); 6] = [
            ("flat", &|_| START),
            ("churn", &|t| more(10.0 + noise(t), [1, 1, 1, 1, 0])),
            ("shrinking", &|t| more(50.0 - t / 200.0, [1, 1, 1, 1, 0])),
            ("little", &|t| more(t / 36_000.0, [1, 1, 1, 1, 0])),
            ("heap instead of cache", &|t| {
                let mut sizes = more(t / 100.0, [1, 1, 1, 1, 0]);
                sizes[4] += 100.0 - t / 100.0;
                sizes
            }),
            ("filled", &|t| more((t / 2.0).min(200.0), [1, 1, 1, 1, 0])),
        ];
        for interval in [1.0, 5.0, 30.0] {
            for (name, sizes) in calm {
                for minute in 30..90 {
                    let now = f64::from(minute) * 60.0;
                    let verdict = verdict(sizes, interval, now);
                    assert_eq!(
                        verdict,
                        Some("stable"),
                        "{name}, every {interval} s, at {minute} min"
                    );
                }
            }
        }
    }

    #[test]
    fn with_little_history_nothing_is_said() {
        let leak = |t: f64| more(t, [1, 1, 1, 1, 0]);
        assert_eq!(found(&leak, 1.0, 13.0), None);
        assert_eq!(verdict(&leak, 1.0, 14.0), Some("leak"), "fifteen points");
        assert_eq!(found(&leak, 30.0, 150.0), None);
        assert_eq!(
            verdict(&leak, 30.0, 180.0),
            Some("leak"),
            "seven points and three minutes"
        );
        assert_eq!(growth(&[], at(0.0)), None);
    }

    #[test]
    fn a_slow_leak_shows_over_an_hour() {
        let slow = |t: f64| more(t / 2_400.0, [1, 1, 1, 1, 0]);
        assert_eq!(
            verdict(&slow, 30.0, 1_200.0),
            Some("stable"),
            "half a MB in twenty minutes"
        );
        let growth = found(&slow, 30.0, 7_200.0).unwrap();
        assert_eq!(
            (growth.verdict, growth.window.as_secs()),
            (Some(Verdict::Leak), 3_600)
        );
    }

    /// It grew for most of the window, and has stopped.
    #[test]
    fn what_has_filled_is_stable_at_once() {
        let filled = |t: f64| more(t.min(380.0) / 10.0, [1, 1, 1, 1, 0]);
        assert_eq!(verdict(&filled, 1.0, 380.0), Some("leak"));
        assert_eq!(verdict(&filled, 1.0, 600.0), Some("stable"));
    }

    /// Growth between half the least growth and the least goes on to count, and does not begin to.
    #[test]
    fn what_grew_needs_less_to_go_on() {
        let slower = |t: f64| {
            let slow = (t - 3_000.0).max(0.0) * 0.7 / 600.0;
            more(t.min(3_000.0) / 300.0 + slow, [1, 1, 1, 1, 0])
        };
        let growth = found(&slower, 5.0, 3_450.0).unwrap();
        let window = growth.window.as_secs();
        assert_eq!(
            (growth.verdict, window),
            (Some(Verdict::Leak), 600),
            "it grew before"
        );
        let slow = |t: f64| more(t * 0.7 / 600.0, [1, 1, 1, 1, 0]);
        assert_eq!(verdict(&slow, 5.0, 600.0), Some("stable"), "it did not");
    }

    /// Growth that lies now above, now below the threshold does not flap, nor do two parts of about the same growth.
    #[test]
    fn the_verdict_does_not_flap() {
        let changes = |sizes: &dyn Fn(f64) -> Sizes| {
            let verdicts: Vec<_> = (400..800)
                .map(|moment| verdict(sizes, 30.0, f64::from(moment) * 30.0))
                .collect();
            verdicts
                .windows(2)
                .filter(|pair| pair[0] != pair[1])
                .count()
        };
        let waver = |t: f64| (t / 170.0).sin();
        let threshold = changes(&|t| more(t / 600.0 * 1.0 + 0.3 * waver(t), [1, 1, 1, 1, 0]));
        assert!(threshold <= 2, "{threshold} changes at the threshold");
        let parts = changes(&|t| {
            let mut sizes = more(t / 100.0 + 0.2 * waver(t), [1, 1, 1, 1, 0]);
            sizes[4] += t / 100.0 - 0.2 * waver(t);
            sizes
        });
        assert!(parts <= 2, "{parts} changes between two parts");
    }

    /// Without the allocator's word anonymous memory has no name.
    #[test]
    fn what_cannot_be_told_apart_is_not_named() {
        let foreign =
            |t: f64, anon: f64, file: f64| [-1.0, -1.0, -1.0, 100.0 + t * anon, 50.0 + t * file];
        let growth = found(&|t| foreign(t, 1.0, 0.1), 1.0, 60.0).unwrap();
        assert_eq!((growth.verdict, growth.parts.len()), (None, 2));
        assert!(growth.parts[1].share > 0.9 && growth.parts[1].verdict.is_none());
        assert_eq!(
            verdict(&|t| foreign(t, 0.1, 1.0), 1.0, 60.0),
            Some("page_cache")
        );
        assert_eq!(
            verdict(&|t| foreign(t, 0.0, 0.0), 1.0, 60.0),
            Some("stable")
        );
        let counted =
            |t: f64, heap: f64, anon: f64| [50.0 + t * heap, -1.0, -1.0, 100.0 + t * anon, 50.0];
        assert_eq!(verdict(&|t| counted(t, 1.0, 1.1), 1.0, 60.0), Some("leak"));
        assert_eq!(verdict(&|t| counted(t, 0.1, 1.0), 1.0, 60.0), None);
        assert_eq!(found(&|_| [50.0, -1.0, -1.0, -1.0, -1.0], 1.0, 60.0), None);
    }
}
