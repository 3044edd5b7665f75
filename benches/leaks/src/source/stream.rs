//! A stream: many blocks of one size.
//!
//! Births are a Poisson process. Poisson processes split into independent ones, so the sampled blocks and the others are drawn apart:
//! the sampled ones one by one, the others as counts, which are exact in distribution without a block of theirs ever being drawn.

use super::{Source, Tick};
use crate::random::{Random, index, whole};
use crate::samples::{Counted, Sampling, SiteSamples};

/// A time with a constant rate of births.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Begin, in seconds since the process start.
    pub(crate) from: f64,
    /// End.
    pub(crate) to: f64,
    /// Bytes allocated per second.
    pub(crate) rate: f64,
    /// When a block born at `from` dies; later ones die later in proportion. Without meaning where lives are exponential.
    pub(crate) first_death: f64,
    /// When a block born at `to` dies.
    pub(crate) last_death: f64,
}

impl Segment {
    /// Blocks that are never freed.
    pub(crate) fn kept(from: f64, to: f64, rate: f64) -> Self {
        Self::until(from, to, rate, f64::INFINITY)
    }

    /// Blocks that are all freed at one moment.
    pub(crate) fn until(from: f64, to: f64, rate: f64, death: f64) -> Self {
        Self {
            from,
            to,
            rate,
            first_death: death,
            last_death: death,
        }
    }

    /// Blocks that each live as long.
    pub(crate) fn for_each(from: f64, to: f64, rate: f64, life: f64) -> Self {
        Self {
            from,
            to,
            rate,
            first_death: from + life,
            last_death: to + life,
        }
    }

    /// When a block born at this time dies.
    fn death(&self, birth: f64) -> f64 {
        if self.first_death.is_infinite() {
            return f64::INFINITY;
        }
        let share = (birth - self.from) / (self.to - self.from);
        self.first_death + share * (self.last_death - self.first_death)
    }
}

/// Many blocks of one size.
#[derive(Debug)]
pub(crate) struct Stream {
    sampling: Sampling,
    /// By time, without overlap.
    segments: Vec<Segment>,
    /// The first segment that is not over.
    current: usize,
    /// Mean life where lives are exponential.
    mean_life: Option<f64>,
    /// Live blocks that were not sampled.
    live: f64,
    /// How many of them die in which tick, where that is planned.
    deaths: Vec<f64>,
}

impl Stream {
    /// Blocks that die as their segments say.
    pub(crate) fn scheduled(sampling: Sampling, segments: Vec<Segment>) -> Self {
        Self {
            sampling,
            segments,
            current: 0,
            mean_life: None,
            live: 0.0,
            deaths: Vec::new(),
        }
    }

    /// Blocks with exponential lives.
    pub(crate) fn exponential(sampling: Sampling, mean_life: f64, segments: Vec<Segment>) -> Self {
        Self {
            sampling,
            segments,
            current: 0,
            mean_life: Some(mean_life),
            live: 0.0,
            deaths: Vec::new(),
        }
    }

    /// Draws the sampled blocks born between two times of a segment.
    fn sample(
        &self,
        segment: Segment,
        from: f64,
        to: f64,
        tick: Tick,
        random: &mut Random,
        samples: &mut SiteSamples,
    ) {
        let blocks = segment.rate / self.sampling.size * (to - from);
        for _ in 0..whole(random.poisson(blocks * self.sampling.probability)) {
            let birth = random.between(from, to);
            let death = match self.mean_life {
                Some(mean) => birth + random.exponential(mean),
                None => segment.death(birth),
            };
            samples.add(birth, death, tick.to, self.sampling, Counted::Here);
        }
    }

    /// Draws how many blocks that are not sampled, born between two times of a segment, live at the end of the tick.
    fn count(&mut self, segment: Segment, from: f64, to: f64, tick: Tick, random: &mut Random) {
        let rate = segment.rate / self.sampling.size * (1.0 - self.sampling.probability);
        if let Some(mean) = self.mean_life {
            let survival = ((to - tick.to) / mean).exp() - ((from - tick.to) / mean).exp();
            self.live += random.poisson(rate * mean * survival);
        } else {
            let born = random.poisson(rate * (to - from));
            self.plan_deaths(born, segment.death(from), segment.death(to), tick);
        }
    }

    /// Spreads the deaths of so many blocks evenly between two times.
    fn plan_deaths(&mut self, blocks: f64, first: f64, last: f64, tick: Tick) {
        let length = tick.to - tick.from;
        let latest = |time: f64| index(time / length).min(tick.of);
        let (low, high) = (latest(first), latest(last));
        for at in low..=high {
            let begin = (at as f64 * length).max(first);
            let end = if at == tick.of {
                last
            } else {
                ((at + 1) as f64 * length).min(last)
            };
            let share = if low == high {
                1.0
            } else {
                (end - begin) / (last - first)
            };
            if at <= tick.index {
                continue;
            }
            self.live += blocks * share;
            // Whoever dies after the end of the run need not be remembered.
            if at < tick.of {
                if self.deaths.len() <= at {
                    self.deaths.resize(at + 1, 0.0);
                }
                self.deaths[at] += blocks * share;
            }
        }
    }
}

impl Source for Stream {
    fn advance(&mut self, tick: Tick, random: &mut Random, samples: &mut SiteSamples) -> f64 {
        match self.mean_life {
            // Lives without memory: the number of the live is a Markov chain.
            Some(mean) => {
                self.live = random.binomial(self.live, ((tick.from - tick.to) / mean).exp())
            }
            None => self.live -= self.deaths.get(tick.index).copied().unwrap_or(0.0),
        }
        while let Some(&segment) = self.segments.get(self.current) {
            let (from, to) = (segment.from.max(tick.from), segment.to.min(tick.to));
            if from < to {
                self.sample(segment, from, to, tick, random, samples);
                self.count(segment, from, to, tick, random);
            }
            if segment.to > tick.to {
                break;
            }
            self.current += 1;
        }
        self.live * self.sampling.size
    }
}
