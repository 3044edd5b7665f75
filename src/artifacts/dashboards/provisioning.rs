//! The files that make Grafana load the dashboards and know Prometheus.

use serde::Serialize;

use crate::artifacts::{Artifact, GENERATED, Wanted, document};

use super::frame::interval;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Providers {
    api_version: u8,
    providers: [Provider; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    name: &'static str,
    folder: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    disable_deletion: bool,
    allow_ui_updates: bool,
    update_interval_seconds: u32,
    options: ProviderOptions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderOptions {
    path: &'static str,
    folders_from_files_structure: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Datasources {
    api_version: u8,
    datasources: [DatasourceFile; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DatasourceFile {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    access: &'static str,
    url: &'static str,
    is_default: bool,
    json_data: JsonData,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonData {
    http_method: &'static str,
    time_interval: String,
}

pub(super) fn artifacts(wanted: &Wanted) -> [Artifact; 2] {
    let providers = Providers {
        api_version: 1,
        providers: [Provider {
            name: "memory",
            folder: "Memory",
            kind: "file",
            disable_deletion: true,
            allow_ui_updates: false,
            update_interval_seconds: 30,
            options: ProviderOptions {
                path: "/var/lib/grafana/dashboards/memory",
                folders_from_files_structure: false,
            },
        }],
    };
    let datasources = Datasources {
        api_version: 1,
        datasources: [DatasourceFile {
            name: "Prometheus",
            kind: "prometheus",
            access: "proxy",
            url: "http://localhost:9090",
            is_default: true,
            json_data: JsonData {
                http_method: "POST",
                time_interval: interval(wanted),
            },
        }],
    };
    [
        file(
            "dashboards.yaml",
            "path is where Grafana finds memory-*.json.",
            &providers,
        ),
        file(
            "datasource.yaml",
            "url is where Grafana finds Prometheus; timeInterval is how often series come in, by scrape or by push.",
            &datasources,
        ),
    ]
}

fn file(name: &str, hint: &str, contents: &impl Serialize) -> Artifact {
    Artifact {
        path: format!("dashboards/provisioning/{name}"),
        contents: format!("# {GENERATED}\n# {hint}\n{}", document(contents)),
    }
}
