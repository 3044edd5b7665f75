//! The profiles that are kept: a bounded ring in memory, the oldest goes first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Most bytes of all kept profiles together.
const MOST_BYTES: usize = 16 << 20;

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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// Names it among the kept ones.
    pub id: String,
    /// When its values were read.
    pub time: SystemTime,
    /// Why it was kept.
    pub trigger: Trigger,
    /// Mean number of bytes between two samples.
    pub period: u64,
    /// Live bytes in it, estimated.
    pub live_bytes: u64,
    /// The profile, gzipped and in pprof's format, with symbols.
    pub pprof: Arc<[u8]>,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Store {
    kept: VecDeque<Stored>,
    most: usize,
}

impl Store {
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            most,
        }
    }

    /// Keeps a profile, under a name made from its time.
    pub(super) fn keep(&mut self, mut profile: Stored) {
        let time = humantime::format_rfc3339_seconds(profile.time).to_string();
        let name = time.replace(':', "");
        let is_taken = |id: &str| self.kept.iter().any(|kept| kept.id == id);
        let mut id = name.clone();
        for number in 2.. {
            if !is_taken(&id) {
                break;
            }
            id = format!("{name}-{number}");
        }
        profile.id = id;
        self.kept.push_back(profile);
        self.make_room();
    }

    /// From now on no more than this are kept.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.kept.len() > 1 && (self.kept.len() > self.most || self.bytes() > MOST_BYTES) {
            self.kept.pop_front();
        }
    }

    /// All, newest first.
    pub(super) fn all(&self) -> Vec<Stored> {
        self.kept.iter().rev().cloned().collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        self.kept.iter().find(|kept| kept.id == id).cloned()
    }

    /// Time since the newest was taken.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.kept.back()?.time).ok()
    }

    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.pprof.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(seconds: u64, bytes: usize) -> Stored {
        Stored {
            id: String::new(),
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            trigger: Trigger::Continuous,
            period: 1,
            live_bytes: 0,
            pprof: vec![0; bytes].into(),
        }
    }

    fn ids(store: &Store) -> Vec<String> {
        store.all().into_iter().map(|kept| kept.id).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_names_are_unique() {
        let mut store = Store::new(3);
        for seconds in [0, 1, 1, 1] {
            store.keep(profile(seconds, 10));
        }
        let name = "1970-01-01T000001Z";
        assert_eq!(
            ids(&store),
            [format!("{name}-3"), format!("{name}-2"), name.to_owned()]
        );
        assert!(store.get(name).is_some() && store.get("1970-01-01T000000Z").is_none());
    }

    #[test]
    fn large_profiles_leave_room_for_few() {
        let mut store = Store::new(100);
        for seconds in 0..10 {
            store.keep(profile(seconds, MOST_BYTES / 4));
        }
        assert_eq!(store.all().len(), 4);
        store.keep(profile(11, MOST_BYTES * 2));
        assert_eq!(ids(&store), ["1970-01-01T000011Z"]);
    }
}
