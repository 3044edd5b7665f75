//! The alerts of this process, from the first sign to the end and some time beyond, and who is told of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::analysis::Culprit;
use crate::catalog::{ALERTS, AlertDef, Quantity, compact, most_is_held};
use crate::config::{Config, Thresholds};
use crate::snapshot::Snapshot;

use super::delivery::Outlets;
use super::group::Manners;
use super::managed::{Managed, Tracked, end};
use super::message::Origin;
use super::state::{Alert, Identity};
use super::store::{Remembered, Store};
use super::{Evaluator, Pace, Progress, State};

/// Most alerts that are remembered after their end; the oldest goes first.
const MOST_PAST: usize = 1_000;

/// Finds the call site to look at first for an alert, of a component where it has one. May take its time.
pub(crate) type Find<'a> = &'a dyn Fn(&'static AlertDef, Option<&str>) -> Option<Culprit>;

/// Evaluates all alerts, remembers them, and decides who is told what and when.
#[derive(Debug)]
pub(crate) struct AlertManager {
    thresholds: Thresholds,
    pub(super) pace: Pace,
    pub(super) manners: Manners,
    pub(super) identity: Identity,
    pub(super) origin: Arc<Origin>,
    pub(super) outlets: Arc<Outlets>,
    store: Option<Arc<Store>>,
    pub(super) state: Mutex<Managed>,
}

impl AlertManager {
    /// Evaluates at every `sampling.interval` from now on, for a process that is called `job` and `instance`. Goes on from what the process
    /// before this one has left in `history.directory`.
    pub(crate) fn new(config: &Config, job: &str, instance: &str, outlets: Arc<Outlets>) -> Self {
        let mut manager = Self::without_past(config, job, instance, outlets);
        let directory = config.history.directory.as_deref();
        if let Some((store, remembered)) = directory.and_then(Store::open) {
            manager.store = Some(Arc::new(store));
            manager.resume(remembered);
        }
        manager
    }

    /// As [`new`](Self::new), in the place of another one of this process, which from now on does nothing: all that it knew goes on here.
    pub(crate) fn succeeding(
        before: &Self,
        config: &Config,
        job: &str,
        instance: &str,
        outlets: Arc<Outlets>,
    ) -> Self {
        let mut manager = Self::without_past(config, job, instance, outlets);
        manager.store.clone_from(&before.store);
        let left = Managed {
            is_finished: true,
            is_handed_over: true,
            ..Managed::default()
        };
        manager.state = Mutex::new(std::mem::replace(&mut *before.state(), left));
        manager
    }

    fn without_past(config: &Config, job: &str, instance: &str, outlets: Arc<Outlets>) -> Self {
        let identity = Identity::new(config, job, instance);
        let interval = config.sampling.interval;
        Self {
            thresholds: config.alerts.thresholds,
            pace: Pace::new(interval, interval, config.alerts.shorten),
            manners: Manners {
                group_by: config.alerts.group_by.clone(),
                cooldown: config.alerts.cooldown,
                repeat_interval: config.alerts.repeat_interval,
            },
            origin: Arc::new(Origin::of(&identity)),
            identity,
            outlets,
            store: None,
            state: Mutex::default(),
        }
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
    pub(crate) fn outlets(&self) -> &Arc<Outlets> {
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
        let found = firing.into_iter().filter_map(|alert| {
            let culprit = find(alert.def, alert.component.as_deref())?;
            Some((alert.id, culprit))
        });
        let found: Vec<(u64, Culprit)> = found.collect();
        let state = &mut *self.state();
        if state.is_finished {
            return;
        }
        for alert in state.active() {
            if let Some((_, culprit)) = found.iter().find(|(id, _)| *id == alert.id) {
                let before = alert.culprit.take();
                // A suspect that was cleared has done it all the same, and who merely holds most has not.
                let before = before.filter(|before| {
                    alert.def.is_of_suspects() && before.is_suspect && !culprit.is_suspect
                });
                alert.culprit = before.or_else(|| Some(culprit.clone()));
            }
        }
        state.hush(&self.identity, snapshot.time);
        self.tell(state, snapshot.time);
    }

    /// Writes what is to survive the process to disk, where there is a place for it and anything has changed; says whether it is there. Takes
    /// some milliseconds.
    pub(crate) fn keep(&self) -> bool {
        let Some(store) = &self.store else {
            return true;
        };
        let is_kept = store.write(|| {
            let state = &mut *self.state();
            let is_changed = std::mem::take(&mut state.is_changed) && !state.is_handed_over;
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
        is_kept
    }

    /// Writes what is to survive, and lets go of where that stands.
    pub(crate) fn close(&self) {
        self.keep();
        if let Some(store) = &self.store {
            store.close();
        }
    }

    /// Takes in a snapshot, and says for which alerts that fire somebody is to be blamed; nothing any more once they were finished.
    fn evaluate(&self, snapshot: &Snapshot) -> Option<Vec<Alert>> {
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
        // Who is to blame when it is over cannot be seen any more.
        let asked = state.tracked.iter().filter_map(|one| {
            let alert = one.alert.as_ref().filter(|alert| alert.is_firing())?;
            let is_open = one.progress.holds() || alert.culprit.is_none();
            is_open.then(|| alert.clone())
        });
        Some(asked.collect())
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
    pub(super) fn ended(&self, state: &mut Managed, alert: Alert) {
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

    /// Bytes reserved for samples and for the alerts of before; texts are counted as if they were all of a usual length.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        const TEXTS: usize = 500;
        let state = self.state();
        let past = state.past.len() * (size_of::<Alert>() + TEXTS);
        (state.kept.bytes() + past) as u64
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Managed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
