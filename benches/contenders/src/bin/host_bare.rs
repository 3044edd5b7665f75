//! Footprint: the host with bare jemalloc and without anything of the library.
//!
//! Arguments: seconds.

use std::time::Duration;

use contenders::host;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let length = Duration::from_secs(seconds.expect("a number of seconds"));
    println!("-");
    host::work(length, |_, turn| turn());
    let (rss, anon, cpu) = host::usage();
    println!("{rss} {anon} {cpu} 0 0");
}
