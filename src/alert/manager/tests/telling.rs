//! Who is told what, how often, and of what nobody is.

use super::*;

#[test]
fn a_page_is_sent_once_repeated_while_nobody_acts_and_its_end_is_told() {
    let mut process = Process::with("cooldown: 5m, repeat_interval: 1h");
    process.uses(Some(720), 5);
    assert_eq!(process.news(), [told(Event::Firing, CRITICAL)]);
    process.uses(Some(720), 55);
    assert_eq!(process.news(), []);
    process.uses(Some(720), 5);
    assert_eq!(process.news(), [told(Event::StillFiring, CRITICAL)]);
    let critical = process.manager.alerts()[0].clone();
    assert!(critical.is_told && !critical.is_muted);
    process.uses(Some(600), 5);
    assert_eq!(process.news(), []);
    process.uses(Some(600), 2);
    // The warning was muted all the time, and ends with it: nobody was told of it, so nobody is told of its end.
    assert_eq!(
        process.news(),
        [told(Event::Resolved, &format!("{CRITICAL} over"))]
    );
    process.uses(Some(600), 120);
    assert_eq!(process.news(), []);
}

#[test]
fn who_flaps_is_told_of_once_in_a_cooldown_and_its_end_at_once() {
    let mut process = Process::with("cooldown: 1h, repeat_interval: 8h");
    for _ in 0..20 {
        process.uses(Some(720), 4);
        process.uses(Some(100), 8);
    }
    // Four hours, in which it fired twenty times.
    let over = format!("{CRITICAL} over");
    let news = process.news();
    let firing = news
        .iter()
        .filter(|news| **news == told(Event::Firing, CRITICAL));
    let resolved = news
        .iter()
        .filter(|news| **news == told(Event::Resolved, &over));
    assert_eq!((firing.count(), resolved.count()), (4, 4), "{news:?}");
    assert_eq!(news.len(), 8);
}

#[test]
fn whoever_has_acknowledged_an_alert_is_left_alone_but_for_its_end() {
    let mut process = Process::with("repeat_interval: 10m");
    process.uses(Some(720), 5);
    process.news();
    let id = process.manager.alerts()[0].id;
    let by = |name: &str| Acknowledgement {
        at: process.snapshot.time,
        by: Some(name.to_owned()),
    };
    let (ada, bob) = (by("ada"), by("bob"));
    process.manager.acknowledge(id, ada).unwrap();
    process.manager.acknowledge(id, bob).unwrap();
    process.uses(Some(720), 60);
    let said = process.told[0].notices[0].acknowledged_by.clone();
    assert_eq!(said.as_deref(), Some("ada"));
    assert_eq!(process.news(), [told(Event::Acknowledged, CRITICAL)]);
    process.uses(Some(100), 7);
    assert_eq!(
        process.news(),
        [told(Event::Resolved, &format!("{CRITICAL} over"))]
    );
}

#[test]
fn of_what_is_silenced_nobody_is_told_until_the_silence_ends() {
    let mut process = Process::with("repeat_interval: 10m");
    let silence = |process: &Process, matcher: &str, minutes: u64| {
        let now = process.snapshot.time;
        let times = (now, now + Duration::from_secs(60 * minutes));
        let matchers = vec![matcher.parse().unwrap()];
        process
            .manager
            .silence(matchers, times, None, None)
            .unwrap()
    };
    // Of another alert; of this one, before it begins.
    silence(&process, "alertname=MemoryLeak", 600);
    silence(&process, "severity=critical", 30);
    process.uses(Some(720), 29);
    assert_eq!(process.news(), []);
    assert_eq!(process.manager.alerts()[0].silenced_by.len(), 1);
    process.uses(Some(720), 2);
    assert_eq!(process.news(), [told(Event::Firing, CRITICAL)]);
    // Of what people know, they are spared repetitions, but not the end.
    let again = silence(&process, "instance=~a:.*", 600);
    process.uses(Some(720), 60);
    assert_eq!(process.news(), []);
    process.uses(Some(100), 7);
    assert_eq!(
        process.news(),
        [told(Event::Resolved, &format!("{CRITICAL} over"))]
    );
    // One that is taken back keeps nothing quiet any more.
    let now = process.snapshot.time;
    process.manager.unsilence(again.id, now).unwrap();
    assert_eq!(
        process.manager.unsilence(again.id, now).unwrap_err(),
        Refused::Unknown
    );
    process.uses(Some(720), 5);
    assert_eq!(process.news(), [told(Event::Firing, CRITICAL)]);
    for _ in process.manager.silences(now).len()..100 {
        silence(&process, "a=b", 600);
    }
    let times = (now, now + Duration::from_secs(60));
    let refused = process.manager.silence(Vec::new(), times, None, None);
    assert_eq!(refused.unwrap_err(), Refused::TooMany);
}

#[test]
fn alerts_are_told_of_together_as_they_are_grouped() {
    // Growth and usage, in one group or in one for each name and severity.
    for (group_by, first) in [
        ("[]", "MemoryGrowth critical, MemoryUsageHigh critical"),
        ("[alertname, severity]", "MemoryGrowth critical"),
    ] {
        let thresholds =
            "{growth_critical_mb_per_s: 0.5, growth_warning_mb_per_s: 0.5, usage_critical_mb: 700}";
        let keys = format!("group_by: {group_by}, thresholds: {thresholds}");
        let mut process = Process::with(&keys);
        for minute in 0..20 {
            process.uses(Some(660 + 40 * minute), 1);
        }
        let news = process.news();
        let firing = news.iter().filter(|(event, _)| *event == Event::Firing);
        let said: Vec<_> = firing.map(|(_, alerts)| alerts.as_str()).collect();
        assert!(said.contains(&first), "{group_by}: {said:?}");
        let keys: std::collections::BTreeSet<_> = process
            .manager
            .state()
            .told
            .iter()
            .map(|told| told.group.key.clone())
            .collect();
        let one = r#"{job="shop",instance="a:1"}"#;
        assert_eq!(keys.contains(one), group_by == "[]", "{keys:?}");
    }
}

#[test]
fn times_can_be_shortened_to_rehearse() {
    let mut process = Process::with("shorten: 60");
    // Two minutes in earnest.
    process.uses(Some(720), 1);
    assert_eq!(process.news(), [told(Event::Firing, CRITICAL)]);
}

#[test]
fn the_end_of_the_process_is_the_end_of_its_alerts() {
    let mut process = Process::new();
    process.uses(Some(720), 5);
    process.news();
    process.manager.finish();
    process.uses(Some(720), 5);
    let over = told(Event::Resolved, &format!("{CRITICAL} over"));
    assert_eq!(process.news(), [over]);
    assert!(
        process
            .manager
            .alerts()
            .iter()
            .all(|alert| alert.state() == "resolved")
    );
}

#[test]
fn whoever_wants_to_know_all_hears_of_each_alert_as_it_stands_now() {
    let mut process = Process::new();
    let stands = |process: &Process| {
        let all = process
            .manager
            .all(&mut process.manager.state(), process.snapshot.time);
        let notices = all.notices.iter();
        let mut stands: Vec<_> = notices
            .map(|notice| (notice.severity.as_str(), notice.resolved_at.is_some()))
            .collect();
        stands.sort();
        stands
    };
    assert_eq!(stands(&process), []);
    // What is muted here may not be muted there.
    process.uses(Some(720), 6);
    assert_eq!(stands(&process), [("critical", false), ("warning", false)]);
    process.uses(Some(100), 6);
    assert_eq!(stands(&process), [("critical", true), ("warning", true)]);
    process.uses(Some(720), 3);
    assert_eq!(stands(&process), [("critical", false), ("warning", true)]);
    process.uses(Some(720), 15);
    assert_eq!(stands(&process), [("critical", false), ("warning", false)]);
    process.uses(Some(100), 25);
    assert_eq!(stands(&process), []);
}
