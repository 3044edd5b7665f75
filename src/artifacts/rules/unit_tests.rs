//! The files for `promtool test rules`: every scene of every alert, at the interval of a scrape and at that of a push, with the moments at
//! which the alert begins and ends and what it says then.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::alert::Evaluator;
use crate::catalog::{
    ALERTS, AlertDef, LEAK_SUSPECT_BYTES, Quantity, alert_names, compact, most_is_held,
};

use super::alerting::{Fill, annotations};
use super::rehearsal::{Course, Scene, Series, time};
use super::scenes::Stage;
use super::{Annotations, recording};
use crate::artifacts::promql::quoted;
use crate::artifacts::{Artifact, Wanted, yaml};

/// A file of tests.
#[derive(Debug, Serialize)]
struct File {
    rule_files: Vec<String>,
    evaluation_interval: String,
    tests: Vec<Test>,
}

/// Some series, and what must be seen of them.
#[derive(Debug, Serialize)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) interval: String,
    pub(super) input_series: Vec<Input>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) alert_rule_test: Vec<Notified>,
    pub(super) promql_expr_test: Vec<Queried>,
}

#[derive(Debug, Serialize)]
pub(super) struct Input {
    pub(super) series: String,
    pub(super) values: String,
}

/// What fires at a moment, with all that it says.
#[derive(Debug, Serialize)]
pub(super) struct Notified {
    eval_time: String,
    alertname: &'static str,
    exp_alerts: Vec<Alert>,
}

#[derive(Debug, Serialize)]
struct Alert {
    exp_labels: BTreeMap<String, String>,
    exp_annotations: Annotations,
}

/// What a query gives at a moment.
#[derive(Debug, Serialize)]
pub(super) struct Queried {
    pub(super) expr: String,
    pub(super) eval_time: String,
    pub(super) exp_samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sample {
    labels: &'static str,
    value: f64,
}

/// A way in: how often, and under which labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    name: &'static str,
    pub(super) interval: Duration,
    job: &'static str,
    instances: [&'static str; 2],
}

impl Sample {
    /// The only one, without labels.
    pub(super) fn of(value: f64) -> Vec<Self> {
        vec![Self {
            labels: "{}",
            value,
        }]
    }
}

impl Way {
    fn all(wanted: &Wanted) -> [Self; 2] {
        let pace = wanted.pace();
        [
            Self {
                name: "scrape",
                interval: pace.scrape(),
                job: "checkout",
                instances: ["10.0.0.7:10113", "10.0.0.8:10113"],
            },
            Self {
                name: "push",
                interval: pace.push(),
                job: "shop/checkout",
                instances: ["5f1c", "a07b"],
            },
        ]
    }

    fn target(&self, instance: usize) -> [(&'static str, &'static str); 2] {
        [
            ("job", self.job),
            ("instance", self.instances[instance % 2]),
        ]
    }

    /// A series as promtool is given it.
    pub(super) fn input(&self, wanted: &Wanted, series: &Series) -> Input {
        let metrics = &wanted.config.metrics;
        let own = series.labels.iter().copied();
        let labels = self.target(series.instance).into_iter().chain(own);
        let common = metrics
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<String> = labels
            .chain(common)
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        Input {
            series: format!(
                "{}{}{{{}}}",
                series.def.series(&metrics.namespace),
                series.part,
                labels.join(", ")
            ),
            values: series.track.notation(),
        }
    }
}

pub(super) fn artifacts(wanted: &Wanted, rules: &str) -> Vec<Artifact> {
    let files = Way::all(wanted).map(|way| {
        let mut tests = Vec::new();
        for name in alert_names() {
            let alerts: Vec<&AlertDef> = ALERTS.iter().filter(|alert| alert.name == name).collect();
            for alert in &alerts {
                let stage = Stage {
                    interval: way.interval,
                    pace: wanted.pace(),
                    thresholds: &wanted.config.alerts.thresholds,
                };
                let scenes = stage.scenes(alert).into_iter();
                tests.extend(scenes.map(|scene| test(wanted, way, alert, &alerts, &scene)));
            }
        }
        tests.extend(recording::tests(wanted, way));
        let file = File {
            rule_files: ["memory-alerts", "memory-recording"]
                .map(|name| format!("{rules}{name}.yml"))
                .to_vec(),
            evaluation_interval: compact(way.interval),
            tests,
        };
        Artifact {
            path: format!(
                "alertmanager/rules/tests/{}-{}.yml",
                wanted.profile, way.name
            ),
            contents: yaml(&file),
        }
    });
    files.into()
}

/// A scene that `alert` is tried with, and what all `alerts` of its name do in it.
fn test(wanted: &Wanted, way: Way, alert: &AlertDef, alerts: &[&AlertDef], scene: &Scene) -> Test {
    let courses = alerts.iter().map(|alert| {
        // As Prometheus 2 sees it, and as Prometheus 3 does: what differs is not asked for.
        let evaluator = Evaluator::new(&wanted.config.alerts.thresholds, wanted.pace());
        let both = [evaluator.closed(), evaluator];
        (*alert, both.map(|evaluator| scene.course(alert, evaluator)))
    });
    let courses: Vec<(&AlertDef, [Course; 2])> = courses.collect();
    let mut moments: Vec<(usize, Queried)> = Vec::new();
    for (alert, both) in &courses {
        for step in turns(both) {
            let fires = both[0][step].is_some();
            let queried = Queried {
                expr: format!(
                    "count(ALERTS{{alertname={:?}, alertstate=\"firing\", severity={:?}}})",
                    alert.name,
                    alert.severity.as_str()
                ),
                eval_time: compact(time(scene, step)),
                exp_samples: if fires { Sample::of(1.0) } else { Vec::new() },
            };
            moments.push((step, queried));
        }
    }
    moments.sort_by_key(|(step, _)| *step);
    let inputs = scene.series.iter().map(|series| way.input(wanted, series));
    Test {
        name: format!("{} {}: {}", alert.name, alert.severity.as_str(), scene.name),
        interval: compact(way.interval),
        input_series: inputs.collect(),
        alert_rule_test: notified(wanted, way, alert, &courses, scene)
            .into_iter()
            .collect(),
        promql_expr_test: moments.into_iter().map(|(_, queried)| queried).collect(),
    }
}

/// The steps around which an alert begins and ends to fire, as far as both ways of taking ranges agree, and some in between.
fn turns(both: &[Course; 2]) -> Vec<usize> {
    let fires = |step: usize| {
        let [closed, open] = both.each_ref().map(|course| course[step].is_some());
        (closed == open).then_some(closed)
    };
    let steps = both[0].len();
    let is_edge = |step: usize| {
        let others = [
            step.checked_sub(1),
            Some(step + 1).filter(|next| *next < steps),
        ];
        let differs = others
            .into_iter()
            .flatten()
            .any(|other| fires(other) != fires(step));
        let in_between = (1..=4).any(|quarter| step + 1 == (steps * quarter).div_ceil(4));
        fires(step).is_some() && (differs || in_between)
    };
    (0..steps).filter(|step| is_edge(*step)).collect()
}

/// What `alert` and those of its name say in the middle of the time in which it fires, if both ways of taking ranges agree on that.
fn notified(
    wanted: &Wanted,
    way: Way,
    alert: &AlertDef,
    courses: &[(&AlertDef, [Course; 2])],
    scene: &Scene,
) -> Option<Notified> {
    let (_, own) = courses
        .iter()
        .find(|(other, _)| std::ptr::eq(*other, alert))?;
    let firing: Vec<usize> = (0..scene.steps())
        .filter(|step| own.iter().all(|course| course[*step].is_some()))
        .collect();
    let say = |step: usize| {
        let said = |edge: usize| {
            let firing = courses.iter().filter_map(|(alert, both)| {
                Some(said(wanted, way, alert, both[edge][step]?, scene))
            });
            firing.collect::<Vec<_>>()
        };
        let (closed, open) = (said(0), said(1));
        (closed == open).then_some(closed)
    };
    // Late moments first: then the window has left the turn behind.
    let (early, late) = firing.split_at(firing.len() / 2);
    let step = late
        .iter()
        .chain(early)
        .find(|step| say(**step).is_some())?;
    Some(Notified {
        eval_time: compact(time(scene, *step)),
        alertname: alert.name,
        exp_alerts: say(*step)?
            .into_iter()
            .map(|(exp_labels, exp_annotations)| Alert {
                exp_labels,
                exp_annotations,
            })
            .collect(),
    })
}

fn said(
    wanted: &Wanted,
    way: Way,
    alert: &AlertDef,
    value: f64,
    scene: &Scene,
) -> (BTreeMap<String, String>, Annotations) {
    let [job, instance] = way.target(0);
    // The first series is that of the alert.
    let own = scene.series.first();
    let own = own.map(|series| series.labels.clone()).unwrap_or_default();
    let known = [job, instance]
        .into_iter()
        .chain(own)
        .collect::<BTreeMap<_, _>>();
    let labels = alert
        .labels()
        .into_iter()
        .map(|name| (name, known.get(name).copied().unwrap_or_default()));
    let mut all: BTreeMap<String, String> = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    all.insert("severity".to_owned(), alert.severity.as_str().to_owned());
    if alert.is_embedded() {
        all.extend(wanted.config.metrics.labels.clone());
    }
    let fill = Known {
        labels: known,
        value,
        largest: largest(scene),
    };
    (all, annotations(alert, wanted, &fill))
}

/// What stands in a notification of a series that is known.
struct Known {
    labels: BTreeMap<&'static str, &'static str>,
    value: f64,
    largest: String,
}

impl Fill for Known {
    fn label(&self, name: &str, in_url: bool) -> String {
        let value = self.labels.get(name).copied().unwrap_or_default();
        if in_url {
            url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
        } else {
            value.to_owned()
        }
    }

    fn value(&self, quantity: Quantity) -> String {
        quantity.written(self.value)
    }

    fn largest(&self) -> String {
        self.largest.clone()
    }
}

/// The sentence on the component whose suspects hold most, where there is such a series.
fn largest(scene: &Scene) -> String {
    let is_held = |series: &&Series| std::ptr::eq(series.def, &LEAK_SUSPECT_BYTES);
    let held = scene.series.iter().filter(is_held);
    let largest = held.max_by(|one, other| one.track.last().total_cmp(&other.track.last()));
    largest.map_or_else(String::new, |series| {
        let component = series.labels.first().map_or("", |(_, value)| *value);
        let bytes = Quantity::Bytes.written(series.track.last());
        most_is_held(component, &bytes)
    })
}
