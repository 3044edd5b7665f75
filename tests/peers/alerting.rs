//! Alerts in the process against those of Prometheus: for series of every kind, drawn by chance, both are in the same state at every step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use memory_exporter::alert::{Evaluator, Pace, Progress, Sample, State};
use memory_exporter::catalog::{ALERTS, AlertDef, Condition, MetricDef};
use memory_exporter::config::{Config, Thresholds};

use crate::programs::promtool;

/// The rules as they are shipped.
const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/alertmanager/rules/memory-alerts.yml"
);
/// How many scenes of each alert.
const SCENES: u64 = 40;
const LABELS: &str = "job=\"j\", instance=\"i\"";

/// A generator of numbers that looks random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A whole number from 0 on, below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// One of some.
    fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[usize::try_from(self.below(some.len() as u64)).expect("a place")]
    }
}

/// A sample as promtool is told of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given {
    Value(f64),
    /// Late: the one before stands for it.
    Missing,
    /// The series has ended.
    Stale,
}

/// Pieces of a course, put together by chance around a level that matters; `counter` says that it falls to 0 only.
fn course(dice: &mut Dice, steps: usize, level: f64, slope: f64, counter: bool) -> Vec<Given> {
    let mut course = Vec::new();
    let mut value = if counter {
        0.0
    } else {
        level * dice.of(&[0.2, 0.9, 1.0, 1.1, 2.0])
    };
    while course.len() < steps {
        let length = 1 + dice.below(1 + steps as u64 / 3);
        let piece = dice.below(if counter { 6 } else { 9 });
        let by = slope * dice.of(&[0.5, 0.95, 1.0, 1.05, 2.0, -1.0]);
        for step in 0..length {
            course.push(match piece {
                // A gap, by a reading that failed or by one that is late.
                0 => Given::Stale,
                1 => Given::Missing,
                2 => {
                    value = if counter && step == 0 {
                        value + 1.0
                    } else {
                        value
                    };
                    Given::Value(value)
                }
                3 => {
                    // A restart.
                    value = if step == 0 {
                        if counter { 0.0 } else { level / 8.0 }
                    } else {
                        value
                    };
                    Given::Value(value)
                }
                4 if dice.below(3) == 0 => Given::Value(f64::NAN),
                4 | 5 => Given::Value(value),
                6 => {
                    value = (value + by).max(0.0);
                    Given::Value(value)
                }
                7 => Given::Value(if step % 2 == 0 {
                    value
                } else {
                    value + level / 3.0
                }),
                _ => {
                    value = if step == 0 {
                        level * dice.of(&[0.5, 0.99, 1.0, 1.01, 1.5])
                    } else {
                        value
                    };
                    Given::Value(value)
                }
            });
        }
    }
    course.truncate(steps);
    course
}

/// Series of the metrics that an alert looks at.
struct Scene {
    alert: &'static AlertDef,
    interval: Duration,
    series: Vec<(&'static MetricDef, Vec<Given>)>,
}

impl Scene {
    fn draw(dice: &mut Dice, alert: &'static AlertDef, thresholds: &Thresholds) -> Self {
        let interval = Duration::from_secs(dice.of(&[15, 30, 60]));
        let seconds = interval.as_secs_f64();
        let steps = |time: Duration| time.as_secs().div_ceil(interval.as_secs());
        let series = match alert.condition {
            Condition::Level {
                metric,
                over,
                threshold,
                ..
            } => {
                let length = steps(3 * (over.window() + alert.hold + alert.keep_firing));
                let threshold = thresholds.of(threshold);
                let (level, slope) = match over {
                    memory_exporter::catalog::Over::Slope(_) => (4e8, threshold * seconds),
                    _ => (threshold, threshold / 10.0),
                };
                vec![(metric.def(), length, level, slope, false)]
            }
            Condition::Risen { metric, within } => {
                vec![(metric.def(), steps(3 * within), 1.0, 1.0, true)]
            }
            Condition::Reached {
                used,
                limit,
                history,
                within,
                ..
            } => {
                let length = steps(2 * history + alert.hold + alert.keep_firing);
                let slope = 5e8 / thresholds.of(within) * seconds;
                vec![
                    (used.def(), length, 6e8, slope, false),
                    (limit.def(), length, 1e9, 0.0, false),
                ]
            }
            Condition::Silent { metric, .. } => {
                vec![(
                    metric.def(),
                    steps(Duration::from_secs(4 * 3600)),
                    1e8,
                    0.0,
                    false,
                )]
            }
        };
        let drawn = series
            .into_iter()
            .map(|(def, length, level, slope, counter)| {
                let length = usize::try_from(length).expect("a length");
                (def, course(dice, length, level, slope, counter))
            });
        Self {
            alert,
            interval,
            series: drawn.collect(),
        }
    }

    /// The state at each step, as the process has it.
    fn states(&self, thresholds: &Thresholds) -> Vec<State> {
        let evaluator = Evaluator::new(thresholds, Pace::new(self.interval, self.interval, 1.0));
        let mut progress = Progress::default();
        let time = |step: usize| step as f64 * self.interval.as_secs_f64();
        let samples: Vec<Vec<Sample>> = self
            .series
            .iter()
            .map(|(_, course)| {
                let given = course.iter().enumerate();
                given
                    .filter_map(|(step, given)| {
                        let value = match given {
                            Given::Value(value) => Some(*value),
                            Given::Stale => None,
                            Given::Missing => return None,
                        };
                        Some(Sample {
                            time: time(step),
                            value,
                        })
                    })
                    .collect()
            })
            .collect();
        (0..self.series[0].1.len())
            .map(|step| {
                let now = time(step);
                let past = |def: &'static MetricDef| {
                    let of_it = self
                        .series
                        .iter()
                        .zip(&samples)
                        .filter(|((other, _), _)| std::ptr::eq(*other, def));
                    of_it
                        .map(|(_, samples)| {
                            &samples[..samples.partition_point(|sample| sample.time <= now)]
                        })
                        .collect()
                };
                evaluator.advance(&mut progress, self.alert, past, now);
                progress.state()
            })
            .collect()
    }

    /// As a test for promtool, which asks for the state at every step.
    fn test(&self, name: usize, states: &[State]) -> String {
        let interval = self.interval.as_secs();
        let mut text = format!("- name: '{name}'\n  interval: {interval}s\n  input_series:\n");
        for (def, course) in &self.series {
            let values: Vec<String> = course
                .iter()
                .map(|given| match given {
                    Given::Value(value) => value.to_string(),
                    Given::Missing => "_".to_owned(),
                    Given::Stale => "stale".to_owned(),
                })
                .collect();
            let labels = match def.labels {
                [] => LABELS.to_owned(),
                _ => format!("{LABELS}, component=\"c\""),
            };
            let _ = writeln!(
                text,
                "  - series: '{}{{{labels}}}'\n    values: {}",
                def.series(""),
                values.join(" ")
            );
        }
        text.push_str("  promql_expr_test:\n");
        for (step, state) in states.iter().enumerate() {
            let wanted = match state {
                State::Inactive => "[]".to_owned(),
                State::Pending => "[{labels: '{alertstate=\"pending\"}', value: 1}]".to_owned(),
                State::Firing => "[{labels: '{alertstate=\"firing\"}', value: 1}]".to_owned(),
            };
            let _ = writeln!(
                text,
                "  - {{expr: 'sum by (alertstate) (ALERTS{{alertname=\"{}\", severity=\"{}\"}})', eval_time: {}s, exp_samples: {wanted}}}",
                self.alert.name,
                self.alert.severity.as_str(),
                step as u64 * interval,
            );
        }
        text
    }
}

/// The differences that promtool finds.
fn judged(directory: &Path, interval: u64, tests: &str) -> String {
    let file = directory.join(format!("{interval}.yml"));
    let head = format!("rule_files: ['{RULES}']\nevaluation_interval: {interval}s\ntests:\n");
    std::fs::write(&file, head + tests).expect("the tests");
    let output = Command::new(promtool())
        .args(["test", "rules"])
        .arg(&file)
        .output()
        .expect("promtool starts");
    if output.status.success() {
        return String::new();
    }
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_process_and_prometheus_agree_at_every_step() {
    let thresholds = Config::production().alerts.thresholds;
    let mut dice = Dice(20_261_126);
    let mut seen: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    let mut tests: BTreeMap<u64, String> = BTreeMap::new();
    let alerts = ALERTS.iter();
    for (at, alert) in alerts
        .flat_map(|alert| (0..SCENES).map(move |_| alert))
        .enumerate()
    {
        let scene = Scene::draw(&mut dice, alert, &thresholds);
        let states = scene.states(&thresholds);
        for state in &states {
            let key = (alert.name, alert.severity.as_str(), format!("{state:?}"));
            *seen.entry(key).or_default() += 1;
        }
        let file = tests.entry(scene.interval.as_secs()).or_default();
        file.push_str(&scene.test(at, &states));
    }
    // Every alert is seen in every state that it has.
    for alert in ALERTS {
        for state in [State::Inactive, State::Pending, State::Firing] {
            let key = (alert.name, alert.severity.as_str(), format!("{state:?}"));
            let has = state != State::Pending || !alert.hold.is_zero();
            assert_eq!(seen.contains_key(&key), has, "{key:?}: {seen:?}");
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    std::thread::scope(|scope| {
        let judges: Vec<_> = tests
            .iter()
            .map(|(interval, tests)| scope.spawn(|| judged(directory.path(), *interval, tests)))
            .collect();
        for judge in judges {
            let said = judge.join().expect("a verdict");
            assert!(
                said.is_empty(),
                "{}",
                said.lines().take(60).collect::<Vec<_>>().join("\n")
            );
        }
    });
}
