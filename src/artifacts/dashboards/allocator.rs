//! Memory / Allocator internals: where the memory is, who asks for it, in which sizes, and what looking at it costs.

use crate::artifacts::promql::{Expr, Window, counter, gauge, histogram};
use crate::catalog::{Board, Threshold};

use super::colour::{Colour, Thresholds};
use super::cost;
use super::field::Unit;
use super::frame::{Frame, Row};
use super::links::{Clicked, Known, leaks};
use super::model::{Dashboard, Panel};
use super::shared::{held, worst};

pub(super) fn dashboard(frame: &Frame<'_>) -> Dashboard {
    let head = Dashboard::new(
        Board::Allocator,
        "Where resident memory is when it is not a leak: lost beside live blocks, kept by jemalloc, outside the heap; who asks for \
         memory, how often and in which sizes; and what the exporter itself costs.",
        "now-1h",
    );
    let rows = vec![
        Row::new("Where the memory is", place(frame)),
        Row::new("Who asks for it, and in which sizes", asked(frame)),
        Row::new("The process", process(frame)).collapsed(),
        Row::new("The exporter itself", cost::panels(frame)).collapsed(),
    ];
    frame.dashboard(head, true, rows)
}

fn place(frame: &Frame<'_>) -> Vec<Panel> {
    let recommended = &frame.wanted.config.allocations.recommendations;
    let orange_from = |share: f64| Thresholds::rising(Colour::Green, [(Colour::Orange, share)]);
    let efficiency = frame
        .components
        .gauge(gauge!(ALLOCATION_EFFICIENCY_SCORE))
        .now();
    let [resident, active, heap] = layers(frame);
    let share = |of: Expr, whole: Expr| worst(of.divided_by(whole));
    let heap_share = frame
        .now(gauge!(HEAP_BYTES))
        .divided_by(frame.now(gauge!(RSS_BYTES)));
    vec![
        Panel::named_stat("Lowest heap share")
            .size(6, 4)
            .query(
                &heap_share.min_by(&["job", "instance"]).smallest(1),
                "{{instance}}",
            )
            .unit(Unit::Share)
            .colour(Colour::Blue)
            .no_value("no heap is known")
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Share of resident memory that the program really holds from its allocator, in \
                 the instance where it is lowest. Low means that memory is lost to \
                 fragmentation, kept by the allocator, or no heap: the next two say which.",
            ),
        Panel::named_stat("Most lost to fragmentation")
            .size(6, 4)
            .query(
                &share(active.clone().minus(heap), active.clone()),
                "{{instance}}",
            )
            .unit(Unit::Share)
            .thresholds(orange_from(recommended.fragmentation_ratio))
            .no_value("no jemalloc")
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Share of jemalloc's pages in use that holds nothing, because a live block pins \
                 the page. Orange: worth a change; blocks of a few sizes, or short-lived and \
                 long-lived ones in arenas of their own, help.",
            ),
        Panel::named_stat("Most kept unused")
            .size(6, 4)
            .query(
                &share(resident.clone().minus(active), resident),
                "{{instance}}",
            )
            .unit(Unit::Share)
            .thresholds(orange_from(recommended.retention_ratio))
            .no_value("no jemalloc")
            .links([leaks(Clicked::Series, Known::Job)])
            .about(
                "Share of jemalloc's resident memory in pages without a live block, with its \
                 metadata. Orange: POST /metrics/memory/gc gives it back at once; a shorter \
                 dirty_decay_ms does so always.",
            ),
        Panel::named_stat("Lowest efficiency")
            .size(6, 4)
            .query(
                &efficiency
                    .min_by(&["job", "instance", "component"])
                    .smallest(1),
                "{{component}} of {{instance}}",
            )
            .unit(Unit::Share)
            .thresholds(Thresholds::falling(
                Colour::Orange,
                [(Colour::Green, frame.threshold(Threshold::Efficiency))],
            ))
            .no_value("too few samples")
            .links([
                leaks(Clicked::Series, Known::JobAndComponent),
                frame.component_graph(Clicked::Series),
            ])
            .about(
                "Of the memory that the blocks of a component pin, the share that is live. \
                 Below the threshold of MemoryAllocationEfficiencyLow its blocks lie scattered: \
                 allocate them together, or free them together.",
            ),
        parts(frame),
        jemalloc(frame),
        held(frame),
        efficiencies(frame),
    ]
}

/// What jemalloc has in memory, in pages in use, and in live blocks.
fn layers(frame: &Frame<'_>) -> [Expr; 3] {
    [
        gauge!(JEMALLOC_RESIDENT_BYTES),
        gauge!(JEMALLOC_ACTIVE_BYTES),
        gauge!(HEAP_BYTES),
    ]
    .map(|metric| frame.now(metric))
}

fn parts(frame: &Frame<'_>) -> Panel {
    Panel::timeseries("Parts of resident memory")
        .query(
            &frame.now(gauge!(RSS_ANON_BYTES)).sum(),
            "anonymous: heap, stacks, own mappings",
        )
        .query(
            &frame.now(gauge!(RSS_FILE_BYTES)).sum(),
            "files: mapped, the program itself among them",
        )
        .query(
            &frame.now(gauge!(RSS_SHMEM_BYTES)).sum(),
            "shared: tmpfs, shared mappings",
        )
        .unit(Unit::Bytes)
        .stacked()
        .about(
            "Resident memory of all chosen instances as the kernel divides it. Only anonymous \
             memory can be the allocator's. Files that grow are page cache, which the kernel \
             takes back when it must; shared memory that grows is somebody's tmpfs.",
        )
}

fn jemalloc(frame: &Frame<'_>) -> Panel {
    let [resident, active, heap] = layers(frame);
    let metadata = frame.now(gauge!(JEMALLOC_METADATA_BYTES));
    let kept = resident.minus(active.clone()).minus(metadata.clone());
    let lost = active.minus(heap.clone());
    // Only of processes that jemalloc serves: the heap of others has no layers.
    let live = heap.and(frame.now(gauge!(JEMALLOC_ACTIVE_BYTES)));
    Panel::timeseries("Layers of jemalloc's memory")
        .query(&live.sum(), "live blocks")
        .query(&lost.sum(), "lost to fragmentation")
        .query(&kept.sum(), "kept unused")
        .query(&metadata.sum(), "metadata")
        .unit(Unit::Bytes)
        .stacked()
        .no_value("no jemalloc")
        .about(
            "What jemalloc keeps resident, of all chosen instances. Live blocks that grow are a \
             leak or a cache; fragmentation that grows comes of how blocks live and die \
             together; what is kept unused comes back with POST /metrics/memory/gc.",
        )
}

fn efficiencies(frame: &Frame<'_>) -> Panel {
    let efficiency = frame.components.gauge(gauge!(ALLOCATION_EFFICIENCY_SCORE));
    Panel::timeseries("Efficiency by component")
        .query(
            &efficiency.now().min_by(&["job", "instance", "component"]),
            "{{component}} {{instance}}",
        )
        .unit(Unit::Share)
        .zero_to_one()
        .thresholds(Thresholds::rising(
            Colour::Green,
            [(Colour::Orange, frame.threshold(Threshold::Efficiency))],
        ))
        .no_value("too few samples")
        .links([
            leaks(Clicked::Series, Known::JobAndComponent),
            frame.component_graph(Clicked::Series),
        ])
        .about(
            "Live share of the memory that each component pins; the dashed line is the \
             threshold of the alert. A line that sinks after a peak is a component that freed \
             most blocks but pins the pages of all: look at how long its blocks live.",
        )
}

fn asked(frame: &Frame<'_>) -> Vec<Panel> {
    let bytes = frame
        .components
        .counter(counter!(ALLOCATION_TOTAL_BYTES))
        .rate(Window::Rate);
    let taken = frame
        .components
        .counter(counter!(ALLOCATION_COUNT))
        .rate(Window::Rate);
    let given = frame.rate(counter!(DEALLOCATION_COUNT));
    let buckets = frame
        .components
        .buckets(histogram!(ALLOCATION_SIZE_BYTES))
        .increase(Window::Rate);
    let classes = frame.rate(counter!(ALLOCATION_DISTRIBUTION));
    vec![
        Panel::timeseries("Bytes asked for, by component")
            .query(
                &bytes.sum_by(&["job", "instance", "component"]).largest(10),
                "{{component}} {{instance}}",
            )
            .unit(Unit::BytesPerSecond)
            .zero_based()
            .no_value("not counted in this process")
            .links([
                frame.allocation_graph(Clicked::Series),
                leaks(Clicked::Series, Known::JobAndComponent),
            ])
            .about(
                "The ten components that ask for most, exact. High is not bad by itself: it \
                 costs CPU, not memory. What is asked for over and over can be reused: see the \
                 recommendations at /metrics/memory/allocations.",
            ),
        Panel::timeseries("Operations per second")
            .query(&taken.sum_by(&["operation"]), "{{operation}}")
            .query(&given.sum(), "dealloc, all components")
            .unit(Unit::OperationsPerSecond)
            .zero_based()
            .no_value("not counted in this process")
            .about(
                "What the program asks of its allocator, exact, over all chosen instances. Many \
                 reallocs mean buffers that grow step by step: reserve their size. Allocations \
                 steadily above deallocations: see Memory / Leak investigation.",
            ),
        Panel::heatmap("Sizes asked for", Unit::Bytes)
            .query(&buckets.sum_by(&["le"]), "{{le}}")
            .about(
                "How many allocations of which size, over time; the stronger the colour, the \
                 more. A band that appears is new behaviour: compare it with a release or with \
                 traffic. Bands high up are blocks that come straight from the kernel.",
            ),
        quantiles(frame),
        Panel::timeseries("Shares of size categories")
            .size(24, 7)
            .query(&classes.sum_by(&["size_category"]), "{{size_category}}")
            .unit(Unit::OperationsPerSecond)
            .shares()
            .no_value("not counted in this process")
            .about(
                "Operations by size: tiny up to 1 KiB, small up to 64 KiB, medium up to 1 MiB, \
                 large up to 16 MiB, huge above. A shift towards large and huge foretells \
                 fragmentation and page faults; find who by component on the left.",
            ),
    ]
}

/// Below which sizes half of the allocations lie, nine in ten, and all but one in a hundred.
fn quantiles(frame: &Frame<'_>) -> Panel {
    let rates = frame
        .components
        .buckets(histogram!(ALLOCATION_SIZE_BYTES))
        .rate(Window::Rate)
        .sum_by(&["le"]);
    let panel = Panel::timeseries("Quantiles of sizes").unit(Unit::Bytes);
    [(0.5, "half"), (0.9, "nine in ten"), (0.99, "all but 1 %")]
        .into_iter()
        .fold(panel, |panel, (share, name)| {
            panel.query(&rates.clone().quantile(share), name)
        })
        .no_value("not counted in this process")
        .about(
            "Below which size half of the allocations lie, nine in ten, and all but one in a \
             hundred; within a bucket, whose bounds lie a factor of four apart, it is a guess. \
             A line that climbs means larger buffers: see which component asks for more.",
        )
}

fn process(frame: &Frame<'_>) -> Vec<Panel> {
    let mut panels = vec![address_space(frame)];
    // Where the host application has the standard metrics, they are of its own making.
    if frame.wanted.config.metrics.process {
        panels.extend(standard(frame));
    }
    panels
}

fn standard(frame: &Frame<'_>) -> [Panel; 2] {
    let files = frame
        .now(gauge!(PROCESS_OPEN_FDS))
        .divided_by(frame.now(gauge!(PROCESS_MAX_FDS)));
    [
        Panel::timeseries("Threads")
            .size(6, 8)
            .query(&frame.now(gauge!(PROCESS_THREADS)), "{{instance}}")
            .unit(Unit::Number)
            .zero_based()
            .about(
                "Each thread has a stack and caches of the allocator. A number that only rises \
                 is a leak of threads: look for what starts them.",
            ),
        Panel::timeseries("CPU and open files")
            .size(6, 8)
            .query(
                &frame.rate(counter!(PROCESS_CPU_SECONDS)),
                "{{instance}} CPU",
            )
            .query(&files, "{{instance}} open files")
            .unit(Unit::Share)
            .zero_based()
            .about(
                "CPU, where 100 % is one core, and the used share of the files that may be \
                 open. CPU that rises with memory is often a cache that is searched; near 100 % \
                 of files the next open fails.",
            ),
    ]
}

fn address_space(frame: &Frame<'_>) -> Panel {
    Panel::timeseries("Address space")
        .size(12, 8)
        .query(&frame.now(gauge!(VIRTUAL_BYTES)), "{{instance}} virtual")
        .query(
            &frame.now(gauge!(JEMALLOC_MAPPED_BYTES)),
            "{{instance}} mapped by jemalloc",
        )
        .query(
            &frame.now(gauge!(JEMALLOC_RETAINED_BYTES)),
            "{{instance}} retained by jemalloc",
        )
        .unit(Unit::Bytes)
        .zero_based()
        .about(
            "Addresses, not memory: large numbers here are harmless unless RLIMIT_AS is \
                 set. Virtual size that grows without jemalloc's is mappings of the program's \
                 own, or stacks of threads.",
        )
}
