//! Whether the condition of an alert holds, and since when, as Prometheus has it. Pure: samples and the time are handed in.

use std::time::Duration;

use crate::catalog::{AlertDef, Condition, MetricDef, Over, Side};
use crate::config::Thresholds;

use super::Pace;
use super::kept::LOOK_BACK;

/// A sample of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, in seconds since any moment.
    pub time: f64,
    /// The value; none where there was no reading, and with that no series any more. A sample that is merely late is left out.
    pub value: Option<f64>,
}

/// How samples are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Evaluator<'a> {
    thresholds: &'a Thresholds,
    pace: Pace,
    closed: bool,
}

/// How far an alert has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Inactive,
    /// The condition holds, but not for long enough.
    Pending,
    /// It does, or did a moment ago.
    Firing,
}

/// An alert on its way between its states.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
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
    pub fn advance(&mut self, alert: &AlertDef, pace: Pace, now: f64, value: Option<f64>) {
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

    /// Where it stands.
    pub fn state(&self) -> State {
        match (self.fires, self.since) {
            (true, _) => State::Firing,
            (false, Some(_)) => State::Pending,
            (false, None) => State::Inactive,
        }
    }

    /// Whether the condition holds now; an alert may fire beyond that.
    pub(crate) fn holds(&self) -> bool {
        self.since.is_some() && self.over_since.is_none()
    }

    /// The last value with which the condition held; none while it is inactive.
    pub fn value(&self) -> Option<f64> {
        self.value
    }
}

impl<'a> Evaluator<'a> {
    /// As Prometheus 3 does.
    pub fn new(thresholds: &'a Thresholds, pace: Pace) -> Self {
        Self {
            thresholds,
            pace,
            closed: false,
        }
    }

    /// As Prometheus 2 does, to which the very start of a range is part of it.
    pub fn closed(self) -> Self {
        Self {
            closed: true,
            ..self
        }
    }

    /// Takes in what is seen of an alert at `now`.
    pub fn advance<'s>(
        self,
        progress: &mut Progress,
        alert: &AlertDef,
        samples: impl Fn(&'static MetricDef) -> Vec<&'s [Sample]>,
        now: f64,
    ) {
        let value = self.value(&alert.condition, samples, now);
        progress.advance(alert, self.pace, now, value);
    }

    /// The value of a condition that holds at `now`. `samples` gives the series of a metric, each oldest first, none later than `now`.
    pub fn value<'s>(
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
                let rose = rise(&self.window(series, now, within)).unwrap_or_default();
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
                let (slope, level) = line(&self.window(used, now, history))?;
                let ahead = level + slope * self.thresholds.of(within);
                let is_used = self.now(used, now)? > self.thresholds.of(used_ratio) * limit;
                (ahead > limit && is_used).then_some(ahead)
            }
            Condition::Silent { metric, remembered } => {
                let all = samples(metric.def());
                let lately =
                    |series: &&[Sample]| !self.window(series, now, remembered).0.is_empty();
                let reports = |series: &&[Sample]| self.now(series, now).is_some();
                (all.iter().any(lately) && !all.iter().any(reports)).then_some(1.0)
            }
        }
    }

    fn level(self, series: &[Sample], over: Over, now: f64) -> Option<f64> {
        let window = |time| self.window(series, now, time);
        match over {
            Over::Now => self.now(series, now),
            // What is no number is passed over, unless there is nothing else.
            Over::Least(time) => window(time).values().reduce(f64::min),
            Over::Mean(time) => window(time).mean(),
            Over::Slope(time) => line(&window(time)).map(|(slope, _)| slope),
        }
    }

    /// What a window that ends at `now` holds.
    fn window(self, series: &[Sample], now: f64, window: Duration) -> Window {
        let samples = self.within(series, now, self.pace.window(window)).iter();
        Window(
            samples
                .filter_map(|sample| Some((sample.time - now, sample.value?)))
                .collect(),
        )
    }

    fn within(self, series: &[Sample], now: f64, length: Duration) -> &[Sample] {
        let start = now - length.as_secs_f64();
        let is_before = |time: f64| time < start || (time == start && !self.closed);
        let from = series.partition_point(|sample| is_before(sample.time));
        let until = series.partition_point(|sample| sample.time <= now);
        series.get(from..until).unwrap_or_default()
    }

    /// The value at `time`: the last one, unless it is too old or there is none any more.
    fn now(self, series: &[Sample], time: f64) -> Option<f64> {
        self.within(series, time, LOOK_BACK).last()?.value
    }
}

/// Times before its end, and values.
struct Window(Vec<(f64, f64)>);

impl Window {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|(_, value)| *value)
    }

    #[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
    fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| sum(self.values()) / self.0.len() as f64)
    }
}

/// The sum with what rounding took from it put back, as in Prometheus: at the threshold, the last digit decides.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, lost) = values.fold((0.0_f64, 0.0), |(sum, lost), value| {
        let next = sum + value;
        let (large, small) = if sum.abs() >= value.abs() {
            (sum, value)
        } else {
            (value, sum)
        };
        (next, lost + ((large - next) + small))
    });
    sum + lost
}

/// By how much a counter rose.
fn rise(window: &Window) -> Option<f64> {
    let samples = &window.0;
    let ((_, first), (_, last)) = (samples.first()?, samples.last()?);
    // After a restart a counter begins at 0.
    let restarts = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let lost: f64 = restarts.map(|pair| pair[0].1).sum();
    (samples.len() > 1).then_some(last - first + lost)
}

/// Slope, and level at the end, of the line through the samples of a window, by least squares.
#[allow(clippy::cast_precision_loss, reason = "some thousand samples at most")]
fn line(window: &Window) -> Option<(f64, f64)> {
    let samples = &window.0;
    if samples.len() < 2 {
        return None;
    }
    let count = samples.len() as f64;
    let middle = samples.iter().map(|(time, _)| time).sum::<f64>() / count;
    // From the first value on: levels are large, and what they differ by is small.
    let first = samples[0].1;
    let mean = window.values().map(|value| value - first).sum::<f64>() / count;
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
    use crate::catalog::ALERTS;
    use crate::config::Config;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_fires_after_window_and_hold_and_keeps_firing() {
        let thresholds = Config::production().alerts.thresholds;
        let levels = [vec![0.0; 10], vec![60.0; 20], vec![0.0; 20]].concat();
        let series: Vec<Sample> = (0_u32..)
            .zip(levels)
            .map(|(minute, level)| Sample {
                time: f64::from(minute) * 60.0,
                value: Some(level),
            })
            .collect();
        let pace = Pace::new(MINUTE, MINUTE, 1.0);
        let fires = |evaluator: Evaluator<'_>| {
            let mut progress = Progress::default();
            let course = series.iter().enumerate().map(|(at, sample)| {
                let past = |_| vec![&series[..=at]];
                evaluator.advance(&mut progress, &ALERTS[0], past, sample.time);
                progress.state() == State::Firing
            });
            let course: Vec<bool> = course.collect();
            let first = course.iter().position(|fires| *fires);
            (first, course.iter().rposition(|fires| *fires))
        };
        let evaluator = Evaluator::new(&thresholds, pace);
        // Above from minute 10 on. A window that counts its start still sees minute 9 at 14; held for five; below again at 30, kept for ten.
        assert_eq!(fires(evaluator), (Some(19), Some(39)));
        assert_eq!(fires(evaluator.closed()), (Some(20), Some(39)));
    }

    #[test]
    fn lines() {
        let samples = vec![(-20.0, 1e9), (-10.0, 1e9 + 5.0), (0.0, 1e9 + 10.0)];
        assert_eq!(line(&Window(samples)), Some((0.5, 1e9 + 10.0)));
        assert_eq!(line(&Window(vec![(0.0, 1e9)])), None);
    }
}
