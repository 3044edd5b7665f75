//! Many runs: which ones, by which detectors, on two threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use memory_exporter::analysis::leak::Observation;

use crate::kind::Kind;
use crate::score::{Detect, Judge, Outcome};
use crate::simulation::{Profile, simulate_for};

/// How many runs go on at a time.
const THREADS: usize = 2;

/// Seeds come in two halves, so that no detector is reported on what it was tuned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Even seeds.
    Tune,
    /// Odd seeds.
    Report,
}

impl Half {
    /// Its seed with this number, counted from 0.
    #[must_use]
    pub fn seed(self, number: u64) -> u64 {
        2 * number + u64::from(self == Self::Report)
    }
}

/// A detector in a comparison.
pub struct Contender<'a> {
    /// Its name in tables.
    pub name: &'a str,
    /// Milliseconds after the process start in which it is excused.
    pub warm_up: u64,
    /// Makes a new one for each run.
    pub start: &'a (dyn Fn() -> Detect + Sync),
}

/// Which runs.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Which half of the seeds.
    pub half: Half,
    /// Runs of each kind, which share its rates: a leaking kind has no more of them than an innocent one.
    pub runs: u64,
    /// Kinds of workload.
    pub kinds: Vec<Kind>,
    /// Rates of leaks in megabytes per hour; a kind is left out where a rate makes no sense for it.
    pub rates: Vec<f64>,
    /// How the processes are watched.
    pub profile: Profile,
    /// Length of a run.
    pub hours: f64,
}

impl Suite {
    /// Every run, as its kind, rate and seed.
    #[must_use]
    pub fn runs(&self) -> Vec<(Kind, f64, u64)> {
        let mut runs = Vec::new();
        for &kind in &self.kinds {
            let innocent = [0.0];
            let rates: &[f64] = if kind.is_leak() {
                &self.rates
            } else {
                &innocent
            };
            let rates = rates.iter().copied();
            let rates: Vec<f64> = rates.filter(|&rate| kind.is_sensible(rate)).collect();
            let seeds = self.runs.div_ceil(rates.len().max(1) as u64);
            let all = (0..seeds).flat_map(|number| {
                let seed = self.half.seed(number);
                rates.iter().map(move |&rate| (kind, rate, seed))
            });
            runs.extend(all.take(usize::try_from(self.runs).unwrap_or(usize::MAX)));
        }
        // By kind and rate, seeds last.
        runs.sort_by_key(|run| (run.0, run.1.to_bits(), run.2));
        runs
    }

    /// Judges every contender on every run: for each contender its outcomes, in the order of [`Suite::runs`].
    #[must_use]
    pub fn judge(&self, contenders: &[Contender<'_>]) -> Vec<Vec<Outcome>> {
        let runs = self.runs();
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::with_capacity(runs.len()));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&run) = runs.get(number) else { break };
                        let judged = self.judge_run(run, contenders);
                        outcomes
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((number, judged));
                    }
                });
            }
        });
        let mut outcomes = outcomes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // Threads end their runs in any order.
        outcomes.sort_by_key(|&(number, _)| number);
        let mut by_contender: Vec<Vec<Outcome>> = contenders
            .iter()
            .map(|_| Vec::with_capacity(outcomes.len()))
            .collect();
        for (_, judged) in outcomes {
            for (all, outcome) in by_contender.iter_mut().zip(judged) {
                all.push(outcome);
            }
        }
        by_contender
    }

    /// One run, simulated once for all contenders.
    fn judge_run(
        &self,
        (kind, rate, seed): (Kind, f64, u64),
        contenders: &[Contender<'_>],
    ) -> Vec<Outcome> {
        let mut simulation = simulate_for(kind, seed, rate, self.profile, self.hours);
        let mut judges: Vec<_> = contenders
            .iter()
            .map(|contender| {
                (
                    (contender.start)(),
                    Judge::new(
                        simulation.truth().clone(),
                        simulation.start() + contender.warm_up,
                    ),
                )
            })
            .collect();
        let mut observation = Observation::default();
        while simulation.observe(&mut observation) {
            for (detect, judge) in &mut judges {
                judge.see(observation.time, &detect(&observation));
            }
        }
        judges
            .iter()
            .map(|(_, judge)| judge.outcome(kind, rate))
            .collect()
    }
}
