//! Watching must not disturb what is watched: in the steady state a tick allocates nothing. A process of its own, so that nobody else
//! allocates meanwhile.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use memory_exporter::heap::{self, Counts, SamplingOptions};
use memory_exporter::snapshot::{History, Recorder, SamplerOptions};
use memory_exporter::{Allocator, Component};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

static TICKS: Component = Component::new("ticks");

#[test]
fn a_tick_allocates_nothing_and_the_history_does_not_grow() {
    heap::sample(SamplingOptions::every(1_000));
    let held: Vec<Vec<u8>> = (0..1_000).map(|size| vec![1; size]).collect();
    let mut options = SamplerOptions::default();
    options.max_components = 20;
    let recorder = Recorder::new(
        options,
        History::new(100, Duration::from_secs(7 * 24 * 3600)),
    );
    let operations = || {
        let mut counts = Counts::default();
        heap::read(&mut counts);
        let ticks = counts
            .components
            .iter()
            .find(|component| component.name == TICKS.name());
        ticks.map_or(0, |component| {
            component
                .operations
                .iter()
                .map(|operation| operation.count())
                .sum::<u64>()
        })
    };
    let ticks = |number: usize| {
        let _scope = TICKS.enter();
        for _ in 0..number {
            recorder.tick();
            // Moments of the same nanosecond would replace each other.
            std::thread::sleep(Duration::from_micros(10));
        }
    };
    ticks(200); // the ring is full, every buffer has its size
    let (before, reserved) = (operations(), recorder.history().reserved_bytes());
    assert!(
        before > 0,
        "the first ticks fill buffers, or the test sees nothing"
    );
    ticks(2_000);
    assert_eq!(
        operations() - before,
        0,
        "allocator operations in 2000 ticks"
    );
    assert_eq!(recorder.history().reserved_bytes(), reserved);
    assert!(recorder.history().points().len() <= 100);
    assert!(heap::live_samples() > 100, "with samples to look at");
    drop(held);
}
