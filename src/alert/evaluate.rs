//! Whether the condition of an alert holds, and since when, as Prometheus has it. Pure: samples and the time are handed in.

use std::time::Duration;

use crate::catalog::{AlertDef, Condition, MetricDef, Over, Side};
use crate::config::Thresholds;

use super::Pace;

/// How long a late sample stands in for the present.
const LOOK_BACK: Duration = Duration::from_secs(300);

/// When, in seconds since any moment, and the value.
pub(crate) type Sample = (f64, f64);

/// How samples are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eye<'a> {
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) pace: Pace,
    /// Whether the very start of a range is part of it: to Prometheus 2 it is, to Prometheus 3 it is not.
    pub(crate) closed: bool,
}

/// How far an alert has come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Progress {
    /// Since when the condition holds.
    since: Option<f64>,
    /// Since when it holds no more, while the alert goes on firing.
    over_since: Option<f64>,
    fires: bool,
    /// The last value while it held.
    value: Option<f64>,
}

impl Progress {
    /// Takes in whether the condition holds now, and with which value.
    pub(crate) fn advance(&mut self, alert: &AlertDef, pace: Pace, now: f64, value: Option<f64>) {
        let seconds = |time: Duration| pace.time(time).as_secs_f64();
        if let Some(value) = value {
            let since = *self.since.get_or_insert(now);
            self.over_since = None;
            self.value = Some(value);
            self.fires |= now - since >= seconds(alert.hold);
        } else if self.fires {
            let over_since = *self.over_since.get_or_insert(now);
            if now - over_since >= seconds(alert.keep_firing) {
                *self = Self::default();
            }
        } else {
            *self = Self::default();
        }
    }

    /// The value with which it fires, if it does.
    pub(crate) fn firing(&self) -> Option<f64> {
        self.value.filter(|_| self.fires)
    }
}

impl Eye<'_> {
    /// The value of a condition that holds at `now`. `samples` gives the series of a metric, each oldest first, none later than `now`.
    pub(crate) fn value<'s>(
        self,
        condition: &Condition,
        samples: impl Fn(&'static MetricDef) -> Vec<&'s [Sample]>,
        now: f64,
    ) -> Option<f64> {
        let only = |def| samples(def).into_iter().next();
        match *condition {
            Condition::Level {
                metric,
                over,
                side,
                threshold,
            } => {
                let value = self.level(only(metric.def())?, over, now)?;
                let threshold = self.thresholds.of(threshold);
                let beyond = match side {
                    Side::Above => value > threshold,
                    Side::Below => value < threshold,
                };
                beyond.then_some(value)
            }
            Condition::Risen { metric, within } => {
                let series = only(metric.def())?;
                let before = now - self.pace.window(within).as_secs_f64();
                let rose: f64 = self
                    .window(series, now, within)
                    .windows(2)
                    // After a restart a counter begins at 0.
                    .map(|pair| match pair[1].1 - pair[0].1 {
                        rise if rise >= 0.0 => rise,
                        _ => pair[1].1,
                    })
                    .sum();
                if rose > 0.0 {
                    return Some(rose);
                }
                let value = self.now(series, now)?;
                (value > 0.0 && self.now(series, before).is_none()).then_some(value)
            }
            Condition::Reached {
                used,
                limit,
                history,
                within,
                used_ratio,
            } => {
                let used = only(used.def())?;
                let limit = self.now(only(limit.def())?, now)?;
                self.now(used, now - self.pace.window(history).as_secs_f64())?;
                let (slope, level) = line(self.window(used, now, history), now)?;
                let ahead = level + slope * self.thresholds.of(within);
                let is_used = self.now(used, now)? > self.thresholds.of(used_ratio) * limit;
                (ahead > limit && is_used).then_some(ahead)
            }
            Condition::Silent { metric, remembered } => {
                let all = samples(metric.def());
                let lately = |series: &&[Sample]| !self.window(series, now, remembered).is_empty();
                let reports = |series: &&[Sample]| self.now(series, now).is_some();
                (all.iter().any(lately) && !all.iter().any(reports)).then_some(1.0)
            }
        }
    }

    fn level(self, series: &[Sample], over: Over, now: f64) -> Option<f64> {
        let window = |time| self.window(series, now, time);
        match over {
            Over::Now => self.now(series, now),
            Over::Least(time) => values(window(time)).reduce(f64::min),
            Over::Mean(time) => {
                let samples = window(time);
                #[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
                let count = samples.len() as f64;
                (!samples.is_empty()).then(|| values(samples).sum::<f64>() / count)
            }
            Over::Slope(time) => line(window(time), now).map(|(slope, _)| slope),
        }
    }

    /// The samples of a window that ends at `now`.
    fn window(self, series: &[Sample], now: f64, window: Duration) -> &[Sample] {
        self.within(series, now, self.pace.window(window))
    }

    fn within(self, series: &[Sample], now: f64, length: Duration) -> &[Sample] {
        let start = now - length.as_secs_f64();
        let from =
            series.partition_point(|(time, _)| *time < start || (*time == start && !self.closed));
        let until = series.partition_point(|(time, _)| *time <= now);
        series.get(from..until).unwrap_or_default()
    }

    /// The value at `time`: the last one, unless it is too old.
    fn now(self, series: &[Sample], time: f64) -> Option<f64> {
        let samples = self.within(series, time, LOOK_BACK);
        samples.last().map(|(_, value)| *value)
    }
}

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|(_, value)| *value)
}

/// Slope, and level at `now`, of the line through some samples, by least squares.
#[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
fn line(samples: &[Sample], now: f64) -> Option<(f64, f64)> {
    if samples.len() < 2 {
        return None;
    }
    let count = samples.len() as f64;
    let middle = samples.iter().map(|(time, _)| time - now).sum::<f64>() / count;
    // From the first value on: levels are large, and what they differ by is small.
    let first = samples[0].1;
    let mean = values(samples).map(|value| value - first).sum::<f64>() / count;
    let (mut together, mut spread) = (0.0, 0.0);
    for (time, value) in samples {
        let time = time - now;
        together += (time - middle) * (value - first - mean);
        spread += (time - middle) * (time - middle);
    }
    let slope = together / spread;
    Some((slope, first + mean - slope * middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ALERTS;
    use crate::config::Config;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_fires_after_window_and_hold_and_keeps_firing() {
        let thresholds = Config::production().alerts.thresholds;
        let levels = [vec![0.0; 10], vec![60.0; 20], vec![0.0; 20]].concat();
        let series: Vec<Sample> = (0_u32..)
            .zip(levels)
            .map(|(minute, level)| (f64::from(minute) * 60.0, level))
            .collect();
        let fires = |closed| {
            let pace = Pace::new(MINUTE, MINUTE, 1.0);
            let eye = Eye {
                thresholds: &thresholds,
                pace,
                closed,
            };
            let mut progress = Progress::default();
            let course = series.iter().enumerate().map(|(at, (now, _))| {
                let value = eye.value(&ALERTS[0].condition, |_| vec![&series[..=at]], *now);
                progress.advance(&ALERTS[0], pace, *now, value);
                progress.firing().is_some()
            });
            let course: Vec<bool> = course.collect();
            let first = course.iter().position(|fires| *fires);
            (first, course.iter().rposition(|fires| *fires))
        };
        // Above from minute 10 on. A window that counts its start still sees minute 9 at 14; held for five; below again at 30, kept for ten.
        assert_eq!(fires(false), (Some(19), Some(39)));
        assert_eq!(fires(true), (Some(20), Some(39)));
    }

    #[test]
    fn lines() {
        let samples = [(80.0, 1e9), (90.0, 1e9 + 5.0), (100.0, 1e9 + 10.0)];
        assert_eq!(line(&samples, 100.0), Some((0.5, 1e9 + 10.0)));
        assert_eq!(line(&samples[..1], 100.0), None);
    }
}
