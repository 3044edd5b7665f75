//! The verdict for people on call: how bad is it, why, and what to do.

use std::time::Duration;

use crate::config::Thresholds;
use crate::snapshot::{Point, Snapshot};

use super::findings::{
    on_exhaustion, on_growth, on_kills, on_leaks, on_limit, on_pressure, on_usage,
};
use super::recommendation::Evidence;
use super::tracker::{MOST_BLOCKS, blocks, series, slope};

/// How far back the past reaches that health is judged by.
pub(crate) const PAST: Duration = Duration::from_secs(3_600);
/// Window of the growth, of the allocation rate and of the pressure.
const RECENT: Duration = Duration::from_secs(300);
/// A slope, or a share of the time, over less time than this says nothing.
pub(super) const SHORTEST: Duration = Duration::from_secs(60);

/// What health is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals<'a> {
    /// Now, with what was derived.
    pub(crate) snapshot: &'a Snapshot,
    /// The points of the last [`PAST`].
    pub(crate) past: &'a [Point],
    /// From when on it is bad.
    pub(crate) thresholds: &'a Thresholds,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nothing to do.
    Healthy,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// One reason for a status.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct Finding {
    /// How bad this alone is; healthy for what is worth knowing and harmless by itself.
    pub(crate) status: Status,
    /// What was seen, with the numbers.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) recommendation: &'static str,
    /// The numbers.
    pub(crate) evidence: Vec<Evidence>,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct Health {
    /// The worst of the findings.
    pub(crate) status: Status,
    /// Used share of the limit, 0 to 1 and above; absent without a limit.
    pub(crate) used_ratio: Option<f64>,
    /// Growth of resident memory in bytes per second over the last five minutes; absent for want of history.
    pub(crate) growth_rate: Option<f64>,
    /// Bytes asked for per second over the last five minutes; absent without our allocator or for want of history.
    pub(crate) allocation_rate: Option<f64>,
    /// Allocator operations per second, likewise.
    pub(crate) operation_rate: Option<f64>,
    /// Everything that speaks against health, worst first.
    pub(crate) findings: Vec<Finding>,
}

impl Status {
    /// All, the best first.
    pub(crate) const ALL: [Self; 3] = [Self::Healthy, Self::Warning, Self::Critical];

    /// Its name in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Judges a snapshot and what was before it.
pub(crate) fn assess(vitals: Vitals<'_>) -> Health {
    let Vitals { snapshot, past, .. } = vitals;
    let from = snapshot.time.checked_sub(RECENT);
    let first = past.partition_point(|point| from.is_some_and(|from| point.time < from));
    let recent = past.get(first..).unwrap_or_default();
    let growth_rate = recent_growth(recent);
    let mut findings: Vec<Finding> = [
        on_usage(vitals),
        on_limit(vitals),
        on_exhaustion(vitals),
        on_leaks(vitals),
        on_growth(vitals, growth_rate),
        on_pressure(vitals, recent),
        on_kills(vitals),
    ]
    .into_iter()
    .flatten()
    .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
    Health {
        status: findings
            .first()
            .map_or(Status::Healthy, |finding| finding.status),
        used_ratio: snapshot.limit().and_then(|limit| limit.used_ratio()),
        growth_rate,
        allocation_rate: rate(recent, |point| point.bytes),
        operation_rate: rate(recent, |point| point.operations),
        findings,
    }
}

fn recent_growth(recent: &[Point]) -> Option<f64> {
    let (first, last) = (recent.first()?, recent.last()?);
    let time = last.time.duration_since(first.time).ok()?;
    let levels = series(recent, |point| Some(point.rss?.mean));
    let slope = (time >= SHORTEST).then(|| slope(&blocks(&levels, MOST_BLOCKS)))??;
    Some(slope.per_second)
}

/// Increase per second of a counter between the first and the last point.
#[allow(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 53 bits"
)]
fn rate(points: &[Point], counter: impl Fn(&Point) -> Option<u64>) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let seconds = last
        .time
        .duration_since(first.time)
        .ok()
        .filter(|time| !time.is_zero())?
        .as_secs_f64();
    Some(counter(last)?.saturating_sub(counter(first)?) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::catalog::Verdict;
    use crate::collector::{CgroupLimit, CgroupReading, ProcessReading};
    use crate::config::Config;
    use crate::snapshot::{Growth, LeakReading, PartGrowth, Reading};

    use super::*;

    const NOW: u64 = 10_000;

    fn resident(rss: u64) -> ProcessReading {
        ProcessReading {
            rss,
            ..ProcessReading::default()
        }
    }

    /// A process of 200 MB in a group of 300 of 1000 MB, `change`d.
    fn snapshot(change: impl FnOnce(&mut Snapshot, &mut CgroupReading)) -> Snapshot {
        let process = resident(200 << 20);
        let mut cgroup = CgroupReading {
            limit: Some(CgroupLimit::of(1_000 << 20, Some(300 << 20), 0)),
            ..CgroupReading::default()
        };
        let mut snapshot = Snapshot {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
            process: Reading::of(process, Duration::ZERO),
            ..Snapshot::default()
        };
        change(&mut snapshot, &mut cgroup);
        snapshot.cgroup = Reading::of(cgroup, Duration::ZERO);
        snapshot
    }

    /// One point every half minute over an hour, from the snapshot and seconds ago.
    fn past(change: impl Fn(u64, &mut CgroupReading)) -> Vec<Point> {
        let points = (0..=120).rev().map(|at| {
            let mut before = snapshot(|_, cgroup| change(at * 30, cgroup));
            before.time -= Duration::from_secs(at * 30);
            Point::of(&before)
        });
        points.collect()
    }

    fn health(snapshot: &Snapshot, past: &[Point]) -> Health {
        let thresholds = Config::production().alerts.thresholds;
        assess(Vitals {
            snapshot,
            past,
            thresholds: &thresholds,
        })
    }

    fn reasons(snapshot: &Snapshot, past: &[Point]) -> Vec<(Status, String)> {
        let findings = health(snapshot, past).findings.into_iter();
        findings
            .map(|finding| (finding.status, finding.reason))
            .collect()
    }

    fn growing(verdict: Option<Verdict>) -> Growth {
        let mut growth = Growth::new(Duration::from_secs(600), 29_127.0, 20_000.0, 40_000.0);
        growth.verdict = verdict;
        growth.parts = vec![
            PartGrowth::new(verdict, 27_000.0, 0.9),
            PartGrowth::new(Some(Verdict::Stable), 3_000.0, 0.1),
        ];
        growth
    }

    #[test]
    fn a_calm_process_is_healthy() {
        let calm = snapshot(|snapshot, _| {
            snapshot.derived.growth = Some(Growth::new(Duration::from_secs(600), 1.0, -5.0, 5.0));
            let growth = snapshot.derived.growth.as_mut().unwrap();
            growth.verdict = Some(Verdict::Stable);
        });
        let health = health(&calm, &past(|_, _| ()));
        assert_eq!((health.status, health.findings), (Status::Healthy, vec![]));
        assert_eq!(
            (health.used_ratio, health.growth_rate),
            (Some(0.3), Some(0.0))
        );
    }

    #[test]
    fn the_end_that_is_near_is_told_with_its_limit_and_what_to_do() {
        let near = |used: u64, seconds: f64, level: u8| {
            snapshot(|snapshot, cgroup| {
                cgroup.limit = Some(CgroupLimit::of(1_000 << 20, Some(used << 20), level));
                snapshot.derived.limit_exhaustion_seconds = Some(seconds);
                snapshot.derived.growth = Some(growing(Some(Verdict::Leak)));
            })
        };
        let worst = |snapshot: &Snapshot| reasons(snapshot, &[]).swap_remove(0);
        assert_eq!(
            worst(&near(600, 725.0, 0)),
            (
                Status::Critical,
                "the memory limit of the control group is reached in 12 minutes if memory goes on growing like this; 60 % of it is used".to_owned()
            )
        );
        let (status, reason) = worst(&near(600, 14_000.0, 1));
        assert_eq!(status, Status::Warning);
        assert!(
            reason
                .starts_with("the memory limit of a parent control group is reached in 3.9 hours"),
            "{reason}"
        );
        let critical = health(&near(600, 725.0, 0), &[]).findings.swap_remove(0);
        assert!(critical.recommendation.contains("flamegraph?since=10m"));
        assert_eq!(
            critical.evidence[0],
            Evidence::of("limit_exhaustion_seconds", 725.0)
        );
        for calm in [near(600, 15_000.0, 0), near(500, 60.0, 0)] {
            assert_eq!(
                health(&calm, &[]).status,
                Status::Healthy,
                "far away, or half empty"
            );
        }
    }

    #[test]
    fn growth_is_told_with_its_verdict() {
        for (verdict, words) in [
            (Some(Verdict::Leak), "(leak)"),
            (Some(Verdict::Fragmentation), "(fragmentation)"),
            (Some(Verdict::Retention), "(retention)"),
            (Some(Verdict::PageCache), "(page_cache)"),
            (Some(Verdict::NonHeap), "(non_heap)"),
            (None, "anonymous memory, heap or not"),
        ] {
            let grows = snapshot(|snapshot, _| snapshot.derived.growth = Some(growing(verdict)));
            let health = health(&grows, &[]);
            let [finding] = health.findings.as_slice() else {
                panic!("{health:?}");
            };
            assert_eq!(finding.status, Status::Healthy, "worth knowing");
            let start = "resident memory grows by 100.0 MB/h over 10 minutes, 90 % of it ";
            assert!(
                finding.reason.starts_with(start) && finding.reason.ends_with(words),
                "{}",
                finding.reason
            );
        }
    }

    #[test]
    fn fast_growth_is_a_warning() {
        let mut points = past(|_, _| ());
        for (at, point) in (0_u64..).zip(&mut points) {
            let mut before = snapshot(|_, _| ());
            before.process = Reading::of(resident((200 + at * 60) << 20), Duration::ZERO);
            before.time = point.time;
            *point = Point::of(&before);
        }
        let expected = "resident memory grows by 2.0 MB/s over 5 minutes, above 1.0 MB/s";
        assert_eq!(
            reasons(&snapshot(|_, _| ()), &points),
            [(Status::Warning, expected.to_owned())]
        );
    }

    #[test]
    fn pressure_is_the_share_of_the_last_minutes() {
        let waiting = |some: f64, full: f64| {
            // Before these minutes all waited always, which does not count.
            past(move |ago, cgroup| {
                let (now, before) = (ago.min(300) as f64, ago.saturating_sub(300) as f64);
                cgroup.pressure_some = Some(1e6 - before - now * some);
                cgroup.pressure_full = Some(1e6 - before - now * full);
            })
        };
        let calm = snapshot(|_, _| ());
        assert_eq!(reasons(&calm, &waiting(0.08, 0.05)), []);
        let some = "some task of the control group waited for memory 30 % of the last 5 minutes, above 10 %";
        assert_eq!(
            reasons(&calm, &waiting(0.3, 0.05)),
            [(Status::Warning, some.to_owned())]
        );
        let full = "every task of the control group waited for memory 20 % of the last 5 minutes, above 10 %";
        assert_eq!(
            reasons(&calm, &waiting(0.3, 0.2)),
            [(Status::Critical, full.to_owned())]
        );
        assert_eq!(
            reasons(&calm, &waiting(0.3, 0.2)[119..]),
            [],
            "half a minute"
        );
    }

    #[test]
    fn kills_are_told_and_fade() {
        let killed = snapshot(|_, cgroup| cgroup.oom_kills = Some(3));
        let since = |before: u64| past(move |_, cgroup| cgroup.oom_kills = Some(before));
        let lately =
            "processes of the control group killed for want of memory in the last 60 minutes: 2";
        assert_eq!(
            reasons(&killed, &since(1)),
            [(Status::Warning, lately.to_owned())]
        );
        let ever = "processes of the control group killed for want of memory since it was made: 3";
        for known in [since(3), Vec::new()] {
            assert_eq!(
                reasons(&killed, &known),
                [(Status::Healthy, ever.to_owned())]
            );
        }
        let never = snapshot(|_, cgroup| cgroup.oom_kills = Some(0));
        assert_eq!(reasons(&never, &since(0)), []);
    }

    #[test]
    fn leaks_weigh_by_their_severity() {
        let with = |suspects: [u64; 4]| {
            let reading = LeakReading {
                suspects,
                growth_mb_per_hour: 60.0,
                worst_component: Some("cache"),
                ..LeakReading::default()
            };
            let snapshot = snapshot(|snapshot, _| snapshot.derived.leaks = Some(reading));
            reasons(&snapshot, &past(|_, _| {}))
        };
        assert!(with([0; 4]).is_empty());
        let [(status, reason)] = &with([0, 0, 0, 1])[..] else {
            panic!("one reason");
        };
        assert_eq!(*status, Status::Critical);
        assert_eq!(
            reason,
            "1 leak suspect is critical and of cache: 60.0 MB/h in all"
        );
        let [(status, reason)] = &with([2, 0, 1, 0])[..] else {
            panic!("one reason");
        };
        assert_eq!(*status, Status::Warning);
        assert!(
            reason.starts_with("3 leak suspects, the worst of which is high"),
            "{reason}"
        );
        assert_eq!(
            with([0, 5, 0, 0])[0].0,
            Status::Healthy,
            "worth knowing, and no alarm"
        );
    }
}
