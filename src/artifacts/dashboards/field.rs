//! How values look: units, colours, thresholds, mappings, links, and what is different for one series or column.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

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

/// A colour that has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Colour {
    /// All is well.
    Green,
    /// A low leak; something to know.
    Blue,
    /// A medium leak; a first warning.
    Yellow,
    /// A high leak; a warning.
    Orange,
    /// A critical leak; a page.
    Red,
    /// The past, and what has no meaning of its own.
    #[serde(rename = "#8e8e8e")]
    Grey,
}

/// Where the colour of a value comes from.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub(super) enum FieldColor {
    Thresholds,
    PaletteClassic,
    Fixed {
        #[serde(rename = "fixedColor")]
        color: Colour,
    },
}

/// From which value on it is how bad.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Thresholds {
    mode: ThresholdsMode,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum ThresholdsMode {
    Absolute,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Step {
    color: Colour,
    /// None is the least there is.
    value: Option<Number>,
}

/// Written without a point where it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) f64);

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
#[serde(tag = "id", content = "options", rename_all = "camelCase")]
pub(super) enum Matcher {
    ByName(String),
    #[serde(rename = "byFrameRefID")]
    ByQuery(char),
    #[serde(rename = "byRegexp")]
    ByPattern(String),
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

impl Thresholds {
    /// One colour for everything.
    pub(super) fn all(color: Colour) -> Self {
        Self::rising(color, [])
    }

    /// The higher, the worse. A step begins above nothing that is worse: which of two thresholds is lower is configuration.
    pub(super) fn rising<const N: usize>(well: Colour, worse: [(Colour, f64); N]) -> Self {
        let mut least = f64::INFINITY;
        let mut steps = Vec::with_capacity(N + 1);
        for (color, value) in worse.into_iter().rev() {
            if value < least {
                least = value;
                steps.push(Step {
                    color,
                    value: Some(Number(value)),
                });
            }
        }
        steps.push(Step {
            color: well,
            value: None,
        });
        steps.reverse();
        Self {
            mode: ThresholdsMode::Absolute,
            steps,
        }
    }

    /// The lower, the worse: `worst` from 0 to where it is better. The better, the later. What is no number, because there is no value,
    /// has the best colour.
    pub(super) fn falling<const N: usize>(worst: Colour, better: [(Colour, f64); N]) -> Self {
        let best = better.last().map_or(worst, |(color, _)| *color);
        let steps = [(best, None), (worst, Some(0.0))].into_iter();
        let steps = steps.chain(better.map(|(color, value)| (color, Some(value))));
        Self {
            mode: ThresholdsMode::Absolute,
            steps: steps
                .map(|(color, value)| Step {
                    color,
                    value: value.map(Number),
                })
                .collect(),
        }
    }
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

impl FieldColor {
    pub(super) const fn fixed(color: Colour) -> Self {
        Self::Fixed { color }
    }
}

impl Override {
    pub(super) fn column(name: &str, properties: Vec<Property>) -> Self {
        Self {
            matcher: Matcher::ByName(name.to_owned()),
            properties,
        }
    }

    pub(super) fn query(ref_id: char, properties: Vec<Property>) -> Self {
        Self {
            matcher: Matcher::ByQuery(ref_id),
            properties,
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "looked at: what is cut off is seen in the comparison"
        )]
        let whole = self.0 as i64;
        #[allow(clippy::cast_precision_loss, reason = "likewise")]
        if whole as f64 == self.0 {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(thresholds: &Thresholds) -> Vec<(Colour, Option<f64>)> {
        let steps = thresholds.steps.iter();
        steps
            .map(|step| (step.color, step.value.map(|value| value.0)))
            .collect()
    }

    #[test]
    fn a_milder_colour_never_covers_a_worse_one() {
        use Colour::{Green, Orange, Red, Yellow};
        for (yellow, orange, red, expected) in [
            (
                5.0,
                20.0,
                50.0,
                vec![(Yellow, 5.0), (Orange, 20.0), (Red, 50.0)],
            ),
            (5.0, 20.0, 10.0, vec![(Yellow, 5.0), (Red, 10.0)]),
            (5.0, 5.0, 5.0, vec![(Red, 5.0)]),
        ] {
            let rising = [(Yellow, yellow), (Orange, orange), (Red, red)];
            let found = steps(&Thresholds::rising(Green, rising));
            assert_eq!(found[0], (Green, None));
            let expected: Vec<_> = expected.into_iter().map(|(c, at)| (c, Some(at))).collect();
            assert_eq!(found[1..], expected);
        }
    }

    #[test]
    fn no_value_is_not_the_worst() {
        let falling = Thresholds::falling(Colour::Red, [(Colour::Green, 60.0)]);
        assert_eq!(
            steps(&falling),
            [
                (Colour::Green, None),
                (Colour::Red, Some(0.0)),
                (Colour::Green, Some(60.0))
            ]
        );
    }
}
