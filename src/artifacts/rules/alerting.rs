//! Alerts as rules for Prometheus.

use std::collections::BTreeMap;

use crate::catalog::{ALERTS, AlertDef, Condition, Over, Quantity, Side, compact, most_is_held};
use crate::config::Thresholds;

use super::{Alerting, Annotations, Group, Rule};
use crate::alert::{InUrl, Links, Pace};
use crate::artifacts::Wanted;
use crate::artifacts::promql::{Expr, Scope, Window, gauge, quoted};

pub(super) fn group(wanted: &Wanted) -> Group {
    let alerts = ALERTS.iter().map(|alert| rule(alert, wanted));
    Group {
        name: "memory-exporter.alerts",
        interval: None,
        rules: alerts.map(Rule::Alerting).collect(),
    }
}

/// The series that the rules of a configuration concern.
pub(super) fn scope(wanted: &Wanted) -> Scope {
    let metrics = &wanted.config.metrics;
    Scope::of_labels(&metrics.namespace, &metrics.labels)
}

fn rule(alert: &'static AlertDef, wanted: &Wanted) -> Alerting {
    let pace = wanted.pace();
    Alerting {
        alert: alert.name,
        expr: expression(
            alert,
            &scope(wanted),
            &wanted.config.alerts.thresholds,
            pace,
        )
        .text()
        .to_owned(),
        hold: pace.time(alert.hold),
        keep_firing: pace.time(alert.keep_firing),
        labels: BTreeMap::from([("severity", alert.severity.as_str().to_owned())]),
        annotations: annotations(
            alert,
            wanted,
            &Template {
                scope: scope(wanted),
            },
        ),
    }
}

/// The expression of an alert's rule.
pub(in crate::artifacts) fn expression_of(alert: &AlertDef, wanted: &Wanted) -> String {
    let thresholds = &wanted.config.alerts.thresholds;
    let expression = expression(alert, &scope(wanted), thresholds, wanted.pace());
    expression.text().to_owned()
}

fn expression(alert: &AlertDef, scope: &Scope, thresholds: &Thresholds, pace: Pace) -> Expr {
    let window = |window| Window::Of(pace.window(window));
    match alert.condition {
        Condition::Level {
            metric,
            over,
            side,
            threshold,
        } => {
            let metric = scope.gauge(metric);
            let level = match over {
                Over::Now => metric.now(),
                Over::Least(time) => metric.least(window(time)),
                Over::Mean(time) => metric.mean(window(time)),
                Over::Slope(time) => metric.slope(window(time)),
            };
            let threshold = Expr::quantity(thresholds.of(threshold), threshold.quantity());
            match side {
                Side::Above => level.above(threshold),
                Side::Below => level.below(threshold),
            }
        }
        Condition::Risen { metric, within } => {
            let metric = scope.counter(metric);
            let zero = || Expr::number(0.0);
            let rose = metric.increase(window(within)).above(zero());
            // A counter that is first seen above 0 has no increase: it was pushed under a new instance, say.
            let appeared = metric.now().above(zero());
            rose.or(appeared.unless(metric.ago(pace.window(within))))
        }
        Condition::Reached {
            used,
            limit,
            history,
            within,
            used_ratio,
        } => {
            let (used, limit) = (scope.gauge(used), scope.gauge(limit));
            let ahead = used.predicted(window(history), thresholds.of(within));
            let share = Expr::number(thresholds.of(used_ratio)).times(limit.now());
            ahead
                .above(limit.now())
                .and(used.now().above(share))
                .and(used.ago(pace.window(history)))
        }
        Condition::Silent { metric, remembered } => {
            let metric = scope.gauge(metric);
            let lately = metric.last(window(remembered)).group_by(&["job"]);
            lately.unless(metric.now().group_by(&["job"]))
        }
    }
}

/// Who fills in what a notification says of a series.
pub(super) trait Fill {
    /// The value of a label, as it is read or as part of a URL.
    fn label(&self, name: &str, in_url: bool) -> String;
    /// The value.
    fn value(&self, quantity: Quantity) -> String;
    /// A sentence on the component that leaks most, with a space before it, or nothing.
    fn largest(&self) -> String;
}

/// Prometheus fills it in.
struct Template {
    scope: Scope,
}

impl Fill for Template {
    fn label(&self, name: &str, in_url: bool) -> String {
        let escaped = if in_url { " | urlquery" } else { "" };
        format!("{{{{ $labels.{name}{escaped} }}}}")
    }

    fn value(&self, quantity: Quantity) -> String {
        match quantity {
            Quantity::Bytes => "{{ $value | humanize1024 }}B",
            Quantity::BytesPerSecond => "{{ $value | humanize1024 }}B/s",
            Quantity::MbPerHour => "{{ $value | printf \"%.1f\" }} MB/h",
            Quantity::Ratio => "{{ $value | humanizePercentage }}",
            Quantity::Seconds => "{{ $value | printf \"%.0f\" }} s",
            Quantity::Count => "{{ $value | printf \"%.0f\" }}",
        }
        .to_owned()
    }

    fn largest(&self) -> String {
        // Two labels are filled in by printf, which quotes them.
        const FILLED_IN: &str = "FILLED_IN";
        let held = self
            .scope
            .gauge(gauge!(LEAK_SUSPECT_BYTES))
            .matching("job", FILLED_IN)
            .matching("instance", FILLED_IN)
            .now()
            .above(Expr::number(0.0))
            .largest(1);
        let format = held
            .text()
            .replace('%', "%%")
            .replace(&quoted(FILLED_IN), "%q");
        let format = quoted(&format);
        let sentence = most_is_held(
            "{{ . | first | label \"component\" }}",
            "{{ . | first | value | humanize1024 }}B",
        );
        format!(
            "{{{{ with printf {format} $labels.job $labels.instance | query }}}}{sentence}{{{{ end }}}}"
        )
    }
}

/// What a notification says.
pub(super) fn annotations(alert: &AlertDef, wanted: &Wanted, fill: &impl Fill) -> Annotations {
    let pace = wanted.pace();
    let thresholds = &wanted.config.alerts.thresholds;
    let (window, threshold) = (alert.condition.window(), alert.condition.threshold());
    let window = if window.is_zero() {
        window
    } else {
        pace.window(window)
    };
    let description = alert.describe(|name| match name {
        "value" => fill.value(alert.quantity()),
        "threshold" => threshold
            .map(|threshold| threshold.quantity().threshold(thresholds.of(threshold)))
            .unwrap_or_default(),
        "time" => compact(alert.time(window, pace.time(alert.hold))),
        "largest" => fill.largest(),
        label => fill.label(label, false),
    });
    let links = Links::of(alert, &wanted.config.alerts.links, |label, place| {
        fill.label(label, place == InUrl::Query)
    });
    Annotations {
        summary: alert.summary.to_owned(),
        description,
        runbook_url: links.runbook,
        dashboard_url: links.dashboard,
        flamegraph_url: links.flamegraph,
    }
}
