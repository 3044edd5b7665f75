//! A real receiver goes away for several intervals and comes back: nothing is lost, little is said, nothing grows.

use memory_exporter::catalog::{ALL, Kind};

use crate::programs::Server;
use crate::series::value;
use crate::service::Service;
use crate::stores::{now, pushed_after};
use crate::wait::eventually;

const INTERVAL: &str = "1000";
/// Failed exports before the receiver comes back.
const FAILURES: f64 = 5.0;
/// How much a process may grow in the meantime.
const GROWTH: u64 = 4 << 20;

/// An exporter that pushes to its own kind of receiver, and what it says before anything happens.
struct Pushing {
    service: Service,
    name: &'static str,
    lines: usize,
}

impl Pushing {
    fn start(name: &'static str, protocol: &str, endpoint: &str) -> Self {
        let environment = [
            ("OTEL_SERVICE_NAME", name),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL),
        ];
        let service = Service::alone("", &environment);
        let lines = service.program.stderr().len();
        Self {
            service,
            name,
            lines,
        }
    }

    fn exports(&self, outcome: &str) -> f64 {
        let name = "memory_exporter_otlp_exports_total";
        value(&self.service.series(), name, &[("outcome", outcome)])
    }

    fn wait_for(&self, outcome: &str, more: f64) {
        let before = self.exports(outcome);
        eventually(&format!("{more} times {outcome} of {}", self.name), || {
            (self.exports(outcome) >= before + more).then_some(())
        });
    }

    /// What it logged since it listens.
    fn said(&self) -> Vec<String> {
        self.service.program.stderr().split_off(self.lines)
    }
}

#[test]
fn an_outage_loses_nothing_says_little_and_costs_nothing() {
    let mut victoria = Server::victoria(true);
    let mut rotel = Server::rotel(&victoria.url);
    let direct = format!("{}/opentelemetry/v1/metrics", victoria.url);
    let both = [
        Pushing::start("outage-http", "http/protobuf", &direct),
        Pushing::start("outage-grpc", "grpc", &rotel.url),
    ];
    for pushing in &both {
        pushing.wait_for("success", 3.0);
        assert_eq!(pushing.said(), [""; 0], "{}", pushing.name);
    }
    let before = both
        .each_ref()
        .map(|pushing| pushing.service.program.resident());
    victoria.program.crash();
    rotel.program.crash();
    for pushing in &both {
        pushing.wait_for("failure", FAILURES);
        let said = pushing.said();
        assert_eq!(said.len(), 1, "{}: {said:?}", pushing.name);
        assert!(
            said[0].contains("WARN") && said[0].contains("OTLP export failed"),
            "{said:?}"
        );
        assert!(said[0].contains("refused"), "the reason: {said:?}");
    }
    victoria.revive();
    rotel.revive();
    for (pushing, before) in both.iter().zip(before) {
        pushing.wait_for("success", 2.0);
        let program = &pushing.service.program;
        let growth = program.resident().saturating_sub(before);
        assert!(growth < GROWTH, "{}: grew by {growth} bytes", pushing.name);
        let said = pushing.said();
        assert_eq!(said.len(), 2, "{}: {said:?}", pushing.name);
        assert!(
            said[1].contains("INFO") && said[1].contains("again"),
            "{said:?}"
        );

        let low = pushing.service.series();
        let own: Vec<&str> = ALL
            .iter()
            .flat_map(|def| def.labels)
            .map(|label| label.name)
            .filter(|label| *label != "service_version")
            .chain(["le"])
            .collect();
        let pushed = pushed_after(&victoria.url, pushing.name, now(), &own);
        let high = pushing.service.series();
        let mut counters = 0;
        for (id, value) in &pushed.series {
            if matches!(id.def("").kind, Kind::Counter | Kind::Histogram { .. }) {
                let rounding = 1e-12 * high[id];
                let range = low[id] - rounding..=high[id] + rounding;
                assert!(range.contains(value), "{}: {id:?}: {value}", pushing.name);
                counters += 1;
            }
        }
        assert!(counters > 50, "{}: {counters} counters", pushing.name);
        println!(
            "{}: grew by {growth} bytes, {counters} totals agree",
            pushing.name
        );
    }
}
