//! What a rule must do with given series, worked out from the definition of its alert and not from its expression: when it fires, with which
//! value, and when it stops.
//!
//! Prometheus 2 counts a sample at the very start of a range, Prometheus 3 does not. What differs between the two is not asked for.

use std::time::Duration;

use crate::catalog::{AlertDef, Condition, MetricDef, Over, Side};
use crate::config::Thresholds;

use super::track::Track;
use crate::artifacts::Pace;

/// How long a late sample stands in for the present.
const LOOK_BACK: Duration = Duration::from_secs(300);

/// A series of a scene.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) def: &'static MetricDef,
    /// What its name ends in beside that of the metric: a part of a histogram.
    pub(super) part: &'static str,
    /// Labels beside those of the target.
    pub(super) labels: Vec<(&'static str, &'static str)>,
    /// Which of several instances of a job it is of.
    pub(super) instance: usize,
    pub(super) track: Track,
}

/// What an alert is tried with. All series are of one length.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) series: Vec<Series>,
}

/// When an alert fires in a scene, and with which value, at each interval.
pub(super) type Course = Vec<Option<f64>>;

impl Series {
    /// The only series of a metric.
    pub(super) fn of(def: &'static MetricDef, track: Track) -> Self {
        Self {
            def,
            part: "",
            labels: Vec::new(),
            instance: 0,
            track,
        }
    }
}

impl Scene {
    pub(super) fn steps(&self) -> usize {
        self.series
            .iter()
            .map(|series| series.track.len())
            .max()
            .unwrap_or(0)
    }

    pub(super) fn interval(&self) -> Duration {
        self.series
            .first()
            .map_or(Duration::ZERO, |series| series.track.interval())
    }

    fn tracks(&self, def: &'static MetricDef) -> impl Iterator<Item = &Track> {
        self.series
            .iter()
            .filter(move |series| series.part.is_empty() && std::ptr::eq(series.def, def))
            .map(|series| &series.track)
    }

    fn track(&self, def: &'static MetricDef) -> Option<&Track> {
        self.tracks(def).next()
    }
}

/// How Prometheus takes ranges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eye<'a> {
    pub(super) thresholds: &'a Thresholds,
    pub(super) pace: Pace,
    /// Whether the start of a range is part of it.
    pub(super) closed: bool,
}

impl Eye<'_> {
    /// What `alert` does in `scene`.
    pub(super) fn course(self, alert: &AlertDef, scene: &Scene) -> Course {
        let (hold, keep) = (
            self.pace.time(alert.hold),
            self.pace.time(alert.keep_firing),
        );
        let (mut since, mut fires, mut last, mut over_since) = (None, false, None, None);
        let mut course = Vec::with_capacity(scene.steps());
        for step in 0..scene.steps() {
            let now = time(scene, step);
            match self.value(alert, scene, step) {
                Some(value) => {
                    let since = *since.get_or_insert(now);
                    last = Some(value);
                    over_since = None;
                    fires |= now - since >= hold;
                }
                None if fires => {
                    let over = *over_since.get_or_insert(now);
                    if now - over >= keep {
                        (since, fires) = (None, false);
                    }
                }
                None => since = None,
            }
            course.push(last.filter(|_| fires));
        }
        course
    }

    /// The value that the condition has where it holds.
    fn value(self, alert: &AlertDef, scene: &Scene, step: usize) -> Option<f64> {
        match alert.condition {
            Condition::Level {
                metric,
                over,
                side,
                threshold,
            } => {
                let track = scene.track(metric.def())?;
                let value = self.level(track, over, step)?;
                let threshold = self.thresholds.of(threshold);
                let beyond = match side {
                    Side::Above => value > threshold,
                    Side::Below => value < threshold,
                };
                beyond.then_some(value)
            }
            Condition::Risen { metric, within } => {
                let track = scene.track(metric.def())?;
                let samples = self.window(track, step, within);
                let rose: f64 = samples
                    .windows(2)
                    // After a restart a counter begins at 0.
                    .map(|pair| match pair[1].1 - pair[0].1 {
                        rise if rise >= 0.0 => rise,
                        _ => pair[1].1,
                    })
                    .sum();
                let appeared = || {
                    let value = self.now(track, step, Duration::ZERO)?;
                    let before = self.now(track, step, self.pace.window(within));
                    (value > 0.0 && before.is_none()).then_some(value)
                };
                if rose > 0.0 { Some(rose) } else { appeared() }
            }
            Condition::Reached {
                used,
                limit,
                history,
                within,
                used_ratio,
            } => {
                let (used, limit) = (scene.track(used.def())?, scene.track(limit.def())?);
                let limit = self.now(limit, step, Duration::ZERO)?;
                self.now(used, step, self.pace.window(history))?;
                let (slope, level) = line(&self.window(used, step, history))?;
                let ahead = level + slope * self.thresholds.of(within);
                let now = self.now(used, step, Duration::ZERO)?;
                (ahead > limit && now > self.thresholds.of(used_ratio) * limit).then_some(ahead)
            }
            Condition::Silent { metric, remembered } => {
                let tracks = || scene.tracks(metric.def());
                let lately = tracks().any(|track| !self.window(track, step, remembered).is_empty());
                let reports = tracks().any(|track| self.now(track, step, Duration::ZERO).is_some());
                (lately && !reports).then_some(1.0)
            }
        }
    }

    fn level(self, track: &Track, over: Over, step: usize) -> Option<f64> {
        let samples = match over {
            Over::Now => return self.now(track, step, Duration::ZERO),
            Over::Least(window) | Over::Mean(window) | Over::Slope(window) => {
                self.window(track, step, window)
            }
        };
        let values = || samples.iter().map(|(_, value)| *value);
        match over {
            Over::Now => None,
            Over::Least(_) => values().reduce(f64::min),
            #[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
            Over::Mean(_) => {
                (!samples.is_empty()).then(|| values().sum::<f64>() / samples.len() as f64)
            }
            Over::Slope(_) => line(&samples).map(|(slope, _)| slope),
        }
    }

    fn window(self, track: &Track, step: usize, window: Duration) -> Vec<(f64, f64)> {
        track.window(step, self.pace.window(window), self.closed)
    }

    /// The last value as of some time ago.
    fn now(self, track: &Track, step: usize, ago: Duration) -> Option<f64> {
        let back = usize::try_from(ago.as_millis() / track.interval().as_millis().max(1)).ok()?;
        let samples = track.window(step.checked_sub(back)?, LOOK_BACK, self.closed);
        samples.last().map(|(_, value)| *value)
    }
}

/// When a step is, after the first.
pub(super) fn time(scene: &Scene, step: usize) -> Duration {
    scene.interval() * u32::try_from(step).unwrap_or(u32::MAX)
}

/// Slope and level at time 0 of the line through some samples, by least squares.
#[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
fn line(samples: &[(f64, f64)]) -> Option<(f64, f64)> {
    if samples.len() < 2 {
        return None;
    }
    let count = samples.len() as f64;
    let middle = samples.iter().map(|(time, _)| time).sum::<f64>() / count;
    // From the first value on: levels are large, and what they differ by is small.
    let first = samples[0].1;
    let mean = samples.iter().map(|(_, value)| value - first).sum::<f64>() / count;
    let (mut together, mut spread) = (0.0, 0.0);
    for (time, value) in samples {
        together += (time - middle) * (value - first - mean);
        spread += (time - middle) * (time - middle);
    }
    let slope = together / spread;
    Some((slope, first + mean - slope * middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ALERTS, LEAK_GROWTH_RATE_MB_H};
    use crate::config::Config;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_fires_after_window_and_hold_and_keeps_firing() {
        let thresholds = Config::production().alerts.thresholds;
        let track = Track::new(MINUTE)
            .hold(0.0, 10)
            .hold(60.0, 20)
            .hold(0.0, 20);
        let scene = Scene {
            name: "",
            series: vec![Series::of(&LEAK_GROWTH_RATE_MB_H, track)],
        };
        let eye = |closed| Eye {
            thresholds: &thresholds,
            pace: Pace::new(MINUTE, MINUTE, 1.0),
            closed,
        };
        let fires = |closed| {
            let course = eye(closed).course(&ALERTS[0], &scene);
            let first = course.iter().position(Option::is_some);
            (first, course.iter().rposition(Option::is_some))
        };
        // Above from minute 10 on. A window that counts its start still sees minute 9 at 14; held for five; below again at 30, kept for ten.
        assert_eq!(fires(false), (Some(19), Some(39)));
        assert_eq!(fires(true), (Some(20), Some(39)));
    }

    #[test]
    fn lines() {
        let samples = [(-20.0, 1e9), (-10.0, 1e9 + 5.0), (0.0, 1e9 + 10.0)];
        assert_eq!(line(&samples), Some((0.5, 1e9 + 10.0)));
        assert_eq!(line(&samples[..1]), None);
    }
}
