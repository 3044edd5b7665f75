//! What jemalloc keeps beside what the program holds.

use std::sync::Arc;

use super::{evidence, percent, size};
use crate::analysis::allocation::AllocatorLevels;
use crate::analysis::estimate::{float, ratio};
use crate::analysis::recommendation::{Evidence, Kind, Recommendation};
use crate::config::RecommendationThresholds;

/// Resident memory that jemalloc keeps for later.
pub(in crate::analysis) fn purge(
    levels: AllocatorLevels,
    thresholds: &RecommendationThresholds,
) -> Option<Recommendation> {
    let unused = float(levels.resident.saturating_sub(levels.active));
    let share = ratio(unused, float(levels.resident))?;
    if unused < float(thresholds.retention_bytes) || share < thresholds.retention_ratio {
        return None;
    }
    let advice = format!(
        "jemalloc keeps {} of memory without using it, {} of what it has resident; most often that \
         is the trace of a peak. POST /metrics/memory/gc returns it now. To have it returned sooner \
         every time, set `_RJEM_MALLOC_CONF` (`MALLOC_CONF` in builds without the prefix) to \
         `background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0`. If the load comes in waves, \
         leave it: pages that are needed again in a moment are cheaper to keep.",
        size(unused),
        percent(share),
    );
    Some(recommend(
        Kind::Purge,
        share,
        "return unused pages sooner",
        advice,
        vec![
            evidence("resident_bytes", float(levels.resident)),
            evidence("active_bytes", float(levels.active)),
            evidence("unused_resident_bytes", unused),
            evidence("unused_resident_ratio", share),
            evidence("retained_bytes", float(levels.retained)),
        ],
    ))
}

/// Live blocks thinly spread over many pages.
pub(in crate::analysis) fn reduce_fragmentation(
    levels: AllocatorLevels,
    thresholds: &RecommendationThresholds,
) -> Option<Recommendation> {
    let scattered = float(levels.active.saturating_sub(levels.allocated));
    let share = ratio(scattered, float(levels.active))?;
    if scattered < float(thresholds.fragmentation_bytes) || share < thresholds.fragmentation_ratio {
        return None;
    }
    let advice = format!(
        "{} in pages that are in use hold nothing, {} of these pages: few long-lived blocks pin many \
         pages that short-lived ones have left. A purge cannot help, as no such page is empty. What \
         does: make long-lived data in one go rather than in between requests, put it into fewer and \
         larger blocks (an arena, a `Vec` instead of boxes), and, with many threads, try fewer \
         arenas (`narenas` in `_RJEM_MALLOC_CONF`). The list by live bytes says whose blocks they \
         are.",
        size(scattered),
        percent(share),
    );
    Some(recommend(
        Kind::ReduceFragmentation,
        ratio(scattered, float(levels.resident.max(levels.active))).unwrap_or_default(),
        "keep long-lived and short-lived blocks apart",
        advice,
        vec![
            evidence("active_bytes", float(levels.active)),
            evidence("allocated_bytes", float(levels.allocated)),
            evidence("unused_active_bytes", scattered),
            evidence("unused_active_ratio", share),
        ],
    ))
}

fn recommend(
    kind: Kind,
    benefit: f64,
    title: &str,
    advice: String,
    evidence: Vec<Evidence>,
) -> Recommendation {
    Recommendation {
        kind,
        benefit,
        place: None,
        stack: Arc::default(),
        title: title.to_owned(),
        advice,
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn kinds(allocated: u64, active: u64, resident: u64) -> Vec<Kind> {
        let levels = AllocatorLevels {
            allocated,
            active,
            resident,
            retained: 0,
        };
        let thresholds = RecommendationThresholds::default();
        let all = [
            purge(levels, &thresholds),
            reduce_fragmentation(levels, &thresholds),
        ];
        all.into_iter()
            .flatten()
            .map(|advice| advice.kind)
            .collect()
    }

    #[test]
    fn resident_memory_without_use_is_purged() {
        let active = 192 * MIB;
        assert_eq!(kinds(active, active, 256 * MIB), [Kind::Purge]);
        assert_eq!(kinds(active, active, 256 * MIB - 1), [], "fewer bytes");
        let active = active + 5 * MIB;
        assert_eq!(kinds(active, active, 261 * MIB), [], "a smaller share");
        assert_eq!(kinds(active, active, active - MIB), [], "levels cross");
        assert_eq!(kinds(0, 0, 0), []);
    }

    #[test]
    fn thinly_used_pages_are_named_fragmentation() {
        let (allocated, active) = (192 * MIB, 256 * MIB);
        assert_eq!(
            kinds(allocated, active, active),
            [Kind::ReduceFragmentation]
        );
        assert_eq!(kinds(allocated + 1, active, active), [], "fewer bytes");
        let (allocated, active) = (197 * MIB, 261 * MIB);
        assert_eq!(kinds(allocated, active, active), [], "a smaller share");
    }

    #[test]
    fn both_can_be_true() {
        let kinds = kinds(100 * MIB, 400 * MIB, 800 * MIB);
        assert_eq!(kinds, [Kind::Purge, Kind::ReduceFragmentation]);
    }
}
