//! When the limit is reached if memory goes on growing as it does.

use std::time::SystemTime;

use crate::snapshot::{MemoryLimit, Point};

use super::curve::time_to;
use super::tracker::{MOST_BLOCKS, Slope, blocks, median, slope};

/// Shortest window, in seconds; a younger process is judged by all its history.
const SHORTEST: f64 = 120.0;
/// From this window on, in seconds, any growth counts; a shorter one must be urgent, as bursts are short too.
const USUAL: f64 = 600.0;
/// Look back so many times as far as ahead.
const BACK: f64 = 2.0;
/// A level is a peak if it grew by so many times what is usual since the last but one.
const PEAK: f64 = 1.25;
/// Urgent is what happens within so many windows.
const URGENT: f64 = 8.0;
/// Points that the shortest window has, where there are as many.
const ENOUGH: usize = 12;
/// Fewest points.
const FEWEST: usize = 4;
/// Shortest history, in seconds.
const LEAST: f64 = 5.0;
/// Nobody looks further ahead than a month, in seconds.
const HORIZON: f64 = 30.0 * 24.0 * 3600.0;
/// How far the growth of a longer window may lie outside the bounds of a shorter one: beyond, growth has changed.
const CHANGED: f64 = 1.3;

/// What a window says.
struct Ahead {
    /// Seconds until the limit is reached.
    time: f64,
    /// Growth per second at its end.
    rate: f64,
    /// Growth over all of it.
    slope: Slope,
}

/// Seconds until `limit` is reached. Absent without growth beyond doubt, and while there is little history.
///
/// It looks back about as far as ahead: the window starts at two minutes and doubles while the limit is further away than it is long
/// and the growth is still the same. Levels are those used against this very limit; what was used against others is left out.
#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(crate) fn exhaustion<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    limit: &MemoryLimit,
    now: SystemTime,
) -> Option<f64> {
    let ago = |time: SystemTime| now.duration_since(time).map(|age| -age.as_secs_f64());
    let mut levels: Vec<(f64, f64)> = points
        .into_iter()
        .filter_map(|point| Some((ago(point.time).ok()?, point.parts.used_against(limit.kind)?)))
        .collect();
    let used = limit.used? as f64;
    if levels.last().is_none_or(|(time, _)| *time < -0.001) {
        levels.push((0.0, used));
    }
    let first = levels.first()?.0;
    if levels.len() < FEWEST || -first < LEAST {
        return None;
    }
    let enough = levels.len().saturating_sub(ENOUGH);
    let mut window = levels
        .get(enough)
        .map_or(SHORTEST, |(time, _)| SHORTEST.max(-time));
    let mut found: Option<Ahead> = None;
    loop {
        let is_whole = -first <= window;
        let from = levels.partition_point(|(time, _)| *time < -window);
        let ahead = look_ahead(&levels[from..], limit.bytes as f64);
        match (ahead, &found) {
            (Some(ahead), before)
                if before.as_ref().is_none_or(|before| before.goes_on(&ahead)) =>
            {
                let is_near = ahead.time * BACK <= window;
                let counts = is_whole || window >= USUAL || ahead.time <= URGENT * window;
                if counts {
                    found = Some(ahead);
                }
                if is_near {
                    break;
                }
            }
            (_, Some(_)) => break,
            (_, None) => {}
        }
        if is_whole {
            break;
        }
        window *= 2.0;
    }
    found
        .map(|ahead| ahead.time)
        .filter(|time| *time <= HORIZON)
}

fn look_ahead(levels: &[(f64, f64)], limit: f64) -> Option<Ahead> {
    let recent = blocks(levels, MOST_BLOCKS);
    let slope = slope(&recent).filter(Slope::is_growth)?;
    let room = (limit - level_now(levels, &slope)?).max(0.0);
    let (time, rate) = time_to(&recent, &slope, room)?;
    Some(Ahead { time, rate, slope })
}

/// The last level, unless it lies so far above those before it that it is a peak, which leaves its room again.
fn level_now(levels: &[(f64, f64)], slope: &Slope) -> Option<f64> {
    let &(until, last) = levels.last()?;
    let Some(&(from, _)) = levels.iter().rev().nth(2) else {
        return Some(last);
    };
    let mut near: Vec<_> = levels
        .iter()
        .rev()
        .take(3)
        .map(|(_, level)| *level)
        .collect();
    Some(last.min(median(&mut near) + PEAK * slope.highest * (until - from)))
}

impl Ahead {
    /// Whether a longer window tells of the same growth.
    fn goes_on(&self, longer: &Self) -> bool {
        longer.rate > self.slope.lowest.min(self.rate) / CHANGED
            && longer.rate < self.slope.highest.max(self.rate) * CHANGED
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]
mod tests {
    use std::time::Duration;

    use crate::snapshot::{LimitKind, Parts};

    use super::*;

    const MB: f64 = 1_048_576.0;
    /// A level in MB in the course of the seconds.
    type Course = Box<dyn Fn(f64) -> f64>;

    const KIND: LimitKind = LimitKind::ControlGroup { level: 0 };

    /// Noise from 0 to 1 that is the same in every run.
    fn noise(at: f64) -> f64 {
        (at * 12.989_8)
            .sin()
            .mul_add(43_758.545, 0.0)
            .rem_euclid(1.0)
    }

    /// What is predicted at `now` by somebody who looked every `interval` since `start` at a level in MB.
    fn predicted(level: &dyn Fn(f64) -> f64, limit: f64, interval: f64, now: f64) -> Option<f64> {
        let bytes = |at: f64| (level(at) * MB) as u64;
        let moments = (now / interval) as u32;
        let points: Vec<_> = (0..=moments)
            .map(|at| f64::from(at) * interval)
            .map(|at| Point::at(at, Parts::used(KIND, bytes(at))))
            .collect();
        let mut holds = MemoryLimit::of((limit * MB) as u64, KIND);
        holds.used = Some(bytes(now));
        exhaustion(
            &points,
            &holds,
            SystemTime::UNIX_EPOCH + Duration::from_secs_f64(now),
        )
    }

    /// Largest error over the last half of a life up to its last twentieth, as a part of the time that is left.
    fn worst(level: &dyn Fn(f64) -> f64, limit: f64, interval: f64) -> (f64, f64) {
        let mut life = 0.0;
        while level(life) < limit {
            life += interval / 10.0;
        }
        let mut worst: (f64, f64) = (0.0, 0.0);
        for percent in (50..=90).step_by(2) {
            let now = life * f64::from(percent) / 100.0;
            let left = life - now;
            let error = predicted(level, limit, interval, now)
                .map_or(f64::INFINITY, |time| (time - left).abs() / left);
            if error > worst.0 {
                worst = (error, now / life);
            }
        }
        worst
    }

    #[test]
    fn a_leak_is_predicted_within_a_fifth_over_the_last_half_of_life() {
        let churn = |at: f64| 8.0 * noise(at);
        let sawtooth = |at: f64| 10.0 * (at / 37.0).rem_euclid(1.0);
        let mut wrong = Vec::new();
        for interval in [1.0, 5.0, 30.0] {
            // From minutes to a day, in units of the interval.
            for life in [40.0, 200.0, 1_000.0] {
                let life = life * interval;
                let courses: [(&str, Course); 11] = [
                    ("steady", Box::new(move |t| 100.0 + 900.0 * t / life)),
                    (
                        "steady, churning",
                        Box::new(move |t| 100.0 + 900.0 * t / life + churn(t)),
                    ),
                    (
                        "steady, sawtooth",
                        Box::new(move |t| 100.0 + 900.0 * t / life + sawtooth(t)),
                    ),
                    (
                        "in steps",
                        Box::new(move |t| 100.0 + (t / life * 200.0).floor() * 4.5),
                    ),
                    (
                        "ever faster",
                        Box::new(move |t| 100.0 + 900.0 * (t / life).powi(2)),
                    ),
                    (
                        "ever faster, churning",
                        Box::new(move |t| 100.0 + 900.0 * (t / life).powi(2) + churn(t) / 4.0),
                    ),
                    (
                        "doubling",
                        Box::new(move |t| 95.0 + 5.0 * (t / life * 5.2).exp()),
                    ),
                    (
                        "from all at once",
                        Box::new(move |t| 62.5 * (t / life * 2.77).exp()),
                    ),
                    (
                        "cubed",
                        Box::new(move |t| 100.0 + 900.0 * (t / life).powi(3)),
                    ),
                    (
                        "after a start",
                        Box::new(move |t| 300.0 * (t / life * 20.0).min(1.0) + 700.0 * t / life),
                    ),
                    (
                        "faster since a third",
                        Box::new(move |t| {
                            100.0 + 100.0 * t / life + (1_200.0 * (t / life - 0.33)).max(0.0)
                        }),
                    ),
                ];
                for (name, level) in courses {
                    let (error, at) = worst(&*level, 1_000.0, interval);
                    let most = if name == "cubed" { 0.35 } else { 0.2 };
                    if error > most {
                        wrong.push(format!(
                            "{name}, every {interval} s, {life} s: {:.0} % at {at}",
                            error * 100.0
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    #[test]
    fn what_does_not_grow_has_no_end() {
        let flat: [(&str, &dyn Fn(f64) -> f64); 6] = [
            ("flat", &|_| 500.0),
            ("noise", &|t| 500.0 + 20.0 * noise(t)),
            ("shrinking", &|t| 900.0 - t / 100.0),
            ("filled", &|t| 100.0 + (t * 2.0).min(600.0)),
            ("a step up and down", &|t| {
                if (1_000.0..1_030.0).contains(&t) {
                    800.0
                } else {
                    500.0
                }
            }),
            ("levelling off", &|t| 800.0 - 600.0 * (-t / 300.0).exp()),
        ];
        for interval in [1.0, 5.0, 30.0] {
            for (name, level) in flat {
                // A quarter of an hour after the filling ended, every minute.
                let alarms: Vec<_> = (20..100)
                    .map(|minute| f64::from(minute) * 60.0)
                    .filter(|now| {
                        predicted(level, 1_000.0, interval, *now)
                            .is_some_and(|time| time < 14_400.0)
                    })
                    .collect();
                let allowed = if name == "levelling off" { 5 } else { 0 };
                assert!(
                    alarms.len() <= allowed,
                    "{name}, every {interval} s: {alarms:?}"
                );
            }
        }
    }

    #[test]
    fn without_history_or_limit_nothing_is_said() {
        let steady = |t: f64| 100.0 + t;
        assert_eq!(predicted(&steady, 1_000.0, 1.0, 2.0), None, "three points");
        assert_eq!(predicted(&steady, 1_000.0, 1.0, 4.0), None, "four seconds");
        assert!(predicted(&steady, 1_000.0, 1.0, 8.0).is_some());
        assert!(
            predicted(&steady, 1_000.0, 30.0, 90.0).is_some(),
            "four points"
        );
        assert_eq!(
            predicted(&steady, 1e8, 1.0, 600.0),
            None,
            "three years away"
        );
        let reached = predicted(&steady, 150.0, 1.0, 60.0);
        assert_eq!(reached, Some(0.0), "beyond the limit and growing");
        let other = LimitKind::AddressSpace;
        let points: Vec<_> = (0..100)
            .map(|at| {
                Point::at(
                    f64::from(at),
                    Parts::used(other, u64::from(at as u32) << 20),
                )
            })
            .collect();
        let mut limit = MemoryLimit::of(1 << 30, KIND);
        limit.used = Some(99 << 20);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(99);
        assert_eq!(
            exhaustion(&points, &limit, now),
            None,
            "the history of another limit"
        );
        limit.kind = other;
        let time = exhaustion(&points, &limit, now).unwrap();
        assert!((time - 925.0).abs() < 1.0, "{time}");
    }

    /// Peaks of a few moments, as reading symbols makes them, do not bend the curve.
    #[test]
    fn peaks_do_not_count() {
        let with_peaks = |t: f64| {
            let peak = if (3.0..6.0).contains(&(t % 23.0)) {
                250.0
            } else {
                0.0
            };
            60.0 + 440.0 * (t / 40.0).powi(2) + peak
        };
        for now in [20.0, 25.0, 32.0, 36.0] {
            let time = predicted(&with_peaks, 500.0, 1.0, now).unwrap();
            let error = time / (40.0 - now) - 1.0;
            assert!(error.abs() < 0.2, "{error:.2} at {now}");
        }
    }

    /// Two programs, every second, in KiB; that the exporter read symbols shows as peaks.
    #[test]
    fn recorded_leaks_are_predicted() {
        const STEADY: [u32; 39] = [
            21_868, 30_656, 33_904, 37_804, 40_992, 44_304, 47_548, 50_756, 54_356, 57_604, 60_836,
            64_120, 67_360, 70_204, 73_452, 76_700, 80_704, 83_160, 86_368, 89_600, 92_856, 96_100,
            99_336, 102_576, 105_832, 109_084, 112_320, 115_552, 118_796, 122_032, 125_268,
            128_508, 147_536, 136_716, 139_944, 143_216, 146_460, 149_696, 152_948,
        ];
        const EVER_FASTER: [u32; 42] = [
            20_100, 20_260, 20_580, 21_068, 21_676, 23_328, 89_772, 27_452, 29_224, 30_512, 31_984,
            33_580, 35_324, 37_228, 39_276, 41_480, 43_820, 46_240, 48_868, 52_044, 54_956, 58_020,
            60_824, 64_168, 67_656, 71_288, 75_064, 79_796, 83_860, 87_260, 91_604, 96_096,
            100_732, 105_508, 110_432, 115_504, 120_908, 126_272, 131_784, 139_084, 144_880,
            150_804,
        ];
        let recorded: [(&str, &[u32]); 2] = [("steady", &STEADY), ("ever faster", &EVER_FASTER)];
        for (name, recorded) in recorded {
            let level = |at: f64| f64::from(recorded[at as usize]) / 1_024.0;
            let end = (recorded.len() - 1) as f64;
            for now in recorded.len() / 2..recorded.len() * 9 / 10 {
                let now = now as f64;
                let time = predicted(&level, level(end), 1.0, now).unwrap();
                let error = time / (end - now) - 1.0;
                assert!(error.abs() < 0.2, "{name}: {error:.2} at {now}");
            }
        }
    }
}
