//! Scenes: a process uses so much memory for so long, and people are told.

use std::time::{Duration, SystemTime};

use super::*;
use crate::alert::message::{Event, Message};
use crate::alert::people::Refused;
use crate::alert::state::Acknowledgement;
use crate::collector::ProcessReading;
use crate::config::{Config, Profile};
use crate::snapshot::Reading;

const INTERVAL: Duration = Duration::from_secs(30);

/// A process whose resident memory is looked at every half minute.
struct Process {
    manager: AlertManager,
    snapshot: Snapshot,
    outlets: Arc<Outlets>,
    /// What people were told.
    told: Vec<Arc<Message>>,
}

impl Process {
    fn new() -> Self {
        Self::with("")
    }

    /// One whose section `alerts` has these keys.
    fn with(alerts: &str) -> Self {
        Self::configured(&format!("alerts: {{{alerts}}}"), SystemTime::UNIX_EPOCH)
    }

    fn configured(yaml: &str, time: SystemTime) -> Self {
        let config = Config::load(Profile::Production, yaml, []).unwrap();
        let outlets = Arc::new(Outlets::recording());
        Self {
            manager: AlertManager::new(&config, "shop", "a:1", Arc::clone(&outlets)),
            snapshot: Snapshot {
                time,
                ..Snapshot::default()
            },
            outlets,
            told: Vec::new(),
        }
    }

    /// Ends, as by a kill, and begins anew under the same configuration.
    fn restart(self, yaml: &str) -> Self {
        let time = self.snapshot.time;
        drop(self.manager);
        Self::configured(yaml, time)
    }

    /// What people were told since this was asked last: why, and on which alerts.
    fn news(&mut self) -> Vec<(Event, String)> {
        let news = std::mem::take(&mut self.told);
        news.iter()
            .map(|message| {
                let notices = message.notices.iter();
                let alerts: Vec<String> = notices
                    .map(|notice| {
                        let name = &notice.labels["alertname"];
                        let over = notice.resolved_at.map_or("", |_| " over");
                        format!("{name} {}{over}", notice.severity.as_str())
                    })
                    .collect();
                (message.event, alerts.join(", "))
            })
            .collect()
    }

    /// Uses so many MB for so many minutes; nothing can be read where there are none.
    fn uses(&mut self, mb: Option<u64>, minutes: u64) {
        for _ in 0..2 * minutes {
            self.snapshot.time += INTERVAL;
            self.snapshot.process = mb.map_or_else(Reading::default, |mb| {
                let reading = ProcessReading {
                    rss: mb << 20,
                    ..ProcessReading::default()
                };
                Reading::of(reading, Duration::ZERO)
            });
            self.manager.observe(&self.snapshot, &|_, _| None);
            self.manager.keep();
            self.told.extend(self.outlets.drain());
        }
    }

    /// Severity and state of each alert on usage, whether it is muted, and whether people were told.
    fn usage(&self) -> Vec<(&'static str, &'static str, bool, bool)> {
        let alerts = self.manager.alerts().into_iter();
        let usage = alerts.filter(|alert| alert.def.name == "MemoryUsageHigh");
        usage
            .map(|alert| {
                let severity = alert.def.severity.as_str();
                (severity, alert.state(), alert.is_muted, alert.is_told)
            })
            .collect()
    }
}

#[test]
fn critical_is_told_and_mutes_its_warning_until_it_is_over() {
    let mut process = Process::new();
    process.uses(Some(600), 10);
    assert_eq!(process.usage(), []);
    process.uses(Some(720), 1);
    let pending = |severity| (severity, "pending", false, false);
    assert_eq!(process.usage(), [pending("critical"), pending("warning")]);
    process.uses(Some(720), 2);
    assert_eq!(
        process.usage(),
        [
            ("critical", "firing", false, true),
            ("warning", "pending", true, false)
        ]
    );
    process.uses(Some(720), 4);
    assert_eq!(process.usage()[1], ("warning", "firing", true, false));
    let alert = &process.manager.alerts()[0];
    assert_eq!(
        alert.description,
        "a:1 (shop) uses 720MiB of resident memory, above 700 MB."
    );
    // Below critical, it goes on firing for five minutes; then the warning speaks for itself.
    process.uses(Some(680), 4);
    assert_eq!(process.usage()[0].1, "firing");
    process.uses(Some(680), 2);
    assert_eq!(
        process.usage(),
        [
            ("warning", "firing", false, true),
            ("critical", "resolved", false, true)
        ]
    );
    process.uses(Some(600), 6);
    let resolved = |severity| (severity, "resolved", false, true);
    assert_eq!(process.usage(), [resolved("warning"), resolved("critical")]);
}

#[test]
fn what_is_taken_on_is_told_no_more_and_what_is_over_cannot_be_taken_on() {
    let mut process = Process::new();
    process.uses(Some(720), 1);
    let ids: Vec<u64> = process
        .manager
        .alerts()
        .iter()
        .map(|alert| alert.id)
        .collect();
    let by = |name: &str| Acknowledgement {
        at: SystemTime::UNIX_EPOCH,
        by: Some(name.to_owned()),
    };
    for id in &ids {
        process.manager.acknowledge(*id, by("ada")).unwrap();
    }
    process.uses(Some(720), 10);
    assert!(
        process
            .usage()
            .iter()
            .all(|(_, state, _, told)| *state == "firing" && !told)
    );
    process.uses(Some(100), 10);
    for id in ids {
        assert_eq!(
            process.manager.acknowledge(id, by("bob")).unwrap_err(),
            Refused::Ended
        );
    }
    assert_eq!(
        process.manager.acknowledge(99, by("bob")).unwrap_err(),
        Refused::Unknown
    );
}

#[test]
fn people_are_told_again_only_after_the_cooldown() {
    let mut process = Process::with("cooldown: 1h");
    let told = |process: &Process| {
        let critical = process.usage().into_iter();
        critical
            .filter(|(severity, _, _, told)| *severity == "critical" && *told)
            .count()
    };
    process.uses(Some(720), 5);
    process.uses(Some(100), 10);
    process.uses(Some(720), 5);
    assert_eq!(told(&process), 1);
    // It is not forgotten: an hour later it still fires, and is told.
    process.uses(Some(720), 50);
    assert_eq!(told(&process), 2);
}

#[test]
fn a_reading_that_fails_ends_what_hung_on_it() {
    let mut process = Process::new();
    process.uses(Some(720), 1);
    process.uses(None, 1);
    assert_eq!(process.usage(), []);
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let mut process = Process::new();
    process.snapshot.time += Duration::from_secs(7_200);
    process.uses(Some(720), 1);
    process.snapshot.time -= Duration::from_secs(3_600);
    process.uses(Some(720), 6);
    assert_eq!(process.usage()[0].1, "firing");
    process.uses(Some(100), 12);
    assert!(
        process
            .usage()
            .iter()
            .all(|(_, state, ..)| *state == "resolved")
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut process = Process::new();
    for _ in 0..MOST_PAST + 10 {
        process.uses(Some(720), 3);
        process.uses(Some(100), 6);
    }
    let state = process.manager.state();
    assert_eq!(state.past.len(), MOST_PAST);
    let most = state.kept.of(&crate::catalog::RSS_BYTES, None)[0].len();
    assert!(most < 100, "{most} samples");
}

const CRITICAL: &str = "MemoryUsageHigh critical";

fn told(event: Event, alerts: &str) -> (Event, String) {
    (event, alerts.to_owned())
}

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
fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper");
    let yaml = format!("history: {{directory: {path:?}}}\nalerts: {{repeat_interval: 1h}}");
    let mut process = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    process.uses(Some(720), 10);
    process.uses(Some(100), 10);
    process.uses(Some(720), 10);
    process.news();
    let before = process.manager.alerts();
    let now = process.snapshot.time;
    let matchers = vec!["component=\"a \\\"b\"".parse().unwrap()];
    let times = (now, now + Duration::from_secs(86_400));
    let silence = process
        .manager
        .silence(matchers, times, Some("ada".to_owned()), None);
    let silence = silence.unwrap();
    let id = before[0].id;
    let acknowledgement = Acknowledgement {
        at: now,
        by: Some("bob".to_owned()),
    };
    process
        .manager
        .acknowledge(id, acknowledgement.clone())
        .unwrap();
    process.uses(Some(720), 1);

    // Killed. It still needs so much: the page goes on, and nobody is told again.
    let mut process = process.restart(&yaml);
    process.uses(Some(720), 10);
    assert_eq!(process.news(), []);
    let alert = process.manager.alerts()[0].clone();
    assert_eq!((alert.id, alert.fired_at), (id, before[0].fired_at));
    assert_eq!(alert.acknowledged, Some(acknowledgement));
    let silences = process.manager.silences(now);
    assert_eq!(
        (silences[0].id, silences[0].by.as_deref()),
        (silence.id, Some("ada"))
    );
    assert_eq!(
        silences[0].matchers[0].to_string(),
        silence.matchers[0].to_string()
    );
    let is_past = |alert: &&Alert| alert.state() == "resolved" && alert.is_told;
    let past: Vec<u64> = before
        .iter()
        .filter(is_past)
        .map(|alert| alert.id)
        .collect();
    assert!(!past.is_empty());
    for id in past {
        assert!(process.manager.alerts().iter().any(|alert| alert.id == id));
    }

    // Killed again. It needs no more: the page ends as it would have without the kill, and new alerts have new numbers.
    let mut process = process.restart(&yaml);
    process.uses(Some(100), 4);
    assert_eq!(process.news(), []);
    process.uses(Some(100), 2);
    assert_eq!(
        process.news(),
        [told(Event::Resolved, &format!("{CRITICAL} over"))]
    );
    process.uses(Some(720), 10);
    assert!(process.manager.alerts()[0].id > silence.id);
}

#[test]
fn what_cannot_be_read_is_put_aside_and_who_comes_second_keeps_out() {
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!("history: {{directory: {:?}}}", directory.path());
    std::fs::write(directory.path().join("alerts.json"), "{\"last_id\": 7, ").unwrap();
    let mut first = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    let aside = std::fs::read_to_string(directory.path().join("alerts.json.unreadable"));
    assert_eq!(aside.unwrap(), "{\"last_id\": 7, ");
    let mut second = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    second.uses(Some(720), 5);
    let written = directory.path().join("alerts.json");
    assert!(!written.exists(), "two write to one place");
    first.uses(Some(720), 5);
    assert!(written.exists());
    // Both told their people all the same.
    assert_eq!(second.news(), first.news());
    // No directory to be had: alerts go on.
    let file = directory.path().join("alerts.lock").join("x");
    let mut third = Process::configured(
        &format!("history: {{directory: {file:?}}}"),
        SystemTime::UNIX_EPOCH,
    );
    third.uses(Some(720), 5);
    assert_eq!(third.news(), [told(Event::Firing, CRITICAL)]);
}
