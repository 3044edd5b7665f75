//! The innocent service in whose midst every workload runs: 20 to 60 sites that hold 20 to 400 MB.

use crate::plan::{MEGABYTE, MINUTE, Plan};
use crate::random::Random;
use crate::source::{Block, Segment};

/// Sites that plan themselves, besides the small ones.
const NAMED: u32 = 13;

/// Adds the background to a plan.
pub(crate) fn plan(plan: &mut Plan, random: &mut Random) {
    // Half of the seeds allocate a gigabyte a minute, a quarter hardly anything.
    let gigabytes_per_minute = match random.count(0, 3) {
        0 => random.log_between(0.005, 0.1),
        1 => random.log_between(0.1, 1.0),
        _ => 1.0,
    };
    let turnover = gigabytes_per_minute * 1000.0 * MEGABYTE / MINUTE;
    plan.resident.turnover = turnover;
    plan.resident.fragmentation = random.between(0.03, 0.25);
    let load = Load::new(plan.end, random);
    churn(plan, turnover, &load, random);

    let total = random.log_between(20.0, 400.0) * MEGABYTE;
    let loaded = random.between(0.3, 0.6);
    let cached = random.between(0.15, 0.3);
    let sessions = random.between(0.05, 0.2);
    start_data(plan, total * loaded, random);
    cache(plan, total * cached, random);
    session_store(plan, total * sessions, &load, random);
    buffers(plan, turnover, &load, random);
    sawtooth(plan, (total * 0.05).min(5.0 * MEGABYTE), random);

    let rest = total * (1.0 - loaded - cached - sessions - 0.05).max(0.02);
    let small = random.count(20, 60) - NAMED;
    for _ in 0..small {
        // Half of them keep what they allocate.
        if random.chance(0.5) {
            few_samples(plan, 2.0 * rest / f64::from(small), random);
        } else {
            now_and_then(plan, random);
        }
    }
}

/// How busy the service is: one number that all requests follow. Half of the seeds are as busy all the time, in the others the load
/// wanders by some percent.
struct Load {
    /// Multiples of the mean, one for each minute.
    minutes: Vec<f64>,
}

impl Load {
    fn new(end: f64, random: &mut Random) -> Self {
        let wanders = random.chance(0.5);
        let deviation = if wanders {
            random.between(0.03, 0.15)
        } else {
            0.0
        };
        let memory = random.between(5.0, 30.0) * MINUTE;
        let kept = (-MINUTE / memory).exp();
        let mut state = random.normal();
        let mut minutes = Vec::new();
        while minutes.len() as f64 * MINUTE < end {
            minutes.push((1.0 + deviation * state).max(0.2));
            state = kept * state + (1.0 - kept * kept).sqrt() * random.normal();
        }
        Self { minutes }
    }

    /// Allocations at this mean rate.
    fn segments(&self, rate: f64) -> Vec<Segment> {
        let minute = |(number, load): (usize, &f64)| {
            let from = number as f64 * MINUTE;
            Segment::kept(from, from + MINUTE, rate * load)
        };
        self.minutes.iter().enumerate().map(minute).collect()
    }
}

/// What is allocated and freed: three sites, whose lives are of milliseconds, of hundreds of them, and of seconds.
fn churn(plan: &mut Plan, turnover: f64, load: &Load, random: &mut Random) {
    for (least, most) in [(0.001, 0.02), (0.05, 0.5), (1.0, 5.0)] {
        let site = plan.site(random);
        plan.exponential(
            site,
            random.block_size(),
            random.log_between(least, most),
            load.segments(turnover / 3.0),
        );
    }
}

/// What is loaded within the first minutes and stays: configuration, tables, models. Three sites.
fn start_data(plan: &mut Plan, bytes: f64, random: &mut Random) {
    for share in [0.5, 0.3, 0.2] {
        let site = plan.site(random);
        let from = random.between(0.0, 0.3 * MINUTE);
        let to = random.between(MINUTE, 3.0 * MINUTE);
        plan.scheduled(
            site,
            random.block_size(),
            vec![Segment::kept(from, to, bytes * share / (to - from))],
        );
    }
}

/// A bounded LRU that is full within minutes, and from then on evicts the oldest at each insert. Two sites: key and value.
fn cache(plan: &mut Plan, bytes: f64, random: &mut Random) {
    let life = random.between(MINUTE, 5.0 * MINUTE);
    let value = random.log_between(256.0, 32_768.0);
    let key = random.between(24.0, 96.0);
    for size in [key, value] {
        let site = plan.site(random);
        let rate = bytes * size / (key + value) / life;
        plan.scheduled(
            site,
            size,
            vec![Segment::for_each(0.0, plan.end, rate, life)],
        );
    }
}

/// Sessions at a steady level. Two sites.
fn session_store(plan: &mut Plan, bytes: f64, load: &Load, random: &mut Random) {
    for share in [0.7, 0.3] {
        let life = random.between(MINUTE, 6.0 * MINUTE);
        let site = plan.site(random);
        plan.exponential(
            site,
            random.log_between(128.0, 16_384.0),
            life,
            load.segments(bytes * share / life),
        );
    }
}

/// Buffers of requests, of several sizes. Two sites.
fn buffers(plan: &mut Plan, turnover: f64, load: &Load, random: &mut Random) {
    for _ in 0..2 {
        let site = plan.site(random);
        for size in [4096.0, 16_384.0, 65_536.0] {
            plan.exponential(
                site,
                size,
                random.log_between(0.05, 2.0),
                load.segments(turnover * random.between(0.01, 0.05)),
            );
        }
    }
}

/// Something small that is gathered and sent away.
fn sawtooth(plan: &mut Plan, bytes: f64, random: &mut Random) {
    let site = plan.site(random);
    let period = random.between(0.5 * MINUTE, 5.0 * MINUTE);
    let size = random.log_between(64.0, 4096.0);
    let segments = teeth(plan.end, period, bytes, random);
    plan.scheduled(site, size, segments);
}

/// Growth to so many bytes each period, at whose end all is freed.
pub(crate) fn teeth(end: f64, period: f64, bytes: f64, random: &mut Random) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut from = 0.0;
    let mut to = period * random.unit();
    while from < end {
        segments.push(Segment::until(from, to, bytes / period, to));
        from = to;
        to += period * random.between(0.98, 1.02);
    }
    segments
}

/// A site of which a sample or two are ever seen: set up at the start, or when something is first asked for.
fn few_samples(plan: &mut Plan, bytes: f64, random: &mut Random) {
    let site = plan.site(random);
    let late = random.chance(0.2);
    let birth = if late {
        random.between(0.0, plan.end)
    } else {
        random.exponential(20.0)
    };
    let pieces = random.count(1, 8);
    let bytes = if late {
        bytes.min(4.0 * MEGABYTE)
    } else {
        bytes
    };
    let size = (bytes * random.between(0.5, 1.5) / f64::from(pieces)).clamp(64.0, 4.0 * MEGABYTE);
    let blocks = (0..pieces)
        .map(|_| Block {
            birth: birth + random.exponential(5.0),
            death: f64::INFINITY,
            size,
        })
        .collect();
    plan.blocks(site, blocks);
}

/// A site that allocates a few megabytes in all of the run, and frees them within a minute.
fn now_and_then(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let bytes = random.log_between(1.0, 10.0) * MEGABYTE;
    plan.steady(
        site,
        random.block_size(),
        random.log_between(0.01, 60.0),
        bytes / plan.end,
    );
}
