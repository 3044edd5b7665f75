//! Sockets: floods, slow clients, draining, limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memory_exporter::{Config, Exporter};

use crate::client::{connect, get, request, send};

/// A server on a free port.
pub(crate) fn served(change: impl FnOnce(&mut Config)) -> (Exporter, SocketAddr) {
    let mut config = Config::production();
    config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap()];
    change(&mut config);
    let exporter = Exporter::start(config).unwrap();
    let address = exporter.addresses()[0];
    (exporter, address)
}

/// 10,000 connections that send nothing, nonsense, or half a request, and stay open; scrapes are answered all the while.
#[test]
fn a_flood_of_bad_connections_does_not_stop_the_scrapes() {
    const FLOOD: usize = 10_000;
    const KEPT: usize = 400;
    let (exporter, address) = served(|_| {});
    let bad: [&[u8]; 5] = [
        b"",
        b"GET /met",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nx: ",
    ];
    let flood = std::thread::spawn(move || {
        let mut open = std::collections::VecDeque::new();
        for at in 0..FLOOD {
            if let Ok(mut stream) = TcpStream::connect(address) {
                let _ = stream.write_all(bad[at % bad.len()]);
                open.push_back(stream);
            }
            if open.len() > KEPT {
                open.pop_front();
            }
        }
        open
    });
    let mut slowest = Duration::ZERO;
    let mut scrapes = 0;
    while !flood.is_finished() || scrapes < 10 {
        let start = Instant::now();
        let answer = get(address, "/metrics");
        slowest = slowest.max(start.elapsed());
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nmemory_rss_bytes "),
            "{answer:?}"
        );
        scrapes += 1;
    }
    let open = flood.join().unwrap();
    assert!(
        slowest < Duration::from_secs(5),
        "the slowest of {scrapes} scrapes took {slowest:?}"
    );
    assert!(
        get(address, "/metrics").starts_with("HTTP/1.1 200"),
        "while {} bad connections are open",
        open.len()
    );
    drop(open);
    exporter.stop();
}

#[test]
fn a_client_that_sends_no_headers_is_cut_off() {
    let (_exporter, address) = served(|config| config.web.header_timeout = Duration::from_secs(1));
    for half in [b"".as_slice(), b"GET /", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
        let start = Instant::now();
        let mut stream = connect(address);
        stream.write_all(half).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let waited = start.elapsed();
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&waited),
            "{waited:?}"
        );
    }
}

#[test]
fn too_much_is_refused_with_the_right_code() {
    let (_exporter, address) = served(|_| {});
    let long_header = format!(
        "GET /metrics HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    let many_headers = format!(
        "GET /metrics HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x: y\r\n".repeat(100)
    );
    for (request, status) in [
        (long_header.as_str(), "431"),
        (many_headers.as_str(), "431"),
        (
            "POST /metrics/memory/gc HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n",
            "413",
        ),
        ("NONSENSE\r\n\r\n", "400"),
        (
            "GET /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
            "400",
        ),
    ] {
        let answer = send(address, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer:?}"
        );
    }
}

#[test]
fn requests_on_one_connection_are_all_answered() {
    let (_exporter, address) = served(|_| {});
    let one = "GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n";
    let last = "GET /nope HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = send(address, format!("{one}{one}{last}").as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(
        answer.matches("HTTP/1.1 404 Not Found").count(),
        1,
        "{answer}"
    );
    assert!(
        answer.contains("\"help\": \"GET / lists what there is\""),
        "{answer}"
    );
}

#[test]
fn head_is_answered_with_the_length_and_no_body() {
    let (_exporter, address) = served(|_| {});
    let answer = request(address, "HEAD", "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("content-length: ") && body.is_empty(),
        "{answer}"
    );
}

#[test]
fn cors_is_as_configured() {
    let (_closed, closed) = served(|_| {});
    let (_open, open) = served(|config| {
        config.web.cors_allowed_origins = vec!["https://dash.example.org".to_owned()]
    });
    let request = |origin: &str| {
        format!(
            "GET /metrics/memory/health HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\nconnection: close\r\n\r\n"
        )
    };
    let header = "access-control-allow-origin: https://dash.example.org";
    assert!(send(open, request("https://dash.example.org").as_bytes()).contains(header));
    assert!(
        !send(closed, request("https://dash.example.org").as_bytes()).contains("access-control")
    );
    let refused = send(open, request("https://evil.example").as_bytes());
    assert!(
        refused.starts_with("HTTP/1.1 403") && refused.contains("web.cors_allowed_origins"),
        "{refused}"
    );
    let preflight = "OPTIONS /metrics/memory/gc HTTP/1.1\r\nhost: x\r\norigin: https://dash.example.org\r\naccess-control-request-method: POST\r\nconnection: close\r\n\r\n";
    assert!(send(open, preflight.as_bytes()).contains("access-control-allow-methods:"));
}

/// After a stop the listener is closed at once, an idle connection does not hold it up, and a client that never ends is cut off.
#[test]
fn stopping_has_a_deadline() {
    let (exporter, address) = served(|config| config.web.shutdown_timeout = Duration::from_secs(1));
    let mut idle = connect(address);
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut stuck = connect(address);
    stuck.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let start = Instant::now();
    exporter.stop();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn several_addresses_are_served_alike() {
    let (exporter, _) = served(|config| {
        config.web.listen_address =
            vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    });
    assert_eq!(exporter.addresses().len(), 2);
    for address in exporter.addresses() {
        assert!(
            get(*address, "/metrics").starts_with("HTTP/1.1 200"),
            "{address}"
        );
    }
}

#[test]
fn the_telemetry_path_moves() {
    let (_exporter, address) =
        served(|config| config.web.telemetry_path = "/internal/prom".to_owned());
    assert!(get(address, "/internal/prom").contains("\nmemory_rss_bytes "));
    assert!(get(address, "/metrics").starts_with("HTTP/1.1 404"));
    assert!(get(address, "/").contains("href=\"/internal/prom\""));
}
