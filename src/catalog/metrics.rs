//! The table of metrics, in the order in which every document shows them.

use super::{Group, Kind, LabelDef, MetricDef, Scope, Unit, VERDICTS};

/// Bounds of `memory.allocation.size_bytes`: powers of four from 16 B to 64 MiB. They contain every edge of [`SIZE_CATEGORIES`].
pub const SIZE_BOUNDS: [u64; 12] = [
    16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];

/// Bounds of `memory.leak.size_bytes`; they contain the edges of every default severity.
pub const LEAK_SIZE_BOUNDS: [u64; 10] = [
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    10 << 20,
    25 << 20,
    50 << 20,
    100 << 20,
    250 << 20,
    1 << 30,
];

/// A size category of `memory.allocation.distribution` and its inclusive upper bound in bytes.
pub const SIZE_CATEGORIES: [(&str, u64); 5] = [
    ("tiny", 1 << 10),
    ("small", 64 << 10),
    ("medium", 1 << 20),
    ("large", 16 << 20),
    ("huge", u64::MAX),
];

/// How bad a leak is, the least first: the values of the label `severity`.
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// Most components that a process can name; every one is a set of series, so the number is bounded for good.
pub const MAX_COMPONENTS: usize = 50;

/// What a program asks of its allocator: the values of the label `operation`.
pub const OPERATIONS: [&str; 3] = ["alloc", "alloc_zeroed", "realloc"];

const COMPONENT: LabelDef = LabelDef {
    name: "component",
    values: &[],
};
const OPERATION: LabelDef = LabelDef {
    name: "operation",
    values: &OPERATIONS,
};
const SEVERITY: LabelDef = LabelDef {
    name: "severity",
    values: &SEVERITIES,
};
const SIZE_CATEGORY: LabelDef = LabelDef {
    name: "size_category",
    values: &["tiny", "small", "medium", "large", "huge"],
};
const KIND: LabelDef = LabelDef {
    name: "kind",
    values: &["some", "full"],
};
const VERDICT: LabelDef = LabelDef {
    name: "verdict",
    values: &VERDICTS,
};
const COLLECTOR: LabelDef = LabelDef {
    name: "collector",
    values: &["heap", "samples", "jemalloc", "process", "cgroup"],
};
const OUTCOME: LabelDef = LabelDef {
    name: "outcome",
    values: &["success", "failure"],
};
const CHANNEL: LabelDef = LabelDef {
    name: "channel",
    values: &[],
};
const DELIVERY: LabelDef = LabelDef {
    name: "outcome",
    values: &["sent", "failed", "dropped"],
};
const VERSION: LabelDef = LabelDef {
    name: "version",
    values: &[],
};
const TARGET: LabelDef = LabelDef {
    name: "target",
    values: &[],
};
const SERVICE_VERSION: LabelDef = LabelDef {
    name: "service_version",
    values: &[],
};

/// Number of metrics at the head of [`ALL`] whose names are fixed for ever.
pub const FIXED: usize = 13;

macro_rules! metrics {
    ($( $ident:ident = $name:literal, $kind:expr, $unit:expr, [$($label:expr),*], $group:ident, $scope:ident, $help:literal, $origin:literal; )*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".\n\nSource: ", $origin, ".")]
            pub static $ident: MetricDef = MetricDef {
                name: $name,
                kind: $kind,
                unit: $unit,
                help: $help,
                origin: $origin,
                labels: &[$($label),*],
                group: Group::$group,
                scope: Scope::$scope,
            };
        )*
        /// Every metric, the thirteen first.
        pub static ALL: &[&MetricDef] = &[$(&$ident),*];
    };
}

metrics! {
    RSS_BYTES = "memory.rss_bytes", Kind::Gauge, Unit::Bytes, [], Process, AnyProcess,
        "Resident set size as the kernel sees it",
        "VmRSS of /proc/PID/status";
    HEAP_BYTES = "memory.heap_bytes", Kind::Gauge, Unit::Bytes, [], Process, InProcess,
        "Bytes that the program holds from its allocator",
        "jemalloc stats.allocated where jemalloc serves the process, else bytes asked for minus bytes given back as the allocator wrapper counts them";
    VIRTUAL_BYTES = "memory.virtual_bytes", Kind::Gauge, Unit::Bytes, [], Process, AnyProcess,
        "Virtual size: all address space that is mapped, used or not",
        "VmSize of /proc/PID/status";
    LEAK_COUNT = "memory.leak.count", Kind::Counter, Unit::Count("leak"), [], Leaks, AnyProcess,
        "Leak suspects opened since the process started",
        "leak detector";
    LEAK_GROWTH_RATE_MB_H = "memory.leak.growth_rate_mb_h", Kind::Gauge, Unit::None, [], Leaks, AnyProcess,
        "Growth of all open leak suspects together in MB (1048576 bytes) per hour",
        "leak detector";
    LEAK_SIZE_BYTES = "memory.leak.size_bytes", Kind::Histogram { bounds: &LEAK_SIZE_BOUNDS }, Unit::Bytes, [COMPONENT, SEVERITY], Leaks, AnyProcess,
        "Live bytes of a leak suspect when it is opened and each time its severity rises",
        "leak detector";
    LEAK_ALLOCATION_COUNT = "memory.leak.allocation_count", Kind::Counter, Unit::Count("allocation"), [COMPONENT, SEVERITY], Leaks, AnyProcess,
        "Live allocations added to open leak suspects",
        "leak detector";
    ALLOCATION_COUNT = "memory.allocation.count", Kind::Counter, Unit::Count("operation"), [COMPONENT, OPERATION], Allocations, InProcess,
        "Operations that the program asked of its allocator, exact",
        "allocator wrapper";
    ALLOCATION_TOTAL_BYTES = "memory.allocation.total_bytes", Kind::Counter, Unit::Bytes, [COMPONENT], Allocations, InProcess,
        "Bytes that the program asked for, exact; a realloc counts with its new size",
        "allocator wrapper";
    ALLOCATION_SIZE_BYTES = "memory.allocation.size_bytes", Kind::Histogram { bounds: &SIZE_BOUNDS }, Unit::Bytes, [COMPONENT, OPERATION], Allocations, InProcess,
        "Sizes that the program asked for, exact",
        "allocator wrapper";
    ALLOCATION_EFFICIENCY_SCORE = "memory.allocation.efficiency_score", Kind::Gauge, Unit::None, [COMPONENT], Allocations, InProcess,
        "Share from 0 to 1 of the memory pinned by the live blocks of a component that is live itself; absent while it has few samples",
        "sampled live blocks, weighted by the utilisation of their jemalloc size classes";
    ALLOCATOR_TOTAL_BYTES = "memory.allocator.total_bytes", Kind::Gauge, Unit::Bytes, [COMPONENT], Allocations, InProcess,
        "Live bytes that a component holds, estimated from samples and scaled so that the sum is the heap",
        "sampled live blocks";
    ALLOCATION_DISTRIBUTION = "memory.allocation.distribution", Kind::Counter, Unit::Count("allocation"), [SIZE_CATEGORY], Allocations, InProcess,
        "Operations by size: tiny up to 1 KiB, small up to 64 KiB, medium up to 1 MiB, large up to 16 MiB, huge above, exact",
        "allocator wrapper";

    RSS_ANON_BYTES = "memory.rss_anon_bytes", Kind::Gauge, Unit::Bytes, [], Process, AnyProcess,
        "Resident anonymous memory: heap, stacks and private mappings",
        "RssAnon of /proc/PID/status";
    RSS_FILE_BYTES = "memory.rss_file_bytes", Kind::Gauge, Unit::Bytes, [], Process, AnyProcess,
        "Resident pages of mapped files, the program itself among them",
        "RssFile of /proc/PID/status";
    RSS_SHMEM_BYTES = "memory.rss_shmem_bytes", Kind::Gauge, Unit::Bytes, [], Process, AnyProcess,
        "Resident shared memory: tmpfs and shared anonymous mappings",
        "RssShmem of /proc/PID/status";
    LEAK_SUSPECTS = "memory.leak.suspects", Kind::Gauge, Unit::None, [SEVERITY], Leaks, AnyProcess,
        "Leak suspects that are open",
        "leak detector";
    LEAK_SUSPECT_BYTES = "memory.leak.suspect_bytes", Kind::Gauge, Unit::Bytes, [COMPONENT], Leaks, AnyProcess,
        "Live bytes of the leak suspects of a component that are open",
        "leak detector";
    GROWTH_VERDICT = "memory.growth_verdict", Kind::Gauge, Unit::None, [VERDICT], Process, AnyProcess,
        "Which part of resident memory grows: 1 for the state that holds, 0 for the others; absent while it cannot be told",
        "slopes of RssAnon, RssFile, RssShmem and of jemalloc stats.allocated, active and resident over the last 10 minutes, or over the last hour";
    DEALLOCATION_COUNT = "memory.deallocation.count", Kind::Counter, Unit::Count("operation"), [], Allocations, InProcess,
        "Blocks that the program gave back to its allocator, exact; a realloc is not among them",
        "allocator wrapper";
    DEALLOCATION_TOTAL_BYTES = "memory.deallocation.total_bytes", Kind::Counter, Unit::Bytes, [], Allocations, InProcess,
        "Bytes that the program gave back to its allocator, exact; a realloc counts with its old size",
        "allocator wrapper";

    JEMALLOC_ACTIVE_BYTES = "memory.jemalloc.active_bytes", Kind::Gauge, Unit::Bytes, [], Jemalloc, InProcess,
        "Bytes in pages that hold at least one allocation; active minus heap is lost to fragmentation",
        "jemalloc stats.active";
    JEMALLOC_RESIDENT_BYTES = "memory.jemalloc.resident_bytes", Kind::Gauge, Unit::Bytes, [], Jemalloc, InProcess,
        "Bytes that jemalloc keeps in physical memory at most, with metadata and unused dirty pages",
        "jemalloc stats.resident";
    JEMALLOC_MAPPED_BYTES = "memory.jemalloc.mapped_bytes", Kind::Gauge, Unit::Bytes, [], Jemalloc, InProcess,
        "Bytes in mapped extents",
        "jemalloc stats.mapped";
    JEMALLOC_RETAINED_BYTES = "memory.jemalloc.retained_bytes", Kind::Gauge, Unit::Bytes, [], Jemalloc, InProcess,
        "Bytes of address space kept for reuse instead of being unmapped; not physical memory",
        "jemalloc stats.retained";
    JEMALLOC_METADATA_BYTES = "memory.jemalloc.metadata_bytes", Kind::Gauge, Unit::Bytes, [], Jemalloc, InProcess,
        "Bytes that jemalloc needs for itself",
        "jemalloc stats.metadata";

    LIMIT_BYTES = "memory.limit_bytes", Kind::Gauge, Unit::Bytes, [], Limits, AnyProcess,
        "The memory limit of the process that has the least room left; absent when there is none",
        "limits.memory of the configuration, else the limit with the least room among those of the control group and its ancestors, RLIMIT_AS and RLIMIT_DATA";
    LIMIT_USED_BYTES = "memory.limit_used_bytes", Kind::Gauge, Unit::Bytes, [], Limits, AnyProcess,
        "Bytes that count against the memory limit; absent without a limit",
        "what the limit counts: resident memory for limits.memory, what is charged and cannot be reclaimed for a control group, virtual size for RLIMIT_AS, private writable mappings for RLIMIT_DATA";
    LIMIT_EXHAUSTION_SECONDS = "memory.limit_exhaustion_seconds", Kind::Gauge, Unit::Seconds, [], Limits, AnyProcess,
        "Time until the memory limit is reached if memory goes on growing as it does; absent without a limit, without growth, and while there is little history",
        "recent course of what is used against the limit: of the control group what the kernel cannot reclaim, else what the limit counts";
    CGROUP_CURRENT_BYTES = "memory.cgroup.current_bytes", Kind::Gauge, Unit::Bytes, [], Limits, AnyProcess,
        "Memory charged to the control group of the process, page cache and other processes in it included",
        "memory.current (v2), memory.usage_in_bytes (v1)";
    CGROUP_OOM_KILLS = "memory.cgroup.oom_kills", Kind::Counter, Unit::Count("kill"), [], Limits, AnyProcess,
        "Processes of the control group that the kernel killed for want of memory",
        "oom_kill of memory.events (v2), memory.oom_control (v1)";
    CGROUP_PRESSURE_SECONDS = "memory.cgroup.pressure_seconds", Kind::Counter, Unit::Seconds, [KIND], Limits, AnyProcess,
        "Time in which some or all tasks of the control group waited for memory",
        "total of memory.pressure (v2)";

    PROCESS_CPU_SECONDS = "process.cpu_seconds", Kind::Counter, Unit::Seconds, [], Standard, AnyProcess,
        "Total user and system CPU time spent in seconds",
        "utime and stime of /proc/PID/stat";
    PROCESS_RESIDENT_MEMORY_BYTES = "process.resident_memory_bytes", Kind::Gauge, Unit::Bytes, [], Standard, AnyProcess,
        "Resident memory size in bytes",
        "as memory.rss_bytes";
    PROCESS_VIRTUAL_MEMORY_BYTES = "process.virtual_memory_bytes", Kind::Gauge, Unit::Bytes, [], Standard, AnyProcess,
        "Virtual memory size in bytes",
        "as memory.virtual_bytes";
    PROCESS_VIRTUAL_MEMORY_MAX_BYTES = "process.virtual_memory_max_bytes", Kind::Gauge, Unit::Bytes, [], Standard, AnyProcess,
        "Maximum amount of virtual memory available in bytes; absent when unlimited",
        "/proc/PID/limits";
    PROCESS_HEAP_BYTES = "process.heap_bytes", Kind::Gauge, Unit::Bytes, [], Standard, InProcess,
        "Process heap size in bytes",
        "as memory.heap_bytes";
    PROCESS_START_TIME_SECONDS = "process.start_time_seconds", Kind::Gauge, Unit::Seconds, [], Standard, AnyProcess,
        "Start time of the process since unix epoch in seconds",
        "sysinfo";
    PROCESS_OPEN_FDS = "process.open_fds", Kind::Gauge, Unit::None, [], Standard, AnyProcess,
        "Number of open file descriptors",
        "/proc/PID/fd";
    PROCESS_MAX_FDS = "process.max_fds", Kind::Gauge, Unit::None, [], Standard, AnyProcess,
        "Maximum number of open file descriptors",
        "/proc/PID/limits";
    PROCESS_THREADS = "process.threads", Kind::Gauge, Unit::None, [], Standard, AnyProcess,
        "Number of OS threads in the process",
        "Threads of /proc/PID/status";

    EXPORTER_BUILD_INFO = "memory.exporter.build_info", Kind::Gauge, Unit::None, [VERSION, TARGET], Exporter, Exporter,
        "Always 1; the labels say which memory-exporter this is",
        "the build";
    EXPORTER_COLLECTOR_DURATION_SECONDS = "memory.exporter.collector_duration_seconds", Kind::Gauge, Unit::Seconds, [COLLECTOR], Exporter, Exporter,
        "How long a collector took for the readings of this scrape",
        "sampler";
    EXPORTER_COLLECTOR_SUCCESS = "memory.exporter.collector_success", Kind::Gauge, Unit::None, [COLLECTOR], Exporter, Exporter,
        "1 when a collector had its readings, 0 when it failed or has nothing to read in this process",
        "sampler";
    EXPORTER_CPU_SECONDS = "memory.exporter.cpu_seconds", Kind::Counter, Unit::Seconds, [], Exporter, Exporter,
        "CPU time of the exporter's own thread",
        "/proc/PID/task/TID/schedstat";
    EXPORTER_FOOTPRINT_BYTES = "memory.exporter.footprint_bytes", Kind::Gauge, Unit::Bytes, [], Exporter, Exporter,
        "Memory reserved by the exporter for its counters, samples, call sites, history, profiles, leak detector and alerts",
        "the exporter's own book-keeping";
    EXPORTER_DROPPED_COMPONENTS = "memory.exporter.dropped_components", Kind::Counter, Unit::Count("component"), [], Exporter, Exporter,
        "Component names refused because the table was full; their allocations count as other",
        "allocator wrapper";
    EXPORTER_SAMPLE_INTERVAL_BYTES = "memory.exporter.sample_interval_bytes", Kind::Gauge, Unit::Bytes, [], Exporter, InProcess,
        "Mean number of bytes asked for between two sampled allocations; 0 when sampling is off",
        "allocator wrapper";
    EXPORTER_LIVE_SAMPLES = "memory.exporter.live_samples", Kind::Gauge, Unit::Count("sample"), [], Exporter, InProcess,
        "Sampled allocations that are live and followed",
        "allocator wrapper";
    EXPORTER_DROPPED_SAMPLES = "memory.exporter.dropped_samples", Kind::Counter, Unit::Count("sample"), [], Exporter, InProcess,
        "Sampled allocations that could not be followed because there was no room; live bytes are estimated too low by what they hold",
        "allocator wrapper";
    EXPORTER_OTLP_EXPORTS = "memory.exporter.otlp_exports", Kind::Counter, Unit::Count("export"), [OUTCOME], Exporter, Exporter,
        "OTLP exports by outcome; a failure is an attempt after which nothing was acknowledged",
        "OTLP push";
    EXPORTER_OTLP_REJECTED_POINTS = "memory.exporter.otlp_rejected_points", Kind::Counter, Unit::Count("point"), [], Exporter, Exporter,
        "Data points that the OTLP receiver said it rejected",
        "OTLP push";
    EXPORTER_HISTORY_FAILURES = "memory.exporter.history_failures", Kind::Counter, Unit::Count("write"), [], Exporter, Exporter,
        "Moments, alerts, leak suspects and profiles that could not be written to the history on disk; what follows them is tried anew",
        "history.directory";
    EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL = "memory.exporter.config_last_reload_successful", Kind::Gauge, Unit::None, [], Exporter, Exporter,
        "1 when the configuration in force is the one that was read last, 0 when that one was wrong",
        "start, SIGHUP and POST /-/reload";
    EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS = "memory.exporter.config_last_reload_success_timestamp_seconds", Kind::Gauge, Unit::Seconds, [], Exporter, Exporter,
        "When the configuration in force was read, since unix epoch in seconds",
        "start, SIGHUP and POST /-/reload";
    EXPORTER_NOTIFICATIONS = "memory.exporter.notifications", Kind::Counter, Unit::Count("message"), [CHANNEL, DELIVERY], Exporter, Exporter,
        "Messages on alerts by channel: sent ones were taken, failed are the attempts after which they were not, dropped ones were given up",
        "alert channels";

    TARGET_INFO = "target", Kind::Info, Unit::None, [SERVICE_VERSION], Exporter, Exporter,
        "Resource attributes of the target",
        "otlp.resource of the configuration and OTEL_RESOURCE_ATTRIBUTES";
}
