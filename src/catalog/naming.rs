//! What one name and one unit become in each place.
//!
//! The rule for Prometheus is that of its own OTLP translator in its default mode (`UnderscoreEscapingWithSuffixes`): split the
//! name into tokens, append the unit unless it is there, and for a counter take every token `total` out and put one at the end.
//! A scrape applies it here, a receiver of a push applies it there, so both arrive at the same series.

use super::{Kind, MetricDef, MetricNames, Unit};

impl Unit {
    /// The unit in UCUM, as OTLP wants it; empty where there is none.
    pub fn ucum(self) -> String {
        match self {
            Self::Bytes => "By".to_owned(),
            Self::Seconds => "s".to_owned(),
            Self::Count(noun) => format!("{{{noun}}}"),
            Self::None => String::new(),
        }
    }

    /// The word that Prometheus appends to a name.
    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Bytes => Some("bytes"),
            Self::Seconds => Some("seconds"),
            Self::Count(_) | Self::None => None,
        }
    }
}

impl MetricDef {
    /// The series in Prometheus, for a histogram without `_bucket`, `_sum` and `_count`: `memory_allocation_bytes_total`.
    ///
    /// ```
    /// use memory_exporter::catalog::{ALLOCATION_TOTAL_BYTES, RSS_BYTES};
    /// assert_eq!(RSS_BYTES.series(""), "memory_rss_bytes");
    /// assert_eq!(RSS_BYTES.series("shop"), "shop_memory_rss_bytes");
    /// assert_eq!(ALLOCATION_TOTAL_BYTES.series(""), "memory_allocation_bytes_total");
    /// ```
    pub fn series(&self, namespace: &str) -> String {
        let mut name = self.family(namespace);
        match self.kind {
            Kind::Counter => name.push_str("_total"),
            Kind::Info => name.push_str("_info"),
            Kind::Gauge | Kind::Histogram { .. } => {}
        }
        name
    }

    /// The OpenMetrics family: the series without the suffix that the kind brings.
    pub fn family(&self, namespace: &str) -> String {
        let mut tokens: Vec<&str> = namespace
            .split('_')
            .chain(self.name.split(['.', '_']))
            .filter(|token| !token.is_empty())
            .collect();
        if self.kind == Kind::Counter {
            tokens.retain(|token| *token != "total");
        }
        if let Some(unit) = self.unit.suffix()
            && !tokens.contains(&unit)
        {
            tokens.push(unit);
        }
        tokens.join("_")
    }

    /// The family without its unit, and the unit: the two halves that an OpenMetrics encoder joins again.
    pub fn base_and_unit(&self, namespace: &str) -> (String, Option<&'static str>) {
        let mut family = self.family(namespace);
        match self.unit.suffix() {
            Some(unit) if family.ends_with(&format!("_{unit}")) => {
                family.truncate(family.len() - unit.len() - 1);
                (family, Some(unit))
            }
            _ => (family, None),
        }
    }

    /// The name that a push sends.
    pub fn pushed(&self, namespace: &str, names: MetricNames) -> String {
        match names {
            MetricNames::Prometheus => self.series(namespace),
            MetricNames::Otel if namespace.is_empty() => self.name.to_owned(),
            MetricNames::Otel => format!("{namespace}.{}", self.name),
        }
    }
}
