//! Section `leaks`: when growth is called a leak, and how bad it is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reader::Section;
use super::{DAY, SECOND};

/// Section `leaks`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Leaks {
    /// When growth is called a leak.
    pub thresholds: LeakThresholds,
    /// Where what the detector sees is written down.
    pub recording: RecordingConfig,
}

/// Section `leaks.recording`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingConfig {
    /// The file; none is written where there is no name.
    pub file: Option<PathBuf>,
    /// The recording ends when the file has reached this size in bytes.
    pub max_bytes: u64,
}

/// When growth is called a leak, and how bad it is. What each key does stands in `config/production.yaml`.
///
/// In a recording, keys that are missing have the values of the production profile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LeakThresholds {
    /// Time after the start in which growth is nobody's fault: what is allocated then is never evidence.
    pub warm_up: Duration,
    /// Shortest time that growth must last before it can be called a leak. Longer windows follow by themselves.
    pub window: Duration,
    /// Longest window that is looked at.
    pub longest_window: Duration,
    /// Fewest bytes that must have been added within the window.
    pub minimum_bytes: u64,
    /// Of nine generations of a window, so many must have survivors.
    pub minimum_generations: usize,
    /// As `minimum_generations`, where the exact heap grows at the same even pace.
    pub confirmed_generations: usize,
    /// Share of a window whose blocks are too young to count.
    pub youngest_ratio: f64,
    /// Largest share of a place's old blocks that may have been freed.
    pub old_freed_ratio: f64,
    /// Growth of the last third of a window below this share of that of the others is a plateau.
    pub plateau_ratio: f64,
    /// Growth since the start that has fallen below this share of what it was slows down.
    pub slowing_ratio: f64,
    /// As `slowing_ratio`, told from the heap where the place is what the heap grows by.
    pub slowing_heap_ratio: f64,
    /// Least share of an even growth that the heap must show in each third of a window to confirm a suspicion.
    pub even_ratio: f64,
    /// By so many times the growth of the heap must exceed what was usual to confirm a suspicion that rests on few samples.
    pub unusual_ratio: f64,
    /// Least share that the growth of the heap and that of a place must have of one another.
    pub explained_ratio: f64,
    /// Share of `window` for which evidence must stand before a suspect is opened.
    pub standing_ratio: f64,
    /// Growth within a window below which it is slow: it is confirmed by the heap without a longer window.
    pub slow_bytes: u64,
    /// Samples from which on their own distribution must be even to be confirmed.
    pub few_samples: usize,
    /// Samples that need not wait for `least_windows` where the heap grows evenly.
    pub many_samples: usize,
    /// Times `window` after which many samples, or growth that is not slow, are judged.
    pub many_windows: f64,
    /// Times `window` after which what the heap does not confirm is judged.
    pub least_windows: f64,
    /// Least share of its young blocks that a queue must have kept.
    pub queue_kept_ratio: f64,
    /// By so many times a buffer must have grown in each half of the time since its start.
    pub doubling_ratio: f64,
    /// Share of what is added that must be freed of the old for a suspect to be closed.
    pub balanced_ratio: f64,
    /// A suspect must be quiet for so many of its mean gaps between samples to be closed.
    pub quiet_gaps: f64,
    /// Times `window` over which a process as a whole must grow.
    pub whole_windows: f64,
    /// Fewest bytes by which a process as a whole must grow within that.
    pub whole_bytes: u64,
    /// By so many times the second half must outgrow the first to be called exponential.
    pub exponential_ratio: f64,
    /// Variance of the samples per generation, divided by their mean, from which on growth comes in steps.
    pub stepped_dispersion: f64,
    /// Mean size of a block from which on the pattern is few_large.
    pub large_size: u64,
    /// Mean size of a block up to which the pattern is many_small.
    pub small_size: u64,
    /// Least time without growth after which a suspect is closed.
    pub close_after: Duration,
    /// Above either of these a leak is critical.
    pub critical: SeverityThreshold,
    /// Above either of these a leak is high.
    pub high: SeverityThreshold,
    /// Above either of these a leak is medium, else it is low.
    pub medium: SeverityThreshold,
}

/// What a severity begins above.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SeverityThreshold {
    /// Bytes that a suspect holds.
    pub size: u64,
    /// Its growth in MB (1048576 bytes) per hour.
    pub growth_mb_per_hour: f64,
}

impl Leaks {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            thresholds: LeakThresholds::read(section),
            recording: section.section("recording", |recording| RecordingConfig {
                file: recording.get("file"),
                max_bytes: recording.within("max_bytes", 1 << 16..=1 << 40),
            }),
        }
    }
}

impl Default for LeakThresholds {
    /// Those of the production profile.
    fn default() -> Self {
        super::Config::production().leaks.thresholds
    }
}

impl LeakThresholds {
    fn read(section: &mut Section<'_>) -> Self {
        const RATIO: std::ops::RangeInclusive<f64> = 0.0..=1.0;
        let [critical, high, medium] = section.section("severity", |severity| {
            ["critical", "high", "medium"]
                .map(|name| severity.section(name, SeverityThreshold::read))
        });
        Self {
            warm_up: section.within("warm_up", Duration::ZERO..=DAY),
            window: section.within("window", 10 * SECOND..=DAY),
            longest_window: section.within("longest_window", 10 * SECOND..=30 * DAY),
            minimum_bytes: section.within("minimum_bytes", 0..=1 << 50),
            minimum_generations: section.within("minimum_generations", 2..=9),
            confirmed_generations: section.within("confirmed_generations", 2..=9),
            youngest_ratio: section.within("youngest_ratio", 0.01..=0.5),
            old_freed_ratio: section.within("old_freed_ratio", 0.0..=0.9),
            plateau_ratio: section.within("plateau_ratio", RATIO),
            slowing_ratio: section.within("slowing_ratio", RATIO),
            slowing_heap_ratio: section.within("slowing_heap_ratio", RATIO),
            even_ratio: section.within("even_ratio", RATIO),
            unusual_ratio: section.within("unusual_ratio", 0.0..=100.0),
            explained_ratio: section.within("explained_ratio", RATIO),
            standing_ratio: section.within("standing_ratio", RATIO),
            slow_bytes: section.within("slow_bytes", 0..=1 << 50),
            few_samples: section.within("few_samples", 2..=1000),
            many_samples: section.within("many_samples", 2..=100_000),
            many_windows: section.within("many_windows", 1.0..=10.0),
            least_windows: section.within("least_windows", 1.0..=10.0),
            queue_kept_ratio: section.within("queue_kept_ratio", RATIO),
            doubling_ratio: section.within("doubling_ratio", 1.0..=10.0),
            balanced_ratio: section.within("balanced_ratio", 0.0..=10.0),
            quiet_gaps: section.within("quiet_gaps", 1.0..=1000.0),
            whole_windows: section.within("whole_windows", 1.0..=100.0),
            whole_bytes: section.within("whole_bytes", 0..=1 << 50),
            exponential_ratio: section.within("exponential_ratio", 1.0..=100.0),
            stepped_dispersion: section.within("stepped_dispersion", 1.0..=1000.0),
            large_size: section.within("large_size", 0..=1 << 50),
            small_size: section.within("small_size", 0..=1 << 50),
            close_after: section.within("close_after", SECOND..=7 * DAY),
            critical,
            high,
            medium,
        }
    }

    /// What the values must be to one another.
    pub(super) fn check(&self, root: &mut Section<'_>) {
        for (above, below, name, of) in [
            (self.critical, self.high, "critical", "high"),
            (self.high, self.medium, "high", "medium"),
        ] {
            if above.size < below.size || above.growth_mb_per_hour < below.growth_mb_per_hour {
                root.report(
                    &format!("leaks.severity.{name}"),
                    None,
                    format!("size and growth_mb_per_hour at least those of {of}"),
                );
            }
        }
        if self.longest_window < self.window {
            root.report(
                "leaks.longest_window",
                Some(humantime::format_duration(self.longest_window).to_string()),
                format!(
                    "at least window, {}",
                    humantime::format_duration(self.window)
                ),
            );
        }
    }

    pub(crate) fn warm_up_ms(&self) -> u64 {
        milliseconds(self.warm_up)
    }

    pub(crate) fn window_ms(&self) -> u64 {
        milliseconds(self.window)
    }

    pub(crate) fn longest_window_ms(&self) -> u64 {
        milliseconds(self.longest_window)
    }

    pub(crate) fn close_after_ms(&self) -> u64 {
        milliseconds(self.close_after)
    }
}

impl SeverityThreshold {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            size: section.within("size", 0..=1 << 50),
            growth_mb_per_hour: section.within("growth_mb_per_hour", 0.0..=1e9),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
