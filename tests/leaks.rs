//! Leaks in a real process: one line leaks beside others that fill up, come and go, or load once; what the exporter says of them over
//! HTTP, and what a recording of it says later.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use memory_exporter::config::Profile;
use memory_exporter::{Allocator, Component, Config, Exporter};
use serde_json::Value;

#[path = "support/schema.rs"]
mod schema;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

static SHOP: Component = Component::new("shop");

/// Everything in it happens a hundred times faster than in a service.
const CONFIG: &str = "
web: {listen_address: [127.0.0.1:0]}
sampling: {interval: 1s}
allocations: {sample_interval: 16KiB}
leaks: {warm_up: 2s, window: 10s, close_after: 8s, recording: {file: RECORDING}}
history: {directory: HISTORY}
";
const STEP: Duration = Duration::from_millis(20);
/// Longest until a condition holds: more than the two or three windows that it takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the leak adds at each step: about 0.4 MB/s.
const LEAKED: usize = 8 << 10;

static FORGOTTEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static IS_LEAKING: AtomicBool = AtomicBool::new(true);

#[inline(never)]
fn remember_for_ever() {
    FORGOTTEN.lock().unwrap().push(vec![1; LEAKED]);
}

#[inline(never)]
fn cache_page(cache: &mut VecDeque<Vec<u8>>) {
    if cache.len() >= 200 {
        cache.pop_front();
    }
    cache.push_back(vec![2; 16 << 10]);
}

#[inline(never)]
fn add_to_batch(batch: &mut Vec<Vec<u8>>) {
    batch.push(vec![3; 16 << 10]);
}

#[inline(never)]
fn load_once() -> Vec<Vec<u8>> {
    (0..200).map(|_| vec![4; 32 << 10]).collect()
}

/// The service: each step leaks, caches, and adds to a batch that is done every six seconds.
fn serve(stop: &AtomicBool) {
    let _loaded = load_once();
    let (mut cache, mut batch) = (VecDeque::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        if IS_LEAKING.load(Ordering::Relaxed) {
            let _scope = SHOP.enter();
            remember_for_ever();
        }
        cache_page(&mut cache);
        add_to_batch(&mut batch);
        if batch.len() >= 300 {
            batch.clear();
        }
        sleep(STEP);
    }
}

#[test]
fn one_line_leaks_and_the_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("leaks.gz");
    let history = folder.path().join("history");
    let config = CONFIG
        .replace("RECORDING", recording.to_str().unwrap())
        .replace("HISTORY", history.to_str().unwrap());
    let config = Config::load(Profile::Production, &config, []).unwrap();
    let exporter = Exporter::start(config.clone()).unwrap();
    let address = exporter.addresses()[0];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| serve(&stop));
        let outcome = std::panic::catch_unwind(|| watch(address));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let last = json(address, "/metrics/memory/leaks");
    assert_eq!(last["earlier_sessions"], Value::Array(Vec::new()));
    exporter.stop();

    // What was recorded gives the same answer.
    let analysed = Command::new(env!("CARGO_BIN_EXE_memory-exporter"))
        .args(["analyse", "--format", "json"])
        .arg(&recording)
        .output()
        .unwrap();
    assert!(analysed.status.success(), "{analysed:?}");
    let analysed: Value = serde_json::from_slice(&analysed.stdout).unwrap();
    assert_eq!(analysed["opened"], last["opened"]);
    assert_eq!(analysed["closed"], last["closed"]);

    // The next process knows what this one found.
    let exporter = Exporter::start(config).unwrap();
    let next = json(exporter.addresses()[0], "/metrics/memory/leaks");
    exporter.stop();
    let [earlier] = &next["earlier_sessions"].as_array().unwrap()[..] else {
        panic!("{next:#}");
    };
    assert_ne!(next["session_id"], last["session_id"]);
    for key in ["session_id", "opened", "closed"] {
        assert_eq!(earlier[key], last[key], "{key}");
    }
    assert!(
        !earlier["closed"].as_array().unwrap().is_empty(),
        "{earlier:#}"
    );
}

#[test]
fn a_process_that_cannot_be_seen_into_is_suspected_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let text = "{sampling: {interval: 1s}, leaks: {warm_up: 1s, window: 10s}}";
    std::fs::write(&config, text).unwrap();
    // Two megabytes a second.
    let grow = "while (1) { push @pile, 'x' x 500_000; select undef, undef, undef, 0.25 }";
    let mut growing = Running(Command::new("perl").args(["-e", grow]).spawn().unwrap());
    let mut exporter = Command::new(env!("CARGO_BIN_EXE_memory-exporter"));
    exporter
        .args(["--web.listen-address", "127.0.0.1:0", "--config.file"])
        .arg(&config)
        .args(["--target.pid", &growing.0.id().to_string()])
        .stderr(Stdio::piped());
    let mut exporter = Running(exporter.spawn().unwrap());
    let mut log = BufReader::new(exporter.0.stderr.take().unwrap()).lines();
    let address = log.find_map(|line| {
        let line = line.unwrap();
        let (_, address) = line.split_once("address=")?;
        address.trim().parse().ok()
    });
    let address = address.unwrap();
    // Read on, or its log would fill up.
    thread::spawn(move || log.for_each(drop));

    let report = until(|| {
        let report = json(address, "/metrics/memory/leaks");
        (!report["suspects"].as_array().unwrap().is_empty()).then_some(report)
    });
    let suspect = &report["suspects"][0];
    assert_eq!(suspect["confidence"], "low", "{suspect:#}");
    assert_eq!(suspect["severity"], "critical", "{suspect:#}");
    assert_eq!(suspect["parts"][0]["evidence"], "whole_process");
    let pace = suspect["growth_mb_per_hour"].as_f64().unwrap();
    assert!((4_000.0..9_000.0).contains(&pace), "{suspect:#}");
    assert_eq!(suspect.get("flamegraph"), None, "{suspect:#}");
    let metrics = body(address, "/metrics");
    assert_eq!(value(&metrics, "memory_leak_count_total "), 1.0);
    growing.0.kill().unwrap();
}

/// Killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(address: SocketAddr) {
    // Everything is there from the start.
    let metrics = body(address, "/metrics");
    assert_eq!(value(&metrics, "memory_leak_count_total "), 0.0);
    assert_eq!(value(&metrics, "memory_leak_growth_rate_mb_h "), 0.0);
    let start = "component=\"unattributed\",severity=\"low\"} ";
    assert_eq!(
        value(
            &metrics,
            &format!("memory_leak_allocation_count_total{{{start}")
        ),
        0.0
    );

    let report = until(|| {
        let report = json(address, "/metrics/memory/leaks");
        (!report["suspects"].as_array().unwrap().is_empty()).then_some(report)
    });
    let suspects = report["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1, "{report:#}");
    let suspect = &suspects[0];
    let function = suspect["function"].as_str().unwrap();
    assert!(function.ends_with("remember_for_ever"), "{suspect:#}");
    assert_eq!(suspect["component"], "shop");
    assert!(
        suspect["file"]
            .as_str()
            .unwrap()
            .ends_with("tests/leaks.rs")
    );
    assert_eq!(
        suspect["severity"], "critical",
        "0.4 MB/s are more than 50 MB/h"
    );
    let stack = suspect["parts"][0]["stacks"][0]["frames"]
        .as_array()
        .unwrap();
    assert!(
        stack
            .iter()
            .any(|frame| frame.as_str().unwrap().contains("serve")),
        "{suspect:#}"
    );

    // It is as large and as fast as it is.
    let hour = 3_600.0 / STEP.as_secs_f64() * LEAKED as f64 / 1_048_576.0;
    let close = until(|| {
        let report = json(address, "/metrics/memory/leaks");
        let suspect = &report["suspects"][0];
        let leaked: usize = FORGOTTEN.lock().unwrap().iter().map(Vec::len).sum();
        let share = suspect["bytes"].as_f64()? / leaked as f64;
        let pace = suspect["growth_mb_per_hour"].as_f64()? / hour;
        // Sleeping takes a little longer than asked for.
        ((0.6..1.4).contains(&share) && (0.5..1.3).contains(&pace)).then_some((share, pace))
    });
    println!("share and pace told: {close:?}");
    let graph = suspect["flamegraph"].as_str().unwrap();
    assert!(body(address, graph).contains("remember_for_ever"));

    let metrics = body(address, "/metrics");
    assert_eq!(value(&metrics, "memory_leak_count_total "), 1.0);
    assert_eq!(
        value(&metrics, "memory_leak_suspects{severity=\"critical\"} "),
        1.0
    );
    assert!(value(&metrics, "memory_leak_growth_rate_mb_h ") > 500.0);
    let labels = "component=\"shop\",severity=\"critical\"";
    assert_eq!(
        value(
            &metrics,
            &format!("memory_leak_size_bytes_count{{{labels}}} ")
        ),
        1.0
    );
    until(|| {
        let metrics = body(address, "/metrics");
        let added = value(
            &metrics,
            &format!("memory_leak_allocation_count_total{{{labels}}} "),
        );
        (added > 100.0).then_some(())
    });
    let health = json(address, "/metrics/memory/health");
    assert_eq!(health["leak_severity"], "critical", "{health:#}");
    assert_eq!(health["status"], "critical", "{health:#}");

    // It is closed when it ends, and stays counted.
    IS_LEAKING.store(false, Ordering::Relaxed);
    let report = until(|| {
        let report = json(address, "/metrics/memory/leaks");
        report["suspects"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(report)
    });
    assert_eq!(report["opened"], 1, "{report:#}");
    assert_eq!(
        report["closed"][0]["reason"], "stopped growing",
        "{report:#}"
    );
    let metrics = body(address, "/metrics");
    assert_eq!(value(&metrics, "memory_leak_count_total "), 1.0);
    assert_eq!(value(&metrics, "memory_leak_growth_rate_mb_h "), 0.0);
}

/// What a condition finds, as soon as it finds something.
fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it did not come to pass");
        sleep(Duration::from_millis(500));
    }
}

/// The value behind the name and the labels of a series.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("{series}is not there:\n{metrics}"))
        .parse()
        .unwrap()
}

/// An answer, which the OpenAPI document has to have: what it says of suspects is to be seen only where there are any.
fn json(address: SocketAddr, path: &str) -> Value {
    let answer = serde_json::from_str(&body(address, path)).unwrap();
    let document: Value = serde_json::from_str(&body(address, "/openapi.json")).unwrap();
    let ok = &document["paths"][path]["get"]["responses"]["200"];
    let schema = &ok["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{path} is not described");
    let found = schema::violations(&document, schema, &answer);
    assert_eq!(found, Vec::<String>::new(), "{path}");
    answer
}

/// HTTP/1.0, so that the body ends with the connection.
fn body(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}
