//! Profiles and flame graphs without a socket: parameters, formats, who may see them, one at a time. What is in them is compared
//! elsewhere, and what depends on the sampling of the whole process stands in `tests/sampling_changes.rs`.

use std::io::Read;
use std::time::{Duration, Instant};

use memory_exporter::profile::flamegraph;
use memory_exporter::{Config, Exporter};

use crate::api::{Answer, exporter, send};
use crate::client;

const ALL: [&str; 7] = [
    "/metrics/memory/leaks",
    "/metrics/memory/allocations",
    "/debug/pprof/heap",
    "/debug/pprof/allocs",
    "/debug/flamegraph",
    "/metrics/memory/profiles",
    "/metrics/memory/profiles/x",
];

/// GET from loopback, again while something else is being built, as the exporter itself does at its start.
async fn get(exporter: &Exporter, path: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = try_get(exporter, path).await;
        if answer.status != 429 {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} is never built");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn try_get(exporter: &Exporter, path: &str) -> Answer {
    send(exporter, "GET", path, "127.0.0.1:9", &[]).await
}

fn unzipped(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(answer.body.as_slice());
    gzip.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn each_format_comes_with_its_headers() {
    let exporter = exporter();
    let text = "text/plain; charset=utf-8";
    for (path, content_type, file) in [
        ("pprof/heap", "application/octet-stream", Some("heap")),
        (
            "pprof/heap?gc=1&debug=0",
            "application/octet-stream",
            Some("heap"),
        ),
        (
            "pprof/allocs?seconds=0",
            "application/octet-stream",
            Some("allocs"),
        ),
        ("pprof/heap?debug=1&component=other", text, None),
        ("flamegraph", "image/svg+xml", None),
        (
            "flamegraph?type=alloc_objects&frames=all",
            "image/svg+xml",
            None,
        ),
        ("flamegraph?format=folded&frames=condensed", text, None),
    ] {
        let answer = get(&exporter, &format!("/debug/{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(header("content-type"), Some(content_type), "{path}");
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header("cache-control"), Some("no-store"), "{path}");
        let file = file.map(|name| format!("attachment; filename=\"{name}.pb.gz\""));
        assert_eq!(header("content-disposition"), file.as_deref(), "{path}");
        let is_svg = content_type == flamegraph::CONTENT_TYPE;
        let policy = is_svg.then_some(flamegraph::CONTENT_SECURITY_POLICY);
        assert_eq!(header("content-security-policy"), policy, "{path}");
        match (is_svg, file) {
            (true, _) => {
                assert!(answer.body.starts_with(b"<?xml") || answer.body.starts_with(b"<svg"))
            }
            (_, Some(_)) => assert!(unzipped(&answer).len() > 100),
            // Nothing may have been sampled yet.
            (_, None) => assert!(std::str::from_utf8(&answer.body).is_ok()),
        }
    }
}

#[tokio::test]
async fn bad_parameters_are_named_with_what_is_allowed() {
    const SECONDS: &str = "a whole number of seconds up to 3600";
    const SINCE: &str = "a duration such as 30s, 5m or 1h from 1s to 1day";
    const TYPES: &str = "inuse, alloc, inuse_space, inuse_objects, alloc_space, alloc_objects";
    const INTERVAL: &str = "a size such as 512KiB or 2MiB, up to 1TiB; 0 switches sampling off";
    let exporter = exporter();
    for (method, path, name, allowed) in [
        ("GET", "/debug/pprof/heap?seconds=-1", "seconds", SECONDS),
        ("GET", "/debug/pprof/heap?seconds=1.5", "seconds", SECONDS),
        (
            "GET",
            "/debug/pprof/allocs?seconds=3601",
            "seconds",
            SECONDS,
        ),
        ("GET", "/debug/pprof/heap?debug=2", "debug", "0, 1"),
        ("GET", "/debug/flamegraph?type=heap", "type", TYPES),
        ("GET", "/debug/flamegraph?since=soon", "since", SINCE),
        ("GET", "/debug/flamegraph?since=25h", "since", SINCE),
        ("GET", "/debug/flamegraph?since=0s", "since", SINCE),
        (
            "GET",
            "/debug/flamegraph?format=png",
            "format",
            "svg, folded",
        ),
        (
            "GET",
            "/debug/flamegraph?frames=some",
            "frames",
            "condensed, all",
        ),
        (
            "GET",
            "/metrics/memory/profiles/x?format=png",
            "format",
            "pprof, svg, folded, leaks",
        ),
        ("GET", "/metrics/memory/profiles/x?type=heap", "type", TYPES),
        (
            "POST",
            "/debug/sampling?interval=soon",
            "interval",
            INTERVAL,
        ),
        ("POST", "/debug/sampling?interval=", "interval", INTERVAL),
        ("POST", "/debug/sampling?interval=-1", "interval", INTERVAL),
        ("POST", "/debug/sampling?interval=2MB", "interval", INTERVAL),
        (
            "POST",
            "/debug/sampling?interval=2TiB",
            "interval",
            INTERVAL,
        ),
    ] {
        let answer = send(&exporter, method, path, "127.0.0.1:9", &[]).await;
        let (_, value) = path.rsplit_once('=').unwrap();
        let detail = format!("parameter {name} is {value:?}");
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["detail"]),
            (400, &detail.into()),
            "{path}"
        );
        assert_eq!(json["help"], format!("allowed: {allowed}"), "{path}");
    }
    for path in ["/debug/pprof/heap", "/debug/flamegraph"] {
        let answer = try_get(&exporter, &format!("{path}?component=nobody")).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["detail"]),
            (400, &"parameter component is \"nobody\"".into())
        );
        let help = json["help"].as_str().unwrap();
        assert!(help.starts_with("allowed: unattributed, other"), "{help}");
    }
    for (path, help) in [
        (
            "/debug/pprof/heap?since=1m",
            "allowed: seconds, debug, gc, component",
        ),
        (
            "/debug/flamegraph?seconds=1",
            "allowed: type, since, component, format, frames",
        ),
        (
            "/metrics/memory/profiles?limit=1",
            "this endpoint takes none",
        ),
        (
            "/metrics/memory/profiles/x?since=1m",
            "allowed: format, type, frames",
        ),
        ("/debug/flamegraph?type=inuse&type=alloc", "give it once"),
    ] {
        let answer = try_get(&exporter, path).await;
        assert_eq!(
            (answer.status, &answer.json()["help"]),
            (400, &help.into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn stacks_are_for_loopback_and_for_no_foreign_page() {
    let exporter = exporter();
    let all = ALL.map(|path| ("GET", path));
    for (method, path) in all.into_iter().chain([("POST", "/debug/sampling")]) {
        for (peer, headers, detail) in [
            ("10.0.0.1:9", [("host", "x")], "only loopback may do this"),
            (
                "[::ffff:10.0.0.1]:9",
                [("host", "x")],
                "only loopback may do this",
            ),
            (
                "127.0.0.1:9",
                [("origin", "http://evil.example")],
                "a page of another origin may not do this",
            ),
        ] {
            let answer = send(&exporter, method, path, peer, &headers).await;
            let expected = (403, &detail.into());
            assert_eq!(
                (answer.status, &answer.json()["detail"]),
                expected,
                "{path}: {peer}"
            );
        }
        let own = [
            ("origin", "http://localhost:10113"),
            ("host", "localhost:10113"),
        ];
        let answer = send(&exporter, method, path, "[::1]:9", &own).await;
        assert_ne!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_answered_with_those_that_are_allowed() {
    let exporter = exporter();
    let all = ALL.map(|path| ("DELETE", path, "GET, HEAD"));
    for (method, path, allowed) in all.into_iter().chain([("GET", "/debug/sampling", "POST")]) {
        let answer = send(&exporter, method, path, "127.0.0.1:9", &[]).await;
        assert_eq!(
            (answer.status, &answer.headers["allow"]),
            (405, &allowed.parse().unwrap()),
            "{path}"
        );
    }
    for path in [
        "/debug/",
        "/debug/pprof",
        "/debug/pprof/goroutine",
        "/metrics/memory/profiles/x/y",
    ] {
        let answer = warp::test::request()
            .path(path)
            .reply(&exporter.routes())
            .await;
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let mut config = Config::production();
    config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap()];
    let exporter = Exporter::start(config).unwrap();
    let address = exporter.addresses()[0];
    for path in [
        "/debug/pprof/heap",
        "/debug/flamegraph",
        "/metrics/memory/profiles",
    ] {
        let deadline = Instant::now() + Duration::from_secs(60);
        let answer = loop {
            let answer = client::request(address, "HEAD", path);
            if !answer.starts_with("HTTP/1.1 429") {
                break answer;
            }
            assert!(Instant::now() < deadline, "{path} is never built");
        };
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_unknown_profile_is_said_to_be_unknown() {
    let answer = try_get(&exporter(), "/metrics/memory/profiles/2026-01-01T000000Z").await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["detail"], &json["help"]),
        (
            404,
            &"no profile of this id is kept".into(),
            &"GET /metrics/memory/profiles lists those that are kept".into()
        )
    );
}

/// A runtime whose one thread for what takes long is taken until the sender speaks.
fn with_taken_thread<F: Future<Output = ()>>(test: impl FnOnce(std::sync::mpsc::Sender<()>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (go, gone) = std::sync::mpsc::channel();
        let taken = tokio::task::spawn_blocking(move || gone.recv());
        test(go).await;
        taken.await.unwrap().unwrap();
    });
}

#[test]
fn while_one_is_built_the_next_is_told_to_wait() {
    with_taken_thread(|go| async move {
        let exporter = exporter();
        let first = get(&exporter, "/debug/pprof/heap");
        let others = async {
            for path in ["/debug/pprof/allocs", "/debug/flamegraph"] {
                let answer = try_get(&exporter, path).await;
                assert_eq!(
                    (answer.status, &answer.headers["retry-after"]),
                    (429, &"1".parse().unwrap())
                );
                assert_eq!(
                    answer.json()["detail"],
                    "another profile is being built, and each takes memory for its symbols"
                );
            }
            // What is built already needs no building.
            assert_eq!(
                try_get(&exporter, "/metrics/memory/profiles").await.status,
                200
            );
            go.send(()).unwrap();
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!(first.status, 200);
        assert_eq!(get(&exporter, "/debug/flamegraph").await.status, 200);
    });
}

/// A difference would be lost with the seconds that it took.
#[test]
fn a_difference_takes_its_turn() {
    with_taken_thread(|go| async move {
        let exporter = exporter();
        let waited = try_get(&exporter, "/debug/pprof/heap?seconds=1");
        let first = get(&exporter, "/debug/pprof/allocs");
        let release = async {
            // Longer than the difference, which then finds the other being built.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            go.send(()).unwrap();
        };
        let (waited, first, ()) = tokio::join!(waited, first, release);
        assert_eq!((waited.status, first.status), (200, 200));
    });
}

#[tokio::test]
async fn what_grew_is_told_from_the_first_tick_on() {
    let exporter = exporter();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = get(&exporter, "/debug/flamegraph?since=10m").await;
        if answer.status == 200 {
            let svg = String::from_utf8(answer.body).unwrap();
            assert!(svg.contains("Growth of live bytes in"), "{svg}");
            break;
        }
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["help"]),
            (404, &"try again after sampling.interval".into())
        );
        assert!(Instant::now() < deadline, "{json}");
    }
}

#[tokio::test]
async fn kept_profiles_are_listed_and_come_in_every_form() {
    let exporter = Exporter::builder(Config::development())
        .without_server()
        .start()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let kept = loop {
        let json = get(&exporter, "/metrics/memory/profiles").await.json();
        if let Some(kept) = json["profiles"].as_array().unwrap().first() {
            assert_eq!(kept["session_id"], json["session_id"]);
            break kept.clone();
        }
        assert!(Instant::now() < deadline, "nothing is kept: {json}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let id = kept["id"].as_str().unwrap();
    let path = format!("/metrics/memory/profiles/{id}");
    assert_eq!(
        (&kept["trigger"], &kept["pprof"]),
        (&"continuous".into(), &path.clone().into())
    );
    assert_eq!(kept["flamegraph"], format!("{path}?format=svg"));
    assert!(
        kept["live_bytes"].is_u64() && kept["timestamp"].is_string(),
        "{kept}"
    );

    let pprof = get(&exporter, &path).await;
    assert_eq!(pprof.body.len() as u64, kept["size_bytes"]);
    assert_eq!(
        pprof.headers["content-disposition"],
        format!("attachment; filename=\"{id}.pb.gz\"")
    );
    assert!(!unzipped(&pprof).is_empty());
    for (query, content_type, start) in [
        ("format=pprof", "application/octet-stream", ""),
        ("format=svg", "image/svg+xml", "<"),
        (
            "format=svg&type=alloc_objects&frames=all",
            "image/svg+xml",
            "<",
        ),
        ("format=folded&type=alloc", "text/plain; charset=utf-8", ""),
    ] {
        let answer = get(&exporter, &format!("{path}?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.headers["content-type"], content_type, "{query}");
        assert!(answer.body.starts_with(start.as_bytes()), "{query}");
    }
    assert_eq!(
        get(&exporter, &format!("{path}?format=pprof")).await.body,
        pprof.body
    );
}
