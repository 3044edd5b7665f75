//! What the client accepts: format and encoding.

/// A format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Classic,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// OpenMetrics for who names it with a version that we write and does not like plain text better; the classic format for
    /// everybody else, browsers and `curl` included.
    pub(super) fn accepted(accept: &str) -> Self {
        let mut open_metrics = 0.0;
        let mut classic = 0.0_f64;
        for range in accept.split(',') {
            let (name, parameters) = parts(range);
            let quality = quality(&parameters);
            let version = parameter(&parameters, "version");
            match name.as_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open_metrics = quality.max(open_metrics);
                }
                "text/plain" if matches!(version, None | Some("0.0.4")) => {
                    classic = quality.max(classic)
                }
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= classic {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }
}

/// Whether the answer may be compressed.
pub(super) fn accepts_gzip(accept_encoding: &str) -> bool {
    let mut any = None;
    for range in accept_encoding.split(',') {
        let (name, parameters) = parts(range);
        let wanted = quality(&parameters) > 0.0;
        match name.as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = Some(wanted),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

type Parameters<'a> = Vec<(&'a str, &'a str)>;

/// The name of a range in lower case, and its parameters.
fn parts(range: &str) -> (String, Parameters<'_>) {
    let mut fields = range.split(';');
    let name = fields
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let parameters = fields
        .filter_map(|field| field.split_once('='))
        .map(|(k, v)| (k.trim(), v.trim().trim_matches('"')));
    (name, parameters.collect())
}

fn parameter<'a>(parameters: &Parameters<'a>, name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

/// 1 when not given, 0 when it makes no sense.
fn quality(parameters: &Parameters<'_>) -> f64 {
    match parameter(parameters, "q") {
        None => 1.0,
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|quality| (0.0..=1.0).contains(quality))
            .unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        use Format::{Classic, OpenMetrics};
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_3, OpenMetrics),
            (prometheus_2, OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            (
                "Application/OpenMetrics-Text; version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Classic),
            ("application/openmetrics-text;q=0", Classic),
            ("application/openmetrics-text;q=x", Classic),
            (
                "application/openmetrics-text;q=0.3, text/plain;q=0.7",
                Classic,
            ),
            ("text/plain;version=0.0.4", Classic),
            ("text/html,*/*;q=0.8", Classic),
            ("*/*", Classic),
            ("", Classic),
            (";;;=,,", Classic),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn encodings() {
        for (accept, gzip) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("gzip;q=0", false),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(accept), gzip, "{accept}");
        }
    }
}
