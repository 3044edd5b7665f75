//! The alerts of this process, from the first sign to the end and some time beyond.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::catalog::{ALERTS, AlertDef, AlertSeverity, Quantity, compact, most_is_held};
use crate::config::{Alerts, Thresholds};
use crate::snapshot::Snapshot;

use super::kept::Kept;
use super::{Evaluator, Pace, Progress, State};

/// Most alerts that are remembered after their end; the oldest goes first.
const MOST_PAST: usize = 1_000;

/// Evaluates all alerts and remembers them.
#[derive(Debug)]
pub(crate) struct AlertManager {
    thresholds: Thresholds,
    pace: Pace,
    cooldown: Duration,
    labels: Vec<(&'static str, String)>,
    state: Mutex<Managed>,
}

#[derive(Debug, Default)]
struct Managed {
    kept: Kept,
    /// The time of the last snapshot, and how many seconds after the first it was.
    clock: Option<(SystemTime, f64)>,
    tracked: Vec<Tracked>,
    past: VecDeque<Alert>,
    last_id: u64,
}

/// An alert as it may be at any time, of one component where it has them.
#[derive(Debug)]
struct Tracked {
    def: &'static AlertDef,
    component: Option<&'static str>,
    progress: Progress,
    alert: Option<Alert>,
    /// When people were last told.
    told: Option<SystemTime>,
}

/// An alert that is pending, fires, or did.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// Of this session.
    pub(crate) id: u64,
    pub(crate) def: &'static AlertDef,
    pub(crate) component: Option<&'static str>,
    /// The last value while its condition held.
    pub(crate) value: f64,
    /// What is wrong, with that value.
    pub(crate) description: String,
    /// From when on its condition held.
    pub(crate) active_at: SystemTime,
    /// From when on it fired; none while it is pending.
    pub(crate) fired_at: Option<SystemTime>,
    /// When it ended.
    pub(crate) resolved_at: Option<SystemTime>,
    /// Whether a more severe alert of the same name says it already.
    pub(crate) is_muted: bool,
    pub(crate) acknowledged: Option<Acknowledgement>,
    /// Whether people were told of it.
    is_told: bool,
}

/// Somebody has taken an alert on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) at: SystemTime,
    /// Who, if they said so.
    pub(crate) by: Option<String>,
}

/// Why an alert is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is none with this number.
    Unknown,
    /// It has ended.
    Resolved,
}

impl Alert {
    /// Its state, in one word.
    pub(crate) fn state(&self) -> &'static str {
        match (self.resolved_at, self.fired_at) {
            (Some(_), _) => "resolved",
            (None, Some(_)) => "firing",
            (None, None) => "pending",
        }
    }

    fn is_firing(&self) -> bool {
        self.fired_at.is_some() && self.resolved_at.is_none()
    }
}

impl AlertManager {
    /// Evaluates at `interval` from now on, for a process that is called `job` and `instance`.
    pub(crate) fn new(config: &Alerts, interval: Duration, job: &str, instance: &str) -> Self {
        Self {
            thresholds: config.thresholds,
            pace: Pace::new(interval, interval, 1.0),
            cooldown: config.cooldown,
            labels: vec![
                ("job", job.to_owned()),
                ("instance", instance.to_owned()),
                ("origin", "embedded".to_owned()),
            ],
            state: Mutex::default(),
        }
    }

    /// Labels of every alert of this process.
    pub(crate) fn labels(&self) -> &[(&'static str, String)] {
        &self.labels
    }

    /// The threshold of an alert as it is configured, where it has one.
    pub(crate) fn threshold(&self, def: &AlertDef) -> Option<String> {
        let threshold = def.condition.threshold()?;
        Some(
            threshold
                .quantity()
                .threshold(self.thresholds.of(threshold)),
        )
    }

    /// Evaluates every alert over what a snapshot and those before it say, and tells people what is new.
    pub(crate) fn observe(&self, snapshot: &Snapshot) {
        let state = &mut *self.state();
        // A clock that is set back stands still here, so that samples stay in order.
        let now = state.clock.map_or(0.0, |(last, seconds)| {
            let step = snapshot.time.duration_since(last).unwrap_or_default();
            seconds + step.as_secs_f64()
        });
        state.clock = Some((snapshot.time, now));
        state.kept.add(snapshot, self.pace, now);
        for def in ALERTS.iter().filter(|def| def.is_embedded()) {
            for component in state.kept.components(def.condition.metric()) {
                let is_it = |tracked: &Tracked| {
                    std::ptr::eq(tracked.def, def) && tracked.component == component
                };
                if !state.tracked.iter().any(is_it) {
                    state.tracked.push(Tracked {
                        def,
                        component,
                        progress: Progress::default(),
                        alert: None,
                        told: None,
                    });
                }
            }
        }
        let evaluator = Evaluator::new(&self.thresholds, self.pace);
        let Managed {
            kept,
            tracked,
            past,
            last_id,
            ..
        } = state;
        for one in &mut *tracked {
            let samples = |def| kept.of(def, one.component);
            evaluator.advance(&mut one.progress, one.def, samples, now);
            if let Some(ended) = self.follow(one, snapshot, last_id) {
                if past.len() >= MOST_PAST {
                    past.pop_front();
                }
                past.push_back(ended);
            }
        }
        mute(tracked);
        self.tell(tracked, snapshot.time);
    }

    /// Takes over how far an alert has come; gives it back when it has ended after it fired.
    fn follow(&self, one: &mut Tracked, snapshot: &Snapshot, last_id: &mut u64) -> Option<Alert> {
        let (state, value) = (one.progress.state(), one.progress.value());
        let Some(value) = value.filter(|_| state != State::Inactive) else {
            let mut ended = one.alert.take()?;
            ended.resolved_at = Some(snapshot.time);
            if ended.is_told {
                tracing::info!(
                    id = ended.id,
                    alert = ended.def.name,
                    severity = ended.def.severity.as_str(),
                    component = ended.component,
                    "alert resolved"
                );
            }
            return ended.fired_at.is_some().then_some(ended);
        };
        let (def, component) = (one.def, one.component);
        let alert = one.alert.get_or_insert_with(|| {
            *last_id += 1;
            Alert {
                id: *last_id,
                def,
                component,
                value,
                description: String::new(),
                active_at: snapshot.time,
                fired_at: None,
                resolved_at: None,
                is_muted: false,
                acknowledged: None,
                is_told: false,
            }
        });
        alert.value = value;
        alert.description = self.describe(alert, snapshot);
        if state == State::Firing {
            alert.fired_at.get_or_insert(snapshot.time);
        }
        None
    }

    fn describe(&self, alert: &Alert, snapshot: &Snapshot) -> String {
        let def = alert.def;
        let window = def.condition.window();
        let window = match window.is_zero() {
            true => window,
            false => self.pace.window(window),
        };
        def.describe(|name| match name {
            "value" => def.quantity().written(alert.value),
            "threshold" => self.threshold(def).unwrap_or_default(),
            "time" => compact(def.time(window, def.hold)),
            "largest" => largest(snapshot),
            "component" => alert.component.unwrap_or_default().to_owned(),
            label => {
                let own = self.labels.iter().find(|(name, _)| *name == label);
                own.map(|(_, value)| value.clone()).unwrap_or_default()
            }
        })
    }

    /// Tells of alerts that fire and that nobody was told of, at most one of a kind within the cooldown.
    fn tell(&self, tracked: &mut [Tracked], now: SystemTime) {
        for one in tracked {
            let Some(alert) = one.alert.as_mut().filter(|alert| alert.is_firing()) else {
                continue;
            };
            let since = one.told.and_then(|told| now.duration_since(told).ok());
            let is_soon = since.is_some_and(|since| since < self.cooldown);
            if alert.is_told || alert.is_muted || alert.acknowledged.is_some() || is_soon {
                continue;
            }
            alert.is_told = true;
            one.told = Some(now);
            let (id, name, severity) = (alert.id, alert.def.name, alert.def.severity.as_str());
            let (component, description) = (alert.component, alert.description.as_str());
            match alert.def.severity {
                AlertSeverity::Critical => {
                    tracing::error!(
                        id,
                        alert = name,
                        severity,
                        component,
                        description,
                        "alert firing"
                    );
                }
                AlertSeverity::Warning => {
                    tracing::warn!(
                        id,
                        alert = name,
                        severity,
                        component,
                        description,
                        "alert firing"
                    );
                }
            }
        }
    }

    /// All alerts: those that are pending or fire, then those that ended, the latest first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let state = self.state();
        let active = state.tracked.iter().filter_map(|one| one.alert.clone());
        active.chain(state.past.iter().rev().cloned()).collect()
    }

    /// Notes that somebody has taken an alert on: people are told of it no more.
    ///
    /// # Errors
    /// There is none that is active under this number.
    pub(crate) fn acknowledge(
        &self,
        id: u64,
        acknowledgement: Acknowledgement,
    ) -> Result<Alert, Refused> {
        let state = &mut *self.state();
        let mut active = state
            .tracked
            .iter_mut()
            .filter_map(|one| one.alert.as_mut());
        match active.find(|alert| alert.id == id) {
            Some(alert) => {
                alert.acknowledged.get_or_insert(acknowledgement);
                Ok(alert.clone())
            }
            None if state.past.iter().any(|alert| alert.id == id) => Err(Refused::Resolved),
            None => Err(Refused::Unknown),
        }
    }

    fn state(&self) -> MutexGuard<'_, Managed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A warning says nothing while what is critical under its name fires.
fn mute(tracked: &mut [Tracked]) {
    let critical: Vec<_> = tracked
        .iter()
        .filter(|one| one.def.severity == AlertSeverity::Critical)
        .filter(|one| one.alert.as_ref().is_some_and(Alert::is_firing))
        .map(|one| (one.def.name, one.component))
        .collect();
    for one in tracked {
        let is_warning = one.def.severity == AlertSeverity::Warning;
        if let Some(alert) = &mut one.alert {
            alert.is_muted = is_warning && critical.contains(&(one.def.name, one.component));
        }
    }
}

/// A sentence on the component whose suspects hold most, with a space before it, or nothing.
fn largest(snapshot: &Snapshot) -> String {
    let leaks = snapshot.derived.leaks.iter();
    let held = leaks.flat_map(|leaks| &leaks.components);
    let most = held.max_by_key(|counts| counts.open_bytes);
    #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    let sentence = most.filter(|counts| counts.open_bytes > 0).map(|counts| {
        let bytes = Quantity::Bytes.written(counts.open_bytes as f64);
        most_is_held(counts.component, &bytes)
    });
    sentence.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::ProcessReading;
    use crate::config::Config;
    use crate::snapshot::Reading;

    const INTERVAL: Duration = Duration::from_secs(30);

    /// A process whose resident memory is looked at every half minute.
    struct Process {
        manager: AlertManager,
        snapshot: Snapshot,
    }

    impl Process {
        fn new() -> Self {
            let alerts = Config::production().alerts;
            Self {
                manager: AlertManager::new(&alerts, INTERVAL, "shop", "a:1"),
                snapshot: Snapshot {
                    time: SystemTime::UNIX_EPOCH,
                    ..Snapshot::default()
                },
            }
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
                self.manager.observe(&self.snapshot);
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
                Refused::Resolved
            );
        }
        assert_eq!(
            process.manager.acknowledge(99, by("bob")).unwrap_err(),
            Refused::Unknown
        );
    }

    #[test]
    fn people_are_told_again_only_after_the_cooldown() {
        let mut process = Process::new();
        process.manager.cooldown = Duration::from_secs(3_600);
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
}
