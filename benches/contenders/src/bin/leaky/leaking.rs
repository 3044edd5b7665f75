//! What leaks. Each function starts the leak of a kind, and is its label: what its closures allocate is allocated in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use leaks::Kind;
use memory_exporter::Component;

use crate::pace::{Lives, Pace, life};
use crate::{Label, Order, Step};

static INDEX: Component = Component::new("index");
static QUEUE: Component = Component::new("queue");

/// Debug information names async blocks by their module, and these are the only ones here.
const FORGOTTEN_TASK: &str =
    "leaking::forgotten_task|leaking::{async_block#0}|leaking::{async_block#1}";

/// Two minutes of the usual pace.
const PLATEAU_SECONDS: f64 = 8.0;
/// Half an hour of the usual pace.
const DOUBLING_SECONDS: f64 = 120.0;
/// An hour of the usual pace, after which a rate that doubles is the nominal one.
const NOMINAL_SECONDS: f64 = 240.0;

/// The labels of a kind, and what it does.
pub(crate) fn start(order: &mut Order) -> (Vec<Label>, Step) {
    let onset = match order.kind {
        // A plateau must have been reached before anything can begin behind it.
        Kind::BehindPlateau => order.between(30.0, 75.0),
        _ => order.onset(),
    };
    let rate = order.rate();
    let random = order.random.fork();
    let (function, step) = match order.kind {
        Kind::Steady => ("leaking::steady", steady(onset, rate, random)),
        Kind::UnderChurn => ("leaking::under_churn", under_churn(onset, rate)),
        Kind::UnboundedMap => ("leaking::unbounded_map", unbounded_map(onset, rate)),
        Kind::ChannelBacklog => ("leaking::channel_backlog", channel_backlog(onset, rate)),
        Kind::ArcCycle => ("leaking::arc_cycle", arc_cycle(onset, rate, random)),
        Kind::ForgottenTask => (FORGOTTEN_TASK, forgotten_task(onset, rate)),
        Kind::GrowingVec => ("leaking::growing_vec", growing_vec(onset, rate)),
        Kind::ThreadLeak => ("leaking::thread_leak", thread_leak(onset, rate)),
        Kind::BehindPlateau => ("leaking::behind_plateau", behind_plateau(onset, rate)),
        Kind::Exponential => ("leaking::exponential", exponential(onset, rate)),
        Kind::Bursty => ("leaking::bursty", bursty(onset, rate, random)),
        Kind::PartialLeak => ("leaking::partial_leak", partial_leak(onset, rate, random)),
        Kind::HugeBlocks => ("leaking::huge_blocks", huge_blocks(onset, rate, random)),
        Kind::TwoLeaks => return two_leaks(onset, order),
        kind => unreachable!("{} leaks not", kind.name()),
    };
    let label = Label {
        onset,
        megabytes_per_hour: order.megabytes_per_hour,
        function,
    };
    (vec![label], step)
}

/// Small blocks that are forgotten, beside three times as many that are not.
fn steady(onset: f64, rate: f64, mut random: fastrand::Rng) -> Step {
    let size = random.usize(128..4_096);
    let (mut lost, mut healthy) = (Pace::from(onset), Pace::from(0.0));
    Box::new(move |now| {
        let lost = lost.due(now, rate / size as f64);
        let healthy = healthy.due(now, 3.0 * rate / size as f64);
        for number in 0..lost + healthy {
            let block = black_box(vec![1_u8; size]);
            if number < lost {
                std::mem::forget(block);
            }
        }
    })
}

/// One block stays of very many that are taken and given back at the same line.
fn under_churn(onset: f64, rate: f64) -> Step {
    let (mut lost, mut churn) = (Pace::from(onset), Pace::from(0.0));
    let mut young = Lives::with_room(20_000);
    Box::new(move |now| {
        young.pass(now);
        let lost = lost.due(now, rate / 8_192.0);
        let all = lost + churn.due(now, 6e6 / 8_192.0);
        for number in 0..all {
            let until = if number < lost {
                f64::INFINITY
            } else {
                now + 0.2
            };
            young.keep(until, vec![1; 8_192]);
        }
    })
}

/// Keys, values, and a table that doubles.
fn unbounded_map(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    let mut users: HashMap<String, Vec<u8>> = HashMap::new();
    let mut number = 0_u64;
    Box::new(move |now| {
        for _ in 0..pace.due(now, rate / 700.0) {
            number += 1;
            users.insert(format!("user {number:032}"), vec![1; 600]);
        }
    })
}

/// Messages that come faster than they are taken.
fn channel_backlog(onset: f64, rate: f64) -> Step {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let (mut produced, mut kept_back) = (Pace::from(0.0), Pace::from(onset));
    let mut waiting = 0;
    Box::new(move |now| {
        for _ in 0..produced.due(now, 3.0 * rate / 2_048.0) {
            sender.send(vec![1; 2_048]).expect("somebody listens");
            waiting += 1;
        }
        // Before the onset the queue is emptied; from then on ever more stays in it.
        let taken = waiting - kept_back.due(now, rate / 2_048.0).min(waiting);
        for message in receiver.try_iter().take(taken) {
            black_box(message);
        }
        waiting = 0;
    })
}

/// Nodes that hold each other.
fn arc_cycle(onset: f64, rate: f64, mut random: fastrand::Rng) -> Step {
    struct Node {
        _text: Vec<u8>,
        other: RefCell<Option<Rc<Node>>>,
    }
    let (parent_size, child_size) = (random.usize(512..8_192), random.usize(64..512));
    let each = (parent_size + child_size + 2 * size_of::<Node>()) as f64;
    let mut pace = Pace::from(onset);
    Box::new(move |now| {
        for _ in 0..pace.due(now, rate / each) {
            let parent = Rc::new(Node {
                _text: vec![1; parent_size],
                other: RefCell::default(),
            });
            let child = Rc::new(Node {
                _text: vec![1; child_size],
                other: RefCell::new(Some(Rc::clone(&parent))),
            });
            *parent.other.borrow_mut() = Some(child);
        }
    })
}

/// Tasks that wait for ever, beside four times as many that end.
fn forgotten_task(onset: f64, rate: f64) -> Step {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (mut lost, mut healthy) = (Pace::from(onset), Pace::from(0.0));
    Box::new(move |now| {
        let lost = lost.due(now, rate / 9_000.0);
        let healthy = healthy.due(now, 4.0 * rate / 9_000.0);
        runtime.block_on(async {
            for number in 0..lost + healthy {
                let is_lost = number < lost;
                tokio::spawn(async move {
                    let buffer = vec![1_u8; 8_192];
                    if is_lost {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    black_box(buffer);
                });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
    })
}

/// One vector that doubles.
fn growing_vec(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    let mut log: Vec<u64> = Vec::with_capacity(4_096);
    Box::new(move |now| {
        for _ in 0..pace.due(now, rate / 8.0) {
            log.push(now.to_bits());
        }
    })
}

/// Threads that never end.
fn thread_leak(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    Box::new(move |now| {
        for _ in 0..pace.due(now, rate / 262_144.0) {
            let thread = thread::Builder::new().stack_size(128 << 10);
            let spawned = thread.spawn(|| {
                let buffer = vec![1_u8; 262_144];
                loop {
                    thread::park();
                    black_box(&buffer);
                }
            });
            drop(spawned);
        }
    })
}

/// Thirty megabytes at the start; later the same line leaks.
fn behind_plateau(onset: f64, rate: f64) -> Step {
    let (mut load, mut lost) = (Pace::from(0.0), Pace::from(onset));
    let mut kept = Vec::with_capacity(40_000);
    Box::new(move |now| {
        let loaded = if now < PLATEAU_SECONDS {
            load.due(now, 30e6 / 4_096.0 / PLATEAU_SECONDS)
        } else {
            0
        };
        for _ in 0..loaded + lost.due(now, rate / 4_096.0) {
            kept.push(vec![1_u8; 4_096]);
        }
    })
}

/// A rate that doubles.
fn exponential(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    let mut kept = Vec::with_capacity(40_000);
    Box::new(move |now| {
        let doublings = (now - onset - NOMINAL_SECONDS) / DOUBLING_SECONDS;
        for _ in 0..pace.due(now, rate * doublings.exp2() / 2_048.0) {
            kept.push(vec![1_u8; 2_048]);
        }
    })
}

/// Bursts of a few seconds, half a minute to a minute apart.
fn bursty(onset: f64, rate: f64, mut random: fastrand::Rng) -> Step {
    let mut from = onset + 15.0 * random.f64();
    let mut length = 1.0 + 3.0 * random.f64();
    let mut pace = Pace::from(from);
    let mut kept = Vec::with_capacity(40_000);
    Box::new(move |now| {
        let to = from + length;
        for _ in 0..pace.due(now.min(to), rate * 46.0 / length / 1_024.0) {
            kept.push(vec![1_u8; 1_024]);
        }
        if now >= to {
            from = to + 32.0 + 28.0 * random.f64();
            length = 1.0 + 3.0 * random.f64();
            pace = Pace::from(from);
        }
    })
}

/// Sessions, of which one in five stays.
fn partial_leak(onset: f64, rate: f64, mut random: fastrand::Rng) -> Step {
    let mean = 8.0 + 12.0 * random.f64();
    let mut pace = Pace::from(0.0);
    let mut lives = Lives::with_room(60_000);
    Box::new(move |now| {
        lives.pass(now);
        for _ in 0..pace.due(now, 5.0 * rate / 4_096.0) {
            let is_lost = now >= onset && random.u8(0..5) == 0;
            let until = if is_lost {
                f64::INFINITY
            } else {
                now + life(mean, &mut random)
            };
            lives.keep(until, vec![1; 4_096]);
        }
    })
}

/// Blocks that are many times as large as the sampling interval, now and then.
fn huge_blocks(onset: f64, rate: f64, mut random: fastrand::Rng) -> Step {
    let mut pace = Pace::from(onset);
    let mut kept = Vec::with_capacity(1_000);
    Box::new(move |now| {
        for _ in 0..pace.due(now, rate / 786_432.0) {
            kept.push(vec![1_u8; random.usize(524_288..1_048_576)]);
        }
    })
}

/// Two leaks of two components, the second slower and whenever it likes.
fn two_leaks(onset: f64, order: &mut Order) -> (Vec<Label>, Step) {
    let (rate, second) = (order.rate(), order.onset());
    let mut first_step = first_of_two(onset, rate);
    let mut second_step = second_of_two(second, 0.6 * rate);
    let labels = vec![
        Label {
            onset,
            megabytes_per_hour: order.megabytes_per_hour,
            function: "leaking::first_of_two",
        },
        Label {
            onset: second,
            megabytes_per_hour: 0.6 * order.megabytes_per_hour,
            function: "leaking::second_of_two",
        },
    ];
    let step = move |now| {
        first_step(now);
        second_step(now);
    };
    (labels, Box::new(step))
}

fn first_of_two(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    let mut kept = Vec::with_capacity(40_000);
    Box::new(move |now| {
        let _scope = INDEX.enter();
        for _ in 0..pace.due(now, rate / 1_500.0) {
            kept.push(vec![1_u8; 1_500]);
        }
    })
}

fn second_of_two(onset: f64, rate: f64) -> Step {
    let mut pace = Pace::from(onset);
    Box::new(move |now| {
        let _scope = QUEUE.enter();
        for _ in 0..pace.due(now, rate / 300.0) {
            Box::leak(Box::new([1_u8; 300]));
        }
    })
}
