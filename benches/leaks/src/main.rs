//! Runs our detector and two simple ones over the suite and prints the tables.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use leaks::figures::floor_minutes;
use leaks::suite::{Contender, Half, Suite};
use leaks::table::{self, Column};
use leaks::{HOURS, Kind, Profile, baseline, ours};
use memory_exporter::Config;
use memory_exporter::config::LeakThresholds;

const USAGE: &str = "leaks [--profile production|development] [--half tune|report] [--runs N] [--kinds a,b] [--rates 20,50] [--hours N] \
                     [--windows 2m,3m]\nleaks cost";

/// The rate whose delays are looked at closely, in megabytes per hour.
const WATCHED_RATE: f64 = 50.0;

/// The baselines lay a line through half an hour, and see nothing before.
const BASELINE_WARM_UP: u64 = 30 * 60 * 1000;

/// What the command line asks for.
struct Order {
    suite: Suite,
    thresholds: LeakThresholds,
    /// Windows to try our detector with besides its own.
    windows: Vec<Duration>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "cost") {
        leaks::cost::run();
        return ExitCode::SUCCESS;
    }
    match order(words) {
        Ok(order) => {
            run(&order);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

fn order(words: Vec<String>) -> Result<Order, String> {
    let mut suite = Suite {
        half: Half::Report,
        runs: 120,
        kinds: Kind::ALL.to_vec(),
        rates: vec![5.0, 20.0, 50.0, 200.0, 1000.0],
        profile: Profile::PRODUCTION,
        hours: HOURS,
    };
    let mut thresholds = Config::production().leaks.thresholds;
    let mut windows = Vec::new();
    let mut words = words.into_iter();
    while let Some(option) = words.next() {
        let value = words.next().ok_or(format!("{option} wants a value"))?;
        let wrong = || format!("{option}: {value:?} is not understood");
        let list = || value.split(',');
        match (option.as_str(), value.as_str()) {
            ("--half", "tune") => suite.half = Half::Tune,
            ("--half", "report") => suite.half = Half::Report,
            ("--runs", _) => suite.runs = value.parse().map_err(|_| wrong())?,
            ("--hours", _) => suite.hours = value.parse().map_err(|_| wrong())?,
            ("--kinds", _) => {
                let kinds = list().map(Kind::named).collect::<Option<_>>();
                suite.kinds = kinds.ok_or_else(wrong)?;
            }
            ("--rates", _) => {
                let rates = list().map(str::parse).collect::<Result<_, _>>();
                suite.rates = rates.map_err(|_| wrong())?;
            }
            ("--windows", _) => {
                let lengths = list().map(humantime::parse_duration);
                windows = lengths.collect::<Result<_, _>>().map_err(|_| wrong())?;
            }
            ("--profile", "production") => {}
            ("--profile", "development") => {
                suite.profile = Profile::DEVELOPMENT;
                thresholds = Config::development().leaks.thresholds;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(Order {
        suite,
        thresholds,
        windows,
    })
}

fn run(order: &Order) {
    let Order {
        suite,
        thresholds,
        windows,
    } = order;
    let warm_up = u64::try_from(thresholds.warm_up.as_millis()).unwrap_or(u64::MAX);
    let ours = || ours::detector(*thresholds);
    let others: Vec<_> = windows
        .iter()
        .map(|&window| {
            let mut thresholds = *thresholds;
            thresholds.window = window;
            let name = format!("ours, {}", humantime::format_duration(window));
            (name, move || ours::detector(thresholds))
        })
        .collect();
    let mut contenders = vec![
        Contender {
            name: "rss",
            warm_up: BASELINE_WARM_UP,
            start: &baseline::resident_slope,
        },
        Contender {
            name: "sites",
            warm_up: BASELINE_WARM_UP,
            start: &baseline::site_slope,
        },
        Contender {
            name: "ours",
            warm_up,
            start: &ours,
        },
    ];
    contenders.extend(others.iter().map(|(name, start)| Contender {
        name,
        warm_up,
        start,
    }));
    let begin = Instant::now();
    let outcomes = suite.judge(&contenders);
    let took = begin.elapsed();
    let columns: Vec<Column<'_>> = contenders
        .iter()
        .zip(&outcomes)
        .map(|(contender, outcomes)| Column {
            name: contender.name,
            outcomes,
        })
        .collect();
    println!(
        "{} runs of {} hours, {} for each kind, {} seeds; a sample per {} KiB, looked at every {} s; warm-up {}, window {}.\n\n{}",
        suite.runs().len(),
        suite.hours,
        suite.runs,
        match suite.half {
            Half::Tune => "even",
            Half::Report => "odd",
        },
        suite.profile.sample_interval / 1024.0,
        suite.profile.tick_seconds,
        humantime::format_duration(thresholds.warm_up),
        humantime::format_duration(thresholds.window),
        table::legend()
    );
    println!("#### In total\n\n{}", table::in_total(&columns));
    println!("#### By kind\n\n{}", table::by_kind(&columns));
    println!(
        "#### By rate of the leaking kinds\n\n{}",
        table::by_rate(&columns)
    );
    println!(
        "#### Minutes from the onset until a leak of {WATCHED_RATE} MB/h is named\n\nNobody who wants two samples can be quicker than \
         {:.1} minutes (median).\n\n{}",
        floor_minutes(WATCHED_RATE, suite.profile.sample_interval),
        table::waits(&columns[1..3], WATCHED_RATE)
    );
    if !windows.is_empty() {
        println!(
            "#### Innocent runs that ever had a suspect\n\n{}",
            table::blamed(&columns)
        );
    }
    eprintln!("took {:.1} s", took.as_secs_f64());
}
