//! Section `alerts`: from when on it is bad, who is told and how often, and where people find out more.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::Threshold;

use super::channels::{ChannelConfig, GroupBy};
use super::reader::Section;
use super::{DAY, HOUR, SECOND, checks};

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
    pub repeat_interval: Duration,
    pub group_by: Vec<GroupBy>,
    pub labels: BTreeMap<String, String>,
    pub shorten: f64,
    pub delivery: Delivery,
    pub channels: Vec<ChannelConfig>,
    pub thresholds: Thresholds,
    pub links: Links,
}

/// Section `alerts.delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Delivery {
    pub timeout: Duration,
    pub most_waiting: usize,
    pub give_up_after: Duration,
    pub resend_interval: Duration,
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
            repeat_interval: alerts.within("repeat_interval", SECOND..=DAY * 30),
            group_by: alerts.list("group_by"),
            labels: alerts.map("labels", |name, value: &String| {
                checks::is_alert_label(name, value)
            }),
            shorten: alerts.within("shorten", 1.0..=3_600.0),
            delivery: alerts.section("delivery", |delivery| Delivery {
                timeout: delivery.within("timeout", Duration::from_millis(100)..=HOUR),
                most_waiting: delivery.within("most_waiting", 1..=10_000),
                give_up_after: delivery.within("give_up_after", SECOND..=DAY * 30),
                resend_interval: delivery.within("resend_interval", SECOND..=HOUR),
            }),
            channels: channels(alerts),
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

/// The channels, each under a name of its own.
fn channels(alerts: &mut Section<'_>) -> Vec<ChannelConfig> {
    let channels = alerts.sections("channels", ChannelConfig::read);
    for (at, channel) in channels.iter().enumerate() {
        let mut before = channels[..at].iter();
        if !channel.name.is_empty() && before.any(|other| other.name == channel.name) {
            let key = format!("channels[{at}].name");
            let detail = format!(
                "{:?} is the name of another channel; allowed: a name of its own",
                channel.name
            );
            alerts.note_here(&key, detail);
        }
    }
    channels
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
