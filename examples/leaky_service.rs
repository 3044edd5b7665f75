//! A small, honest service with the exporter in it: requests, a bounded cache, a worker pool, and one real leak.
//!
//! ```text
//! cargo run --example leaky_service -- --leak-mb-per-hour 100
//! curl 127.0.0.1:10113/metrics
//! ```
//!
//! The leak: every request opens a session, and nothing ever closes one. At the end the service says how many bytes it knows to have
//! leaked, so that anybody can compare.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use memory_exporter::config::Profile;
use memory_exporter::{Allocator, Component, Config, Exporter, InComponent};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

static REQUESTS: Component = Component::new("requests");
static CACHE: Component = Component::new("cache");
static WORKERS: Component = Component::new("workers");
static SESSIONS: Component = Component::new("sessions");

const BETWEEN_REQUESTS: Duration = Duration::from_millis(5);
const CACHED_PAGES: usize = 2_000;
const PAGES: u64 = 3_000;
const PAGE_BYTES: usize = 4 << 10;
const SESSION_BYTES: usize = 1_000;
const WORKER_THREADS: usize = 4;
const QUEUED_JOBS: usize = 64;

/// A service that leaks, to see how the exporter shows it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address of the exporter; may be repeated, port 0 takes a free one.
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen_address: Vec<SocketAddr>,
    /// Configuration file of the exporter; what it leaves out is as in the development profile.
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// How fast the sessions leak, in MB of 1048576 bytes per hour; 0 = they are closed, and nothing leaks.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    leak_mb_per_hour: f64,
    /// How long it leaks; then all sessions are closed, as by a new version, and nothing leaks. 0 = for ever.
    #[arg(long, value_name = "N", default_value_t = 0)]
    leak_seconds: u64,
    /// How long the service runs; 0 = until Ctrl-C.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seconds: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut config = Config::from_file(Profile::Development, arguments.config_file.as_deref())?;
    if !arguments.listen_address.is_empty() {
        config
            .web
            .listen_address
            .clone_from(&arguments.listen_address);
    }
    // RUST_LOG=trace lets it say everything.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();

    // The one line that matters.
    let exporter = Exporter::builder(config)
        .service("leaky-service", "1.0.0")
        .start()?;
    for address in exporter.addresses() {
        println!("listening on http://{address}");
    }

    let service = Arc::new(Service::new(
        arguments.leak_mb_per_hour,
        arguments.leak_seconds,
    ));
    let (jobs, queue) = mpsc::channel(QUEUED_JOBS);
    let workers = start_workers(queue);
    let started = Instant::now();
    let mut clock = tokio::time::interval(BETWEEN_REQUESTS);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    for request in 0_u64.. {
        if arguments.seconds > 0 && started.elapsed().as_secs() >= arguments.seconds {
            break;
        }
        tokio::select! {
            _ = clock.tick() => {}
            _ = &mut interrupted => break,
        }
        let service = Arc::clone(&service);
        let jobs = jobs.clone();
        tokio::spawn(
            async move { service.handle(request, started, jobs).await }.in_component(&REQUESTS),
        );
    }
    drop(jobs);
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }
    let sessions = lock(&service.sessions).open.len();
    println!(
        "sessions leaked: {sessions}, bytes leaked: {}",
        sessions * SESSION_BYTES
    );
    exporter.stop();
    Ok(())
}

struct Service {
    cache: Mutex<Cache>,
    sessions: Mutex<Sessions>,
}

impl Service {
    fn new(leak_mb_per_hour: f64, leak_seconds: u64) -> Self {
        let leak = leak_mb_per_hour * 1_048_576.0 / 3_600.0;
        Self {
            cache: Mutex::default(),
            sessions: Mutex::new(Sessions {
                open: Vec::new(),
                bytes_per_second: leak,
                until: (leak_seconds > 0).then(|| Duration::from_secs(leak_seconds)),
            }),
        }
    }

    async fn handle(&self, request: u64, started: Instant, jobs: mpsc::Sender<Arc<[u8]>>) {
        // A third of the pages finds no place in the cache.
        let page = (request.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % PAGES;
        let body = lock(&self.cache).page(page);
        lock(&self.sessions).open(started.elapsed());
        let answer = format!("page {page} has {} bytes", body.len());
        let _ = jobs.send(body).await;
        std::hint::black_box(answer);
    }
}

/// Pages that were made lately: the honest part, bounded.
#[derive(Default)]
struct Cache {
    pages: HashMap<u64, Arc<[u8]>>,
    order: VecDeque<u64>,
}

impl Cache {
    fn page(&mut self, number: u64) -> Arc<[u8]> {
        if let Some(page) = self.pages.get(&number) {
            return Arc::clone(page);
        }
        let _scope = CACHE.enter();
        if self.order.len() >= CACHED_PAGES
            && let Some(oldest) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
        }
        let page: Arc<[u8]> = vec![number.to_le_bytes()[0]; PAGE_BYTES].into();
        self.pages.insert(number, Arc::clone(&page));
        self.order.push_back(number);
        page
    }
}

/// Sessions that nobody closes: the leak.
struct Sessions {
    open: Vec<Box<[u8]>>,
    bytes_per_second: f64,
    until: Option<Duration>,
}

impl Sessions {
    /// Opens as many sessions as should have leaked by now. Without a leak a session is closed at once.
    fn open(&mut self, age: Duration) {
        let _scope = SESSIONS.enter();
        if self.until.is_some_and(|until| age >= until) {
            self.open = Vec::new();
            self.bytes_per_second = 0.0;
        }
        let due = age.as_secs_f64() * self.bytes_per_second;
        if self.bytes_per_second <= 0.0 {
            drop(std::hint::black_box(new_session()));
        }
        while ((self.open.len() * SESSION_BYTES) as f64) < due {
            self.open.push(new_session());
        }
    }
}

fn new_session() -> Box<[u8]> {
    vec![0; SESSION_BYTES].into_boxed_slice()
}

/// A pool that compresses what it gets, badly, and forgets it.
fn start_workers(queue: mpsc::Receiver<Arc<[u8]>>) -> Vec<std::thread::JoinHandle<()>> {
    let queue = Arc::new(Mutex::new(queue));
    let work = |queue: Arc<Mutex<mpsc::Receiver<Arc<[u8]>>>>| {
        let _scope = WORKERS.enter();
        loop {
            let job = lock(&queue).blocking_recv();
            let Some(page) = job else { return };
            let runs: Vec<(u8, usize)> = page
                .chunk_by(|a, b| a == b)
                .map(|run| (run[0], run.len()))
                .collect();
            std::hint::black_box(runs);
        }
    };
    (0..WORKER_THREADS)
        .map(|_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || work(queue))
        })
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
