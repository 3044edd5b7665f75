//! Two simple detectors, to compare others with: a straight line through the last half hour, once through the resident set and once
//! through the live bytes of each site.

use std::collections::{BTreeMap, VecDeque};

use memory_exporter::analysis::leak::{Observation, SiteObservation};

use crate::score::{Detect, Named};

/// Milliseconds that the line is laid through.
const WINDOW: u64 = 30 * 60 * 1000;
/// A steeper line is suspicious: bytes per hour.
const STEEP: f64 = 5e6;
/// Share of the variance that the line must explain.
const STRAIGHT: f64 = 0.8;
/// A site must hold so many bytes to be suspicious.
const LEAST: f64 = 1e6;

/// A detector that sees the resident set alone. It cannot name a site; the one that holds the most counts as named.
#[must_use]
pub fn resident_slope() -> Detect {
    let mut times = VecDeque::new();
    let mut values = VecDeque::new();
    let mut open: Option<Named> = None;
    let mut opened = 0;
    Box::new(move |observation| {
        times.push_back(observation.time);
        values.push_back(single(observation.rss_bytes.unwrap_or_default()));
        trim(&mut times, [&mut values]);
        if is_suspicious(&times, &values) {
            if open.is_none() {
                let largest = observation.sites.iter().max_by(|a, b| {
                    live_bytes(observation, a).total_cmp(&live_bytes(observation, b))
                });
                opened += 1;
                let sites = largest.map(|site| site.site).into_iter().collect();
                open = Some(Named {
                    id: opened,
                    sites,
                    opened: observation.time,
                });
            }
        } else {
            open = None;
        }
        open.iter().cloned().collect()
    })
}

/// A detector that looks at the estimated live bytes of each site.
#[must_use]
pub fn site_slope() -> Detect {
    let mut times = VecDeque::new();
    let mut sites: BTreeMap<u32, VecDeque<f64>> = BTreeMap::new();
    let mut open: BTreeMap<u32, Named> = BTreeMap::new();
    let mut opened = 0;
    Box::new(move |observation| {
        times.push_back(observation.time);
        for site in &observation.sites {
            // Before its first sample a site held nothing.
            let values = sites
                .entry(site.site)
                .or_insert_with(|| std::iter::repeat_n(0.0, times.len() - 1).collect());
            values.push_back(live_bytes(observation, site));
        }
        trim(&mut times, sites.values_mut());
        for (&site, values) in &sites {
            if values.back().is_some_and(|&bytes| bytes >= LEAST) && is_suspicious(&times, values) {
                open.entry(site).or_insert_with(|| {
                    opened += 1;
                    Named {
                        id: opened,
                        sites: vec![site],
                        opened: observation.time,
                    }
                });
            } else {
                open.remove(&site);
            }
        }
        open.values().cloned().collect()
    })
}

/// Estimated live bytes of a site.
fn live_bytes(observation: &Observation, site: &SiteObservation) -> f64 {
    observation.cohorts[site.cohorts.clone()]
        .iter()
        .map(|cohort| f64::from(cohort.bytes))
        .sum()
}

fn single(bytes: u64) -> f64 {
    bytes as f64
}

/// Forgets what lies before the window.
fn trim<'a>(times: &mut VecDeque<u64>, series: impl IntoIterator<Item = &'a mut VecDeque<f64>>) {
    let Some(&last) = times.back() else { return };
    let old = times
        .iter()
        .take_while(|&&time| time + WINDOW < last)
        .count();
    times.drain(..old);
    for values in series {
        values.drain(..old);
    }
}

/// Whether the window is full, and its line steep and straight.
fn is_suspicious(times: &VecDeque<u64>, values: &VecDeque<f64>) -> bool {
    let (Some(&first), Some(&last)) = (times.front(), times.back()) else {
        return false;
    };
    if last - first < WINDOW * 95 / 100 {
        return false;
    }
    let count = values.len() as f64;
    let hours = |time: u64| (time - first) as f64 / 3_600_000.0;
    let mean_time = times.iter().map(|&time| hours(time)).sum::<f64>() / count;
    let mean_value = values.iter().sum::<f64>() / count;
    let (mut time_time, mut time_value, mut value_value) = (0.0, 0.0, 0.0);
    for (&time, &value) in times.iter().zip(values) {
        let (x, y) = (hours(time) - mean_time, value - mean_value);
        time_time += x * x;
        time_value += x * y;
        value_value += y * y;
    }
    let slope = time_value / time_time;
    value_value > 0.0 && slope > STEEP && slope * time_value / value_value > STRAIGHT
}
