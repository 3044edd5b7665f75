//! What a place holds: without a bound, in huge blocks.

use std::sync::Arc;

use super::{evidence, percent, size};
use crate::analysis::allocation::Window;
use crate::analysis::estimate::float;
use crate::analysis::place::Place;
use crate::analysis::recommendation::{Evidence, Kind, Recommendation};
use crate::config::RecommendationThresholds;

/// Advice on what a place holds; what needs a window is silent without one that is long enough.
pub(in crate::analysis) fn on_holding(
    place: &Arc<Place>,
    window: Option<&Window<'_>>,
    thresholds: &RecommendationThresholds,
) -> Option<Recommendation> {
    window
        .and_then(|window| bound_cache(place, window, thresholds))
        .or_else(|| stream(place, thresholds))
}

/// A place that holds much of the heap, grows, and lets hardly anything go.
fn bound_cache(
    place: &Arc<Place>,
    window: &Window<'_>,
    thresholds: &RecommendationThresholds,
) -> Option<Recommendation> {
    let growth = place.growth?;
    let freed = place.old_freed_ratio?;
    let low = place.live_interval.low;
    let is_evident = place.live_samples >= thresholds.minimum_samples
        && growth.samples >= thresholds.cache_growth_samples
        && low >= float(thresholds.cache_live_bytes)
        && low >= thresholds.cache_live_ratio * place.heap_bytes
        && growth.bytes >= thresholds.cache_growth_ratio * growth.before_bytes
        && freed <= thresholds.cache_freed_ratio;
    if !is_evident {
        return None;
    }
    let seconds = window.duration.as_secs_f64();
    let advice = format!(
        "{} are held here (between {} and {}), {} of the heap. That grew by {} in the last \
         {seconds:.0} seconds, and of what got older than a minute only {} has been freed. If this \
         is meant to stay, a table that is being loaded for example, all is well. If it is a cache \
         or a queue, give it a bound: a largest number of entries or bytes, or a time to live, \
         enforced where entries are added.",
        size(place.live.bytes),
        size(low),
        size(place.live_interval.high),
        percent(place.live_ratio),
        size(growth.bytes),
        percent(freed),
    );
    let numbers = [
        evidence("growth_bytes", growth.bytes),
        evidence("window_seconds", seconds),
        evidence("freed_after_minute_bytes_ratio", freed),
    ];
    Some(recommend(
        Kind::BoundCache,
        place,
        format!("check that what {place} holds has a bound"),
        advice,
        &numbers,
    ))
}

/// Huge blocks that are held.
fn stream(place: &Arc<Place>, thresholds: &RecommendationThresholds) -> Option<Recommendation> {
    let mean = place.live.mean_size()?;
    let is_evident = place.live_samples > 0
        && mean > float(thresholds.huge_size)
        && place.live_interval.low >= thresholds.huge_live_ratio * place.heap_bytes;
    if !is_evident {
        return None;
    }
    let advice = format!(
        "{} are held here, in {:.0} blocks of {} on average, {} of the heap. If not all of it is \
         needed at once, read it as a stream or in pieces and keep the results only. If it is a \
         file that is only read, a memory map lets the kernel take pages back when memory gets \
         scarce. If it has to be there, count it in when you set the memory limit.",
        size(place.live.bytes),
        place.live.objects,
        size(mean),
        percent(place.live_ratio),
    );
    let numbers = [
        evidence("live_objects", place.live.objects),
        evidence("live_mean_size_bytes", mean),
    ];
    Some(recommend(
        Kind::Stream,
        place,
        format!("do without the huge blocks of {place}"),
        advice,
        &numbers,
    ))
}

fn recommend(
    kind: Kind,
    place: &Arc<Place>,
    title: String,
    advice: String,
    numbers: &[Evidence],
) -> Recommendation {
    let mut all = vec![
        evidence("live_bytes", place.live.bytes),
        evidence("live_bytes_low", place.live_interval.low),
        evidence("live_bytes_high", place.live_interval.high),
        evidence("live_ratio", place.live_ratio),
        evidence("live_samples", float(place.live_samples)),
    ];
    all.extend_from_slice(numbers);
    Recommendation {
        kind,
        benefit: place.live_ratio,
        place: Some(Arc::clone(place)),
        stack: Arc::clone(&place.holding_stack),
        title,
        advice,
        evidence: all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::allocation::{AllocationInput, analyse};
    use crate::analysis::fixture::{MB, amount, input, site, with_earlier};

    /// What is one step beyond, and the step.
    type Change = (&'static str, fn(&mut RecommendationThresholds));

    fn kinds(input: &AllocationInput, thresholds: &RecommendationThresholds) -> Vec<Kind> {
        let report = analyse(input, thresholds);
        report
            .recommendations
            .iter()
            .map(|advice| advice.kind)
            .collect()
    }

    fn place(input: &AllocationInput) -> Arc<Place> {
        let report = analyse(input, &RecommendationThresholds::default());
        Arc::clone(&report.by_live_bytes[0])
    }

    /// A million blocks of 1 KiB, a tenth of which came within the window, none of them freed, in a heap of 1,200 MB.
    fn cache() -> AllocationInput {
        let mut input = with_earlier(
            input(vec![site(1, "app::remember", 1e6, 1_024.0, 500)]),
            0.9,
        );
        input.heap_bytes = Some(1_200 << 20);
        input
    }

    #[test]
    fn what_grows_and_never_shrinks_is_asked_for_a_bound() {
        let [advice] = analyse(&cache(), &RecommendationThresholds::default())
            .recommendations
            .try_into()
            .unwrap();
        assert_eq!(advice.kind, Kind::BoundCache);
        assert_eq!(
            advice.title,
            "check that what app::remember (src/app.rs:42) holds has a bound"
        );
        assert!(advice.advice.contains("If this is meant to stay"));
        assert_eq!(*advice.stack, *cache().sites[0].frames);
        assert_eq!(advice.benefit, place(&cache()).live_ratio);
    }

    #[test]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a threshold just below or above a size"
    )]
    fn every_threshold_of_the_bound_counts() {
        let mut input = cache();
        // A twentieth of what outlived a minute is freed.
        input.sites[0].freed = amount(5e4, 5e4 * 1_024.0);
        let low = place(&input).live_interval.low;
        let growth = place(&input).growth.unwrap();
        let enough = RecommendationThresholds {
            minimum_window: crate::analysis::fixture::WINDOW,
            minimum_samples: 500,
            cache_growth_samples: 50,
            cache_live_bytes: low.floor() as u64,
            cache_live_ratio: low / place(&input).heap_bytes,
            cache_growth_ratio: growth.bytes / growth.before_bytes * (1.0 - 1e-12),
            cache_freed_ratio: 0.05,
            ..RecommendationThresholds::default()
        };
        assert_eq!(kinds(&input, &enough), [Kind::BoundCache]);
        let changes: [Change; 7] = [
            ("window", |t| t.minimum_window *= 2),
            ("samples", |t| t.minimum_samples += 1),
            ("growth in samples", |t| t.cache_growth_samples += 1),
            ("live bytes", |t| t.cache_live_bytes += 1),
            ("live share", |t| t.cache_live_ratio *= 1.0001),
            ("growth", |t| t.cache_growth_ratio *= 1.0001),
            ("freed", |t| t.cache_freed_ratio *= 0.9999),
        ];
        for (what, change) in changes {
            let mut thresholds = enough;
            change(&mut thresholds);
            assert_eq!(kinds(&input, &thresholds), [], "{what}");
        }
        input.earlier = None;
        assert_eq!(kinds(&input, &enough), [], "no earlier moment");
    }

    #[test]
    fn a_cache_that_evicts_or_stands_still_is_left_alone() {
        let thresholds = RecommendationThresholds::default();
        let mut evicts = cache();
        evicts.sites[0].freed = amount(2e5, 2e5 * 1_024.0);
        assert_eq!(kinds(&evicts, &thresholds), []);
        let mut stands = cache();
        let then = stands.earlier.as_mut().unwrap();
        let now = stands.sites[0].live;
        then.sites.get_mut(&1).unwrap().live = now;
        assert_eq!(kinds(&stands, &thresholds), []);
        // The same memory, all of it too young to tell.
        let mut young = cache();
        young.sites[0].live_within_minute = young.sites[0].live;
        assert_eq!(kinds(&young, &thresholds), []);
        let mut own = cache();
        own.sites[0].component = "memory-exporter".into();
        assert_eq!(kinds(&own, &thresholds), []);
    }

    /// One block that is held, in a heap ten times as large.
    fn held(size: f64, samples: u64) -> AllocationInput {
        let other = site(2, "app::other", 9.0 * size / 4_096.0, 4_096.0, 900);
        input(vec![site(1, "app::load", 1.0, size, samples), other])
    }

    #[test]
    fn huge_blocks_that_are_held_are_questioned() {
        let thresholds = RecommendationThresholds::default();
        let input = held(64.0 * MB, 1);
        assert_eq!(kinds(&input, &thresholds), [Kind::Stream]);
        assert_eq!(kinds(&held(16.0 * MB, 1), &thresholds), [], "not huge");
        let share = RecommendationThresholds {
            huge_live_ratio: 0.1001,
            ..thresholds
        };
        assert_eq!(kinds(&input, &share), [], "a smaller share");
        assert_eq!(kinds(&held(64.0 * MB, 0), &thresholds), [], "no sample");
    }

    #[test]
    fn one_sample_of_many_blocks_is_no_proof() {
        // One sample that stands for two blocks: the lower end is too low.
        let mut input = held(64.0 * MB, 1);
        input.sites[0].live.objects = 2.0;
        input.sites[0].live.bytes *= 2.0;
        assert_eq!(
            kinds(&input, &RecommendationThresholds::default()),
            [],
            "lower end"
        );
    }
}
