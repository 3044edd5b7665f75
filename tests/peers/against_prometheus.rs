//! A real Prometheus scrapes the leaking example for a minute, in both formats; promtool and the strict parser of Prometheus' Python
//! client read what it reads; and what it stored is what the kernel and the example know.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use memory_exporter::catalog::{ALL, ALLOCATION_EFFICIENCY_SCORE, Kind};
use serde_json::Value;

use crate::http;
use crate::programs::{Server, promtool, python};
use crate::series::{Id, of_text, value};
use crate::service::{CLASSIC, OPEN_METRICS, Service};
use crate::stores::query;
use crate::wait::eventually;

/// Job, protocol, and whether the format has families, whose names lack `_total`.
const JOBS: [(&str, &str, bool); 2] = [
    ("openmetrics", "OpenMetricsText1.0.0", true),
    ("classic", "PrometheusText0.0.4", false),
];
/// How long the example runs, and how many scrapes of it there must be at one a second; the first one comes after 5 s and more.
const SECONDS: &str = "56";
const SCRAPES: f64 = 40.0;
const MB_PER_HOUR: f64 = 2_000.0;
/// Of the example.
const SESSION_BYTES: f64 = 1_000.0;
/// What `promtool check metrics` may find: that a name of the thirteen that are fixed has units in it, `mb` and `h`. Nothing else.
const FINDINGS: [&str; 2] =
    ["memory_leak_growth_rate_mb_h metric names should not contain abbreviated units"; 2];
/// With which it then ends.
const FOUND: i32 = 3;
const SESSIONS: &str =
    "memory_allocation_count_total{component=\"sessions\",operation=\"alloc_zeroed\"}";

/// Feeds a program and gives what it says, if it ends with this code.
fn judged(program: PathBuf, arguments: &[&str], input: &str, code: i32) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("its input");
    drop(stdin);
    let output = child.wait_with_output().expect("its verdict");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}: {said:?}",
        output.status
    );
    said.concat()
}

#[test]
fn a_real_prometheus_scrapes_for_a_minute() {
    let arguments = [
        "--seconds",
        SECONDS,
        "--leak-mb-per-hour",
        &MB_PER_HOUR.to_string(),
    ];
    let mut service = Service::leaky("", &[], &arguments);
    let jobs = JOBS.map(|(job, protocol, _)| {
        let target = &service.address;
        format!(
            "- {{job_name: {job}, scrape_protocols: [{protocol}], static_configs: [{{targets: ['{target}']}}]}}\n"
        )
    });
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}",
        jobs.concat()
    );
    let prometheus = Server::prometheus(&config);
    let ask = |text: &str| query(&prometheus.url, text);

    judges_accept_the_text(&service);
    agrees_with_the_kernel(&service);

    eventually(&format!("{SCRAPES} scrapes"), || {
        let counts = ask("min(count_over_time(up[10m]))");
        counts.values().any(|count| *count >= SCRAPES).then_some(())
    });
    assert!(!service.program.has_ended(), "it still runs");
    for (job, _, families) in JOBS {
        assert_eq!(
            one(&ask(&format!("min_over_time(up{{job={job:?}}}[10m])"))),
            1.0,
            "{job}"
        );
        metadata_is_that_of_the_catalog(&prometheus, job, families);
    }
    no_scrape_failed(&prometheus);
    no_total_fell(&prometheus);
    // Three views of the same operations, in every single scrape.
    let views = [
        "sum by (job) (memory_allocation_count_total)",
        "sum by (job) (memory_allocation_distribution_total)",
        "sum by (job) (memory_allocation_size_bytes_count)",
    ];
    for view in &views[1..] {
        let unequal = format!("count_over_time((({view}) != ({}))[10m:1s])", views[0]);
        assert_eq!(ask(&unequal).len(), 0, "{view}");
    }
    let failing = ask("memory_exporter_collector_success{collector!=\"cgroup\"} != 1");
    assert_eq!(failing.len(), 0, "{failing:?}");

    agrees_with_the_example(&mut service, &prometheus);
}

fn one(series: &crate::series::Series) -> f64 {
    assert_eq!(series.len(), 1, "one value: {series:?}");
    *series.values().next().expect("the value")
}

fn judges_accept_the_text(service: &Service) {
    let classic = service.text(CLASSIC);
    assert_eq!(
        classic.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let findings = judged(promtool(), &["check", "metrics"], &classic.body, FOUND);
    assert_eq!(findings.lines().collect::<Vec<_>>(), FINDINGS);

    let open_metrics = service.text(OPEN_METRICS);
    assert_eq!(
        open_metrics.content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let parse = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse; \
                 print(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    let samples = judged(python(), &["-c", parse], &open_metrics.body, 0);
    let own = of_text(&open_metrics.body);
    assert_eq!(
        samples.trim(),
        own.len().to_string(),
        "samples as the parser counts them"
    );
    // A component may reach the samples that a score needs between the two.
    let score = ALLOCATION_EFFICIENCY_SCORE.series("");
    let names = |text: &str| {
        let ids = of_text(text).into_keys();
        ids.filter(|id| id.name != score).collect::<Vec<Id>>()
    };
    assert_eq!(
        names(&classic.body),
        names(&open_metrics.body),
        "both formats have the same series"
    );
}

fn agrees_with_the_kernel(service: &Service) {
    const SLACK: f64 = 8_388_608.0;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let resident = || service.program.resident() as f64;
    let before = resident();
    let scraped = service.series();
    let after = resident();
    let range = before.min(after) - SLACK..=before.max(after) + SLACK;
    for name in ["memory_rss_bytes", "process_resident_memory_bytes"] {
        let own = value(&scraped, name, &[]);
        assert!(range.contains(&own), "{name}: {own} is not in {range:?}");
    }
    println!(
        "resident: kernel {before}, exporter {}",
        value(&scraped, "memory_rss_bytes", &[])
    );
}

fn metadata_is_that_of_the_catalog(prometheus: &Server, job: &str, families: bool) {
    let url = format!("{}/api/v1/targets/metadata", prometheus.url);
    let answer = http::json(&url, &[("match_target", &format!("{{job={job:?}}}"))]);
    let rows = answer["data"].as_array().expect("metadata");
    let row = |name: &str| rows.iter().find(|row| row["metric"] == name);
    let mut compared = 0;
    for def in ALL {
        let exists = query(
            &prometheus.url,
            &format!("{{job={job:?}, __name__=~\"{}(_count)?\"}}", def.series("")),
        );
        if exists.is_empty() {
            continue;
        }
        let (name, kind, unit) = match (families, def.kind) {
            (true, Kind::Info) => (def.family(""), "info", None),
            (true, Kind::Counter) => (def.family(""), "counter", def.base_and_unit("").1),
            (true, Kind::Histogram { .. }) => {
                (def.family(""), "histogram", def.base_and_unit("").1)
            }
            (true, Kind::Gauge) => (def.family(""), "gauge", def.base_and_unit("").1),
            (false, Kind::Counter) => (def.series(""), "counter", None),
            (false, Kind::Histogram { .. }) => (def.series(""), "histogram", None),
            (false, Kind::Gauge | Kind::Info) => (def.series(""), "gauge", None),
        };
        let row = row(&name).unwrap_or_else(|| panic!("{job}: no metadata of {name}"));
        assert_eq!(row["type"], kind, "{job}: {name}");
        assert_eq!(row["unit"], unit.unwrap_or_default(), "{job}: {name}");
        assert_eq!(row["help"], def.help, "{job}: {name}");
        compared += 1;
    }
    assert!(compared > 30, "{job}: {compared} definitions");
}

fn no_total_fell(prometheus: &Server) {
    let mut series = 0;
    for def in ALL {
        let suffixes: &[&str] = match def.kind {
            Kind::Counter => &[""],
            Kind::Histogram { .. } => &["_bucket", "_sum", "_count"],
            Kind::Gauge | Kind::Info => &[],
        };
        for suffix in suffixes {
            let resets = format!("resets({}{suffix}[10m])", def.series(""));
            let resets = query(&prometheus.url, &resets);
            assert!(resets.values().all(|resets| *resets == 0.0), "{resets:?}");
            series += resets.len();
        }
    }
    assert!(series > 300, "{series} totals in both jobs");
}

/// As the target, Prometheus' own counters, and its log say.
fn no_scrape_failed(prometheus: &Server) {
    let answer = http::json(&format!("{}/api/v1/targets", prometheus.url), &[]);
    let targets = answer["data"]["activeTargets"].as_array().expect("targets");
    assert_eq!(targets.len(), JOBS.len());
    for target in targets {
        assert_eq!(target["health"], Value::from("up"), "{target}");
        assert_eq!(target["lastError"], Value::from(""), "{target}");
    }
    let own = of_text(&http::get(&format!("{}/metrics", prometheus.url), CLASSIC).body);
    for reason in [
        "exceeded_body_size_limit",
        "exceeded_sample_limit",
        "sample_duplicate_timestamp",
        "sample_out_of_bounds",
        "sample_out_of_order",
    ] {
        let name = format!("prometheus_target_scrapes_{reason}_total");
        assert_eq!(value(&own, &name, &[]), 0.0, "{name}");
    }
    let complaints: Vec<String> = prometheus
        .program
        .stderr()
        .into_iter()
        .filter(|line| line.contains("level=WARN") || line.contains("level=ERROR"))
        .filter(|line| line.contains("scrape"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}

/// The last value that was scraped is at most what the example says it leaked, and at most two intervals behind.
fn agrees_with_the_example(service: &mut Service, prometheus: &Server) {
    assert!(service.program.wait().success(), "the example ends well");
    let lines = service.program.stdout();
    let printed = lines
        .iter()
        .find_map(|line| line.strip_prefix("sessions leaked: "))
        .and_then(|rest| rest.split(',').next()?.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("what it leaked: {lines:?}"));
    let per_second = MB_PER_HOUR * 1_048_576.0 / 3_600.0 / SESSION_BYTES;
    for (job, ..) in JOBS {
        let series = SESSIONS.replace('{', &format!("{{job={job:?},"));
        let last = one(&query(
            &prometheus.url,
            &format!("last_over_time({series}[10m])"),
        ));
        let range = printed - 2.0 * per_second..=printed;
        assert!(range.contains(&last), "{job}: {last} is not in {range:?}");
        println!("{job}: last scrape {last}, the example knows of {printed}");
    }
}
