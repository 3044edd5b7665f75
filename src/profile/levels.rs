//! What every call site had allocated and held at some moments of the past, in bounded memory: what grew is told from it.
//!
//! The younger moments stand close together and the older ones further apart: where room is needed, the moment goes that is nearest to its neighbours
//! for its age. So a day can be looked back on to an hour or two, and the last minutes to the minute.

use std::time::{Duration, SystemTime};

use crate::heap::{self, Amount};

/// Most moments that are kept.
pub(super) const MOST_MOMENTS: usize = 32;
/// Most bytes that they may take.
const MOST_BYTES: usize = 2 << 20;

/// One call site at one moment, to seven digits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    site: u32,
    samples: u32,
    live_samples: u32,
    allocated: (f32, f32),
    live: (f32, f32),
}

impl Level {
    /// Everything asked for until then.
    pub fn allocated(self) -> Amount {
        amount(self.allocated)
    }

    /// What was live then.
    pub fn live(self) -> Amount {
        amount(self.live)
    }

    /// Samples taken until then, and those that were live.
    pub fn samples(self) -> (u64, u64) {
        (self.samples.into(), self.live_samples.into())
    }
}

/// All call sites at one moment.
#[derive(Debug, Clone)]
pub struct Moment {
    time: SystemTime,
    /// By site.
    levels: Vec<Level>,
}

impl Moment {
    /// All call sites as they stand now.
    pub fn now() -> Self {
        Self::now_in(Vec::new())
    }

    /// As [`now`](Self::now), in memory that is used again.
    fn now_in(mut levels: Vec<Level>) -> Self {
        levels.clear();
        let pair = |amount: Amount| (narrow(amount.objects), narrow(amount.bytes));
        let count = |samples: u64| u32::try_from(samples).unwrap_or(u32::MAX);
        levels.extend(heap::call_sites().map(|site| {
            let totals = site.totals();
            Level {
                site: site.id(),
                samples: count(totals.samples),
                live_samples: count(totals.live_samples),
                allocated: pair(totals.allocated),
                live: pair(totals.live()),
            }
        }));
        levels.sort_unstable_by_key(|level| level.site);
        Self {
            time: SystemTime::now(),
            levels,
        }
    }

    /// When it was.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// A call site at that moment; one that was not known had nothing.
    pub fn level(&self, site: u32) -> Level {
        let at = self.levels.binary_search_by_key(&site, |level| level.site);
        at.map_or_else(|_| Level::default(), |at| self.levels[at])
    }

    /// Every call site that was known, by its id.
    pub fn levels(&self) -> impl Iterator<Item = (u32, Level)> {
        self.levels.iter().map(|level| (level.site, *level))
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.levels.capacity() * size_of::<Level>()
    }
}

/// Moments of the past, oldest first.
#[derive(Debug, Default)]
pub(super) struct Levels {
    moments: Vec<Moment>,
    /// Memory of a moment that was dropped, for the next.
    spare: Vec<Level>,
}

impl Levels {
    /// Adds how all call sites stand now.
    pub(super) fn push_now(&mut self) {
        let moment = Moment::now_in(std::mem::take(&mut self.spare));
        self.push(moment);
    }

    /// Adds a moment; one that is not younger than the last (the clock was set back) starts anew.
    fn push(&mut self, moment: Moment) {
        if self
            .moments
            .last()
            .is_some_and(|last| last.time >= moment.time)
        {
            self.moments.clear();
        }
        self.moments.push(moment);
        while self.moments.len() > 2
            && (self.moments.len() > MOST_MOMENTS || self.bytes() > MOST_BYTES)
        {
            self.thin_out();
        }
    }

    /// The youngest moment that is at least so old; the oldest one if none is.
    pub(super) fn before(&self, now: SystemTime, age: Duration) -> Option<&Moment> {
        let is_old = |moment: &&Moment| now.duration_since(moment.time).unwrap_or_default() >= age;
        self.moments
            .iter()
            .rev()
            .find(is_old)
            .or(self.moments.first())
    }

    /// Bytes that the moments take.
    pub(super) fn bytes(&self) -> usize {
        self.moments.iter().map(Moment::bytes).sum()
    }

    /// Drops the moment whose loss widens a gap least for its age; never the first or the last.
    fn thin_out(&mut self) {
        let Some(now) = self.moments.last().map(|last| last.time) else {
            return;
        };
        let gap = |at: usize| {
            let (before, after) = (self.moments[at - 1].time, self.moments[at + 1].time);
            let gap = after.duration_since(before).unwrap_or_default();
            let age = now.duration_since(before).unwrap_or_default();
            gap.as_secs_f64() / age.as_secs_f64().max(1e-9)
        };
        let least = (1..self.moments.len() - 1).min_by(|a, b| gap(*a).total_cmp(&gap(*b)));
        if let Some(least) = least {
            self.spare = self.moments.remove(least).levels;
        }
    }
}

fn amount((objects, bytes): (f32, f32)) -> Amount {
    Amount {
        objects: objects.into(),
        bytes: bytes.into(),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "seven digits are enough for growth"
)]
fn narrow(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64, sites: usize) -> Moment {
        Moment {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            levels: vec![Level::default(); sites],
        }
    }

    #[test]
    fn a_day_fits_and_every_age_is_near_a_moment() {
        const DAY: u64 = 24 * 3600;
        let mut levels = Levels::default();
        for minute in 0..=DAY / 60 {
            levels.push(moment(minute * 60, 10));
        }
        assert!(levels.moments.len() <= MOST_MOMENTS);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(DAY);
        for age in [
            60,
            120,
            300,
            600,
            1_800,
            3_600,
            7_200,
            6 * 3_600,
            12 * 3_600,
            DAY,
        ] {
            let found = levels.before(now, Duration::from_secs(age)).unwrap();
            let found = now.duration_since(found.time).unwrap().as_secs();
            assert!(
                found >= age && found as f64 <= age as f64 * 1.6 + 60.0,
                "{age}: {found}"
            );
        }
    }

    #[test]
    fn many_sites_leave_room_for_few_moments() {
        let mut levels = Levels::default();
        for minute in 0..100 {
            levels.push(moment(minute * 60, 20_000));
        }
        assert!(levels.bytes() <= MOST_BYTES);
        assert!(levels.moments.len() >= 3, "{}", levels.moments.len());
        assert_eq!(levels.moments[0].time, SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_clock_that_was_set_back_starts_anew() {
        let mut levels = Levels::default();
        levels.push(moment(100, 1));
        levels.push(moment(50, 1));
        assert_eq!(levels.moments.len(), 1);
        assert_eq!(levels.moments[0].time, moment(50, 1).time);
    }
}
