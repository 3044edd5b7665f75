//! What all dashboards share: their head, their rows, and what a panel says unless it says something else.

use std::time::Duration;

use crate::artifacts::Wanted;
use crate::artifacts::promql::{Expr, Scope, Selector, Window, counter, gauge};
use crate::catalog::{
    ALERTS, ALLOCATOR_TOTAL_BYTES, Condition, Counter, Gauge, Over, RSS_BYTES, Threshold,
};

use super::colour::{Colour, Thresholds};
use super::head::{Annotation, DashboardLink, Variable};
use super::model::{Dashboard, Element, GridPos, Panel, RowKind, RowPanel};

/// By which the dashboards find one another; the last one says whose they are.
const TAGS: &[&str] = &["memory", "rust", "generated"];

/// Columns of the grid.
const COLUMNS: u32 = 24;

/// What panels are made from.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) wanted: &'a Wanted,
    /// The series of the chosen instances.
    pub(super) instances: Scope,
    /// Of those, where they have components, only those of the chosen components.
    pub(super) components: Scope,
}

/// Panels that stand together.
#[derive(Debug)]
pub(super) struct Row {
    title: &'static str,
    collapsed: bool,
    panels: Vec<Panel>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        let scope = || Scope::of_variables(&wanted.config.metrics.namespace);
        Self {
            wanted,
            instances: scope(),
            components: scope().with_component(),
        }
    }

    /// The head of a dashboard, and its rows below it.
    pub(super) fn dashboard(
        &self,
        mut dashboard: Dashboard,
        by_component: bool,
        rows: Vec<Row>,
    ) -> Dashboard {
        let namespace = &self.wanted.config.metrics.namespace;
        let (rss, held) = (
            RSS_BYTES.series(namespace),
            ALLOCATOR_TOTAL_BYTES.series(namespace),
        );
        let job = "job=~\"$job\"";
        let instance = "instance=~\"$instance\"";
        let mut variables = vec![
            Variable::datasource(),
            Variable::label("job", "Job", format!("label_values({rss}, job)")),
            Variable::label(
                "instance",
                "Instance",
                format!("label_values({rss}{{{job}}}, instance)"),
            ),
        ];
        if by_component {
            variables.push(Variable::label(
                "component",
                "Component",
                format!("label_values({held}{{{job}, {instance}}}, component)"),
            ));
        }
        dashboard.tags = TAGS;
        dashboard.links = vec![DashboardLink::to_tagged(TAGS)];
        dashboard.templating.list = variables;
        dashboard.annotations.list = vec![Annotation::firing(&self.instances.firing().now())];
        dashboard.panels = layout(rows, &interval(self.wanted));
        dashboard
    }

    pub(super) fn threshold(&self, threshold: Threshold) -> f64 {
        self.wanted.config.alerts.thresholds.of(threshold)
    }

    /// The window over which the alerts take the slope of resident memory.
    pub(super) fn slope_window(&self) -> Window {
        let window = ALERTS.iter().find_map(|alert| match alert.condition {
            Condition::Level {
                over: Over::Slope(window),
                ..
            } => Some(window),
            _ => None,
        });
        self.window(window.unwrap_or(Duration::from_secs(300)))
    }

    /// A window of a fixed length, as the rules would have it.
    pub(super) fn window(&self, window: Duration) -> Window {
        Window::Of(self.wanted.pace().window(window))
    }

    /// How many jobs the alert on silence would be about: they are remembered, and no chosen instance of them reports.
    pub(super) fn silent_jobs(&self) -> Option<Expr> {
        let (metric, remembered) = ALERTS.iter().find_map(|alert| match alert.condition {
            Condition::Silent { metric, remembered } => Some((metric, remembered)),
            _ => None,
        })?;
        let metric = self.instances.gauge(metric);
        let remembered = metric.last(self.window(remembered)).group_by(&["job"]);
        let reporting = metric.now().group_by(&["job"]);
        Some(or_none(remembered.unless(reporting).count()))
    }

    /// Used share of the memory limit, by instance.
    pub(super) fn used_share(&self) -> Expr {
        self.now(gauge!(LIMIT_USED_BYTES))
            .divided_by(self.now(gauge!(LIMIT_BYTES)))
    }

    /// A gauge of the chosen instances.
    pub(super) fn now(&self, metric: Gauge) -> Expr {
        self.instances.gauge(metric).now()
    }

    /// How fast a counter of the chosen instances rises per second.
    pub(super) fn rate(&self, metric: Counter) -> Expr {
        self.instances.counter(metric).rate(Window::Rate)
    }

    /// Suspects opened within the time that is shown.
    pub(super) fn opened(&self) -> Expr {
        self.instances
            .counter(counter!(LEAK_COUNT))
            .increase(Window::Range)
    }

    /// Thresholds of resident memory.
    pub(super) fn usage(&self) -> Thresholds {
        self.warning_and_critical(Threshold::UsageWarningMb, Threshold::UsageCriticalMb)
    }

    /// Thresholds of its growth.
    pub(super) fn growth(&self) -> Thresholds {
        self.warning_and_critical(
            Threshold::GrowthWarningMbPerS,
            Threshold::GrowthCriticalMbPerS,
        )
    }

    fn warning_and_critical(&self, warning: Threshold, critical: Threshold) -> Thresholds {
        Thresholds::rising(
            Colour::Green,
            [
                (Colour::Orange, self.threshold(warning)),
                (Colour::Red, self.threshold(critical)),
            ],
        )
    }

    /// Thresholds of the used share of the limit.
    pub(super) fn share(&self) -> Thresholds {
        let thresholds = &self.wanted.config.alerts.thresholds;
        Thresholds::rising(
            Colour::Green,
            [
                (Colour::Orange, thresholds.limit_warning_ratio),
                (Colour::Red, thresholds.limit_critical_ratio),
            ],
        )
    }

    /// Thresholds of the time until the limit.
    pub(super) fn exhaustion(&self) -> Thresholds {
        let thresholds = &self.wanted.config.alerts.thresholds;
        Thresholds::falling(
            Colour::Red,
            [
                (Colour::Orange, thresholds.exhaustion_critical.as_secs_f64()),
                (Colour::Green, thresholds.exhaustion_warning.as_secs_f64()),
            ],
        )
    }

    /// Thresholds of the growth of leaks: the severities, but critical where the alert is.
    pub(super) fn leak_growth(&self) -> Thresholds {
        let leaks = &self.wanted.config.leaks.thresholds;
        Thresholds::rising(
            Colour::Blue,
            [
                (Colour::Yellow, leaks.medium.growth_mb_per_hour),
                (Colour::Orange, leaks.high.growth_mb_per_hour),
                (Colour::Red, self.threshold(Threshold::LeakMbPerHour)),
            ],
        )
    }
}

/// How often series come in, by which Grafana chooses the windows of rates: where they are pushed, no window must be too short for that. It is
/// written with one unit, as Grafana reads no more.
pub(super) fn interval(wanted: &Wanted) -> String {
    let pace = wanted.pace();
    let interval = if wanted.config.otlp.enabled {
        pace.scrape().max(pace.push())
    } else {
        pace.scrape()
    };
    format!("{}s", interval.as_secs_f64().ceil())
}

/// By how much a counter rose, where what was not there before counts in full: a series that is born at 1 has risen by 1, which no two
/// of its samples show.
pub(super) fn gained(counter: &Selector<Counter>, window: Window) -> Expr {
    let born = counter.now().unless(counter.before(window));
    born.or(counter.increase(window))
}

/// 0 where there is nothing to count.
pub(super) fn or_none(count: Expr) -> Expr {
    count.or(Expr::vector(0.0))
}

impl Row {
    pub(super) fn new(title: &'static str, panels: Vec<Panel>) -> Self {
        Self {
            title,
            collapsed: false,
            panels,
        }
    }

    /// As it is, but closed: its queries are not asked until somebody opens it.
    pub(super) fn collapsed(self) -> Self {
        Self {
            collapsed: true,
            ..self
        }
    }
}

/// Rows from the top, their panels from left to right. A panel that does not fit begins a line of its own below the highest before it.
fn layout(rows: Vec<Row>, interval: &str) -> Vec<Element> {
    let mut elements = Vec::new();
    let (mut id, mut y) = (0, 0);
    let mut next = || {
        id += 1;
        id
    };
    for row in rows {
        let mut heading = RowPanel {
            id: next(),
            kind: RowKind::Row,
            title: row.title,
            collapsed: row.collapsed,
            grid_pos: GridPos {
                x: 0,
                y,
                w: COLUMNS,
                h: 1,
            },
            panels: Vec::new(),
        };
        let (mut x, mut line, mut below) = (0, y + 1, y + 1);
        let place = |mut panel: Panel| {
            let GridPos { w, h, .. } = panel.grid_pos;
            if x + w > COLUMNS {
                (x, line) = (0, below);
            }
            panel.grid_pos = GridPos { x, y: line, w, h };
            (x, below) = (x + w, below.max(line + h));
            panel.id = next();
            interval.clone_into(&mut panel.interval);
            for target in &mut panel.targets {
                interval.clone_into(&mut target.interval);
            }
            panel
        };
        let panels: Vec<Panel> = row.panels.into_iter().map(place).collect();
        if row.collapsed {
            heading.panels = panels;
            elements.push(Element::Row(heading));
            y += 1;
        } else {
            elements.push(Element::Row(heading));
            elements.extend(panels.into_iter().map(|panel| Element::Panel(panel.into())));
            y = below;
        }
    }
    elements
}
