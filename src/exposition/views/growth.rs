//! Trend and health: how memory grows, what that means, and what to do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::analysis::{Finding, Health, Slope, Statistics, Status, Trend};
use crate::catalog::{self, MetricDef, SEVERITIES, Verdict};
use crate::snapshot::{Growth, Point, Snapshot};

use super::super::json::timestamp;

/// `GET /metrics/memory/trend`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Trend")]
pub(in super::super) struct TrendView {
    /// How far it looks back.
    duration_seconds: f64,
    /// Between two points.
    interval_seconds: f64,
    /// The earliest first; where nothing was read, there is none.
    points: Vec<PointView>,
    /// Of each level over the whole time.
    analysis: Levels<AnalysisView>,
    /// How resident memory grows, over the window that the verdict needs; null for want of history.
    growth: Option<GrowthView>,
}

/// Means of an interval, in bytes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Point")]
struct PointView {
    /// When the interval began.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    #[serde(flatten)]
    levels: Levels<f64>,
}

/// What a trend is of.
const LEVELS: [&MetricDef; 3] = [
    &catalog::RSS_BYTES,
    &catalog::HEAP_BYTES,
    &catalog::VIRTUAL_BYTES,
];

/// One value per level, under the name of its series.
struct Levels<T>([Option<T>; LEVELS.len()]);

impl<T: Serialize> Serialize for Levels<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let levels = LEVELS.iter().zip(&self.0);
        let known = levels.filter_map(|(def, value)| Some((def.series(""), value.as_ref()?)));
        serializer.collect_map(known)
    }
}

impl<T: JsonSchema> JsonSchema for Levels<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Levels_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let properties = LEVELS.iter().map(|def| {
            let mut schema = generator.subschema_for::<T>();
            schema.insert("description".to_owned(), def.help.into());
            (def.series(""), schema)
        });
        let properties: BTreeMap<String, Schema> = properties.collect();
        json_schema!({ "type": "object", "properties": properties })
    }
}

/// How a level went.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Analysis")]
struct AnalysisView {
    /// The median of all slopes; null for fewer than three points.
    growth_rate_bytes_per_second: Option<f64>,
    /// Lower end of its confidence interval at 95 %; null for fewer than three points.
    growth_rate_lowest_bytes_per_second: Option<f64>,
    /// Upper end; null for fewer than three points.
    growth_rate_highest_bytes_per_second: Option<f64>,
    /// Standard deviation divided by the mean, both over time: 0 for a flat line.
    volatility: f64,
    /// Highest reading in bytes.
    peak: u64,
    /// Lowest reading in bytes.
    min: u64,
    /// Mean over time in bytes.
    average: f64,
}

impl From<Statistics> for AnalysisView {
    fn from(statistics: Statistics) -> Self {
        let rate = |bound: fn(&Slope) -> f64| statistics.growth.as_ref().map(bound);
        Self {
            growth_rate_bytes_per_second: rate(|slope| slope.per_second),
            growth_rate_lowest_bytes_per_second: rate(|slope| slope.lowest),
            growth_rate_highest_bytes_per_second: rate(|slope| slope.highest),
            volatility: statistics.volatility,
            peak: statistics.peak,
            min: statistics.min,
            average: statistics.average,
        }
    }
}

impl TrendView {
    pub(in super::super) fn new(
        trend: &Trend,
        growth: Option<&Growth>,
        duration: Duration,
        interval: Duration,
    ) -> Self {
        let point = |point: &Point| PointView {
            timestamp: timestamp(point.time),
            levels: Levels(
                [point.rss, point.heap, point.virtual_size]
                    .map(|level| level.map(|level| level.mean)),
            ),
        };
        Self {
            duration_seconds: duration.as_secs_f64(),
            interval_seconds: interval.as_secs_f64(),
            points: trend.points.iter().map(point).collect(),
            analysis: Levels(
                [trend.rss, trend.heap, trend.virtual_size]
                    .map(|statistics| statistics.map(Into::into)),
            ),
            growth: growth.map(GrowthView::new),
        }
    }
}

/// `GET /metrics/memory/health`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(in super::super) struct HealthView {
    /// The worst of the findings; `critical` is answered with 503.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    /// Resident memory; null where it is not known.
    rss_bytes: Option<u64>,
    /// The memory limit that has the least room left; null without one.
    limit_bytes: Option<u64>,
    /// What counts against the limit; null without one.
    limit_used_bytes: Option<u64>,
    /// What sets the limit, such as `control_group` or `configured`; null without one.
    limit_kind: Option<&'static str>,
    /// Time until the limit is reached if memory goes on growing as it does; null where it does not, or is not known to.
    limit_exhaustion_seconds: Option<f64>,
    /// Used share of the limit, 0 to 1 and above; null without one.
    used_ratio: Option<f64>,
    /// Growth of resident memory over the last five minutes; null for want of history.
    growth_rate_bytes_per_second: Option<f64>,
    /// Bytes asked for over the last five minutes; null without our allocator, or for want of history.
    allocation_rate_bytes_per_second: Option<f64>,
    /// Operations of the allocator over the last five minutes; null without our allocator, or for want of history.
    operations_per_second: Option<f64>,
    /// How resident memory grows, over the window that the verdict needs; null for want of history.
    growth: Option<GrowthView>,
    /// The worst severity of an open leak suspect, of `low`, `medium`, `high`, `critical`; null without one.
    leak_severity: Option<&'static str>,
    /// Why it is not healthy, the worst first.
    reasons: Vec<String>,
    /// What to do.
    recommendations: Vec<&'static str>,
    /// The same with its numbers.
    findings: Vec<FindingView>,
}

/// A reason by itself, with its numbers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
struct FindingView {
    /// How bad it is.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    /// What was found.
    reason: String,
    /// What to do.
    recommendation: &'static str,
    /// Numbers that it rests on; units stand in their names.
    evidence: BTreeMap<&'static str, f64>,
}

impl HealthView {
    pub(in super::super) fn new(health: Health, snapshot: &Snapshot) -> Self {
        let limit = snapshot.limit();
        let mut recommendations: Vec<_> = health
            .findings
            .iter()
            .map(|finding| finding.recommendation)
            .collect();
        recommendations.dedup();
        Self {
            status: health.status.as_str(),
            rss_bytes: snapshot.process.get().map(|process| process.rss),
            limit_bytes: limit.map(|limit| limit.bytes),
            limit_used_bytes: limit.and_then(|limit| limit.used),
            limit_kind: limit.map(|limit| limit.kind.as_str()),
            limit_exhaustion_seconds: snapshot.derived.limit_exhaustion_seconds,
            growth: snapshot.derived.growth.as_ref().map(GrowthView::new),
            leak_severity: snapshot
                .derived
                .leaks
                .as_ref()
                .and_then(|leaks| Some(SEVERITIES[leaks.worst()?])),
            used_ratio: health.used_ratio,
            growth_rate_bytes_per_second: health.growth_rate,
            allocation_rate_bytes_per_second: health.allocation_rate,
            operations_per_second: health.operation_rate,
            reasons: health
                .findings
                .iter()
                .map(|finding| finding.reason.clone())
                .collect(),
            recommendations,
            findings: health.findings.into_iter().map(FindingView::new).collect(),
        }
    }
}

impl FindingView {
    fn new(finding: Finding) -> Self {
        let evidence = finding.evidence.iter();
        Self {
            status: finding.status.as_str(),
            reason: finding.reason,
            recommendation: finding.recommendation,
            evidence: evidence.map(|number| (number.name, number.value)).collect(),
        }
    }
}

/// How resident memory grows, over the window that the verdict needs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Growth")]
struct GrowthView {
    /// Which part grows, of `stable`, `leak`, `fragmentation`, `retention`, `page_cache`, `non_heap`; null where it is a part that cannot be told apart.
    verdict: Option<&'static str>,
    /// Time that was looked at.
    window_seconds: f64,
    /// Growth of resident memory.
    bytes_per_second: f64,
    /// Lower end of its confidence interval at 95 %.
    lowest_bytes_per_second: f64,
    /// Upper end.
    highest_bytes_per_second: f64,
    /// By part; anonymous memory that is not known to be heap or not is `anonymous`.
    parts: BTreeMap<&'static str, PartView>,
}

/// How one part of resident memory grows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GrowthPart")]
struct PartView {
    /// Its growth; negative while it shrinks.
    bytes_per_second: f64,
    /// Its share in the growth of all growing parts, 0 to 1.
    share: f64,
}

impl GrowthView {
    fn new(growth: &Growth) -> Self {
        let parts = growth.parts.iter().map(|part| {
            let name = part.verdict.map_or("anonymous", Verdict::as_str);
            let view = PartView {
                bytes_per_second: part.bytes_per_second,
                share: part.share,
            };
            (name, view)
        });
        Self {
            verdict: growth.verdict.map(Verdict::as_str),
            window_seconds: growth.window.as_secs_f64(),
            bytes_per_second: growth.bytes_per_second,
            lowest_bytes_per_second: growth.lowest_bytes_per_second,
            highest_bytes_per_second: growth.highest_bytes_per_second,
            parts: parts.collect(),
        }
    }
}
