//! One subject under suspicion: its numbers from observation to observation, and when the suspicion is over.

use std::sync::Arc;

use crate::config::LeakThresholds;
use crate::heap::AGES;

use super::curve::Curve;
use super::evidence::{Evidence, freed_old};
use super::shape::{HOUR, float, pace, round, scaled, shape};
use super::suspect::{Closed, Part, Pattern};
use super::track::Track;
use super::window::Window;

/// A subject under suspicion.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) part: Part,
    pub(super) component: Arc<str>,
    /// The suspect that it is a part of.
    pub(super) suspect: u64,
    pub(super) seen: u64,
    opened: u64,
    window: u64,
    /// Live samples since `since`: now, and the most that there were.
    most_samples: f64,
    /// The newest birth, and when live bytes last reached a new height.
    newest: u64,
    highest: (u64, f64),
    /// The longest time that passed between two births.
    longest_gap: u64,
    /// A while ago: time, samples freed, for what is freed and added since.
    check: (u64, [u32; AGES]),
    /// Objects that were live and settled the last time, and those that came since.
    settled_objects: f64,
    added: f64,
    /// Why it is no suspect any more.
    pub(super) verdict: Option<Closed>,
}

impl Followed {
    #[allow(
        clippy::too_many_arguments,
        reason = "all that is known at the opening"
    )]
    pub(super) fn new(
        evidence: Evidence,
        window: Window,
        component: &Arc<str>,
        place: u64,
        curve: &Curve,
        freed: &[u32; AGES],
        track: &Track,
        thresholds: &LeakThresholds,
    ) -> Self {
        let since = onset(evidence, curve, &window, track);
        let mut followed = Self {
            part: Part::new(place, evidence, since),
            component: Arc::clone(component),
            suspect: 0,
            seen: window.now,
            opened: window.now,
            window: window.length,
            most_samples: 0.0,
            newest: curve.births().last().copied().unwrap_or(window.now),
            highest: (window.now, 0.0),
            longest_gap: longest_gap(curve, since),
            check: (window.now, *freed),
            settled_objects: 0.0,
            added: 0.0,
            verdict: None,
        };
        followed.measure(curve, freed, track, window.now, thresholds);
        followed.added = 0.0;
        followed
    }

    /// Takes in one more observation.
    pub(super) fn update(
        &mut self,
        curve: &Curve,
        freed: &[u32; AGES],
        track: &Track,
        windows: &[Window],
        now: u64,
        thresholds: &LeakThresholds,
    ) {
        self.seen = now;
        if let Some(newest) = curve
            .births()
            .last()
            .filter(|newest| **newest > self.newest)
        {
            self.longest_gap = self.longest_gap.max(newest - self.newest);
            self.newest = *newest;
        }
        self.measure(curve, freed, track, now, thresholds);
        if self.part.evidence == Evidence::Confirmed {
            let better = windows.iter().find_map(|window| {
                super::evidence::survivors(curve, freed, window, thresholds)
                    .filter(|found| *found == Evidence::Survivors)
            });
            self.part.evidence = better.unwrap_or(Evidence::Confirmed);
        }
        self.verdict = self.judge(curve, freed, windows, now, thresholds);
        if now.saturating_sub(self.check.0) >= thresholds.close_after_ms() {
            self.check = (now, *freed);
        }
    }

    /// Objects that were added since this was asked last.
    pub(super) fn take_added(&mut self) -> f64 {
        std::mem::take(&mut self.added)
    }

    /// Whether both belong together: one component, the same time, and as many blocks per hour.
    pub(super) fn is_one_cause_with(&self, other: &Self) -> bool {
        let (a, b) = (&self.part, &other.part);
        let apart = a.since.abs_diff(b.since);
        let age = self.seen.saturating_sub(a.since.min(b.since));
        let is_simultaneous = apart <= self.window.max(other.window).max(age / 4);
        let objects = |part: &Part| {
            let each = part.bytes / part.objects.max(1e-9);
            (
                part.growth_low / each.max(1.0),
                part.growth_high / each.max(1.0),
            )
        };
        let ((low, high), (other_low, other_high)) = (objects(a), objects(b));
        self.component == other.component
            && is_simultaneous
            && low <= other_high
            && other_low <= high
    }

    fn measure(
        &mut self,
        curve: &Curve,
        freed: &[u32; AGES],
        track: &Track,
        now: u64,
        thresholds: &LeakThresholds,
    ) {
        let part = &mut self.part;
        let grows_by_survivors = matches!(part.evidence, Evidence::Survivors | Evidence::Confirmed);
        let live = if part.evidence == Evidence::Doubling || part.evidence == Evidence::Backlog {
            curve.total()
        } else {
            curve.between(part.since, now + 1)
        };
        part.samples = round(live.samples);
        part.objects = live.objects;
        part.bytes = live.bytes;
        self.most_samples = self.most_samples.max(live.samples);
        if live.bytes > self.highest.1 {
            self.highest = (now, live.bytes);
        }
        let young = scaled(self.window, thresholds.youngest_ratio);
        let settled = curve.between(part.since, now.saturating_sub(young)).objects;
        self.added += (settled - self.settled_objects).max(0.0);
        self.settled_objects = self.settled_objects.max(settled);
        let old = freed_old(freed, float(young));
        part.freed_ratio =
            old / (old + curve.between(0, now.saturating_sub(young)).samples).max(1.0);

        if grows_by_survivors {
            let (growth, bounds) = pace(curve, part.since, now, self.window, thresholds);
            (part.growth, part.growth_low, part.growth_high) = (growth, bounds.low, bounds.high);
        } else {
            let from = match part.evidence {
                Evidence::Backlog => now.saturating_sub(self.window),
                _ => part.since + now.saturating_sub(part.since) / 2,
            };
            let before = track
                .at(from)
                .map_or((0.0, 0.0), |mark| (mark.bytes, mark.samples));
            let hours = float(now.saturating_sub(from)).max(1.0) / HOUR;
            part.growth = ((live.bytes - before.0) / hours).max(0.0);
            let each = live.bytes / live.samples.max(1.0);
            let doubt = 1.96 * each * (live.samples + before.1).sqrt() / hours;
            let doubt = if part.evidence == Evidence::Doubling {
                0.0
            } else {
                doubt
            };
            part.growth_low = (part.growth - doubt).max(0.0);
            part.growth_high = part.growth + doubt;
        }
        let shape = shape(curve, part, now.saturating_sub(young), thresholds);
        part.acceleration = shape.acceleration;
        part.pattern = Pattern::of(&shape, thresholds);
    }

    fn judge(
        &self,
        curve: &Curve,
        freed: &[u32; AGES],
        windows: &[Window],
        now: u64,
        thresholds: &LeakThresholds,
    ) -> Option<Closed> {
        let quiet = now.saturating_sub(self.newest);
        let patience = thresholds.close_after_ms();
        match self.part.evidence {
            Evidence::Backlog => {
                let since_high = now.saturating_sub(self.highest.0);
                let is_over = since_high > patience.max(self.window / 2);
                return is_over.then_some(Closed::Balanced);
            }
            Evidence::Doubling => {
                let lasted = self.highest.0.saturating_sub(self.part.since);
                let since_high = now.saturating_sub(self.highest.0);
                if curve.total().bytes < self.highest.1 / 2.0 {
                    return Some(Closed::Freed);
                }
                return (since_high > patience.max(lasted * 3 / 2)).then_some(Closed::Stopped);
            }
            Evidence::Survivors | Evidence::Confirmed | Evidence::Whole => {}
        }
        let live = curve.between(self.part.since, now + 1).samples;
        if live < self.most_samples / 2.0 {
            return Some(Closed::Freed);
        }
        let lasted = float(self.newest.saturating_sub(self.part.since));
        let mean_gap = lasted / self.most_samples.max(1.0);
        let longest_quiet =
            float(patience.max(self.longest_gap * 2)).max(thresholds.quiet_gaps * mean_gap);
        if float(quiet) > longest_quiet {
            return Some(Closed::Stopped);
        }
        // What was freed of old blocks, against what was added, since a while ago.
        let passed = now.saturating_sub(self.check.0);
        if passed >= patience {
            let young = float(scaled(self.window, thresholds.youngest_ratio.max(0.25)));
            let gone = freed_old(freed, young) - freed_old(&self.check.1, young);
            let added = curve.between(self.check.0, now + 1).samples;
            if gone >= 4.0 && gone > thresholds.balanced_ratio * added {
                return Some(Closed::Balanced);
            }
        }
        if self.part.evidence == Evidence::Confirmed {
            let refuted = windows
                .iter()
                .filter(|window| window.from() >= self.opened.saturating_sub(self.window))
                .any(|window| {
                    let expected = self.part.growth / HOUR;
                    window.length >= self.window * 2
                        && window
                            .heap
                            .is_some_and(|heap| heap.high < thresholds.explained_ratio * expected)
                });
            return refuted.then_some(Closed::Refuted);
        }
        None
    }
}

/// When growth began: going back from the newest survivor until nothing was born for much longer than usual.
pub(super) fn onset(evidence: Evidence, curve: &Curve, window: &Window, track: &Track) -> u64 {
    match evidence {
        Evidence::Survivors | Evidence::Confirmed | Evidence::Whole => {}
        Evidence::Backlog => return window.from(),
        Evidence::Doubling => return track.first().unwrap_or(window.from()),
    }
    let Some(run) = curve.last_run(window.length, track.not_before) else {
        return window.from();
    };
    let earliest = track.not_before.max(window.start);
    run.first.saturating_sub(run.mean_gap).max(earliest)
}

/// The longest time between two births since growth began.
fn longest_gap(curve: &Curve, since: u64) -> u64 {
    let births = curve.births();
    let first = births.partition_point(|birth| *birth < since);
    let gaps = births[first..].windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(0)
}
