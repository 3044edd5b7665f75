//! A leak suspect: what is known of it, how bad it is, how it grows.

use std::sync::Arc;

use crate::catalog::SEVERITIES;
use crate::config::LeakThresholds;

use super::evidence::Evidence;

const MB: f64 = 1_048_576.0;

/// How bad a leak is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Look at it when there is time.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// All, the least first: in the order of the label's values.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its place in [`SEVERITIES`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        SEVERITIES[self.index()]
    }

    /// That of so many live bytes which grow by so many bytes per hour.
    pub(super) fn of(bytes: f64, growth: f64, thresholds: &LeakThresholds) -> Self {
        let levels = [
            (Self::Critical, thresholds.critical),
            (Self::High, thresholds.high),
            (Self::Medium, thresholds.medium),
        ];
        let is_above = |(_, level): &&(Self, crate::config::SeverityThreshold)| {
            #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
            let size = level.size as f64;
            bytes > size || growth > level.growth_mb_per_hour * MB
        };
        levels
            .iter()
            .find(is_above)
            .map_or(Self::Low, |(severity, _)| *severity)
    }
}

/// How a leak grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// At the same pace.
    Steady,
    /// Faster and faster.
    Exponential,
    /// In steps with quiet times between them.
    Stepped,
    /// At the same pace, by blocks of at most 1 KiB.
    ManySmall,
    /// By blocks of at least 1 MiB.
    FewLarge,
}

impl Pattern {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Exponential => "exponential",
            Self::Stepped => "stepped",
            Self::ManySmall => "many_small",
            Self::FewLarge => "few_large",
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "sizes of blocks")]
    pub(super) fn of(shape: &Shape, thresholds: &LeakThresholds) -> Self {
        if shape.evidence != Evidence::Doubling
            && shape.acceleration >= thresholds.exponential_ratio
            && shape.samples >= 16.0
        {
            Self::Exponential
        } else if shape.mean_size >= thresholds.large_size as f64
            && shape.evidence != Evidence::Doubling
        {
            Self::FewLarge
        } else if shape.evidence == Evidence::Doubling
            || shape.dispersion >= thresholds.stepped_dispersion
        {
            Self::Stepped
        } else if shape.mean_size <= thresholds.small_size as f64 {
            Self::ManySmall
        } else {
            Self::Steady
        }
    }
}

/// What a pattern is told from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) evidence: Evidence,
    pub(super) samples: f64,
    /// Growth of the second half divided by that of the first.
    pub(super) acceleration: f64,
    /// Variance of the samples per generation divided by their mean.
    pub(super) dispersion: f64,
    pub(super) mean_size: f64,
}

/// Why a suspect was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Nothing was added for so long that chance is ruled out.
    Stopped,
    /// What was held was freed.
    Freed,
    /// As much is freed as is added.
    Balanced,
    /// The exact heap does not grow as the few samples said.
    Refuted,
}

impl Closed {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped growing",
            Self::Freed => "what it held was freed",
            Self::Balanced => "as much is freed as is added",
            Self::Refuted => "the heap does not grow",
        }
    }
}

/// One line of code, or one call site, that takes part in a leak.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// The line of code, by the number that observations give it.
    pub place: u64,
    /// Its call sites with live samples, the one with most live bytes first.
    pub sites: Vec<u32>,
    /// Why it is called a leak.
    pub evidence: Evidence,
    /// When the growth began, in milliseconds since 1970: an estimate.
    pub since: u64,
    /// Samples that what follows rests on.
    pub samples: u64,
    /// Blocks that were added since then and live: an estimate.
    pub objects: f64,
    /// Bytes of these blocks: an estimate.
    pub bytes: f64,
    /// Growth in bytes per hour since then: an estimate.
    pub growth: f64,
    /// Lower end of its confidence interval at 95 %.
    pub growth_low: f64,
    /// Upper end of that interval.
    pub growth_high: f64,
    /// How well a straight line fits the growth: r², 1 for a perfect fit.
    pub fit: f64,
    /// Growth of the second half of the time since divided by that of the first.
    pub acceleration: f64,
    /// Distinct intervals of birth, each a tenth of `leaks.window`, from which something survives.
    pub generations: usize,
    /// Share of its samples older than the window's youngest part that were freed.
    pub freed_ratio: f64,
    /// How it grows.
    pub pattern: Pattern,
}

impl Part {
    /// One of which nothing has been measured yet.
    pub(super) fn new(place: u64, evidence: Evidence, since: u64) -> Self {
        Self {
            place,
            sites: Vec::new(),
            evidence,
            since,
            samples: 0,
            objects: 0.0,
            bytes: 0.0,
            growth: 0.0,
            growth_low: 0.0,
            growth_high: 0.0,
            fit: 0.0,
            acceleration: 1.0,
            generations: 0,
            freed_ratio: 0.0,
            pattern: Pattern::Steady,
        }
    }
}

/// What is called a leak: one part, or several of the same component that grow together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Suspect {
    /// Counts from 1 in the order of opening.
    pub id: u64,
    /// Whose memory it is.
    pub component: Arc<str>,
    /// When it was opened, in milliseconds since 1970.
    pub opened: u64,
    /// When, in milliseconds since 1970, and why it was closed; absent while it is open.
    pub closed: Option<(u64, Closed)>,
    /// How bad it is now.
    pub severity: Severity,
    /// How bad it ever was.
    pub worst: Severity,
    /// The parts, the one that grows most first.
    pub parts: Vec<Part>,
}

impl Suspect {
    /// Live bytes of all parts: an estimate.
    pub fn bytes(&self) -> f64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Live blocks of all parts: an estimate.
    pub fn objects(&self) -> f64 {
        self.parts.iter().map(|part| part.objects).sum()
    }

    /// Growth of all parts in bytes per hour.
    pub fn growth(&self) -> f64 {
        self.parts.iter().map(|part| part.growth).sum()
    }

    /// When the first part began to grow, in milliseconds since 1970.
    pub fn since(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| part.since)
            .min()
            .unwrap_or(self.opened)
    }
}
