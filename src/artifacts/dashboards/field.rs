//! How values look: units, mappings, links, and what is different for one series or column.

use std::collections::BTreeMap;

use serde::Serialize;

use super::colour::{Colour, FieldColor, Number, Thresholds};

/// How the values of a panel look.
#[derive(Debug, Default, Serialize)]
pub(super) struct FieldConfig {
    pub(super) defaults: Field,
    pub(super) overrides: Vec<Override>,
}

/// How a value looks.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Unit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decimals: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) color: Option<FieldColor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thresholds: Option<Thresholds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_value: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mappings: Vec<Mapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) links: Vec<DataLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom: Option<Custom>,
}

/// Grafana's name of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "short")]
    Number,
    #[serde(rename = "bytes")]
    Bytes,
    /// MB of 1,048,576 bytes.
    #[serde(rename = "mbytes")]
    Megabytes,
    #[serde(rename = "binBps")]
    BytesPerSecond,
    /// From 0 to 1, shown in per cent.
    #[serde(rename = "percentunit")]
    Share,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ops")]
    OperationsPerSecond,
}

/// A text, or a colour, for a value.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", content = "options", rename_all = "lowercase")]
pub(super) enum Mapping {
    Value(BTreeMap<String, Shown>),
}

/// How a mapped value is shown.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Shown {
    text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<Colour>,
    index: usize,
}

/// Where a click on a value leads.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataLink {
    pub(super) title: &'static str,
    pub(super) url: String,
    pub(super) target_blank: bool,
}

/// What one kind of panel has of its own.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Custom {
    Graph(Graph),
    Timeline(Timeline),
    Table(Table),
}

/// Of time series.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Graph {
    pub(super) draw_style: DrawStyle,
    pub(super) line_width: u8,
    pub(super) fill_opacity: u8,
    pub(super) show_points: Visibility,
    pub(super) span_nulls: bool,
    pub(super) stacking: Stacking,
    pub(super) thresholds_style: ThresholdsStyle,
}

/// Of a state timeline.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeline {
    pub(super) line_width: u8,
    pub(super) fill_opacity: u8,
}

/// Of a table.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    pub(super) align: Align,
    pub(super) cell_options: Cell,
    pub(super) inspect: bool,
    pub(super) filterable: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DrawStyle {
    Line,
    Bars,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Visibility {
    Auto,
    Never,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Stacking {
    pub(super) mode: StackingMode,
    group: char,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StackingMode {
    None,
    Normal,
    Percent,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct ThresholdsStyle {
    pub(super) mode: ThresholdsLook,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ThresholdsLook {
    Off,
    Dashed,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Align {
    Auto,
}

/// How a cell of a table is coloured.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Cell {
    Auto,
    ColorText,
    ColorBackground,
}

/// What is different for some series or columns.
#[derive(Debug, Serialize)]
pub(super) struct Override {
    pub(super) matcher: Matcher,
    pub(super) properties: Vec<Property>,
}

/// For which.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "id", content = "options")]
pub(super) enum Matcher {
    /// Of this name.
    #[serde(rename = "byName")]
    Name(String),
    /// Of this query.
    #[serde(rename = "byFrameRefID")]
    Query(char),
    /// Whose name matches.
    #[serde(rename = "byRegexp")]
    Pattern(String),
}

/// What.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "id", content = "value", rename_all = "camelCase")]
pub(super) enum Property {
    Unit(Unit),
    Decimals(u8),
    Color(FieldColor),
    Thresholds(Thresholds),
    Mappings(Vec<Mapping>),
    Links(Vec<DataLink>),
    #[serde(rename = "custom.cellOptions")]
    Cell(Cell),
    #[serde(rename = "custom.lineStyle")]
    LineStyle(LineStyle),
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LineStyle {
    fill: &'static str,
    dash: [u8; 2],
}

impl Mapping {
    /// Texts for the whole numbers from 0 on.
    pub(super) fn numbered(
        shown: impl IntoIterator<Item = (&'static str, Option<Colour>)>,
    ) -> Self {
        let shown = shown.into_iter().enumerate();
        let shown = shown.map(|(index, (text, color))| {
            let shown = Shown { text, color, index };
            (index.to_string(), shown)
        });
        Self::Value(shown.collect())
    }

    /// Colours for texts.
    pub(super) fn named(shown: impl IntoIterator<Item = (&'static str, Colour)>) -> Self {
        let shown = shown.into_iter().enumerate();
        let shown = shown.map(|(index, (text, color))| {
            let color = Some(color);
            (text.to_owned(), Shown { text, color, index })
        });
        Self::Value(shown.collect())
    }
}

impl Stacking {
    pub(super) const NONE: Self = Self::of(StackingMode::None);

    pub(super) const fn of(mode: StackingMode) -> Self {
        Self { mode, group: 'A' }
    }
}

impl LineStyle {
    pub(super) const DASHED: Self = Self {
        fill: "dash",
        dash: [8, 8],
    };
}

impl Override {
    pub(super) fn column(name: &str, properties: Vec<Property>) -> Self {
        Self {
            matcher: Matcher::Name(name.to_owned()),
            properties,
        }
    }

    pub(super) fn query(ref_id: char, properties: Vec<Property>) -> Self {
        Self {
            matcher: Matcher::Query(ref_id),
            properties,
        }
    }
}
