//! The service around: threads that churn, data loaded at the start, a cache, sessions, something gathered and sent away.

use std::collections::VecDeque;
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use memory_exporter::Component;

use crate::pace::{Lives, Pace, life};
use crate::{Order, Step};

static CACHE: Component = Component::new("cache");
static HTTP: Component = Component::new("http");
static SESSIONS: Component = Component::new("sessions");

/// Threads that handle requests.
const THREADS: u64 = 3;
/// Entries of the cache.
const ENTRIES: usize = 1_000;

/// Starts the threads, and says what the main thread has to do.
pub(crate) fn start(order: &mut Order) -> Step {
    for _ in 0..THREADS {
        let mut random = order.random.fork();
        thread::spawn(move || {
            let _scope = HTTP.enter();
            loop {
                requests(&mut random);
                thread::sleep(Duration::from_millis(60));
            }
        });
    }
    let mut load = load(order);
    let mut cache = cache(order);
    let mut sessions = sessions(order);
    let mut gather = gather(order);
    Box::new(move |now| {
        load(now);
        cache(now);
        sessions(now);
        gather(now);
    })
}

/// Takes buffers and headers and gives them back.
fn requests(random: &mut fastrand::Rng) {
    for number in 0..4 {
        let buffer = vec![1_u8; random.usize(1..16) << 10];
        let headers: Vec<String> = (0..8).map(|field| format!("x-{number}-{field}")).collect();
        black_box((buffer, headers));
    }
}

/// Five megabytes in the first seconds, that stay.
fn load(order: &mut Order) -> Step {
    let mut pace = Pace::from(0.0);
    let length = order.between(3.0, 8.0);
    let mut tables: Vec<Vec<u8>> = Vec::with_capacity(2_000);
    Box::new(move |now| {
        if now < length {
            for _ in 0..pace.due(now, 1_200.0 / length) {
                tables.push(vec![1; 4 << 10]);
            }
        }
    })
}

/// Full in some seconds, from then on the oldest goes for each that comes.
fn cache(order: &mut Order) -> Step {
    let seconds = order.between(4.0, 15.0);
    let mut random = order.random.fork();
    let mut pace = Pace::from(0.0);
    let mut entries: VecDeque<(String, Vec<u8>)> = VecDeque::with_capacity(ENTRIES + 1);
    let mut number = 0;
    Box::new(move |now| {
        let _scope = CACHE.enter();
        for _ in 0..pace.due(now, ENTRIES as f64 / seconds) {
            number += 1;
            entries.push_back((format!("entry {number}"), vec![1; random.usize(512..8_192)]));
            if entries.len() > ENTRIES {
                entries.pop_front();
            }
        }
    })
}

/// Sessions at a steady level.
fn sessions(order: &mut Order) -> Step {
    let mean = order.between(4.0, 20.0);
    let mut random = order.random.fork();
    let mut pace = Pace::from(0.0);
    let mut lives = Lives::with_room(4_000);
    Box::new(move |now| {
        let _scope = SESSIONS.enter();
        lives.pass(now);
        for _ in 0..pace.due(now, 1_000.0 / mean) {
            lives.keep(now + life(mean, &mut random), vec![1; 3_000]);
        }
    })
}

/// Up to two megabytes that are sent away every few seconds.
fn gather(order: &mut Order) -> Step {
    let period = order.between(3.0, 15.0);
    let mut pace = Pace::from(0.0);
    let mut until = period;
    let mut lives = Lives::with_room(1_000);
    Box::new(move |now| {
        if now > until {
            lives.clear();
            until += period;
        }
        for _ in 0..pace.due(now, 500.0 / period) {
            lives.keep(f64::INFINITY, vec![1; 4 << 10]);
        }
    })
}
