//! Profiles that are taken over HTTP while sixteen threads allocate at full speed: each is whole, and nobody waits for ever. How long an
//! allocating thread pauses is measured by `benches/` (`pauses`).
#![cfg(feature = "production")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use memory_exporter::profile::{Decoded, decode};
use memory_exporter::{Allocator, Config, Exporter};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

const THREADS: usize = 16;
/// What each thread holds all the time: so large that 98 of 100 blocks are sampled.
const HELD: usize = 8;
const HELD_BYTES: usize = 2 << 20;
const PROFILES: usize = 2;
/// Far longer than all of it takes.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn profiles_are_whole_while_threads_allocate() {
    let mut config = Config::production();
    config.allocations.sample_interval = 512 << 10;
    config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap()];
    let exporter = Exporter::start(config).unwrap();
    let address = exporter.addresses()[0];
    let (stop, calls, ready) = (
        AtomicBool::new(false),
        AtomicU64::new(0),
        Barrier::new(THREADS + 1),
    );
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let held = hold();
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    churn();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                drop(held);
            });
        }
        ready.wait();
        let (sender, profiles) = mpsc::channel();
        let taker = scope.spawn(move || {
            for _ in 0..PROFILES {
                sender.send(profile(address)).unwrap();
            }
        });
        let taken: Vec<_> = (0..PROFILES)
            .map_while(|_| profiles.recv_timeout(BOUND).ok())
            .collect();
        stop.store(true, Ordering::Relaxed);
        taker.join().unwrap();
        assert_eq!(taken.len(), PROFILES);
        taken.iter().for_each(check);
    });
    assert!(calls.load(Ordering::Relaxed) > 100, "the threads ran");
}

#[inline(never)]
fn hold() -> Vec<Vec<u8>> {
    // Zeroed memory that nobody touches takes none.
    (0..HELD).map(|_| black_box(vec![0; HELD_BYTES])).collect()
}

#[inline(never)]
fn churn() {
    for size in [10, 100, 1_000, 10_000] {
        black_box(vec![1_u8; size]);
    }
}

/// A profile; asks again while it is told to.
fn profile(address: SocketAddr) -> Decoded {
    loop {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let request = format!(
            "GET /debug/pprof/heap HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        match &answer[..12] {
            b"HTTP/1.1 200" => return decode(&answer[end + 4..]).unwrap(),
            b"HTTP/1.1 429" => {}
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
}

fn check(profile: &Decoded) {
    let at = |name: &str| {
        profile
            .sample_types
            .iter()
            .position(|known| known == name)
            .unwrap()
    };
    let through = |function: &str, value: &str| -> i64 {
        let stands = |frame: &str| frame.contains(function);
        let samples = profile.samples.iter();
        let own = samples.filter(|sample| sample.frames.iter().any(|frame| stands(frame)));
        own.map(|sample| sample.values[at(value)]).sum()
    };
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let share = |value: &str, truth: usize| {
        through("profile_under_load::hold", value) as f64 / truth as f64
    };
    // 128 blocks, of each of which a sample is taken with probability 0.98: five standard deviations are 6 %.
    for (value, truth) in [
        ("inuse_objects", THREADS * HELD),
        ("inuse_space", THREADS * HELD * HELD_BYTES),
    ] {
        let share = share(value, truth);
        assert!((share - 1.0).abs() < 0.06, "{value}: {share}");
    }
    assert!(through("profile_under_load::churn", "alloc_space") > 0);
}
