//! The detector: looks at one observation after another, opens suspects and closes them.
//!
//! The same observations give the same answer, whenever and wherever they are looked at: time comes from them alone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::LeakThresholds;

use super::book::{Added, Book, Change};
use super::curve::Curve;
use super::exact::Levels;
use super::follow::Followed;
use super::observation::{Cohort, Observation, SiteObservation};
use super::opening::{evidence, least_standing};
use super::subject::{Subject, View};
use super::suspect::{Closed, Suspect};
use super::track::{Mark, Track};
use super::whole::Whole;
use super::window::{Window, windows};

/// Most subjects whose past is remembered; beyond it growth is told from the survivors alone.
const MOST_TRACKS: usize = 2_048;
/// Most subjects that are suspected at once.
const MOST_OPEN: usize = 100;
/// What the process as a whole is called where a component is asked for.
const WHOLE: &str = "process";

/// Finds leaks in one observation after another.
#[derive(Debug)]
pub struct LeakDetector {
    thresholds: LeakThresholds,
    start: Option<u64>,
    last: u64,
    heap: Levels,
    components: Vec<Arc<str>>,
    tracks: HashMap<Subject, Track>,
    followed: HashMap<Subject, Followed>,
    /// The process as a whole, where it is suspected.
    whole: Option<Whole>,
    book: Book,
    curve: Curve,
    merged: Vec<Cohort>,
}

impl LeakDetector {
    /// A detector that has seen nothing yet.
    pub fn new(thresholds: LeakThresholds) -> Self {
        Self {
            thresholds,
            start: None,
            last: 0,
            heap: Levels::default(),
            components: Vec::new(),
            tracks: HashMap::new(),
            followed: HashMap::new(),
            whole: None,
            book: Book::default(),
            curve: Curve::default(),
            merged: Vec::new(),
        }
    }

    /// From now on other thresholds hold; what was found stays until they say otherwise.
    pub fn set_thresholds(&mut self, thresholds: LeakThresholds) {
        self.thresholds = thresholds;
    }

    /// Forgets what was seen; what was found stays until it is closed.
    pub fn begin_anew(&mut self) {
        self.heap.clear();
        self.tracks.clear();
        self.start = None;
    }

    /// Open suspects, the one that grows most first.
    pub fn suspects(&self) -> &[Suspect] {
        &self.book.open
    }

    /// Suspects that were closed, the last one first; the oldest are forgotten.
    pub fn closed(&self) -> impl Iterator<Item = &Suspect> {
        self.book.closed.iter()
    }

    /// Time of the last observation, in milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.last
    }

    /// Time of the first observation.
    pub fn start(&self) -> Option<u64> {
        self.start
    }

    /// When something can be called a leak for the first time: the warm-up is over, and a window has passed.
    pub fn first_verdict(&self) -> Option<u64> {
        let wait = self.thresholds.warm_up_ms() + self.thresholds.window_ms();
        Some(self.start? + wait)
    }

    /// How many suspects were ever opened.
    pub fn opened(&self) -> u64 {
        self.book.opened
    }

    /// Live allocations that were ever added to open suspects.
    pub fn added(&self) -> &Added {
        &self.book.added
    }

    /// Bytes that the detector takes, about.
    pub fn reserved_bytes(&self) -> usize {
        let tracks: usize = self.tracks.values().map(Track::bytes).sum();
        tracks
            + self.merged.capacity() * size_of::<Cohort>()
            + self.curve.bytes()
            + self.heap.bytes()
            + (self.book.open.len() + self.book.closed.len()) * (size_of::<Suspect>() + 512)
    }

    /// Looks at one more observation, and says what has changed. One that is not later than the last (the clock was set back) begins
    /// a new past.
    pub fn observe(&mut self, observation: &Observation) -> Vec<Change> {
        let now = observation.time;
        if now <= self.last {
            self.begin_anew();
        }
        self.last = now;
        let start = *self.start.get_or_insert(now);
        let level = match observation.is_sampled {
            true => observation.heap_bytes,
            false => observation.heap_bytes.or(observation.rss_bytes),
        };
        if let Some(level) = level {
            #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
            self.heap.push(now, level as f64);
        }
        let windows = windows(&self.heap, start, now, &self.thresholds);
        if !observation.is_sampled {
            return self.judge_whole(now, &windows);
        }
        let mut sites: Vec<&SiteObservation> = observation.sites.iter().collect();
        sites.sort_unstable_by(|a, b| {
            (a.place, &a.component, a.site).cmp(&(b.place, &b.component, b.site))
        });
        let mut candidates = Vec::new();
        for group in sites.chunk_by(|a, b| a.place == b.place && a.component == b.component) {
            let component = self.component(&group[0].component);
            let place = Subject::Place(group[0].place, component);
            let found = self.judge(place, observation, group, &windows, &mut candidates);
            if !found && group.len() > 1 {
                for site in group.chunks(1) {
                    let subject = Subject::Site(site[0].site);
                    self.judge(subject, observation, site, &windows, &mut candidates);
                }
            }
        }
        let longest = self.thresholds.longest_window_ms();
        self.tracks
            .retain(|_, track| track.seen == now && now.saturating_sub(track.alive) <= longest);
        self.settle(now, candidates)
    }

    /// The index of a component, which stands for it in keys.
    fn component(&mut self, name: &Arc<str>) -> usize {
        if let Some(at) = self.components.iter().position(|known| known == name) {
            return at;
        }
        self.components.push(Arc::clone(name));
        self.components.len() - 1
    }

    /// Looks at one subject: follows it where it is suspected, else asks whether it should be. Says whether it is.
    fn judge(
        &mut self,
        subject: Subject,
        observation: &Observation,
        sites: &[&SiteObservation],
        windows: &[Window],
        candidates: &mut Vec<(Subject, Followed)>,
    ) -> bool {
        let is_followed = self.followed.contains_key(&subject);
        let cohorts = sites.iter().map(|site| site.cohorts.len()).sum::<usize>();
        if cohorts == 0 && !is_followed && !self.tracks.contains_key(&subject) {
            return false;
        }
        let view = View::new(observation, sites);
        view.fill(&mut self.curve, &mut self.merged);
        let now = observation.time;
        let has_room = self.tracks.len() < MOST_TRACKS;
        if has_room || self.tracks.contains_key(&subject) {
            let total = self.curve.total();
            #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
            let age = |birth: u64| now.saturating_sub(birth) as f64;
            self.tracks.entry(subject).or_default().push(Mark {
                time: now,
                taken: view.taken,
                samples: total.samples,
                fewest: total.samples,
                bytes: total.bytes,
                median_age: self.curve.median_birth().map_or(0.0, age),
            });
        }
        let nothing = Track::default();
        let track = self.tracks.get(&subject).unwrap_or(&nothing);
        if let Some(followed) = self.followed.get_mut(&subject) {
            followed.update(
                &self.curve,
                &view.freed,
                track,
                windows,
                now,
                &self.thresholds,
            );
            followed.part.sites = view.growing(followed.part.since);
            return true;
        }
        let found = evidence(&self.curve, &view.freed, track, windows, &self.thresholds);
        let standing = self.standing(subject, now, found.is_some());
        let nothing = Track::default();
        let track = self.tracks.get(&subject).unwrap_or(&nothing);
        let Some((evidence, window)) = found else {
            return false;
        };
        if standing < least_standing(evidence, &window, &self.curve, track, &self.thresholds) {
            return false;
        }
        let mut followed = Followed::new(
            evidence,
            window,
            &view.component,
            view.place,
            &self.curve,
            &view.freed,
            track,
            &self.thresholds,
        );
        followed.part.sites = view.growing(followed.part.since);
        candidates.push((subject, followed));
        true
    }

    /// For how long evidence has been there without a break, this observation included.
    fn standing(&mut self, subject: Subject, now: u64, is_there: bool) -> u64 {
        let Some(track) = self.tracks.get_mut(&subject) else {
            // Nothing is remembered of it, so nothing can be asked.
            return u64::MAX;
        };
        if !is_there {
            track.standing_since = None;
            return 0;
        }
        now.saturating_sub(*track.standing_since.get_or_insert(now))
    }

    /// Looks at the process as a whole.
    fn judge_whole(&mut self, now: u64, windows: &[Window]) -> Vec<Change> {
        let thresholds = &self.thresholds;
        let mut closed = None;
        let mut is_new = false;
        if let Some(whole) = &mut self.whole {
            closed = whole.update(&self.heap, thresholds);
        } else {
            self.whole = Whole::find(&self.heap, windows, thresholds);
            is_new = self.whole.is_some();
            if is_new {
                self.book.begin(now, &WHOLE.into());
            }
        }
        let part = self.whole.as_ref().map(|whole| whole.part.clone());
        if closed.is_some() {
            self.whole = None;
        }
        let mut changes = Vec::new();
        for mut suspect in std::mem::take(&mut self.book.open) {
            // What was suspected while call sites could be seen waits until they can be again.
            if self
                .followed
                .values()
                .any(|part| part.suspect == suspect.id)
            {
                self.book.open.push(suspect);
                continue;
            }
            if let Some(why) = closed {
                changes.push(self.book.close(suspect, now, why));
                continue;
            }
            let parts = part.iter().cloned().collect();
            changes.extend(
                self.book
                    .renew(&mut suspect, parts, 0.0, is_new, thresholds),
            );
            self.book.open.push(suspect);
        }
        changes
    }

    /// Opens what is new, groups it, closes what is over, and orders what is open.
    fn settle(&mut self, now: u64, candidates: Vec<(Subject, Followed)>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut new = Vec::new();
        for (subject, mut followed) in candidates {
            if self.followed.len() >= MOST_OPEN {
                break;
            }
            let suspects: Vec<u64> = self.book.open.iter().map(|suspect| suspect.id).collect();
            let same = suspects.into_iter().find(|id| {
                let members = self.followed.values().filter(|other| other.suspect == *id);
                members
                    .into_iter()
                    .any(|other| followed.is_one_cause_with(other))
            });
            followed.suspect = same.unwrap_or_else(|| {
                let id = self.book.begin(now, &followed.component);
                new.push(id);
                id
            });
            self.followed.insert(subject, followed);
        }
        let mut ended: HashMap<u64, Closed> = HashMap::new();
        self.followed.retain(|subject, followed| {
            let closed = if followed.seen < now {
                Some(Closed::Freed)
            } else {
                followed.verdict
            };
            if let Some(why) = closed {
                ended.insert(followed.suspect, why);
                self.tracks.entry(*subject).or_default().not_before = now;
            }
            closed.is_none()
        });
        for mut suspect in std::mem::take(&mut self.book.open) {
            let mut members: Vec<&mut Followed> = self
                .followed
                .values_mut()
                .filter(|followed| followed.suspect == suspect.id)
                .collect();
            if members.is_empty() {
                let why = ended.get(&suspect.id).copied().unwrap_or(Closed::Stopped);
                changes.push(self.book.close(suspect, now, why));
                continue;
            }
            members.sort_unstable_by(|a, b| {
                let order = b.part.growth.total_cmp(&a.part.growth);
                order.then_with(|| a.part.sites.cmp(&b.part.sites))
            });
            let objects: f64 = members.iter_mut().map(|member| member.take_added()).sum();
            let parts = members.iter().map(|member| member.part.clone()).collect();
            let is_new = new.contains(&suspect.id);
            let thresholds = &self.thresholds;
            changes.extend(
                self.book
                    .renew(&mut suspect, parts, objects, is_new, thresholds),
            );
            self.book.open.push(suspect);
        }
        self.book
            .open
            .sort_by(|a, b| b.growth().total_cmp(&a.growth()));
        changes
    }
}
