//! Scrape and push give the same series, same labels, same values, in real stores.

use std::collections::BTreeSet;

use memory_exporter::catalog::{
    ALL, CGROUP_CURRENT_BYTES, EXPORTER_BUILD_INFO, EXPORTER_LIVE_SAMPLES, Kind, LIMIT_BYTES,
    LIMIT_EXHAUSTION_SECONDS, MetricDef, PROCESS_MAX_FDS, PROCESS_START_TIME_SECONDS, TARGET_INFO,
    Unit,
};

use crate::programs::Server;
use crate::series::{Id, Labels, Series, ids};
use crate::service::Service;
use crate::stores::{Pushed, now, pushed_after, scraped};
use crate::wait::eventually;

/// Gauges that stay as they are while a process lives.
const CONSTANT: [&MetricDef; 4] = [
    &LIMIT_BYTES,
    &PROCESS_START_TIME_SECONDS,
    &PROCESS_MAX_FDS,
    &EXPORTER_BUILD_INFO,
];

/// How one exporter pushes.
struct Case {
    name: &'static str,
    protocol: &'static str,
    /// Whether the store translates the names, or gets them as they shall be.
    translated: bool,
    namespace: &'static str,
    labels: &'static str,
}

const fn case(name: &'static str, protocol: &'static str, translated: bool) -> Case {
    Case {
        name,
        protocol,
        translated,
        namespace: "",
        labels: "{}",
    }
}

const fn prefixed(case: Case) -> Case {
    Case {
        namespace: "shop",
        labels: "{team: \"a \\\"b\\\" \\\\ c\", region: eu}",
        ..case
    }
}

const CASES: [Case; 6] = [
    case("grpc-otel", "grpc", true),
    case("http-otel", "http/protobuf", true),
    case("grpc-prometheus", "grpc", false),
    case("http-prometheus", "http/protobuf", false),
    prefixed(case("http-otel-shop", "http/protobuf", true)),
    prefixed(case("grpc-prometheus-shop", "grpc", false)),
];

impl Case {
    fn config(&self) -> String {
        format!(
            "limits: {{memory: 512MiB}}
profiles: {{flamegraphs: on_demand}}
metrics: {{namespace: '{}', labels: {}}}
otlp:
  metric_names: {}
  resource: {{service.namespace: tests, deployment.environment.name: ci}}
",
            self.namespace,
            self.labels,
            if self.translated {
                "otel"
            } else {
                "prometheus"
            }
        )
    }

    /// Labels that belong to the series, not to the resource.
    fn own_labels(&self) -> Vec<&'static str> {
        let others = ALL.iter().filter(|def| def.name != TARGET_INFO.name);
        let labels = others.flat_map(|def| def.labels).map(|label| label.name);
        labels.chain(["le", "team", "region"]).collect()
    }
}

/// A VictoriaMetrics, and a collector in front of it for gRPC.
struct Store {
    victoria: Server,
    rotel: Server,
}

impl Store {
    fn start(translates: bool) -> Self {
        let victoria = Server::victoria(translates);
        let rotel = Server::rotel(&victoria.url);
        Self { victoria, rotel }
    }

    fn endpoint(&self, protocol: &str) -> String {
        match protocol {
            "grpc" => self.rotel.url.clone(),
            _ => format!("{}/opentelemetry/v1/metrics", self.victoria.url),
        }
    }
}

#[test]
fn scrape_and_push_arrive_as_the_same_series() {
    let stores = [false, true].map(Store::start);
    let services = CASES.each_ref().map(|case| {
        let endpoint = stores[usize::from(case.translated)].endpoint(case.protocol);
        let environment = [
            ("OTEL_SERVICE_NAME", case.name),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", case.protocol),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
        ];
        let arguments = ["--leak-mb-per-hour", "2000"];
        Service::leaky(&case.config(), &environment, &arguments)
    });
    let jobs = CASES.iter().zip(&services).map(|(case, service)| {
        let (name, target) = (case.name, &service.address);
        format!("- {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]}}\n")
    });
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}",
        jobs.collect::<String>()
    );
    let prometheus = Server::prometheus(&config);
    for case in &CASES {
        eventually(&format!("Prometheus has scraped {}", case.name), || {
            (!scraped(&prometheus.url, case.name).is_empty()).then_some(())
        });
    }
    for (case, service) in CASES.iter().zip(&services) {
        let store = &stores[usize::from(case.translated)].victoria;
        let info = TARGET_INFO.series("");
        // A component that is named, or has its first samples, between two of the readings makes them differ: then they are taken again.
        let what = format!(
            "{}: scraped, stored and pushed are the same series",
            case.name
        );
        let (target, before, pushed, after) = eventually(&what, || {
            let before = service.series();
            let pushed = pushed_after(&store.url, case.name, now(), &case.own_labels());
            let after = service.series();
            let stored = scraped(&prometheus.url, case.name);
            let is_same = ids(&before) == ids(&stored) && ids(&before) == ids(&after);
            let (target, before): (Series, Series) =
                before.into_iter().partition(|(id, _)| id.name == info);
            (is_same && ids(&pushed.series) == ids(&before))
                .then_some((target, before, pushed, after))
        });
        assert!(before.len() > 300, "{}: {} series", case.name, before.len());
        same_target(case, &pushed, &target);
        for (id, value) in &pushed.series {
            let range = (before[id], after[id]);
            between(case, id, *value, range);
        }
        println!("{}: {} series are equal", case.name, before.len());
    }
}

/// The resource says what `target_info`, `job` and `instance` say.
fn same_target(case: &Case, pushed: &Pushed, target: &Series) {
    let targets: BTreeSet<&Id> = ids(target);
    let [target] = targets.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one target_info: {target:?}");
    };
    let expected = |label: &str| pushed.resource.get(label).map(String::as_str);
    assert_eq!(expected("service_name"), Some(case.name));
    assert_eq!(expected("service_namespace"), Some("tests"));
    assert_eq!(expected("scope_name"), Some("memory-exporter"));
    let more = ["service_name", "service_namespace", "service_instance_id"];
    let of_scope = ["scope_name", "scope_version"];
    let constant = ["team", "region"];
    let mut resource: Labels = pushed.resource.clone();
    resource.retain(|label, _| !more.contains(&&**label) && !of_scope.contains(&&**label));
    let mut labels = target.labels.clone();
    labels.retain(|label, _| !constant.contains(&&**label));
    assert_eq!(resource, labels, "{}: resource and target_info", case.name);
}

/// A counter stands between the scrapes around it; a gauge too, with the tolerance of its unit.
fn between(case: &Case, id: &Id, value: f64, (before, after): (f64, f64)) {
    let def = id.def(case.namespace);
    let slack = match (def.kind, def.unit) {
        (Kind::Counter | Kind::Histogram { .. }, _) => 0.0,
        _ if CONSTANT.iter().any(|constant| constant.name == def.name) => 0.0,
        // All that runs on this machine may be in the same control group.
        _ if def.name == CGROUP_CURRENT_BYTES.name => after,
        // An extrapolation from all of the past.
        _ if def.name == LIMIT_EXHAUSTION_SECONDS.name => after,
        // Whatever is live at the moment, and is gone the next.
        _ if def.name == EXPORTER_LIVE_SAMPLES.name => 200.0,
        (_, Unit::Bytes) => f64::from(8 << 20),
        // How long a collector takes: anything short.
        (_, Unit::Seconds) => 1.0,
        // Threads and descriptors.
        _ => 4.0,
    };
    // A store that keeps decimals rounds the last digits of a fraction.
    let slack = slack + 1e-12 * after.abs();
    let range = before.min(after) - slack..=before.max(after) + slack;
    assert!(
        range.contains(&value),
        "{}: {id:?}: {value} is not in {range:?}",
        case.name
    );
}
