//! The table of alerts: each is evaluated in the process, written as a rule for Prometheus, and tested, from one definition.

use std::time::Duration;

use super::{
    ALLOCATION_EFFICIENCY_SCORE, Counter, Gauge, LEAK_COUNT, LEAK_GROWTH_RATE_MB_H, LIMIT_BYTES,
    LIMIT_USED_BYTES, MetricDef, RSS_BYTES,
};

/// One alert, defined once.
#[derive(Debug)]
#[non_exhaustive]
pub struct AlertDef {
    /// Its name; one name has two severities where there are two thresholds.
    pub name: &'static str,
    /// Whom it wakes.
    pub severity: AlertSeverity,
    /// What must be so.
    pub condition: Condition,
    /// For how long, before it fires.
    pub hold: Duration,
    /// How long it goes on firing after that has ended, so that it does not flap.
    pub keep_firing: Duration,
    /// What is wrong, in a sentence without values.
    pub summary: &'static str,
    /// What is wrong, with values. Written in braces: labels (`{instance}`, `{job}`, `{component}`), `{value}`, `{threshold}` (the two
    /// with their units), `{time}` over which the condition looks and must hold, and `{largest}`, a sentence on the component that leaks most
    /// or nothing.
    pub description: &'static str,
}

/// Whom an alert wakes: the values of an alert's label `severity`, which is not that of a leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertSeverity {
    /// Somebody, now.
    Critical,
    /// Nobody: somebody looks today.
    Warning,
}

/// What must be so for an alert.
#[derive(Debug, Clone, Copy)]
pub enum Condition {
    /// A gauge, taken over a time, lies beyond a threshold.
    Level {
        /// What is looked at.
        metric: Gauge,
        /// How it is taken.
        over: Over,
        /// On which side of the threshold it must lie.
        side: Side,
        /// The threshold; at it all is well.
        threshold: Threshold,
    },
    /// A counter has risen lately, or has appeared above 0.
    Risen {
        /// What is looked at.
        metric: Counter,
        /// How long ago at most.
        within: Duration,
    },
    /// A limit will be reached, if what is used against it goes on as it did.
    Reached {
        /// What is used.
        used: Gauge,
        /// The limit.
        limit: Gauge,
        /// How it did: over this time, which the process must have lived.
        history: Duration,
        /// How far ahead.
        within: Threshold,
        /// Used share of the limit below which nobody is told.
        used_ratio: Threshold,
    },
    /// No process of a job reports any more. Only who collects from them can tell.
    Silent {
        /// What each of them reports.
        metric: Gauge,
        /// For how long a job is remembered.
        remembered: Duration,
    },
}

/// How a gauge is taken over a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// As it is now.
    Now,
    /// Its least value.
    Least(Duration),
    /// Its mean.
    Mean(Duration),
    /// Its slope per second, by least squares: two samples must not decide.
    Slope(Duration),
}

/// A side of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above it.
    Above,
    /// Below it.
    Below,
}

/// A threshold, by its key in `alerts.thresholds` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each is a key of config/production.yaml and explained there"
)]
pub enum Threshold {
    LeakMbPerHour,
    GrowthCriticalMbPerS,
    GrowthWarningMbPerS,
    Efficiency,
    UsageCriticalMb,
    UsageWarningMb,
    ExhaustionWarning,
    ExhaustionUsedRatio,
}

/// What a value of an alert is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// MB of 1,048,576 bytes per hour.
    MbPerHour,
    /// A share from 0 to 1.
    Ratio,
    /// Seconds.
    Seconds,
    /// Things.
    Count,
}

impl AlertSeverity {
    /// Its name, as the label has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl Threshold {
    /// What it is a number of, once it is in base units.
    pub const fn quantity(self) -> Quantity {
        match self {
            Self::LeakMbPerHour => Quantity::MbPerHour,
            Self::GrowthCriticalMbPerS | Self::GrowthWarningMbPerS => Quantity::BytesPerSecond,
            Self::UsageCriticalMb | Self::UsageWarningMb => Quantity::Bytes,
            Self::Efficiency | Self::ExhaustionUsedRatio => Quantity::Ratio,
            Self::ExhaustionWarning => Quantity::Seconds,
        }
    }
}

impl Over {
    /// Over which time; zero for a moment.
    pub const fn window(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Least(window) | Self::Mean(window) | Self::Slope(window) => window,
        }
    }
}

impl Condition {
    /// What is looked at: an alert has one of each of its series.
    pub const fn metric(&self) -> &'static MetricDef {
        match self {
            Self::Level { metric, .. } | Self::Silent { metric, .. } => metric.def(),
            Self::Risen { metric, .. } => metric.def(),
            Self::Reached { used, .. } => used.def(),
        }
    }

    /// How far back it looks; zero for a moment.
    pub const fn window(&self) -> Duration {
        match self {
            Self::Level { over, .. } => over.window(),
            Self::Risen { within, .. } => *within,
            Self::Reached { history, .. } => *history,
            Self::Silent { remembered, .. } => *remembered,
        }
    }

    /// The threshold that its value is held against, where it has one.
    pub const fn threshold(&self) -> Option<Threshold> {
        match self {
            Self::Level { threshold, .. } => Some(*threshold),
            Self::Reached { within, .. } => Some(*within),
            Self::Risen { .. } | Self::Silent { .. } => None,
        }
    }
}

impl AlertDef {
    /// What its value is a number of.
    pub const fn quantity(&self) -> Quantity {
        match self.condition {
            Condition::Level { threshold, .. } => threshold.quantity(),
            Condition::Risen { .. } | Condition::Silent { .. } => Quantity::Count,
            Condition::Reached { .. } => Quantity::Bytes,
        }
    }

    /// Whether the process itself can tell.
    pub const fn is_embedded(&self) -> bool {
        !matches!(self.condition, Condition::Silent { .. })
    }

    /// Whether it is about leak suspects.
    pub(crate) fn is_of_suspects(&self) -> bool {
        let metric = self.condition.metric();
        [&LEAK_COUNT, &LEAK_GROWTH_RATE_MB_H]
            .iter()
            .any(|of_suspects| of_suspects.name == metric.name)
    }

    /// The labels that tell one such alert from another, beside its name and severity.
    pub fn labels(&self) -> Vec<&'static str> {
        if !self.is_embedded() {
            return vec!["job"];
        }
        let metric = self.condition.metric();
        let own = metric.labels.iter().map(|label| label.name);
        ["job", "instance"].into_iter().chain(own).collect()
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Every alert, in the order in which every document shows them; those of one name stand together, the more severe first.
pub static ALERTS: &[AlertDef] = &[
    AlertDef {
        name: "MemoryLeak",
        severity: AlertSeverity::Critical,
        condition: Condition::Level {
            metric: Gauge::of(&LEAK_GROWTH_RATE_MB_H),
            over: Over::Least(minutes(5)),
            side: Side::Above,
            threshold: Threshold::LeakMbPerHour,
        },
        hold: minutes(5),
        keep_firing: minutes(10),
        summary: "Memory is leaking fast.",
        description: "{instance} ({job}) leaks {value}, above {threshold} for {time}.{largest}",
    },
    AlertDef {
        name: "MemoryLeak",
        severity: AlertSeverity::Warning,
        condition: Condition::Risen {
            metric: Counter::of(&LEAK_COUNT),
            within: minutes(60),
        },
        hold: Duration::ZERO,
        keep_firing: Duration::ZERO,
        summary: "A memory leak is suspected.",
        description: "{instance} ({job}) opened {value} leak suspect(s) within {time}.",
    },
    AlertDef {
        name: "MemoryGrowth",
        severity: AlertSeverity::Critical,
        condition: Condition::Level {
            metric: Gauge::of(&RSS_BYTES),
            over: Over::Slope(minutes(5)),
            side: Side::Above,
            threshold: Threshold::GrowthCriticalMbPerS,
        },
        hold: minutes(2),
        keep_firing: minutes(5),
        summary: "Resident memory is growing very fast.",
        description: "{instance} ({job}) grows by {value}, above {threshold}.",
    },
    AlertDef {
        name: "MemoryGrowth",
        severity: AlertSeverity::Warning,
        condition: Condition::Level {
            metric: Gauge::of(&RSS_BYTES),
            over: Over::Slope(minutes(5)),
            side: Side::Above,
            threshold: Threshold::GrowthWarningMbPerS,
        },
        // As long as the window: a single step, however high, cannot fire it.
        hold: minutes(5),
        keep_firing: minutes(5),
        summary: "Resident memory is growing.",
        description: "{instance} ({job}) grows by {value}, above {threshold}.",
    },
    AlertDef {
        name: "MemoryAllocationEfficiencyLow",
        severity: AlertSeverity::Warning,
        condition: Condition::Level {
            metric: Gauge::of(&ALLOCATION_EFFICIENCY_SCORE),
            over: Over::Mean(minutes(15)),
            side: Side::Below,
            threshold: Threshold::Efficiency,
        },
        hold: minutes(15),
        keep_firing: minutes(15),
        summary: "Much of the memory that a component pins holds nothing.",
        description: "Of the memory that component {component} of {instance} ({job}) pins, {value} is live, below {threshold} for {time}.",
    },
    AlertDef {
        name: "MemoryUsageHigh",
        severity: AlertSeverity::Critical,
        condition: Condition::Level {
            metric: Gauge::of(&RSS_BYTES),
            over: Over::Now,
            side: Side::Above,
            threshold: Threshold::UsageCriticalMb,
        },
        hold: minutes(2),
        keep_firing: minutes(5),
        summary: "Resident memory is above the critical threshold.",
        description: "{instance} ({job}) uses {value} of resident memory, above {threshold}.",
    },
    AlertDef {
        name: "MemoryUsageHigh",
        severity: AlertSeverity::Warning,
        condition: Condition::Level {
            metric: Gauge::of(&RSS_BYTES),
            over: Over::Now,
            side: Side::Above,
            threshold: Threshold::UsageWarningMb,
        },
        hold: minutes(5),
        keep_firing: minutes(5),
        summary: "Resident memory is above the warning threshold.",
        description: "{instance} ({job}) uses {value} of resident memory, above {threshold}.",
    },
    AlertDef {
        name: "MemoryLimitPredicted",
        severity: AlertSeverity::Warning,
        condition: Condition::Reached {
            used: Gauge::of(&LIMIT_USED_BYTES),
            limit: Gauge::of(&LIMIT_BYTES),
            history: minutes(60),
            within: Threshold::ExhaustionWarning,
            used_ratio: Threshold::ExhaustionUsedRatio,
        },
        hold: minutes(15),
        keep_firing: minutes(30),
        summary: "The memory limit will be reached.",
        description: "As memory has grown for {time}, {instance} ({job}) reaches its limit within {threshold}: it would use {value} then.",
    },
    AlertDef {
        name: "MemoryMetricsAbsent",
        severity: AlertSeverity::Warning,
        condition: Condition::Silent {
            metric: Gauge::of(&RSS_BYTES),
            remembered: minutes(360),
        },
        hold: minutes(5),
        keep_firing: Duration::ZERO,
        summary: "A job stopped reporting memory metrics.",
        description: "No instance of {job} reports memory any more, by scrape or by push; no other memory alert can fire for it.",
    },
];

/// The names of all alerts, each once, in the order of [`ALERTS`].
pub fn alert_names() -> Vec<&'static str> {
    let mut names: Vec<_> = ALERTS.iter().map(|alert| alert.name).collect();
    names.dedup();
    names
}
