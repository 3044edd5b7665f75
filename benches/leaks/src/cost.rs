//! What one look of our detector costs: many sites of several sorts, some of which leak, over hours.
//!
//! Sites here only have the form of sites, not the truth of a simulated workload: what matters is how many there are, how many of their
//! blocks live, and that no two are alike.

use std::sync::Arc;

use memory_exporter::Config;
use memory_exporter::analysis::leak::{Cohort, LeakDetector, Observation, SiteObservation};
use memory_exporter::heap::AGES;
use workload::system::thread_cpu_time;

use crate::figures::quartiles;
use crate::random::{Random, single};

/// Milliseconds between two looks.
const TICK: u64 = 30_000;
/// Looks before the first that counts: the longest window of eight hours is full, so every window is looked at.
const PAST: u64 = 960;
/// Looks that count.
const MEASURED: usize = 300;
/// Bytes that a sample stands for, about.
const INTERVAL: f64 = 2_097_152.0;

/// What a site does with its blocks.
#[derive(Debug, Clone, Copy)]
enum Sort {
    /// Keeps what it allocated at the start.
    Loaded,
    /// Frees each after a time that has no memory; the share that lives on to the next tick.
    Sessions(f64),
    /// Replaces the oldest; how often a tick on average.
    Cache(f64),
    /// Keeps everything; how many a tick on average.
    Leaking(f64),
}

/// A site of the crowd.
struct Member {
    site: u32,
    place: u64,
    component: Arc<str>,
    sort: Sort,
    /// How many live blocks it has where it does not leak.
    level: f64,
    births: Vec<u64>,
    samples: u64,
    freed: [u32; AGES],
}

impl Member {
    /// Lives through the tick that ends now.
    fn advance(&mut self, now: u64, random: &mut Random) {
        let births = match self.sort {
            Sort::Loaded => 0.0,
            Sort::Sessions(kept) => {
                let freed = &mut self.freed;
                self.births.retain(|&birth| {
                    let stays = random.chance(kept);
                    if !stays {
                        freed[class(now - birth)] += 1;
                    }
                    stays
                });
                random.poisson(self.level * (1.0 - kept))
            }
            Sort::Cache(replaced) => {
                let births = random.poisson(replaced);
                for _ in 0..crate::random::whole(births) {
                    if !self.births.is_empty() {
                        self.freed[class(now - self.births.remove(0))] += 1;
                    }
                }
                births
            }
            Sort::Leaking(rate) => random.poisson(rate),
        };
        self.allocate(births, now - TICK, now, random);
    }

    fn allocate(&mut self, births: f64, from: u64, to: u64, random: &mut Random) {
        let before = self.births.len();
        for _ in 0..crate::random::whole(births) {
            let birth = from + crate::random::whole(random.unit() * (to - from) as f64);
            self.births.push(birth / 1000 * 1000);
            self.samples += 1;
        }
        self.births[before..].sort_unstable();
    }
}

fn class(age: u64) -> usize {
    match age / 1000 {
        0 => 0,
        seconds => (seconds.ilog2() as usize + 1).min(AGES - 1),
    }
}

/// So many sites with so many live blocks, of which some leak.
fn crowd(sites: u32, live: f64, leaking: u32, start: u64, random: &mut Random) -> Vec<Member> {
    let components: Vec<Arc<str>> = (0..20).map(|name| format!("part-{name}").into()).collect();
    // Many sites of few blocks and few sites of many.
    let weights: Vec<f64> = (0..sites).map(|_| random.log_between(1.0, 100.0)).collect();
    let all: f64 = weights.iter().sum();
    let member = |(site, weight): (u32, f64)| {
        let level = live * weight / all;
        let sort = match site {
            _ if site < leaking => Sort::Leaking(random.log_between(0.05, 1.0)),
            _ => match random.count(0, 9) {
                0..=2 => Sort::Loaded,
                3..=6 => Sort::Sessions(random.between(0.3, 0.95)),
                _ => Sort::Cache(level * random.between(0.01, 0.3)),
            },
        };
        // A third of the lines are reached in three ways.
        let place = if site % 9 < 3 { site / 9 * 9 } else { site };
        let mut member = Member {
            site,
            place: u64::from(place).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            component: components[place as usize % components.len()].clone(),
            sort,
            level,
            births: Vec::new(),
            samples: 0,
            freed: [0; AGES],
        };
        let there = if matches!(sort, Sort::Leaking(_)) {
            0.0
        } else {
            random.poisson(level)
        };
        member.allocate(there, start, start + 180_000, random);
        member
    };
    (0..sites).zip(weights).map(member).collect()
}

fn observe(members: &[Member], now: u64, observation: &mut Observation) {
    observation.time = now;
    observation.is_sampled = true;
    observation.sites.clear();
    observation.cohorts.clear();
    let mut live = 0.0;
    for member in members.iter().filter(|member| member.samples > 0) {
        let first = observation.cohorts.len();
        for same in member.births.chunk_by(|a, b| a == b) {
            let samples = u32::try_from(same.len()).unwrap_or(u32::MAX);
            let bytes = f64::from(samples) * INTERVAL;
            live += bytes;
            observation.cohorts.push(Cohort {
                birth: same[0],
                samples,
                objects: single(bytes / 512.0),
                bytes: single(bytes),
            });
        }
        observation.sites.push(SiteObservation {
            site: member.site,
            place: member.place,
            component: member.component.clone(),
            samples: member.samples,
            freed: member.freed,
            cohorts: first..observation.cohorts.len(),
        });
    }
    observation.heap_bytes = Some(crate::random::whole(live));
}

/// Prints what a look costs for crowds of several sizes. Some sites are never seen, and leaks add to what lives at the start: the table
/// has the true numbers.
pub fn run() {
    println!(
        "| sites | live samples | of the sites leak | open suspects | one look, CPU ms: median (quartiles) | worst of {MEASURED} | detector, KiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for (sites, live, leaking) in [
        (1_040, 8_000.0, 6),
        (10_420, 98_000.0, 0),
        (10_420, 80_000.0, 60),
    ] {
        measure(sites, live, leaking);
    }
}

fn measure(sites: u32, live: f64, leaking: u32) {
    let mut random = Random::new(1, 0);
    let start = 1_767_225_600_000;
    let mut members = crowd(sites, live, leaking, start, &mut random);
    let mut detector = LeakDetector::new(Config::production().leaks.thresholds);
    let mut observation = Observation::default();
    let mut milliseconds = Vec::with_capacity(MEASURED);
    let mut samples = 0.0;
    let mut now = start + 180_000;
    for tick in 0..PAST + MEASURED as u64 {
        now += TICK;
        for member in &mut members {
            member.advance(now, &mut random);
        }
        observe(&members, now, &mut observation);
        let begin = thread_cpu_time();
        std::hint::black_box(detector.observe(&observation));
        let took = thread_cpu_time() - begin;
        if tick >= PAST {
            milliseconds.push(took.as_secs_f64() * 1e3);
            let of_sites = members.iter().map(|member| member.births.len());
            samples += of_sites.sum::<usize>() as f64 / MEASURED as f64;
        }
    }
    milliseconds.sort_by(f64::total_cmp);
    let [low, median, high] = quartiles(&milliseconds).unwrap_or_default();
    println!(
        "| {} | {samples:.0} | {leaking} | {} | {median:.1} ({low:.1}–{high:.1}) | {:.1} | {} |",
        observation.sites.len(),
        detector.suspects().len(),
        milliseconds.last().copied().unwrap_or_default(),
        detector.reserved_bytes() / 1024
    );
}
