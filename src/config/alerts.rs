//! Section `alerts`: from when on it is bad, and where people find out more.

use std::time::Duration;

use crate::catalog::Threshold;

use super::reader::Section;
use super::{DAY, SECOND, checks};

const MB: f64 = 1_048_576.0;

/// Section `alerts`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Alerts {
    pub enabled: bool,
    pub cooldown: Duration,
    pub thresholds: Thresholds,
    pub links: Links,
}

/// Section `alerts.thresholds`. One MB is 1,048,576 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Thresholds {
    pub leak_mb_per_hour: f64,
    pub growth_warning_mb_per_s: f64,
    pub growth_critical_mb_per_s: f64,
    pub efficiency: f64,
    pub usage_warning_mb: f64,
    pub usage_critical_mb: f64,
    pub limit_warning_ratio: f64,
    pub limit_critical_ratio: f64,
    pub exhaustion_warning: Duration,
    pub exhaustion_critical: Duration,
    pub exhaustion_used_ratio: f64,
    pub pressure_warning_ratio: f64,
    pub pressure_critical_ratio: f64,
}

/// Section `alerts.links`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Links {
    /// `dashboard`: Grafana.
    pub dashboard: Option<String>,
    /// `runbook`: the runbook, to which the name of the alert is added.
    pub runbook: String,
    /// `self`: the exporter, with `{instance}` for the label of that name.
    pub exporter: String,
}

impl Thresholds {
    /// The number behind a threshold, in bytes, bytes per second, MB per hour, seconds, or as a share.
    pub fn of(&self, threshold: Threshold) -> f64 {
        match threshold {
            Threshold::LeakMbPerHour => self.leak_mb_per_hour,
            Threshold::GrowthCriticalMbPerS => self.growth_critical_mb_per_s * MB,
            Threshold::GrowthWarningMbPerS => self.growth_warning_mb_per_s * MB,
            Threshold::Efficiency => self.efficiency,
            Threshold::UsageCriticalMb => self.usage_critical_mb * MB,
            Threshold::UsageWarningMb => self.usage_warning_mb * MB,
            Threshold::ExhaustionWarning => self.exhaustion_warning.as_secs_f64(),
            Threshold::ExhaustionUsedRatio => self.exhaustion_used_ratio,
        }
    }
}

impl Alerts {
    pub(super) fn read(alerts: &mut Section<'_>) -> Self {
        Self {
            enabled: alerts.get("enabled"),
            cooldown: alerts.within("cooldown", Duration::ZERO..=DAY),
            thresholds: alerts.section("thresholds", Thresholds::read),
            links: alerts.section("links", |links| Links {
                dashboard: Some(
                    links.checked("dashboard", |url: &String| checks::is_base_url(url)),
                )
                .filter(|url| !url.is_empty()),
                runbook: links.checked("runbook", |text: &String| checks::is_link(text)),
                exporter: links.checked("self", |url: &String| checks::is_exporter_url(url)),
            }),
        }
    }
}

impl Thresholds {
    fn read(thresholds: &mut Section<'_>) -> Self {
        Self {
            leak_mb_per_hour: thresholds.within("leak_mb_per_hour", 0.001..=1e9),
            growth_warning_mb_per_s: thresholds.within("growth_warning_mb_per_s", 0.001..=1e6),
            growth_critical_mb_per_s: thresholds.within("growth_critical_mb_per_s", 0.001..=1e6),
            efficiency: thresholds.within("efficiency", 0.01..=0.99),
            usage_warning_mb: thresholds.within("usage_warning_mb", 1.0..=1e9),
            usage_critical_mb: thresholds.within("usage_critical_mb", 1.0..=1e9),
            limit_warning_ratio: thresholds.within("limit_warning_ratio", 0.01..=1.0),
            limit_critical_ratio: thresholds.within("limit_critical_ratio", 0.01..=1.0),
            exhaustion_warning: thresholds.within("exhaustion_warning", SECOND..=DAY * 30),
            exhaustion_critical: thresholds.within("exhaustion_critical", SECOND..=DAY * 30),
            exhaustion_used_ratio: thresholds.within("exhaustion_used_ratio", 0.0..=1.0),
            pressure_warning_ratio: thresholds.within("pressure_warning_ratio", 0.0..=1.0),
            pressure_critical_ratio: thresholds.within("pressure_critical_ratio", 0.0..=1.0),
        }
    }

    /// What must hold between them.
    pub(super) fn check(&self, root: &mut Section<'_>) {
        for (low, high, name) in [
            (
                self.usage_warning_mb,
                self.usage_critical_mb,
                "usage_critical_mb",
            ),
            (
                self.growth_warning_mb_per_s,
                self.growth_critical_mb_per_s,
                "growth_critical_mb_per_s",
            ),
            (
                self.limit_warning_ratio,
                self.limit_critical_ratio,
                "limit_critical_ratio",
            ),
        ] {
            if low > high && !root.is_noted(name) {
                root.report(
                    &format!("alerts.thresholds.{name}"),
                    Some(high.to_string()),
                    format!("at least the warning, {low}"),
                );
            }
        }
        let (warning, critical) = (self.exhaustion_warning, self.exhaustion_critical);
        if critical > warning && !root.is_noted("exhaustion_critical") {
            root.report(
                "alerts.thresholds.exhaustion_critical",
                Some(humantime::format_duration(critical).to_string()),
                format!(
                    "at most the warning, {}",
                    humantime::format_duration(warning)
                ),
            );
        }
    }
}
