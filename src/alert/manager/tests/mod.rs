//! Scenes: a process uses so much memory for so long, and people are told.

mod blame;
mod clock;
mod restart;
mod telling;

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
    /// Who is to blame.
    culprit: Option<Culprit>,
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
            culprit: None,
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
            let culprit = &self.culprit;
            self.manager
                .observe(&self.snapshot, &|_, _| culprit.clone());
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

const CRITICAL: &str = "MemoryUsageHigh critical";

fn told(event: Event, alerts: &str) -> (Event, String) {
    (event, alerts.to_owned())
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
