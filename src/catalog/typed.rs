//! Metrics by kind, for whoever may be handed one kind only: a rate of a gauge does not compile.

use super::{Kind, MetricDef};

macro_rules! typed {
    ($( $(#[$doc:meta])* $name:ident $pattern:pat, $refusal:literal; )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name(&'static MetricDef);

        impl $name {
            /// The metric of this kind.
            ///
            /// # Panics
            /// Where it is of another kind: at compile time, in a constant.
            pub const fn of(def: &'static MetricDef) -> Self {
                assert!(matches!(def.kind, $pattern), $refusal);
                Self(def)
            }

            /// Its definition.
            pub const fn def(self) -> &'static MetricDef {
                self.0
            }
        }
    )*};
}

typed! {
    /// A metric that goes up and down.
    ///
    /// ```
    /// use memory_exporter::catalog::{Gauge, RSS_BYTES};
    /// const RSS: Gauge = Gauge::of(&RSS_BYTES);
    /// assert_eq!(RSS.def().series(""), "memory_rss_bytes");
    /// ```
    Gauge Kind::Gauge, "not a gauge";
    /// A metric that only rises while a process lives: it has rates, and a gauge has none.
    ///
    /// ```compile_fail,E0080
    /// use memory_exporter::catalog::{Counter, RSS_BYTES};
    /// const RSS: Counter = Counter::of(&RSS_BYTES);
    /// println!("{}", RSS.def().name);
    /// ```
    Counter Kind::Counter, "not a counter";
    /// A distribution over buckets: each bucket, the sum and the count are counters.
    Histogram Kind::Histogram { .. }, "not a histogram";
}
