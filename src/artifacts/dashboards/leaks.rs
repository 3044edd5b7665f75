//! Memory / Leak investigation: is it a leak, who is it, what and since when.

use std::time::Duration;

use crate::artifacts::promql::{Expr, Window, counter, gauge, histogram};
use crate::catalog::{Board, OPERATIONS};

use super::build::Column;
use super::colour::{Colour, FieldColor, Thresholds};
use super::field::{LineStyle, Override, Property, Unit};
use super::frame::{Frame, Row, gained};
use super::links::{Clicked, Known, leaks};
use super::model::{Dashboard, Panel};
use super::shared::{held, leak_growth, main_suspect, open_suspects, suspected, time_to_limit};
use super::verdict;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Of one component of one process.
const COMPONENT: [&str; 3] = ["job", "instance", "component"];

pub(super) fn dashboard(frame: &Frame<'_>) -> Dashboard {
    let head = Dashboard::new(
        Board::Leaks,
        "From a process that grows to the component that does it, and by a click to the line of code: bars, lines and rows lead to the \
         flame graph and to the leak report of the exporter. Those show stacks, which an exporter shows to its own machine only.",
        "now-6h",
    );
    let rows = vec![
        Row::new("Is it leaking, and how long have we got", is_it(frame)),
        Row::new("Who", who(frame)),
        Row::new("What and since when", what(frame)),
        Row::new("Sizes of suspects", sizes(frame)).collapsed(),
    ];
    frame.dashboard(head, true, rows)
}

fn is_it(frame: &Frame<'_>) -> Vec<Panel> {
    vec![
        Panel::named_stat("What grows")
            .query(&frame.verdict().largest(1), "{{instance}}")
            .unit(Unit::Number)
            .mapped(verdict::names())
            .thresholds(Thresholds::all(Colour::Grey))
            .no_value("cannot be told yet")
            .about(format!(
                "Which part of resident memory grows in the worst instance. What is retained comes \
                 back with POST /metrics/memory/gc; page cache the kernel takes back itself; the \
                 others go on until the program changes. {}",
                verdict::MEANING
            )),
        leak_growth(frame),
        time_to_limit(frame),
        main_suspect(frame, &frame.components).size(5, 4),
        open_suspects(frame).size(7, 4),
        memory(frame),
        Panel::timeseries("Leak growth, MB per hour")
            .query(&frame.now(gauge!(LEAK_GROWTH_RATE_MB_H)), "{{instance}}")
            .unit(Unit::Megabytes)
            .zero_based()
            .thresholds(frame.leak_growth())
            .links([
                leaks(Clicked::Series, Known::Job),
                frame.leak_report(Clicked::Series),
            ])
            .about(
                "Growth of all open suspects of each instance. The dashed lines are the \
                 severities medium and high and the threshold of MemoryLeak. A step up is a new \
                 suspect, a step down one that was closed.",
            ),
    ]
}

fn memory(frame: &Frame<'_>) -> Panel {
    let dashed = |colour: Colour| {
        vec![
            Property::Color(FieldColor::fixed(colour)),
            Property::LineStyle(LineStyle::DASHED),
        ]
    };
    Panel::timeseries("Resident memory, heap and limit")
        .query(&frame.now(gauge!(RSS_BYTES)), "{{instance}} resident")
        .query(&frame.now(gauge!(HEAP_BYTES)), "{{instance}} heap")
        .query(&frame.now(gauge!(LIMIT_BYTES)), "{{instance}} limit")
        .except(Override::query('C', dashed(Colour::Red)))
        .unit(Unit::Bytes)
        .zero_based()
        .links([frame.growth_graph(Clicked::Series)])
        .about(
            "Heap that rises together with resident memory is live data: a leak or a cache. \
             Resident memory that rises alone is fragmentation, retention or not heap at all: \
             see Memory / Allocator internals. Dashed red is the limit.",
        )
}

fn who(frame: &Frame<'_>) -> Vec<Panel> {
    let growth = frame
        .components
        .gauge(gauge!(ALLOCATOR_TOTAL_BYTES))
        .slope(frame.window(15 * MINUTE));
    let suspects = frame.now(gauge!(LEAK_SUSPECTS)).sum_by(&["severity"]);
    vec![
        Panel::bar_gauge("Held by open suspects")
            .query(
                &suspected(&frame.components).largest(10),
                "{{component}} {{instance}}",
            )
            .unit(Unit::Bytes)
            .zero_based()
            .colour(Colour::Orange)
            .no_value("nobody is suspected")
            .links([
                leaks(Clicked::Series, Known::JobAndComponent),
                frame.component_graph(Clicked::Series),
                frame.leak_report(Clicked::Series),
            ])
            .about(
                "Live bytes of the leak suspects of each component that are open now. Begin \
                 with the longest bar: a click narrows everything here to that component, or \
                 leads to the lines of code.",
            ),
        Panel::timeseries("Growth of held memory by component")
            .size(8, 9)
            .query(
                &growth.sum_by(&COMPONENT).largest(10),
                "{{component}} {{instance}}",
            )
            .unit(Unit::BytesPerSecond)
            .no_value("no samples")
            .links([
                leaks(Clicked::Series, Known::JobAndComponent),
                frame.component_graph(Clicked::Series),
                frame.growth_graph(Clicked::Series),
            ])
            .about(
                "Slope of the live bytes of the ten components that grow fastest. One whose \
                 line stays above 0 is the suspect; those that cross 0 breathe. Estimated from \
                 samples, so short peaks mean little.",
            ),
        Panel::timeseries("Open suspects by severity")
            .size(8, 9)
            .query(&suspects, "{{severity}}")
            .unit(Unit::Number)
            .decimals(0)
            .stacked()
            .by_severity()
            .no_value("not looked for")
            .about(
                "How many places are thought to leak, over all chosen instances. A rise is when \
                 it began: look at what was deployed then. A colour that turns from blue to red \
                 is one that became worse.",
            ),
        suspects_table(frame),
    ]
}

fn suspects_table(frame: &Frame<'_>) -> Panel {
    let labels = ["job", "instance", "component", "severity"];
    let each = |expr: Expr| expr.sum_by(&labels).above(Expr::number(0.0));
    let histogram = histogram!(LEAK_SIZE_BYTES);
    let found = gained(&frame.components.count(histogram), Window::Range);
    let bytes = gained(&frame.components.sum(histogram), Window::Range);
    let added = frame
        .components
        .counter(counter!(LEAK_ALLOCATION_COUNT))
        .increase(Window::Range);
    let columns = vec![
        Column::new("Suspects", each(found), Unit::Number).with([Property::Decimals(0)]),
        Column::new("Size", each(bytes), Unit::Bytes),
        Column::new("Blocks added", each(added), Unit::Number).with([Property::Decimals(0)]),
    ];
    let links = vec![
        leaks(Clicked::Row, Known::JobAndComponent),
        frame.component_graph(Clicked::Row),
        frame.leak_report(Clicked::Row),
    ];
    Panel::table("Suspects in the time shown", "Size", &labels, columns)
        .except(Override::column("component", vec![Property::Links(links)]))
        .except(Override::severities("severity"))
        .no_value("nobody is suspected")
        .about(
            "Whose leak suspects were opened or became worse within the time shown, how large \
             they were then, and how many live blocks came to them. Click a component for the \
             leak report, which names function and line.",
        )
}

fn what(frame: &Frame<'_>) -> Vec<Panel> {
    // Not by component: what is given back is not known by component.
    let taken = frame.instances.counter(counter!(ALLOCATION_COUNT));
    let [alloc, alloc_zeroed, _realloc] = OPERATIONS;
    let taken = taken
        .among("operation", &[alloc, alloc_zeroed])
        .rate(Window::Rate)
        .sum_by(&["job", "instance"]);
    let given = frame.rate(counter!(DEALLOCATION_COUNT));
    let balance = taken.minus(given.sum_by(&["job", "instance"]));
    let grey = vec![
        Property::Color(FieldColor::fixed(Colour::Grey)),
        Property::LineStyle(LineStyle::DASHED),
    ];
    vec![
        held(frame),
        Panel::timeseries("Blocks taken and not given back")
            .query(&balance, "{{instance}}")
            .unit(Unit::OperationsPerSecond)
            .no_value("not counted in this process")
            .links([frame.growth_graph(Clicked::Series)])
            .about(
                "Allocations minus deallocations per second, exact, of the process as a whole; \
                 a realloc is neither. Steadily above 0 is a leak of many blocks or a cache \
                 that fills; around 0 is healthy, even where rates are high.",
            ),
        Panel::state_timeline("What grows")
            .size(12, 8)
            .query(&frame.verdict(), "{{instance}}")
            .mapped(verdict::names())
            .no_value("cannot be told yet")
            .about(format!(
                "The verdict on each instance over time: since when it is a leak, and what it was before. {}",
                verdict::MEANING
            )),
        Panel::timeseries("Resident memory against yesterday")
            .size(12, 8)
            .query(&frame.now(gauge!(RSS_BYTES)), "{{instance}}")
            .query(
                &frame.instances.gauge(gauge!(RSS_BYTES)).ago(DAY),
                "{{instance}} yesterday",
            )
            .except(Override::query('B', grey))
            .unit(Unit::Bytes)
            .zero_based()
            .about(
                "The same hours of the day before in dashed grey. What follows yesterday's \
                 course is the rhythm of the day; what leaves it upwards is new: a leak, a \
                 release or more traffic.",
            ),
    ]
}

fn sizes(frame: &Frame<'_>) -> Vec<Panel> {
    let buckets = frame.components.buckets(histogram!(LEAK_SIZE_BYTES));
    let buckets = gained(&buckets, Window::Rate).sum_by(&["le"]);
    let opened = frame.opened().sum_by(&["job", "instance"]);
    vec![
        Panel::heatmap("Sizes of suspects when found", Unit::Bytes)
            .query(&buckets, "{{le}}")
            .about(
                "How large suspects were when they were opened or became worse. Low and rare is \
                 early: they were found while they were small. High at once means that a leak \
                 was fast, or was there before anybody looked.",
            ),
        Panel::bar_gauge("Suspects opened")
            .size(12, 9)
            .query(&opened.largest(10), "{{instance}}")
            .unit(Unit::Number)
            .decimals(0)
            .zero_based()
            .colour(Colour::Blue)
            .links([frame.leak_report(Clicked::Series)])
            .about(
                "Leak suspects opened within the time shown, closed ones included, by instance. \
                 Many on one instance only: look at its traffic; many on all: look at the \
                 release.",
            ),
    ]
}
