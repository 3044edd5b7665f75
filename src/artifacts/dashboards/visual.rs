//! Kinds of panels, with their options.

use serde::Serialize;

use super::field::{Unit, Visibility};

/// A kind of panel.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "options", rename_all = "lowercase")]
pub(super) enum Visual {
    Stat(Stat),
    Timeseries(Timeseries),
    Bargauge(BarGauge),
    Table(Table),
    Heatmap(Heatmap),
    #[serde(rename = "state-timeline")]
    StateTimeline(StateTimeline),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stat {
    reduce_options: ReduceOptions,
    color_mode: &'static str,
    graph_mode: &'static str,
    text_mode: TextMode,
    justify_mode: &'static str,
    orientation: &'static str,
    wide_layout: bool,
    show_percent_change: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeseries {
    legend: Legend,
    tooltip: Tooltip,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BarGauge {
    reduce_options: ReduceOptions,
    display_mode: &'static str,
    orientation: &'static str,
    value_mode: &'static str,
    name_placement: &'static str,
    show_unfilled: bool,
    sizing: &'static str,
    min_viz_width: u32,
    min_viz_height: u32,
    max_viz_height: u32,
    text: TextSize,
}

/// Sizes of letters in pixels.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TextSize {
    title_size: u32,
    value_size: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    show_header: bool,
    cell_height: &'static str,
    sort_by: Vec<SortBy>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Heatmap {
    calculate: bool,
    cell_gap: u8,
    color: HeatmapColor,
    exemplars: Exemplars,
    filter_values: FilterValues,
    legend: HeatmapLegend,
    rows_frame: RowsFrame,
    show_value: Visibility,
    tooltip: HeatmapTooltip,
    y_axis: YAxis,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateTimeline {
    align_value: &'static str,
    merge_values: bool,
    row_height: f64,
    show_value: Visibility,
    legend: Legend,
    tooltip: Tooltip,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReduceOptions {
    calcs: [&'static str; 1],
    fields: &'static str,
    values: bool,
}

/// What is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextMode {
    Value,
    ValueAndName,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Legend {
    show_legend: bool,
    display_mode: &'static str,
    placement: &'static str,
    calcs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_desc: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Tooltip {
    mode: &'static str,
    sort: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SortBy {
    display_name: String,
    desc: bool,
}

#[derive(Debug, Serialize)]
struct HeatmapColor {
    mode: &'static str,
    scheme: &'static str,
    fill: &'static str,
    scale: &'static str,
    exponent: f64,
    steps: u8,
    reverse: bool,
}

#[derive(Debug, Serialize)]
struct Exemplars {
    color: &'static str,
}

#[derive(Debug, Serialize)]
struct FilterValues {
    le: f64,
}

#[derive(Debug, Serialize)]
struct HeatmapLegend {
    show: bool,
}

#[derive(Debug, Serialize)]
struct RowsFrame {
    layout: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeatmapTooltip {
    mode: &'static str,
    y_histogram: bool,
    show_color_scale: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct YAxis {
    axis_placement: &'static str,
    unit: Unit,
    reverse: bool,
}

/// The value that came last.
const LAST: ReduceOptions = ReduceOptions {
    calcs: ["lastNotNull"],
    fields: "",
    values: false,
};

const ALL_SORTED: Tooltip = Tooltip {
    mode: "multi",
    sort: "desc",
};

impl Visual {
    /// A number, or some, each upon its colour.
    pub(super) fn stat(text_mode: TextMode) -> Self {
        Self::Stat(Stat {
            reduce_options: LAST,
            color_mode: "background",
            graph_mode: "none",
            text_mode,
            justify_mode: "auto",
            orientation: "auto",
            wide_layout: true,
            show_percent_change: false,
        })
    }

    /// Lines, with the last and the highest value of each, the highest last value first.
    pub(super) fn timeseries() -> Self {
        Self::Timeseries(Timeseries {
            legend: Legend {
                show_legend: true,
                display_mode: "table",
                placement: "bottom",
                calcs: vec!["lastNotNull", "max"],
                sort_by: Some("Last *"),
                sort_desc: Some(true),
            },
            tooltip: ALL_SORTED,
        })
    }

    /// A bar for each series.
    pub(super) fn bar_gauge() -> Self {
        Self::Bargauge(BarGauge {
            reduce_options: LAST,
            display_mode: "basic",
            orientation: "horizontal",
            value_mode: "color",
            name_placement: "left",
            show_unfilled: true,
            // One bar is no reason to shout: names must fit beside it.
            sizing: "manual",
            min_viz_width: 8,
            min_viz_height: 16,
            max_viz_height: 40,
            text: TextSize {
                title_size: 14,
                value_size: 16,
            },
        })
    }

    /// A table, the highest of a column first.
    pub(super) fn table(sorted_by: &str) -> Self {
        Self::Table(Table {
            show_header: true,
            cell_height: "sm",
            sort_by: vec![SortBy {
                display_name: sorted_by.to_owned(),
                desc: true,
            }],
        })
    }

    /// Buckets as they are counted, over time.
    pub(super) fn heatmap(unit: Unit) -> Self {
        Self::Heatmap(Heatmap {
            calculate: false,
            cell_gap: 1,
            color: HeatmapColor {
                mode: "scheme",
                scheme: "Oranges",
                fill: "dark-orange",
                scale: "exponential",
                exponent: 0.5,
                steps: 64,
                reverse: false,
            },
            exemplars: Exemplars {
                color: "rgba(255,0,255,0.7)",
            },
            filter_values: FilterValues { le: 1e-9 },
            legend: HeatmapLegend { show: true },
            rows_frame: RowsFrame { layout: "auto" },
            show_value: Visibility::Never,
            tooltip: HeatmapTooltip {
                mode: "single",
                y_histogram: false,
                show_color_scale: true,
            },
            y_axis: YAxis {
                axis_placement: "left",
                unit,
                reverse: false,
            },
        })
    }

    /// States over time, a line for each series.
    pub(super) fn state_timeline() -> Self {
        Self::StateTimeline(StateTimeline {
            align_value: "left",
            merge_values: true,
            row_height: 0.9,
            show_value: Visibility::Auto,
            legend: Legend {
                show_legend: false,
                display_mode: "list",
                placement: "bottom",
                calcs: Vec::new(),
                sort_by: None,
                sort_desc: None,
            },
            tooltip: Tooltip {
                mode: "single",
                sort: "none",
            },
        })
    }
}
