//! Panels, put together: what each kind looks like here, and what can be said of one.

use crate::artifacts::promql::Expr;
use crate::catalog::SEVERITIES;

use super::colour::{Colour, FieldColor, Number, Thresholds};
use super::field::{
    Align, Cell, Custom, DataLink, DrawStyle, Graph, Mapping, Matcher, Override, Property,
    Stacking, StackingMode, Table, ThresholdsLook, ThresholdsStyle, Timeline, Unit, Visibility,
};
use super::model::{Format, Organize, Panel, Target, Transformation};
use super::visual::{TextMode, Visual};

/// The colours of the severities of a leak, in the order of [`SEVERITIES`].
const SEVERITY_COLOURS: [Colour; SEVERITIES.len()] =
    [Colour::Blue, Colour::Yellow, Colour::Orange, Colour::Red];

const GRAPH: Graph = Graph {
    draw_style: DrawStyle::Line,
    line_width: 1,
    fill_opacity: 0,
    show_points: Visibility::Auto,
    span_nulls: false,
    stacking: Stacking::NONE,
    thresholds_style: ThresholdsStyle {
        mode: ThresholdsLook::Off,
    },
};

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    name: &'static str,
    expr: Expr,
    properties: Vec<Property>,
}

impl Column {
    pub(super) fn new(name: &'static str, expr: Expr, unit: Unit) -> Self {
        Self {
            name,
            expr,
            properties: vec![Property::Unit(unit)],
        }
    }

    /// Coloured by thresholds.
    pub(super) fn coloured(self, thresholds: Thresholds) -> Self {
        self.with([
            Property::Thresholds(thresholds),
            Property::Cell(Cell::ColorText),
        ])
    }

    pub(super) fn with<const N: usize>(mut self, properties: [Property; N]) -> Self {
        self.properties.extend(properties);
        self
    }
}

impl Panel {
    /// The number, coloured.
    pub(super) fn stat(title: &'static str) -> Self {
        Self::new(title, Visual::stat(TextMode::Value)).size(4, 4)
    }

    /// The number, coloured, and whose it is.
    pub(super) fn named_stat(title: &'static str) -> Self {
        Self::new(title, Visual::stat(TextMode::ValueAndName)).size(4, 4)
    }

    pub(super) fn timeseries(title: &'static str) -> Self {
        let mut panel = Self::new(title, Visual::timeseries()).size(12, 9);
        panel.field_config.defaults.color = Some(FieldColor::PaletteClassic);
        panel.field_config.defaults.custom = Some(Custom::Graph(GRAPH));
        panel
    }

    pub(super) fn bar_gauge(title: &'static str) -> Self {
        Self::new(title, Visual::bar_gauge()).size(8, 9)
    }

    pub(super) fn heatmap(title: &'static str, unit: Unit) -> Self {
        Self::new(title, Visual::heatmap(unit)).size(12, 9)
    }

    pub(super) fn state_timeline(title: &'static str) -> Self {
        let mut panel = Self::new(title, Visual::state_timeline()).size(12, 9);
        panel.field_config.defaults.custom = Some(Custom::Timeline(Timeline {
            line_width: 0,
            fill_opacity: 80,
        }));
        panel.unit(Unit::Number)
    }

    /// A row for each combination of `labels`, which every column must have been aggregated by.
    pub(super) fn table(
        title: &'static str,
        sorted_by: &'static str,
        labels: &[&str],
        columns: Vec<Column>,
    ) -> Self {
        let mut panel = Self::new(title, Visual::table(sorted_by)).size(24, 9);
        panel.field_config.defaults.custom = Some(Custom::Table(Table {
            align: Align::Auto,
            cell_options: Cell::Auto,
            inspect: false,
            filterable: true,
        }));
        let mut organize = Organize::default();
        organize.exclude_by_name.insert("Time".to_owned(), true);
        for label in labels {
            let index = organize.index_by_name.len();
            organize.index_by_name.insert((*label).to_owned(), index);
        }
        for column in columns {
            panel = panel.ask(&column.expr, "", Format::Table, true);
            let ref_id = panel.targets.last().map_or('A', |target| target.ref_id);
            let value = format!("Value #{ref_id}");
            let index = organize.index_by_name.len();
            organize.index_by_name.insert(value.clone(), index);
            organize
                .rename_by_name
                .insert(value, column.name.to_owned());
            panel = panel.except(Override::column(column.name, column.properties));
        }
        panel.transformations = vec![Transformation::Merge {}, Transformation::Organize(organize)];
        panel.unit(Unit::Number)
    }

    /// What is shown: of time series over time, else at the end of it.
    pub(super) fn query(self, expr: &Expr, legend: &str) -> Self {
        let (format, instant) = match self.visual {
            Visual::Heatmap(_) => (Format::Heatmap, false),
            Visual::Timeseries(_) | Visual::StateTimeline(_) => (Format::TimeSeries, false),
            Visual::Table(_) => (Format::Table, true),
            Visual::Stat(_) | Visual::Bargauge(_) => (Format::TimeSeries, true),
        };
        self.ask(expr, legend, format, instant)
    }

    fn ask(mut self, expr: &Expr, legend: &str, format: Format, instant: bool) -> Self {
        let mut target = Target::new(expr, legend, format, instant);
        if let Some(last) = self.targets.last() {
            target.ref_id = char::from_u32(u32::from(last.ref_id) + 1).unwrap_or('Z');
        }
        self.targets.push(target);
        self
    }

    /// What high and low mean, and what to do next.
    pub(super) fn about(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    pub(super) fn size(mut self, w: u32, h: u32) -> Self {
        (self.grid_pos.w, self.grid_pos.h) = (w, h);
        self
    }

    pub(super) fn unit(mut self, unit: Unit) -> Self {
        self.field_config.defaults.unit = Some(unit);
        self
    }

    pub(super) fn decimals(mut self, decimals: u8) -> Self {
        self.field_config.defaults.decimals = Some(decimals);
        self
    }

    /// The axis begins at 0.
    pub(super) fn zero_based(mut self) -> Self {
        self.field_config.defaults.min = Some(Number(0.0));
        self
    }

    /// The axis goes from 0 to 1.
    pub(super) fn zero_to_one(mut self) -> Self {
        self.field_config.defaults.max = Some(Number(1.0));
        self.zero_based()
    }

    /// Lines in a graph, colours elsewhere.
    pub(super) fn thresholds(mut self, thresholds: Thresholds) -> Self {
        match &mut self.field_config.defaults.custom {
            Some(Custom::Graph(graph)) => graph.thresholds_style.mode = ThresholdsLook::Dashed,
            _ => self.field_config.defaults.color = Some(FieldColor::Thresholds),
        }
        self.field_config.defaults.thresholds = Some(thresholds);
        self
    }

    pub(super) fn colour(mut self, colour: Colour) -> Self {
        self.field_config.defaults.color = Some(FieldColor::fixed(colour));
        self
    }

    pub(super) fn no_value(mut self, text: &'static str) -> Self {
        self.field_config.defaults.no_value = Some(text);
        self
    }

    pub(super) fn mapped(mut self, mapping: Mapping) -> Self {
        self.field_config.defaults.mappings.push(mapping);
        self
    }

    pub(super) fn links<const N: usize>(mut self, links: [DataLink; N]) -> Self {
        self.field_config.defaults.links.extend(links);
        self
    }

    pub(super) fn except(mut self, except: Override) -> Self {
        self.field_config.overrides.push(except);
        self
    }

    fn graph(mut self, change: impl FnOnce(&mut Graph)) -> Self {
        if let Some(Custom::Graph(graph)) = &mut self.field_config.defaults.custom {
            change(graph);
        }
        self
    }

    /// Layers on one another.
    pub(super) fn stacked(self) -> Self {
        self.stacked_to(StackingMode::Normal)
    }

    /// Shares of the whole.
    pub(super) fn shares(self) -> Self {
        self.stacked_to(StackingMode::Percent)
    }

    fn stacked_to(self, mode: StackingMode) -> Self {
        let stacked = self.graph(|graph| {
            graph.stacking = Stacking::of(mode);
            graph.fill_opacity = 25;
        });
        stacked.zero_based()
    }

    /// Bars: things that happen, not levels.
    pub(super) fn bars(self) -> Self {
        let bars = self.graph(|graph| {
            graph.draw_style = DrawStyle::Bars;
            graph.fill_opacity = 80;
        });
        bars.zero_based().decimals(0)
    }

    /// Each severity in its colour, where a series bears its name. A number of 0 is green all the same.
    pub(super) fn by_severity(self) -> Self {
        let is_number = matches!(self.visual, Visual::Stat(_));
        let severities = SEVERITIES.iter().zip(SEVERITY_COLOURS);
        severities.fold(self, |panel, (severity, colour)| {
            let properties = if is_number {
                Property::from_one(colour)
            } else {
                vec![Property::Color(FieldColor::fixed(colour))]
            };
            panel.except(Override::column(severity, properties))
        })
    }

    /// A colour for the series whose name matches.
    pub(super) fn colour_where(self, pattern: &str, colour: Colour) -> Self {
        self.except(Override {
            matcher: Matcher::Pattern(pattern.to_owned()),
            properties: vec![Property::Color(FieldColor::fixed(colour))],
        })
    }
}

impl Property {
    /// Green at 0, and a colour from 1 on.
    pub(super) fn from_one(colour: Colour) -> Vec<Self> {
        vec![
            Self::Color(FieldColor::Thresholds),
            Self::Thresholds(Thresholds::rising(Colour::Green, [(colour, 1.0)])),
        ]
    }
}

impl Override {
    /// The cells of a column of severities.
    pub(super) fn severities(column: &str) -> Self {
        let severities = SEVERITIES.iter().zip(SEVERITY_COLOURS);
        let mapping = Mapping::named(severities.map(|(name, colour)| (*name, colour)));
        Self::column(
            column,
            vec![
                Property::Mappings(vec![mapping]),
                Property::Cell(Cell::ColorBackground),
            ],
        )
    }
}
