//! Whether what we say of call sites is true: the program of known sites under our allocator, `dhat` and heaptrack.

use std::process::Command;

use crate::programs::{Program, path};
use crate::table;

/// Bytes between two samples: few enough that estimates are rough, and as many as nobody needs outside of tests.
const INTERVALS: [u64; 2] = [64 << 10, 4 << 10];

/// Numbers of every site, in the order of the program.
struct Reading {
    name: String,
    sites: Vec<Vec<f64>>,
}

/// Places of the numbers that a program prints.
const LIVE: usize = 0;
const ALLOCATED: usize = 1;
const LOW: usize = 2;
const HIGH: usize = 3;

pub(crate) fn run() {
    let file = |name: &str| {
        let file = path("truth").join(name);
        file.to_string_lossy().into_owned()
    };
    std::fs::create_dir_all(path("truth")).expect("a folder for reports");
    let (truth, titles) = read("truth", "sites_plain", &[]);
    let ours = INTERVALS.map(|interval| {
        let name = format!("ours, a sample per {} KiB", interval >> 10);
        read(&name, "sites_ours", &[interval.to_string()]).0
    });
    let (dhat, _) = read("dhat", "sites_dhat", &[file("dhat.json")]);
    let heaptrack = Command::new("heaptrack")
        .arg("--version")
        .output()
        .is_ok()
        .then(|| {
            let plain = path("sites_plain").to_string_lossy().into_owned();
            read("heaptrack", "sites_heaptrack", &[plain, file("heaptrack")]).0
        });
    let all: Vec<&Reading> = [&truth].into_iter().chain(&ours).chain([&dhat]).collect();
    let mut live = all.clone();
    live.extend(&heaptrack);
    print("Live bytes at the end (rank)", &titles, &live, LIVE);
    print("Bytes asked for (rank)", &titles, &all, ALLOCATED);
    let rows: Vec<_> = ours.iter().map(|ours| agreement(ours, &dhat)).collect();
    let head = [
        "",
        "pairs of sites in dhat's order, live",
        "others whose intervals are apart",
        "asked for",
    ];
    table::print("Ranking", &head, &rows);
}

/// What a program says of the sites, and what is special about each.
fn read(name: &str, program: &str, arguments: &[String]) -> (Reading, Vec<String>) {
    let mut program = Program::start(program, arguments, &[]);
    let lines = std::iter::from_fn(|| program.hear());
    let sites = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let numbers: Vec<f64> = words.iter().map_while(|word| word.parse().ok()).collect();
        let title = words[numbers.len()..].join(" ");
        (numbers, title)
    });
    let (sites, titles) = sites.unzip();
    let name = name.to_owned();
    (Reading { name, sites }, titles)
}

fn print(title: &str, titles: &[String], readings: &[&Reading], at: usize) {
    let mut head = vec!["site"];
    head.extend(readings.iter().map(|reading| reading.name.as_str()));
    let rows: Vec<_> = titles
        .iter()
        .enumerate()
        .map(|(site, title)| {
            let cells = readings.iter().map(|reading| reading.cell(site, at));
            [title.clone()].into_iter().chain(cells).collect()
        })
        .collect();
    table::print(title, &head, &rows);
}

impl Reading {
    /// A number, the interval where there is one, and the rank.
    fn cell(&self, site: usize, at: usize) -> String {
        let numbers = &self.sites[site];
        let larger = self.sites.iter().filter(|other| other[at] > numbers[at]);
        let rank = larger.count() + 1;
        match numbers.get(LOW..=HIGH) {
            Some([low, high]) if at == LIVE => {
                format!("{}, {low} to {high} ({rank})", numbers[at])
            }
            _ => format!("{} ({rank})", numbers[at]),
        }
    }
}

/// How many pairs of sites are in the same order.
fn agreement(ours: &Reading, peer: &Reading) -> Vec<String> {
    let mut pairs = 0;
    let mut same = [0; 2];
    let mut contradictions = 0;
    for (at, one) in ours.sites.iter().enumerate() {
        for (other, peers) in ours.sites[..at].iter().zip(&peer.sites) {
            pairs += 1;
            for (same, number) in same.iter_mut().zip([LIVE, ALLOCATED]) {
                let order = one[number].total_cmp(&other[number]);
                *same += u32::from(order == peer.sites[at][number].total_cmp(&peers[number]));
            }
            let is_other = (one[LIVE] > other[LIVE]) != (peer.sites[at][LIVE] > peers[LIVE]);
            let are_apart = one[LOW] > other[HIGH] || other[LOW] > one[HIGH];
            contradictions += u32::from(is_other && are_apart);
        }
    }
    let of = |number: u32| format!("{number} of {pairs}");
    vec![
        ours.name.clone(),
        of(same[0]),
        contradictions.to_string(),
        of(same[1]),
    ]
}
