//! A small service with our allocator and an exporter, that behaves as one of the kinds of `leaks`, fifteen times as fast.
//!
//! Arguments: the kind, the rate of its leak in megabytes per hour as it would be at the usual pace, a seed. Prints its address, one
//! line `leak SECONDS RATE FUNCTIONS` for each true leak, and `ready`; ends when its input does.
//!
//! | file | holds |
//! |---|---|
//! | `background.rs` | the service around |
//! | `leaking.rs` | what leaks; the functions are the labels |
//! | `innocent.rs` | what only looks like it |
//! | `pace.rs` | how many blocks are due, and how long they live |

mod background;
mod innocent;
mod leaking;
mod pace;

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use leaks::Kind;
use memory_exporter::{Config, Exporter};

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

/// All times of the usual pace are divided by this.
const COMPRESSION: f64 = 15.0;
/// Between two steps.
const STEP: Duration = Duration::from_millis(50);
/// Bytes between two samples.
const SAMPLE_INTERVAL: u64 = 64 << 10;

/// What a part of the service does in the time up to now, which is in seconds since the start.
type Step = Box<dyn FnMut(f64)>;

/// A true leak: when it begins, in seconds since the start, its rate at the usual pace in megabytes per hour, and its function, or
/// the names of it with `|` between.
struct Label {
    onset: f64,
    megabytes_per_hour: f64,
    function: &'static str,
}

/// What shall be done.
struct Order {
    kind: Kind,
    megabytes_per_hour: f64,
    random: fastrand::Rng,
}

impl Order {
    /// Bytes per second at the pace of this program.
    fn rate(&self) -> f64 {
        self.megabytes_per_hour * 1e6 / 3600.0 * COMPRESSION
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random.f64()
    }

    /// When a leak begins: with the process in a third of the seeds, else in the second half minute or the third.
    fn onset(&mut self) -> f64 {
        let later = self.between(30.0, 75.0);
        if self.random.u8(0..3) == 0 {
            0.0
        } else {
            later
        }
    }
}

fn main() {
    let mut order = order().expect("a kind, a rate and a seed");
    let exporter = Exporter::start(config()).expect("the exporter starts");
    thread::spawn(|| {
        // The end of its input is the sign for it to end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let start = Instant::now();
    let mut background = background::start(&mut order);
    let (labels, mut step) = if order.kind.is_leak() {
        leaking::start(&mut order)
    } else {
        (Vec::new(), innocent::start(&mut order))
    };
    println!("{}", exporter.addresses()[0]);
    for label in labels {
        println!(
            "leak {} {} {}",
            label.onset, label.megabytes_per_hour, label.function
        );
    }
    println!("ready");
    loop {
        let now = start.elapsed().as_secs_f64();
        background(now);
        step(now);
        thread::sleep(STEP);
    }
}

fn order() -> Option<Order> {
    let mut words = std::env::args().skip(1);
    let kind = Kind::named(&words.next()?)?;
    let megabytes_per_hour = words.next()?.parse().ok()?;
    let seed: u64 = words.next()?.parse().ok()?;
    // Kinds of one seed shall not do the same at the same time.
    let seed = seed.wrapping_mul(1000).wrapping_add(kind as u64);
    Some(Order {
        kind,
        megabytes_per_hour,
        random: fastrand::Rng::with_seed(seed),
    })
}

fn config() -> Config {
    let mut config = Config::production();
    config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
    config.sampling.interval = Duration::from_secs(1);
    config.allocations.sample_interval = SAMPLE_INTERVAL;
    config.leaks.thresholds.warm_up = Duration::from_secs(10);
    config.leaks.thresholds.window = Duration::from_secs(20);
    config.leaks.thresholds.close_after = config.leaks.thresholds.close_after.div_f64(COMPRESSION);
    config
}
