//! The leak report: what `GET /metrics/memory/leaks` answers, what is kept on disk near the limit, and what `memory-exporter analyse`
//! prints. Field names are API.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::analysis::Culprit;
use crate::analysis::leak::{Evidence, LeakDetector, Part, Suspect};

use super::line::{LineView, Stacks};

const MB: f64 = 1_048_576.0;
/// Stacks shown of a part, the heaviest first.
pub(super) const MOST_STACKS: usize = 3;
/// Longest time that a flame graph looks back.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// All suspects at one moment.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub(crate) struct LeakReport {
    /// What it is a report on, where the moment is not told otherwise.
    #[serde(serialize_with = "moment")]
    as_of: u64,
    #[serde(serialize_with = "moment")]
    observed_since: u64,
    /// Until then nothing is called a leak.
    #[serde(serialize_with = "moment")]
    first_verdict_at: u64,
    /// Suspects opened since the start.
    opened: u64,
    growth_mb_per_hour: f64,
    suspects: Vec<SuspectView>,
    closed: Vec<ClosedView>,
}

/// An open suspect.
#[derive(Debug, Clone, Serialize)]
struct SuspectView {
    id: u64,
    severity: &'static str,
    worst_severity: &'static str,
    confidence: &'static str,
    component: String,
    #[serde(flatten)]
    line: LineView,
    summary: String,
    advice: &'static str,
    pattern: &'static str,
    #[serde(serialize_with = "moment")]
    since: u64,
    age_seconds: f64,
    #[serde(serialize_with = "moment")]
    opened: u64,
    bytes: f64,
    objects: f64,
    growth_mb_per_hour: f64,
    growth_mb_per_hour_low: f64,
    growth_mb_per_hour_high: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    flamegraph: Option<String>,
    parts: Vec<PartView>,
}

/// One line of code that takes part.
#[derive(Debug, Clone, Serialize)]
struct PartView {
    #[serde(flatten)]
    line: LineView,
    evidence: &'static str,
    pattern: &'static str,
    #[serde(serialize_with = "moment")]
    since: u64,
    samples: u64,
    bytes: f64,
    objects: f64,
    mean_size_bytes: Option<f64>,
    growth_mb_per_hour: f64,
    growth_mb_per_hour_low: f64,
    growth_mb_per_hour_high: f64,
    fit: f64,
    acceleration: f64,
    generations: usize,
    freed_ratio: f64,
    stacks: Vec<StackView>,
}

/// A call site of the line, and how it was reached.
#[derive(Debug, Clone, Serialize)]
struct StackView {
    site: u32,
    frames: Vec<String>,
    /// Which of the frames nobody would change.
    #[serde(skip)]
    is_runtime: Vec<bool>,
}

/// A suspect that is none any more.
#[derive(Debug, Clone, Serialize)]
struct ClosedView {
    id: u64,
    worst_severity: &'static str,
    component: String,
    #[serde(flatten)]
    line: LineView,
    #[serde(serialize_with = "moment")]
    opened: u64,
    #[serde(serialize_with = "moment")]
    closed: u64,
    reason: &'static str,
    bytes: f64,
}

impl LeakReport {
    /// Of a detector as it stands.
    pub(crate) fn new(detector: &LeakDetector, stacks: &Stacks) -> Self {
        let now = detector.now();
        let suspects = detector.suspects();
        Self {
            as_of: now,
            observed_since: detector.start().unwrap_or(now),
            first_verdict_at: detector.first_verdict().unwrap_or(now),
            opened: detector.opened(),
            growth_mb_per_hour: suspects
                .iter()
                .map(Suspect::growth)
                .fold(0.0, std::ops::Add::add)
                / MB,
            suspects: suspects
                .iter()
                .map(|suspect| SuspectView::new(suspect, now, stacks))
                .collect(),
            closed: detector
                .closed()
                .filter_map(|suspect| ClosedView::new(suspect, stacks))
                .collect(),
        }
    }

    /// The line of code of a suspect, for the log.
    pub(crate) fn line(suspect: &Suspect, stacks: &Stacks) -> String {
        LineView::of(suspect, stacks).to_string()
    }

    /// What people are told first of a suspect.
    pub(crate) fn culprit(suspect: &Suspect, stacks: &Stacks) -> Culprit {
        Culprit {
            component: suspect.component.to_string(),
            call_site: Self::line(suspect, stacks),
            bytes: suspect.bytes(),
            growth_mb_per_hour: Some(suspect.growth() / MB),
            is_suspect: true,
            advice: evidence(suspect).advice().to_owned(),
        }
    }

    /// Call sites whose stacks it shows.
    pub(crate) fn sites(detector: &LeakDetector) -> Vec<u32> {
        let all = detector.suspects().iter().chain(detector.closed());
        let parts = all.flat_map(|suspect| &suspect.parts);
        let sites = parts.flat_map(|part| part.sites.iter().take(MOST_STACKS));
        sites.copied().collect()
    }
}

/// As text for a terminal.
impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suspects.is_empty() {
            writeln!(f, "no leak suspects at {}", rfc3339(self.as_of))?;
        }
        for suspect in &self.suspects {
            writeln!(
                f,
                "{} leak, {} confidence: {}",
                suspect.severity, suspect.confidence, suspect.summary
            )?;
            for part in &suspect.parts {
                writeln!(
                    f,
                    "  {}: {:.1} MB in {:.0} blocks, {:+.1} MB/h ({:.1} to {:.1}), {}, {} generations",
                    part.line,
                    part.bytes / MB,
                    part.objects,
                    part.growth_mb_per_hour,
                    part.growth_mb_per_hour_low,
                    part.growth_mb_per_hour_high,
                    part.pattern,
                    part.generations,
                )?;
                if let Some(stack) = part.stacks.first() {
                    write!(f, "{stack}")?;
                }
            }
            writeln!(f, "  {}", suspect.advice)?;
        }
        for closed in &self.closed {
            writeln!(
                f,
                "closed: {} of {}, {} to {}: {}",
                closed.line,
                closed.component,
                rfc3339(closed.opened),
                rfc3339(closed.closed),
                closed.reason
            )?;
        }
        Ok(())
    }
}

/// The frames that somebody could change, one a line.
impl fmt::Display for StackView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.frames.iter().zip(&self.is_runtime);
        let mut skipped = 0;
        for (frame, is_runtime) in frames {
            if *is_runtime {
                skipped += 1;
                continue;
            }
            if skipped > 0 {
                writeln!(f, "    ... {skipped} of the runtime")?;
                skipped = 0;
            }
            writeln!(f, "    {frame}")?;
        }
        Ok(())
    }
}

impl SuspectView {
    fn new(suspect: &Suspect, now: u64, stacks: &Stacks) -> Self {
        let line = LineView::of(suspect, stacks);
        let since = suspect.since();
        let age = Duration::from_millis(now.saturating_sub(since));
        let parts = &suspect.parts;
        let sum = |value: fn(&Part) -> f64| parts.iter().map(value).sum::<f64>();
        let evidence = evidence(suspect);
        let growth = suspect.growth() / MB;
        Self {
            id: suspect.id,
            severity: suspect.severity.as_str(),
            worst_severity: suspect.worst.as_str(),
            confidence: evidence.confidence().as_str(),
            summary: format!(
                "{line} of {} holds {:.1} MB and grows by {growth:.1} MB/h since {}",
                suspect.component,
                suspect.bytes() / MB,
                rfc3339(since)
            ),
            component: suspect.component.to_string(),
            line,
            advice: evidence.advice(),
            pattern: parts.first().map_or("steady", |part| part.pattern.as_str()),
            since,
            age_seconds: age.as_secs_f64(),
            opened: suspect.opened,
            bytes: suspect.bytes(),
            objects: suspect.objects(),
            growth_mb_per_hour: growth,
            growth_mb_per_hour_low: sum(|part| part.growth_low) / MB,
            growth_mb_per_hour_high: sum(|part| part.growth_high) / MB,
            flamegraph: parts
                .iter()
                .any(|part| !part.sites.is_empty())
                .then(|| flamegraph(&suspect.component, age)),
            parts: parts
                .iter()
                .map(|part| PartView::new(part, stacks))
                .collect(),
        }
    }
}

impl PartView {
    fn new(part: &Part, stacks: &Stacks) -> Self {
        let frames = |site: &u32| {
            let frames = stacks.get(site)?;
            Some(StackView {
                site: *site,
                is_runtime: frames.iter().map(|frame| frame.is_runtime).collect(),
                frames: frames.iter().map(ToString::to_string).collect(),
            })
        };
        Self {
            line: LineView::of_part(part, stacks),
            evidence: part.evidence.as_str(),
            pattern: part.pattern.as_str(),
            since: part.since,
            samples: part.samples,
            bytes: part.bytes,
            objects: part.objects,
            mean_size_bytes: (part.objects > 0.0).then(|| part.bytes / part.objects),
            growth_mb_per_hour: part.growth / MB,
            growth_mb_per_hour_low: part.growth_low / MB,
            growth_mb_per_hour_high: part.growth_high / MB,
            fit: part.fit,
            acceleration: part.acceleration,
            generations: part.generations,
            freed_ratio: part.freed_ratio,
            stacks: part
                .sites
                .iter()
                .take(MOST_STACKS)
                .filter_map(frames)
                .collect(),
        }
    }
}

impl ClosedView {
    fn new(suspect: &Suspect, stacks: &Stacks) -> Option<Self> {
        let (closed, why) = suspect.closed?;
        Some(Self {
            id: suspect.id,
            worst_severity: suspect.worst.as_str(),
            component: suspect.component.to_string(),
            line: LineView::of(suspect, stacks),
            opened: suspect.opened,
            closed,
            reason: why.as_str(),
            bytes: suspect.bytes(),
        })
    }
}

/// The strongest evidence against a suspect.
fn evidence(suspect: &Suspect) -> Evidence {
    let evidence = suspect.parts.iter().map(|part| part.evidence);
    let strongest = evidence.max_by_key(|evidence| evidence.confidence());
    strongest.unwrap_or(Evidence::Survivors)
}

/// Where what grew since then can be looked at.
fn flamegraph(component: &str, age: Duration) -> String {
    let since = humantime::format_duration(Duration::from_secs(age.min(DAY).as_secs().max(1)));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("since", &since.to_string())
        .append_pair("component", component)
        .finish();
    format!("/debug/flamegraph?{query}")
}

fn rfc3339(milliseconds: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn moment<S: Serializer>(milliseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*milliseconds))
}
