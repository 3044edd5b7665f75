//! File descriptors run out: who asks is kept waiting, nobody is locked out, and the log says it once.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::program::Program;
use crate::cli::until;
use crate::client::connect;

/// Descriptors of the program: fewer than it has places for connections.
const DESCRIPTORS: usize = 48;

#[test]
fn who_takes_all_descriptors_locks_nobody_out_and_fills_no_log() {
    let limit = format!("RLIMIT_NOFILE={DESCRIPTORS}");
    let program = Program::start(&limit, "sampling: {interval: 1s}\n");
    let quiet = program.lines();
    // They send nothing, or half a request, and stay.
    let taken: Vec<TcpStream> = (0..2 * DESCRIPTORS)
        .map(|at| {
            let mut stream = connect(program.address);
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
            }
            stream
        })
        .collect();
    until("word of it", || {
        program.said("connection cannot be accepted").pop()
    });
    // While they stay: each new one takes the place of the oldest that has sent no request.
    for _ in 0..5 {
        let start = Instant::now();
        let answer = program.get("/metrics");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
    }
    std::thread::sleep(Duration::from_secs(2));
    drop(taken);
    let whole = until("a whole scrape", || {
        let answer = program.get("/metrics");
        let is_whole = !answer.contains("_collector_success{collector=\"process\"} 0");
        is_whole.then_some(answer)
    });
    assert!(whole.contains("\nmemory_rss_bytes "), "{whole}");
    until("word of the end", || {
        program.said("connections are accepted again").pop()
    });
    assert_eq!(program.said("connection cannot be accepted").len(), 1);
    // That, its end, and perhaps that a collector could not read for a while.
    let told = program.lines() - quiet;
    assert!(told < 12, "{told} lines");
}
