//! Medians, quartiles, tables.

/// The value below which this share of the values lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = share * (sorted.len().saturating_sub(1)) as f64;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// Median and interquartile range, as `1.04 (1.02-1.06)`.
pub(crate) fn spread(values: &[f64], decimals: usize) -> String {
    format!(
        "{:.decimals$} ({:.decimals$}-{:.decimals$})",
        quantile(values, 0.5),
        quantile(values, 0.25),
        quantile(values, 0.75)
    )
}

/// Prints a table in Markdown.
pub(crate) fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("### {title}\n\n| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_few_numbers() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert_eq!(spread(&values, 1), "3.0 (2.0-4.0)");
        assert!(quantile(&[], 0.5).is_nan());
    }
}
