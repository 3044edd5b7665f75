//! Judgement of detectors.

use leaks::score::{Judge, LeakOutcome, Named, Outcome, judge};
use leaks::suite::{Contender, Half, Suite};
use leaks::table::{Column, by_kind, by_rate};
use leaks::{Kind, Leak, Profile, Truth, baseline, simulate};

fn named(id: u64, opened: u64, sites: &[u32]) -> Named {
    Named {
        id,
        sites: sites.to_vec(),
        opened,
    }
}

fn leak(site: u32, onset_ms: u64, also: &[u32]) -> Leak {
    Leak {
        site,
        onset_ms,
        with_process: false,
        megabytes_per_hour: 50.0,
        also: also.to_vec(),
    }
}

/// Judges what is open at each time.
fn outcome(leaks: Vec<Leak>, warm_up_end: u64, seen: &[(u64, Vec<Named>)]) -> Outcome {
    let mut judge = Judge::new(Truth { leaks }, warm_up_end);
    for (time, open) in seen {
        judge.see(*time, open);
    }
    judge.outcome(Kind::Steady, 50.0)
}

#[test]
fn a_leak_is_named_by_any_of_its_sites() {
    let seen = [
        (100, vec![]),
        (200, vec![named(1, 200, &[8, 6])]),
        (300, vec![]),
    ];
    let outcome = outcome(vec![leak(5, 50, &[6])], 120, &seen);
    let expected = LeakOutcome {
        megabytes_per_hour: 50.0,
        with_process: false,
        named: true,
        right_site: Some(true),
        delay: Some(150),
        delay_from_warm_up: Some(80),
        open_at_end: false,
    };
    assert_eq!(outcome.leaks, [expected]);
    assert_eq!(
        (
            outcome.true_ever,
            outcome.false_ever,
            outcome.true_at_end,
            outcome.false_at_end
        ),
        (1, 0, 0, 0)
    );
}

#[test]
fn the_first_suspect_after_the_onset_tells_the_site() {
    let (wrong, right) = (named(1, 100, &[9]), named(2, 200, &[5]));
    let outcome = outcome(
        vec![leak(5, 50, &[])],
        0,
        &[(100, vec![wrong.clone()]), (200, vec![wrong, right])],
    );
    assert_eq!(
        (outcome.leaks[0].named, outcome.leaks[0].right_site),
        (true, Some(false))
    );
    assert!(outcome.leaks[0].open_at_end);
    assert_eq!(
        (
            outcome.true_ever,
            outcome.false_ever,
            outcome.true_at_end,
            outcome.false_at_end
        ),
        (1, 1, 1, 1)
    );
}

#[test]
fn a_suspect_from_before_the_onset_is_true_only_if_it_is_open_after_it() {
    let early = named(1, 100, &[5]);
    let closed = outcome(
        vec![leak(5, 250, &[])],
        0,
        &[(100, vec![early.clone()]), (200, vec![]), (300, vec![])],
    );
    assert_eq!(
        (closed.leaks[0].named, closed.leaks[0].right_site),
        (false, None)
    );
    assert_eq!((closed.true_ever, closed.false_ever), (0, 1));

    let open = outcome(
        vec![leak(5, 250, &[])],
        0,
        &[(100, vec![early.clone()]), (300, vec![early])],
    );
    assert_eq!(
        (
            open.leaks[0].named,
            open.leaks[0].right_site,
            open.leaks[0].delay
        ),
        (true, Some(true), Some(50))
    );
    assert_eq!((open.true_ever, open.false_ever), (1, 0));
}

#[test]
fn the_other_leak_is_no_wrong_site() {
    let seen = [
        (100, vec![named(1, 100, &[5])]),
        (200, vec![named(1, 100, &[5]), named(2, 200, &[6])]),
    ];
    let outcome = outcome(vec![leak(5, 0, &[]), leak(6, 0, &[])], 0, &seen);
    let right: Vec<_> = outcome.leaks.iter().map(|leak| leak.right_site).collect();
    assert_eq!(right, [Some(true), Some(true)]);
    assert_eq!(outcome.leaks[1].delay, Some(200));
}

#[test]
fn the_baselines_find_a_fast_leak() {
    for detect in [baseline::resident_slope(), baseline::site_slope()] {
        let outcome = judge(
            simulate(Kind::Steady, 1, 1000.0, Profile::PRODUCTION),
            Kind::Steady,
            1000.0,
            0,
            detect,
        );
        assert!(
            outcome.leaks[0].named && outcome.leaks[0].open_at_end,
            "{outcome:?}"
        );
        assert!(outcome.leaks[0].delay.unwrap() < 40 * 60_000, "{outcome:?}");
    }
}

#[test]
fn a_suite_gives_each_contender_its_outcomes_in_order() {
    let suite = Suite {
        half: Half::Report,
        runs: 4,
        kinds: vec![Kind::WarmUp, Kind::Steady, Kind::HugeBlocks],
        rates: vec![5.0, 200.0],
        profile: Profile::PRODUCTION,
        hours: 1.0,
    };
    let runs = suite.runs();
    assert_eq!(runs.len(), 12, "each kind has as many");
    assert!(runs.iter().all(|(_, _, seed)| seed % 2 == 1));
    let rates = |kind| {
        let of_kind = runs.iter().filter(move |run| run.0 == kind);
        of_kind.map(|run| run.1).collect::<Vec<_>>()
    };
    assert_eq!(rates(Kind::Steady), [5.0, 5.0, 200.0, 200.0]);
    assert_eq!(
        rates(Kind::HugeBlocks),
        [200.0; 4],
        "they make no sense at 5 MB/h"
    );
    assert_eq!(rates(Kind::WarmUp), [0.0; 4], "it has no rate");

    let nothing = || -> leaks::score::Detect { Box::new(|_| Vec::new()) };
    let contenders = [
        Contender {
            name: "sites",
            warm_up: 0,
            start: &baseline::site_slope,
        },
        Contender {
            name: "nothing",
            warm_up: 0,
            start: &nothing,
        },
    ];
    let outcomes = suite.judge(&contenders);
    for outcomes in &outcomes {
        let order: Vec<_> = outcomes
            .iter()
            .map(|outcome| (outcome.kind, outcome.rate))
            .collect();
        assert_eq!(
            order,
            runs.iter()
                .map(|&(kind, rate, _)| (kind, rate))
                .collect::<Vec<_>>()
        );
    }
    assert_eq!(
        outcomes,
        suite.judge(&contenders),
        "whatever thread comes first"
    );
    assert!(
        outcomes[1]
            .iter()
            .all(|outcome| outcome.true_ever + outcome.false_ever == 0)
    );

    let columns = [
        Column {
            name: "sites",
            outcomes: &outcomes[0],
        },
        Column {
            name: "nothing",
            outcomes: &outcomes[1],
        },
    ];
    let table = by_kind(&columns);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2 + 3);
    let cells = lines[0].matches('|').count();
    assert!(
        lines.iter().all(|line| line.matches('|').count() == cells),
        "{table}"
    );
    assert!(lines[2].starts_with("| steady | 4 |"), "{table}");
    assert!(
        lines[2].contains("| 0 % | 0 % | – | 0 / 0 (0) |"),
        "{table}"
    );
    assert_eq!(by_rate(&columns).lines().count(), 2 + 2);
}

#[test]
fn kinds_are_known_by_their_names() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Kind::ALL.iter().filter(|kind| kind.is_leak()).count(), 14);
    assert!(Kind::ALL.is_sorted());
}
