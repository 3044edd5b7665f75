//! The exporter inside a host: registry, warp filter, stuck runtime, spans.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use memory_exporter::{ComponentLayer, Config, Exporter};
use prometheus_client::registry::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::client::{get, request};

fn served() -> Exporter {
    let mut config = Config::production();
    config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap()];
    Exporter::start(config).unwrap()
}

#[test]
fn the_metrics_join_a_registry_of_the_host() {
    let exporter = Exporter::builder(Config::production())
        .without_server()
        .start()
        .unwrap();
    let mut registry = Registry::with_prefix("host");
    let own: prometheus_client::metrics::counter::Counter = Default::default();
    registry.register("requests", "Requests", own.clone());
    registry.register_collector(Box::new(exporter.collector()));
    own.inc();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains("host_requests_total 1\n") && text.contains("\nhost_memory_rss_bytes "),
        "{text}"
    );
    assert!(
        !text.contains("target_info"),
        "the target is the host's own"
    );
}

/// Mounted in a server of the host's own, the address of the client is known too: loopback may release, and the host's routes stay.
#[test]
fn the_routes_join_a_server_of_the_host() {
    use warp::Filter;
    let exporter = Exporter::builder(Config::production())
        .without_server()
        .start()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let routes = exporter
        .routes()
        .or(warp::path!("own").map(|| "host".to_owned()));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { warp::serve(routes).incoming(listener).run().await });
    assert!(get(address, "/metrics").contains("\nmemory_rss_bytes "));
    assert!(get(address, "/own").ends_with("host"));
    assert!(get(address, "/nope").starts_with("HTTP/1.1 404"));
    let answer = request(address, "POST", "/metrics/memory/gc");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"freed\""),
        "{answer}"
    );
}

#[test]
fn metrics_are_served_while_the_hosts_runtime_is_stuck() {
    let exporter = served();
    let address = exporter.addresses()[0];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let host = std::thread::spawn(move || {
        runtime.block_on(async { std::thread::sleep(Duration::from_secs(10)) })
    });
    let start = Instant::now();
    let mut scrapes = 0;
    while !host.is_finished() {
        let answer = get(address, "/metrics");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\nmemory_rss_bytes "),
            "{answer}"
        );
        scrapes += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(
        start.elapsed() >= Duration::from_secs(9) && scrapes >= 20,
        "{scrapes} scrapes in {:?}",
        start.elapsed()
    );
}

#[test]
fn a_taken_port_is_an_error_that_says_what_to_do() {
    let first = served();
    let taken = first.addresses()[0];
    let mut config = Config::production();
    config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap(), taken];
    let error = Exporter::start(config).unwrap_err();
    assert!(error.is_listen() && !error.is_config());
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("cannot listen on {taken}: ")),
        "{said}"
    );
    assert!(
        said.ends_with("choose one with --web.listen-address or web.listen_address"),
        "{said}"
    );
}

/// A service whose `main` is asynchronous is told in words too, and not by a panic about runtimes.
#[tokio::test]
async fn a_start_that_fails_in_a_runtime_of_the_host_is_an_error_too() {
    let first = served();
    let mut config = Config::production();
    config.web.listen_address = first.addresses().to_vec();
    assert!(Exporter::start(config).unwrap_err().is_listen());
}

#[test]
fn an_exporter_that_stops_frees_its_port_and_can_start_again() {
    for _ in 0..3 {
        let exporter = served();
        let address = exporter.addresses()[0];
        assert!(get(address, "/-/ready").contains("ready"));
        exporter.stop();
        // A process that another test starts may hold a copy of the socket until it has become another program.
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < deadline, "the port is still open");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn spans_with_a_component_are_charged_to_it() {
    let bytes = |name: &str| -> u64 {
        let mut counts = memory_exporter::heap::Counts::default();
        memory_exporter::heap::read(&mut counts);
        let component = counts
            .components
            .iter()
            .find(|component| component.name == name);
        component.map_or(0, |component| {
            component
                .operations
                .iter()
                .map(|operation| operation.bytes)
                .sum()
        })
    };
    let allocate = |size: usize| std::hint::black_box(vec![1_u8; size]);
    let subscriber = tracing_subscriber::registry().with(ComponentLayer::new());
    tracing::subscriber::with_default(subscriber, || {
        let outer = tracing::info_span!("outer", component = "span-outer");
        let inner = tracing::info_span!("inner", component = "span-inner");
        let plain = tracing::info_span!("plain");
        let before = (bytes("span-outer"), bytes("span-inner"));
        let entered = outer.enter();
        drop(allocate(1 << 20));
        plain.in_scope(|| drop(allocate(1 << 20)));
        let covered = inner.enter();
        drop(allocate(1 << 22));
        drop(entered); // left before the span that covers it
        drop(allocate(1 << 22));
        drop(covered);
        drop(allocate(1 << 24));
        let after = (
            bytes("span-outer") - before.0,
            bytes("span-inner") - before.1,
        );
        let close = |got: u64, expected: u64| (expected..expected + (64 << 10)).contains(&got);
        assert!(
            close(after.0, 2 << 20) && close(after.1, 2 << 22),
            "{after:?}"
        );
    });
}
