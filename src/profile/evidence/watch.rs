//! When evidence is captured. Pure: no clock, no files, no log; what it knows is told to it, tick by tick.

use std::time::{Duration, SystemTime};

/// Share of the limit from which evidence is captured. Lower, and a service that is merely well used captures every day; higher, and
/// what is left is soon too little for symbols (a capture needs memory itself).
pub const DEFAULT_ABOVE: f64 = 0.8;
/// Time between two captures. A capture costs seconds of one core and some MiB of disk, and two profiles of the same five minutes
/// say much the same.
pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);

/// How far above the last captured mark, in percent of the limit, the next one counts. From 80 % on that is at most seven captures
/// until the mark is forgotten; smaller, and a steady climb captures at every end of the cooldown and pushes better evidence out.
const STEP_PERCENT: u64 = 3;
/// A rise since the last attempt, in percent of the limit, that does not wait for the end of the cooldown: at that pace the process
/// may be dead before it. Above 80 % there is room for two of them, so this cannot become a storm.
const JUMP_PERCENT: u64 = 10;
/// Time after which a captured mark is forgotten. Without this the highest peak ever, perhaps one of the start, would be the last
/// evidence of a process that leaks for days; sooner, and a process that sits above the share captures the same over and over.
const MARK_LIFETIME: Duration = Duration::from_secs(3600);

/// What is adjustable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Share of the limit, 0 to 1, from which evidence is captured. Not a number = never.
    pub above: f64,
    /// Shortest time between two captures.
    pub cooldown: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            above: DEFAULT_ABOVE,
            cooldown: DEFAULT_COOLDOWN,
        }
    }
}

/// What is known at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The moment.
    pub now: SystemTime,
    /// Bytes in use, in the terms of the limit: for a cgroup what the kernel counts against it and cannot take back.
    pub used_bytes: u64,
    /// Bytes at which the process is killed. 0 = there is no limit.
    pub limit_bytes: u64,
    /// Bytes that a capture with symbols is expected to need while it lasts.
    pub full_bytes: u64,
    /// Bytes that a capture without symbols is expected to need while it lasts.
    pub cheap_bytes: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    No,
    /// Capture with symbols.
    Full,
    /// Capture without symbols: what is left under the limit does not suffice for them.
    Cheap,
    /// A capture is due, and might itself be what brings the kill. Said at every tick for as long as this is so, since memory may be
    /// given back at any moment.
    Skipped,
}

/// Decides when evidence is captured: at new high-water marks above a share of the limit.
///
/// A mark counts when it is a step of 3 % of the limit above the last one captured; an hour after the first capture the mark is
/// forgotten, and the first moment above the share counts again. Between two attempts lies the cooldown, unless usage has risen by
/// 10 % of the limit since. A rise from below the share to the kill within one tick is never seen.
#[derive(Debug)]
pub struct Watch {
    options: Options,
    mark: Option<Mark>,
    attempt: Option<Attempt>,
}

/// The highest level captured since marks were last forgotten.
#[derive(Debug)]
struct Mark {
    since: SystemTime,
    used_bytes: u64,
}

/// The last capture, whether it succeeded or not.
#[derive(Debug)]
struct Attempt {
    time: SystemTime,
    used_bytes: u64,
}

impl Watch {
    /// A watch that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            mark: None,
            attempt: None,
        }
    }

    /// What to do at this moment. After [`Decision::Full`] and [`Decision::Cheap`] the caller says how it went, with
    /// [`Watch::captured`] or [`Watch::failed`]; until then the answer stays the same, so only one capture may be under way.
    ///
    /// A clock that was set back delays the next capture by the cooldown and an hour at the most, counted from the first tick after.
    #[must_use]
    pub fn decide(&mut self, tick: &Tick) -> Decision {
        let is_old = |mark: &mut Mark| elapsed(&mut mark.since, tick.now) >= MARK_LIFETIME;
        if self.mark.as_mut().is_some_and(is_old) {
            self.mark = None;
        }
        let is_cooling = self.is_cooling(tick);
        if !self.is_above(tick) || !self.is_new_mark(tick) || is_cooling {
            return Decision::No;
        }
        let left = tick.limit_bytes.saturating_sub(tick.used_bytes);
        if left >= tick.full_bytes {
            Decision::Full
        } else if left >= tick.cheap_bytes {
            Decision::Cheap
        } else {
            Decision::Skipped
        }
    }

    /// Evidence of that level, the one that was decided upon, was kept.
    pub fn captured(&mut self, now: SystemTime, used_bytes: u64) {
        let mark = self.mark.get_or_insert(Mark {
            since: now,
            used_bytes,
        });
        mark.used_bytes = mark.used_bytes.max(used_bytes);
        self.failed(now, used_bytes);
    }

    /// Nothing was kept. The level counts as not captured, and the cooldown begins all the same: what failed fails again at the next
    /// tick, and costs memory each time.
    pub fn failed(&mut self, now: SystemTime, used_bytes: u64) {
        self.attempt = Some(Attempt {
            time: now,
            used_bytes,
        });
    }

    // Casts to f64 lose less than a page at any size of memory.
    fn is_above(&self, tick: &Tick) -> bool {
        tick.limit_bytes > 0
            && tick.used_bytes as f64 >= tick.limit_bytes as f64 * self.options.above
    }

    fn is_new_mark(&self, tick: &Tick) -> bool {
        self.mark
            .as_ref()
            .is_none_or(|mark| has_risen(mark.used_bytes, tick, STEP_PERCENT))
    }

    fn is_cooling(&mut self, tick: &Tick) -> bool {
        self.attempt.as_mut().is_some_and(|attempt| {
            elapsed(&mut attempt.time, tick.now) < self.options.cooldown
                && !has_risen(attempt.used_bytes, tick, JUMP_PERCENT)
        })
    }
}

/// Whether usage is so many percent of the limit, and at least a byte, above a level.
fn has_risen(level: u64, tick: &Tick, percent: u64) -> bool {
    let step = tick.limit_bytes.saturating_mul(percent) / 100;
    tick.used_bytes.saturating_sub(level) >= step.max(1)
}

/// Time since then. A past that lies ahead means that the clock was set back: the wait begins anew, instead of lasting until the
/// clock has caught up.
fn elapsed(since: &mut SystemTime, now: SystemTime) -> Duration {
    now.duration_since(*since).unwrap_or_else(|_| {
        *since = now;
        Duration::ZERO
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;
    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn tick(seconds: u64, used_bytes: u64) -> Tick {
        Tick {
            now: at(seconds),
            used_bytes,
            limit_bytes: LIMIT,
            full_bytes: 10,
            cheap_bytes: 5,
        }
    }

    fn decide(watch: &mut Watch, seconds: u64, used_bytes: u64) -> Decision {
        watch.decide(&tick(seconds, used_bytes))
    }

    /// A watch with a cooldown of so many seconds, whose evidence of 800 bytes was kept at second 0.
    fn captured(cooldown: u64) -> Watch {
        let mut watch = Watch::new(Options {
            cooldown: Duration::from_secs(cooldown),
            ..Options::default()
        });
        assert_eq!(decide(&mut watch, 0, 800), Decision::Full);
        watch.captured(at(0), 800);
        watch
    }

    #[test]
    fn the_first_moment_above_the_share_counts() {
        let mut watch = Watch::new(Options::default());
        assert_eq!(decide(&mut watch, 0, 799), Decision::No);
        assert_eq!(decide(&mut watch, 1, 800), Decision::Full);
        assert_eq!(decide(&mut watch, 2, 850), Decision::Full, "not confirmed");
    }

    #[test]
    fn a_share_that_is_no_number_and_a_limit_that_is_none_never_count() {
        let mut watch = Watch::new(Options {
            above: f64::NAN,
            ..Options::default()
        });
        assert_eq!(decide(&mut watch, 0, 980), Decision::No);
        let mut watch = Watch::new(Options::default());
        for limit_bytes in [0, u64::MAX] {
            let tick = Tick {
                limit_bytes,
                ..tick(0, 980)
            };
            assert_eq!(watch.decide(&tick), Decision::No);
        }
    }

    #[test]
    fn each_further_mark_counts_from_a_step_on() {
        let mut watch = captured(0);
        assert_eq!(decide(&mut watch, 1, 829), Decision::No);
        assert_eq!(decide(&mut watch, 2, 830), Decision::Full);
        watch.captured(at(2), 830);
        assert_eq!(decide(&mut watch, 3, 859), Decision::No);
        assert_eq!(decide(&mut watch, 4, 700), Decision::No);
        assert_eq!(decide(&mut watch, 5, 830), Decision::No, "no single edge");
        assert_eq!(decide(&mut watch, 6, 860), Decision::Full);
    }

    #[test]
    fn a_mark_never_falls() {
        let mut watch = captured(0);
        watch.captured(at(1), 900);
        watch.captured(at(2), 850);
        assert_eq!(decide(&mut watch, 3, 900), Decision::No);
        assert_eq!(decide(&mut watch, 4, 930), Decision::Full);
    }

    #[test]
    fn marks_are_forgotten_an_hour_after_the_first_capture() {
        let mut watch = captured(0);
        watch.captured(at(HOUR / 2), 950);
        assert_eq!(decide(&mut watch, HOUR - 1, 810), Decision::No);
        assert_eq!(decide(&mut watch, HOUR, 790), Decision::No);
        assert_eq!(decide(&mut watch, HOUR + 1, 810), Decision::Full);
        watch.captured(at(HOUR + 1), 810);
        assert_eq!(decide(&mut watch, 2 * HOUR, 810), Decision::No);
        assert_eq!(decide(&mut watch, 2 * HOUR + 1, 810), Decision::Full);
    }

    #[test]
    fn captures_are_a_cooldown_apart() {
        let mut watch = captured(300);
        assert_eq!(decide(&mut watch, 299, 850), Decision::No);
        assert_eq!(decide(&mut watch, 300, 850), Decision::Full);
    }

    #[test]
    fn a_cooldown_outlasts_the_mark() {
        let mut watch = captured(2 * HOUR);
        assert_eq!(decide(&mut watch, 2 * HOUR - 1, 850), Decision::No);
        assert_eq!(decide(&mut watch, 2 * HOUR, 850), Decision::Full);
    }

    #[test]
    fn a_jump_does_not_wait() {
        let mut watch = captured(300);
        assert_eq!(decide(&mut watch, 1, 899), Decision::No);
        assert_eq!(decide(&mut watch, 2, 900), Decision::Full);
        watch.captured(at(2), 900);
        assert_eq!(decide(&mut watch, 3, 950), Decision::No);
    }

    #[test]
    fn what_failed_is_tried_again_after_the_cooldown_or_a_jump() {
        let mut watch = Watch::new(Options::default());
        watch.failed(at(0), 800);
        assert_eq!(decide(&mut watch, 1, 850), Decision::No);
        assert_eq!(decide(&mut watch, 2, 900), Decision::Full);
        watch.failed(at(2), 900);
        assert_eq!(decide(&mut watch, 3, 900), Decision::No);
        assert_eq!(decide(&mut watch, 302, 800), Decision::Full, "no mark");
    }

    #[test]
    fn what_is_left_decides_how() {
        let mut watch = Watch::new(Options::default());
        for (used_bytes, decision) in [
            (990, Decision::Full),
            (991, Decision::Cheap),
            (995, Decision::Cheap),
            (996, Decision::Skipped),
            (1001, Decision::Skipped),
            (u64::MAX, Decision::Skipped),
            (990, Decision::Full),
        ] {
            assert_eq!(decide(&mut watch, 0, used_bytes), decision, "{used_bytes}");
        }
        watch.captured(at(0), 990);
        assert_eq!(decide(&mut watch, 1, 996), Decision::No, "not even due");
    }

    #[test]
    fn a_clock_set_back_does_not_block_for_ever() {
        let day = 24 * HOUR;
        let mut watch = Watch::new(Options::default());
        watch.captured(at(day), 800);
        assert_eq!(decide(&mut watch, 0, 850), Decision::No);
        assert_eq!(decide(&mut watch, 299, 850), Decision::No);
        assert_eq!(decide(&mut watch, 300, 850), Decision::Full, "cooldown");
        assert_eq!(decide(&mut watch, HOUR - 1, 810), Decision::No);
        assert_eq!(decide(&mut watch, HOUR, 810), Decision::Full, "mark");
    }

    #[test]
    fn a_clock_set_back_before_the_epoch_or_far_ahead_does_no_harm() {
        let mut watch = captured(300);
        let mut tick = tick(0, 850);
        tick.now = SystemTime::UNIX_EPOCH - Duration::from_secs(1_000_000);
        assert_eq!(watch.decide(&tick), Decision::No);
        assert_eq!(
            decide(&mut watch, 1000 * 365 * 24 * HOUR, 850),
            Decision::Full
        );
    }

    #[test]
    fn extreme_levels_do_not_overflow() {
        let mut watch = Watch::new(Options::default());
        watch.captured(at(0), u64::MAX);
        let tick = Tick {
            limit_bytes: u64::MAX,
            ..tick(1000, u64::MAX)
        };
        assert_eq!(watch.decide(&tick), Decision::No);
    }
}
