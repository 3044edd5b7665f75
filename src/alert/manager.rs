//! The alerts of this process, from the first sign to the end and some time beyond, and who is told of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::analysis::Culprit;
use crate::catalog::{ALERTS, AlertDef, AlertSeverity, Quantity, compact, most_is_held};
use crate::config::{Alerts, Config, Thresholds};
use crate::snapshot::Snapshot;

use super::delivery::Outlets;
use super::group::{Due, Manners, Told};
use super::kept::Kept;
use super::links;
use super::message::{Event, Group, Message, Origin};
use super::silence::{MOST_SILENCES, Matcher, Silence};
use super::state::{Acknowledgement, Alert, Identity};
use super::store::{Remembered, Store};
use super::{Evaluator, Pace, Progress, State};

/// Most alerts that are remembered after their end; the oldest goes first.
const MOST_PAST: usize = 1_000;
/// How long those who are told of the state of all alerts are told of one that has ended, as by Prometheus.
const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);

/// Finds the call site to look at first for an alert, of a component where it has one. May take its time.
pub(crate) type Find<'a> = &'a dyn Fn(&'static AlertDef, Option<&str>) -> Option<Culprit>;

/// Evaluates all alerts, remembers them, and decides who is told what and when.
#[derive(Debug)]
pub(crate) struct AlertManager {
    thresholds: Thresholds,
    pace: Pace,
    manners: Manners,
    identity: Identity,
    origin: Arc<Origin>,
    outlets: Arc<Outlets>,
    store: Option<Store>,
    state: Mutex<Managed>,
}

#[derive(Debug, Default)]
struct Managed {
    kept: Kept,
    /// The time of the last snapshot, and how many seconds after the first it was.
    clock: Option<(SystemTime, f64)>,
    tracked: Vec<Tracked>,
    told: Vec<Told>,
    past: VecDeque<Alert>,
    silences: Vec<Silence>,
    last_id: u64,
    /// Whether all have been ended for good.
    is_finished: bool,
    /// Whether what is kept on disk is not what is known.
    is_changed: bool,
}

/// An alert as it may be at any time, of one component where it has them.
#[derive(Debug)]
struct Tracked {
    def: &'static AlertDef,
    component: Option<Arc<str>>,
    progress: Progress,
    alert: Option<Alert>,
    /// Until then it goes on as the process before this one left it.
    held_until: Option<f64>,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is none with this number.
    Unknown,
    /// It has ended.
    Ended,
    /// There are as many as there may be.
    TooMany,
}

impl AlertManager {
    /// Evaluates at every `sampling.interval` from now on, for a process that is called `job` and `instance`. Goes on from what the process
    /// before this one has left in `history.directory`.
    pub(crate) fn new(config: &Config, job: &str, instance: &str, outlets: Arc<Outlets>) -> Self {
        let Alerts {
            labels: own,
            links,
            thresholds,
            ..
        } = &config.alerts;
        let mut labels = config.metrics.labels.clone();
        for (name, value) in [("job", job), ("instance", instance)] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        labels.extend(own.clone());
        labels.insert("origin".to_owned(), "embedded".to_owned());
        let identity = Identity {
            links: links.clone(),
            labels,
        };
        let (job, instance) = (identity.label("job"), identity.label("instance"));
        let origin = Origin {
            job: job.to_owned(),
            instance: instance.to_owned(),
            url: links::exporter(links, instance),
        };
        let interval = config.sampling.interval;
        let directory = config.history.directory.as_deref();
        let mut manager = Self {
            thresholds: *thresholds,
            pace: Pace::new(interval, interval, config.alerts.shorten),
            manners: Manners {
                group_by: config.alerts.group_by.clone(),
                cooldown: config.alerts.cooldown,
                repeat_interval: config.alerts.repeat_interval,
            },
            origin: Arc::new(origin),
            identity,
            outlets,
            store: None,
            state: Mutex::default(),
        };
        if let Some((store, remembered)) = directory.and_then(Store::open) {
            manager.store = Some(store);
            manager.resume(remembered);
        }
        manager
    }

    /// Goes on from where another process was: what fired there goes on for as long as it would without its condition.
    fn resume(&self, remembered: Remembered) {
        let state = &mut *self.state();
        state.last_id = remembered.last_id;
        state.silences = remembered.silences;
        state.past = remembered.past.into();
        for alert in remembered.active {
            let held = self.pace.time(alert.def.keep_firing).as_secs_f64();
            self.told(state, &alert).fired = Some(0.0);
            state.tracked.push(Tracked {
                def: alert.def,
                component: alert.component.clone(),
                progress: Progress::default(),
                alert: Some(alert),
                held_until: Some(held),
            });
        }
    }

    /// Who this process is to those who are told.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who is told.
    pub(crate) fn outlets(&self) -> &Outlets {
        &self.outlets
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

    /// Evaluates every alert over what a snapshot and those before it say, and tells people what is new. `find` is asked while nothing is
    /// locked.
    pub(crate) fn observe(&self, snapshot: &Snapshot, find: Find<'_>) {
        let Some(firing) = self.evaluate(snapshot) else {
            return;
        };
        let found: Vec<_> = firing
            .into_iter()
            .filter_map(|(id, def, component)| Some((id, find(def, component.as_deref())?)))
            .collect();
        let state = &mut *self.state();
        if state.is_finished {
            return;
        }
        for alert in state.active() {
            if let Some((_, culprit)) = found.iter().find(|(id, _)| *id == alert.id) {
                alert.culprit = Some(culprit.clone());
            }
        }
        state.hush(&self.identity, snapshot.time);
        self.tell(state, snapshot.time);
    }

    /// Ends all alerts, because the process does, and tells people.
    pub(crate) fn finish(&self) {
        let now = SystemTime::now();
        let state = &mut *self.state();
        state.is_finished = true;
        let tracked = std::mem::take(&mut state.tracked);
        for mut one in tracked {
            if let Some(alert) = end(&mut one, now) {
                self.ended(state, alert);
            }
        }
        self.tell(state, now);
    }

    /// Writes what is to survive the process to disk, where there is a place for it and anything has changed. Takes some milliseconds.
    pub(crate) fn keep(&self) {
        let Some(store) = &self.store else {
            return;
        };
        let is_kept = store.write(|| {
            let state = &mut *self.state();
            let is_changed = std::mem::take(&mut state.is_changed);
            is_changed.then(|| Remembered {
                last_id: state.last_id,
                active: state
                    .active()
                    .filter(|alert| alert.is_told)
                    .map(|alert| alert.clone())
                    .collect(),
                past: state.past.iter().cloned().collect(),
                silences: state.silences.clone(),
            })
        });
        if !is_kept {
            self.state().is_changed = true;
        }
    }

    /// Takes in a snapshot, and says which alerts fire; nothing any more once they were finished.
    fn evaluate(
        &self,
        snapshot: &Snapshot,
    ) -> Option<Vec<(u64, &'static AlertDef, Option<Arc<str>>)>> {
        let state = &mut *self.state();
        if state.is_finished {
            return None;
        }
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
                    std::ptr::eq(tracked.def, def) && tracked.component.as_deref() == component
                };
                if !state.tracked.iter().any(is_it) {
                    state.tracked.push(Tracked {
                        def,
                        component: component.map(Arc::from),
                        progress: Progress::default(),
                        alert: None,
                        held_until: None,
                    });
                }
            }
        }
        let evaluator = Evaluator::new(&self.thresholds, self.pace);
        let mut ended = Vec::new();
        let Managed {
            kept,
            tracked,
            last_id,
            is_changed,
            ..
        } = state;
        for one in &mut *tracked {
            let component = one.component.clone();
            let samples = |def| kept.of(def, component.as_deref());
            evaluator.advance(&mut one.progress, one.def, samples, now);
            let before = one.alert.as_ref().map(Alert::state);
            ended.extend(self.follow(one, snapshot, now, last_id));
            *is_changed |= before != one.alert.as_ref().map(Alert::state);
        }
        for alert in ended {
            self.ended(state, alert);
        }
        let firing = state.active().filter(|alert| alert.is_firing());
        let firing = firing.map(|alert| (alert.id, alert.def, alert.component.clone()));
        Some(firing.collect())
    }

    /// Takes over how far an alert has come; gives it back when it has ended after it fired.
    fn follow(
        &self,
        one: &mut Tracked,
        snapshot: &Snapshot,
        now: f64,
        last_id: &mut u64,
    ) -> Option<Alert> {
        let (state, value) = (one.progress.state(), one.progress.value());
        if state == State::Firing {
            one.held_until = None;
        } else if let Some(until) = one.held_until {
            if now < until {
                return None;
            }
            one.held_until = None;
            return end(one, snapshot.time);
        }
        let Some(value) = value.filter(|_| state != State::Inactive) else {
            return end(one, snapshot.time);
        };
        let (def, component) = (one.def, &one.component);
        let alert = one.alert.get_or_insert_with(|| {
            *last_id += 1;
            Alert::begin(*last_id, def, component.clone(), snapshot.time)
        });
        alert.value = value;
        alert.description = self.describe(alert, snapshot);
        if state == State::Firing {
            alert.fired_at.get_or_insert(snapshot.time);
        }
        None
    }

    /// Remembers an alert that has ended, also as one that people must be told of.
    fn ended(&self, state: &mut Managed, alert: Alert) {
        if alert.is_told {
            self.told(state, &alert).ended.push(alert.clone());
        }
        if state.past.len() >= MOST_PAST {
            state.past.pop_front();
        }
        state.past.push_back(alert);
        state.is_changed = true;
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
            "time" => compact(def.time(window, self.pace.time(def.hold))),
            "largest" => largest(snapshot),
            "component" => alert.component.as_deref().unwrap_or_default().to_owned(),
            label => self.identity.label(label).to_owned(),
        })
    }

    /// What people know of the group of an alert.
    fn told<'s>(&self, state: &'s mut Managed, alert: &Alert) -> &'s mut Told {
        let group = self.manners.group(&self.identity, alert);
        let known = state.told.iter().position(|told| *told.group == group);
        let at = known.unwrap_or_else(|| {
            state.told.push(Told {
                group: Arc::new(group),
                fired: None,
                ended: Vec::new(),
                is_acknowledged: false,
            });
            state.told.len() - 1
        });
        &mut state.told[at]
    }

    /// Tells people what is due.
    fn tell(&self, state: &mut Managed, time: SystemTime) {
        let now = state.clock.map_or(0.0, |(_, seconds)| seconds);
        let firing: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        for alert in firing.iter().filter(|alert| alert.is_firing()) {
            self.told(state, alert);
        }
        let Managed { told, tracked, .. } = &mut *state;
        let mut messages = Vec::new();
        for told in told {
            let active = tracked.iter_mut().filter_map(|one| one.alert.as_mut());
            let is_member =
                |alert: &&mut Alert| self.manners.group(&self.identity, alert) == *told.group;
            let mut members: Vec<&mut Alert> = active.filter(is_member).collect();
            let due = self.manners.due(told, &mut members, now);
            messages.extend(due.map(|due| self.message(due, time)));
        }
        state.is_changed |= !messages.is_empty();
        for message in messages {
            self.outlets.offer(&Arc::new(message));
        }
        if self.outlets.want_all() {
            self.outlets.offer_all(self.all(state, time));
        }
    }

    /// All alerts that fire or have ended lately, for who decides himself what to do about them.
    fn all(&self, state: &mut Managed, time: SystemTime) -> Message {
        let is_late = |alert: &&Alert| {
            let since = alert
                .resolved_at
                .and_then(|end| time.duration_since(end).ok());
            since.is_some_and(|since| since <= RESOLVED_FOR)
        };
        let ended: Vec<Alert> = state.past.iter().filter(is_late).cloned().collect();
        let active = state.active().map(|alert| alert.clone());
        let firing = active.filter(Alert::is_firing);
        let heard = firing
            .chain(ended)
            .filter(|alert| alert.silenced_by.is_empty());
        let alerts = heard.collect();
        let group = Group {
            key: String::new(),
            labels: BTreeMap::new(),
        };
        let event = Event::Firing;
        self.message(
            Due {
                group: Arc::new(group),
                event,
                alerts,
            },
            time,
        )
    }

    fn message(&self, due: Due, made_at: SystemTime) -> Message {
        let notices = due
            .alerts
            .iter()
            .map(|alert| self.identity.notice(alert, self.threshold(alert.def)));
        Message {
            id: uuid::Uuid::new_v4().to_string(),
            event: due.event,
            notices: notices.collect(),
            group: due.group,
            made_at,
            origin: Arc::clone(&self.origin),
            is_test: false,
        }
    }

    /// All alerts: those that are pending or fire, then those that ended, the latest first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let state = &mut *self.state();
        let mut alerts: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        alerts.extend(state.past.iter().rev().cloned());
        alerts
    }

    /// Notes that somebody has taken an alert on: people are told of it no more until it ends.
    ///
    /// # Errors
    /// There is none that is active under this number.
    pub(crate) fn acknowledge(
        &self,
        id: u64,
        acknowledgement: Acknowledgement,
    ) -> Result<Alert, Refused> {
        let state = &mut *self.state();
        let at = acknowledgement.at;
        let Some(alert) = state.active().find(|alert| alert.id == id) else {
            return Err(match state.past.iter().any(|alert| alert.id == id) {
                true => Refused::Ended,
                false => Refused::Unknown,
            });
        };
        alert.acknowledged.get_or_insert(acknowledgement);
        let alert = alert.clone();
        let group = self.manners.group(&self.identity, &alert);
        let active: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        let is_member = |other: &&Alert| self.manners.group(&self.identity, other) == group;
        let members: Vec<&Alert> = active.iter().filter(is_member).collect();
        let due = Manners::acknowledged(self.told(state, &alert), &members);
        if let Some(due) = due {
            self.outlets.offer(&Arc::new(self.message(due, at)));
        }
        state.is_changed = true;
        Ok(alert)
    }

    /// The silences that have not ended.
    pub(crate) fn silences(&self, now: SystemTime) -> Vec<Silence> {
        let state = &mut *self.state();
        state.hush(&self.identity, now);
        state.silences.clone()
    }

    /// Keeps quiet from now on for a time what all matchers hold for.
    ///
    /// # Errors
    /// There are as many silences as there may be.
    pub(crate) fn silence(
        &self,
        matchers: Vec<Matcher>,
        (starts_at, ends_at): (SystemTime, SystemTime),
        by: Option<String>,
        comment: Option<String>,
    ) -> Result<Silence, Refused> {
        let state = &mut *self.state();
        state.hush(&self.identity, starts_at);
        if state.silences.len() >= MOST_SILENCES {
            return Err(Refused::TooMany);
        }
        state.last_id += 1;
        let silence = Silence {
            id: state.last_id,
            matchers,
            starts_at,
            ends_at,
            by,
            comment,
        };
        state.silences.push(silence.clone());
        state.is_changed = true;
        state.hush(&self.identity, starts_at);
        Ok(silence)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) fn unsilence(&self, id: u64, now: SystemTime) -> Result<Silence, Refused> {
        let state = &mut *self.state();
        let at = state.silences.iter().position(|silence| silence.id == id);
        let silence = state.silences.remove(at.ok_or(Refused::Unknown)?);
        state.is_changed = true;
        state.hush(&self.identity, now);
        Ok(silence)
    }

    fn state(&self) -> MutexGuard<'_, Managed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Managed {
    fn active(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.tracked.iter_mut().filter_map(|one| one.alert.as_mut())
    }

    /// Says of each alert whether it is quiet: a warning while what is critical under its name fires, and whatever a silence covers.
    fn hush(&mut self, identity: &Identity, now: SystemTime) {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.ends_at > now);
        self.is_changed |= self.silences.len() != before;
        let Self {
            tracked, silences, ..
        } = self;
        let loud = tracked.iter().filter_map(|one| one.alert.as_ref());
        let loud =
            loud.filter(|alert| alert.def.severity == AlertSeverity::Critical && alert.is_firing());
        let critical: Vec<_> = loud
            .map(|alert| (alert.def.name, alert.component.clone()))
            .collect();
        for alert in tracked.iter_mut().filter_map(|one| one.alert.as_mut()) {
            let is_warning = alert.def.severity == AlertSeverity::Warning;
            let name = (alert.def.name, alert.component.clone());
            alert.is_muted = is_warning && critical.contains(&name);
            let labels = identity.labels_of(alert.def, alert.component.as_deref());
            let silenced_by = silences.iter().filter(|silence| silence.covers(&labels));
            alert.silenced_by = silenced_by.map(|silence| silence.id).collect();
        }
    }
}

/// Takes an alert that has ended; gives it back if it ever fired.
fn end(one: &mut Tracked, now: SystemTime) -> Option<Alert> {
    let mut ended = one.alert.take()?;
    ended.resolved_at = Some(now);
    ended.fired_at.is_some().then_some(ended)
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
            let config = Config::production();
            Self {
                manager: AlertManager::new(&config, "shop", "a:1", Arc::default()),
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
                self.manager.observe(&self.snapshot, &|_, _| None);
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
        let mut process = Process::new();
        process.manager.manners.cooldown = Duration::from_secs(3_600);
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
