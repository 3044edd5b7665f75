//! What each kind of alert is tried with: at the threshold, beyond it, and everything that resembles it and is harmless.

use std::time::Duration;

use crate::catalog::{
    AlertDef, Condition, Counter, Gauge, LEAK_SUSPECT_BYTES, Over, Side, Threshold,
};
use crate::config::Thresholds;

use super::rehearsal::{Scene, Series};
use super::track::Track;
use crate::alert::Pace;

const GIB: f64 = 1_073_741_824.0;

/// Makes scenes for one way in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) interval: Duration,
    pub(super) pace: Pace,
    pub(super) thresholds: &'a Thresholds,
}

impl Stage<'_> {
    /// All scenes of an alert.
    pub(super) fn scenes(self, alert: &AlertDef) -> Vec<Scene> {
        let mut scenes = match alert.condition {
            Condition::Level {
                metric,
                over,
                side,
                threshold,
            } => self.level(alert, metric, over, side, self.thresholds.of(threshold)),
            Condition::Risen { metric, within } => self.risen(metric, within),
            Condition::Reached {
                used,
                limit,
                history,
                within,
                used_ratio,
            } => self.reached(alert, [used, limit], history, [within, used_ratio]),
            Condition::Silent { metric, remembered } => self.silent(alert, metric, remembered),
        };
        for scene in &mut scenes {
            let steps = scene.steps();
            for series in &mut scene.series {
                let track = series.track.clone();
                let late = steps - track.len();
                series.track = track.missing(late);
            }
        }
        scenes
    }

    fn track(self) -> Track {
        Track::new(self.interval)
    }

    fn steps(self, time: Duration) -> usize {
        self.track().steps(time)
    }

    fn window(self, window: Duration) -> usize {
        self.steps(self.pace.window(window))
    }

    fn level(
        self,
        alert: &AlertDef,
        metric: Gauge,
        over: Over,
        side: Side,
        threshold: f64,
    ) -> Vec<Scene> {
        let hold = self.steps(self.pace.time(alert.hold));
        let keep = self.steps(self.pace.time(alert.keep_firing));
        let window = match over {
            Over::Now => 1,
            _ => self.window(over.window()),
        };
        let long = window + hold + 4;
        let short = match over {
            Over::Now => hold,
            _ => window / 2,
        };
        // Beyond the threshold by more in a mean and in a least value: nothing but all of the window must decide.
        let (calm, loud) = match (side, over) {
            (Side::Above, Over::Now) => (threshold / 2.0, (threshold * 1.02).ceil()),
            (Side::Above, _) => (0.0, threshold * 2.0),
            (Side::Below, _) => ((threshold * 1.8).min(1.0), threshold * 0.55),
        };
        let labels = match metric.def().labels {
            [] => Vec::new(),
            _ => vec![("component", "cache")],
        };
        let scene = |name, track| Scene {
            name,
            series: vec![Series {
                labels: labels.clone(),
                ..Series::of(metric.def(), track)
            }],
        };
        if let Over::Slope(_) = over {
            return self.slopes(threshold, window, hold, keep, scene);
        }
        let mut scenes = vec![
            scene("at the threshold", self.track().hold(threshold, 2 * long)),
            scene(
                "a little beyond the threshold",
                self.track().hold(
                    match side {
                        Side::Above => threshold * 1.02,
                        Side::Below => threshold * 0.98,
                    },
                    2 * long,
                ),
            ),
            scene(
                "beyond the threshold, then back",
                self.track()
                    .hold(calm, window + 4)
                    .hold(loud, 2 * long)
                    .hold(calm, window + keep + 4),
            ),
            scene(
                "beyond it for a short time",
                self.track()
                    .hold(calm, window + 4)
                    .hold(loud, short)
                    .hold(calm, 2 * long),
            ),
            scene(
                "one sample within bounds",
                self.track()
                    .hold(calm, window + 4)
                    .hold(loud, (window + hold).saturating_sub(2))
                    .hold(threshold, 1)
                    .hold(loud, (window + hold).saturating_sub(2))
                    .hold(calm, 4),
            ),
        ];
        if alert.description.contains("{largest}") {
            let mut named = scene(
                "the component that leaks most is named",
                self.track().hold(loud, 2 * long),
            );
            for (component, bytes) in [("cache", 64.0), ("parser", 1.0)] {
                let held = self.track().hold(bytes * 1_048_576.0, 2 * long);
                named.series.push(Series {
                    labels: vec![("component", component)],
                    ..Series::of(&LEAK_SUSPECT_BYTES, held)
                });
            }
            scenes.push(named);
        }
        scenes
    }

    fn slopes(
        self,
        threshold: f64,
        window: usize,
        hold: usize,
        keep: usize,
        scene: impl Fn(&'static str, Track) -> Scene,
    ) -> Vec<Scene> {
        let long = window + hold + 4;
        let level = GIB / 4.0;
        let calm = || self.track().hold(level, window + 4);
        let seconds = self.interval.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "some samples")]
        let width = window as f64 * seconds;
        let mut scenes = vec![
            scene(
                "growing faster, then not at all",
                calm()
                    .grow((threshold * 1.1).ceil(), 2 * long)
                    .stay(window + keep + 4),
            ),
            scene(
                "growing more slowly",
                calm().grow((threshold * 0.9).floor(), 2 * long),
            ),
            // The slope of a step is at most one and a half times its height in the width of the window.
            scene(
                "one step",
                calm().hold(level + (threshold * width * 0.6).ceil(), 3 * long),
            ),
            scene(
                "a saw without a trend",
                (0..2 * long).fold(calm(), |track, tooth| {
                    let up = if tooth % 2 == 0 {
                        (threshold * width / 3.0).ceil()
                    } else {
                        0.0
                    };
                    track.hold(level + up, 1)
                }),
            ),
            scene(
                "a restart, which drops and fills again",
                calm()
                    .hold(level / 16.0, 1)
                    .grow((threshold * width / 4.0 / (2.0 * seconds)).ceil(), 2)
                    .stay(2 * long),
            ),
        ];
        // Only whole numbers of bytes give exactly the threshold.
        if (threshold * seconds).fract() == 0.0 {
            scenes.push(scene(
                "growing as fast as allowed",
                self.track().hold(level, 1).grow(threshold, 2 * long),
            ));
        }
        scenes
    }

    fn risen(self, metric: Counter, within: Duration) -> Vec<Scene> {
        let window = self.window(within);
        let scene = |name, track| Scene {
            name,
            series: vec![Series::of(metric.def(), track)],
        };
        let first = || self.track().hold(0.0, window + 4);
        vec![
            scene("nothing happens", first()),
            scene("it rises by one", first().hold(1.0, window + window / 2)),
            scene(
                "it appears above zero",
                self.track()
                    .missing(window + 4)
                    .hold(1.0, window + window / 2),
            ),
            scene(
                "a restart",
                self.track()
                    .hold(7.0, window + window / 2)
                    .hold(0.0, window),
            ),
            scene(
                "a restart, then it rises",
                self.track()
                    .hold(7.0, window + window / 2)
                    .hold(0.0, 8)
                    .hold(1.0, window + window / 2),
            ),
        ]
    }

    fn reached(
        self,
        alert: &AlertDef,
        [used, limit]: [Gauge; 2],
        history: Duration,
        [within, used_ratio]: [Threshold; 2],
    ) -> Vec<Scene> {
        let window = self.window(history);
        let hold = self.steps(self.pace.time(alert.hold));
        let keep = self.steps(self.pace.time(alert.keep_firing));
        let (horizon, ratio) = (self.thresholds.of(within), self.thresholds.of(used_ratio));
        let bytes = |share: f64| (GIB * share).round();
        let rate = |from: f64, factor: f64| bytes((1.0 - from) / horizon * factor).max(1.0);
        let scene = |name, track: Track| Scene {
            name,
            series: vec![
                Series::of(limit.def(), self.track().hold(GIB, track.len())),
                Series::of(used.def(), track),
            ],
        };
        let from = |share: f64| self.track().hold(bytes(share), 1);
        let above = (ratio * 1.1 + 0.02).min(0.9);
        let below = ratio * 0.3;
        let long = window + hold + 4;
        vec![
            scene(
                "reached in time, then no more growth",
                from(above)
                    .grow(rate(above, 1.3), long + hold)
                    .stay(window + keep + 8),
            ),
            scene("reached later", from(above).grow(rate(above, 0.5), long)),
            scene(
                "reached in time, but little is used",
                from(below).grow(rate(below, 1.05), long),
            ),
            scene(
                "reached in time, but young",
                from(above).grow(rate(above, 3.0), window.saturating_sub(2)),
            ),
            scene("used up, but not growing", self.track().hold(GIB, 2 * long)),
            scene(
                "exactly the share is used",
                self.track()
                    .hold(bytes(below), window)
                    .hold(bytes(ratio), 2 * hold.max(4)),
            ),
            scene(
                "a little more than the share is used",
                self.track()
                    .hold(bytes(below), window)
                    .hold(bytes(ratio * 1.02), 2 * hold.max(4)),
            ),
        ]
    }

    fn silent(self, alert: &AlertDef, metric: Gauge, remembered: Duration) -> Vec<Scene> {
        let hold = self.steps(self.pace.time(alert.hold));
        let late = self.steps(Duration::from_secs(300));
        let reporting = |steps| self.track().hold(GIB, steps);
        let long = 2 * (hold + late);
        let of = |instance, track| Series {
            instance,
            ..Series::of(metric.def(), track)
        };
        vec![
            Scene {
                name: "a job stops, and is forgotten",
                series: vec![of(0, reporting(8).missing(self.window(remembered) + 8))],
            },
            Scene {
                name: "one instance follows another",
                series: vec![
                    of(0, reporting(long)),
                    of(1, self.track().missing(long).hold(GIB, long)),
                ],
            },
            Scene {
                name: "a job is away for a short time",
                series: vec![of(0, reporting(8).missing(late + hold - 1).hold(GIB, long))],
            },
        ]
    }
}
