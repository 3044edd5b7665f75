//! Sums and rates over a fleet, made in advance: named `level:metric:operations`. The dashboards do without them.

use std::time::Duration;

use crate::catalog::{
    ALLOCATION_COUNT, ALLOCATION_SIZE_BYTES, ALLOCATION_TOTAL_BYTES, LEAK_SUSPECT_BYTES,
    LIMIT_BYTES, LIMIT_USED_BYTES, MetricDef, OPERATIONS, RSS_BYTES, compact,
};

use super::alerting::scope;
use super::rehearsal::Series;
use super::track::Track;
use super::unit_tests::{Queried, Sample, Test, Way};
use super::{Group, Rule};
use crate::alert::Pace;
use crate::artifacts::Wanted;
use crate::artifacts::promql::{Expr, Scope, Window, counter, gauge, histogram};

const RECENTLY: Duration = Duration::from_secs(300);
/// How often they are evaluated.
const EVERY: Duration = Duration::from_secs(30);
const GIB: f64 = 1_073_741_824.0;
/// Of a series that begins to move.
const RATE: f64 = 10.0;

/// A rule, and what shows that it does what its name says.
struct Recording {
    level: &'static str,
    metric: &'static MetricDef,
    /// Which of the series of a histogram.
    part: &'static str,
    operations: String,
    expr: Expr,
    tried: Tried,
}

/// What a rule is tried with.
enum Tried {
    /// Levels of series, instance by instance, and what they make.
    Levels(Vec<(&'static MetricDef, [f64; 2])>, f64),
    /// Series that have begun to move by [`RATE`] in the middle of a window, by their labels.
    Turn {
        window: Duration,
        labels: Vec<Vec<(&'static str, &'static str)>>,
        /// What the rule makes of one of them that moves all the time.
        each: f64,
    },
}

fn recordings(scope: &Scope, pace: Pace) -> Vec<Recording> {
    let recently = pace.window(RECENTLY);
    let rss = scope.gauge(gauge!(RSS_BYTES));
    let used = scope.gauge(gauge!(LIMIT_USED_BYTES)).now();
    let limit = scope.gauge(gauge!(LIMIT_BYTES)).now();
    let bytes = scope.counter(counter!(ALLOCATION_TOTAL_BYTES));
    let count = scope.counter(counter!(ALLOCATION_COUNT));
    let suspected = scope.gauge(gauge!(LEAK_SUSPECT_BYTES)).now();
    let sizes = scope.buckets(histogram!(ALLOCATION_SIZE_BYTES));
    let rate = format!("rate{}", compact(recently));
    let of_cache = |name, values: &[&'static str]| {
        let labels = values
            .iter()
            .map(|value| vec![("component", "cache"), (name, *value)]);
        labels.collect::<Vec<_>>()
    };
    let turn = |labels| Tried::Turn {
        window: RECENTLY,
        labels,
        each: RATE,
    };
    let levels = vec![(&RSS_BYTES, [GIB, 2.0 * GIB])];
    vec![
        Recording {
            level: "instance",
            metric: &RSS_BYTES,
            part: "",
            operations: format!("deriv{}", compact(recently)),
            expr: rss.slope(Window::Of(recently)),
            // It falls: a rate would take that for restarts.
            tried: Tried::Turn {
                window: RECENTLY,
                labels: vec![Vec::new()],
                each: -RATE,
            },
        },
        Recording {
            level: "job",
            metric: &RSS_BYTES,
            part: "",
            operations: "sum".to_owned(),
            expr: rss.now().sum_by(&["job"]),
            tried: Tried::Levels(levels.clone(), 3.0 * GIB),
        },
        Recording {
            level: "job",
            metric: &RSS_BYTES,
            part: "",
            operations: "max".to_owned(),
            expr: rss.now().max_by(&["job"]),
            tried: Tried::Levels(levels, 2.0 * GIB),
        },
        Recording {
            level: "job",
            metric: &LIMIT_USED_BYTES,
            part: "",
            operations: "ratio_max".to_owned(),
            expr: used.divided_by(limit).max_by(&["job"]),
            tried: Tried::Levels(
                vec![
                    (&LIMIT_USED_BYTES, [GIB, 3.0 * GIB]),
                    (&LIMIT_BYTES, [4.0 * GIB, 4.0 * GIB]),
                ],
                0.75,
            ),
        },
        Recording {
            level: "instance_component",
            metric: &ALLOCATION_TOTAL_BYTES,
            part: "",
            operations: rate.clone(),
            expr: bytes.rate(Window::Of(recently)),
            tried: turn(vec![vec![("component", "cache")]]),
        },
        Recording {
            level: "instance_component",
            metric: &ALLOCATION_COUNT,
            part: "",
            operations: rate.clone(),
            expr: count.rate(Window::Of(recently)).sum_without(&["operation"]),
            tried: turn(of_cache("operation", &OPERATIONS)),
        },
        Recording {
            level: "job_component",
            metric: &LEAK_SUSPECT_BYTES,
            part: "",
            operations: "sum".to_owned(),
            expr: suspected.sum_by(&["job", "component"]),
            tried: Tried::Levels(vec![(&LEAK_SUSPECT_BYTES, [GIB, 2.0 * GIB])], 3.0 * GIB),
        },
        Recording {
            level: "instance",
            metric: &ALLOCATION_SIZE_BYTES,
            part: "_bucket",
            operations: rate,
            expr: sizes
                .rate(Window::Of(recently))
                .sum_without(&["component", "operation"]),
            tried: turn(
                ["cache", "parser"]
                    .into_iter()
                    .flat_map(|component| {
                        OPERATIONS.map(|operation| {
                            vec![
                                ("component", component),
                                ("operation", operation),
                                ("le", "64"),
                            ]
                        })
                    })
                    .collect(),
            ),
        },
    ]
}

impl Recording {
    fn name(&self, namespace: &str) -> String {
        let metric = self.metric.series(namespace);
        // A rate has the name of its counter without its suffix.
        let metric = metric.strip_suffix("_total").unwrap_or(&metric);
        format!("{}:{metric}{}:{}", self.level, self.part, self.operations)
    }

    fn series(&self, instance: usize, def: &'static MetricDef, track: Track) -> Series {
        Series {
            part: self.part,
            instance,
            ..Series::of(def, track)
        }
    }

    fn test(&self, wanted: &Wanted, way: Way) -> Test {
        let name = self.name(&wanted.config.metrics.namespace);
        let track = || Track::new(way.interval);
        // As well as some samples can tell: far from what half the window gives, or twice the window.
        let about = |value: f64| {
            let [low, high] = [value * 0.6, value * 1.5];
            format!("count(({name} > {}) < {})", low.min(high), low.max(high))
        };
        let alike = |labels: &[Vec<(&'static str, &'static str)>], track: &Track| {
            let series = labels.iter().map(|labels| Series {
                labels: labels.clone(),
                ..self.series(0, self.metric, track.clone())
            });
            series.collect::<Vec<_>>()
        };
        #[allow(clippy::cast_precision_loss, reason = "some series")]
        let (series, query, value) = match &self.tried {
            Tried::Levels(levels, value) => {
                let labels = |def: &MetricDef| match def.labels {
                    [] => Vec::new(),
                    _ => vec![("component", "cache")],
                };
                let of_both = levels.iter().flat_map(|(def, levels)| {
                    let numbered = levels.iter().enumerate();
                    numbered.map(|(instance, level)| Series {
                        labels: labels(def),
                        ..self.series(instance, def, track().hold(*level, 8))
                    })
                });
                (of_both.collect(), format!("avg({name})"), *value)
            }
            Tried::Turn {
                window,
                labels,
                each,
            } => {
                let window = track().steps(wanted.pace().window(*window));
                let by = RATE.copysign(*each);
                let moves = track().hold(GIB, 2 * window).grow(by, window / 2);
                let half = each * labels.len() as f64 / 2.0;
                (alike(labels, &moves), about(half), 1.0)
            }
        };
        let last = series.first().map_or(0, |series| series.track.len() - 1);
        let inputs = series.iter().map(|series| way.input(wanted, series));
        Test {
            name: name.clone(),
            interval: compact(way.interval),
            input_series: inputs.collect(),
            alert_rule_test: Vec::new(),
            promql_expr_test: vec![Queried {
                expr: query,
                eval_time: compact(way.interval * u32::try_from(last).unwrap_or(u32::MAX)),
                exp_samples: Sample::of(value),
            }],
        }
    }
}

pub(super) fn group(wanted: &Wanted) -> Group {
    let namespace = &wanted.config.metrics.namespace;
    let rules = recordings(&scope(wanted), wanted.pace()).into_iter();
    Group {
        name: "memory-exporter.recording",
        interval: Some(compact(EVERY.max(wanted.interval))),
        rules: rules
            .map(|rule| Rule::Recording {
                record: rule.name(namespace),
                expr: rule.expr.text().to_owned(),
            })
            .collect(),
    }
}

/// A test of each rule.
pub(super) fn tests(wanted: &Wanted, way: Way) -> Vec<Test> {
    let rules = recordings(&scope(wanted), wanted.pace()).into_iter();
    rules.map(|rule| rule.test(wanted, way)).collect()
}
