//! Grafana's classic dashboard, as far as it is used: what the published schema does not know cannot be written.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::artifacts::promql::Expr;
use crate::catalog::Board;

use super::field::FieldConfig;
use super::head::{Annotation, DashboardLink, Datasource, Variable};
use super::visual::Visual;

/// The version of the model that Grafana 10 and later migrate from.
const SCHEMA_VERSION: u32 = 39;
/// The time under the pointer is shown in all panels.
const SHARED_CROSSHAIR: u8 = 1;

/// A dashboard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dashboard {
    pub(super) uid: Board,
    pub(super) title: &'static str,
    pub(super) description: String,
    pub(super) tags: &'static [&'static str],
    schema_version: u32,
    version: u32,
    editable: bool,
    graph_tooltip: u8,
    refresh: &'static str,
    timezone: &'static str,
    pub(super) time: TimeRange,
    pub(super) links: Vec<DashboardLink>,
    pub(super) templating: List<Variable>,
    pub(super) annotations: List<Annotation>,
    pub(super) panels: Vec<Element>,
}

/// From when until now a dashboard shows.
#[derive(Debug, Serialize)]
pub(super) struct TimeRange {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// A list in an object of its own.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) list: Vec<T>,
}

/// What stands on a dashboard.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Element {
    Row(RowPanel),
    Panel(Box<Panel>),
}

/// The heading of a row; a collapsed one holds its panels.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowPanel {
    pub(super) id: u32,
    #[serde(rename = "type")]
    pub(super) kind: RowKind,
    pub(super) title: &'static str,
    pub(super) collapsed: bool,
    pub(super) grid_pos: GridPos,
    pub(super) panels: Vec<Panel>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RowKind {
    Row,
}

/// A panel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Panel {
    pub(super) id: u32,
    pub(super) title: &'static str,
    pub(super) description: String,
    #[serde(flatten)]
    pub(super) visual: Visual,
    pub(super) grid_pos: GridPos,
    datasource: Datasource,
    pub(super) interval: String,
    pub(super) targets: Vec<Target>,
    pub(super) field_config: FieldConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) transformations: Vec<Transformation>,
}

/// Where a panel stands, on a grid of 24 columns.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct GridPos {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) w: u32,
    pub(super) h: u32,
}

/// A query of a panel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    pub(super) ref_id: char,
    datasource: Datasource,
    pub(super) expr: String,
    pub(super) legend_format: String,
    pub(super) interval: String,
    pub(super) format: Format,
    instant: bool,
    range: bool,
    editor_mode: &'static str,
}

/// What a query gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    TimeSeries,
    Table,
    Heatmap,
}

/// What becomes of the answers before they are shown.
#[derive(Debug, Serialize)]
#[serde(tag = "id", content = "options", rename_all = "camelCase")]
pub(super) enum Transformation {
    /// Rows of several answers that agree in all labels become one row.
    Merge {},
    /// Columns get an order and names, or go.
    Organize(Organize),
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Organize {
    pub(super) exclude_by_name: BTreeMap<String, bool>,
    pub(super) index_by_name: BTreeMap<String, usize>,
    pub(super) rename_by_name: BTreeMap<String, String>,
}

impl Dashboard {
    /// Without panels and all that hangs on the configuration.
    pub(super) fn new(board: Board, description: &str, from: &'static str) -> Self {
        Self {
            uid: board,
            title: board.title(),
            description: description.to_owned(),
            tags: &[],
            schema_version: SCHEMA_VERSION,
            version: 1,
            editable: false,
            graph_tooltip: SHARED_CROSSHAIR,
            refresh: "30s",
            timezone: "browser",
            time: TimeRange { from, to: "now" },
            links: Vec::new(),
            templating: List { list: Vec::new() },
            annotations: List { list: Vec::new() },
            panels: Vec::new(),
        }
    }
}

impl Panel {
    pub(super) fn new(title: &'static str, visual: Visual) -> Self {
        Self {
            id: 0,
            title,
            description: String::new(),
            visual,
            grid_pos: GridPos::default(),
            datasource: Datasource,
            interval: String::new(),
            targets: Vec::new(),
            field_config: FieldConfig::default(),
            transformations: Vec::new(),
        }
    }
}

impl Target {
    /// `ref_id` and `interval` come from where it is put.
    pub(super) fn new(expr: &Expr, legend: &str, format: Format, instant: bool) -> Self {
        Self {
            ref_id: 'A',
            datasource: Datasource,
            expr: expr.text().to_owned(),
            legend_format: legend.to_owned(),
            interval: String::new(),
            format,
            instant,
            range: !instant,
            editor_mode: "code",
        }
    }
}
