//! What stands at the head of a dashboard: links to the others, what can be chosen, what is drawn over all time series.

use serde::{Serialize, Serializer};

use crate::artifacts::promql::Expr;

/// A link at the head of a dashboard, to all others that bear its tags.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DashboardLink {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    tooltip: &'static str,
    icon: &'static str,
    tags: &'static [&'static str],
    as_dropdown: bool,
    include_vars: bool,
    keep_time: bool,
    target_blank: bool,
    url: &'static str,
}

/// What is chosen at the head of a dashboard.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Variable {
    Datasource(DatasourceVariable),
    Query(QueryVariable),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasourceVariable {
    name: &'static str,
    label: &'static str,
    query: &'static str,
    refresh: u8,
    include_all: bool,
    multi: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryVariable {
    name: &'static str,
    label: &'static str,
    datasource: Datasource,
    query: VariableQuery,
    refresh: u8,
    sort: u8,
    multi: bool,
    include_all: bool,
    all_value: &'static str,
    current: VariableOption,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VariableQuery {
    query: String,
    ref_id: &'static str,
}

#[derive(Debug, Serialize)]
struct VariableOption {
    selected: bool,
    text: [&'static str; 1],
    value: [&'static str; 1],
}

/// What is drawn over all time series: when something was so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Annotation {
    name: &'static str,
    datasource: Datasource,
    enable: bool,
    icon_color: &'static str,
    /// Read by some versions of Grafana; others read that of `target`.
    expr: String,
    step: &'static str,
    target: AnnotationTarget,
    title_format: &'static str,
    text_format: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnnotationTarget {
    ref_id: &'static str,
    expr: String,
    interval: &'static str,
}

/// The data source that the variable of this name selects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datasource;

impl DashboardLink {
    pub(super) fn to_tagged(tags: &'static [&'static str]) -> Self {
        Self {
            kind: "dashboards",
            title: "Memory dashboards",
            tooltip: "",
            icon: "external link",
            tags,
            as_dropdown: false,
            include_vars: true,
            keep_time: true,
            target_blank: false,
            url: "",
        }
    }
}

impl Variable {
    pub(super) fn datasource() -> Self {
        Self::Datasource(DatasourceVariable {
            name: "datasource",
            label: "Data source",
            query: "prometheus",
            refresh: 1,
            include_all: false,
            multi: false,
        })
    }

    /// The values of a label; any number of them can be chosen, and all are at first.
    pub(super) fn label(name: &'static str, label: &'static str, query: String) -> Self {
        Self::Query(QueryVariable {
            name,
            label,
            datasource: Datasource,
            query: VariableQuery {
                query,
                ref_id: name,
            },
            // Whenever the time range changes; by name.
            refresh: 2,
            sort: 1,
            multi: true,
            include_all: true,
            all_value: ".+",
            current: VariableOption {
                selected: true,
                text: ["All"],
                value: ["$__all"],
            },
        })
    }
}

impl Annotation {
    pub(super) fn firing(alerts: &Expr) -> Self {
        let expr = alerts.text().to_owned();
        Self {
            name: "Memory alerts",
            datasource: Datasource,
            enable: true,
            icon_color: "red",
            expr: expr.clone(),
            step: "60s",
            target: AnnotationTarget {
                ref_id: "Anno",
                expr,
                interval: "60s",
            },
            title_format: "{{alertname}} {{severity}}",
            text_format: "{{instance}}",
        }
    }
}

impl Serialize for Datasource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Reference {
            #[serde(rename = "type")]
            kind: &'static str,
            uid: &'static str,
        }
        let reference = Reference {
            kind: "prometheus",
            uid: "${datasource}",
        };
        reference.serialize(serializer)
    }
}
