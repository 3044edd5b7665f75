//! What is remembered of a subject: its level at some moments of the past, thinned out with age, and when it was judged last.

use super::thin::least_missed;

/// Most moments that are kept of a subject.
const MOST_MARKS: usize = 24;

/// A subject at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    pub(super) time: u64,
    /// Samples taken until then, live or not.
    pub(super) taken: f64,
    pub(super) samples: f64,
    /// Fewest samples at any moment since the mark before.
    pub(super) fewest: f64,
    pub(super) bytes: f64,
    /// Age that half of its live samples have reached, in milliseconds.
    pub(super) median_age: f64,
}

/// As a mark, to seven digits.
#[derive(Debug, Clone, Copy)]
struct Packed {
    time: u64,
    taken: f32,
    samples: f32,
    fewest: f32,
    bytes: f32,
    median_age: f32,
}

impl Mark {
    fn packed(self) -> Packed {
        #[allow(clippy::cast_possible_truncation, reason = "seven digits are enough")]
        let narrow = |number: f64| number as f32;
        Packed {
            time: self.time,
            taken: narrow(self.taken),
            samples: narrow(self.samples),
            fewest: narrow(self.fewest),
            bytes: narrow(self.bytes),
            median_age: narrow(self.median_age),
        }
    }
}

impl Packed {
    fn unpacked(self) -> Mark {
        Mark {
            time: self.time,
            taken: self.taken.into(),
            samples: self.samples.into(),
            fewest: self.fewest.into(),
            bytes: self.bytes.into(),
            median_age: self.median_age.into(),
        }
    }
}

/// The past of one subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    marks: Vec<Packed>,
    /// Blocks born before do not count as evidence any more: a suspect was closed then.
    pub(super) not_before: u64,
    /// Since when there has been evidence without a break.
    pub(super) standing_since: Option<u64>,
    /// The last observation, and the last one in which there were live samples.
    pub(super) seen: u64,
    pub(super) alive: u64,
}

impl Track {
    /// Adds a moment, and lets one go whose loss widens a gap least for its age.
    pub(super) fn push(&mut self, mark: Mark) {
        self.seen = mark.time;
        if mark.samples > 0.0 {
            self.alive = mark.time;
        }
        self.marks.push(mark.packed());
        if self.marks.len() <= MOST_MARKS {
            return;
        }
        if let Some(least) = least_missed(self.marks.len(), |at| self.marks[at].time) {
            // A peak or a fall must not be forgotten with its moment.
            let gone = self.marks.remove(least);
            if let Some(next) = self.marks.get_mut(least) {
                next.fewest = next.fewest.min(gone.fewest);
                next.samples = next.samples.max(gone.samples);
                next.bytes = next.bytes.max(gone.bytes);
            }
        }
    }

    /// The last moment at or before `time`; absent when the subject was not known then.
    pub(super) fn at(&self, time: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.time <= time);
        after.checked_sub(1).map(|at| self.marks[at].unpacked())
    }

    /// Most live samples at any moment before `time`.
    pub(super) fn most_samples_before(&self, time: u64) -> f64 {
        let before = self.marks.iter().take_while(|mark| mark.time < time);
        before.map(|mark| mark.samples.into()).fold(0.0, f64::max)
    }

    /// Whether it ever lost a notable part of its samples from one moment to the next since `time`.
    pub(super) fn fell_since(&self, time: u64) -> bool {
        let first = self.marks.partition_point(|mark| mark.time < time);
        let mut pairs = self.marks[first..].windows(2);
        pairs.any(|pair| pair[1].fewest < 0.8 * pair[0].samples - 2.0 * pair[0].samples.sqrt())
    }

    /// Bytes reserved.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.marks.capacity() * size_of::<Packed>()
    }

    /// When it was first seen.
    pub(super) fn first(&self) -> Option<u64> {
        self.marks.first().map(|mark| mark.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(time: u64, samples: f64) -> Mark {
        Mark {
            time,
            taken: samples,
            samples,
            fewest: samples,
            bytes: samples,
            median_age: 0.0,
        }
    }

    #[test]
    fn the_past_is_thinned_and_no_peak_is_lost() {
        let mut track = Track::default();
        for at in 0..1_000 {
            track.push(mark(at * 30_000, if at == 400 { 99.0 } else { 1.0 }));
        }
        assert_eq!(track.marks.len(), MOST_MARKS);
        assert_eq!(track.first(), Some(0));
        assert_eq!(track.most_samples_before(29_000_000), 99.0);
        assert!(track.fell_since(9_000_000) && !track.fell_since(25_000_000));
        let half = track.at(15_000_000).unwrap().time;
        assert!(half > 7_000_000, "{half}");
        assert_eq!(track.at(999 * 30_000).unwrap().time, 999 * 30_000);
    }
}
