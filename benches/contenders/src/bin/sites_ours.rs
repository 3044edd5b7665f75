//! The program of known sites with our allocator and exporter. The argument is the sampling interval in bytes. Prints what
//! `/metrics/memory/allocations` says: live bytes, allocated bytes, and the ends of the interval of the live bytes.

use contenders::{scrape, sites};
use memory_exporter::heap::{self, SamplingOptions};
use memory_exporter::{Config, Exporter};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

fn main() {
    let interval = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let interval = interval.expect("an interval");
    heap::sample(SamplingOptions::every(interval));
    // Before the exporter looks for the first time whose the sites are: so they all are somebody's, or none is.
    sites::run();
    let mut config = Config::production();
    config.allocations.sample_interval = interval;
    config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
    let exporter = Exporter::start(config).expect("the exporter starts");
    let answer = scrape::get(exporter.addresses()[0], "/metrics/memory/allocations");
    let answer: Value = serde_json::from_str(&answer.expect("it answers")).expect("JSON");
    let places = answer["by_live_bytes"].as_array().expect("places");
    sites::print(|site| {
        let is_it =
            |place: &&Value| place["function"].as_str().and_then(sites::site_of) == Some(site);
        let found: Vec<_> = places.iter().filter(is_it).collect();
        let [place] = found.as_slice() else {
            panic!("{site} is listed {} times", found.len());
        };
        [
            "live_bytes",
            "allocated_bytes",
            "live_bytes_low",
            "live_bytes_high",
        ]
        .map(|name| place[name].as_f64().expect("a number"))
    });
}
