//! Footprint: the host with our allocator, and with or without an exporter at production settings.
//!
//! Arguments: seconds, and `exporter` or `none`. Prints the exporter's address or `-` at once, and at the end: resident bytes,
//! anonymous resident bytes, CPU seconds of the process, CPU seconds of the exporter's thread, bytes it says it reserved.

use std::time::Duration;

use contenders::host;
use memory_exporter::{Component, Config, Exporter};

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

static COMPONENTS: [Component; host::THREADS] = [
    Component::new("parser"),
    Component::new("cache"),
    Component::new("session"),
    Component::new("index"),
];

fn main() {
    let mut words = std::env::args().skip(1);
    let seconds = words.next().and_then(|word| word.parse().ok());
    let length = Duration::from_secs(seconds.expect("a number of seconds"));
    let exporter = (words.next().as_deref() == Some("exporter")).then(|| {
        let mut config = Config::production();
        config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
        Exporter::start(config).expect("the exporter starts")
    });
    match &exporter {
        Some(exporter) => println!("{}", exporter.addresses()[0]),
        None => println!("-"),
    }
    host::work(length, |number, turn| {
        let _scope = COMPONENTS[number].enter();
        turn();
    });
    let (rss, anon, cpu) = host::usage();
    // Taken last: reading it is work that the exporter would not have had.
    let own = exporter.map(|exporter| exporter.snapshot().own);
    println!(
        "{rss} {anon} {cpu} {} {}",
        own.and_then(|own| own.cpu_seconds).unwrap_or(0.0),
        own.map_or(0, |own| own.footprint_bytes)
    );
}
