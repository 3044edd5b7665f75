//! What looks like a leak for a while and is none. Times are those of the simulated kinds, divided by fifteen.

use std::collections::VecDeque;
use std::hint::black_box;
use std::thread;

use leaks::Kind;

use crate::pace::{Lives, Pace, life};
use crate::{Order, Step};

/// Bytes that a workload holds at most.
const MOST: f64 = 20e6;

/// What a kind does.
pub(crate) fn start(order: &mut Order) -> Step {
    match order.kind {
        Kind::CacheFill => cache_fill(order),
        Kind::Sawtooth => sawtooth(order),
        Kind::PeriodicBatch => periodic_batch(order),
        Kind::Diurnal => diurnal(order),
        Kind::WarmUp => warm_up(order),
        Kind::OneOffLoad => one_off_load(order),
        Kind::PoolGrowth => pool_growth(order),
        Kind::BufferDoubling => buffer_doubling(order),
        Kind::LogBuffers => log_buffers(order),
        Kind::Rehash => rehash(order),
        Kind::SlowDrain => slow_drain(order),
        Kind::ThreadPool => thread_pool(order),
        Kind::RandomWalk => random_walk(order),
        Kind::TwoLevels => two_levels(order),
        kind => unreachable!("{} is no innocent kind of a heap", kind.name()),
    }
}

/// Filled in one to two minutes, ever more slowly in half of the seeds; then the oldest goes for each that comes.
fn cache_fill(order: &mut Order) -> Step {
    let seconds = order.between(60.0, 120.0);
    let exponent = if order.random.bool() { 1.0 } else { 0.6 };
    let capacity = (MOST / 2_048.0) as usize;
    let mut entries: VecDeque<Vec<u8>> = VecDeque::with_capacity(capacity + 1);
    let mut inserted = 0;
    let mut evicting = Pace::from(seconds);
    Box::new(move |now| {
        let filled = (now / seconds).min(1.0).powf(exponent) * capacity as f64;
        let since = evicting.due(now, exponent * capacity as f64 / seconds);
        let due = (filled as usize).saturating_sub(inserted) + since;
        for _ in 0..due {
            if entries.len() == capacity {
                entries.pop_front();
            }
            entries.push_back(vec![1; 2_048]);
        }
        inserted = inserted.max(filled as usize);
    })
}

/// Grows for half a minute and is freed at once.
fn sawtooth(order: &mut Order) -> Step {
    let period = order.between(24.0, 32.0);
    let mut pace = Pace::from(0.0);
    let mut until = order.between(0.0, period);
    let mut kept = Lives::with_room(10_000);
    Box::new(move |now| {
        if now > until {
            kept.clear();
            until += period;
        }
        for _ in 0..pace.due(now, MOST / period / 4_096.0) {
            kept.keep(f64::INFINITY, vec![1; 4_096]);
        }
    })
}

/// Once a minute something is built for some seconds, and freed.
fn periodic_batch(order: &mut Order) -> Step {
    let (period, length) = (order.between(40.0, 70.0), order.between(4.0, 16.0));
    let mut from = 0.7 * period;
    let mut pace = Pace::from(from);
    let mut kept = Lives::with_room(10_000);
    Box::new(move |now| {
        if now > from + length {
            kept.clear();
            from += period;
            pace = Pace::from(from);
        }
        for _ in 0..pace.due(now, MOST / length / 4_096.0) {
            kept.keep(f64::INFINITY, vec![1; 4_096]);
        }
    })
}

/// Sessions of twenty seconds; their number is a sine of sixteen minutes.
fn diurnal(order: &mut Order) -> Step {
    let phase = order.between(0.0, std::f64::consts::TAU);
    let mut random = order.random.fork();
    let mut pace = Pace::from(0.0);
    let mut lives = Lives::with_room(10_000);
    Box::new(move |now| {
        lives.pass(now);
        let level = 1.0 + 0.6 * (phase + std::f64::consts::TAU * now / 960.0).sin();
        for _ in 0..pace.due(now, MOST / 2.0 * level / 20.0 / 4_096.0) {
            lives.keep(now + life(20.0, &mut random), vec![1; 4_096]);
        }
    })
}

/// Growth for ten seconds to three quarters of a minute after the start.
fn warm_up(order: &mut Order) -> Step {
    let length = order.between(8.0, 48.0);
    let mut pace = Pace::from(0.0);
    let mut kept = Vec::with_capacity(10_000);
    Box::new(move |now| {
        for _ in 0..pace.due(now.min(length), MOST / length / 4_096.0) {
            kept.push(vec![1_u8; 4_096]);
        }
    })
}

/// Loaded within some seconds, some time.
fn one_off_load(order: &mut Order) -> Step {
    let (from, length) = (order.between(20.0, 140.0), order.between(1.0, 8.0));
    let mut pace = Pace::from(from);
    let mut kept = Vec::with_capacity(10_000);
    Box::new(move |now| {
        for _ in 0..pace.due(now.min(from + length), MOST / length / 4_096.0) {
            kept.push(vec![1_u8; 4_096]);
        }
    })
}

/// As many objects as were ever in use at once.
fn pool_growth(order: &mut Order) -> Step {
    let mut random = order.random.fork();
    let ceiling = MOST / 32_768.0;
    let mut pool = Vec::with_capacity(ceiling as usize + 1);
    let mut pace = Pace::from(0.0);
    Box::new(move |now| {
        for _ in 0..pace.due(now, 1.0 / 1.33) {
            let used = life(ceiling / 7.0, &mut random).min(ceiling);
            while pool.len() < used as usize {
                pool.push(vec![1_u8; 32_768]);
            }
        }
    })
}

/// One buffer that doubles within some seconds, some time, and stays.
fn buffer_doubling(order: &mut Order) -> Step {
    let from = order.between(10.0, 140.0);
    let mut pace = Pace::from(from);
    let mut buffer: Vec<u8> = Vec::with_capacity(4_096);
    Box::new(move |now| {
        for _ in 0..pace.due(now.min(from + 3.0), 4.0) {
            let capacity = buffer.capacity();
            buffer.resize(capacity + 1, 1);
        }
        black_box(&buffer);
    })
}

/// A ring of 64 buffers that are replaced in turn.
fn log_buffers(order: &mut Order) -> Step {
    let every = order.between(0.1, 2.0);
    let size = order.random.usize(65_536..262_144);
    let mut ring: Vec<Vec<u8>> = Vec::with_capacity(64);
    let mut pace = Pace::from(0.0);
    let mut next = 0;
    Box::new(move |now| {
        for _ in ring.len()..64 {
            ring.push(vec![1; size]);
        }
        for _ in 0..pace.due(now, 1.0 / every) {
            ring[next] = vec![1; size];
            next = (next + 1) % 64;
        }
    })
}

/// A table that is replaced now and then.
fn rehash(order: &mut Order) -> Step {
    let size = order.random.usize(4 << 20..16 << 20);
    let mut random = order.random.fork();
    let mut table = vec![1_u8; size];
    let mut next = 40.0 * random.f64();
    Box::new(move |now| {
        if now > next {
            table = vec![1; size];
            next = now + 40.0 + 80.0 * random.f64();
        }
        black_box(&table);
    })
}

/// Much at once that is freed over minutes.
fn slow_drain(order: &mut Order) -> Step {
    let from = order.between(15.0, 60.0);
    let mut random = order.random.fork();
    let mut pace = Pace::from(from);
    let mut lives = Lives::with_room(10_000);
    Box::new(move |now| {
        lives.pass(now);
        for _ in 0..pace.due(now.min(from + 8.0), 1.5 * MOST / 8.0 / 4_096.0) {
            lives.keep(now + life(50.0, &mut random), vec![1; 4_096]);
        }
    })
}

/// Threads that are started within a quarter of a minute, some time, and stay.
fn thread_pool(order: &mut Order) -> Step {
    let (from, length) = (order.between(5.0, 130.0), order.between(12.0, 20.0));
    let size = order.random.usize(131_072..262_144);
    let mut pace = Pace::from(from);
    Box::new(move |now| {
        for _ in 0..pace.due(now.min(from + length), 64.0 / length) {
            let thread = thread::Builder::new().stack_size(128 << 10);
            let spawned = thread.spawn(move || {
                let buffer = vec![1_u8; size];
                loop {
                    thread::park();
                    black_box(&buffer);
                }
            });
            drop(spawned);
        }
    })
}

/// Sessions whose arrival rate wanders.
fn random_walk(order: &mut Order) -> Step {
    let mean = order.between(8.0, 24.0);
    let mut random = order.random.fork();
    let (mut pace, mut turns) = (Pace::from(0.0), Pace::from(0.0));
    let mut lives = Lives::with_room(10_000);
    let mut state = 0.0;
    Box::new(move |now| {
        lives.pass(now);
        for _ in 0..turns.due(now, 0.5) {
            // Two seconds of half a minute to return; the sum of three uniforms is normal enough.
            let noise = random.f64() + random.f64() + random.f64() - 1.5;
            state = 0.94 * state + 0.34 * 2.0 * noise;
        }
        let level = (0.35_f64 * state).exp();
        for _ in 0..pace.due(now, MOST / 2.0 * level / mean / 4_096.0) {
            lives.keep(now + life(mean, &mut random), vec![1; 4_096]);
        }
    })
}

/// A load that switches between two levels.
fn two_levels(order: &mut Order) -> Step {
    let mean = order.between(4.0, 12.0);
    let mut random = order.random.fork();
    let mut pace = Pace::from(0.0);
    let mut lives = Lives::with_room(10_000);
    let mut is_high = random.bool();
    let mut until = 0.0;
    Box::new(move |now| {
        lives.pass(now);
        if now > until {
            is_high = !is_high;
            until = now + 60.0 + 60.0 * random.f64();
        }
        let level = if is_high { 1.0 } else { 0.3 };
        for _ in 0..pace.due(now, MOST * level / mean / 4_096.0) {
            lives.keep(now + life(mean, &mut random), vec![1; 4_096]);
        }
    })
}
