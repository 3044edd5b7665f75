//! Who is to blame.

use super::*;
use crate::snapshot::LeakReading;

fn blame(call_site: &str, is_suspect: bool) -> Option<Culprit> {
    Some(Culprit {
        component: "sessions".to_owned(),
        call_site: call_site.to_owned(),
        bytes: 1e6,
        growth_mb_per_hour: None,
        is_suspect,
        advice: String::new(),
    })
}

#[test]
fn whoever_is_to_blame_stays_so_when_it_is_over() {
    let mut process = Process::new();
    let blamed = |process: &Process| {
        let culprit = process.manager.alerts()[0].culprit.clone();
        culprit.map(|culprit| culprit.call_site)
    };
    for (culprit, expected) in [
        (None, None),
        (blame("leak", true), Some("leak")),
        (blame("cache", false), Some("cache")),
        (None, Some("cache")),
    ] {
        process.culprit = culprit;
        process.uses(Some(720), 5);
        assert_eq!(blamed(&process).as_deref(), expected);
    }
    process.culprit = blame("pool", false);
    process.uses(Some(600), 1);
    assert_eq!(process.usage()[0].1, "firing");
    assert_eq!(blamed(&process).as_deref(), Some("cache"));
    process.uses(Some(600), 10);
    assert_eq!(process.usage()[0].1, "resolved");
    assert_eq!(blamed(&process).as_deref(), Some("cache"));
}

#[test]
fn a_leak_is_blamed_on_nobody_else_after_its_suspect_was_cleared() {
    let mut process = Process::new();
    let leaks = |process: &Process| {
        let alerts = process.manager.alerts().into_iter();
        let leaks = alerts.filter(|alert| alert.def.name == "MemoryLeak");
        let leaks = leaks.filter_map(|alert| alert.culprit);
        leaks.map(|culprit| culprit.call_site).collect::<Vec<_>>()
    };
    // One was opened, which is worth a warning for an hour.
    for opened in [0, 1] {
        process.snapshot.derived.leaks = Some(LeakReading {
            opened,
            ..LeakReading::default()
        });
        process.uses(Some(100), 1);
    }
    for (culprit, expected) in [
        (blame("cache", false), "cache"),
        (blame("leak", true), "leak"),
        (blame("cache", false), "leak"),
        (blame("other leak", true), "other leak"),
    ] {
        process.culprit = culprit;
        process.uses(Some(100), 2);
        assert_eq!(leaks(&process), [expected]);
    }
}
