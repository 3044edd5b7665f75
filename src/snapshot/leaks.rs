//! What the leak detector found, as plain numbers: filled in by who composes, shown by the families.

use crate::catalog::{self, LEAK_SIZE_BOUNDS, SEVERITIES};

use super::Value;
use super::families::Families;

/// Suspects in numbers. What is counted by severity stands in the order of [`SEVERITIES`].
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LeakReading {
    /// Suspects opened since the start.
    pub opened: u64,
    /// Growth of all open suspects in MB (1,048,576 bytes) per hour.
    pub growth_mb_per_hour: f64,
    /// Open suspects by severity.
    pub suspects: [u64; SEVERITIES.len()],
    /// Whose memory the worst of them is.
    pub worst_component: Option<&'static str>,
    /// What was counted of each component that ever had a suspect; `unattributed` always, so that every series exists from the
    /// start.
    pub components: Vec<LeakCounts>,
}

/// What was counted of the suspects of one component, by severity.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LeakCounts {
    /// The component.
    pub component: &'static str,
    /// Sizes of suspects when they were opened or became worse; the last bucket lies above [`LEAK_SIZE_BOUNDS`].
    pub sizes: [[u64; LEAK_SIZE_BOUNDS.len() + 1]; SEVERITIES.len()],
    /// Their sum in bytes.
    pub bytes: [u64; SEVERITIES.len()],
    /// Live bytes of the suspects that are open.
    pub open_bytes: u64,
    /// Live allocations added to open suspects.
    pub added: [f64; SEVERITIES.len()],
}

impl LeakCounts {
    /// Of a component without suspects.
    pub fn new(component: &'static str) -> Self {
        Self {
            component,
            sizes: [[0; LEAK_SIZE_BOUNDS.len() + 1]; SEVERITIES.len()],
            bytes: [0; SEVERITIES.len()],
            open_bytes: 0,
            added: [0.0; SEVERITIES.len()],
        }
    }

    /// Counts a suspect of a severity, given by its place in [`SEVERITIES`], that holds so many bytes.
    pub fn count(&mut self, severity: usize, bytes: u64) {
        let bucket = LEAK_SIZE_BOUNDS
            .iter()
            .position(|bound| bytes <= *bound)
            .unwrap_or(LEAK_SIZE_BOUNDS.len());
        if let (Some(sizes), Some(sum)) =
            (self.sizes.get_mut(severity), self.bytes.get_mut(severity))
        {
            sizes[bucket] = sizes[bucket].saturating_add(1);
            *sum = sum.saturating_add(bytes);
        }
    }
}

impl LeakReading {
    /// The counts of a component, made if there are none yet.
    pub fn of(&mut self, component: &'static str) -> &mut LeakCounts {
        let known = self
            .components
            .iter()
            .position(|counts| counts.component == component);
        let at = known.unwrap_or_else(|| {
            self.components.push(LeakCounts::new(component));
            self.components.len() - 1
        });
        &mut self.components[at]
    }

    /// How bad the worst open suspect is, by its place in [`SEVERITIES`].
    pub fn worst(&self) -> Option<usize> {
        self.suspects.iter().rposition(|suspects| *suspects > 0)
    }

    pub(super) fn add_to<'a>(&'a self, families: &mut Families<'a>) {
        let labels = |counts: &LeakCounts, severity: &'static str| {
            vec![("component", counts.component), ("severity", severity)]
        };
        families.integer(&catalog::LEAK_COUNT, Some(self.opened));
        families.float(
            &catalog::LEAK_GROWTH_RATE_MB_H,
            Some(self.growth_mb_per_hour),
        );
        families.add(
            &catalog::LEAK_SIZE_BYTES,
            self.components.iter().flat_map(|counts| {
                let rows = SEVERITIES.iter().zip(counts.sizes.iter().zip(counts.bytes));
                rows.map(move |(severity, (buckets, sum))| {
                    (labels(counts, severity), Value::Histogram { buckets, sum })
                })
            }),
        );
        families.add(
            &catalog::LEAK_ALLOCATION_COUNT,
            self.components.iter().flat_map(|counts| {
                SEVERITIES
                    .iter()
                    .zip(counts.added)
                    .map(move |(severity, added)| {
                        #[allow(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "an estimate, never negative; a cast saturates"
                        )]
                        let added = added as u64;
                        (labels(counts, severity), Value::Integer(added))
                    })
            }),
        );
    }

    pub(super) fn add_companions_to<'a>(&'a self, families: &mut Families<'a>) {
        let by_severity = SEVERITIES.iter().zip(self.suspects);
        families.add(
            &catalog::LEAK_SUSPECTS,
            by_severity.map(|(severity, suspects)| {
                (vec![("severity", *severity)], Value::Integer(suspects))
            }),
        );
        families.add(
            &catalog::LEAK_SUSPECT_BYTES,
            self.components.iter().map(|counts| {
                (
                    vec![("component", counts.component)],
                    Value::Integer(counts.open_bytes),
                )
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_the_buckets_of_the_catalog() {
        let mut reading = LeakReading::default();
        reading.of("cache").count(0, 64 << 10);
        reading.of("cache").count(0, (64 << 10) + 1);
        reading.of("cache").count(3, 2 << 30);
        assert_eq!(reading.components.len(), 1);
        let counts = &reading.components[0];
        assert_eq!(counts.sizes[0][..3], [1, 1, 0]);
        assert_eq!(counts.bytes[0], (128 << 10) + 1);
        assert_eq!(counts.sizes[3][LEAK_SIZE_BOUNDS.len()], 1);
    }
}
