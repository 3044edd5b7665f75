//! The call site to look at first: the worst suspect, else who holds or grows most.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::analysis::Culprit;
use crate::heap::{self, CallSite};
use crate::profile::{Build, Profiler};

use super::leaks::{LeakWatch, lock, stacks};
use super::line::LineView;
use super::report::LeakReport;

const MB: f64 = 1_048_576.0;
/// What growth is taken over, if so much is known.
const WINDOW: Duration = Duration::from_secs(3600);
/// Growth over less says nothing.
const SHORTEST_WINDOW: Duration = Duration::from_secs(30);
/// How long an answer is good that costs the reading of symbols.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// How long another one who reads symbols is waited for, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 100;

/// What is wanted of a call site that is no suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Most {
    /// That it holds most.
    Holds,
    /// That it grows most.
    Grows,
}

/// Answers of before.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<(Option<String>, Most), (SystemTime, Option<Culprit>)>);

/// A line of code, its heaviest call site, what all of them hold and how much more that is than before.
struct Line {
    site: CallSite,
    heaviest: f64,
    bytes: f64,
    grown: f64,
}

impl LeakWatch {
    /// The call site to look at first, of a component if one is given. Takes up to some hundred milliseconds where it is no suspect and
    /// its symbols were not read yet. None where call sites cannot be seen, or nothing is held.
    pub(crate) fn culprit(
        &self,
        component: Option<&str>,
        most: Most,
        now: SystemTime,
    ) -> Option<Culprit> {
        let suspect = self.suspect(component);
        if suspect.is_some() {
            return suspect;
        }
        let key = (component.map(str::to_owned), most);
        if let Some((then, answer)) = lock(&self.answers).0.get(&key)
            && now.duration_since(*then).is_ok_and(|age| age < GOOD_FOR)
        {
            return answer.clone();
        }
        let profiler = self.profiler.as_ref()?;
        let build = self.patient_build()?;
        let answer = heaviest(profiler, &build, component, most, now);
        lock(&self.answers).0.insert(key, (now, answer.clone()));
        answer
    }

    /// Permission to read symbols, for which another may have to be waited for. Who is told of an alert should hear whose it is.
    fn patient_build(&self) -> Option<Build> {
        for _ in 0..ATTEMPTS {
            if let Some(build) = self.build() {
                return Some(build);
            }
            std::thread::sleep(PATIENCE / ATTEMPTS);
        }
        None
    }

    /// The suspect that grows most.
    fn suspect(&self, component: Option<&str>) -> Option<Culprit> {
        let state = lock(&self.state);
        let suspects = state.detector.suspects().iter();
        let of_it = suspects
            .filter(|suspect| component.is_none_or(|component| *suspect.component == *component));
        let worst = of_it.max_by(|one, other| one.growth().total_cmp(&other.growth()))?;
        Some(LeakReport::culprit(worst, &lock(&self.names)))
    }
}

fn heaviest(
    profiler: &Profiler,
    build: &Build,
    component: Option<&str>,
    most: Most,
    now: SystemTime,
) -> Option<Culprit> {
    let before = profiler.before(now, WINDOW);
    let since = before.as_ref().map(|moment| moment.time());
    let window = since.and_then(|since| now.duration_since(since).ok());
    let window = window.filter(|window| *window >= SHORTEST_WINDOW);
    // Nobody is told that the exporter is to blame, unless it is asked about.
    let is_wanted = |site: &CallSite| match component {
        Some(component) => site.component() == component,
        None => site.component() != heap::OWN_COMPONENT,
    };
    let sites: Vec<CallSite> = heap::call_sites().filter(is_wanted).collect();
    let mut lines: HashMap<u64, Line> = HashMap::new();
    for (site, place) in sites.iter().zip(build.places(&sites)) {
        let bytes = site.totals().live().bytes;
        let then = before
            .as_ref()
            .map(|moment| moment.level(site.id()).live().bytes);
        let line = lines.entry(place).or_insert(Line {
            site: *site,
            heaviest: 0.0,
            bytes: 0.0,
            grown: 0.0,
        });
        if bytes > line.heaviest {
            (line.site, line.heaviest) = (*site, bytes);
        }
        line.bytes += bytes;
        line.grown += bytes - then.unwrap_or(0.0);
    }
    let by = |line: &Line| match most {
        Most::Grows if window.is_some() => line.grown,
        Most::Grows | Most::Holds => line.bytes,
    };
    let line = lines
        .into_values()
        .max_by(|one, other| by(one).total_cmp(&by(other)))?;
    if line.bytes <= 0.0 {
        return None;
    }
    let id = line.site.id();
    let stacks = stacks(build, &[id]);
    Some(Culprit {
        component: line.site.component().to_owned(),
        call_site: LineView::of_stack(stacks.get(&id)).to_string(),
        bytes: line.bytes,
        growth_mb_per_hour: window.map(|window| line.grown / MB / (window.as_secs_f64() / 3600.0)),
        is_suspect: false,
        advice: String::new(),
    })
}
