//! Near the memory limit: a profile and the leak report go to disk, for the process that comes after.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::EvidenceConfig;
use crate::heap;
use crate::profile::evidence::{
    Decision, Evidence, EvidenceStore, Kept, Options, Tick, Usage, Watch,
};
use crate::profile::{Asker, Profile, Profiler, SampleType};
use crate::snapshot::MemoryLimit;

/// What a capture with symbols takes while it lasts: 25 to 70 MB were measured for programs with a hundred MB of debug information.
const FULL_BYTES: u64 = 72 << 20;
/// What one without takes.
const CHEAP_BYTES: u64 = 4 << 20;
/// Why it was captured.
const TRIGGER: &str = "limit";

/// Captures evidence and keeps it.
#[derive(Debug)]
pub(crate) struct Guard {
    store: EvidenceStore,
    profiler: Arc<Profiler>,
    watch: Mutex<Watch>,
    is_capturing: AtomicBool,
    was_skipped: AtomicBool,
    /// Whether the last capture failed, which is told once.
    is_failing: AtomicBool,
}

impl Guard {
    /// Opens the directory, and lists what earlier sessions left there. Absent where none is configured.
    pub(crate) fn open(
        config: &EvidenceConfig,
        profiler: &Arc<Profiler>,
        session: &str,
    ) -> io::Result<Option<Self>> {
        let Some(directory) = &config.directory else {
            return Ok(None);
        };
        let store = EvidenceStore::open(directory, config.max_bytes, session)?;
        let options = Options {
            above: config.above,
            cooldown: config.cooldown,
        };
        Ok(Some(Self {
            store,
            profiler: Arc::clone(profiler),
            watch: Mutex::new(Watch::new(options)),
            is_capturing: AtomicBool::new(false),
            was_skipped: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
        }))
    }

    /// What is kept, of this session and of earlier ones, newest first.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.store.all()
    }

    /// The profile of a kept piece. Reads the disk.
    pub(crate) fn profile(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.store.profile(id)
    }

    /// The leak report of a kept piece. Reads the disk.
    pub(crate) fn leaks(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.store.leaks(id)
    }

    /// Whether evidence should be captured now, which may then be done elsewhere.
    pub(crate) fn decide(self: &Arc<Self>, now: SystemTime, limit: MemoryLimit) -> Option<Due> {
        let used = limit.used?;
        let decision = self.with_watch(|watch| {
            watch.decide(&Tick {
                now,
                used_bytes: used,
                limit_bytes: limit.bytes,
                full_bytes: FULL_BYTES,
                cheap_bytes: CHEAP_BYTES,
            })
        });
        let is_skipped = decision == Decision::Skipped;
        if is_skipped && !self.was_skipped.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                used,
                limit = limit.bytes,
                "no room to capture evidence below the memory limit"
            );
        }
        if !is_skipped {
            self.was_skipped.store(false, Ordering::Relaxed);
        }
        let with_symbols = match decision {
            Decision::Full => true,
            Decision::Cheap => false,
            Decision::No | Decision::Skipped => return None,
        };
        let is_first = !self.is_capturing.swap(true, Ordering::AcqRel);
        is_first.then(|| Due {
            guard: Arc::clone(self),
            now,
            used,
            limit: limit.bytes,
            with_symbols,
        })
    }

    fn keep(&self, due: &Due, leaks: impl FnOnce(bool) -> Option<Vec<u8>>) -> io::Result<String> {
        let build = self.profiler.begin(Asker::Ticker);
        let build = build
            .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "a profile is being built"))?;
        let (profile, pprof) = heap::apart(|| {
            let profile = Profile::now();
            let pprof = if due.with_symbols {
                build.pprof(&profile, SampleType::InuseSpace)
            } else {
                build.bare_pprof(&profile, SampleType::InuseSpace)
            };
            (profile, pprof)
        });
        drop(build);
        let leaks = leaks(due.with_symbols);
        let id = self.store.keep(&Evidence {
            time: profile.time,
            trigger: TRIGGER,
            usage: Some(Usage {
                used_bytes: due.used,
                limit_bytes: due.limit,
            }),
            live_bytes: profile.live_bytes(),
            sample_interval: profile.period,
            has_symbols: due.with_symbols,
            profile: &pprof,
            leaks: leaks.as_deref(),
        })?;
        Ok(id.as_str().to_owned())
    }

    fn with_watch<T>(&self, work: impl FnOnce(&mut Watch) -> T) -> T {
        work(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A capture that was decided upon; no other is until it is dropped.
#[derive(Debug)]
pub(crate) struct Due {
    guard: Arc<Guard>,
    now: SystemTime,
    used: u64,
    limit: u64,
    with_symbols: bool,
}

impl Due {
    /// Captures, with the leak report of `leaks`, which is told whether there is room for symbols. Takes long: the disk, and symbols where
    /// there is room for them.
    pub(crate) fn capture(self, leaks: impl FnOnce(bool) -> Option<Vec<u8>>) {
        let outcome = self.guard.keep(&self, leaks);
        self.guard.with_watch(|watch| match &outcome {
            Ok(_) => watch.captured(self.now, self.used),
            Err(_) => watch.failed(self.now, self.used),
        });
        let is_failing = outcome.is_err();
        let was_failing = self.guard.is_failing.swap(is_failing, Ordering::Relaxed);
        match outcome {
            Ok(id) => {
                let (used, limit) = (self.used, self.limit);
                tracing::warn!(id, used, limit, "memory limit is near: evidence kept");
            }
            Err(error) if was_failing => tracing::debug!(%error, "evidence cannot be kept again"),
            Err(error) => tracing::error!(%error, "evidence cannot be kept, will go on trying"),
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.guard.is_capturing.store(false, Ordering::Release);
    }
}
