//! The detector of `memory_exporter`, as a contender.

use memory_exporter::analysis::leak::LeakDetector;
use memory_exporter::config::LeakThresholds;

use crate::score::{Detect, Named};

/// Our detector with these thresholds.
#[must_use]
pub fn detector(thresholds: LeakThresholds) -> Detect {
    let mut detector = LeakDetector::new(thresholds);
    Box::new(move |observation| {
        detector.observe(observation);
        let named = detector.suspects().iter().map(|suspect| Named {
            id: suspect.id,
            sites: suspect
                .parts
                .iter()
                .flat_map(|part| part.sites.iter().copied())
                .collect(),
            opened: suspect.opened,
        });
        named.collect()
    })
}
