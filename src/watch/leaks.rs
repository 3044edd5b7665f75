//! The leak detector at work: it is shown all call sites at every tick, and everybody is told what it found.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::analysis::leak::{Change, LeakDetector, Observation, Severity, Suspect};
use crate::config::{Config, Leaks};
use crate::heap::{self, CallSite, UNATTRIBUTED};
use crate::profile::{Asker, Build, Profiler};
use crate::snapshot::{LeakReading, Point};

use super::culprit::Answers;
use super::frames::readable;
use super::line::Stacks;
use super::observe::Observer;
use super::recording::Recording;
use super::report::{EarlierSession, LeakReport, MOST_STACKS};
use super::sessions::Sessions;

const MB: f64 = 1_048_576.0;

/// Watches for leaks.
#[derive(Debug)]
pub(crate) struct LeakWatch {
    /// Sees call sites and their stacks; there is none where they cannot be seen.
    pub(super) profiler: Option<Arc<Profiler>>,
    pub(super) state: Mutex<State>,
    /// Stacks of suspects, so that they have names when there is no room to read symbols, and need not be read again.
    pub(super) names: Mutex<Stacks>,
    pub(super) answers: Mutex<Answers>,
    reading: Mutex<LeakReading>,
    session_id: String,
    sessions: Option<Sessions>,
    is_looking: AtomicBool,
    /// Whether the next look is at another process.
    is_new: AtomicBool,
    reserved: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) detector: LeakDetector,
    observer: Option<Observer>,
    recording: Option<Recording>,
}

impl LeakWatch {
    /// A watch that has seen nothing yet. Without a profiler, only the process as a whole is looked at. What it finds survives the process
    /// where `history.directory` says so.
    pub(crate) fn new(config: &Config, profiler: Option<Arc<Profiler>>, session: &str) -> Self {
        let sessions = Sessions::of(&config.history, session);
        let config = &config.leaks;
        let mut reading = LeakReading::default();
        reading.of(UNATTRIBUTED);
        let recording = record(config, session);
        Self {
            state: Mutex::new(State {
                detector: LeakDetector::new(config.thresholds),
                observer: profiler.is_some().then(Observer::new),
                recording,
            }),
            profiler,
            names: Mutex::default(),
            answers: Mutex::default(),
            reading: Mutex::new(reading),
            session_id: session.to_owned(),
            sessions,
            is_looking: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
            reserved: AtomicU64::new(0),
        }
    }

    /// From now on other thresholds hold. A recording begins anew where it is to be another one. Waits while somebody looks.
    pub(crate) fn reconfigure(&self, old: &Config, new: &Config) {
        if let Some(sessions) = &self.sessions {
            sessions.keep_for(new.history.retention);
        }
        let state = &mut *lock(&self.state);
        state.detector.set_thresholds(new.leaks.thresholds);
        if new.leaks.recording != old.leaks.recording {
            state.recording = record(&new.leaks, &self.session_id);
        }
    }

    /// It is another process from now on: what was seen before says nothing about it.
    pub(crate) fn begin_anew(&self) {
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// What the detector found, in numbers.
    pub(crate) fn reading(&self) -> LeakReading {
        lock(&self.reading).clone()
    }

    /// Permission to look, unless somebody does.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Look> {
        let is_first = !self.is_looking.swap(true, Ordering::AcqRel);
        is_first.then(|| Look(Arc::clone(self)))
    }

    fn look(&self, moment: &Point) {
        let state = &mut *lock(&self.state);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the mean of one moment is a whole number of bytes"
        )]
        let bytes = |level: Option<crate::snapshot::Level>| level.map(|level| level.mean as u64);
        let (heap_bytes, rss_bytes) = (bytes(moment.heap), bytes(moment.rss));
        let whole = Observation {
            time: milliseconds(moment.time),
            heap_bytes,
            rss_bytes,
            ..Observation::default()
        };
        let observation = match &mut state.observer {
            Some(observer) if heap::sample_interval() > 0 => {
                observer.observe(heap_bytes, rss_bytes, || self.build())
            }
            _ => &whole,
        };
        if self.is_new.swap(false, Ordering::Relaxed) {
            state.detector.begin_anew();
        }
        let changes = state.detector.observe(observation);
        if let Some(recording) = &mut state.recording {
            let stacks = self.stacks(&recording.unknown(observation));
            match recording.write(observation, &stacks) {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!(
                        "the recording of leaks has reached leaks.recording.max_bytes and ends"
                    );
                    state.recording = None;
                }
                Err(error) => {
                    tracing::error!(%error, "leaks cannot be recorded any more");
                    state.recording = None;
                }
            }
        }
        self.publish(&state.detector, &changes);
        self.tell(&changes);
        let observer = state.observer.as_ref().map_or(0, Observer::bytes);
        let reserved = state.detector.reserved_bytes() + observer;
        self.reserved.store(reserved as u64, Ordering::Relaxed);
    }

    /// Call sites of suspects whose names are not known yet. Waits while somebody looks.
    pub(crate) fn unnamed(&self) -> Vec<u32> {
        let sites = LeakReport::sites(&lock(&self.state).detector);
        let names = &mut *lock(&self.names);
        names.retain(|site, _| sites.contains(site));
        let unnamed = sites.into_iter().filter(|site| !names.contains_key(site));
        unnamed.collect()
    }

    /// The report on all suspects. `build` reads the symbols that are not known yet; without it what they would name is unknown.
    pub(crate) fn report(&self, build: Option<&Build>) -> LeakReport {
        if let Some(build) = build {
            self.name(build, &self.unnamed());
        }
        LeakReport::new(&lock(&self.state).detector, &lock(&self.names))
    }

    /// The same with what earlier sessions found. Reads the disk.
    pub(crate) fn whole_report(&self, build: Option<&Build>) -> LeakReport {
        let earlier = self
            .sessions
            .as_ref()
            .map(|sessions| sessions.earlier(SystemTime::now()));
        self.report(build).after(earlier.unwrap_or_default())
    }

    /// Writes what was found to disk, if that has changed; says whether it is there. `build` is as for a report.
    fn keep(&self, build: Option<&Build>) -> bool {
        let Some(sessions) = &self.sessions else {
            return true;
        };
        let now = milliseconds(SystemTime::now());
        let found = EarlierSession::of(self.report(build), &self.session_id, now);
        // Of a session that found nothing there is no file.
        found.is_empty() || sessions.write(found)
    }

    /// Writes what was found, and lets go of where that and the profiles stand.
    pub(crate) fn close(&self) {
        // Symbols are not read any more: that takes long.
        self.keep(None);
        if let Some(sessions) = &self.sessions {
            sessions.close();
        }
        if let Some(profiler) = &self.profiler {
            profiler.close();
        }
    }

    fn name(&self, build: &Build, sites: &[u32]) {
        if !sites.is_empty() {
            let named = stacks(build, sites);
            lock(&self.names).extend(named);
        }
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    pub(super) fn build(&self) -> Option<Build> {
        self.profiler.as_ref()?.begin(Asker::Ticker).ok()
    }

    fn stacks(&self, sites: &[u32]) -> Stacks {
        if sites.is_empty() {
            return Stacks::new();
        }
        self.build()
            .map(|build| stacks(&build, sites))
            .unwrap_or_default()
    }

    fn publish(&self, detector: &LeakDetector, changes: &[Change]) {
        let names: HashMap<&str, &'static str> =
            heap::component_names().map(|name| (name, name)).collect();
        let name = |suspect: &str| names.get(suspect).copied().unwrap_or(UNATTRIBUTED);
        let reading = &mut *lock(&self.reading);
        reading.opened = detector.opened();
        reading.suspects = Default::default();
        reading.growth_mb_per_hour = 0.0;
        let worst = detector
            .suspects()
            .iter()
            .max_by_key(|suspect| suspect.severity);
        reading.worst_component = worst.map(|suspect| name(&suspect.component));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, never negative; a cast saturates"
        )]
        let bytes = |suspect: &Suspect| suspect.bytes() as u64;
        for counts in &mut reading.components {
            counts.open_bytes = 0;
        }
        for suspect in detector.suspects() {
            reading.suspects[suspect.severity.index()] += 1;
            reading.growth_mb_per_hour += suspect.growth() / MB;
            let open = &mut reading.of(name(&suspect.component)).open_bytes;
            *open = open.saturating_add(bytes(suspect));
        }
        for change in changes {
            if let Change::Opened(suspect) | Change::Worsened(suspect) = change {
                let bytes = bytes(suspect);
                let counts = reading.of(name(&suspect.component));
                counts.count(suspect.severity.index(), bytes);
            }
        }
        for severity in Severity::ALL {
            for counts in &mut reading.components {
                counts.added[severity.index()] = 0.0;
            }
        }
        for ((component, severity), objects) in detector.added() {
            reading.of(name(component)).added[severity.index()] += objects;
        }
    }

    /// Writes what has changed to the log.
    fn tell(&self, changes: &[Change]) {
        let names = &mut *lock(&self.names);
        let parts = changes.iter().flat_map(|change| &change.suspect().parts);
        let sites = parts.flat_map(|part| part.sites.iter().take(MOST_STACKS));
        let unnamed = sites.filter(|site| !names.contains_key(site)).copied();
        let unnamed: Vec<u32> = unnamed.collect();
        names.extend(self.stacks(&unnamed));
        for change in changes {
            let suspect = change.suspect();
            let place = LeakReport::line(suspect, names);
            let (id, component) = (suspect.id, &*suspect.component);
            let (bytes, severity) = (suspect.bytes().round(), suspect.severity.as_str());
            let growth_mb_per_hour = (suspect.growth() / MB * 10.0).round() / 10.0;
            match change {
                Change::Opened(_) | Change::Worsened(_) => {
                    let is_new = matches!(change, Change::Opened(_));
                    tracing::warn!(
                        id,
                        is_new,
                        component,
                        place,
                        severity,
                        bytes,
                        growth_mb_per_hour,
                        "leak suspected"
                    );
                }
                Change::Closed(_) => {
                    let reason = suspect.closed.map_or("", |(_, why)| why.as_str());
                    tracing::info!(id, component, place, reason, "leak suspect closed");
                }
            }
        }
    }
}

/// The recording of a configuration, where there is to be one and it can be begun.
fn record(config: &Leaks, session: &str) -> Option<Recording> {
    let recording = &config.recording;
    let path = recording.file.as_ref()?;
    Recording::create(path, recording.max_bytes, session, config.thresholds)
        .inspect_err(
            |error| tracing::error!(path = %path.display(), %error, "leaks cannot be recorded"),
        )
        .ok()
}

/// Permission to look, until it is dropped.
#[derive(Debug)]
pub(crate) struct Look(Arc<LeakWatch>);

impl Look {
    /// Looks at all call sites, with the levels of the last moment. Takes up to some ten milliseconds, and longer when there are call
    /// sites whose symbols nobody has read yet.
    pub(crate) fn at(&self, moment: &Point) {
        self.0.look(moment);
    }

    /// Writes what was found to disk, where there is a place for it and anything has changed; says whether it is there.
    pub(crate) fn keep(&self) -> bool {
        let watch = &*self.0;
        let is_named = watch.sessions.is_none() || watch.unnamed().is_empty();
        let build = (!is_named).then(|| watch.build()).flatten();
        watch.keep(build.as_ref())
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.is_looking.store(false, Ordering::Release);
    }
}

/// Readable stacks of call sites.
pub(super) fn stacks(build: &Build, wanted: &[u32]) -> Stacks {
    let sites: Vec<CallSite> = heap::call_sites()
        .filter(|site| wanted.contains(&site.id()))
        .collect();
    heap::apart(|| {
        let addresses = sites.iter().flat_map(|site| site.frames());
        let symbols = build.symbols(addresses.map(|address| *address as u64));
        let stacks = sites
            .iter()
            .map(|site| (site.id(), readable(site.frames(), &symbols)));
        stacks.collect()
    })
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
