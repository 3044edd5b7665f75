//! A detector is judged on one run: what it named, what it should have named, and when.

use std::collections::BTreeMap;

use memory_exporter::analysis::leak::Observation;

use crate::kind::Kind;
use crate::simulation::Simulation;
use crate::truth::{Leak, Truth};

/// A suspect that is open after an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Stays the same as long as it is the same suspect.
    pub id: u64,
    /// The call sites that it names.
    pub sites: Vec<u32>,
    /// When it was opened: milliseconds since 1970.
    pub opened: u64,
}

/// A detector: takes each observation of a run in turn, and tells which suspects are open after it.
pub type Detect = Box<dyn FnMut(&Observation) -> Vec<Named>>;

/// What became of a leak.
#[derive(Debug, Clone, PartialEq)]
pub struct LeakOutcome {
    /// Its true rate.
    pub megabytes_per_hour: f64,
    /// Whether it began with the process.
    pub with_process: bool,
    /// Whether some suspect named one of its sites at some time after the onset.
    pub named: bool,
    /// Whether the first suspect opened at or after the onset named one of its sites when it was first seen. A suspect that names
    /// another leak of the run is passed over. Where none was opened, but one from before names the leak, that one counts; where there
    /// is none at all it is `None`.
    pub right_site: Option<bool>,
    /// Milliseconds from the onset to the first observation at which it was named.
    pub delay: Option<u64>,
    /// The same from the end of the detector's warm-up, where that is later than the onset.
    pub delay_from_warm_up: Option<u64>,
    /// Whether it was still named at the end of the run.
    pub open_at_end: bool,
}

/// How a detector did on a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was simulated.
    pub kind: Kind,
    /// The rate asked for, in megabytes per hour.
    pub rate: f64,
    /// One entry for each leak.
    pub leaks: Vec<LeakOutcome>,
    /// Suspects ever opened that were true: open after the onset of a leak while they named a site of it.
    pub true_ever: usize,
    /// All other suspects ever opened. One that named the right site, but was closed before the onset, is among them.
    pub false_ever: usize,
    /// True suspects open at the end.
    pub true_at_end: usize,
    /// False suspects open at the end.
    pub false_at_end: usize,
}

/// Runs a detector over a whole run. `warm_up` are the milliseconds after the process start in which it is excused.
pub fn judge(
    mut simulation: Simulation,
    kind: Kind,
    rate: f64,
    warm_up: u64,
    mut detect: impl FnMut(&Observation) -> Vec<Named>,
) -> Outcome {
    let mut judge = Judge::new(simulation.truth().clone(), simulation.start() + warm_up);
    let mut observation = Observation::default();
    while simulation.observe(&mut observation) {
        judge.see(observation.time, &detect(&observation));
    }
    judge.outcome(kind, rate)
}

/// What is remembered of a suspect.
#[derive(Debug)]
struct Suspect {
    opened: u64,
    /// What it named when it was first seen.
    first_sites: Vec<u32>,
    is_true: bool,
    is_open: bool,
}

/// What is remembered of a leak.
#[derive(Debug, Default)]
struct Progress {
    first_named: Option<u64>,
    is_named: bool,
}

/// Watches what a detector names.
#[derive(Debug)]
pub struct Judge {
    truth: Truth,
    warm_up_end: u64,
    suspects: BTreeMap<u64, Suspect>,
    progress: Vec<Progress>,
}

impl Judge {
    /// A judge of a run with this truth, for a detector that is excused until `warm_up_end` (milliseconds since 1970).
    #[must_use]
    pub fn new(truth: Truth, warm_up_end: u64) -> Self {
        let progress = truth.leaks.iter().map(|_| Progress::default()).collect();
        Self {
            truth,
            warm_up_end,
            suspects: BTreeMap::new(),
            progress,
        }
    }

    /// Takes note of the suspects that are open at a time.
    pub fn see(&mut self, time: u64, open: &[Named]) {
        for suspect in self.suspects.values_mut() {
            suspect.is_open = false;
        }
        for progress in &mut self.progress {
            progress.is_named = false;
        }
        for named in open {
            let suspect = self.suspects.entry(named.id).or_insert_with(|| Suspect {
                opened: named.opened,
                first_sites: named.sites.clone(),
                is_true: false,
                is_open: true,
            });
            suspect.is_open = true;
            for (leak, progress) in self.truth.leaks.iter().zip(&mut self.progress) {
                if time >= leak.onset_ms && names(&named.sites, leak) {
                    suspect.is_true = true;
                    progress.is_named = true;
                    progress.first_named.get_or_insert(time);
                }
            }
        }
    }

    /// The judgement at the end of the run.
    #[must_use]
    pub fn outcome(&self, kind: Kind, rate: f64) -> Outcome {
        let count = |is_true: bool, at_end: bool| {
            self.suspects
                .values()
                .filter(|suspect| suspect.is_true == is_true && (suspect.is_open || !at_end))
                .count()
        };
        let leaks = self
            .truth
            .leaks
            .iter()
            .zip(&self.progress)
            .map(|(leak, progress)| LeakOutcome {
                megabytes_per_hour: leak.megabytes_per_hour,
                with_process: leak.with_process,
                named: progress.first_named.is_some(),
                right_site: self.right_site(leak, progress),
                delay: progress.first_named.map(|time| time - leak.onset_ms),
                delay_from_warm_up: progress
                    .first_named
                    .map(|time| time.saturating_sub(leak.onset_ms.max(self.warm_up_end))),
                open_at_end: progress.is_named,
            });
        Outcome {
            kind,
            rate,
            leaks: leaks.collect(),
            true_ever: count(true, false),
            false_ever: count(false, false),
            true_at_end: count(true, true),
            false_at_end: count(false, true),
        }
    }

    fn right_site(&self, leak: &Leak, progress: &Progress) -> Option<bool> {
        let others: Vec<&Leak> = self
            .truth
            .leaks
            .iter()
            .filter(|other| *other != leak)
            .collect();
        let names_other = |suspect: &Suspect| {
            others
                .iter()
                .any(|other| names(&suspect.first_sites, other))
        };
        let candidates = self
            .suspects
            .values()
            .filter(|suspect| suspect.opened >= leak.onset_ms);
        // Of several opened at once, the detector's own numbering tells which came first.
        let first = candidates
            .filter(|suspect| names(&suspect.first_sites, leak) || !names_other(suspect))
            .min_by_key(|suspect| suspect.opened);
        match first {
            Some(suspect) => Some(names(&suspect.first_sites, leak)),
            None => progress.first_named.map(|_| true),
        }
    }
}

/// Whether one of the sites belongs to a leak.
fn names(sites: &[u32], leak: &Leak) -> bool {
    sites.iter().any(|&site| leak.has(site))
}
