//! The detector on sites whose every sample is written down: small enough to see why it says what it says. How it fares on whole services
//! with all their noise is measured by `benches/leaks`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of a test"
)]

use super::fixture::{FOR_EVER, MB, MINUTE, START, Site, observe, run};
use super::*;
use crate::config::LeakThresholds;
use crate::heap::AGES;

#[test]
fn a_leak_is_opened_measured_and_closed() {
    // 120 MB/h from the 40th minute to the 100th.
    let sites = [
        Site::steady(1, 1.0, 40.0, 100.0, FOR_EVER),
        Site::steady(2, 0.5, 0.0, 200.0, 3.0).of("sessions"),
    ];
    let (changes, detector) = run(&sites, 90);
    let Some((minute, Change::Opened(suspect))) = changes.first() else {
        panic!("{changes:?}");
    };
    assert!((43.0..50.0).contains(minute), "opened at {minute}");
    assert_eq!(
        (&*suspect.component, suspect.parts[0].sites[0]),
        ("cache", 1)
    );
    let suspect = &detector.suspects()[0];
    assert!(
        (suspect.growth() / MB - 120.0).abs() < 15.0,
        "{}",
        suspect.growth() / MB
    );
    assert!(
        (suspect.bytes() / MB - 100.0).abs() < 5.0,
        "{}",
        suspect.bytes() / MB
    );
    let since = suspect.since().saturating_sub(START) / MINUTE;
    assert!((38..=41).contains(&since), "since minute {since}");
    assert!(suspect.parts[0].fit > 0.98 && suspect.parts[0].generations >= 50);
    assert_eq!(suspect.severity, Severity::Critical);
    assert!(detector.added().values().sum::<f64>() > 10_000.0);

    let (changes, detector) = run(&sites, 140);
    assert!(detector.suspects().is_empty());
    let Some((minute, Change::Closed(suspect))) = changes.last() else {
        panic!("{changes:?}");
    };
    assert!((108.0..120.0).contains(minute), "closed at {minute}");
    assert_eq!(suspect.closed.map(|(_, why)| why), Some(Closed::Stopped));
    assert_eq!((detector.opened(), detector.closed().count()), (1, 1));
}

#[test]
fn a_leak_behind_a_large_plateau_does_not_wait_until_it_is_as_large() {
    // A thousand MB from the 60th minute to the 90th, then nothing until the line leaks 120 MB/h; beside a heap that wavers by more than that,
    // so that the heap confirms nothing.
    let plateau = (0..500).map(|at| (60.0 + f64::from(at) * 0.06, FOR_EVER));
    let leak = (0..200).map(|at| (240.0 + f64::from(at), FOR_EVER));
    let wavering = (0..600).map(|at| {
        let birth = f64::from(at) * 0.7;
        (birth, (birth / 20.0).floor() * 20.0 + 20.0)
    });
    let sites = [
        Site::new(1, plateau.chain(leak)),
        Site::new(2, wavering).of("batches"),
    ];
    let (changes, _) = run(&sites, 300);
    let late = changes.iter().find(|(minute, change)| {
        *minute > 240.0
            && matches!(change, Change::Opened(suspect) if suspect.parts[0].sites == [1])
    });
    let (minute, Change::Opened(suspect)) = late.expect("it is found") else {
        panic!("{changes:?}");
    };
    assert!(*minute < 280.0, "opened at {minute}");
    assert!(
        suspect.since() > START + 235 * MINUTE,
        "since {}",
        suspect.since()
    );
}

#[test]
fn what_is_freed_is_no_leak_any_more() {
    let all_freed = Site::new(1, (0..60).map(|at| (40.0 + f64::from(at), 101.0)));
    let (changes, detector) = run(&[all_freed], 110);
    assert!(detector.suspects().is_empty());
    let Some((_, Change::Closed(suspect))) = changes.last() else {
        panic!("{changes:?}");
    };
    assert_eq!(suspect.closed.map(|(_, why)| why), Some(Closed::Freed));
}

#[test]
fn growth_with_the_process_waits_for_the_warm_up_and_longer_windows() {
    let first = |every: f64| {
        let (changes, _) = run(&[Site::steady(1, every, 0.0, 200.0, FOR_EVER)], 60);
        changes.first().unwrap().0
    };
    let (fast, slow) = (first(0.2), first(1.0));
    assert!((12.0..13.5).contains(&fast), "opened at {fast}");
    assert!((15.0..18.0).contains(&slow), "opened at {slow}");
}

#[test]
fn a_cache_that_was_suspected_while_it_filled_is_closed_when_it_evicts() {
    let (changes, detector) = run(&[Site::steady(1, 0.2, 0.0, 240.0, 60.0)], 150);
    let Some((minute, Change::Closed(suspect))) = changes.last() else {
        panic!("{changes:?}");
    };
    assert!((60.0..90.0).contains(minute), "closed at {minute}");
    assert_eq!(suspect.closed.map(|(_, why)| why), Some(Closed::Balanced));
    assert_eq!((detector.opened(), detector.suspects().len()), (1, 0));
}

#[test]
fn what_comes_and_goes_fills_up_or_loads_is_none() {
    let sawtooth = (0..1_600).map(|at| {
        let birth = f64::from(at) * 0.15;
        (birth, (birth / 7.0).floor() * 7.0 + 7.0)
    });
    // Lives of twenty minutes on average, exponential: a multiplicative congruence stands in for chance.
    let visits = (0..1_200_u32).map(|at| {
        let birth = f64::from(at) * 0.2;
        let chance = f64::from((at * 7_919 + 13) % 1_009 + 1) / 1_010.0;
        (birth, birth - 20.0 * chance.ln())
    });
    // As many as the time to the power of 0.3.
    let filling = (0..200).map(|at| ((f64::from(at) / 40.0).powf(1.0 / 0.3), FOR_EVER));
    for (name, site) in [
        ("sessions", Site::steady(1, 0.1, 0.0, 240.0, 6.0)),
        ("visits", Site::new(1, visits)),
        ("sawtooth", Site::new(1, sawtooth)),
        ("warm-up", Site::steady(1, 0.1, 0.0, 9.0, FOR_EVER)),
        ("load", Site::steady(1, 0.02, 50.0, 51.5, FOR_EVER)),
        ("pool", Site::steady(1, 0.1, 60.0, 64.0, FOR_EVER)),
        ("cache that fills ever more slowly", Site::new(1, filling)),
        ("cache that is full", Site::steady(1, 0.1, 0.0, 240.0, 11.0)),
        (
            "batch",
            Site::new(1, (0..200).map(|at| (60.0 + f64::from(at) * 0.02, 65.0))),
        ),
    ] {
        // Beside a leak, so that the growth of the heap alone excuses nobody.
        let leaking = || Site::steady(99, 0.6, 30.0, 240.0, FOR_EVER).of("queue");
        let (changes, _) = run(&[site, leaking()], 240);
        let [(_, Change::Opened(suspect)), rest @ ..] = &changes[..] else {
            panic!("{name}: {changes:?}");
        };
        assert_eq!(suspect.parts[0].sites, [99], "{name}");
        let is_other = |(_, change): &(f64, Change)| matches!(change, Change::Opened(_));
        assert!(!rest.iter().any(is_other), "{name}: {rest:?}");
    }
}

#[test]
fn a_line_that_is_reached_in_many_ways_is_one_suspect() {
    let from_one_of_four =
        |id: u32| Site::steady(id, 4.0, 40.0 + f64::from(id), 200.0, FOR_EVER).at(77);
    let sites = [1, 2, 3, 4].map(from_one_of_four);
    let (_, detector) = run(&sites, 70);
    assert_eq!(detector.suspects().len(), 1);
    let part = &detector.suspects()[0].parts[0];
    let mut sites = part.sites.clone();
    sites.sort_unstable();
    assert_eq!((part.place, sites), (77, vec![1, 2, 3, 4]));
}

#[test]
fn one_way_to_a_line_may_leak_where_the_others_do_not() {
    // A shared helper: what its other caller allocates is freed, at all ages.
    let others = (0..2_000).map(|at| {
        let birth = f64::from(at) * 0.1;
        (birth, birth + 1.0 + f64::from(at % 90))
    });
    let sites = [
        Site::new(1, others).at(77),
        Site::steady(2, 1.0, 40.0, 200.0, FOR_EVER).at(77),
    ];
    let (_, detector) = run(&sites, 90);
    assert_eq!(detector.suspects().len(), 1, "{:?}", detector.suspects());
    assert_eq!(detector.suspects()[0].parts[0].sites, [2]);
}

#[test]
fn sites_of_one_cause_are_one_suspect_and_others_are_not() {
    // A map entry: as many keys as values. Beside it another component's leak, and a slower one of the same component.
    let sites = [
        Site::steady(1, 1.0, 40.0, 200.0, FOR_EVER).by(4_096.0),
        Site::steady(2, 1.0, 40.3, 200.0, FOR_EVER).by(4_096.0),
        Site::steady(3, 1.0, 40.0, 200.0, FOR_EVER).of("queue"),
        Site::steady(4, 0.4, 90.0, 200.0, FOR_EVER).by(64.0),
    ];
    let (_, detector) = run(&sites, 130);
    let mut groups: Vec<Vec<u32>> = detector
        .suspects()
        .iter()
        .map(|suspect| {
            let mut sites: Vec<u32> = suspect
                .parts
                .iter()
                .flat_map(|part| part.sites.clone())
                .collect();
            sites.sort_unstable();
            sites
        })
        .collect();
    groups.sort_unstable();
    assert_eq!(groups, [vec![1, 2], vec![3], vec![4]]);
    assert_eq!(detector.opened(), 3);
}

#[test]
fn a_queue_that_is_drained_too_slowly_is_a_backlog() {
    // Ten samples a minute come, nine are taken, in their order.
    let lives = (0..2_400).map(|at| {
        let birth = f64::from(at) * 0.1;
        (birth, birth * 10.0 / 9.0)
    });
    let (_, detector) = run(&[Site::new(1, lives)], 200);
    assert_eq!(detector.suspects().len(), 1);
    let part = &detector.suspects()[0].parts[0];
    assert_eq!(part.evidence, Evidence::Backlog);
    assert!(
        (part.growth / MB - 120.0).abs() < 40.0,
        "{}",
        part.growth / MB
    );
}

#[test]
fn a_buffer_that_doubles_and_doubles_is_found() {
    // One block after another, each twice the one before, that lives until the next: 1, 2, 4... MB at minutes 1, 2, 4...
    let mut detector = LeakDetector::new(LeakThresholds::default());
    for tick in 0..300_u32 {
        let minute = f64::from(tick) / 2.0;
        let step = (minute.max(1.0)).log2().floor();
        let birth = START + (step.exp2() * 60.0) as u64 * 1_000;
        let bytes = 4.0 * MB * step.exp2();
        let mut freed = [0; AGES];
        freed[9] = step as u32;
        detector.observe(&Observation {
            time: START + u64::from(tick) * 30_000,
            heap_bytes: Some((50.0 * MB + bytes) as u64),
            rss_bytes: None,
            is_sampled: true,
            sites: vec![SiteObservation {
                site: 1,
                place: 1,
                component: "log".into(),
                samples: step as u64 + 1,
                freed,
                cohorts: 0..1,
            }],
            cohorts: vec![Cohort {
                birth,
                samples: 1,
                objects: 1.0,
                bytes: bytes as f32,
            }],
        });
    }
    let part = &detector.suspects()[0].parts[0];
    assert_eq!(
        (part.evidence, part.pattern),
        (Evidence::Doubling, Pattern::Stepped)
    );
}

#[test]
fn patterns_are_told_apart() {
    let pattern = |site: Site| {
        let (_, detector) = run(&[site], 150);
        detector.suspects()[0].parts[0].pattern
    };
    let leak = || Site::steady(1, 0.5, 40.0, 200.0, FOR_EVER);
    assert_eq!(pattern(leak()), Pattern::Steady);
    assert_eq!(pattern(leak().by(100.0)), Pattern::ManySmall);
    assert_eq!(pattern(leak().by(4.0 * MB)), Pattern::FewLarge);
    let faster = (0..200).map(|at| {
        (
            40.0 + 110.0 * (1.0 + f64::from(at)).ln() / 201_f64.ln(),
            FOR_EVER,
        )
    });
    assert_eq!(pattern(Site::new(1, faster)), Pattern::Exponential);
    let bursts = (0..250).map(|at| {
        (
            40.0 + f64::from(at / 20 * 10) + f64::from(at % 20) * 0.03,
            FOR_EVER,
        )
    });
    assert_eq!(pattern(Site::new(1, bursts)), Pattern::Stepped);
}

#[test]
fn the_same_observations_give_the_same_answer_and_a_clock_set_back_begins_anew() {
    let sites = [Site::steady(1, 1.0, 40.0, 200.0, FOR_EVER)];
    let (changes, mut detector) = run(&sites, 90);
    assert_eq!(run(&sites, 90).0, changes);
    detector.observe(&observe(&sites, 20.0));
    assert_eq!(detector.start(), Some(START + 20 * MINUTE));
    assert!(detector.reserved_bytes() < 1 << 20);
}

/// A machine that slept for a day: nothing was born meanwhile, and what lived lives on.
#[test]
fn a_clock_that_jumps_ahead_suspects_nobody() {
    let day = 24.0 * 60.0;
    let born = |from: f64| (0..120).map(move |at| from + f64::from(at) / 2.0);
    let busy = born(0.0).chain(born(day)).map(|birth| (birth, birth + 5.0));
    let held = (0..20).map(|at| (f64::from(at) / 2.0, FOR_EVER));
    let sites = [Site::new(1, busy), Site::new(2, held)];
    let (changes, mut detector) = run(&sites, 60);
    assert!(changes.is_empty(), "{changes:?}");
    for tick in 0..120 {
        let found = detector.observe(&observe(&sites, day + f64::from(tick) / 2.0));
        assert!(found.is_empty(), "{tick}: {found:?}");
    }
    assert!(detector.suspects().is_empty());
}

#[test]
fn suspects_outlast_a_time_without_sampling() {
    let sites = [Site::steady(1, 0.5, 40.0, 200.0, FOR_EVER)];
    let (_, mut detector) = run(&sites, 90);
    let before = detector.suspects()[0].clone();
    for tick in 181..220 {
        let mut blind = observe(&sites, f64::from(tick) / 2.0);
        blind.is_sampled = false;
        blind.sites.clear();
        blind.cohorts.clear();
        detector.observe(&blind);
        let kept = detector
            .suspects()
            .iter()
            .find(|suspect| suspect.id == before.id);
        assert_eq!(kept, Some(&before));
    }
    detector.observe(&observe(&sites, 110.0));
    let after = detector
        .suspects()
        .iter()
        .find(|suspect| suspect.id == before.id);
    assert!(after.unwrap().bytes() > before.bytes());
}
