//! The course of a growing level, and when it reaches another: a line, a line with a bend, a parabola, a power or an exponential,
//! whichever the points speak for, and the middle of those that they cannot tell apart.

use super::tracker::{Slope, median};

/// Fewest points on either side of a bend.
const BESIDE_BEND: usize = 4;
/// How much better than a simpler one a curve must fit, per additional number in it: times the logarithm of the points.
const CAUTION: f64 = 6.0;
/// What no measurement of memory tells apart: this part of the growth, ...
const NOISE_RATIO: f64 = 0.002;
/// ... or two pages.
const NOISE_BYTES: f64 = 8_192.0;
/// Steepness of the exponentials that are tried, per window: from `FLATTEST`, each by `STEEPER` above the last.
const FLATTEST: f64 = 0.5;
const STEEPER: f64 = 1.2;
/// Those that level off among them.
const EXPONENTIALS: i32 = 40;

/// Powers of the time since the window began that are tried; the second is a parabola.
const POWERS: [f64; 2] = [3.0, 4.0];
/// How many numbers an exponential or a power counts for: a little more than a parabola, as what they foretell is more extreme.
const FREE_POWER: f64 = 3.3;
/// A fall is far from so many usual steps on, ...
const FAR: f64 = 4.0;
/// ... within so many points.
const FEW: usize = 5;
/// Half a difference in cost is the logarithm of how much likelier a course is.
const DOUBT: f64 = 2.0;
/// What has less weight is not looked at.
const LEAST_WEIGHT: f64 = 0.01;
/// Fewest points that speak for anything but a line.
const FEWEST_FOR_CURVE: usize = 8;

/// How a level goes on from now; the unit of time is the window.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    Line { slope: f64 },
    Parabola { slope: f64, bend: f64 },
    Exponential { factor: f64, steepness: f64 },
    Power { factor: f64, power: f64 },
}

/// Seconds until a level that took this course has grown by `room` beyond the last point; and the growth per second now. `points` are
/// (seconds, level) in order of time, at least three; `slope` is theirs. Absent where it does not grow at the end.
pub(crate) fn time_to(points: &[(f64, f64)], slope: &Slope, room: f64) -> Option<(f64, f64)> {
    let (start, end) = (points.first()?.0, points.last()?.0);
    let window = end - start;
    let (normal, scale) = normalised(points)?;
    let courses = courses(&normal, slope.per_second * window / scale, scale);
    let (mut weights, mut rate, mut time) = (0.0, 0.0, 0.0);
    for (weight, course) in courses {
        match course.time_to(room / scale) {
            // Those that nobody can tell apart meet in the middle: of times, where one may be many times the other, the geometric.
            Some(own) => {
                weights += weight;
                rate += weight * course.slope();
                time += weight * own.ln();
            }
            None if weight == 1.0 => return None,
            None => {}
        }
    }
    Some((
        (time / weights).exp() * window,
        rate / weights * scale / window,
    ))
}

/// The points without peaks, with time from -1 to 0 and the level in units of what it grew.
fn normalised(points: &[(f64, f64)]) -> Option<(Vec<(f64, f64)>, f64)> {
    let (start, end) = (points.first()?.0, points.last()?.0);
    let points = without_peaks(points);
    let values = || points.iter().map(|(_, value)| *value);
    let low = values().min_by(f64::total_cmp)?;
    let scale = values().max_by(f64::total_cmp)? - low;
    if end <= start || scale <= 0.0 {
        return None;
    }
    let normal = |(time, value): (f64, f64)| ((time - end) / (end - start), (value - low) / scale);
    let middles = points.windows(3).map(|three| {
        let [(_, a), (time, b), (_, c)] = [three[0], three[1], three[2]];
        normal((time, a.min(b).max(a.max(b).min(c))))
    });
    Some((middles.collect(), scale))
}

/// Without the points from which the level falls far within the next few; all of them if that would be most.
fn without_peaks(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut steps: Vec<_> = points
        .windows(2)
        .map(|pair| (pair[1].1 - pair[0].1).abs())
        .collect();
    if steps.is_empty() {
        return points.to_vec();
    }
    let far = median(&mut steps) * FAR;
    let is_peak = |at: usize| {
        let later = points[at + 1..].iter().take(FEW);
        later
            .map(|(_, value)| *value)
            .any(|value| points[at].1 - value > far)
    };
    let without: Vec<_> = (0..points.len())
        .filter(|at| !is_peak(*at))
        .map(|at| points[at])
        .collect();
    if without.len() * 2 > points.len() {
        without
    } else {
        points.to_vec()
    }
}

/// The courses that the points speak for, each with its weight; the best has 1.
fn courses(points: &[(f64, f64)], slope: f64, scale: f64) -> Vec<(f64, Course)> {
    let line = Course::Line { slope };
    if points.len() < FEWEST_FOR_CURVE {
        return vec![(1.0, line)];
    }
    #[allow(clippy::cast_precision_loss, reason = "a few dozen")]
    let number = points.len() as f64;
    let noise = (NOISE_BYTES / scale).max(NOISE_RATIO).powi(2);
    // What a curve costs: how badly it fits, and how many numbers it needs for that.
    let cost = |error: f64, numbers: f64| {
        number * (error / number + noise).ln() + CAUTION * numbers * number.ln()
    };
    let Some((_, error)) = fit(points, |time| [1.0, time, 0.0], 2) else {
        return vec![(1.0, line)];
    };
    let mut kinds = vec![(cost(error, 2.0), line)];
    // The best of each kind.
    let mut consider = |is_new: bool, course: Course, error: f64, numbers: f64| {
        let cost = cost(error, numbers);
        match kinds.last_mut() {
            Some(best) if !is_new => {
                if cost < best.0 {
                    *best = (cost, course);
                }
            }
            _ => kinds.push((cost, course)),
        }
    };
    if let Some(([_, slope, bend], error)) = fit(points, |time| [1.0, time, time * time], 3) {
        // One that becomes flatter would turn round: it goes on as it is now.
        let course = if bend > 0.0 {
            Course::Parabola { slope, bend }
        } else {
            Course::Line { slope }
        };
        consider(true, course, error, 3.0);
    }
    for at in 0..EXPONENTIALS {
        let steepness =
            FLATTEST * STEEPER.powi(at / 2) * [1.0, -1.0][at.cast_unsigned() as usize % 2];
        if let Some(([_, factor, _], error)) =
            fit(points, |time| [1.0, (steepness * time).exp(), 0.0], 2)
        {
            let course = Course::Exponential { factor, steepness };
            consider(at == 0, course, error, FREE_POWER);
        }
    }
    for (at, power) in POWERS.into_iter().enumerate() {
        if let Some(([_, factor, _], error)) =
            fit(points, |time| [1.0, (1.0 + time).powf(power), 0.0], 2)
        {
            consider(at == 0, Course::Power { factor, power }, error, FREE_POWER);
        }
    }
    let until = points.len().saturating_sub(BESIDE_BEND);
    let bends = points.get(BESIDE_BEND..until).unwrap_or_default();
    for (at, (bend, _)) in bends.iter().enumerate() {
        if let Some(([_, before, more], error)) =
            fit(points, |time| [1.0, time, (time - bend).max(0.0)], 3)
        {
            let slope = before + more;
            consider(at == 0, Course::Line { slope }, error, 4.0);
        }
    }
    let least = kinds
        .iter()
        .map(|(cost, _)| *cost)
        .fold(f64::INFINITY, f64::min);
    let weighted = kinds.into_iter().map(|(cost, course)| {
        let weight = ((least - cost) / DOUBT).exp();
        (weight, course)
    });
    weighted
        .filter(|(weight, _)| *weight > LEAST_WEIGHT)
        .collect()
}

impl Course {
    fn slope(self) -> f64 {
        match self {
            Self::Line { slope } | Self::Parabola { slope, .. } => slope,
            Self::Exponential { factor, steepness } => factor * steepness,
            Self::Power { factor, power } => factor * power,
        }
    }

    /// Time until it has grown by `room`.
    fn time_to(self, room: f64) -> Option<f64> {
        let time = match self {
            Self::Line { slope } => room / slope,
            Self::Parabola { slope, bend } => {
                ((slope * slope + 4.0 * bend * room).sqrt() - slope) / (2.0 * bend)
            }
            Self::Exponential { factor, steepness } => (1.0 + room / factor).ln() / steepness,
            Self::Power { factor, power } => (1.0 + room / factor).powf(1.0 / power) - 1.0,
        };
        (self.slope() > 0.0 && time.is_finite()).then_some(time)
    }
}

/// Least squares over the first `used` of three functions of time: their factors, and the sum of the squared errors.
fn fit(
    points: &[(f64, f64)],
    functions: impl Fn(f64) -> [f64; 3],
    used: usize,
) -> Option<([f64; 3], f64)> {
    let mut rows = [[0.0; 4]; 3];
    for (time, value) in points {
        let functions = functions(*time);
        for (row, one) in rows.iter_mut().zip(functions).take(used) {
            for (sum, other) in row.iter_mut().zip(functions) {
                *sum += one * other;
            }
            row[3] += one * value;
        }
    }
    for at in 0..used {
        let pivot = rows[at][at];
        if pivot.abs() < 1e-12 {
            return None;
        }
        let solved = rows[at];
        for (_, row) in rows
            .iter_mut()
            .enumerate()
            .filter(|(other, _)| *other != at)
        {
            let times = row[at] / pivot;
            for (value, by) in row.iter_mut().zip(solved) {
                *value -= times * by;
            }
        }
    }
    let mut factors = [0.0; 3];
    for (at, factor) in factors.iter_mut().enumerate().take(used) {
        *factor = rows[at][3] / rows[at][at];
    }
    let errors = points.iter().map(|(time, value)| {
        let fitted = functions(*time).into_iter().zip(factors);
        let fitted: f64 = fitted.map(|(function, factor)| function * factor).sum();
        (value - fitted).powi(2)
    });
    Some((factors, errors.sum()))
}
