//! What a rule must do with given series, worked out from the definition of its alert and not from its expression: when it fires, with which
//! value, and when it stops.

use std::time::Duration;

use crate::alert::{Evaluator, Progress, Sample, State};
use crate::catalog::{AlertDef, MetricDef};

use super::track::Track;

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

    /// What an alert does in it.
    pub(super) fn course(&self, alert: &AlertDef, evaluator: Evaluator<'_>) -> Course {
        let mut progress = Progress::default();
        let samples = self.series.iter().map(|series| series.track.samples());
        let samples: Vec<_> = self.series.iter().zip(samples).collect();
        let steps = (0..self.steps()).map(|step| {
            let now = time(self, step).as_secs_f64();
            let of = |def: &'static MetricDef| {
                let is_it =
                    |series: &Series| series.part.is_empty() && std::ptr::eq(series.def, def);
                let own = samples.iter().filter(|(series, _)| is_it(series));
                own.map(|(_, samples)| past(samples, now)).collect()
            };
            evaluator.advance(&mut progress, alert, of, now);
            progress
                .value()
                .filter(|_| progress.state() == State::Firing)
        });
        steps.collect()
    }
}

/// When a step is, after the first.
pub(super) fn time(scene: &Scene, step: usize) -> Duration {
    scene.interval() * u32::try_from(step).unwrap_or(u32::MAX)
}

fn past(samples: &[Sample], now: f64) -> &[Sample] {
    &samples[..samples.partition_point(|sample| sample.time <= now)]
}
