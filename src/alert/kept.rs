//! Samples of what alerts look at, for as long as they look back.

use std::time::Duration;

use crate::catalog::{ALERTS, Condition, MetricDef};
use crate::snapshot::{Snapshot, Value};

use super::{Pace, Sample};

/// How long a late sample stands in for the present.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(300);

/// The samples of each series, oldest first. A series is of a metric and, where it has that label, a component.
#[derive(Debug, Default)]
pub(super) struct Kept {
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    def: &'static MetricDef,
    component: Option<&'static str>,
    samples: Vec<Sample>,
}

impl Kept {
    /// Adds what a snapshot says at `now`. Series that it does not have end here.
    pub(super) fn add(&mut self, snapshot: &Snapshot, pace: Pace, now: f64) {
        for family in snapshot.families(false) {
            if reach(family.def, pace).is_none() {
                continue;
            }
            for sample in family.samples {
                #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
                let value = match sample.value {
                    Value::Integer(number) => number as f64,
                    Value::Float(number) => number,
                    Value::Histogram { .. } => continue,
                };
                let component = sample.labels.iter().find(|(name, _)| *name == "component");
                let component = component.map(|(_, component)| *component);
                self.series(family.def, component).samples.push(Sample {
                    time: now,
                    value: Some(value),
                });
            }
        }
        for series in &mut self.series {
            let last = series.samples.last();
            if last.is_some_and(|last| last.time < now && last.value.is_some()) {
                series.samples.push(Sample {
                    time: now,
                    value: None,
                });
            }
            let begin = now - reach(series.def, pace).unwrap_or_default().as_secs_f64();
            let old = series.samples.partition_point(|sample| sample.time < begin);
            // Not each time, as it moves all others.
            if old > 64 || old == series.samples.len() {
                series.samples.drain(..old);
            }
        }
        self.series.retain(|series| !series.samples.is_empty());
    }

    fn series(&mut self, def: &'static MetricDef, component: Option<&'static str>) -> &mut Series {
        let is_it =
            |series: &Series| std::ptr::eq(series.def, def) && series.component == component;
        let at = self.series.iter().position(is_it).unwrap_or_else(|| {
            self.series.push(Series {
                def,
                component,
                samples: Vec::new(),
            });
            self.series.len() - 1
        });
        &mut self.series[at]
    }

    /// The samples of a metric, of a component where it has them.
    pub(super) fn of(&self, def: &'static MetricDef, component: Option<&str>) -> Vec<&[Sample]> {
        let is_it =
            |series: &&Series| std::ptr::eq(series.def, def) && series.component == component;
        let found = self.series.iter().filter(is_it);
        found.map(|series| series.samples.as_slice()).collect()
    }

    /// Bytes reserved for samples.
    pub(super) fn bytes(&self) -> usize {
        let samples = self.series.iter().map(|series| series.samples.capacity());
        samples.sum::<usize>() * size_of::<Sample>()
    }

    /// The components that a metric has samples of; one that is none for a metric without them.
    pub(super) fn components(&self, def: &'static MetricDef) -> Vec<Option<&'static str>> {
        let own = self
            .series
            .iter()
            .filter(|series| std::ptr::eq(series.def, def));
        own.map(|series| series.component).collect()
    }
}

/// How far back a metric is looked at; none that no alert looks at.
fn reach(def: &'static MetricDef, pace: Pace) -> Option<Duration> {
    let embedded = ALERTS.iter().filter(|alert| alert.is_embedded());
    let windows = embedded.filter_map(|alert| {
        let condition = &alert.condition;
        let limit = match condition {
            Condition::Reached { limit, .. } => Some(limit.def()),
            _ => None,
        };
        let mut looks = [Some(condition.metric()), limit].into_iter().flatten();
        let is_it = looks.any(|other| std::ptr::eq(other, def));
        is_it.then(|| pace.window(condition.window()).saturating_add(LOOK_BACK))
    });
    windows.max()
}
