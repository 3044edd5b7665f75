//! `GET /metrics/memory/allocations`. Field names are API.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::analysis::{
    AllocationInput, AllocationReport, Coverage, Evidence, Frame, Place, Recommendation, Share,
};
use crate::catalog::{BUCKETS, SIZE_CATEGORIES, by_category};

/// What is shown instead of estimates.
const NOTE_OFF: &str = "sampling is off: only exact totals are known; set allocations.sample_interval to see who allocates";
const NOTE_WAITING: &str = "sampling has met no block yet: only exact totals are known; ask again when the program has allocated more";
/// What stands in for a name that could not be read.
const UNKNOWN: &str = "unknown";

/// `GET /metrics/memory/allocations`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Allocations")]
pub(crate) struct AllocationsView<'a> {
    /// Bytes that the program asked for since its start, exact.
    allocated_bytes: u64,
    /// Operations since the start, exact.
    operations: u64,
    /// Operations since the start by size, exact.
    distribution: Categories<u64>,
    /// What the program holds from its allocator; null where it is not known.
    heap_bytes: Option<u64>,
    /// Resident memory; null where it is not known.
    rss_bytes: Option<u64>,
    /// Mean number of bytes asked for between two samples; 0 when sampling is off.
    sample_interval_bytes: u64,
    /// Since sampling began.
    sampled_seconds: f64,
    /// Samples that there was no room for: live bytes are estimated too low by what they hold.
    dropped_samples: u64,
    /// Why there are no estimates; absent where there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    /// All live bytes, estimated from samples; null without samples.
    live_bytes: Option<f64>,
    /// What the rates are taken over; null where no time has passed.
    window_seconds: Option<f64>,
    /// Bytes asked for, estimated from samples; null where no time has passed.
    allocated_bytes_per_second: Option<f64>,
    /// Operations, estimated from samples; null where no time has passed.
    operations_per_second: Option<f64>,
    /// Different places that were seen; not all of them are shown.
    places: usize,
    /// Who holds most.
    by_live_bytes: Vec<PlaceView<'a>>,
    /// Who asks for most.
    by_rate: Vec<PlaceView<'a>>,
    /// What could be changed, the most useful first.
    recommendations: Vec<RecommendationView<'a>>,
}

/// What a line of code does with memory on behalf of a component. Everything is estimated from samples since sampling began.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Place")]
struct PlaceView<'a> {
    #[serde(flatten)]
    line: LineView<'a>,
    /// What it holds.
    live_bytes: f64,
    /// Lower end of the confidence interval at 95 %.
    live_bytes_low: f64,
    /// Upper end.
    live_bytes_high: f64,
    /// Share of the heap that it holds, 0 to 1.
    live_ratio: f64,
    /// Blocks that it holds.
    live_objects: f64,
    /// Most that it held: an upper bound.
    peak_live_bytes: f64,
    /// Bytes that it asked for.
    allocated_bytes: f64,
    /// Share of all bytes asked for, 0 to 1.
    allocated_ratio: f64,
    /// Blocks that it asked for.
    objects: f64,
    /// Bytes that it asks for; null where no time has passed.
    allocated_bytes_per_second: Option<f64>,
    /// Share of all that is asked for, 0 to 1; null where no time has passed.
    allocated_bytes_per_second_ratio: Option<f64>,
    /// Blocks that it asks for; null where no time has passed.
    operations_per_second: Option<f64>,
    /// Share of all operations, 0 to 1; null where no time has passed.
    operations_per_second_ratio: Option<f64>,
    /// Mean size of a block; null where nothing was asked for.
    mean_size_bytes: Option<f64>,
    /// Median size of a block, from size classes; null where nothing was asked for.
    median_size_bytes: Option<f64>,
    /// Blocks by size.
    distribution: Categories<f64>,
    /// Share of the blocks freed within a second, of what is old enough to tell; null where nothing is.
    freed_within_second_ratio: Option<f64>,
    /// Share of the bytes freed within a second, of what is old enough to tell; null where nothing is.
    freed_within_second_bytes_ratio: Option<f64>,
    /// Share of the blocks freed within a minute, of what is old enough to tell; null where nothing is.
    freed_within_minute_ratio: Option<f64>,
    /// Share of the bytes freed within a minute, of what is old enough to tell; null where nothing is.
    freed_within_minute_bytes_ratio: Option<f64>,
    /// Share of its operations that are reallocations, 0 to 1.
    realloc_ratio: f64,
    /// Samples taken: what all this rests on.
    samples: u64,
    /// Samples that are live.
    live_samples: u64,
    /// Different stacks that lead here.
    stacks: usize,
    /// The one that counts most.
    stack: Stack<'a>,
}

/// A line of code on behalf of a component.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlaceLine")]
struct LineView<'a> {
    /// On whose behalf.
    component: &'a str,
    /// Its name; `unknown` where it could not be read.
    function: &'a str,
    /// Path of the source file; null where it is not known.
    file: Option<&'a str>,
    /// Line in that file; null where it is not known.
    line: Option<u32>,
}

/// What could be changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Recommendation")]
struct RecommendationView<'a> {
    /// What kind of change, such as `bound_cache`, `purge` or `object_pool`.
    kind: &'static str,
    /// `low`, `medium` or `high`.
    priority: &'static str,
    /// Share of the work, of the heap or of resident memory that could be saved, 0 to 1.
    benefit_ratio: f64,
    /// The change in one line.
    title: &'a str,
    /// How to do it.
    advice: &'a str,
    /// Numbers that it rests on; units stand in their names.
    evidence: Numbers<'a>,
    /// Where; absent where it is about the whole process.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<LineView<'a>>,
    /// How one comes there; absent where it is about the whole process.
    #[serde(skip_serializing_if = "Stack::is_empty")]
    stack: Stack<'a>,
}

/// One value per size category, under its name.
struct Categories<T>([T; SIZE_CATEGORIES.len()]);

impl<T: Serialize> Serialize for Categories<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = SIZE_CATEGORIES.iter().map(|(name, _)| name);
        serializer.collect_map(names.zip(&self.0))
    }
}

impl<T: JsonSchema> JsonSchema for Categories<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Categories_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = SIZE_CATEGORIES.map(|(name, _)| name);
        let properties = names.map(|name| (name, generator.subschema_for::<T>()));
        let properties = BTreeMap::from(properties);
        json_schema!({ "type": "object", "properties": properties, "required": names })
    }
}

/// `function (file:line)`, innermost frame first.
#[derive(JsonSchema)]
#[schemars(inline)]
struct Stack<'a>(#[schemars(with = "Vec<String>")] &'a [Frame]);

impl Serialize for Stack<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl Stack<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Numbers under their names.
#[derive(JsonSchema)]
#[schemars(inline)]
struct Numbers<'a>(#[schemars(with = "BTreeMap<String, f64>")] &'a [Evidence]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = self.0.iter();
        serializer.collect_map(numbers.map(|number| (number.name, number.value)))
    }
}

impl<'a> AllocationsView<'a> {
    pub(crate) fn new(input: &AllocationInput, report: &'a AllocationReport) -> Self {
        let sampled = report.coverage == Coverage::Sampled;
        Self {
            allocated_bytes: input.allocated_bytes,
            operations: input.operations,
            distribution: Categories(input.distribution),
            heap_bytes: input.heap_bytes,
            rss_bytes: input.rss_bytes,
            sample_interval_bytes: input.sample_interval,
            sampled_seconds: seconds_since(input.sampling_since, input.now),
            dropped_samples: input.dropped_samples,
            note: match report.coverage {
                Coverage::Off => Some(NOTE_OFF),
                Coverage::Waiting => Some(NOTE_WAITING),
                Coverage::Sampled => None,
            },
            live_bytes: sampled.then(|| report.live.bytes.round()),
            window_seconds: report.rate.map(|rate| rate.window.as_secs_f64()),
            allocated_bytes_per_second: report.rate.map(|rate| rate.per_second.bytes),
            operations_per_second: report.rate.map(|rate| rate.per_second.objects),
            places: report.places,
            by_live_bytes: report
                .by_live_bytes
                .iter()
                .map(|place| PlaceView::new(place, &place.holding_stack))
                .collect(),
            by_rate: report
                .by_rate
                .iter()
                .map(|place| PlaceView::new(place, &place.allocating_stack))
                .collect(),
            recommendations: report
                .recommendations
                .iter()
                .map(RecommendationView::new)
                .collect(),
        }
    }
}

impl<'a> PlaceView<'a> {
    fn new(place: &'a Place, stack: &'a [Frame]) -> Self {
        let objects = |share: Share| share.objects;
        let bytes = |share: Share| share.bytes;
        Self {
            line: LineView::new(place),
            live_bytes: place.live.bytes.round(),
            live_bytes_low: place.live_interval.low.round(),
            live_bytes_high: place.live_interval.high.round(),
            live_ratio: place.live_ratio,
            live_objects: place.live.objects.round(),
            peak_live_bytes: place.peak_live_bytes.round(),
            allocated_bytes: place.allocated.bytes.round(),
            allocated_ratio: place.allocated_ratio,
            objects: place.allocated.objects.round(),
            allocated_bytes_per_second: place.rate.map(|rate| rate.per_second.bytes),
            allocated_bytes_per_second_ratio: place.rate.map(|rate| rate.share.bytes),
            operations_per_second: place.rate.map(|rate| rate.per_second.objects),
            operations_per_second_ratio: place.rate.map(|rate| rate.share.objects),
            mean_size_bytes: place.allocated.mean_size(),
            median_size_bytes: place.median_size,
            distribution: categories(&place.sizes),
            freed_within_second_ratio: place.within_second.map(objects),
            freed_within_second_bytes_ratio: place.within_second.map(bytes),
            freed_within_minute_ratio: place.within_minute.map(objects),
            freed_within_minute_bytes_ratio: place.within_minute.map(bytes),
            realloc_ratio: place.realloc_ratio,
            samples: place.samples,
            live_samples: place.live_samples,
            stacks: place.stacks,
            stack: Stack(stack),
        }
    }
}

impl<'a> LineView<'a> {
    fn new(place: &'a Place) -> Self {
        let frame = place.frame.as_ref();
        Self {
            component: &place.component,
            function: frame.map_or(UNKNOWN, |frame| &frame.function),
            file: frame.and_then(|frame| frame.file.as_deref()),
            line: frame.and_then(|frame| frame.line),
        }
    }
}

impl<'a> RecommendationView<'a> {
    fn new(recommendation: &'a Recommendation) -> Self {
        Self {
            kind: recommendation.kind.as_str(),
            priority: recommendation.priority().as_str(),
            benefit_ratio: recommendation.benefit,
            title: &recommendation.title,
            advice: &recommendation.advice,
            evidence: Numbers(&recommendation.evidence),
            place: recommendation.place.as_deref().map(LineView::new),
            stack: Stack(&recommendation.stack),
        }
    }
}

fn categories(sizes: &[f64; BUCKETS]) -> Categories<f64> {
    Categories(by_category(sizes, |sum, objects| sum + objects).map(f64::round))
}

fn seconds_since(earlier: SystemTime, later: SystemTime) -> f64 {
    later
        .duration_since(earlier)
        .unwrap_or_default()
        .as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::analysis::fixture::{amount, churning, input, site, with_earlier};
    use crate::analysis::{AllocatorLevels, analyse};
    use crate::config::RecommendationThresholds;

    fn json(input: &AllocationInput) -> Value {
        let report = analyse(input, &RecommendationThresholds::default());
        serde_json::to_value(AllocationsView::new(input, &report)).unwrap()
    }

    /// Every path that holds `null`, which is what a number that is none becomes.
    fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(path.to_owned()),
            Value::Array(all) => all.iter().for_each(|value| nulls(value, path, found)),
            Value::Object(all) => all
                .iter()
                .for_each(|(key, value)| nulls(value, &format!("{path}/{key}"), found)),
            _ => {}
        }
    }

    fn busy() -> AllocationInput {
        let mut input = with_earlier(
            input(vec![
                churning(site(1, "app::parse", 4e7, 64.0, 400), 0.9),
                site(2, "app::remember", 4e5, 1_024.0, 300),
            ]),
            0.5,
        );
        input.heap_bytes = Some(500 << 20);
        input.rss_bytes = Some(900 << 20);
        input.jemalloc = Some(AllocatorLevels {
            allocated: 500 << 20,
            active: 520 << 20,
            resident: 900 << 20,
            retained: 0,
        });
        input
    }

    #[test]
    fn the_names_are_the_api() {
        let json = json(&busy());
        let keys = |value: &Value| -> Vec<String> {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        assert_eq!(
            keys(&json).join(" "),
            "allocated_bytes allocated_bytes_per_second by_live_bytes by_rate distribution dropped_samples heap_bytes live_bytes \
             operations operations_per_second places recommendations rss_bytes sample_interval_bytes sampled_seconds window_seconds"
        );
        assert_eq!(
            keys(&json["by_rate"][0]).join(" "),
            "allocated_bytes allocated_bytes_per_second allocated_bytes_per_second_ratio allocated_ratio component distribution file \
             freed_within_minute_bytes_ratio freed_within_minute_ratio freed_within_second_bytes_ratio freed_within_second_ratio \
             function line live_bytes live_bytes_high live_bytes_low live_objects live_ratio live_samples mean_size_bytes \
             median_size_bytes objects operations_per_second operations_per_second_ratio peak_live_bytes realloc_ratio samples stack \
             stacks"
        );
        let advice = &json["recommendations"][0];
        assert_eq!(
            keys(advice).join(" "),
            "advice benefit_ratio evidence kind place priority stack title"
        );
        assert_eq!(
            keys(&advice["place"]).join(" "),
            "component file function line"
        );
        let mut found = Vec::new();
        nulls(&json, "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn what_is_shown_is_what_was_read() {
        let json = json(&busy());
        assert_eq!(json["allocated_bytes"], 123_456);
        assert_eq!(json["distribution"]["tiny"], 700);
        assert_eq!(json["distribution"]["huge"], 1);
        assert_eq!(json["sampled_seconds"], 200.0);
        assert_eq!(json["window_seconds"], 100.0);
        let place = &json["by_rate"][0];
        assert_eq!(place["function"], "app::parse");
        assert_eq!(place["operations_per_second"], 200_000.0);
        assert_eq!(place["distribution"]["tiny"], 4e7);
        assert_eq!(place["freed_within_second_ratio"], 0.9);
        assert_eq!(
            place["stack"],
            serde_json::json!([
                "alloc::vec::Vec<T>::push (src/app.rs:1)",
                "app::parse (src/app.rs:42)",
                "app::main (src/app.rs:7)"
            ])
        );
        let advice = json["recommendations"].as_array().unwrap();
        let kinds: Vec<_> = advice.iter().map(|advice| &advice["kind"]).collect();
        assert_eq!(kinds, ["bound_cache", "purge", "object_pool"]);
        let purge = &advice[1];
        assert_eq!(
            purge["evidence"]["unused_resident_bytes"],
            f64::from(380 << 20)
        );
        assert_eq!((purge.get("place"), purge.get("stack")), (None, None));
    }

    #[test]
    fn without_sampling_the_exact_totals_remain() {
        let mut input = busy();
        input.sample_interval = 0;
        let json = json(&input);
        assert_eq!(json["note"], NOTE_OFF);
        assert_eq!(json["allocated_bytes"], 123_456);
        assert_eq!(json["operations"], 789);
        assert_eq!(json["distribution"]["small"], 80);
        assert_eq!(json["live_bytes"], Value::Null);
        assert_eq!(json["by_live_bytes"], Value::Array(Vec::new()));
        assert_eq!(json["by_rate"], Value::Array(Vec::new()));
        // What jemalloc says needs no samples.
        assert_eq!(json["recommendations"][0]["kind"], "purge");
        assert_eq!(json["recommendations"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn before_the_first_sample_it_says_so() {
        let json = json(&input(Vec::new()));
        assert_eq!(json["note"], NOTE_WAITING);
        assert_eq!(json["places"], 0);
        assert_eq!(json["recommendations"], Value::Array(Vec::new()));
    }

    #[test]
    fn nonsense_does_not_get_through() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, f64::NEG_INFINITY, 1e300, 0.0] {
            let mut input = busy();
            for site in &mut input.sites {
                let bad = amount(bad, bad);
                site.allocated = bad;
                site.live = bad;
                site.live_within_minute = bad;
                site.freed = bad;
                site.freed_within_second = bad;
                site.peak_live_bytes = bad.bytes;
                site.sizes = [bad.bytes; BUCKETS];
            }
            input.sites.push(site(9, "app::sound", 10.0, 64.0, 5));
            input.now += Duration::from_nanos(1);
            let mut found = Vec::new();
            nulls(&json(&input), "", &mut found);
            // Absent because there is nothing of it; a number never is.
            found.retain(|path| {
                ![
                    "mean_size_bytes",
                    "median_size_bytes",
                    "freed_within_second_ratio",
                    "freed_within_second_bytes_ratio",
                    "freed_within_minute_ratio",
                    "freed_within_minute_bytes_ratio",
                ]
                .iter()
                .any(|name| path.ends_with(name))
            });
            assert_eq!(found, Vec::<String>::new(), "{bad}");
        }
    }

    #[test]
    fn a_line_without_a_name_is_shown_as_unknown() {
        let mut site = site(1, "f", 10.0, 64.0, 5);
        site.frames = [].into();
        let json = json(&input(vec![site]));
        let place = &json["by_live_bytes"][0];
        assert_eq!(place["function"], UNKNOWN);
        assert_eq!(place["line"], Value::Null);
        assert_eq!(place["stack"], Value::Array(Vec::new()));
    }
}
