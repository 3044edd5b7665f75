//! OpenMetrics becomes the Prometheus text format 0.0.4, line by line.
//!
//! Serving OpenMetrics under the older content type would almost work, but counters would lose their type and help, because the
//! older format declares them under the name of the series, `_total` included.

/// Rewrites a whole OpenMetrics exposition.
pub(super) fn rewrite(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    // HELP comes before TYPE here but needs the name that only the type decides.
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push_line(&mut out, &[sample(line)]);
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(family), text) => help = Some((family, text.unwrap_or_default())),
            (Some("TYPE"), Some(family), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "stateset" => ("", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == family) {
                    push_line(&mut out, &["# HELP ", family, suffix, " ", text]);
                }
                push_line(&mut out, &["# TYPE ", family, suffix, " ", kind]);
            }
            // UNIT and EOF do not exist there.
            _ => {}
        }
    }
    out
}

fn push_line(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
    out.push('\n');
}

/// A sample without its exemplar, which stands behind the first ` # ` outside a label value.
fn sample(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_declared_under_the_name_of_their_series() {
        let openmetrics = "# HELP target Target.\n# TYPE target info\ntarget_info{a=\"# \\\" #\"} 1\n\
                           # HELP m_bytes Bytes.\n# TYPE m_bytes counter\n# UNIT m_bytes bytes\nm_bytes_total 3 # {id=\"x\"} 1.0\n\
                           # HELP h_bytes Sizes.\n# TYPE h_bytes histogram\nh_bytes_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let classic = "# HELP target_info Target.\n# TYPE target_info gauge\ntarget_info{a=\"# \\\" #\"} 1\n\
                       # HELP m_bytes_total Bytes.\n# TYPE m_bytes_total counter\nm_bytes_total 3\n\
                       # HELP h_bytes Sizes.\n# TYPE h_bytes histogram\nh_bytes_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(rewrite(openmetrics), classic);
    }
}
