//! What people do about an alert: the runbook is made from this, and links lead to its sections.

/// The section of the runbook on the alerts of one name.
#[derive(Debug)]
#[non_exhaustive]
pub struct Runbook {
    /// The name of the alerts.
    pub alert: &'static str,
    /// What is the matter, and what happens if nobody does anything.
    pub meaning: &'static str,
    /// Where to look first, in this order.
    pub first_look: &'static [Look],
    /// What it usually is.
    pub causes: &'static [&'static str],
    /// What helps, the quickest first. `{exporter}` is the address of the exporter.
    pub actions: &'static [&'static str],
}

/// Where to look, and what for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Look {
    /// A page of the exporter, below its address; empty where there is none to ask.
    pub path: &'static str,
    /// What is seen there.
    pub what: &'static str,
}

const fn look(path: &'static str, what: &'static str) -> Look {
    Look { path, what }
}

const LEAKS: Look = look(
    "/metrics/memory/leaks",
    "the lines of code that are suspected, what each holds, how fast it grows and since when",
);
const GREW: Look = look(
    "/debug/flamegraph?since=1h",
    "what grew within the last hour, by stack: the widest frame near the top is where to read code",
);
const HELD: Look = look("/debug/flamegraph", "who holds the memory, by stack");
const TREND: Look = look(
    "/metrics/memory/trend?duration=6h&interval=5m",
    "which part of resident memory grows: live heap (leak), fragmentation, retention, page cache or what is not the allocator's",
);
const HEALTH: Look = look(
    "/metrics/memory/health",
    "how much of the limit is used, what else speaks against health, and what the exporter recommends",
);
const ALLOCATIONS: Look = look(
    "/metrics/memory/allocations",
    "who allocates and who holds, with sizes, rates and lifetimes, and what could be changed",
);
const EVIDENCE: Look = look(
    "/metrics/memory/profiles",
    "profiles that are kept, among them those taken near the limit before the last restart",
);

/// One section for each name in [`ALERTS`](super::ALERTS), in its order.
pub static RUNBOOK: &[Runbook] = &[
    Runbook {
        alert: "MemoryLeak",
        meaning: "Blocks of at least one line of code are allocated again and again and stay, while others of the same age are freed. \
            A warning says that such a line was found within the last hour; critical says that all suspects together grow fast enough to \
            fill a process within hours. It goes on until the process ends: by a restart, or by the kernel.",
        first_look: &[
            LEAKS,
            GREW,
            look(
                "/metrics/memory/health",
                "how long until the limit is reached (`limit_exhaustion_seconds`)",
            ),
        ],
        causes: &[
            "a map, cache or list that is added to and never removed from: sessions, subscriptions, metrics by user, futures that never end",
            "a queue that is drained more slowly than it is filled (pattern and reason `backlog`)",
            "a cycle of reference counts, or `Box::leak` and `mem::forget` in a loop",
            "no leak at all: a cache that fills evenly for longer than the windows of the detector; it is cleared when it evicts",
        ],
        actions: &[
            "note the lines from the leak report, or keep a profile (`curl -o heap.pb.gz {exporter}/debug/pprof/heap`): a restart destroys the evidence",
            "if the limit is near, restart at a time of your choice, one instance after the other, instead of the kernel's",
            "if it began with a deployment, roll back",
            "bound what is held: a capacity, an expiry, a removal on every way out, back-pressure before a queue",
            "for a cache that is meant to grow, name its component and give it room, or raise `leaks.minimum_bytes` and `leaks.window`",
        ],
    },
    Runbook {
        alert: "MemoryGrowth",
        meaning: "Resident memory has risen steadily over minutes, whatever the reason. At the critical rate a process is full within minutes.",
        first_look: &[
            TREND,
            GREW,
            look("/metrics/memory/allocations", "who allocates at what rate"),
        ],
        causes: &[
            "load: more requests at once, larger requests, a batch or an import that is under way",
            "start-up that takes longer than usual: data or caches that are loaded",
            "a fast leak, or a queue behind something that has become slow",
            "files that are mapped and read (page cache): the kernel takes those pages back by itself",
        ],
        actions: &[
            "look at whether it has a cause that ends by itself: a batch, a deployment, a peak of load",
            "shed load or scale out while the usage alerts still have room",
            "if the live heap grows, go on as for [MemoryLeak](#memoryleak); if fragmentation or retention grows, give unused pages back with `curl -X POST {exporter}/metrics/memory/gc`",
        ],
    },
    Runbook {
        alert: "MemoryAllocationEfficiencyLow",
        meaning: "The live blocks of a component pin at least twice as much memory as they fill: pages cannot be given back because a few blocks \
            on each are still alive. Nothing breaks; the process is larger than it need be.",
        first_look: &[ALLOCATIONS, HELD],
        causes: &[
            "a peak has passed, and few long-lived blocks are left scattered over its pages",
            "long-lived and short-lived blocks of one size are allocated by turns",
            "buffers with a capacity far above what they hold",
        ],
        actions: &[
            "give unused pages back with `curl -X POST {exporter}/metrics/memory/gc` and see whether the score recovers",
            "allocate what lives long at once and apart: an arena, a `Vec` with capacity, a slab",
            "shrink what has become small (`shrink_to_fit`) after a peak",
            "a restart helps at once, and for as long as the peak does not come again",
        ],
    },
    Runbook {
        alert: "MemoryUsageHigh",
        meaning: "Resident memory is above the threshold that this service was given. It says nothing of the reason, only that there is little room.",
        first_look: &[HEALTH, HELD, TREND],
        causes: &[
            "a leak or growth, which alerts of their own tell of",
            "more load or more data than the threshold was set for",
            "the allocator keeps pages that it does not use (retention)",
        ],
        actions: &[
            "see whether it still grows; if it does, go on as for [MemoryGrowth](#memorygrowth)",
            "give unused pages back with `curl -X POST {exporter}/metrics/memory/gc`",
            "scale out or shed load; lower the size of caches",
            "if this is the size that the service has by now, raise `alerts.thresholds.usage_warning_mb` and `usage_critical_mb`, and generate the rules again",
        ],
    },
    Runbook {
        alert: "MemoryLimitPredicted",
        meaning: "If memory goes on growing as it did, the limit is reached soon, and the kernel kills the process (or allocations fail, for \
            a limit of address space). There is time to act in daylight.",
        first_look: &[HEALTH, LEAKS, TREND, EVIDENCE],
        causes: &[
            "a leak",
            "a cache without a bound that is larger than the room under the limit",
            "a limit that was set for less data or less load",
            "other processes in the control group: what counts is what the limit counts (`limit_kind` in health)",
        ],
        actions: &[
            "see that evidence will survive: `limits.evidence.directory` must be set and outlive the process",
            "raise the limit or restart at a time of your choice",
            "then find the reason as for [MemoryLeak](#memoryleak)",
        ],
    },
    Runbook {
        alert: "MemoryMetricsAbsent",
        meaning: "Not one instance of the job reports memory any more, by scrape or by push. Every other memory alert is blind for it. \
            Six hours after the last sample the job counts as gone for good.",
        first_look: &[
            look("/-/healthy", "whether the exporter answers at all"),
            look(
                "",
                "in Prometheus, `up` of the job, its targets and their last error; for a push, `memory_exporter_otlp_exports_total` and the log of the receiver",
            ),
        ],
        causes: &[
            "the job was stopped or scaled to zero on purpose",
            "it does not start any more; perhaps it was killed for want of memory",
            "its name, port, network or credentials have changed, or the receiver of the push is away",
        ],
        actions: &[
            "if it was stopped on purpose, silence the alert for six hours",
            "else bring back the process first, then its metrics",
            "look into the evidence directory of the last process: what held the memory when it died is served by the next one",
        ],
    },
];
