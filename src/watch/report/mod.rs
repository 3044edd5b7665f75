//! The leak report: what `GET /metrics/memory/leaks` answers, what is kept on disk near the limit, and what `memory-exporter analyse`
//! prints, which `text.rs` writes. Field names are API.

mod earlier;
mod moment;
mod text;

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Culprit;
use crate::analysis::leak::{Evidence, LeakDetector, Part, Suspect};
use crate::catalog::SEVERITIES;

use super::line::{LineView, Stacks};

use moment::rfc3339;

const MB: f64 = 1_048_576.0;
/// Stacks shown of a part, the heaviest first.
pub(super) const MOST_STACKS: usize = 3;
/// Longest time that a flame graph looks back.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// All suspects at one moment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "Leaks")]
pub(crate) struct LeakReport {
    /// What it is a report on, where the moment is not told otherwise.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    as_of: u64,
    /// When the detector began to look.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    observed_since: u64,
    /// Until then nothing is called a leak.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    first_verdict_at: u64,
    /// Suspects opened since the start.
    opened: u64,
    /// Growth of all suspects together in MB (1048576 bytes) per hour.
    growth_mb_per_hour: f64,
    /// Those that are open, the worst first.
    suspects: Vec<SuspectView>,
    /// Those that are none any more.
    closed: Vec<ClosedView>,
    /// What sessions before this one found, the latest first, where `history.directory` says that it is kept. Absent in what was captured
    /// near the memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_sessions: Option<Vec<EarlierSession>>,
}

/// What an earlier session found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct EarlierSession {
    /// That session.
    pub(super) session_id: String,
    /// When this was written last: a suspect that is open here was seen then.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    pub(super) last_written: u64,
    /// When its detector began to look.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    observed_since: u64,
    /// Suspects that it opened. Of many, not all are kept.
    opened: u64,
    /// Those that were open at the end, the worst first, as they stood then.
    suspects: Vec<SuspectView>,
    /// Those that were none any more by then.
    closed: Vec<ClosedView>,
}

/// An open suspect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Suspect")]
struct SuspectView {
    /// Unique within a session.
    id: u64,
    /// How bad it is.
    #[schemars(extend("enum" = SEVERITIES))]
    severity: Cow<'static, str>,
    /// How bad it was at its worst.
    #[schemars(extend("enum" = SEVERITIES))]
    worst_severity: Cow<'static, str>,
    /// How sure it is: `low`, `medium` or `high`.
    confidence: Cow<'static, str>,
    /// Whose memory it is.
    component: String,
    #[serde(flatten)]
    line: LineView,
    /// All of it in one line.
    summary: String,
    /// What to do.
    advice: Cow<'static, str>,
    /// How it grows: `steady`, `exponential`, `stepped`, `many_small` or `few_large`.
    pattern: Cow<'static, str>,
    /// When the growth began, estimated.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    since: u64,
    /// Since then.
    age_seconds: f64,
    /// When it was called a leak.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    opened: u64,
    /// Live bytes that were added since, estimated from samples.
    bytes: f64,
    /// Blocks that were added since and live, estimated from samples.
    objects: f64,
    /// Growth in MB (1048576 bytes) per hour.
    growth_mb_per_hour: f64,
    /// Lower end of its confidence interval at 95 %.
    growth_mb_per_hour_low: f64,
    /// Upper end.
    growth_mb_per_hour_high: f64,
    /// Where what grew is drawn, on this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    flamegraph: Option<String>,
    /// Lines of code that take part, the largest first.
    parts: Vec<PartView>,
}

/// One line of code that takes part.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SuspectPart")]
struct PartView {
    #[serde(flatten)]
    line: LineView,
    /// Why it is called a leak: `survivors`, `confirmed_by_heap`, `backlog`, `doubling` or `whole_process`.
    evidence: Cow<'static, str>,
    /// How it grows: `steady`, `exponential`, `stepped`, `many_small` or `few_large`.
    pattern: Cow<'static, str>,
    /// When the growth began, estimated.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    since: u64,
    /// Samples that this rests on.
    samples: u64,
    /// Live bytes that were added since, estimated from samples.
    bytes: f64,
    /// Blocks that were added since and live, estimated from samples.
    objects: f64,
    /// Mean size of these blocks; null where there are none.
    mean_size_bytes: Option<f64>,
    /// Growth in MB (1048576 bytes) per hour.
    growth_mb_per_hour: f64,
    /// Lower end of its confidence interval at 95 %.
    growth_mb_per_hour_low: f64,
    /// Upper end.
    growth_mb_per_hour_high: f64,
    /// How well a straight line fits the growth: r², 1 for a perfect fit.
    fit: f64,
    /// Growth of the second half of the time divided by that of the first.
    acceleration: f64,
    /// Distinct times of birth from which something survives.
    generations: usize,
    /// Share of its older samples that were freed, 0 to 1.
    freed_ratio: f64,
    /// How it is reached, the heaviest first.
    stacks: Vec<StackView>,
}

/// A call site of the line, and how it was reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SiteStack")]
struct StackView {
    /// The call site.
    site: u32,
    /// `function (file:line)`, the innermost first.
    frames: Vec<String>,
    /// Which of the frames nobody would change.
    #[serde(skip)]
    is_runtime: Vec<bool>,
}

/// A suspect that is none any more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ClosedSuspect")]
struct ClosedView {
    /// Unique within a session.
    id: u64,
    /// How bad it was at its worst.
    #[schemars(extend("enum" = SEVERITIES))]
    worst_severity: Cow<'static, str>,
    /// Whose memory it was.
    component: String,
    #[serde(flatten)]
    line: LineView,
    /// When it was called a leak.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    opened: u64,
    /// When it was none any more.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    closed: u64,
    /// Why it is none.
    reason: Cow<'static, str>,
    /// Live bytes at the end, estimated from samples.
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
            earlier_sessions: None,
        }
    }

    /// The same with what sessions before this one found.
    pub(super) fn after(mut self, earlier: Vec<EarlierSession>) -> Self {
        self.earlier_sessions = Some(earlier);
        self
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
            severity: suspect.severity.as_str().into(),
            worst_severity: suspect.worst.as_str().into(),
            confidence: evidence.confidence().as_str().into(),
            summary: format!(
                "{line} of {} holds {:.1} MB and grows by {growth:.1} MB/h since {}",
                suspect.component,
                suspect.bytes() / MB,
                rfc3339(since)
            ),
            component: suspect.component.to_string(),
            line,
            advice: evidence.advice().into(),
            pattern: parts
                .first()
                .map_or("steady", |part| part.pattern.as_str())
                .into(),
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
            evidence: part.evidence.as_str().into(),
            pattern: part.pattern.as_str().into(),
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
            worst_severity: suspect.worst.as_str().into(),
            component: suspect.component.to_string(),
            line: LineView::of(suspect, stacks),
            opened: suspect.opened,
            closed,
            reason: why.as_str().into(),
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
