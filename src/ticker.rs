//! Floor 7: the one ticker. It alone writes the history; what takes long it begins on threads that may take their time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::alert::AlertManager;
use crate::catalog::{AlertDef, Condition, Over};
use crate::heap;
use crate::profile::{Asker, Profiler};
use crate::snapshot::{OwnStats, Recorder};
use crate::watch::{Guard, LeakWatch, Most};

/// How often the limit is looked at while the process is not far from it.
const GUARD_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that happens at intervals.
#[derive(Debug)]
pub(crate) struct Ticker {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) profiler: Option<Arc<Profiler>>,
    pub(crate) leaks: Arc<LeakWatch>,
    pub(crate) guard: Option<Arc<Guard>>,
    pub(crate) alerts: Option<Arc<AlertManager>>,
    pub(crate) interval: Duration,
    /// Used share of the limit from which on it is looked at each second.
    pub(crate) guard_from: f64,
}

impl Ticker {
    /// Runs until it is stopped.
    pub(crate) async fn run(self, stopped: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut guarding = tokio::time::interval(GUARD_INTERVAL.min(self.interval));
        guarding.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_near = false;
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.tick();
                    is_near = self.guard();
                }
                _ = guarding.tick(), if is_near => is_near = self.guard(),
                () = &mut stopped => return,
            }
        }
    }

    fn tick(&self) {
        if self.recorder.tick() {
            self.leaks.begin_anew();
        }
        let mut reserved = self.leaks.reserved_bytes();
        if let Some(profiler) = &self.profiler {
            look(profiler, self.recorder.own());
            reserved = reserved.saturating_add(profiler.reserved_bytes());
        }
        if let Some(alerts) = &self.alerts {
            reserved = reserved.saturating_add(alerts.reserved_bytes());
        }
        self.recorder.own().set_profiles_bytes(reserved);
        let last = self.recorder.history().points().next_back().copied();
        if let (Some(moment), Some(archive)) = (last, self.recorder.archive()) {
            let (archive, own) = (Arc::clone(archive), Arc::clone(self.recorder.own()));
            if archive.is_busy() {
                own.history_failed();
            } else {
                spawn_blocking(move || {
                    if !archive.add(&moment) {
                        own.history_failed();
                    }
                });
            }
        }
        if let Some(moment) = last
            && let Some(look) = self.leaks.begin()
        {
            let (recorder, alerts) = (Arc::clone(&self.recorder), self.alerts.clone());
            let leaks = Arc::clone(&self.leaks);
            spawn_blocking(move || {
                look.at(&moment);
                // What was found just now is part of what alerts look at.
                if let Some(alerts) = alerts {
                    let snapshot = recorder.snapshot();
                    alerts.observe(&snapshot, &|def, component| {
                        leaks.culprit(component, most(def), snapshot.time)
                    });
                    if !alerts.keep() {
                        recorder.own().history_failed();
                    }
                }
                if !look.keep() {
                    recorder.own().history_failed();
                }
                // Until here nobody else begins: alerts must see one moment after the other.
                drop(look);
            });
        }
    }

    /// Has evidence captured if the limit is near; says whether it should be looked at again soon.
    fn guard(&self) -> bool {
        let (Some(guard), Some(profiler)) = (&self.guard, &self.profiler) else {
            return false;
        };
        let snapshot = self.recorder.snapshot();
        let Some(limit) = snapshot.limit() else {
            return false;
        };
        if let Some(due) = guard.decide(snapshot.time, limit) {
            let profiler = Arc::clone(profiler);
            let leaks = Arc::clone(&self.leaks);
            spawn_blocking(move || {
                let report = |with_symbols: bool| {
                    let build = profiler.begin(Asker::Ticker).ok();
                    let build = build.filter(|_| with_symbols);
                    let report = leaks.report(build.as_ref());
                    serde_json::to_vec_pretty(&report).ok()
                };
                due.capture(report);
            });
        }
        limit
            .used_ratio()
            .is_some_and(|ratio| ratio >= self.guard_from)
    }
}

/// Whose call site an alert is about, where none is suspected of a leak.
fn most(def: &AlertDef) -> Most {
    match def.condition {
        Condition::Level {
            over: Over::Slope(_),
            ..
        }
        | Condition::Reached { .. }
        | Condition::Risen { .. } => Most::Grows,
        Condition::Level { .. } | Condition::Silent { .. } => Most::Holds,
    }
}

/// Notes where the call sites stand, and begins what is due and takes long on a thread that may take it.
fn look(profiler: &Arc<Profiler>, own: &Arc<OwnStats>) {
    heap::refresh_modules();
    profiler.tick();
    let now = SystemTime::now();
    if profiler.is_due(now)
        && let Ok(build) = profiler.begin(Asker::Ticker)
    {
        let own = Arc::clone(own);
        spawn_blocking(move || {
            if !heap::apart(|| build.work(now)) {
                own.history_failed();
            }
        });
    }
}
