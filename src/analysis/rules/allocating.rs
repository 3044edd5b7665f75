//! How a place allocates: too often, too much, step by step.

use std::sync::Arc;

use super::{evidence, percent, size};
use crate::analysis::allocation::Window;
use crate::analysis::estimate::{float, ratio};
use crate::analysis::place::{ALLOC_ZEROED, Part, Place, REALLOC, Rate};
use crate::analysis::recommendation::{Evidence, Kind, Recommendation};
use crate::config::RecommendationThresholds;
use crate::heap::Amount;

/// From how many times its minimum rate on the benefit of saved work counts in full.
const FULL_BENEFIT: f64 = 10.0;
/// What the names of functions that grow a block contain.
const GROWING: [&str; 2] = ["grow", "reserve"];

/// The first that applies is the cause; the others would be its consequences.
const RULES: [fn(&Case<'_>) -> Option<Recommendation>; 5] = [
    reserve_capacity,
    avoid_zeroing,
    stream,
    reuse_buffer,
    object_pool,
];

/// A place whose allocating is judged.
struct Case<'a> {
    place: &'a Arc<Place>,
    rate: &'a Rate,
    window: &'a Window<'a>,
    thresholds: &'a RecommendationThresholds,
}

/// Advice on how a place allocates, judged over a window that is long enough.
pub(in crate::analysis) fn on_allocating(
    place: &Arc<Place>,
    window: &Window<'_>,
    thresholds: &RecommendationThresholds,
) -> Option<Recommendation> {
    let case = Case {
        place,
        rate: place.rate.as_ref()?,
        window,
        thresholds,
    };
    RULES.iter().find_map(|rule| rule(&case))
}

/// Reallocations that grow blocks, for want of a capacity to start with.
fn reserve_capacity(case: &Case<'_>) -> Option<Recommendation> {
    let thresholds = case.thresholds;
    let (part, rate, share) = case.part(REALLOC)?;
    let pace = (rate.objects / thresholds.realloc_operations_per_second)
        .max(rate.bytes / float(thresholds.realloc_bytes_per_second));
    let share = share.objects.max(share.bytes);
    let is_evident = part.recent_samples >= thresholds.minimum_samples
        && case.place.realloc_ratio >= thresholds.realloc_ratio
        && pace >= 1.0
        && share >= thresholds.minimum_share
        && grows(case.place);
    if !is_evident {
        return None;
    }
    let advice = format!(
        "{} of the allocator calls of this line grow a block that exists already, {:.0} times a \
         second: something starts small, runs out of room, and may be copied each time. Where the \
         final size is known or can be guessed, start with `with_capacity`, or call `reserve` \
         before the loop. `collect` and `extend` do so by themselves when the iterator knows how \
         many will come.",
        percent(case.place.realloc_ratio),
        rate.objects,
    );
    Some(case.recommend(
        Kind::ReserveCapacity,
        benefit(share, pace),
        format!("start with enough capacity in {}", case.place),
        advice,
        vec![
            evidence("realloc_ratio", case.place.realloc_ratio),
            evidence("reallocations_per_second", rate.objects),
            evidence("reallocated_bytes_per_second", rate.bytes),
            evidence("samples", float(part.recent_samples)),
        ],
    ))
}

/// Large blocks that are handed out zeroed, again and again.
fn avoid_zeroing(case: &Case<'_>) -> Option<Recommendation> {
    let thresholds = case.thresholds;
    let (part, rate, share) = case.part(ALLOC_ZEROED)?;
    let median = part.median_size()?;
    let short_lived = case.place.within_minute?.bytes;
    let pace = rate.bytes / float(thresholds.zeroed_bytes_per_second);
    let is_evident = part.recent_samples >= thresholds.minimum_samples
        && median >= float(thresholds.zeroed_size)
        && short_lived >= thresholds.short_lived_ratio
        && pace >= 1.0
        && share.bytes >= thresholds.minimum_share;
    if !is_evident {
        return None;
    }
    let advice = format!(
        "This line asks for zeroed blocks of typically {}, goes through {} of them a second, and \
         {} of the bytes are free again within a minute. Zeros are not free: somebody, the \
         allocator or the kernel, clears every page before you write over it. Keep one buffer and \
         overwrite it. If it is filled before it is read anyway, `Vec::with_capacity` with \
         `extend_from_slice`, or `Read::take` with `read_to_end`, needs no zeros at all.",
        size(median),
        size(rate.bytes),
        percent(short_lived),
    );
    Some(case.recommend(
        Kind::AvoidZeroing,
        benefit(share.bytes, pace),
        format!("keep the zeroed buffers of {}", case.place),
        advice,
        vec![
            evidence("zeroed_bytes_per_second", rate.bytes),
            evidence("median_size_bytes", median),
            evidence("freed_within_minute_bytes_ratio", short_lived),
            evidence("samples", float(part.recent_samples)),
        ],
    ))
}

/// Huge blocks that come and go.
fn stream(case: &Case<'_>) -> Option<Recommendation> {
    let (place, rate, thresholds) = (case.place, case.rate, case.thresholds);
    let median = place.median_size?;
    let pace = rate.per_second.bytes / float(thresholds.huge_bytes_per_second);
    let is_evident = rate.samples >= thresholds.huge_samples
        && median > float(thresholds.huge_size)
        && pace >= 1.0
        && rate.share.bytes >= thresholds.minimum_share;
    if !is_evident {
        return None;
    }
    let advice = format!(
        "Blocks of typically {} come and go here, {} a second. Does it have to be one piece? \
         Reading through a `BufReader`, a stream, or an iterator over chunks of 64 KiB to 1 MiB \
         keeps the peak flat, however large the input gets, and the peak is what a memory limit \
         has to cover.",
        size(median),
        size(rate.per_second.bytes),
    );
    Some(case.recommend(
        Kind::Stream,
        benefit(rate.share.bytes, pace),
        format!("work in pieces instead of huge blocks in {place}"),
        advice,
        vec![
            evidence("median_size_bytes", median),
            evidence("allocated_bytes_per_second", rate.per_second.bytes),
            evidence("allocated_bytes_ratio", rate.share.bytes),
            evidence("peak_live_bytes", place.peak_live_bytes),
            evidence("samples", float(rate.samples)),
        ],
    ))
}

/// Buffers that live for a moment.
fn reuse_buffer(case: &Case<'_>) -> Option<Recommendation> {
    let (place, rate, thresholds) = (case.place, case.rate, case.thresholds);
    let median = place.median_size?;
    let short_lived = place.within_second?.bytes;
    let pace = rate.per_second.bytes / float(thresholds.buffer_bytes_per_second);
    let is_evident = rate.samples >= thresholds.minimum_samples
        && median >= float(thresholds.buffer_size)
        && median <= float(thresholds.huge_size)
        && short_lived >= thresholds.short_lived_ratio
        && pace >= 1.0
        && rate.share.bytes >= thresholds.minimum_share;
    if !is_evident {
        return None;
    }
    let advice = format!(
        "{} a second go through buffers of typically {} here, and {} of it is free again within a \
         second. One buffer per worker or per connection, emptied with `clear` and filled again, \
         does the same without the allocator. If many tasks need one only now and then, let them \
         share a small pool with a bound.",
        size(rate.per_second.bytes),
        size(median),
        percent(short_lived),
    );
    Some(case.recommend(
        Kind::ReuseBuffer,
        benefit(rate.share.bytes * short_lived, pace),
        format!("use one buffer again and again in {place}"),
        advice,
        vec![
            evidence("allocated_bytes_per_second", rate.per_second.bytes),
            evidence("allocated_bytes_ratio", rate.share.bytes),
            evidence("median_size_bytes", median),
            evidence("freed_within_second_bytes_ratio", short_lived),
            evidence("samples", float(rate.samples)),
        ],
    ))
}

/// Many small objects that live for a moment.
fn object_pool(case: &Case<'_>) -> Option<Recommendation> {
    let (place, rate, thresholds) = (case.place, case.rate, case.thresholds);
    let median = place.median_size?;
    let short_lived = place.within_second?.objects;
    let pace = rate.per_second.objects / thresholds.pool_operations_per_second;
    let is_evident = rate.samples >= thresholds.minimum_samples
        && median <= float(thresholds.pool_size)
        && short_lived >= thresholds.short_lived_ratio
        && pace >= 1.0
        && rate.share.objects >= thresholds.minimum_share;
    if !is_evident {
        return None;
    }
    let advice = format!(
        "This line asks for {:.0} blocks a second, typically of {}, and {} of them are free again \
         within a second; that is {} of everything the program asks of its allocator. Keep the \
         objects instead of making new ones: a free list or an object pool if they are of one \
         type, an arena that is reset after each request or batch if they come and go together, \
         an array or an inline vector on the stack if they are short.",
        rate.per_second.objects,
        size(median),
        percent(short_lived),
        percent(rate.share.objects),
    );
    Some(case.recommend(
        Kind::ObjectPool,
        benefit(rate.share.objects * short_lived, pace),
        format!("keep the small objects of {place}"),
        advice,
        vec![
            evidence("operations_per_second", rate.per_second.objects),
            evidence("operations_ratio", rate.share.objects),
            evidence("median_size_bytes", median),
            evidence("freed_within_second_ratio", short_lived),
            evidence("samples", float(rate.samples)),
        ],
    ))
}

impl Case<'_> {
    /// What the place asks of one operation, how much of it per second, and its share of what all places ask for.
    fn part(&self, operation: usize) -> Option<(&Part, Amount, Amount)> {
        let part = self.place.operations.get(operation)?;
        let rate = self.window.per_second(part.recent);
        let (own, share) = (self.rate.per_second, self.rate.share);
        let share = Amount {
            objects: ratio(rate.objects, own.objects)? * share.objects,
            bytes: ratio(rate.bytes, own.bytes)? * share.bytes,
        };
        Some((part, rate, share))
    }

    fn recommend(
        &self,
        kind: Kind,
        benefit: f64,
        title: String,
        advice: String,
        evidence: Vec<Evidence>,
    ) -> Recommendation {
        Recommendation {
            kind,
            benefit,
            place: Some(Arc::clone(self.place)),
            stack: Arc::clone(&self.place.allocating_stack),
            title,
            advice,
            evidence,
        }
    }
}

/// What is gained when a share of the work is saved; little where there is little work.
fn benefit(share: f64, pace: f64) -> f64 {
    share * (pace / FULL_BENEFIT).min(1.0)
}

/// Whether reallocations make blocks larger: they are larger than the blocks that the place starts with, or, where those come
/// from elsewhere, the stack says so. `shrink_to_fit` is a reallocation too.
fn grows(place: &Place) -> bool {
    let [alloc, alloc_zeroed, realloc] = &place.operations;
    let fresh = alloc.allocated.plus(alloc_zeroed.allocated).mean_size();
    match (fresh, realloc.allocated.mean_size()) {
        (Some(fresh), Some(grown)) => grown > fresh,
        (None, Some(_)) => place
            .allocating_stack
            .iter()
            .take_while(|frame| frame.is_runtime)
            .any(|frame| GROWING.iter().any(|name| frame.function.contains(name))),
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::allocation::{AllocationInput, analyse};
    use crate::analysis::fixture::{MB, amount, churning, frame, input, site, with_earlier};

    /// What is advised about the first place; the sites of others are there to share the work with.
    fn advice(input: &AllocationInput) -> Vec<Recommendation> {
        let report = analyse(input, &RecommendationThresholds::default());
        report.recommendations
    }

    fn kinds(input: &AllocationInput) -> Vec<Kind> {
        advice(input).iter().map(|advice| advice.kind).collect()
    }

    type Change = (&'static str, fn(&mut AllocationInput));

    /// Every change takes away the one thing that was just enough.
    fn only_just(kind: Kind, input: &AllocationInput, changes: &[Change]) {
        assert_eq!(kinds(input), [kind]);
        for (what, change) in changes {
            let mut changed = input.clone();
            change(&mut changed);
            assert_eq!(kinds(&changed), [], "{what}");
        }
    }

    /// A little less of everything that a site asked for, or of what became of it; a factor that does not round, so that means stay.
    const LESS: f64 = 1.0 - 1.0 / 1_024.0;

    fn slower(input: &mut AllocationInput) {
        for site in &mut input.sites {
            for part in [
                &mut site.allocated,
                &mut site.freed,
                &mut site.freed_within_second,
                &mut site.freed_within_minute,
            ] {
                *part = amount(part.objects * LESS, part.bytes * LESS);
            }
        }
    }

    fn longer_lived(input: &mut AllocationInput) {
        let site = &mut input.sites[0];
        for part in [&mut site.freed_within_second, &mut site.freed_within_minute] {
            *part = amount(part.objects * LESS, part.bytes * LESS);
        }
    }

    fn fewer_samples(input: &mut AllocationInput) {
        for site in &mut input.sites {
            site.samples -= 1;
        }
    }

    fn smaller_share(input: &mut AllocationInput) {
        let other = input.sites.last_mut().unwrap();
        other.allocated = amount(other.allocated.objects * 1.01, other.allocated.bytes * 1.01);
    }

    fn own(input: &mut AllocationInput) {
        for site in &mut input.sites {
            site.component = "memory-exporter".into();
        }
    }

    fn without_stack(input: &mut AllocationInput) {
        for site in &mut input.sites {
            site.frames = [].into();
        }
    }

    fn short_window(input: &mut AllocationInput) {
        // The same rates over 59 seconds.
        let window = input.now.duration_since(input.sampling_since).unwrap();
        let part = 59.0 / window.as_secs_f64();
        input.sampling_since = input.now - std::time::Duration::from_secs(59);
        for site in &mut input.sites {
            for amounts in [
                &mut site.allocated,
                &mut site.freed,
                &mut site.freed_within_second,
                &mut site.freed_within_minute,
            ] {
                *amounts = amount(amounts.objects * part, amounts.bytes * part);
            }
        }
    }

    const ALWAYS: [Change; 6] = [
        ("slower", slower),
        ("fewer samples", fewer_samples),
        ("a smaller share", smaller_share),
        ("our own memory", own),
        ("no stack", without_stack),
        ("a short window", short_window),
    ];

    /// 100,000 blocks of 1 KiB a second, 80 % short-lived, a twentieth of all operations.
    fn pool() -> AllocationInput {
        input(vec![
            churning(site(1, "app::parse", 1e7, 1_024.0, 30), 0.8),
            site(2, "app::other", 1.9e8, 16.0, 900),
        ])
    }

    #[test]
    fn many_small_short_lived_blocks_get_a_pool() {
        let mut changes = ALWAYS.to_vec();
        changes.push(("longer lives", longer_lived));
        changes.push(("larger blocks", |input| {
            let site = &mut input.sites[0];
            site.sizes[3] = 0.0;
            site.sizes[4] = 1.0;
            site.allocated.bytes *= 1.001;
        }));
        only_just(Kind::ObjectPool, &pool(), &changes);
    }

    #[test]
    fn blocks_too_young_to_tell_do_not_hide_the_others() {
        let mut input = pool();
        longer_lived(&mut input);
        assert_eq!(kinds(&input), []);
        // A hundredth of the blocks is younger than a second: 79.92 of 99 are enough.
        input.sites[0].live_within_second = amount(1e5, 1e5 * 1_024.0);
        assert_eq!(kinds(&input), [Kind::ObjectPool]);
    }

    #[test]
    fn advice_says_where_and_shows_its_numbers() {
        let input = pool();
        let [advice] = advice(&input).try_into().unwrap();
        assert_eq!(
            advice.title,
            "keep the small objects of app::parse (src/app.rs:42)"
        );
        assert!(advice.advice.starts_with(
            "This line asks for 100000 blocks a second, typically of 1.0 KiB, and 80 % of them are free"
        ), "{}", advice.advice);
        assert_eq!(*advice.stack, *input.sites[0].frames);
        let numbers: Vec<_> = advice
            .evidence
            .iter()
            .map(|number| (number.name, number.value))
            .collect();
        assert_eq!(
            numbers,
            [
                ("operations_per_second", 1e5),
                ("operations_ratio", 0.05),
                ("median_size_bytes", 1_024.0),
                ("freed_within_second_ratio", 0.8),
                ("samples", 30.0),
            ]
        );
        // A twentieth of the work, four fifths of it saved, at a tenth of the rate from which it counts in full.
        assert!((advice.benefit - 0.004).abs() < 1e-12);
        assert_eq!(benefit(0.5, 20.0), 0.5);
    }

    #[test]
    fn samples_count_within_the_window() {
        // Half of the work was done before: the same rate rests on half of the samples.
        let mut input = pool();
        for site in &mut input.sites {
            site.samples = 58;
            site.allocated = amount(site.allocated.objects * 2.0, site.allocated.bytes * 2.0);
            site.freed_within_second = site.allocated;
            site.live = amount(0.0, 0.0);
        }
        input.sites[1].freed_within_second = amount(0.0, 0.0);
        let mut input = with_earlier(input, 0.5);
        assert_eq!(kinds(&input), []);
        input.sites[0].samples = 59;
        assert_eq!(kinds(&input), [Kind::ObjectPool]);
    }

    /// 64 MiB a second in blocks of 4 KiB, 80 % short-lived, a twentieth of all bytes.
    fn buffers(size: f64) -> AllocationInput {
        let bytes = 6_400.0 * MB;
        input(vec![
            churning(site(1, "app::read", bytes / size, size, 30), 0.8),
            site(2, "app::other", 19.0 * bytes / 2_048.0, 2_048.0, 900),
        ])
    }

    #[test]
    fn buffers_that_live_for_a_moment_are_used_again() {
        let mut changes = ALWAYS.to_vec();
        changes.push(("longer lives", longer_lived));
        changes.push(("smaller blocks", |input| *input = buffers(4_095.0)));
        only_just(Kind::ReuseBuffer, &buffers(4_096.0), &changes);
        assert_eq!(kinds(&buffers(16.0 * MB)), [Kind::ReuseBuffer]);
        // A twentieth of the bytes, four fifths of it saved, at a tenth of the rate from which it counts in full.
        assert!((advice(&buffers(4_096.0))[0].benefit - 0.004).abs() < 1e-12);
        // Huge blocks are not buffers, even where they are not to be streamed.
        let no_streams = RecommendationThresholds {
            huge_bytes_per_second: u64::MAX,
            ..RecommendationThresholds::default()
        };
        let of = |size| analyse(&buffers(size), &no_streams).recommendations.len();
        assert_eq!((of(16.0 * MB), of(16.0 * MB + 1.0)), (1, 0));
    }

    /// 64 MiB a second in blocks just above 16 MiB, a twentieth of all bytes, 3 samples.
    fn huge() -> AllocationInput {
        let size = 16.0 * MB + 1.0;
        let bytes = 6_400.0 * MB;
        let mut huge = churning(site(1, "app::load", bytes / size, size, 3), 1.0);
        huge.freed_within_second = amount(0.0, 0.0);
        input(vec![
            huge,
            site(2, "app::other", 19.0 * bytes / 2_048.0, 2_048.0, 900),
        ])
    }

    #[test]
    fn huge_blocks_that_come_and_go_are_streamed() {
        let mut changes = ALWAYS.to_vec();
        changes.push(("not huge", |input| {
            let site = &mut input.sites[0];
            site.sizes[11] = 0.0;
            site.sizes[10] = 1.0;
        }));
        only_just(Kind::Stream, &huge(), &changes);
    }

    /// 64 MiB a second in zeroed blocks of 1 MiB, 80 % gone within a minute, a twentieth of all bytes.
    fn zeroed() -> AllocationInput {
        let mut zeroed = churning(site(1, "app::frame", 6_400.0, MB, 30), 0.8);
        zeroed.operation = ALLOC_ZEROED;
        zeroed.freed_within_second = amount(0.0, 0.0);
        let other = site(2, "app::other", 19.0 * 6_400.0 * MB / 2_048.0, 2_048.0, 900);
        input(vec![zeroed, other])
    }

    #[test]
    fn large_zeroed_blocks_are_kept() {
        let mut changes = ALWAYS.to_vec();
        changes.push(("longer lives", longer_lived));
        changes.push(("not zeroed", |input| input.sites[0].operation = 0));
        changes.push(("smaller blocks", |input| {
            let site = &mut input.sites[0];
            site.allocated.objects *= 1.001;
        }));
        only_just(Kind::AvoidZeroing, &zeroed(), &changes);
    }

    /// 10,000 blocks of 64 B a second, each of which grows once to 128 B; growing is a twentieth of all operations.
    fn chain() -> AllocationInput {
        let mut grown = site(3, "app::collect", 1e6, 128.0, 30);
        grown.operation = REALLOC;
        input(vec![
            site(1, "app::collect", 1e6, 64.0, 30),
            grown,
            site(2, "app::other", 1.8e7, 2_048.0, 900),
        ])
    }

    #[test]
    fn blocks_that_grow_start_with_a_capacity() {
        let mut changes = ALWAYS.to_vec();
        changes.push(("grows less often", |input| {
            // The share of all operations stays.
            input.sites[0].allocated.objects += 1_000.0;
            input.sites[2].allocated.objects -= 1_000.0;
        }));
        changes.push(("shrinks", |input| {
            input.sites[0].allocated.bytes = input.sites[1].allocated.bytes;
        }));
        only_just(Kind::ReserveCapacity, &chain(), &changes);
    }

    #[test]
    fn a_few_large_blocks_that_grow_are_enough() {
        let mut input = chain();
        for site in &mut input.sites[..2] {
            site.allocated = amount(6_400.0, 6_400.0 * MB);
        }
        input.sites[0].allocated.bytes /= 2.0;
        assert_eq!(kinds(&input), [Kind::ReserveCapacity]);
        slower(&mut input);
        assert_eq!(kinds(&input), []);
    }

    #[test]
    fn growing_alone_is_told_from_shrinking_by_the_stack() {
        let mut input = chain();
        input.sites.remove(0);
        assert_eq!(kinds(&input), []);
        let of = |function: &str| {
            let line = frame("app::collect", 42, false);
            [frame(function, 1, true), line].into()
        };
        input.sites[0].frames = of("alloc::raw_vec::RawVec<T>::grow_one");
        assert_eq!(kinds(&input), [Kind::ReserveCapacity]);
        input.sites[0].frames = of("alloc::vec::Vec<T>::shrink_to_fit");
        assert_eq!(kinds(&input), []);
        // What the program itself calls its functions proves nothing.
        input.sites[0].frames = [frame("app::grow_tree", 1, false)].into();
        assert_eq!(kinds(&input), []);
    }

    #[test]
    fn a_place_hears_of_the_cause_only() {
        // Growing blocks are short-lived small blocks as well.
        let mut input = chain();
        for site in &mut input.sites[..2] {
            *site = churning(site.clone(), 1.0);
            site.allocated = amount(site.allocated.objects * 10.0, site.allocated.bytes * 10.0);
            site.freed_within_second = site.allocated;
        }
        assert_eq!(kinds(&input), [Kind::ReserveCapacity]);
        input.sites[1].operation = 0;
        assert_eq!(kinds(&input), [Kind::ObjectPool]);
    }
}
