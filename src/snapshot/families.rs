//! Which reading stands behind which metric: the one place where a definition of the catalog meets a number.
//!
//! Scrape, push and JSON all walk over these families, so they cannot differ in series, labels or values. A metric without a reading
//! has no family.

use crate::catalog::{self, BUCKETS, Group, MetricDef, OPERATIONS, SIZE_CATEGORIES, Verdict};

use super::Snapshot;

/// Labels of a sample, in the order of the definition.
pub type Labels = Vec<(&'static str, &'static str)>;

/// All samples of one metric.
#[derive(Debug)]
#[non_exhaustive]
pub struct Family<'a> {
    /// Its definition.
    pub def: &'static MetricDef,
    /// Its samples; never empty.
    pub samples: Vec<Sample<'a>>,
}

/// One value of one metric.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample<'a> {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: Value<'a>,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A whole number.
    Integer(u64),
    /// Any number.
    Float(f64),
    /// Counts per bucket, not cumulative, the last one above all bounds; and the sum of what was counted.
    Histogram {
        /// One count more than the definition has bounds.
        buckets: &'a [u64],
        /// Sum of the values.
        sum: u64,
    },
}

impl Snapshot {
    /// Everything that was read, in the order of the catalog. `standard` says whether the standard `process_*` metrics are wanted.
    pub fn families(&self, standard: bool) -> Vec<Family<'_>> {
        let mut families = Families {
            families: Vec::with_capacity(catalog::ALL.len()),
            standard,
        };
        self.fixed(&mut families);
        self.companions(&mut families);
        self.standard(&mut families);
        self.exporter(&mut families);
        families.families
    }

    fn fixed<'a>(&'a self, families: &mut Families<'a>) {
        let process = self.process.get();
        families.integer(&catalog::RSS_BYTES, process.map(|process| process.rss));
        families.integer(&catalog::HEAP_BYTES, self.heap_bytes());
        families.integer(
            &catalog::VIRTUAL_BYTES,
            process.map(|process| process.virtual_size),
        );

        if let Some(leaks) = &self.derived.leaks {
            leaks.add_to(families);
        }
        let components = self
            .heap
            .get()
            .map(|counts| counts.components.as_slice())
            .unwrap_or_default();
        let by_operation = || {
            components.iter().flat_map(|component| {
                let with_names = OPERATIONS.iter().zip(&component.operations);
                with_names.map(|(name, sizes)| {
                    (
                        vec![("component", component.name), ("operation", *name)],
                        sizes,
                    )
                })
            })
        };
        families.add(
            &catalog::ALLOCATION_COUNT,
            by_operation().map(|(labels, sizes)| (labels, Value::Integer(sizes.count()))),
        );
        families.add(
            &catalog::ALLOCATION_TOTAL_BYTES,
            components.iter().map(|component| {
                let bytes = component
                    .operations
                    .iter()
                    .fold(0, |sum: u64, sizes| sum.saturating_add(sizes.bytes));
                (vec![("component", component.name)], Value::Integer(bytes))
            }),
        );
        families.add(
            &catalog::ALLOCATION_SIZE_BYTES,
            by_operation().map(|(labels, sizes)| {
                (
                    labels,
                    Value::Histogram {
                        buckets: &sizes.buckets,
                        sum: sizes.bytes,
                    },
                )
            }),
        );
        families.add(
            &catalog::ALLOCATION_EFFICIENCY_SCORE,
            self.efficiency()
                .into_iter()
                .map(|(component, score)| (vec![("component", component)], Value::Float(score))),
        );
        families.add(
            &catalog::ALLOCATOR_TOTAL_BYTES,
            self.held_bytes()
                .into_iter()
                .map(|(component, bytes)| (vec![("component", component)], Value::Integer(bytes))),
        );
        if self.heap.get().is_some() {
            let mut buckets = [0_u64; BUCKETS];
            for (_, sizes) in by_operation() {
                for (sum, bucket) in buckets.iter_mut().zip(&sizes.buckets) {
                    *sum = sum.saturating_add(*bucket);
                }
            }
            let counts = catalog::by_category(&buckets, u64::saturating_add);
            let categories = SIZE_CATEGORIES.iter().zip(counts);
            families.add(
                &catalog::ALLOCATION_DISTRIBUTION,
                categories.map(|((category, _), count)| {
                    (vec![("size_category", *category)], Value::Integer(count))
                }),
            );
        }
    }

    fn companions<'a>(&'a self, families: &mut Families<'a>) {
        let process = self.process.get();
        families.integer(
            &catalog::RSS_ANON_BYTES,
            process.and_then(|process| process.rss_anon),
        );
        families.integer(
            &catalog::RSS_FILE_BYTES,
            process.and_then(|process| process.rss_file),
        );
        families.integer(
            &catalog::RSS_SHMEM_BYTES,
            process.and_then(|process| process.rss_shmem),
        );
        if let Some(leaks) = &self.derived.leaks {
            leaks.add_companions_to(families);
        }
        let growth = self.derived.growth.as_ref();
        families.add(
            &catalog::GROWTH_VERDICT,
            growth
                .and_then(|growth| growth.verdict)
                .into_iter()
                .flat_map(|verdict| {
                    Verdict::ALL.map(|state| {
                        let holds = Value::Integer(u64::from(state == verdict));
                        (vec![("verdict", state.as_str())], holds)
                    })
                }),
        );
        let given_back = self.heap.get().map(|counts| counts.deallocations);
        families.integer(
            &catalog::DEALLOCATION_COUNT,
            given_back.map(|total| total.count),
        );
        families.integer(
            &catalog::DEALLOCATION_TOTAL_BYTES,
            given_back.map(|total| total.bytes),
        );

        let jemalloc = self.jemalloc.get();
        families.integer(
            &catalog::JEMALLOC_ACTIVE_BYTES,
            jemalloc.map(|jemalloc| jemalloc.active),
        );
        families.integer(
            &catalog::JEMALLOC_RESIDENT_BYTES,
            jemalloc.map(|jemalloc| jemalloc.resident),
        );
        families.integer(
            &catalog::JEMALLOC_MAPPED_BYTES,
            jemalloc.map(|jemalloc| jemalloc.mapped),
        );
        families.integer(
            &catalog::JEMALLOC_RETAINED_BYTES,
            jemalloc.map(|jemalloc| jemalloc.retained),
        );
        families.integer(
            &catalog::JEMALLOC_METADATA_BYTES,
            jemalloc.map(|jemalloc| jemalloc.metadata),
        );

        let cgroup = self.cgroup.get();
        let limit = self.limit();
        families.integer(&catalog::LIMIT_BYTES, limit.map(|limit| limit.bytes));
        families.integer(
            &catalog::LIMIT_USED_BYTES,
            limit.and_then(|limit| limit.used),
        );
        families.float(
            &catalog::LIMIT_EXHAUSTION_SECONDS,
            self.derived.limit_exhaustion_seconds,
        );
        families.integer(
            &catalog::CGROUP_CURRENT_BYTES,
            cgroup.and_then(|cgroup| cgroup.current),
        );
        families.integer(
            &catalog::CGROUP_OOM_KILLS,
            cgroup.and_then(|cgroup| cgroup.oom_kills),
        );
        let pressure = cgroup.map(|cgroup| {
            [
                ("some", cgroup.pressure_some),
                ("full", cgroup.pressure_full),
            ]
        });
        families.add(
            &catalog::CGROUP_PRESSURE_SECONDS,
            pressure
                .into_iter()
                .flatten()
                .filter_map(|(kind, seconds)| Some((vec![("kind", kind)], Value::Float(seconds?)))),
        );
    }

    fn standard<'a>(&'a self, families: &mut Families<'a>) {
        let process = self.process.get();
        families.float(
            &catalog::PROCESS_CPU_SECONDS,
            process.and_then(|process| process.cpu_seconds),
        );
        families.integer(
            &catalog::PROCESS_RESIDENT_MEMORY_BYTES,
            process.map(|process| process.rss),
        );
        families.integer(
            &catalog::PROCESS_VIRTUAL_MEMORY_BYTES,
            process.map(|process| process.virtual_size),
        );
        families.integer(
            &catalog::PROCESS_VIRTUAL_MEMORY_MAX_BYTES,
            process.and_then(|process| process.virtual_max),
        );
        families.integer(&catalog::PROCESS_HEAP_BYTES, self.heap_bytes());
        families.float(
            &catalog::PROCESS_START_TIME_SECONDS,
            process.and_then(|process| process.start_time),
        );
        families.integer(
            &catalog::PROCESS_OPEN_FDS,
            process.and_then(|process| process.open_fds),
        );
        families.integer(
            &catalog::PROCESS_MAX_FDS,
            process.and_then(|process| process.max_fds),
        );
        families.integer(
            &catalog::PROCESS_THREADS,
            process.and_then(|process| process.threads),
        );
    }

    fn exporter<'a>(&'a self, families: &mut Families<'a>) {
        let own = &self.own;
        families.add(
            &catalog::EXPORTER_BUILD_INFO,
            [(
                vec![
                    ("version", env!("CARGO_PKG_VERSION")),
                    ("target", super::own::build_target()),
                ],
                Value::Integer(1),
            )],
        );
        families.add(
            &catalog::EXPORTER_COLLECTOR_DURATION_SECONDS,
            self.collectors().map(|report| {
                let duration = Value::Float(report.duration.as_secs_f64());
                (vec![("collector", report.name)], duration)
            }),
        );
        families.add(
            &catalog::EXPORTER_COLLECTOR_SUCCESS,
            self.collectors().map(|report| {
                let success = Value::Integer(u64::from(report.error.is_none()));
                (vec![("collector", report.name)], success)
            }),
        );
        families.float(&catalog::EXPORTER_CPU_SECONDS, own.cpu_seconds);
        families.integer(
            &catalog::EXPORTER_FOOTPRINT_BYTES,
            Some(own.footprint_bytes),
        );
        families.integer(
            &catalog::EXPORTER_DROPPED_COMPONENTS,
            Some(own.dropped_components),
        );
        if self.heap.get().is_some() {
            for (def, value) in [
                (
                    &catalog::EXPORTER_SAMPLE_INTERVAL_BYTES,
                    own.sample_interval,
                ),
                (&catalog::EXPORTER_LIVE_SAMPLES, own.live_samples),
                (&catalog::EXPORTER_DROPPED_SAMPLES, own.dropped_samples),
            ] {
                families.integer(def, Some(value));
            }
        }
        families.add(
            &catalog::EXPORTER_OTLP_EXPORTS,
            [
                ("success", own.otlp_successes),
                ("failure", own.otlp_failures),
            ]
            .map(|(outcome, count)| (vec![("outcome", outcome)], Value::Integer(count))),
        );
        let is_current = u64::from(own.is_config_current);
        for (def, value) in [
            (
                &catalog::EXPORTER_OTLP_REJECTED_POINTS,
                own.otlp_rejected_points,
            ),
            (&catalog::EXPORTER_HISTORY_FAILURES, own.history_failures),
            (&catalog::EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL, is_current),
        ] {
            families.integer(def, Some(value));
        }
        families.float(
            &catalog::EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
            own.config_read_seconds,
        );
        families.add(
            &catalog::EXPORTER_NOTIFICATIONS,
            self.channels.iter().flat_map(|counts| {
                let outcomes = [
                    ("sent", counts.sent),
                    ("failed", counts.failed),
                    ("dropped", counts.dropped),
                ];
                outcomes.map(|(outcome, count)| {
                    let labels = vec![("channel", counts.channel), ("outcome", outcome)];
                    (labels, Value::Integer(count))
                })
            }),
        );
    }
}

/// Collects families; what has no sample leaves no family.
pub(super) struct Families<'a> {
    families: Vec<Family<'a>>,
    standard: bool,
}

impl<'a> Families<'a> {
    pub(super) fn add(
        &mut self,
        def: &'static MetricDef,
        samples: impl IntoIterator<Item = (Labels, Value<'a>)>,
    ) {
        if def.group == Group::Standard && !self.standard {
            return;
        }
        let samples: Vec<_> = samples
            .into_iter()
            .map(|(labels, value)| Sample { labels, value })
            .collect();
        if !samples.is_empty() {
            self.families.push(Family { def, samples });
        }
    }

    pub(super) fn integer(&mut self, def: &'static MetricDef, value: Option<u64>) {
        self.add(def, value.map(|value| (Vec::new(), Value::Integer(value))));
    }

    pub(super) fn float(&mut self, def: &'static MetricDef, value: Option<f64>) {
        self.add(def, value.map(|value| (Vec::new(), Value::Float(value))));
    }
}
