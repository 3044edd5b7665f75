//! The simulator as a whole: what it tells a detector is true of what it simulates.

use std::collections::BTreeMap;

use leaks::{Kind, Leak, Profile, simulate, simulate_for};
use memory_exporter::analysis::leak::{Cohort, Observation};

const MEGABYTE: f64 = 1e6;

fn estimate(observation: &Observation) -> f64 {
    observation
        .cohorts
        .iter()
        .map(|cohort| f64::from(cohort.bytes))
        .sum()
}

fn heap(observation: &Observation) -> f64 {
    observation.heap_bytes.unwrap_or_default() as f64
}

/// Estimated live bytes of a leak's sites.
fn leaked(observation: &Observation, leak: &Leak) -> f64 {
    let sites = observation.sites.iter().filter(|site| leak.has(site.site));
    sites
        .flat_map(|site| &observation.cohorts[site.cohorts.clone()])
        .map(|cohort| f64::from(cohort.bytes))
        .sum()
}

/// Mean heap between two minutes of a run.
fn mean_heap(observations: &[Observation], from: usize, to: usize) -> f64 {
    observations[2 * from..2 * to].iter().map(heap).sum::<f64>() / (2 * (to - from)) as f64
}

/// Variance of the estimate of an observation, itself estimated: a sample that stands for w bytes and was taken with probability p
/// adds w² (1 - p).
fn variance(observation: &Observation) -> f64 {
    let of_cohort = |cohort: &Cohort| {
        let samples = f64::from(cohort.samples);
        let weight = f64::from(cohort.bytes) / samples;
        samples * weight * weight * (1.0 - samples / f64::from(cohort.objects))
    };
    observation.cohorts.iter().map(of_cohort).sum()
}

#[test]
fn estimates_agree_with_the_exact_heap() {
    let (mut all_error, mut all_square, mut all_variance) = (0.0, 0.0, 0.0);
    for kind in Kind::ALL {
        let (mut error, mut square, mut expected) = (0.0, 0.0, 0.0);
        for seed in 0..40 {
            for observation in simulate(kind, seed, 200.0, Profile::PRODUCTION)
                .skip(119)
                .step_by(120)
            {
                let difference = estimate(&observation) - heap(&observation);
                error += difference;
                square += difference * difference;
                expected += variance(&observation);
            }
        }
        let name = kind.name();
        // Observations of one run share most of their samples: 40 of the 160 are independent at worst, and the greatest heaps weigh most.
        let deviations = error / 160.0 / (expected / 160.0 / 40.0_f64).sqrt();
        assert!(
            deviations.abs() < 4.0,
            "{name}: off by {deviations:.2} deviations"
        );
        let ratio = square / expected;
        assert!(
            (0.4..2.0).contains(&ratio),
            "{name}: {ratio:.2} of the variance"
        );
        all_error += error;
        all_square += square;
        all_variance += expected;
    }
    let deviations = all_error / 4800.0 / (all_variance / 4800.0 / 1200.0_f64).sqrt();
    assert!(deviations.abs() < 3.5, "off by {deviations:.2} deviations");
    let ratio = all_square / all_variance;
    assert!((0.85..1.15).contains(&ratio), "{ratio:.2} of the variance");
}

#[test]
fn leaks_grow_at_the_stated_rate() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_leak()) {
        // A block that doubles is between one and two times its content; the table of a map as well.
        let (low, high) = match kind {
            Kind::GrowingVec => (0.9, 2.1),
            Kind::UnboundedMap => (0.97, 1.6),
            // Two hours after the onset and later it grows at eight times its nominal rate.
            Kind::Exponential => (1.5, 8.0),
            _ => (0.93, 1.07),
        };
        let (mut grown, mut expected) = (0.0, 0.0);
        for seed in 0..40 {
            let simulation = simulate(kind, seed, 200.0, Profile::PRODUCTION);
            let truth = simulation.truth().clone();
            assert_eq!(
                truth.leaks.len(),
                if kind == Kind::TwoLeaks { 2 } else { 1 }
            );
            let observations: Vec<_> = simulation.collect();
            let last = observations.last().unwrap();
            for leak in &truth.leaks {
                // Half an hour later, churn at the same site has reached its level.
                let first = observations
                    .iter()
                    .find(|observation| observation.time >= leak.onset_ms + 1_800_000)
                    .unwrap();
                let hours = (last.time - first.time) as f64 / 3_600_000.0;
                grown += leaked(last, leak) - leaked(first, leak);
                expected += leak.megabytes_per_hour * MEGABYTE * hours;
            }
        }
        let ratio = grown / expected;
        assert!(
            (low..high).contains(&ratio),
            "{}: grew by {ratio:.3} of what was stated",
            kind.name()
        );
    }
}

#[test]
fn leaks_do_not_grow_before_their_onset() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_leak()) {
        let mut at_start = 0;
        for seed in 0..30 {
            let simulation = simulate(kind, seed, 200.0, Profile::PRODUCTION);
            let (start, leak) = (simulation.start(), simulation.truth().leaks[0].clone());
            let minutes = (leak.onset_ms - start) / 60_000;
            at_start += u32::from(minutes == 0);
            assert!(
                minutes == 0 || (20..=90).contains(&minutes),
                "{}: {minutes}",
                kind.name()
            );
            if minutes > 0 && kind == Kind::Steady {
                // The oldest blocks are those of the leak.
                let last = simulation.last().unwrap();
                let site = last
                    .sites
                    .iter()
                    .find(|site| site.site == leak.site)
                    .unwrap();
                assert!(last.cohorts[site.cohorts.start].birth >= leak.onset_ms / 1000 * 1000);
            }
        }
        if kind != Kind::BehindPlateau {
            assert!(
                (3..=18).contains(&at_start),
                "{}: {at_start} of 30 begin with the process",
                kind.name()
            );
        }
    }
}

/// Innocent kinds whose level goes up and down to the end.
const MOVING: [Kind; 5] = [
    Kind::Sawtooth,
    Kind::PeriodicBatch,
    Kind::Diurnal,
    Kind::RandomWalk,
    Kind::TwoLevels,
];

#[test]
fn innocent_kinds_end_up_flat() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_leak()) {
        let mut growth = Vec::new();
        for seed in 0..40 {
            let simulation = simulate(kind, seed, 0.0, Profile::PRODUCTION);
            assert!(simulation.truth().leaks.is_empty());
            let observations: Vec<_> = simulation.collect();
            growth.push(
                mean_heap(&observations, 231, 240) / mean_heap(&observations, 222, 231) - 1.0,
            );
        }
        let count = growth.len() as f64;
        let mean = growth.iter().sum::<f64>() / count;
        let variance = growth
            .iter()
            .map(|growth| (growth - mean).powi(2))
            .sum::<f64>()
            / count;
        let error = (variance / count).sqrt();
        let name = kind.name();
        assert!(
            mean.abs() < 0.005 + 3.5 * error,
            "{name}: {mean:.3} ± {error:.3} in ten minutes"
        );
        // Load and its likes go up and down; everything else is settled in every run.
        if !MOVING.contains(&kind) {
            let most = growth.iter().copied().fold(0.0, f64::max);
            assert!(
                most < 0.12,
                "{name}: one run grew by {most:.3} in ten minutes"
            );
        }
    }
}

#[test]
fn a_seed_gives_one_run() {
    let text = |seed, rate| {
        format!(
            "{:?}",
            simulate(Kind::UnderChurn, seed, rate, Profile::DEVELOPMENT)
                .take(500)
                .last()
                .unwrap()
        )
    };
    assert_eq!(text(3, 60.0), text(3, 60.0));
    assert_ne!(text(3, 60.0), text(4, 60.0));

    let mut reused = Observation::default();
    let mut simulation = simulate(Kind::Bursty, 5, 50.0, Profile::PRODUCTION);
    for observation in simulate(Kind::Bursty, 5, 50.0, Profile::PRODUCTION) {
        assert!(simulation.observe(&mut reused));
        assert_eq!(format!("{observation:?}"), format!("{reused:?}"));
    }
    assert!(!simulation.observe(&mut reused));
}

#[test]
fn observations_keep_their_form() {
    for kind in Kind::ALL {
        for profile in [Profile::PRODUCTION, Profile::DEVELOPMENT] {
            let mut before: BTreeMap<u32, (u64, Vec<u32>)> = BTreeMap::new();
            let mut time = None;
            for observation in simulate(kind, 11, 50.0, profile) {
                if let Some(time) = time {
                    assert_eq!(
                        (observation.time - time) as f64,
                        profile.tick_seconds * 1000.0
                    );
                }
                time = Some(observation.time);
                let mut next = 0;
                for site in &observation.sites {
                    assert_eq!(
                        site.cohorts.start, next,
                        "the cohorts of a site lie together"
                    );
                    next = site.cohorts.end;
                    let cohorts = &observation.cohorts[site.cohorts.clone()];
                    assert!(
                        cohorts.is_sorted_by(|a, b| a.birth < b.birth),
                        "oldest first, one a second"
                    );
                    assert!(
                        cohorts
                            .iter()
                            .all(|cohort| cohort.birth % 1000 == 0
                                && cohort.birth <= observation.time)
                    );
                    let live: u32 = cohorts.iter().map(|cohort| cohort.samples).sum();
                    let freed: u32 = site.freed.iter().sum();
                    assert_eq!(
                        site.samples,
                        u64::from(live + freed),
                        "a sample lives or was freed"
                    );
                    if let Some((samples, freed)) =
                        before.insert(site.site, (site.samples, site.freed.to_vec()))
                    {
                        assert!(samples <= site.samples, "counts never fall");
                        assert!(
                            freed
                                .iter()
                                .zip(site.freed)
                                .all(|(&before, now)| before <= now)
                        );
                    }
                }
                assert_eq!(next, observation.cohorts.len());
            }
        }
    }
}

#[test]
fn services_have_the_size_that_they_should() {
    for seed in 0..100 {
        // Nothing is added to the heap of this kind.
        let last = simulate(Kind::PageCache, seed, 0.0, Profile::PRODUCTION)
            .last()
            .unwrap();
        let megabytes = heap(&last) / MEGABYTE;
        assert!(
            (15.0..500.0).contains(&megabytes),
            "seed {seed}: {megabytes:.0} MB"
        );
        assert!(
            (8..=62).contains(&last.sites.len()),
            "seed {seed}: {} sites",
            last.sites.len()
        );
        let mut ids: Vec<u32> = last.sites.iter().map(|site| site.site).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.len(),
            last.sites.len(),
            "seed {seed}: sites with the same number"
        );
    }
}

#[test]
fn the_resident_set_covers_the_heap_and_shows_what_the_heap_does_not() {
    for kind in Kind::ALL {
        let observations: Vec<_> = simulate(kind, 7, 50.0, Profile::PRODUCTION).collect();
        for observation in &observations {
            let rest = observation.rss_bytes.unwrap() as f64 - heap(observation);
            assert!(rest > 20.0 * MEGABYTE, "{}: {rest}", kind.name());
        }
        let rest = |at: usize| observations[at].rss_bytes.unwrap() as f64 / heap(&observations[at]);
        if [Kind::Fragmentation, Kind::PageCache].contains(&kind) {
            assert!(
                rest(479) > 1.3 * rest(20),
                "{}: {} after {}",
                kind.name(),
                rest(479),
                rest(20)
            );
        }
    }
}

#[test]
fn a_run_that_ends_before_the_onset_has_no_leak() {
    let leaks = |hours| {
        let truths =
            (0..40).map(|seed| simulate_for(Kind::Steady, seed, 50.0, Profile::PRODUCTION, hours));
        truths
            .filter(|simulation| !simulation.truth().leaks.is_empty())
            .count()
    };
    assert_eq!(leaks(1.6), 40);
    assert!(
        (5..=22).contains(&leaks(0.3)),
        "those that begin with the process"
    );
    assert_eq!(
        simulate_for(Kind::Steady, 1, 50.0, Profile::PRODUCTION, 0.3).count(),
        36
    );
}
