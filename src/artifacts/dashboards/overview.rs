//! Memory / Overview: is it bad, how bad, how long do we have, and who is it.

use crate::artifacts::promql::{Expr, Window, counter, gauge};
use crate::catalog::{AlertSeverity, Board};

use super::build::Column;
use super::colour::{Colour, Thresholds};
use super::field::{Cell, Mapping, Override, Property, Unit};
use super::frame::{Frame, Row, or_none};
use super::links::{Clicked, Known, alert_list, leaks};
use super::model::{Dashboard, Panel};
use super::shared::{
    INSTANCE, leak_growth, main_suspect, no_leak, open_suspects, time_to_limit, worst,
};
use super::verdict;

pub(super) fn dashboard(frame: &Frame<'_>) -> Dashboard {
    let head = Dashboard::new(
        Board::Overview,
        "Start here when you are called: the first two lines say whether it is bad, how bad, how long there is and who it is. Click a \
         value to see the leaks of its instance. Links to an exporter's own pages work where that exporter answers you: stacks it \
         shows to its own machine only.",
        "now-3h",
    );
    let rows = vec![
        Row::new("Now", now(frame)),
        Row::new("Which instance", which(frame)),
        Row::new("Limits", limits(frame)).collapsed(),
    ];
    frame.dashboard(head, false, rows)
}

fn now(frame: &Frame<'_>) -> Vec<Panel> {
    let slope = frame.instances.gauge(gauge!(RSS_BYTES));
    let slope = slope.slope(frame.slope_window());
    let kills = frame
        .instances
        .counter(counter!(CGROUP_OOM_KILLS))
        .increase(Window::Range);
    vec![
        firing(frame),
        Panel::named_stat("Highest resident memory")
            .query(&worst(frame.now(gauge!(RSS_BYTES))), "{{instance}}")
            .unit(Unit::Bytes)
            .thresholds(frame.usage())
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "The largest process. Orange and red are the thresholds of MemoryUsageHigh; if \
                 it still grows, click it to see its leaks.",
            ),
        Panel::named_stat("Highest share of the limit")
            .query(&worst(frame.used_share()), "{{instance}}")
            .unit(Unit::Share)
            .thresholds(frame.share())
            .no_value("no limit")
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Of what the kernel counts against the limit. At 100 % the process is killed: \
                 restart or enlarge it before, then look for the cause.",
            ),
        time_to_limit(frame),
        main_suspect(frame, &frame.instances).size(6, 4),
        Panel::named_stat("Fastest growth")
            .query(&worst(slope), "{{instance}}")
            .unit(Unit::BytesPerSecond)
            .thresholds(frame.growth())
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Slope of resident memory over the window of MemoryGrowth, whose thresholds are \
                 orange and red. Below 0 memory is given back. Click to see whether it is a \
                 leak.",
            ),
        leak_growth(frame),
        open_suspects(frame),
        Panel::stat("Killed for want of memory")
            .query(&or_none(kills.sum()), "kills")
            .unit(Unit::Number)
            .decimals(0)
            .thresholds(Thresholds::rising(Colour::Green, [(Colour::Red, 1.0)]))
            .about(
                "Processes that the kernel killed in the control groups of these instances, \
                 within the time shown. Raise the limit, or look into the profile that was kept \
                 near it: /metrics/memory/profiles.",
            ),
        Panel::stat("Instances")
            .query(&or_none(frame.now(gauge!(RSS_BYTES)).count()), "instances")
            .unit(Unit::Number)
            .thresholds(Thresholds::rising(Colour::Red, [(Colour::Blue, 1.0)]))
            .about(
                "How many processes report. Fewer than you run: some are gone or cannot be \
                 reached. Red: none does, and everything here says nothing.",
            ),
    ]
}

fn firing(frame: &Frame<'_>) -> Panel {
    let of = |severity: AlertSeverity| {
        let alerts = frame.instances.firing();
        or_none(alerts.matching("severity", severity.as_str()).now().sum())
    };
    let panel = Panel::named_stat("Firing alerts")
        .size(6, 4)
        .query(&of(AlertSeverity::Critical), "critical")
        .query(&of(AlertSeverity::Warning), "warning")
        .unit(Unit::Number)
        .except(Override::query('A', Property::from_one(Colour::Red)))
        .except(Override::query('B', Property::from_one(Colour::Orange)))
        .links([alert_list()])
        .about(
            "Memory alerts that fire now; green zeros mean all is well, if instances report at \
             all. MemoryMetricsAbsent is about a job and bears no instance, so it cannot be \
             counted by instance: jobs that have reported lately but do not now are counted as \
             silent instead.",
        );
    match frame.silent_jobs() {
        Some(silent) => panel
            .query(&silent, "silent jobs")
            .except(Override::query('C', Property::from_one(Colour::Orange))),
        None => panel,
    }
}

fn which(frame: &Frame<'_>) -> Vec<Panel> {
    let slope = frame.instances.gauge(gauge!(RSS_BYTES));
    let slope = slope.slope(frame.slope_window());
    let alerts = frame.instances.firing().now();
    vec![
        Panel::timeseries("Resident memory")
            .query(&frame.now(gauge!(RSS_BYTES)), "{{instance}}")
            .unit(Unit::Bytes)
            .zero_based()
            .thresholds(frame.usage())
            .links([
                leaks(Clicked::Series, Known::Job),
                frame.growth_graph(Clicked::Series),
            ])
            .about(
                "What each process has in physical memory. The dashed lines are the thresholds \
                 of MemoryUsageHigh. A line that rises and never falls is the one to click.",
            ),
        Panel::timeseries("Growth of resident memory")
            .query(&slope, "{{instance}}")
            .unit(Unit::BytesPerSecond)
            .thresholds(frame.growth())
            .links([
                leaks(Clicked::Series, Known::Job),
                frame.growth_graph(Clicked::Series),
            ])
            .about(
                "Slope over the window of the alert; the dashed lines are the thresholds of \
                 MemoryGrowth. Short peaks are bursts, a line that stays above 0 is a leak or a \
                 cache that fills. Click it to see which.",
            ),
        instances(frame),
        Panel::state_timeline("Alerts")
            .size(24, 7)
            .query(
                &alerts.max_by(&["alertname", "severity", "instance"]),
                "{{alertname}} {{severity}} {{instance}}",
            )
            .mapped(Mapping::numbered([("", None), ("firing", None)]))
            .colour(Colour::Grey)
            .colour_where("/ critical /", Colour::Red)
            .colour_where("/ warning /", Colour::Orange)
            .no_value("no alert has fired")
            .about(
                "Since when which alert fires. The one that began first is often the cause of \
                 the others. Alerts on a whole job are not here, see Firing alerts.",
            ),
    ]
}

fn instances(frame: &Frame<'_>) -> Panel {
    let each = |expr: Expr| expr.max_by(&INSTANCE);
    let slope = frame.instances.gauge(gauge!(RSS_BYTES));
    let slope = slope.slope(frame.slope_window());
    let columns = vec![
        Column::new("Resident", each(frame.now(gauge!(RSS_BYTES))), Unit::Bytes)
            .coloured(frame.usage()),
        Column::new("Growth", each(slope), Unit::BytesPerSecond).coloured(frame.growth()),
        Column::new("What grows", frame.verdict(), Unit::Number).with([
            Property::Mappings(vec![verdict::names()]),
            Property::Cell(Cell::ColorText),
        ]),
        Column::new("Heap", each(frame.now(gauge!(HEAP_BYTES))), Unit::Bytes),
        Column::new("Share of limit", each(frame.used_share()), Unit::Share)
            .coloured(frame.share()),
        Column::new(
            "Time to limit",
            each(frame.now(gauge!(LIMIT_EXHAUSTION_SECONDS))),
            Unit::Seconds,
        )
        .coloured(frame.exhaustion()),
        Column::new(
            "Open suspects",
            frame.now(gauge!(LEAK_SUSPECTS)).sum_by(&INSTANCE),
            Unit::Number,
        ),
        Column::new(
            "Leak MB per hour",
            each(frame.now(gauge!(LEAK_GROWTH_RATE_MB_H))),
            Unit::Megabytes,
        )
        .coloured(frame.leak_growth())
        .with([Property::Mappings(vec![no_leak()])]),
    ];
    let links = vec![
        leaks(Clicked::Row, Known::Job),
        frame.growth_graph(Clicked::Row),
        frame.leak_report(Clicked::Row),
    ];
    Panel::table("Instances", "Resident", &INSTANCE, columns)
        .except(Override::column("instance", vec![Property::Links(links)]))
        .about(format!(
            "Every chosen process, the largest first. Click an instance for its leaks, its flame graph or its leak report. What grows \
             is the verdict on the last minutes. {}",
            verdict::MEANING
        ))
}

fn limits(frame: &Frame<'_>) -> Vec<Panel> {
    let thresholds = &frame.wanted.config.alerts.thresholds;
    let waiting = frame.rate(counter!(CGROUP_PRESSURE_SECONDS));
    vec![
        Panel::timeseries("Share of the limit")
            .query(&frame.used_share(), "{{instance}}")
            .unit(Unit::Share)
            .zero_to_one()
            .thresholds(frame.share())
            .no_value("no limit")
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Of what the kernel counts against the limit of each process; the dashed lines \
                 are where health turns to warning and critical. Near 100 % the kernel reclaims \
                 first, which is slow, and then kills.",
            ),
        Panel::timeseries("Waiting for memory")
            .query(&waiting, "{{instance}} {{kind}}")
            .unit(Unit::Share)
            .zero_based()
            .thresholds(Thresholds::rising(
                Colour::Green,
                [
                    (Colour::Orange, thresholds.pressure_warning_ratio),
                    (Colour::Red, thresholds.pressure_critical_ratio),
                ],
            ))
            .no_value("not told by this kernel")
            .about(
                "Share of the time in which some or all tasks of the control group stood still \
                 until there was memory. Above the line (orange for some, red for all; one line \
                 where they are equal) the limit is too tight: raise it, or look for what \
                 grows.",
            ),
    ]
}
