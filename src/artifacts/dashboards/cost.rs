//! What the exporter itself costs, and what it lost.

use crate::artifacts::promql::{Window, counter, gauge};

use super::colour::Colour;
use super::field::{Mapping, Unit};
use super::frame::Frame;
use super::model::Panel;

pub(super) fn panels(frame: &Frame<'_>) -> Vec<Panel> {
    let lost = |metric| {
        frame
            .instances
            .counter(metric)
            .increase(Window::Rate)
            .sum_by(&["instance"])
    };
    let failed = frame.instances.counter(counter!(EXPORTER_OTLP_EXPORTS));
    let failed = failed
        .matching("outcome", "failure")
        .increase(Window::Rate)
        .sum_by(&["instance"]);
    let untold = frame.instances.counter(counter!(EXPORTER_NOTIFICATIONS));
    let untold = untold
        .matching("outcome", "dropped")
        .increase(Window::Rate)
        .sum_by(&["instance", "channel"]);
    vec![
        Panel::timeseries("CPU of the exporter")
            .size(8, 8)
            .query(&frame.rate(counter!(EXPORTER_CPU_SECONDS)), "{{instance}}")
            .unit(Unit::Share)
            .zero_based()
            .about(
                "CPU time of the exporter's own thread; 100 % is one core. More than a few per \
                 cent for long: scrape less often, or raise allocations.sample_interval.",
            ),
        Panel::timeseries("Memory of the exporter")
            .size(8, 8)
            .query(&frame.now(gauge!(EXPORTER_FOOTPRINT_BYTES)), "{{instance}}")
            .unit(Unit::Bytes)
            .zero_based()
            .about(
                "What the exporter reserves for counters, samples, history and profiles. It is \
                 bounded by sampling.max_samples and allocations.max_live_samples: lower them \
                 if it is too much.",
            ),
        Panel::timeseries("Time of its collectors")
            .size(8, 8)
            .query(
                &frame
                    .now(gauge!(EXPORTER_COLLECTOR_DURATION_SECONDS))
                    .max_by(&["collector"]),
                "{{collector}}",
            )
            .unit(Unit::Seconds)
            .zero_based()
            .about(
                "How long the slowest instance needs for one kind of readings. It adds to the \
                 time of a scrape; tenths of a second point to a machine that is overloaded.",
            ),
        Panel::state_timeline("Collectors")
            .size(12, 8)
            .query(
                &frame
                    .now(gauge!(EXPORTER_COLLECTOR_SUCCESS))
                    .min_by(&["instance", "collector"]),
                "{{collector}} {{instance}}",
            )
            .mapped(Mapping::numbered([
                ("nothing to read", Some(Colour::Yellow)),
                ("ok", Some(Colour::Green)),
            ]))
            .about(
                "Whether each kind of readings is there. One that never was has nothing to read \
                 in this process, such as jemalloc where it does not serve; one that stopped \
                 has failed: look into the log of that instance.",
            ),
        Panel::timeseries("Lost")
            .size(12, 8)
            .query(
                &lost(counter!(EXPORTER_DROPPED_SAMPLES)),
                "{{instance}} samples",
            )
            .query(
                &lost(counter!(EXPORTER_DROPPED_COMPONENTS)),
                "{{instance}} components",
            )
            .query(&failed, "{{instance}} pushes")
            .query(
                &lost(counter!(EXPORTER_OTLP_REJECTED_POINTS)),
                "{{instance}} rejected points",
            )
            .query(&untold, "{{instance}} alerts for {{channel}}")
            .unit(Unit::Number)
            .bars()
            .about(
                "Anything here makes other panels too low or patchy. Samples: raise \
                 allocations.max_live_samples; components: allocations.max_components; pushes \
                 and points: look into the log and at the receiver. Alerts: somebody was not \
                 told of one; /metrics/memory/alerts says why.",
            ),
    ]
}
