//! Invariants over the whole table. `prometheus_client` believes whatever it is told, so the checking is done here.

use std::collections::{BTreeMap, BTreeSet};

use memory_exporter::catalog::{
    self, ALL, FIXED, Kind, LEAK_SIZE_BOUNDS, MetricNames, SIZE_BOUNDS, SIZE_CATEGORIES, Unit,
};

/// Every public series, as it is written in a scrape and stored from a push. A change here is a change of API: CHANGELOG.
const SERIES: &[&str] = &[
    "memory_rss_bytes",
    "memory_heap_bytes",
    "memory_virtual_bytes",
    "memory_leak_count_total",
    "memory_leak_growth_rate_mb_h",
    "memory_leak_size_bytes",
    "memory_leak_allocation_count_total",
    "memory_allocation_count_total",
    "memory_allocation_bytes_total",
    "memory_allocation_size_bytes",
    "memory_allocation_efficiency_score",
    "memory_allocator_total_bytes",
    "memory_allocation_distribution_total",
    "memory_rss_anon_bytes",
    "memory_rss_file_bytes",
    "memory_rss_shmem_bytes",
    "memory_leak_suspects",
    "memory_leak_suspect_bytes",
    "memory_growth_verdict",
    "memory_deallocation_count_total",
    "memory_deallocation_bytes_total",
    "memory_jemalloc_active_bytes",
    "memory_jemalloc_resident_bytes",
    "memory_jemalloc_mapped_bytes",
    "memory_jemalloc_retained_bytes",
    "memory_jemalloc_metadata_bytes",
    "memory_limit_bytes",
    "memory_limit_used_bytes",
    "memory_limit_exhaustion_seconds",
    "memory_cgroup_current_bytes",
    "memory_cgroup_oom_kills_total",
    "memory_cgroup_pressure_seconds_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_virtual_memory_max_bytes",
    "process_heap_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
    "memory_exporter_build_info",
    "memory_exporter_collector_duration_seconds",
    "memory_exporter_collector_success",
    "memory_exporter_cpu_seconds_total",
    "memory_exporter_footprint_bytes",
    "memory_exporter_dropped_components_total",
    "memory_exporter_sample_interval_bytes",
    "memory_exporter_live_samples",
    "memory_exporter_dropped_samples_total",
    "memory_exporter_otlp_exports_total",
    "memory_exporter_otlp_rejected_points_total",
    "memory_exporter_history_failures_total",
    "memory_exporter_config_last_reload_successful",
    "memory_exporter_config_last_reload_success_timestamp_seconds",
    "memory_exporter_notifications_total",
    "target_info",
];

/// The thirteen by their OpenTelemetry names, kinds and UCUM units, which are fixed for ever.
const THIRTEEN: [(&str, &str, &str); FIXED] = [
    ("memory.rss_bytes", "gauge", "By"),
    ("memory.heap_bytes", "gauge", "By"),
    ("memory.virtual_bytes", "gauge", "By"),
    ("memory.leak.count", "counter", "{leak}"),
    ("memory.leak.growth_rate_mb_h", "gauge", ""),
    ("memory.leak.size_bytes", "histogram", "By"),
    ("memory.leak.allocation_count", "counter", "{allocation}"),
    ("memory.allocation.count", "counter", "{operation}"),
    ("memory.allocation.total_bytes", "counter", "By"),
    ("memory.allocation.size_bytes", "histogram", "By"),
    ("memory.allocation.efficiency_score", "gauge", ""),
    ("memory.allocator.total_bytes", "gauge", "By"),
    ("memory.allocation.distribution", "counter", "{allocation}"),
];

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram { .. } => "histogram",
        Kind::Info => "info",
    }
}

#[test]
fn the_public_series_are_frozen() {
    let series: Vec<String> = ALL.iter().map(|def| def.series("")).collect();
    assert_eq!(series, SERIES);
}

#[test]
fn the_thirteen_are_as_fixed() {
    let first: Vec<_> = ALL[..FIXED]
        .iter()
        .map(|def| (def.name, kind(def.kind), def.unit.ucum()))
        .collect();
    let fixed: Vec<_> = THIRTEEN
        .iter()
        .map(|(name, kind, unit)| (*name, *kind, (*unit).to_owned()))
        .collect();
    assert_eq!(first, fixed);
}

#[test]
fn names_are_legal_and_unique() {
    let mut names = BTreeSet::new();
    for def in ALL {
        assert!(names.insert(def.name), "{} is there twice", def.name);
        let legal = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
        assert!(
            def.name.chars().all(legal) && def.name.starts_with(|c: char| c.is_ascii_lowercase()),
            "{}",
            def.name
        );
        for label in def.labels {
            assert!(
                label
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_')
                    && label.name != "le",
                "{}",
                label.name
            );
        }
    }
}

/// OpenMetrics forbids families whose sample names could be those of another family.
#[test]
fn no_family_clashes_with_the_samples_of_another() {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for def in ALL {
        let family = def.family("");
        let suffixes: &[&str] = match def.kind {
            Kind::Gauge => &[""],
            Kind::Counter => &["", "_total", "_created"],
            Kind::Histogram { .. } => &["", "_bucket", "_sum", "_count", "_created"],
            Kind::Info => &["", "_info"],
        };
        for suffix in suffixes {
            if let Some(other) = owners.insert(format!("{family}{suffix}"), def.name) {
                panic!("{family}{suffix} belongs to {} and to {other}", def.name);
            }
        }
    }
}

#[test]
fn suffixes_come_by_derivation_only() {
    for def in ALL {
        let series = def.series("");
        assert_eq!(
            series.ends_with("_total"),
            def.kind == Kind::Counter,
            "{series}"
        );
        assert!(
            !def.name.ends_with("total"),
            "{}: the kind brings the suffix",
            def.name
        );
        let (base, unit) = def.base_and_unit("");
        match def.unit {
            Unit::Bytes => assert_eq!(
                (format!("{base}_bytes"), unit),
                (def.family(""), Some("bytes"))
            ),
            Unit::Seconds => assert_eq!(
                (format!("{base}_seconds"), unit),
                (def.family(""), Some("seconds"))
            ),
            Unit::Count(_) | Unit::None => assert_eq!((base, unit), (def.family(""), None)),
        }
        // UCUM units that the translators of receivers would turn into a suffix must not appear.
        assert!(!matches!(def.unit.ucum().as_str(), "1" | "%"), "{series}");
        assert!(!def.unit.ucum().contains('/'), "{series}");
    }
}

#[test]
fn pushed_names() {
    let total = &catalog::ALLOCATION_TOTAL_BYTES;
    assert_eq!(
        total.pushed("", MetricNames::Otel),
        "memory.allocation.total_bytes"
    );
    assert_eq!(
        total.pushed("shop", MetricNames::Otel),
        "shop.memory.allocation.total_bytes"
    );
    assert_eq!(
        total.pushed("shop", MetricNames::Prometheus),
        "shop_memory_allocation_bytes_total"
    );
    assert_eq!(total.family("shop"), "shop_memory_allocation_bytes");
}

#[test]
fn help_is_one_plain_sentence() {
    for def in ALL {
        for text in [def.help, def.origin] {
            assert!(!text.is_empty() && text.trim() == text, "{}", def.name);
            assert!(
                !text.contains(['\n', '\\', '"', '`', '[']),
                "{}: HELP is not escaped: {text}",
                def.name
            );
        }
        assert!(
            !def.help.ends_with('.')
                && def.help.starts_with(|c: char| c.is_ascii_uppercase()
                    || c.is_ascii_digit()
                    || c == 'j'),
            "{}",
            def.name
        );
    }
}

#[test]
fn bounds_ascend_and_hold_every_edge() {
    for def in ALL {
        if let Kind::Histogram { bounds } = def.kind {
            assert!(
                bounds.windows(2).all(|pair| pair[0] < pair[1]),
                "{}",
                def.name
            );
        }
    }
    let (unbounded, edges) = SIZE_CATEGORIES.split_last().unwrap();
    assert_eq!(unbounded.1, u64::MAX);
    for (category, edge) in edges {
        assert!(
            SIZE_BOUNDS.contains(edge),
            "a bucket would be split between {category} and the next category"
        );
    }
    for severity in [10_u64, 50, 100] {
        assert!(LEAK_SIZE_BOUNDS.contains(&(severity << 20)));
    }
}
