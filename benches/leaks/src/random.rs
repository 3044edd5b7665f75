//! Random numbers, and the distributions that the simulation draws from.
//!
//! Counts are `f64`: the number of blocks of 64 bytes in a few gigabytes is far below 2^53, and most counts are multiplied by a size at once.

/// A seeded generator.
#[derive(Debug, Clone)]
pub(crate) struct Random(fastrand::Rng);

impl Random {
    /// The stream of numbers with this name: two names under one seed are independent, so that the background of a seed stays the
    /// same whatever is added to it.
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        // SplitMix64's finaliser: neighbouring seeds must not give neighbouring streams.
        let mut mixed =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name.wrapping_mul(0xd1b5_4a32_d192_ed03);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(fastrand::Rng::with_seed(mixed ^ (mixed >> 31)))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// Uniform between two bounds.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Log-uniform between two bounds: every order of magnitude is as likely as another.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An index below `length`, which must not be 0.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.0.usize(0..length)
    }

    /// One of the bounds or a whole number between them.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        self.0.u32(low..=high)
    }

    /// Any number of 32 bits.
    pub(crate) fn word(&mut self) -> u32 {
        self.0.u32(..)
    }

    /// Puts the elements in random order.
    pub(crate) fn shuffle<T>(&mut self, elements: &mut [T]) {
        self.0.shuffle(elements);
    }

    /// Exponential with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        // 1 - u is never 0.
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential(1.0)).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Poisson with this mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 40.0 {
            // The error of the normal approximation lies far below what any detector could see.
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        if mean <= 0.0 {
            return 0.0;
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0.0;
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }

    /// How many of `trials` succeed, each with this probability.
    pub(crate) fn binomial(&mut self, trials: f64, probability: f64) -> f64 {
        if probability > 0.5 {
            return trials - self.binomial(trials, 1.0 - probability);
        }
        let mean = trials * probability;
        if mean > 40.0 {
            let deviation = (mean * (1.0 - probability)).sqrt();
            return (mean + deviation * self.normal())
                .round()
                .clamp(0.0, trials);
        }
        if trials > 200.0 {
            return self.poisson(mean).min(trials);
        }
        let mut count = 0.0;
        for _ in 0..whole(trials) {
            count += f64::from(u8::from(self.chance(probability)));
        }
        count
    }

    /// Gamma with a shape below 1 and scale 1 (Ahrens and Dieter, 1974).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        let border = 1.0 + shape / std::f64::consts::E;
        loop {
            let point = border * self.unit();
            let waiting = self.exponential(1.0);
            if point <= 1.0 {
                let value = point.powf(1.0 / shape);
                if value <= waiting {
                    return value;
                }
            } else {
                let value = -((border - point) / shape).ln();
                if waiting >= (1.0 - shape) * value.ln() {
                    return value;
                }
            }
        }
    }

    /// A usual block size from 64 bytes to 256 KiB, as allocators round it.
    pub(crate) fn block_size(&mut self) -> f64 {
        (self.log_between(64.0, 262_144.0) / 16.0).round() * 16.0
    }
}

/// The whole number below a value; 0 for a negative one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// The index below a value.
pub(crate) fn index(value: f64) -> usize {
    usize::try_from(whole(value)).unwrap_or(usize::MAX)
}

/// A value as the observation carries it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "24 bits are enough for an estimate"
)]
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..40_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / values.len() as f64;
        (mean, variance)
    }

    #[track_caller]
    fn assert_near((mean, variance): (f64, f64), expected_mean: f64, expected_variance: f64) {
        let tolerance = 5.0 * (expected_variance / 40_000.0).sqrt();
        assert!(
            (mean - expected_mean).abs() < tolerance,
            "mean {mean}, expected {expected_mean}"
        );
        assert!(
            (variance / expected_variance - 1.0).abs() < 0.1,
            "variance {variance}, expected {expected_variance}"
        );
    }

    #[test]
    fn counts_have_the_moments_of_their_distributions() {
        let mut random = Random::new(1, 0);
        for mean in [0.1, 3.0, 39.0, 41.0, 1e6] {
            assert_near(moments(|| random.poisson(mean)), mean, mean);
        }
        for (trials, probability) in [
            (10.0, 0.3),
            (150.0, 0.9),
            (1e5, 1e-4),
            (1e5, 0.5),
            (1e5, 0.9),
        ] {
            let mean = trials * probability;
            assert_near(
                moments(|| random.binomial(trials, probability)),
                mean,
                mean * (1.0 - probability),
            );
        }
    }

    #[test]
    fn values_have_the_moments_of_their_distributions() {
        let mut random = Random::new(2, 0);
        assert_near(moments(|| random.normal()), 0.0, 1.0);
        assert_near(moments(|| random.exponential(3.0)), 3.0, 9.0);
        for shape in [0.2, 0.5, 0.9] {
            assert_near(moments(|| random.gamma(shape)), shape, shape);
        }
    }

    #[test]
    fn names_and_seeds_part_the_streams() {
        let first = |seed, name| Random::new(seed, name).unit();
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
        assert_eq!(first(7, 3), first(7, 3));
    }
}
