//! Tests of all sources: the exact heap and the samples come from the same process.

use super::{Block, Blocks, Cache, Segment, Source, Stream, Tick};
use crate::random::Random;
use crate::samples::{Sampling, SiteSamples};

const INTERVAL: f64 = 100_000.0;
const TICKS: usize = 40;
const LENGTH: f64 = 30.0;
const END: f64 = 1200.0;

/// What a source did: at the end of each tick its exact bytes, and their estimate from the samples; and the samples at the end.
struct Run {
    exact: Vec<f64>,
    estimated: Vec<f64>,
    site: SiteSamples,
}

fn run(mut source: impl Source, seed: u64) -> Run {
    let mut random = Random::new(seed, 0);
    let mut site = SiteSamples::default();
    let (mut exact, mut estimated) = (Vec::new(), Vec::new());
    for index in 0..TICKS {
        let from = index as f64 * LENGTH;
        let tick = Tick {
            index,
            of: TICKS,
            from,
            to: from + LENGTH,
        };
        let others = source.advance(tick, &mut random, &mut site);
        let mut cohorts = Vec::new();
        exact.push(others + site.settle(tick.to, 0, &mut cohorts));
        estimated.push(cohorts.iter().map(|cohort| f64::from(cohort.bytes)).sum());
    }
    Run {
        exact,
        estimated,
        site,
    }
}

/// Means over many runs, at the end of each tick, of the exact bytes and of the estimate.
fn means<S: Source>(mut source: impl FnMut() -> S) -> (Vec<f64>, Vec<f64>) {
    const RUNS: u64 = 400;
    let (mut exact, mut estimated) = (vec![0.0; TICKS], vec![0.0; TICKS]);
    for seed in 0..RUNS {
        let run = run(source(), seed);
        for tick in 0..TICKS {
            exact[tick] += run.exact[tick] / RUNS as f64;
            estimated[tick] += run.estimated[tick] / RUNS as f64;
        }
    }
    (exact, estimated)
}

#[track_caller]
fn assert_near(what: &str, tick: usize, value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{what} in tick {tick}: {value:.0}, expected {expected:.0} ± {tolerance:.0}"
    );
}

#[test]
fn exponential_lives_approach_their_level() {
    let sampling = Sampling::new(2000.0, INTERVAL);
    let rate = 10_000.0;
    let (exact, estimated) =
        means(|| Stream::exponential(sampling, 90.0, vec![Segment::kept(45.0, END, rate)]));
    for tick in 0..TICKS {
        let since = ((tick + 1) as f64 * LENGTH - 45.0).max(0.0);
        let expected = rate * 90.0 * (1.0 - (-since / 90.0).exp());
        assert_near("exact", tick, exact[tick], expected, 9_000.0);
        assert_near("estimate", tick, estimated[tick], expected, 60_000.0);
    }
}

#[test]
fn exponential_lives_fluctuate_as_poisson_numbers_do() {
    let sampling = Sampling::new(2000.0, INTERVAL);
    let levels: Vec<f64> = (0..400)
        .map(|seed| {
            run(
                Stream::exponential(sampling, 60.0, vec![Segment::kept(0.0, END, 10_000.0)]),
                seed,
            )
            .exact[TICKS - 1]
        })
        .collect();
    let blocks = 10_000.0 * 60.0 / 2000.0;
    let variance = levels
        .iter()
        .map(|level| (level / 2000.0 - blocks).powi(2))
        .sum::<f64>()
        / 400.0;
    assert!(
        (0.75..1.25).contains(&(variance / blocks)),
        "variance {variance:.0} of {blocks} blocks"
    );
}

#[test]
fn planned_deaths_are_those_of_the_samples() {
    let sampling = Sampling::new(500.0, INTERVAL);
    // A queue whose messages wait ever longer, after one where they wait two and a half ticks.
    let queue = || {
        let slower = Segment {
            from: 300.0,
            to: END,
            rate: 20_000.0,
            first_death: 375.0,
            last_death: 375.0 + 1.5 * (END - 300.0),
        };
        Stream::scheduled(
            sampling,
            vec![Segment::for_each(0.0, 300.0, 20_000.0, 75.0), slower],
        )
    };
    let (exact, estimated) = means(queue);
    for tick in 0..TICKS {
        let time = (tick + 1) as f64 * LENGTH;
        // Who dies at `time` was born so long ago.
        let oldest = if time <= 375.0 {
            time - 75.0
        } else {
            300.0 + (time - 375.0) / 1.5
        };
        let expected = 20_000.0 * (time - oldest.max(0.0));
        assert_near("exact", tick, exact[tick], expected, 10_000.0);
        assert_near(
            "estimate",
            tick,
            estimated[tick],
            expected,
            0.08 * expected + 10_000.0,
        );
    }
}

#[test]
fn all_freed_at_once_leaves_nothing() {
    let sampling = Sampling::new(500.0, INTERVAL);
    let run = run(
        Stream::scheduled(sampling, vec![Segment::until(10.0, 100.0, 1e6, 400.0)]),
        1,
    );
    assert!(run.exact[12] > 80e6, "{}", run.exact[12]);
    for tick in 13..TICKS {
        assert_near("exact", tick, run.exact[tick], 0.0, 1.0);
        assert_near("estimate", tick, run.estimated[tick], 0.0, 0.0);
    }
}

#[test]
fn freed_samples_are_classed_by_their_life() {
    let mean = 10.0_f64;
    let run = run(
        Stream::exponential(
            Sampling::new(2000.0, INTERVAL),
            mean,
            vec![Segment::kept(0.0, END, 3e6)],
        ),
        1,
    );
    let all: u32 = run.site.freed.iter().sum();
    assert!(all > 30_000, "{all}");
    for (class, &freed) in run.site.freed.iter().enumerate().take(8) {
        let from = if class == 0 {
            0.0
        } else {
            (class as f64 - 1.0).exp2()
        };
        let expected = (-from / mean).exp() - (-(class as f64).exp2() / mean).exp();
        let share = f64::from(freed) / f64::from(all);
        assert!(
            (share - expected).abs() < 0.01,
            "class {class}: {share:.4}, expected {expected:.4}"
        );
    }
}

#[test]
fn planned_blocks_are_held_exactly() {
    let blocks = vec![
        Block {
            birth: 40.0,
            death: f64::INFINITY,
            size: 1000.0,
        },
        Block {
            birth: 10.0,
            death: 95.0,
            size: 500_000.0,
        },
    ];
    let run = run(Blocks::new(INTERVAL, blocks), 1);
    assert_eq!(run.exact[..4], [500_000.0, 501_000.0, 501_000.0, 1000.0]);
    assert_eq!(run.site.freed[7], 1, "85 s lie between 64 and 128");
}

#[test]
fn a_cache_keeps_its_capacity() {
    for exponent in [0.3, 0.8] {
        let cache = || Cache {
            sampling: Sampling::new(500.0, INTERVAL),
            capacity: 10e6,
            full: 400.0,
            exponent,
        };
        let (exact, estimated) = means(cache);
        for tick in 0..TICKS {
            let time = (tick + 1) as f64 * LENGTH;
            let expected = 10e6 * (time / 400.0).min(1.0).powf(exponent);
            assert_near("exact", tick, exact[tick], expected, 1.0);
            assert_near("estimate", tick, estimated[tick], expected, 0.03 * expected);
        }
        assert!(
            run(cache(), 1).site.freed.iter().sum::<u32>() > 0,
            "misses evict"
        );
    }
}
