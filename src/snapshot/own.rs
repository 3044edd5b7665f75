//! What the exporter counts about itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::collector::read_small;
use crate::heap;

/// Counts of the exporter, written where things happen and read into each snapshot.
#[derive(Debug, Default)]
pub struct OwnStats {
    /// `schedstat` of the exporter's thread.
    schedstat: OnceLock<PathBuf>,
    profiles_bytes: AtomicU64,
    otlp_successes: AtomicU64,
    otlp_failures: AtomicU64,
    otlp_rejected_points: AtomicU64,
    history_failures: AtomicU64,
    /// When the configuration in force was read, in milliseconds since 1970; 0 where there is none.
    config_read: AtomicU64,
    is_config_outdated: AtomicBool,
    channels: Mutex<Vec<Arc<ChannelCounts>>>,
}

/// What became of the messages for one alert channel.
#[derive(Debug)]
pub struct ChannelCounts {
    name: &'static str,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// The same at the moment of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelReading {
    /// What the channel is called.
    pub channel: &'static str,
    /// Messages that were taken.
    pub sent: u64,
    /// Attempts after which they were not.
    pub failed: u64,
    /// Messages that were given up.
    pub dropped: u64,
}

/// The exporter at the moment of a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct OwnReading {
    /// CPU seconds of the exporter's thread.
    pub cpu_seconds: Option<f64>,
    /// Bytes reserved for counters, samples, call sites, history and profiles.
    pub footprint_bytes: u64,
    /// Component names that found no room.
    pub dropped_components: u64,
    /// Mean number of bytes between two samples.
    pub sample_interval: u64,
    /// Samples that are followed.
    pub live_samples: u64,
    /// Samples that could not be followed.
    pub dropped_samples: u64,
    /// OTLP exports that were acknowledged.
    pub otlp_successes: u64,
    /// OTLP exports that were not.
    pub otlp_failures: u64,
    /// Data points that the receiver rejected.
    pub otlp_rejected_points: u64,
    /// Writes to the history on disk that failed.
    pub history_failures: u64,
    /// Whether the configuration in force is the one that was read last.
    pub is_config_current: bool,
    /// When the configuration in force was read, in seconds since 1970.
    pub config_read_seconds: Option<f64>,
}

impl OwnStats {
    /// Says that the calling thread is the exporter's own, whose CPU time is its cost.
    pub fn claim_thread(&self) {
        // Only the real procfs knows our threads.
        if let Ok(task) = std::fs::read_link("/proc/thread-self") {
            let _ = self
                .schedstat
                .set(PathBuf::from("/proc").join(task).join("schedstat"));
        }
    }

    /// Profiles and what goes with them take so many bytes.
    pub fn set_profiles_bytes(&self, bytes: u64) {
        self.profiles_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Something that was to survive could not be written to disk.
    pub fn history_failed(&self) {
        self.history_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A configuration that was read at this time is in force.
    pub fn config_taken(&self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.config_read.store(milliseconds, Ordering::Relaxed);
        self.is_config_outdated.store(false, Ordering::Relaxed);
    }

    /// A configuration was read that is wrong; the one before it stays in force.
    pub fn config_refused(&self) {
        self.is_config_outdated.store(true, Ordering::Relaxed);
    }

    /// From now on messages for these alert channels, and no others, are counted.
    pub fn count_channels(&self, channels: Vec<Arc<ChannelCounts>>) {
        *self.channels() = channels;
    }

    /// What is counted of messages for alert channels, so that those of the same names can go on counting.
    pub fn channel_counts(&self) -> Vec<Arc<ChannelCounts>> {
        self.channels().clone()
    }

    fn channels(&self) -> MutexGuard<'_, Vec<Arc<ChannelCounts>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An OTLP export was acknowledged; of its points the receiver rejected this many.
    pub fn otlp_succeeded(&self, rejected_points: u64) {
        self.otlp_successes.fetch_add(1, Ordering::Relaxed);
        self.otlp_rejected_points
            .fetch_add(rejected_points, Ordering::Relaxed);
    }

    /// An OTLP export was not acknowledged.
    pub fn otlp_failed(&self) {
        self.otlp_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, history_bytes: u64, buffer: &mut Vec<u8>) -> OwnReading {
        OwnReading {
            cpu_seconds: self.cpu_seconds(buffer),
            footprint_bytes: heap::reserved_bytes()
                .saturating_add(history_bytes)
                .saturating_add(self.profiles_bytes.load(Ordering::Relaxed)),
            dropped_components: heap::dropped_components(),
            sample_interval: heap::sample_interval(),
            live_samples: heap::live_samples(),
            dropped_samples: heap::dropped_samples(),
            otlp_successes: self.otlp_successes.load(Ordering::Relaxed),
            otlp_failures: self.otlp_failures.load(Ordering::Relaxed),
            otlp_rejected_points: self.otlp_rejected_points.load(Ordering::Relaxed),
            history_failures: self.history_failures.load(Ordering::Relaxed),
            is_config_current: !self.is_config_outdated.load(Ordering::Relaxed),
            config_read_seconds: match self.config_read.load(Ordering::Relaxed) {
                0 => None,
                #[allow(clippy::cast_precision_loss, reason = "a time of this age is exact")]
                milliseconds => Some(milliseconds as f64 / 1_000.0),
            },
        }
    }

    pub(super) fn read_channels(&self, into: &mut Vec<ChannelReading>) {
        into.clear();
        into.extend(self.channels().iter().map(|counts| counts.read()));
    }

    fn cpu_seconds(&self, buffer: &mut Vec<u8>) -> Option<f64> {
        const NANOSECONDS: f64 = 1e9;
        let text = read_small(self.schedstat.get()?, buffer).ok()?;
        let on_cpu: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
        Some(on_cpu / NANOSECONDS)
    }
}

impl ChannelCounts {
    /// Those of a channel of this name. The name is kept for the life of the process, once.
    pub fn new(name: &str) -> Self {
        static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().copied().find(|known| *known == name);
        let name = known.unwrap_or_else(|| {
            let name: &'static str = Box::leak(name.into());
            names.push(name);
            name
        });
        Self {
            name,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// What the channel is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A message was taken.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt has failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was given up.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many by now.
    pub fn read(&self) -> ChannelReading {
        ChannelReading {
            channel: self.name,
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// What this was built for, as `x86_64-linux`.
pub(super) fn build_target() -> &'static str {
    static TARGET: OnceLock<String> = OnceLock::new();
    TARGET.get_or_init(|| format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))
}
