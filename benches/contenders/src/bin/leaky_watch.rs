//! Runs the program `leaky` once for each kind, all at once; asks each over HTTP what it suspects; and judges the answers as those of the
//! simulated workloads are judged. Prints tables.
//!
//! Arguments: seconds, the rate of the leaks in megabytes per hour at the usual pace, how many generations one after another.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use contenders::scrape;
use leaks::score::{Judge, Named};
use leaks::table::{self, Column};
use leaks::{Kind, Leak, Truth};
use serde_json::Value;

/// By so much times are shorter than usual; scores are told in usual times.
const COMPRESSION: f64 = 15.0;
/// Seconds after the start in which the detector says nothing.
const WARM_UP: f64 = 10.0;
/// Between two questions to the same program.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// Kinds of the resident set, which no program of ours can act.
const NOT_ACTED: [Kind; 2] = [Kind::Fragmentation, Kind::PageCache];

fn main() {
    let words: Vec<f64> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("a number"))
        .collect();
    let [seconds, rate, generations] = words[..] else {
        panic!("seconds, a rate and a number of generations");
    };
    let mut outcomes = Vec::new();
    let mut processors = Vec::new();
    for seed in 0..generations as u64 {
        let mut programs: Vec<Program> = Kind::ALL
            .into_iter()
            .filter(|kind| !NOT_ACTED.contains(kind))
            .map(|kind| Program::start(kind, rate, seed).expect("the program starts"))
            .collect();
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            let next = Instant::now() + ASKED_EVERY;
            for program in &mut programs {
                program.ask().expect("the program answers");
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        for program in &programs {
            program.say();
            processors.push(100.0 * program.cpu_seconds() / program.start.elapsed().as_secs_f64());
            outcomes.push(program.judge.outcome(program.kind, rate));
        }
    }
    let column = Column {
        name: "ours",
        outcomes: &outcomes,
    };
    let columns = std::slice::from_ref(&column);
    println!("#### In total\n\n{}", table::in_total(columns));
    println!("#### By kind\n\n{}", table::by_kind(columns));
    processors.sort_by(f64::total_cmp);
    println!(
        "A program took {:.1} % of a core (median), {:.1} % at most.\n",
        processors.get(processors.len() / 2).unwrap_or(&f64::NAN),
        processors.last().unwrap_or(&f64::NAN)
    );
}

/// A program that runs, and what is known of it.
struct Program {
    child: Child,
    kind: Kind,
    address: SocketAddr,
    start: Instant,
    judge: Judge,
    /// The functions of the true leaks; `|` stands between several names of one.
    labels: Vec<String>,
    /// Suspects that were seen, open or closed, with what they named first.
    seen: HashMap<u64, String>,
}

impl Program {
    fn start(kind: Kind, rate: f64, seed: u64) -> io::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("leaky");
        let mut child = Command::new(program)
            .args([kind.name(), &rate.to_string(), &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let start = Instant::now();
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(output).lines();
        let mut hear = || {
            lines
                .next()
                .unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()))
        };
        let address = hear()?.parse().map_err(io::Error::other)?;
        let mut truth = Truth::default();
        let mut labels = Vec::new();
        loop {
            let line = hear()?;
            let words: Vec<&str> = line.split(' ').collect();
            let ["leak", onset, rate, function] = words[..] else {
                break;
            };
            let onset: f64 = onset.parse().map_err(io::Error::other)?;
            truth.leaks.push(Leak {
                site: labels.len() as u32,
                onset_ms: usual_milliseconds(onset),
                with_process: onset == 0.0,
                megabytes_per_hour: rate.parse().map_err(io::Error::other)?,
                also: Vec::new(),
            });
            labels.push(function.to_owned());
        }
        Ok(Self {
            child,
            kind,
            address,
            start,
            judge: Judge::new(truth, usual_milliseconds(WARM_UP)),
            labels,
            seen: HashMap::new(),
        })
    }

    /// Asks what is suspected now, and lets it be judged.
    fn ask(&mut self) -> io::Result<()> {
        let answer = scrape::get(self.address, "/metrics/memory/leaks")?;
        let answer: Value = serde_json::from_str(&answer)?;
        let now = usual_milliseconds(self.start.elapsed().as_secs_f64());
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let mut named = Vec::new();
        // A suspect that was opened and closed between two questions was open all the same.
        let short = list("closed");
        let short = short
            .iter()
            .filter(|suspect| !self.seen.contains_key(&id(suspect)));
        let suspects = list("suspects");
        for suspect in suspects.iter().chain(short.collect::<Vec<_>>()) {
            // A closed one has one line of code, not parts.
            let own = || vec![suspect.clone()];
            let parts = suspect["parts"].as_array().cloned().unwrap_or_else(own);
            let functions: Vec<&str> = parts
                .iter()
                .filter_map(|part| part["function"].as_str())
                .collect();
            self.seen
                .entry(id(suspect))
                .or_insert_with(|| format!("{} s: {}", now / 15_000, functions.join(", ")));
            let sites = functions.iter().map(|function| self.site(function));
            let sites = sites.collect();
            named.push(Named {
                id: id(suspect),
                sites,
                opened: now,
            });
        }
        self.judge.see(now, &named);
        Ok(())
    }

    /// The number that stands for a function: that of a label, or one for all others.
    fn site(&self, function: &str) -> u32 {
        let is_it = |name: &str| {
            let behind = function.split_once(name).map(|(_, behind)| behind);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with("::"))
        };
        let mut labels = self.labels.iter();
        let label = labels.position(|label| label.split('|').any(is_it));
        label.map_or(u32::MAX, |label| label as u32)
    }

    /// Shows on the standard error what was suspected.
    fn say(&self) {
        let mut seen: Vec<_> = self.seen.iter().collect();
        seen.sort();
        eprintln!("{}: {seen:?}", self.kind.name());
    }

    /// CPU time so far.
    fn cpu_seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let line = std::fs::read_to_string(path).unwrap_or_default();
        // The name of the program ends at the last bracket; user and system time are the 12th and 13th field behind it.
        let fields = line.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_ascii_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its input is the sign for it to end.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn id(suspect: &Value) -> u64 {
    suspect["id"].as_u64().expect("a suspect has a number")
}

/// Milliseconds at the usual pace.
fn usual_milliseconds(seconds: f64) -> u64 {
    (seconds * COMPRESSION * 1000.0) as u64
}
