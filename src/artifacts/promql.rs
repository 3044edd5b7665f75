//! PromQL, built from definitions: a metric that is not in the catalog, a rate of a gauge and a panel that forgets its variables
//! cannot be written.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use crate::catalog::{Counter, Gauge, Histogram, MetricDef, Quantity, alert_names, compact};

const MB: f64 = 1_048_576.0;

/// A gauge, where the compiler sees that it is one.
macro_rules! gauge {
    ($def:ident) => {
        const { crate::catalog::Gauge::of(&crate::catalog::$def) }
    };
}
/// A counter, likewise.
macro_rules! counter {
    ($def:ident) => {
        const { crate::catalog::Counter::of(&crate::catalog::$def) }
    };
}
/// A histogram, likewise.
macro_rules! histogram {
    ($def:ident) => {
        const { crate::catalog::Histogram::of(&crate::catalog::$def) }
    };
}
pub(crate) use {counter, gauge, histogram};

/// Which series are meant: their prefix, and what each selector says of labels.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    namespace: String,
    matchers: Vec<String>,
    /// What is said of the label `component` where a metric has it.
    component: Option<String>,
}

/// A metric, or a part of a histogram, of a scope. `K` is what it is: only what rises has a rate.
#[derive(Debug, Clone)]
pub(crate) struct Selector<K> {
    name: String,
    matchers: Vec<String>,
    kind: PhantomData<K>,
}

/// A window of a range.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Window {
    /// So long.
    Of(Duration),
    /// As long as a rate needs at the resolution of a panel.
    Rate,
    /// As long as a dashboard shows.
    Range,
}

/// An expression.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    text: String,
    binding: Binding,
}

/// A text as PromQL has it: as in JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How strongly the outermost operator of an expression binds, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Comparison,
    Sum,
    Product,
    Atom,
}

impl Scope {
    /// The series that a configuration makes: rules from it concern no others.
    pub(crate) fn of_labels(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let matchers = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)));
        Self {
            namespace: namespace.to_owned(),
            matchers: matchers.collect(),
            component: None,
        }
    }

    /// The series that the variables of a dashboard select.
    pub(crate) fn of_variables(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            matchers: ["job=~\"$job\"", "instance=~\"$instance\""]
                .map(str::to_owned)
                .to_vec(),
            component: None,
        }
    }

    /// As it is, but for one more variable: `component`.
    pub(crate) fn with_component(self) -> Self {
        Self {
            component: Some("component=~\"$component\"".to_owned()),
            ..self
        }
    }

    fn select<K>(&self, def: &MetricDef, suffix: &str) -> Selector<K> {
        let has_component = def.labels.iter().any(|label| label.name == "component");
        let component = self.component.iter().filter(|_| has_component);
        Selector {
            name: format!("{}{suffix}", def.series(&self.namespace)),
            matchers: self.matchers.iter().chain(component).cloned().collect(),
            kind: PhantomData,
        }
    }

    pub(crate) fn gauge(&self, gauge: Gauge) -> Selector<Gauge> {
        self.select(gauge.def(), "")
    }

    pub(crate) fn counter(&self, counter: Counter) -> Selector<Counter> {
        self.select(counter.def(), "")
    }

    /// How often something was counted by a histogram.
    pub(crate) fn count(&self, histogram: Histogram) -> Selector<Counter> {
        self.select(histogram.def(), "_count")
    }

    /// The sum of what a histogram counted.
    pub(crate) fn sum(&self, histogram: Histogram) -> Selector<Counter> {
        self.select(histogram.def(), "_sum")
    }

    /// The buckets of a histogram.
    pub(crate) fn buckets(&self, histogram: Histogram) -> Selector<Counter> {
        self.select(histogram.def(), "_bucket")
    }

    /// Alerts of the catalog that fire, as Prometheus notes them.
    pub(crate) fn firing(&self) -> Selector<Gauge> {
        let names = format!("alertname=~{:?}", alert_names().join("|"));
        let own = ["alertstate=\"firing\"".to_owned(), names];
        Selector {
            name: "ALERTS".to_owned(),
            matchers: own.into_iter().chain(self.matchers.clone()).collect(),
            kind: PhantomData,
        }
    }
}

impl<K> Selector<K> {
    /// Only where a label has this value.
    pub(crate) fn matching(mut self, label: &str, value: &str) -> Self {
        self.matchers.push(format!("{label}={}", quoted(value)));
        self
    }

    /// Only where a label has one of these values.
    pub(crate) fn among(mut self, label: &str, values: &[&str]) -> Self {
        let values = quoted(&values.join("|"));
        self.matchers.push(format!("{label}=~{values}"));
        self
    }

    fn text(&self) -> String {
        match self.matchers.as_slice() {
            [] => self.name.clone(),
            matchers => format!("{}{{{}}}", self.name, matchers.join(", ")),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Expr {
        Expr::atom(self.text())
    }

    /// Some time ago.
    pub(crate) fn ago(&self, time: Duration) -> Expr {
        self.before(Window::Of(time))
    }

    /// A window ago.
    pub(crate) fn before(&self, window: Window) -> Expr {
        Expr::atom(format!("{} offset {}", self.text(), window.text()))
    }

    fn over(&self, function: &str, window: Window) -> Expr {
        Expr::atom(format!("{function}({}[{}])", self.text(), window.text()))
    }
}

impl Selector<Gauge> {
    /// The least value.
    pub(crate) fn least(&self, window: Window) -> Expr {
        self.over("min_over_time", window)
    }

    /// The mean.
    pub(crate) fn mean(&self, window: Window) -> Expr {
        self.over("avg_over_time", window)
    }

    /// The last value, though it may be old.
    pub(crate) fn last(&self, window: Window) -> Expr {
        self.over("last_over_time", window)
    }

    /// The slope per second, by least squares.
    pub(crate) fn slope(&self, window: Window) -> Expr {
        self.over("deriv", window)
    }

    /// The value in so many seconds, if it goes on as within the window.
    pub(crate) fn predicted(&self, window: Window, seconds: f64) -> Expr {
        let range = format!("{}[{}]", self.text(), window.text());
        Expr::atom(format!("predict_linear({range}, {seconds})"))
    }
}

impl Selector<Counter> {
    /// By how much it rises per second.
    pub(crate) fn rate(&self, window: Window) -> Expr {
        self.over("rate", window)
    }

    /// By how much it rose.
    pub(crate) fn increase(&self, window: Window) -> Expr {
        self.over("increase", window)
    }
}

impl Window {
    fn text(self) -> String {
        match self {
            Self::Of(duration) => compact(duration),
            Self::Rate => "$__rate_interval".to_owned(),
            Self::Range => "$__range".to_owned(),
        }
    }
}

impl Expr {
    fn atom(text: String) -> Self {
        Self {
            text,
            binding: Binding::Atom,
        }
    }

    /// A number.
    pub(crate) fn number(number: f64) -> Self {
        Self::atom(number.to_string())
    }

    /// The vector of one sample without labels.
    pub(crate) fn vector(number: f64) -> Self {
        Self::atom(format!("vector({number})"))
    }

    /// A number of something, as people write it: megabytes stay recognisable.
    pub(crate) fn quantity(number: f64, of: Quantity) -> Self {
        if !matches!(of, Quantity::Bytes | Quantity::BytesPerSecond) {
            return Self::number(number);
        }
        let text = match number / MB {
            1.0 => "1024 * 1024".to_owned(),
            megabytes => format!("{megabytes} * 1024 * 1024"),
        };
        Self {
            text,
            binding: Binding::Product,
        }
    }

    /// The expression.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// In parentheses where it stands on a side that binds as strongly as `binding` or more.
    fn side(self, binding: Binding, is_right: bool) -> String {
        // Few people know which of the operators on sets binds stronger.
        let mixes_sets = self.binding == Binding::And && binding == Binding::Or;
        if self.binding < binding || (is_right && self.binding == binding) || mixes_sets {
            format!("({})", self.text)
        } else {
            self.text
        }
    }

    fn operation(self, operator: &str, binding: Binding, right: Self) -> Self {
        // Sets of series stand on lines of their own; everything else is a term.
        let gap = if binding <= Binding::And { "\n" } else { " " };
        let (left, right) = (self.side(binding, false), right.side(binding, true));
        Self {
            text: format!("{left}{gap}{operator}{gap}{right}"),
            binding,
        }
    }

    pub(crate) fn above(self, right: Self) -> Self {
        self.operation(">", Binding::Comparison, right)
    }

    pub(crate) fn below(self, right: Self) -> Self {
        self.operation("<", Binding::Comparison, right)
    }

    pub(crate) fn minus(self, right: Self) -> Self {
        self.operation("-", Binding::Sum, right)
    }

    pub(crate) fn times(self, right: Self) -> Self {
        self.operation("*", Binding::Product, right)
    }

    pub(crate) fn divided_by(self, right: Self) -> Self {
        self.operation("/", Binding::Product, right)
    }

    pub(crate) fn and(self, right: Self) -> Self {
        self.operation("and", Binding::And, right)
    }

    pub(crate) fn unless(self, right: Self) -> Self {
        self.operation("unless", Binding::And, right)
    }

    pub(crate) fn or(self, right: Self) -> Self {
        self.operation("or", Binding::Or, right)
    }

    fn aggregated(self, aggregation: &str) -> Self {
        let gap = if aggregation.ends_with(')') { " " } else { "" };
        Self::atom(format!("{aggregation}{gap}({})", self.text))
    }

    pub(crate) fn sum(self) -> Self {
        self.aggregated("sum")
    }

    pub(crate) fn count(self) -> Self {
        self.aggregated("count")
    }

    pub(crate) fn sum_by(self, labels: &[&str]) -> Self {
        self.aggregated(&format!("sum by ({})", labels.join(", ")))
    }

    pub(crate) fn max_by(self, labels: &[&str]) -> Self {
        self.aggregated(&format!("max by ({})", labels.join(", ")))
    }

    pub(crate) fn min_by(self, labels: &[&str]) -> Self {
        self.aggregated(&format!("min by ({})", labels.join(", ")))
    }

    pub(crate) fn group_by(self, labels: &[&str]) -> Self {
        self.aggregated(&format!("group by ({})", labels.join(", ")))
    }

    /// The sum over some labels; all others stay.
    pub(crate) fn sum_without(self, labels: &[&str]) -> Self {
        self.aggregated(&format!("sum without ({})", labels.join(", ")))
    }

    /// The largest so many.
    pub(crate) fn largest(self, count: u8) -> Self {
        Self::atom(format!("topk({count}, {})", self.text))
    }

    /// The smallest so many.
    pub(crate) fn smallest(self, count: u8) -> Self {
        Self::atom(format!("bottomk({count}, {})", self.text))
    }

    /// What a share, from 0 to 1, of the counted lies below; of buckets summed up by `le`.
    pub(crate) fn quantile(self, share: f64) -> Self {
        Self::atom(format!("histogram_quantile({share}, {})", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::of_labels("", &BTreeMap::new())
    }

    #[test]
    fn selectors_say_which_series_are_meant() {
        let labels = BTreeMap::from([("environment".to_owned(), "pro\"d".to_owned())]);
        let rules = Scope::of_labels("shop", &labels);
        assert_eq!(
            rules.gauge(gauge!(RSS_BYTES)).now().text(),
            r#"shop_memory_rss_bytes{environment="pro\"d"}"#
        );
        let panels = Scope::of_variables("").with_component();
        assert_eq!(
            panels
                .sum(histogram!(LEAK_SIZE_BYTES))
                .matching("severity", "high")
                .increase(Window::Range)
                .text(),
            r#"increase(memory_leak_size_bytes_sum{job=~"$job", instance=~"$instance", component=~"$component", severity="high"}[$__range])"#
        );
        assert_eq!(
            panels.gauge(gauge!(RSS_BYTES)).now().text(),
            r#"memory_rss_bytes{job=~"$job", instance=~"$instance"}"#
        );
        assert_eq!(
            scope()
                .counter(counter!(ALLOCATION_COUNT))
                .among("operation", &["alloc", "realloc"])
                .before(Window::Range)
                .text(),
            r#"memory_allocation_count_total{operation=~"alloc|realloc"} offset $__range"#
        );
    }

    #[test]
    fn parentheses_stand_where_they_are_needed_and_nowhere_else() {
        let rss = || scope().gauge(gauge!(RSS_BYTES)).now();
        let heap = || scope().gauge(gauge!(HEAP_BYTES)).now();
        let one = || Expr::number(1.0);
        for (expression, text) in [
            (
                rss().minus(heap()).divided_by(rss()),
                "(memory_rss_bytes - memory_heap_bytes) / memory_rss_bytes",
            ),
            (
                rss().minus(heap().minus(one())),
                "memory_rss_bytes - (memory_heap_bytes - 1)",
            ),
            (
                rss().minus(heap().times(one())).above(one()),
                "memory_rss_bytes - memory_heap_bytes * 1 > 1",
            ),
            (
                rss().above(Expr::quantity(5.0 * MB, Quantity::Bytes)),
                "memory_rss_bytes > 5 * 1024 * 1024",
            ),
            (
                rss().divided_by(Expr::quantity(MB, Quantity::Bytes)),
                "memory_rss_bytes / (1024 * 1024)",
            ),
            (
                rss().or(heap()).and(one()),
                "(memory_rss_bytes\nor\nmemory_heap_bytes)\nand\n1",
            ),
            (
                rss().above(one()).sum_by(&["job"]),
                "sum by (job) (memory_rss_bytes > 1)",
            ),
            (rss().sum(), "sum(memory_rss_bytes)"),
        ] {
            assert_eq!(expression.text(), text);
        }
    }
}
