//! The profiles that are kept: on disk where there is a place for them, for this process and those after it, else in a ring in memory. The
//! oldest goes first.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::disk::{Place, is_away};

use super::evidence::{Budget, Evidence, EvidenceStore, Id, Kept};

/// Most bytes of the profiles in memory.
const MOST_BYTES: usize = 16 << 20;
/// What they are called on disk: a directory below `history.directory`.
const WHAT: &str = "profiles";
/// Begins their ids: what is captured near the limit has ids that go on the same way.
const PREFIX: &str = "continuous-";
/// What the texts of a profile in the list take, beside itself.
const TEXT_BYTES: usize = 160;

/// Why a profile was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `profiles.flamegraphs: continuous`.
    Continuous,
}

impl Trigger {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
        }
    }
}

/// A kept profile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Names it among the kept ones.
    pub id: String,
    /// When its values were read.
    pub time: SystemTime,
    /// The session that kept it, perhaps one that has ended.
    pub session_id: String,
    /// Why it was kept.
    pub trigger: String,
    /// Mean number of bytes between two samples.
    pub period: u64,
    /// Live bytes in it, estimated.
    pub live_bytes: u64,
    /// Its length, gzipped.
    pub size_bytes: u64,
}

/// A profile that is to be kept.
#[derive(Debug)]
pub(super) struct New {
    pub(super) time: SystemTime,
    pub(super) trigger: Trigger,
    pub(super) period: u64,
    pub(super) live_bytes: u64,
    /// The profile, gzipped and in pprof's format, with symbols.
    pub(super) pprof: Arc<[u8]>,
}

/// Those on disk and those in memory.
#[derive(Debug)]
pub(super) struct Store {
    session_id: String,
    ring: Mutex<Ring>,
    /// Of those on disk.
    budget: Arc<Mutex<Budget>>,
    place: Option<Place<EvidenceStore>>,
}

/// Those in memory: all, or those that could not be written yet.
#[derive(Debug)]
struct Ring {
    kept: VecDeque<(Stored, Arc<[u8]>)>,
    most: usize,
    most_bytes: usize,
    /// When the last one was taken.
    last: Option<SystemTime>,
}

impl Store {
    /// One for a session, on disk if it is configured and the session is known.
    pub(super) fn new(config: &Config, session_id: Option<&str>) -> Self {
        let budget = Arc::new(Mutex::new(budget(config)));
        let current = Arc::clone(&budget);
        let place = config.history.directory.as_ref().zip(session_id);
        let place = place.map(|(directory, session_id)| {
            let session_id = session_id.to_owned();
            Place::new(WHAT, directory, move |path| {
                EvidenceStore::within(path, *lock(&current), &session_id)
            })
        });
        Self {
            session_id: session_id.unwrap_or_default().to_owned(),
            ring: Mutex::new(Ring {
                kept: VecDeque::new(),
                most: config.profiles.keep,
                most_bytes: most_in_memory(config),
                last: None,
            }),
            budget,
            place,
        }
    }

    /// From now on no more than this is kept; what is too much goes with the next one.
    pub(super) fn rebound(&self, config: &Config) {
        let mut ring = lock(&self.ring);
        (ring.most, ring.most_bytes) = (config.profiles.keep, most_in_memory(config));
        drop(ring);
        *lock(&self.budget) = budget(config);
        if let Some(disk) = self.disk() {
            disk.set_budget(budget(config));
        }
    }

    /// Keeps a profile, in memory if it cannot be written; says whether nothing went wrong. Takes as long as the disk takes.
    pub(super) fn keep(&self, profile: New) -> bool {
        lock(&self.ring).keep(profile, &self.session_id);
        let write = |disk: &EvidenceStore| self.write(disk);
        self.place.as_ref().is_none_or(|place| place.attempt(write))
    }

    /// Moves what is in memory to disk, the oldest first.
    fn write(&self, disk: &EvidenceStore) -> io::Result<()> {
        let waiting: Vec<_> = lock(&self.ring).kept.iter().cloned().collect();
        let mut outcome = Ok(());
        for (stored, pprof) in waiting {
            let written = disk.keep(&Evidence {
                time: stored.time,
                trigger: &stored.trigger,
                usage: None,
                live_bytes: stored.live_bytes,
                sample_interval: stored.period,
                has_symbols: true,
                profile: &pprof,
                leaks: None,
            });
            match written {
                Ok(_) => lock(&self.ring)
                    .kept
                    .retain(|(kept, _)| kept.id != stored.id),
                // There may be room for others.
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => outcome = Err(error),
                Err(error) => return Err(error),
            }
        }
        outcome
    }

    /// Whether those on disk are to be looked through for what is too old.
    pub(super) fn is_forgetting_due(&self, now: SystemTime) -> bool {
        let disk = self.disk();
        disk.is_some_and(|disk| disk.is_forgetting_due(now))
    }

    /// Removes what is too old from disk; says whether nothing went wrong.
    pub(super) fn forget(&self, now: SystemTime) -> bool {
        let forget = |disk: &EvidenceStore| disk.forget(now);
        let place = self.place.as_ref();
        place.is_none_or(|place| place.attempt(forget))
    }

    /// All, in no order. Touches no disk.
    pub(super) fn all(&self) -> Vec<Stored> {
        let ring = lock(&self.ring);
        let mut all: Vec<_> = ring.kept.iter().map(|(kept, _)| kept.clone()).collect();
        drop(ring);
        let disk = self.disk().map(|disk| disk.all());
        for kept in disk.into_iter().flatten().map(Stored::from) {
            // What is just being moved is in both.
            if all.iter().all(|other| other.id != kept.id) {
                all.push(kept);
            }
        }
        all
    }

    /// A profile. Reads the disk.
    ///
    /// # Errors
    /// It cannot be read, or is no longer as long as it was written.
    pub(super) fn read(&self, id: &str) -> io::Result<Option<(Stored, Arc<[u8]>)>> {
        let in_memory = lock(&self.ring).get(id);
        if in_memory.is_some() {
            return Ok(in_memory);
        }
        let (Some(disk), Some(id)) = (self.disk(), id.strip_prefix(PREFIX)) else {
            return Ok(None);
        };
        let all = disk.all().into_iter();
        let Some(kept) = all.into_iter().find(|kept| kept.id.as_str() == id) else {
            return Ok(None);
        };
        match disk.profile(id) {
            Ok(pprof) => Ok(pprof.map(|pprof| (Stored::from(kept), pprof.into()))),
            Err(error) if is_away(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Time since the last was taken.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(lock(&self.ring).last?).ok()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let listed = self.disk().map_or(0, |disk| disk.count());
        let listed = listed * (size_of::<Kept>() + TEXT_BYTES);
        lock(&self.ring).bytes() + listed
    }

    /// Lets go of those on disk: another may open them. What is kept from now on is kept in memory.
    pub(super) fn close(&self) {
        if let Some(place) = &self.place {
            place.close();
        }
    }

    fn disk(&self) -> Option<Arc<EvidenceStore>> {
        self.place.as_ref()?.kept()
    }
}

impl Ring {
    /// Keeps a profile, under the name that it will have on disk.
    fn keep(&mut self, profile: New, session_id: &str) {
        let mut ids = (1..).map(|number| named(&Id::new(profile.time, session_id, number)));
        let id = ids.find(|id| self.get(id).is_none()).unwrap_or_default();
        let stored = Stored {
            id,
            time: profile.time,
            session_id: session_id.to_owned(),
            trigger: profile.trigger.as_str().to_owned(),
            period: profile.period,
            live_bytes: profile.live_bytes,
            size_bytes: profile.pprof.len() as u64,
        };
        self.last = Some(profile.time);
        self.kept.push_back((stored, profile.pprof));
        while self.kept.len() > 1 && (self.kept.len() > self.most || self.bytes() > self.most_bytes)
        {
            self.kept.pop_front();
        }
    }

    fn get(&self, id: &str) -> Option<(Stored, Arc<[u8]>)> {
        self.kept.iter().find(|(kept, _)| kept.id == id).cloned()
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|(_, pprof)| pprof.len()).sum()
    }
}

impl From<Kept> for Stored {
    fn from(kept: Kept) -> Self {
        let metadata = kept.metadata;
        Self {
            id: named(&kept.id),
            time: metadata.time,
            session_id: metadata.session_id,
            trigger: metadata.trigger,
            period: metadata.sample_interval,
            live_bytes: metadata.live_bytes,
            size_bytes: metadata.profile_bytes,
        }
    }
}

fn budget(config: &Config) -> Budget {
    Budget {
        max_bytes: config.profiles.max_bytes,
        max_pieces: config.profiles.keep,
        max_age: config.history.retention,
    }
}

fn most_in_memory(config: &Config) -> usize {
    usize::try_from(config.profiles.max_bytes).map_or(MOST_BYTES, |bytes| bytes.min(MOST_BYTES))
}

fn named(id: &Id) -> String {
    format!("{PREFIX}{id}")
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
