//! Dashboards for Grafana, and how it is told to load them.
//!
//! | file | holds |
//! |---|---|
//! | `overview.rs` | is it bad, how bad, how long, who |
//! | `leaks.rs` | is it a leak, whose, since when |
//! | `allocator.rs`, `cost.rs` | where memory is that does not leak; what the exporter costs |
//! | `shared.rs`, `verdict.rs` | panels and expressions of more than one dashboard |
//! | `frame.rs` | the head and the rows of all; thresholds as colours |
//! | `build.rs` | what each kind of panel looks like, and what can be said of one |
//! | `links.rs` | where a click leads |
//! | `model.rs`, `head.rs`, `field.rs`, `colour.rs`, `visual.rs` | Grafana's model: wrong words do not compile |
//! | `provisioning.rs` | the files that make Grafana load them |

mod allocator;
mod build;
mod colour;
mod cost;
mod field;
mod frame;
mod head;
mod leaks;
mod links;
mod model;
mod overview;
mod provisioning;
mod shared;
mod verdict;
mod visual;

use super::{Artifact, Wanted};
use frame::Frame;
use model::Dashboard;

/// The dashboards, and the files that make Grafana load them.
pub(super) fn artifacts(wanted: &Wanted) -> Vec<Artifact> {
    let frame = Frame::new(wanted);
    let dashboards = [
        overview::dashboard(&frame),
        leaks::dashboard(&frame),
        allocator::dashboard(&frame),
    ];
    let dashboards = dashboards.iter().map(file);
    dashboards.chain(provisioning::artifacts(wanted)).collect()
}

#[allow(
    clippy::expect_used,
    reason = "the model has no maps with keys that are not texts; every test of it serialises it"
)]
fn file(dashboard: &Dashboard) -> Artifact {
    let json = serde_json::to_string_pretty(dashboard).expect("a dashboard is JSON");
    Artifact {
        path: format!("dashboards/{}.json", dashboard.uid.uid()),
        contents: json + "\n",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::artifacts::Integrations;
    use crate::config::{Config, Profile};

    fn made(config: Config) -> Vec<Artifact> {
        artifacts(&Wanted {
            profile: Profile::Production,
            config,
            interval: Duration::from_secs(30),
            shorten: 1.0,
            integrations: Integrations::default(),
        })
    }

    fn dashboards(config: Config) -> Vec<Value> {
        let files = made(config).into_iter();
        let files = files.filter(|file| file.path.ends_with(".json"));
        files
            .map(|file| serde_json::from_str(&file.contents).unwrap())
            .collect()
    }

    /// Everything that stands behind a key, wherever it is.
    fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get(key));
                object.values().for_each(|value| all(value, key, found));
            }
            Value::Array(values) => values.iter().for_each(|value| all(value, key, found)),
            _ => {}
        }
    }

    #[test]
    fn every_name_bears_the_prefix() {
        let mut config = Config::production();
        config.metrics.namespace = "shop".to_owned();
        for dashboard in dashboards(config) {
            let mut asked = Vec::new();
            all(&dashboard, "expr", &mut asked);
            all(&dashboard, "query", &mut asked);
            let asked: Vec<&str> = asked.into_iter().filter_map(Value::as_str).collect();
            assert!(asked.len() > 20);
            for text in asked {
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let bare = words.find(|word| {
                    ["memory_", "process_"]
                        .iter()
                        .any(|start| word.starts_with(start))
                });
                assert_eq!(bare, None, "{text}");
            }
        }
    }

    #[test]
    fn thresholds_and_intervals_are_those_of_the_configuration() {
        let mb = |mb: u64| Value::from(mb << 20);
        for (config, has, has_not) in [
            (Config::production(), [650, 700], [400, 500]),
            (Config::development(), [400, 500], [650, 700]),
        ] {
            let overview = &dashboards(config)[0];
            let mut values = Vec::new();
            all(overview, "value", &mut values);
            assert!(
                has.iter()
                    .all(|threshold| values.contains(&&mb(*threshold)))
            );
            assert!(
                !has_not
                    .iter()
                    .any(|threshold| values.contains(&&mb(*threshold)))
            );
            let mut intervals = Vec::new();
            all(&overview["panels"], "interval", &mut intervals);
            assert!(intervals.iter().all(|interval| *interval == "30s"));
        }
    }

    #[test]
    fn who_pushes_has_windows_for_it() {
        let mut config = Config::production();
        config.otlp.enabled = true;
        let files = made(config);
        assert!(files[0].contents.contains(r#""interval": "60s""#));
        assert!(!files[0].contents.contains(r#""interval": "30s""#));
        assert!(files[4].contents.contains("timeInterval: 60s"));
    }

    #[test]
    fn clicks_lead_to_the_exporter_as_it_is_reached() {
        let mut config = Config::production();
        config.alerts.links.exporter = "https://{instance}/memory/".to_owned();
        let mut urls = Vec::new();
        let dashboards = dashboards(config);
        all(&dashboards[1], "url", &mut urls);
        let expected = "https://${__field.labels.instance}/memory/debug/flamegraph?type=inuse&component=${__field.labels.component}";
        assert!(urls.iter().any(|url| *url == expected), "{urls:?}");
    }

    #[test]
    fn what_the_host_application_has_is_left_to_it() {
        let mut config = Config::production();
        config.metrics.process = false;
        for file in made(config) {
            assert!(!file.contents.contains("process_threads{"), "{}", file.path);
        }
    }
}
