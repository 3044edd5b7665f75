//! An LRU cache that is filled by the misses on skewed keys.
//!
//! Keys are asked for at rates that follow a power law: the density of keys at rate `r` is proportional to `r^(-b-1)`, which is Zipf's
//! law with exponent `1/b`. The number of different keys asked for up to time `t` is then proportional to `t^b` (Heaps' law): the cache
//! fills ever more slowly, and is full at time `T`. From then on Che's approximation holds: a key is evicted when it was not asked for
//! during `T`, and misses come at the rate that they had at `T`, one eviction each. A key inserted at `t` has a rate that is gamma
//! distributed with shape `1-b` and scale `1/min(t, T)`, from which its life follows, hit by hit.

use super::{Source, Tick};
use crate::random::{Random, whole};
use crate::samples::{Counted, Sampling, SiteSamples};

/// A rate of hits per `T` at which an entry is as good as never evicted: `exp(-16)` chances per `T`.
const POPULAR: f64 = 16.0;

/// A cache that is filled by misses.
#[derive(Debug)]
pub(crate) struct Cache {
    /// How its entries are sampled.
    pub(crate) sampling: Sampling,
    /// Bytes that it holds when full.
    pub(crate) capacity: f64,
    /// When it is full, in seconds since the process start.
    pub(crate) full: f64,
    /// The exponent of its growth, between 0 and 1.
    pub(crate) exponent: f64,
}

impl Cache {
    /// Bytes inserted up to a time.
    fn inserted(&self, time: f64) -> f64 {
        let filled = (time / self.full).min(1.0).powf(self.exponent);
        let since = (time / self.full - 1.0).max(0.0);
        self.capacity * (filled + self.exponent * since)
    }

    /// When an entry inserted at this time is evicted, or `end` if it lives until then.
    fn eviction(&self, birth: f64, end: f64, random: &mut Random) -> f64 {
        let rate = random.gamma(1.0 - self.exponent) / birth.min(self.full);
        if rate * self.full > POPULAR {
            return f64::INFINITY;
        }
        let mut asked = birth;
        while asked < end {
            let gap = random.exponential(1.0 / rate);
            // Before it is full the cache evicts nothing, however long a key was not asked for: but the first eviction comes at `full`,
            // and whoever was inserted first was inserted `full` ago.
            if gap > self.full {
                return asked + self.full;
            }
            asked += gap;
        }
        f64::INFINITY
    }
}

impl Source for Cache {
    fn advance(&mut self, tick: Tick, random: &mut Random, samples: &mut SiteSamples) -> f64 {
        let end = tick.of as f64 * (tick.to - tick.from);
        let (before, after) = (self.inserted(tick.from), self.inserted(tick.to));
        let blocks = (after - before) / self.sampling.size;
        for _ in 0..whole(random.poisson(blocks * self.sampling.probability)) {
            // Births within the tick follow the curve: the first misses after a start come within moments.
            let target = random.between(before, after) / self.capacity;
            let birth = if target < 1.0 {
                self.full * target.powf(1.0 / self.exponent)
            } else {
                self.full * (1.0 + (target - 1.0) / self.exponent)
            };
            let birth = birth.clamp(tick.from, tick.to).max(1e-3);
            let death = self.eviction(birth, end, random);
            samples.add(birth, death, tick.to, self.sampling, Counted::BySource);
        }
        // A cache of a fixed number of entries does not fluctuate.
        self.capacity * (tick.to / self.full).min(1.0).powf(self.exponent)
    }
}
