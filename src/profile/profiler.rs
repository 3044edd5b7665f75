//! The one who builds profiles. Symbols take memory and time, so one profile is built at a time; who comes meanwhile is told so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{Config, Flamegraphs, Profiles};
use crate::heap::{self, CallSite};

use super::levels::{Levels, Moment};
use super::owners::Owners;
use super::store::{New, Store, Stored, Trigger};
use super::{Folded, Frames, Profile, SampleType, Symbolizer, Symbols, encode};

/// Stands at the root of a stack whose outer end is missing.
const CUT_OFF: &str = "[cut off]";
/// Longest time between two searches for the owners of new call sites.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// Builds profiles, keeps some, and knows the past levels of every call site.
#[derive(Debug)]
pub struct Profiler {
    proc: PathBuf,
    building: Mutex<Option<Asker>>,
    levels: Mutex<Levels>,
    owners: Mutex<(Owners, Schedule)>,
    store: Store,
    /// How often a profile is kept; `None` = only when asked.
    continuous: Mutex<Option<Duration>>,
    started: SystemTime,
}

/// For whom something is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who waits for the answer.
    Request,
    /// The exporter's own ticker.
    Ticker,
}

/// When owners are searched for next. New call sites are many at first and few later, and each search costs the reading of symbols.
#[derive(Debug)]
struct Schedule {
    next: SystemTime,
    wait: Duration,
}

impl Profiler {
    /// A profiler of this process, with procfs at `proc`. What it keeps is kept in memory.
    pub fn new(config: &Config, proc: &Path) -> Arc<Self> {
        Self::of(config, proc, None)
    }

    /// That of a session: what it keeps survives the process where `history.directory` says so, and what those before it kept is there.
    /// Blocks on the disk.
    pub(crate) fn of_session(config: &Config, proc: &Path, session_id: &str) -> Arc<Self> {
        Self::of(config, proc, Some(session_id))
    }

    fn of(config: &Config, proc: &Path, session_id: Option<&str>) -> Arc<Self> {
        let allocations = &config.allocations;
        let owners = Owners::new(allocations.components.clone(), allocations.max_components);
        let schedule = Schedule {
            next: SystemTime::UNIX_EPOCH,
            wait: SHORTEST_WAIT,
        };
        Arc::new(Self {
            proc: proc.to_path_buf(),
            building: Mutex::default(),
            levels: Mutex::default(),
            owners: Mutex::new((owners, schedule)),
            store: Store::new(config, session_id),
            continuous: Mutex::new(continuous(&config.profiles)),
            started: SystemTime::now(),
        })
    }

    /// From now on profiles are kept as this says.
    pub(crate) fn reconfigure(&self, config: &Config) {
        *lock(&self.continuous) = continuous(&config.profiles);
        self.store.rebound(config);
    }

    /// Permission to build.
    ///
    /// # Errors
    /// For whom something is being built.
    pub fn begin(self: &Arc<Self>, asker: Asker) -> Result<Build, Asker> {
        let mut building = lock(&self.building);
        match *building {
            Some(other) => Err(other),
            None => {
                *building = Some(asker);
                Ok(Build {
                    profiler: Arc::clone(self),
                })
            }
        }
    }

    /// When this began to look.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The call sites as they stood at least so long ago, or as long ago as is known.
    pub fn before(&self, now: SystemTime, age: Duration) -> Option<Moment> {
        lock(&self.levels).before(now, age).cloned()
    }

    /// The kept profiles, those of sessions before this one too, in no order.
    pub fn stored(&self) -> Vec<Stored> {
        self.store.all()
    }

    /// A kept profile, gzipped and in pprof's format, with symbols. May read the disk.
    ///
    /// # Errors
    /// It cannot be read, or is no longer as long as it was written.
    pub fn stored_as(&self, id: &str) -> io::Result<Option<(Stored, Arc<[u8]>)>> {
        self.store.read(id)
    }

    /// Lets go of the profiles on disk: another may open them.
    pub(crate) fn close(&self) {
        self.store.close();
    }

    /// Bytes that levels and kept profiles take.
    pub fn reserved_bytes(&self) -> u64 {
        (lock(&self.levels).bytes() + self.store.bytes()) as u64
    }

    /// Notes the levels of all call sites. Only the ticker calls this.
    pub fn tick(&self) {
        lock(&self.levels).push_now();
    }

    /// What should be done off the ticker now: takes long.
    pub fn is_due(&self, now: SystemTime) -> bool {
        self.is_storing_due(now)
            || self.is_attributing_due(now)
            || self.store.is_forgetting_due(now)
    }

    fn is_storing_due(&self, now: SystemTime) -> bool {
        let continuous = *lock(&self.continuous);
        continuous.is_some_and(|interval| self.store.age(now).is_none_or(|age| age >= interval))
    }

    fn is_attributing_due(&self, now: SystemTime) -> bool {
        lock(&self.owners).1.next <= now && Owners::is_due()
    }
}

/// Permission to build, until it is dropped.
#[derive(Debug)]
pub struct Build {
    profiler: Arc<Profiler>,
}

impl Drop for Build {
    fn drop(&mut self) {
        *lock(&self.profiler.building) = None;
    }
}

impl Build {
    /// What the addresses mean. Reads the program's debug information: takes time, and memory that is given back at the end.
    pub fn symbols(&self, addresses: impl IntoIterator<Item = u64>) -> Symbols {
        heap::unsampled(|| Symbolizer::new(&self.profiler.proc).symbols(addresses))
    }

    /// A profile in pprof's format.
    pub fn pprof(&self, profile: &Profile, default_type: SampleType) -> Vec<u8> {
        encode(profile, &self.symbols(profile.addresses()), default_type)
    }

    /// As [`pprof`](Self::pprof), with addresses and mappings only: cheap, and who has the program can look the names up.
    pub fn bare_pprof(&self, profile: &Profile, default_type: SampleType) -> Vec<u8> {
        encode(profile, &self.symbols([]), default_type)
    }

    /// One value of a profile as folded stacks.
    pub fn folded(&self, profile: &Profile, value: SampleType, shown: Frames) -> Folded {
        let symbols = self.symbols(profile.addresses());
        let stacks = profile.entries.iter().map(|entry| {
            let frames = symbols.readable(&entry.stack);
            let frames = frames.iter().rev().map(|frame| frame.to_string().into());
            let cut = (!entry.is_whole).then(|| Arc::from(CUT_OFF));
            let frames = cut.into_iter().chain(shown.of(frames.collect()));
            (frames.collect(), value.of(&entry.values))
        });
        stacks.collect()
    }

    /// Finds the components of call sites that are new, so that what is built next has them.
    pub fn attribute(&self) {
        if Owners::is_due() {
            let mut owners = lock(&self.profiler.owners);
            owners.0.attribute(|addresses| self.symbols(addresses));
        }
    }

    /// The line of code of each call site, as an address that sites of the same line share.
    pub fn places(&self, sites: &[CallSite]) -> Vec<u64> {
        let mut owners = lock(&self.profiler.owners);
        owners.0.places(sites, |addresses| self.symbols(addresses))
    }

    /// Does what [`Profiler::is_due`] says; says whether all that was to be written to disk is there.
    pub fn work(&self, now: SystemTime) -> bool {
        if self.profiler.is_attributing_due(now) {
            self.attribute();
            let schedule = &mut lock(&self.profiler.owners).1;
            schedule.next = now + schedule.wait;
            schedule.wait = (schedule.wait * 2).min(LONGEST_WAIT);
        }
        if self.profiler.is_storing_due(now) {
            return self.store(Trigger::Continuous);
        }
        !self.profiler.store.is_forgetting_due(now) || self.profiler.store.forget(now)
    }

    /// Keeps a profile of now; says whether it was written to disk, if it was to be.
    pub fn store(&self, trigger: Trigger) -> bool {
        let profile = Profile::now();
        let new = New {
            time: profile.time,
            trigger,
            period: profile.period,
            live_bytes: profile.live_bytes(),
            pprof: self.pprof(&profile, SampleType::InuseSpace).into(),
        };
        self.profiler.store.keep(new)
    }
}

fn continuous(config: &Profiles) -> Option<Duration> {
    match config.flamegraphs {
        Flamegraphs::Continuous => Some(config.interval),
        Flamegraphs::OnDemand => None,
    }
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
