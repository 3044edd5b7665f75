//! Section `allocations.recommendations`: how much evidence the written advice on allocations needs.
//!
//! The defaults are set so that a program without a problem gets no advice: better silent than wrong.

use std::time::Duration;

use super::reader::Section;
use super::{DAY, SECOND};

/// How much must be seen before something is recommended. Every threshold is met when it is reached, unless its text says
/// otherwise; ratios lie between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RecommendationThresholds {
    /// Fewest samples behind any advice on a place, taken within the window where it is about a rate and live where it is about
    /// what is held. Fewer give earlier and shakier advice: 30 samples mean an error of about 36 %, 100 of about 20 %.
    pub minimum_samples: u64,
    /// Shortest window that a rate or a growth is judged over. Shorter ones take a burst for a habit.
    pub minimum_window: Duration,
    /// Least share that a place must have of all operations or of all bytes asked for, whichever its advice would save. Advice
    /// on less is not worth a change to the program.
    pub minimum_share: f64,
    /// Share of a place's blocks (for buffers: of its bytes) that must be freed within a second (for zeroed buffers: within a
    /// minute) to be called short-lived.
    pub short_lived_ratio: f64,
    /// Object pool: fewest operations per second of a place. 100,000 cost the order of half a per cent of a core.
    pub pool_operations_per_second: f64,
    /// Object pool: largest median size of a block in bytes.
    pub pool_size: u64,
    /// Buffer reuse: fewest bytes per second of a place.
    pub buffer_bytes_per_second: u64,
    /// Buffer reuse: smallest median size of a block in bytes; the largest is `huge_size`.
    pub buffer_size: u64,
    /// Streaming: blocks above this size in bytes are huge.
    pub huge_size: u64,
    /// Streaming: fewest bytes per second of a place whose huge blocks come and go.
    pub huge_bytes_per_second: u64,
    /// Streaming: fewest samples within the window. Blocks far above the sampling interval are all sampled, so few prove much.
    pub huge_samples: u64,
    /// Streaming: least share of the heap that a place holds in huge blocks, at the lower end of the estimate.
    pub huge_live_ratio: f64,
    /// Zeroed buffers: fewest zeroed bytes per second of a place.
    pub zeroed_bytes_per_second: u64,
    /// Zeroed buffers: smallest median size of a zeroed block in bytes.
    pub zeroed_size: u64,
    /// Reserve: least share of a place's operations that grow a block which exists. One half: each block grows once.
    pub realloc_ratio: f64,
    /// Reserve: fewest reallocations per second of a place; reaching `realloc_bytes_per_second` does as well.
    pub realloc_operations_per_second: f64,
    /// Reserve: fewest reallocated bytes per second; reaching `realloc_operations_per_second` does as well.
    pub realloc_bytes_per_second: u64,
    /// Bounded cache: fewest live bytes of a place, at the lower end of the estimate.
    pub cache_live_bytes: u64,
    /// Bounded cache: least share of the heap, at the lower end of the estimate.
    pub cache_live_ratio: f64,
    /// Bounded cache: least growth within the window, as a share of what was live at its start.
    pub cache_growth_ratio: f64,
    /// Bounded cache: by how many live samples the place must have grown within the window, so that chance is ruled out.
    pub cache_growth_samples: u64,
    /// Bounded cache: largest share of the bytes older than a minute that has been freed. A cache that evicts frees more.
    pub cache_freed_ratio: f64,
    /// Purge: fewest resident bytes that jemalloc keeps without using them (resident minus active).
    pub retention_bytes: u64,
    /// Purge: least share of jemalloc's resident bytes that this must be.
    pub retention_ratio: f64,
    /// Fragmentation: fewest bytes in active pages that hold no live data (active minus allocated).
    pub fragmentation_bytes: u64,
    /// Fragmentation: least share of jemalloc's active bytes that this must be.
    pub fragmentation_ratio: f64,
}

impl Default for RecommendationThresholds {
    /// Those of the production profile.
    fn default() -> Self {
        super::Config::production().allocations.recommendations
    }
}

impl RecommendationThresholds {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const SAMPLES: std::ops::RangeInclusive<usize> = 1..=1_000_000;
        const ANY: std::ops::RangeInclusive<u64> = 0..=1 << 50;
        const RATIO: std::ops::RangeInclusive<f64> = 0.0..=1.0;
        const RATE: std::ops::RangeInclusive<f64> = 0.0..=1e12;
        Self {
            minimum_samples: section.within("minimum_samples", SAMPLES) as u64,
            minimum_window: section.within("minimum_window", SECOND..=DAY),
            minimum_share: section.within("minimum_share", RATIO),
            short_lived_ratio: section.within("short_lived_ratio", RATIO),
            pool_operations_per_second: section.within("pool_operations_per_second", RATE),
            pool_size: section.within("pool_size", ANY),
            buffer_bytes_per_second: section.within("buffer_bytes_per_second", ANY),
            buffer_size: section.within("buffer_size", ANY),
            huge_size: section.within("huge_size", ANY),
            huge_bytes_per_second: section.within("huge_bytes_per_second", ANY),
            huge_samples: section.within("huge_samples", SAMPLES) as u64,
            huge_live_ratio: section.within("huge_live_ratio", RATIO),
            zeroed_bytes_per_second: section.within("zeroed_bytes_per_second", ANY),
            zeroed_size: section.within("zeroed_size", ANY),
            realloc_ratio: section.within("realloc_ratio", RATIO),
            realloc_operations_per_second: section.within("realloc_operations_per_second", RATE),
            realloc_bytes_per_second: section.within("realloc_bytes_per_second", ANY),
            cache_live_bytes: section.within("cache_live_bytes", ANY),
            cache_live_ratio: section.within("cache_live_ratio", RATIO),
            cache_growth_ratio: section.within("cache_growth_ratio", RATIO),
            cache_growth_samples: section.within("cache_growth_samples", SAMPLES) as u64,
            cache_freed_ratio: section.within("cache_freed_ratio", RATIO),
            retention_bytes: section.within("retention_bytes", ANY),
            retention_ratio: section.within("retention_ratio", RATIO),
            fragmentation_bytes: section.within("fragmentation_bytes", ANY),
            fragmentation_ratio: section.within("fragmentation_ratio", RATIO),
        }
    }
}
