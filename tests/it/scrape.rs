//! The text of a whole scrape, in both formats.

use std::collections::BTreeMap;

use memory_exporter::{Config, Exporter};

const OPENMETRICS: &str = "application/openmetrics-text";

fn exporter(config: Config) -> Exporter {
    Exporter::builder(config)
        .without_server()
        .service("shop", "1.2.3")
        .start()
        .unwrap()
}

fn labelled() -> Config {
    let mut config = Config::production();
    config.metrics.namespace = "shop".to_owned();
    config.metrics.labels = BTreeMap::from([("env".to_owned(), "a \"b\"\\\n".to_owned())]);
    config
}

#[test]
fn openmetrics_declares_types_units_and_ends() {
    let (text, _) = exporter(Config::production()).render(OPENMETRICS).unwrap();
    for block in [
        "# HELP memory_rss_bytes Resident set size as the kernel sees it\n# TYPE memory_rss_bytes gauge\n# UNIT memory_rss_bytes bytes\nmemory_rss_bytes ",
        "# TYPE memory_allocation_bytes counter\n# UNIT memory_allocation_bytes bytes\nmemory_allocation_bytes_total{component=\"unattributed\"} ",
        "# TYPE memory_allocation_size_bytes histogram\n# UNIT memory_allocation_size_bytes bytes\n",
        "memory_allocation_size_bytes_bucket{le=\"67108864.0\",component=\"unattributed\",operation=\"alloc\"} ",
        "memory_allocation_size_bytes_bucket{le=\"+Inf\",component=\"unattributed\",operation=\"alloc\"} ",
        "# TYPE memory_allocation_count counter\nmemory_allocation_count_total{component=\"unattributed\",operation=\"alloc\"} ",
        "memory_allocation_distribution_total{size_category=\"huge\"} ",
        "memory_exporter_otlp_exports_total{outcome=\"failure\"} 0\n",
    ] {
        assert!(text.contains(block), "{block:?} is missing:\n{text}");
    }
    assert!(
        text.starts_with("# HELP target ")
            && text.contains("\ntarget_info{service_version=\"1.2.3\","),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("_bytes_bytes") && !text.contains("{}"));
}

#[test]
fn every_family_stands_once_and_whole() {
    for accept in [OPENMETRICS, ""] {
        let (text, _) = exporter(Config::production()).render(accept).unwrap();
        let types: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let mut unique = types.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), types.len(), "a family is declared twice");
        let mut series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0)
            .collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all, "a series stands twice");
    }
}

#[test]
fn namespace_and_labels_are_on_every_series_but_the_name_of_the_target() {
    let (text, _) = exporter(labelled()).render("").unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("env=\"a \\\"b\\\"\\\\\\n\""), "{line}");
        assert!(
            line.starts_with("shop_") || line.starts_with("target_info{"),
            "{line}"
        );
    }
    assert!(text.contains("\nshop_memory_allocation_bytes_total{"));
    assert!(text.contains("\nshop_process_resident_memory_bytes{"));
}

#[test]
fn the_standard_process_metrics_can_be_left_to_the_host() {
    let mut config = Config::production();
    config.metrics.process = false;
    let (text, _) = exporter(config).render("").unwrap();
    assert!(!text.contains("\nprocess_") && text.contains("\nmemory_rss_bytes "));
}

#[test]
fn components_beyond_the_limit_are_other() {
    let mut config = Config::production();
    config.allocations.max_components = 0;
    let (text, _) = exporter(config).render("").unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("memory_allocation_bytes_total{component=\""));
    let components: Vec<&str> = lines.map(|line| line.split('"').next().unwrap()).collect();
    assert_eq!(components, ["unattributed", "other"]);
}
