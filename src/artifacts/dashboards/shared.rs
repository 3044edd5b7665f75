//! Panels that stand on more than one dashboard.

use crate::artifacts::promql::{Expr, Scope, gauge};

use super::colour::{Colour, Thresholds};
use super::field::{Mapping, Unit};
use super::frame::Frame;
use super::links::{Clicked, Known, leaks};
use super::model::Panel;

/// What tells a process from others.
pub(super) const INSTANCE: [&str; 2] = ["job", "instance"];

/// The one with the highest value.
pub(super) fn worst(expr: Expr) -> Expr {
    expr.max_by(&INSTANCE).largest(1)
}

/// How long until the first instance reaches its limit.
pub(super) fn time_to_limit(frame: &Frame<'_>) -> Panel {
    let soonest = frame.now(gauge!(LIMIT_EXHAUSTION_SECONDS));
    Panel::named_stat("Time to the limit")
        .query(&soonest.min_by(&INSTANCE).smallest(1), "{{instance}}")
        .unit(Unit::Seconds)
        .thresholds(frame.exhaustion())
        .no_value("not growing, or no limit")
        .links([leaks(Clicked::Series, Known::Job)])
        .about(
            "When the first instance reaches its memory limit if it goes on growing as it does. \
             Orange is the time of MemoryLimitPredicted; red means act now: restart it, or \
             enlarge it, then look for the cause.",
        )
}

/// Whose suspects hold most, among some series.
pub(super) fn main_suspect(frame: &Frame<'_>, among: &Scope) -> Panel {
    let by_component = suspected(among);
    Panel::named_stat("Main suspect")
        .size(4, 4)
        .query(&by_component.largest(1), "{{component}} of {{instance}}")
        .unit(Unit::Bytes)
        .thresholds(Thresholds::rising(Colour::Green, [(Colour::Orange, 1.0)]))
        .no_value("nobody")
        .links([
            leaks(Clicked::Series, Known::JobAndComponent),
            frame.component_graph(Clicked::Series),
            frame.leak_report(Clicked::Series),
        ])
        .about(
            "The component whose open leak suspects hold most. The leak report names the \
             lines of code; the flame graph shows by which ways they are reached. Nobody is \
             what you want.",
        )
}

/// What the open suspects of each component hold, where there are any.
pub(super) fn suspected(among: &Scope) -> Expr {
    let held = among.gauge(gauge!(LEAK_SUSPECT_BYTES)).now();
    held.sum_by(&["job", "instance", "component"])
        .above(Expr::number(0.0))
}

/// Open suspects, by severity.
pub(super) fn open_suspects(frame: &Frame<'_>) -> Panel {
    let suspects = frame.now(gauge!(LEAK_SUSPECTS)).sum_by(&["severity"]);
    Panel::named_stat("Open leak suspects")
        .size(8, 4)
        .query(&suspects, "{{severity}}")
        .unit(Unit::Number)
        .by_severity()
        .no_value("not looked for")
        .about(
            "Places in the code that are thought to leak, by severity, over all chosen \
             instances. Anything that is high or critical deserves a look today; zeros are what \
             you want.",
        )
}

/// What a growth of 0 is called.
pub(super) fn no_leak() -> Mapping {
    Mapping::numbered([("no leak", Some(Colour::Green))])
}

/// How fast the suspects of the worst instance grow.
pub(super) fn leak_growth(frame: &Frame<'_>) -> Panel {
    let growth = frame.now(gauge!(LEAK_GROWTH_RATE_MB_H));
    Panel::named_stat("Leak growth, MB per hour")
        .query(&worst(growth), "{{instance}}")
        .unit(Unit::Megabytes)
        .thresholds(frame.leak_growth())
        .mapped(no_leak())
        .links([
            leaks(Clicked::Series, Known::Job),
            frame.leak_report(Clicked::Series),
        ])
        .about(
            "Growth of all open suspects of the worst instance, in MB of 1,048,576 bytes per \
             hour. Yellow and orange are the severities medium and high, red is the threshold \
             of MemoryLeak. Click to see who.",
        )
}

/// What each component holds.
pub(super) fn held(frame: &Frame<'_>) -> Panel {
    let held = frame.components.gauge(gauge!(ALLOCATOR_TOTAL_BYTES)).now();
    Panel::timeseries("Held memory by component")
        .query(&held.sum_by(&["component"]), "{{component}}")
        .unit(Unit::Bytes)
        .stacked()
        .no_value("no samples")
        .about(
            "Live bytes of each component, estimated from samples so that they add up to the \
             heap, over all chosen instances. The layer that gets thicker is the one to look \
             into; choose it as component above.",
        )
}
