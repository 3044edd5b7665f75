//! The command line.

pub(crate) const USAGE: &str = "\
usage: cargo run --release --manifest-path benches/Cargo.toml -- WHAT [OPTIONS]

WHAT  all, hot, unwind, profiles, pauses, collect, footprint, truth, leaks, leaks-cost or leaks-real

  --rounds N     rounds of each process of `hot` (8); times all repetitions of `collect` by N/8
  --processes N  how often `hot` starts its processes anew (6)
  --seconds N    length of `footprint` (60)
  --runs N       runs of each kind of `leaks` (120; an eighth of it for the development profile), generations of `leaks-real` (3)
  --only NAMES   contenders of `hot`, separated by commas (all)
  --tasks NAMES  workloads of `hot`, separated by commas (all)";

/// What can be asked for.
const PARTS: [&str; 11] = [
    "all",
    "hot",
    "unwind",
    "profiles",
    "pauses",
    "collect",
    "footprint",
    "truth",
    "leaks",
    "leaks-cost",
    "leaks-real",
];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) what: String,
    pub(crate) rounds: u64,
    pub(crate) processes: u64,
    pub(crate) seconds: u64,
    pub(crate) runs: Option<u64>,
    pub(crate) only: Vec<String>,
    pub(crate) tasks: Vec<String>,
}

impl Arguments {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let what = words.next().ok_or("what shall be measured?")?;
        if !PARTS.contains(&what.as_str()) {
            return Err(format!("cannot measure {what}"));
        }
        let mut arguments = Self {
            what,
            rounds: 8,
            processes: 6,
            seconds: 60,
            runs: None,
            only: Vec::new(),
            tasks: Vec::new(),
        };
        while let Some(option) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{option} wants a value"))?;
            let number = || {
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("{option} wants a number above 0, not {value}"))
            };
            let names = || value.split(',').map(str::to_owned).collect();
            match option.as_str() {
                "--rounds" => arguments.rounds = number()?,
                "--processes" => arguments.processes = number()?,
                "--seconds" => arguments.seconds = number()?,
                "--runs" => arguments.runs = Some(number()?),
                "--only" => arguments.only = names(),
                "--tasks" => arguments.tasks = names(),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        Ok(arguments)
    }
}
