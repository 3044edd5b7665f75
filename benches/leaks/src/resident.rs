//! The resident set: what the kernel sees of a heap.

use crate::random::{Random, whole};

/// Bytes of code, stacks and what else is not heap.
const BASE: f64 = 20e6;
/// Seconds in which an allocator gives back two thirds of the pages that were freed.
const DECAY: f64 = 10.0;

/// Something that grows in a straight line up to a ceiling.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rise {
    /// When it begins, in seconds since the process start.
    pub(crate) from: f64,
    /// Growth per second.
    pub(crate) rate: f64,
    /// Where it ends.
    pub(crate) ceiling: f64,
}

impl Rise {
    fn at(self, time: f64) -> f64 {
        ((time - self.from).max(0.0) * self.rate).min(self.ceiling)
    }
}

/// The resident set of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resident {
    /// Share of the heap that is lost between blocks.
    pub(crate) fragmentation: f64,
    /// What is added to that share in time.
    pub(crate) fragmenting: Rise,
    /// Pages of files, in bytes.
    pub(crate) files: Rise,
    /// Bytes allocated and freed per second: some of their pages are always on their way back.
    pub(crate) turnover: f64,
    wander: f64,
    dirty: f64,
    heap: f64,
}

impl Resident {
    /// The resident set at a time, `length` seconds after the last.
    pub(crate) fn at(&mut self, time: f64, length: f64, heap: f64, random: &mut Random) -> u64 {
        // What was freed is dirty; what is allocated takes dirty pages first. A fall lies half a tick back on average.
        let fall = self.heap - heap;
        let kept = self.dirty * (-length / DECAY).exp();
        self.dirty = if fall > 0.0 {
            kept + fall * (-length / 2.0 / DECAY).exp()
        } else {
            (kept + fall).max(0.0)
        };
        self.heap = heap;
        self.wander += -0.02 * self.wander + 0.001 * random.normal();
        let fragmentation =
            (self.fragmentation + self.wander).max(0.01) + self.fragmenting.at(time);
        let churned = self.turnover * DECAY * 0.03 * random.between(0.5, 1.5);
        let bytes =
            BASE + heap * (1.0 + fragmentation) + self.dirty + churned + self.files.at(time);
        whole(bytes / 4096.0) * 4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is resident beyond the heap after each of these levels of the heap, 5 seconds apart, in megabytes.
    fn beyond(levels: &[f64]) -> Vec<f64> {
        let mut random = Random::new(1, 0);
        let mut resident = Resident::default();
        let at = |(number, &level): (usize, &f64)| {
            (resident.at(number as f64 * 5.0, 5.0, level * 1e6, &mut random) as f64 / 1e6
                - level * 1.01
                - 20.0)
                .round()
        };
        levels.iter().enumerate().map(at).collect()
    }

    #[test]
    fn freed_pages_go_back_within_seconds() {
        // Half a tick after it was freed 78 % are still there, and 61 % of them a tick later.
        assert_eq!(beyond(&[100.0, 0.0, 0.0, 0.0]), [0.0, 78.0, 47.0, 29.0]);
    }

    #[test]
    fn freed_pages_are_used_again() {
        assert_eq!(beyond(&[100.0, 0.0, 40.0, 100.0]), [0.0, 78.0, 7.0, 0.0]);
    }

    #[test]
    fn a_rise_ends_at_its_ceiling() {
        let rise = Rise {
            from: 10.0,
            rate: 2.0,
            ceiling: 50.0,
        };
        assert_eq!(
            [5.0, 15.0, 100.0].map(|time| rise.at(time)),
            [0.0, 10.0, 50.0]
        );
    }
}
