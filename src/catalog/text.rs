//! What an alert says: one text, whoever fills in the values.

use std::time::Duration;

use super::{AlertDef, Condition, Quantity};

const MB: f64 = 1_048_576.0;

impl Quantity {
    /// A number of it as Prometheus' templates write it: `720MiB`, `1.1MiB/s`, `60.0 MB/h`, `40%`.
    pub fn written(self, number: f64) -> String {
        match self {
            Self::Bytes => format!("{}B", humanize1024(number)),
            Self::BytesPerSecond => format!("{}B/s", humanize1024(number)),
            Self::MbPerHour => format!("{number:.1} MB/h"),
            Self::Ratio => format!("{}%", four_digits(number * 100.0)),
            Self::Seconds => format!("{number:.0} s"),
            Self::Count => format!("{number:.0}"),
        }
    }

    /// A threshold as it is configured: `700 MB`, `5 MB/s`, `50 MB/h`, `50%`, `4h`.
    pub fn threshold(self, number: f64) -> String {
        match self {
            Self::Bytes => format!("{} MB", number / MB),
            Self::BytesPerSecond => format!("{} MB/s", number / MB),
            Self::MbPerHour => format!("{number} MB/h"),
            Self::Ratio => format!("{}%", four_digits(number * 100.0)),
            Self::Seconds => compact(Duration::from_secs_f64(number)),
            Self::Count => number.to_string(),
        }
    }
}

impl AlertDef {
    /// The description, with every placeholder replaced by what `fill` makes of its name.
    ///
    /// ```
    /// use memory_exporter::catalog::ALERTS;
    /// let said = ALERTS[5].describe(|name| name.to_uppercase());
    /// assert_eq!(said, "INSTANCE (JOB) uses VALUE of resident memory, above THRESHOLD.");
    /// ```
    pub fn describe(&self, fill: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        let mut rest = self.description;
        while let Some((before, from)) = rest.split_once('{') {
            text.push_str(before);
            let (name, after) = from.split_once('}').unwrap_or((from, ""));
            text.push_str(&fill(name));
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// The time that `{time}` stands for, of a window that is looked at and a time that the condition must hold.
    pub fn time(&self, window: Duration, hold: Duration) -> Duration {
        match self.condition {
            Condition::Level { .. } => window.saturating_add(hold),
            Condition::Risen { .. } | Condition::Reached { .. } | Condition::Silent { .. } => {
                window
            }
        }
    }
}

/// The sentence on the component whose suspects hold most, with a space before it.
pub(crate) fn most_is_held(component: &str, bytes: &str) -> String {
    format!(" Most is held in component {component}: {bytes}.")
}

/// A duration in the short form of Prometheus: `1h30m`.
pub fn compact(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (name, unit) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// As the template function of that name.
fn humanize1024(number: f64) -> String {
    let mut number = number;
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if number.abs() < 1024.0 {
            break;
        }
        number /= 1024.0;
        prefix = next;
    }
    format!("{}{prefix}", four_digits(number))
}

/// Four significant digits without trailing zeros: `%.4g` for numbers from a thousandth to some thousands.
fn four_digits(number: f64) -> String {
    let digits_before = [1.0, 10.0, 100.0, 1_000.0]
        .iter()
        .filter(|edge| number.abs() >= **edge)
        .count();
    // Below 1, leading zeros are not significant.
    let zeros = [0.1, 0.01, 0.001]
        .iter()
        .filter(|edge| number != 0.0 && number.abs() < **edge)
        .count();
    let text = format!("{number:.*}", (4 + zeros).saturating_sub(digits_before));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_by_prometheus() {
        for (quantity, number, text) in [
            (Quantity::Bytes, 754_974_720.0, "720MiB"),
            (Quantity::Bytes, 0.0, "0B"),
            (Quantity::Bytes, 1_000.0, "1000B"),
            (Quantity::Bytes, 1_536.0, "1.5kiB"),
            (Quantity::BytesPerSecond, 1_153_433.6, "1.1MiB/s"),
            (Quantity::MbPerHour, 60.04, "60.0 MB/h"),
            (Quantity::Ratio, 0.4, "40%"),
            (Quantity::Ratio, 0.012_346, "1.235%"),
            (Quantity::Ratio, 0.000_123_46, "0.01235%"),
            (Quantity::Count, 1.02, "1"),
        ] {
            assert_eq!(quantity.written(number), text);
        }
    }

    #[test]
    fn thresholds_are_written_as_they_are_configured() {
        for (quantity, number, text) in [
            (Quantity::Bytes, 700.0 * MB, "700 MB"),
            (Quantity::BytesPerSecond, 0.3 * MB, "0.3 MB/s"),
            (Quantity::MbPerHour, 50.0, "50 MB/h"),
            (Quantity::Ratio, 0.5, "50%"),
            (Quantity::Seconds, 5_400.0, "1h30m"),
        ] {
            assert_eq!(quantity.threshold(number), text);
        }
    }

    #[test]
    fn durations_are_short() {
        for (milliseconds, text) in [
            (0, "0s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (1_500, "1s500ms"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(compact(Duration::from_millis(milliseconds)), text);
        }
    }
}
