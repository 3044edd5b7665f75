//! The innocent kinds: what looks like a leak for a while, and is none.
//!
//! Some cannot be told from a leak for a while, by nobody, as not one of their blocks has been freed yet: a cache until it is full (15 to
//! 90 minutes; in one seed of three it grows in a straight line), a sawtooth of 30 minutes until its first fall, the first batch until
//! its end, a load, a pool of threads and a warm-up until they stop. Whoever names them meanwhile is right to suspect them, but must
//! take it back. Others give themselves away by the ages of their blocks: sessions are freed after minutes, however their number grows.

use crate::background::teeth;
use crate::kind::Kind;
use crate::plan::{MEGABYTE, MEGABYTE_PER_HOUR, MINUTE, Plan};
use crate::random::Random;
use crate::resident::Rise;
use crate::samples::Sampling;
use crate::source::{Block, Cache, Segment};

/// Adds an innocent workload to a plan.
pub(crate) fn plan(plan: &mut Plan, kind: Kind, random: &mut Random) {
    match kind {
        Kind::CacheFill => cache_fill(plan, random),
        Kind::Sawtooth => sawtooth(plan, random),
        Kind::PeriodicBatch => periodic_batch(plan, random),
        Kind::Diurnal => diurnal(plan, random),
        Kind::WarmUp => warm_up(plan, random),
        Kind::OneOffLoad => one_off_load(plan, random),
        Kind::PoolGrowth => pool_growth(plan, random),
        Kind::BufferDoubling => buffer_doubling(plan, random),
        Kind::LogBuffers => log_buffers(plan, random),
        Kind::Rehash => rehash(plan, random),
        Kind::SlowDrain => slow_drain(plan, random),
        Kind::ThreadPool => thread_pool(plan, random),
        Kind::Fragmentation => fragmentation(plan, random),
        Kind::PageCache => page_cache(plan, random),
        Kind::RandomWalk => random_walk(plan, random),
        Kind::TwoLevels => two_levels(plan, random),
        _ => {}
    }
}

/// 20 to 300 MB within 15 to 90 minutes; in two of three seeds ever more slowly, as fewer keys are new.
fn cache_fill(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let size = random.log_between(256.0, 65_536.0);
    let capacity = random.log_between(20.0, 300.0) * MEGABYTE;
    let full = random.between(15.0, 90.0) * MINUTE;
    if random.count(0, 2) == 0 {
        plan.scheduled(
            site,
            size,
            vec![Segment::for_each(0.0, plan.end, capacity / full, full)],
        );
    } else {
        let exponent = random.between(0.3, 0.8);
        let sampling = Sampling::new(size, plan.interval);
        plan.source(
            site,
            Cache {
                sampling,
                capacity,
                full,
                exponent,
            },
        );
    }
}

/// 20 to 200 MB each 1, 7 or 30 minutes.
fn sawtooth(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let period = [1.0, 7.0, 30.0][random.index(3)] * random.between(0.9, 1.1) * MINUTE;
    let bytes = random.log_between(20.0, 200.0) * MEGABYTE;
    let segments = teeth(plan.end, period, bytes, random);
    plan.scheduled(site, random.block_size(), segments);
}

/// Each 10 to 40 minutes 20 to 100 MB that are built within 1 to 6 minutes and freed at the end. Two sites.
fn periodic_batch(plan: &mut Plan, random: &mut Random) {
    let period = random.between(10.0, 40.0) * MINUTE;
    let length = random.between(1.0, 6.0) * MINUTE;
    let bytes = random.between(20.0, 100.0) * MEGABYTE;
    for share in [0.7, 0.3] {
        let site = plan.site(random);
        let mut segments = Vec::new();
        let mut from = period * 0.7;
        while from < plan.end {
            segments.push(Segment::until(
                from,
                from + length,
                bytes * share / length,
                from + length,
            ));
            from += period;
        }
        plan.scheduled(site, random.block_size(), segments);
    }
}

/// Sessions of five minutes; their number is a sine of four hours.
fn diurnal(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let life = 5.0 * MINUTE;
    let level = random.log_between(20.0, 150.0) * MEGABYTE;
    let swing = random.between(0.3, 0.9);
    let phase = random.between(0.0, std::f64::consts::TAU);
    let rate = |time: f64| {
        level / life
            * (1.0 + swing * (phase + std::f64::consts::TAU * time / (240.0 * MINUTE)).sin())
    };
    let segments = pieces(plan.end, rate);
    plan.exponential(site, random.log_between(256.0, 65_536.0), life, segments);
}

/// Growth for 2 to 12 minutes, in half of the seeds towards a ceiling, otherwise in a straight line.
fn warm_up(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let length = random.between(2.0, 12.0) * MINUTE;
    let bytes = random.log_between(20.0, 200.0) * MEGABYTE;
    let straight = random.chance(0.5);
    let steps = 24;
    let step = length / f64::from(steps);
    let segments = (0..steps).map(|number| {
        let from = f64::from(number) * step;
        let rate = if straight {
            bytes / length
        } else {
            // Four time constants: 98 % of the ceiling.
            let left = |time: f64| (-4.0 * time / length).exp();
            bytes * (left(from) - left(from + step)) / step
        };
        Segment::kept(from, from + step, rate)
    });
    let segments = segments.collect();
    plan.scheduled(site, random.block_size(), segments);
}

/// 50 to 200 MB within 10 to 120 seconds, some time.
fn one_off_load(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let from = random.between(5.0 * MINUTE, plan.end * 0.9);
    let length = random.between(10.0, 120.0);
    let bytes = random.log_between(50.0, 200.0) * MEGABYTE;
    plan.scheduled(
        site,
        random.block_size(),
        vec![Segment::kept(from, from + length, bytes / length)],
    );
}

/// Objects that are made when all others are in use: their number is the greatest concurrent use so far, up to a ceiling.
fn pool_growth(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let ceiling = random.log_between(20.0, 150.0) * MEGABYTE;
    let size = random.log_between(16_384.0, 262_144.0);
    // Peaks of use are exponential, so that the greatest of n grows as the logarithm of n: after four hours it would be about seven
    // times the mean of them.
    let scale = ceiling / random.between(5.0, 9.0);
    let mut most = 0.0_f64;
    let mut segments = Vec::new();
    let mut from = 0.0;
    while from < plan.end {
        let to = from + 20.0;
        let used = random.exponential(scale).min(ceiling);
        if used > most {
            segments.push(Segment::kept(from, to, (used - most) / 20.0));
            most = used;
        }
        from = to;
    }
    plan.scheduled(site, size, segments);
}

/// A buffer that doubles from 4 KiB to 16 to 64 MiB within a minute, and stays. One at any time; in half of the seeds a second one.
fn buffer_doubling(plan: &mut Plan, random: &mut Random) {
    for _ in 0..random.count(1, 2) {
        let site = plan.site(random);
        let mut birth = random.between(MINUTE, plan.end * 0.9);
        let doublings = random.count(12, 14);
        let step = random.between(20.0, 60.0) / f64::from(doublings);
        let mut blocks = Vec::new();
        for number in 0..=doublings {
            let death = if number == doublings {
                f64::INFINITY
            } else {
                birth + step
            };
            blocks.push(Block {
                birth,
                death,
                size: 4096.0 * f64::from(number).exp2(),
            });
            birth += step;
        }
        plan.blocks(site, blocks);
    }
}

/// A ring of 64 buffers, of which one after the other is replaced.
fn log_buffers(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let size = random.log_between(65_536.0, 1_048_576.0);
    let every = random.log_between(1.0, 30.0);
    let mut blocks: Vec<Block> = (0..64)
        .map(|number| Block {
            birth: 0.5,
            death: f64::from(number + 1) * every,
            size,
        })
        .collect();
    let mut birth = every;
    while birth < plan.end {
        blocks.push(Block {
            birth,
            death: birth + 64.0 * every,
            size,
        });
        birth += every;
    }
    plan.blocks(site, blocks);
}

/// A table of 4 to 64 MiB that is replaced each 10 to 60 minutes.
fn rehash(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let size = random.log_between(4.0, 64.0) * 1_048_576.0;
    let mut birth = random.between(1.0, MINUTE);
    let mut blocks = Vec::new();
    while birth < plan.end {
        let next = birth + random.between(10.0, 60.0) * MINUTE;
        // Both live while the entries move.
        blocks.push(Block {
            birth,
            death: next + random.between(0.1, 2.0),
            size,
        });
        birth = next;
    }
    plan.blocks(site, blocks);
}

/// 100 to 200 MB in two minutes, freed exponentially over 30 to 60 minutes.
fn slow_drain(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let from = random.between(5.0 * MINUTE, plan.end * 0.7);
    let length = 2.0 * MINUTE;
    let bytes = random.between(100.0, 200.0) * MEGABYTE;
    // After three mean lives 95 % are gone.
    let life = random.between(30.0, 60.0) * MINUTE / 3.0;
    plan.exponential(
        site,
        random.block_size(),
        life,
        vec![Segment::kept(from, from + length, bytes / length)],
    );
}

/// 32 to 256 threads with 128 to 512 KiB each, started within 3 to 5 minutes at any time.
fn thread_pool(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let from = random.between(0.0, plan.end * 0.9);
    let length = random.between(3.0, 5.0) * MINUTE;
    let size = random.log_between(131_072.0, 524_288.0);
    let threads = random.count(32, 256);
    let blocks = (0..threads).map(|_| Block {
        birth: from + length * random.unit(),
        death: f64::INFINITY,
        size,
    });
    let blocks = blocks.collect();
    plan.blocks(site, blocks);
}

/// The resident set grows by 50 to 120 % of the heap; the heap does not.
fn fragmentation(plan: &mut Plan, random: &mut Random) {
    let from = random.between(0.0, 60.0) * MINUTE;
    let ceiling = random.between(0.5, 1.2);
    let length = random.between(60.0, 240.0) * MINUTE;
    plan.resident.fragmenting = Rise {
        from,
        rate: ceiling / length,
        ceiling,
    };
}

/// The resident set grows by pages of files.
fn page_cache(plan: &mut Plan, random: &mut Random) {
    let from = random.between(0.0, 60.0) * MINUTE;
    let rate = random.log_between(50.0, 1000.0) * MEGABYTE_PER_HOUR;
    plan.resident.files = Rise {
        from,
        rate,
        ceiling: random.log_between(200.0, 2000.0) * MEGABYTE,
    };
}

/// Sessions whose arrival rate wanders, and returns to its mean within a quarter of an hour to an hour.
fn random_walk(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let life = random.between(2.0, 6.0) * MINUTE;
    let level = random.log_between(20.0, 150.0) * MEGABYTE;
    let memory = random.between(15.0, 60.0) * MINUTE;
    let deviation = random.between(0.2, 0.5);
    let kept = (-30.0 / memory).exp();
    let mut state = random.normal();
    let rate = |_: f64| {
        state = kept * state + (1.0 - kept * kept).sqrt() * random.normal();
        // The mean of the logarithmic normal is corrected, so that the level is the mean one.
        level / life * (deviation * state - deviation * deviation / 2.0).exp()
    };
    let segments = pieces(plan.end, rate);
    plan.exponential(site, random.log_between(256.0, 65_536.0), life, segments);
}

/// A load that switches between two levels each 20 to 60 minutes.
fn two_levels(plan: &mut Plan, random: &mut Random) {
    let site = plan.site(random);
    let life = random.between(1.0, 3.0) * MINUTE;
    let high = random.log_between(30.0, 200.0) * MEGABYTE / life;
    let low = high * random.between(0.1, 0.6);
    let mut is_high = random.chance(0.5);
    let mut from = 0.0;
    let mut segments = Vec::new();
    while from < plan.end {
        let to = from + random.between(20.0, 60.0) * MINUTE;
        segments.push(Segment::kept(from, to, if is_high { high } else { low }));
        is_high = !is_high;
        from = to;
    }
    plan.exponential(site, random.log_between(256.0, 65_536.0), life, segments);
}

/// Segments of half a minute with the rate at their middle.
fn pieces(end: f64, mut rate: impl FnMut(f64) -> f64) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut from = 0.0;
    while from < end {
        segments.push(Segment::kept(from, from + 30.0, rate(from + 15.0)));
        from += 30.0;
    }
    segments
}
