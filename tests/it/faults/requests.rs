//! Too many requests, slow ones, broken ones: each is answered or refused, and nothing of them stays.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::program::Program;
use crate::cli::until;
use crate::client::{connect, get, send};
use crate::server::served;

const SCRAPES: usize = 1_000;

/// All at once, four times as many as there are places.
#[test]
fn a_thousand_scrapes_at_once_are_all_answered_and_leave_nothing() {
    let program = Program::start("RLIMIT_NOFILE=4096", "sampling: {interval: 1s}\n");
    let burst = || {
        let mut open: Vec<TcpStream> = (0..SCRAPES).map(|_| connect(program.address)).collect();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        for stream in &mut open {
            // Whoever waited longest without a request may have had to leave.
            let _ = stream.write_all(request);
        }
        let mut answered = 0;
        for mut stream in open {
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            if answer.is_empty() {
                continue;
            }
            read.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}", body.len());
            assert!(head.contains(&length), "{head}\n{} bytes", body.len());
            answered += 1;
        }
        answered
    };
    // The first burst makes room once; what comes after must fit into it.
    burst();
    let held = |program: &Program| program.value("memory_heap_bytes").unwrap();
    let before = held(&program);
    let answered = burst();
    println!("{answered} of {SCRAPES} answered");
    assert!(answered >= SCRAPES / 2, "{answered}");
    let after = until("the memory of a thousand scrapes back", || {
        let held = held(&program);
        (held < before + 512.0 * 1024.0).then_some(held)
    });
    println!("{before} bytes before, {after} after");
    let open = program.value("process_open_fds").unwrap();
    assert!(open < 64.0, "{open} descriptors");
}

/// Byte by byte, and never to the end: the time for the headers is counted from their beginning.
#[test]
fn a_client_that_drips_its_headers_is_cut_off() {
    let (_exporter, address) = served(|config| config.web.header_timeout = Duration::from_secs(1));
    let start = Instant::now();
    let mut stream = connect(address);
    stream.set_nonblocking(false).unwrap();
    let mut drops = b"GET /metrics HTTP/1.1\r\nx: "
        .iter()
        .chain(std::iter::repeat(&b'y'));
    let is_cut = loop {
        if stream.write_all(&[*drops.next().unwrap()]).is_err() {
            break true;
        }
        if start.elapsed() > Duration::from_secs(10) {
            break false;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(is_cut, "it drips for {:?}", start.elapsed());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// The answer does not wait for a body that nobody reads, nor for a reader that never comes.
#[test]
fn a_body_that_drips_and_an_answer_that_nobody_reads_hold_up_nobody() {
    let (exporter, address) = served(|config| {
        config.web.max_connections = 4;
        config.web.shutdown_timeout = Duration::from_secs(1);
    });
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(address);
        let post = "POST /metrics/memory/alerts/1/acknowledge HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nx";
        stream.write_all(post.as_bytes()).unwrap();
        open.push(stream);
        // Asks again and again, and reads nothing.
        let mut stream = connect(address);
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write_all(&b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000));
        open.push(stream);
    }
    for _ in 0..5 {
        let start = Instant::now();
        let answer = get(address, "/-/healthy");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
    }
    let start = Instant::now();
    exporter.stop();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// A thousand requests in one go are answered in their order.
#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let (_exporter, address) = served(|_| {});
    let paths = ["/-/healthy", "/nope", "/-/ready"];
    let mut text = String::new();
    for at in 0..999 {
        text += &format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", paths[at % 3]);
    }
    text += "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(text.as_bytes()));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    writing.join().unwrap().unwrap();
    let statuses: Vec<&str> = answer
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answer[at + 9..at + 12])
        .collect();
    assert_eq!(statuses.len(), 1_000);
    for (at, status) in statuses.iter().enumerate() {
        assert_eq!(*status, ["200", "404", "200"][at % 3], "request {at}");
    }
}

/// Refused with 4xx or closed; the next client notices nothing.
#[test]
fn what_is_no_request_is_refused() {
    let (_exporter, address) = served(|_| {});
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let chunked = "transfer-encoding: chunked\r\n";
    let post = "POST /metrics/memory/alerts/1/acknowledge HTTP/1.1\r\nhost: x\r\n";
    let requests = [
        long_path,
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET  /metrics HTTP/1.1\r\n\r\n".to_owned(),
        "GET /metrics\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nhost x\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\n: x\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nx: \0\r\n\r\n".to_owned(),
        "GET /\u{7f} HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        format!("{post}content-length: 99999999999999999999\r\n\r\n"),
        format!("{post}transfer-encoding: nonsense\r\n\r\n"),
        format!("{post}{chunked}\r\nzz\r\n"),
        format!("{post}{chunked}\r\nffffffffffffffffff\r\n"),
    ];
    for request in requests {
        let start = Instant::now();
        let answer = answered(address, request.as_bytes());
        let shown = &request[..request.len().min(60)];
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{shown:?}: {answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{shown:?}");
        assert!(
            get(address, "/-/healthy").starts_with("HTTP/1.1 200"),
            "after {shown:?}"
        );
    }
}

/// As `send`, with the writing half closed at the end, so that the server does not wait for more.
fn answered(address: SocketAddr, request: &[u8]) -> String {
    if request.len() > 10_000 {
        return send(address, request);
    }
    let mut stream = connect(address);
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
