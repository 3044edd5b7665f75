//! The conversation with the driver: a line `WORKLOAD THREADS UNITS` asks for a round, the answer is the CPU time in nanoseconds of
//! all its threads together. The worker threads live as long as the process, so that a round starts with warm thread caches.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::system::{pin, thread_cpu_time};
use crate::tasks::Tasks;

/// Most threads that a round can have.
const WORKERS: usize = 2;

/// A worker's part of a round.
struct Order {
    workload: String,
    units: u64,
    start: Arc<Barrier>,
}

/// Serves rounds until standard input ends. `around` is called once on each worker and must call its argument, which does all the
/// work: a contender that has a state per thread sets it up there.
pub fn serve(around: impl Fn(&mut dyn FnMut()) + Copy + Send + 'static) {
    let (answer, answers) = channel();
    let workers: Vec<Sender<Order>> = (0..WORKERS)
        .map(|number| {
            let (orders, received) = channel();
            let answer = answer.clone();
            thread::spawn(move || around(&mut || work(number, &received, &answer)));
            orders
        })
        .collect();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[workload, threads, units] = words.as_slice() else {
            panic!("not an order: {line}");
        };
        let threads: usize = threads.parse().expect("a number of threads");
        let units: u64 = units.parse().expect("a number of units");
        let start = Arc::new(Barrier::new(threads));
        for worker in &workers[..threads] {
            let order = Order {
                workload: workload.to_owned(),
                units,
                start: Arc::clone(&start),
            };
            worker.send(order).expect("the worker lives");
        }
        let spent: Duration = answers.iter().take(threads).sum();
        println!("{}", spent.as_nanos());
        io::stdout().flush().expect("the driver listens");
    }
    // Not by returning: a profiler may write a report when it is dropped.
    std::process::exit(0);
}

fn work(number: usize, orders: &Receiver<Order>, answer: &Sender<Duration>) {
    pin(number);
    let mut tasks = Tasks::new(number as u64);
    for order in orders {
        order.start.wait();
        // Another process had this processor until now, so the caches are warmed first.
        tasks.run(&order.workload, order.units / 4);
        let before = thread_cpu_time();
        let known = tasks.run(&order.workload, order.units);
        let spent = thread_cpu_time() - before;
        assert!(known, "no such workload: {}", order.workload);
        answer.send(spent).expect("the main thread lives");
    }
}
