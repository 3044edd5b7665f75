//! Names, prefix and labels, as configured, are the same in a scrape and in a push.

use std::collections::BTreeSet;

use memory_exporter::Exporter;
use memory_exporter::catalog::{ALL, ALLOCATION_EFFICIENCY_SCORE, Kind, MetricNames, TARGET_INFO};

use crate::pushing::{self, PROTOCOLS, scrape};
use crate::receiver::Receiver;
use crate::receiver::points::{Point, Shape, points};
use crate::series::{Id, Labels};

const LABELS: &str = "metrics: {labels: {team: \"a \\\"b\\\" \\\\ c\", region: eu}}";

/// The series that a point becomes, from the definition that its name belongs to.
fn series(point: &Point, namespace: &str, names: MetricNames) -> Vec<Id> {
    let def = ALL
        .iter()
        .find(|def| def.pushed(namespace, names) == point.name)
        .unwrap_or_else(|| panic!("the catalog has no {}", point.name));
    assert_eq!(point.unit, def.unit.ucum(), "{point:?}");
    assert_eq!(point.help, def.help, "{point:?}");
    let shape = match def.kind {
        Kind::Gauge | Kind::Info => Shape::Gauge,
        Kind::Counter => Shape::Sum {
            monotonic: true,
            delta: false,
        },
        Kind::Histogram { .. } => Shape::Histogram { delta: false },
    };
    assert_eq!(point.shape, shape, "{point:?}");
    let name = def.series(namespace);
    let id = |suffix: &str, more: Option<String>| {
        let more = more.map(|bound| ("le".to_owned(), bound));
        Id::new(
            &(name.clone() + suffix),
            point.labels.clone().into_iter().chain(more),
        )
    };
    match def.kind {
        Kind::Histogram { bounds } => {
            let bounds = bounds.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
            bounds
                .map(|bound| id("_bucket", Some(bound)))
                .chain([id("_sum", None), id("_count", None)])
                .collect()
        }
        _ => vec![id("", None)],
    }
}

#[test]
fn both_ways_have_the_same_series() {
    let mut of_both = BTreeSet::new();
    for protocol in PROTOCOLS {
        for names in [MetricNames::Otel, MetricNames::Prometheus] {
            for namespace in ["", "shop", "my_shop_2"] {
                let receiver = Receiver::start(protocol);
                let mut config = pushing::config(&receiver, LABELS);
                config.otlp.metric_names = names;
                config.metrics.namespace = namespace.to_owned();
                let exporter = Exporter::start(config).expect("an exporter");
                let delivery = receiver.wait_for(1).remove(0);
                let pushed: BTreeSet<Id> = points(&delivery.request)
                    .iter()
                    .flat_map(|point| series(point, namespace, names))
                    .collect();
                let info = TARGET_INFO.series("");
                let (target, scraped): (BTreeSet<Id>, BTreeSet<Id>) = scrape(&exporter)
                    .into_keys()
                    .partition(|id| id.name == info);
                // Another test may have named a component in between; then the push has fewer.
                let components = |ids: &BTreeSet<Id>| -> BTreeSet<String> {
                    let component = |id: &Id| id.labels.get("component").cloned();
                    ids.iter().filter_map(component).collect()
                };
                let known = components(&pushed);
                // And one may have got the samples that a score needs.
                let score = ALLOCATION_EFFICIENCY_SCORE.series(namespace);
                let is_known = |id: &&Id| {
                    let component = id.labels.get("component");
                    id.name != score && component.is_none_or(|own| known.contains(own))
                };
                let [pushed, scraped] = [&pushed, &scraped]
                    .map(|ids| -> BTreeSet<Id> { ids.iter().filter(is_known).cloned().collect() });
                assert_eq!(pushed, scraped, "{protocol:?}, {names:?}, {namespace}");
                assert_eq!(target.len(), 1, "one target_info, without a prefix");
                let constant = |labels: &Labels| {
                    labels
                        .get("team")
                        .is_some_and(|team| team == "a \"b\" \\ c")
                        && labels.get("region").is_some_and(|region| region == "eu")
                };
                assert!(pushed.iter().chain(&target).all(|id| constant(&id.labels)));
                assert!(pushed.iter().all(|id| id.name.starts_with(namespace)));
                of_both.insert(pushed.len());
            }
        }
    }
    assert!(of_both.iter().all(|count| *count > 100), "{of_both:?}");
}
