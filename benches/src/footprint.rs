//! What the exporter costs a process that carries it: a host that works at 1 % of a core, in four variants, several of each at the
//! same time, so that all see the same machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::programs::Program;
use crate::table;

const EACH: usize = 5;
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
const MIB: f64 = (1 << 20) as f64;

/// Name, program, argument, and whether it is scraped.
const VARIANTS: [(&str, &str, &str, bool); 4] = [
    ("bare jemalloc", "host_bare", "", false),
    (
        "memory_exporter::Allocator, no exporter",
        "host",
        "none",
        false,
    ),
    ("exporter", "host", "exporter", false),
    ("exporter, scraped every 15 s", "host", "exporter", true),
];

pub(crate) fn run(arguments: &Arguments) {
    let mut hosts: Vec<(usize, Program, String)> = Vec::new();
    for _ in 0..EACH {
        for (variant, (_, program, argument, _)) in VARIANTS.into_iter().enumerate() {
            let words = [arguments.seconds.to_string(), argument.to_owned()];
            let mut program = Program::start(program, &words, &[]);
            let address = program.hear().expect("the host starts");
            hosts.push((variant, program, address));
        }
    }
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    // Beside the ticks, which come every 30 s from the start.
    let mut next = Instant::now() + SCRAPE_INTERVAL / 3;
    while next < end {
        std::thread::sleep(next - Instant::now());
        for (variant, _, address) in &hosts {
            if VARIANTS[*variant].3 {
                scrape(address).expect("the exporter answers");
            }
        }
        next += SCRAPE_INTERVAL;
    }

    let mut results = vec![Vec::new(); VARIANTS.len()];
    for (variant, mut program, _) in hosts {
        let line = program.hear().expect("the host ends with its numbers");
        let numbers: Vec<f64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        results[variant].push(numbers);
    }
    let column = |variant: usize, at: usize, scale: f64| -> Vec<f64> {
        let numbers = results[variant].iter();
        numbers
            .map(|numbers: &Vec<f64>| numbers[at] * scale)
            .collect()
    };
    let per_core = 100.0 / arguments.seconds as f64;
    let scales = [1.0 / MIB, 1.0 / MIB, per_core];
    let base = scales
        .iter()
        .enumerate()
        .map(|(at, scale)| table::quantile(&column(0, at, *scale), 0.5))
        .collect::<Vec<_>>();
    let rows: Vec<_> = VARIANTS
        .iter()
        .enumerate()
        .map(|(variant, (name, ..))| {
            let mut row = vec![(*name).to_owned()];
            for (at, scale) in scales.iter().enumerate() {
                let values = column(variant, at, *scale);
                let more = table::quantile(&values, 0.5) - base[at];
                row.push(format!("{}, {more:+.2}", table::spread(&values, 2)));
            }
            let own = table::spread(&column(variant, 3, per_core), 4);
            row.push(if variant < 2 { "-".to_owned() } else { own });
            let reserved = table::quantile(&column(variant, 4, 1.0 / MIB), 0.5);
            row.push(format!("{reserved:.2}"));
            row
        })
        .collect();
    let head = [
        "host with",
        "resident MiB, more than bare",
        "anonymous MiB, more than bare",
        "CPU % of a core, more than bare",
        "exporter's thread, % of a core",
        "memory_exporter_footprint_bytes, MiB",
    ];
    let title = format!(
        "Footprint after {} s: median (quartiles) of {EACH} processes",
        arguments.seconds
    );
    table::print(&title, &head, &rows);
}

fn scrape(address: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: gzip\r\n\
         Accept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other("the answer is not 200"))
    }
}
