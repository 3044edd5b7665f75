//! Results as Markdown tables, several detectors side by side.

use std::fmt::Write;

use crate::figures::{Figures, quartiles};
use crate::kind::Kind;
use crate::score::Outcome;

/// The outcomes of one detector.
pub struct Column<'a> {
    /// The detector's name.
    pub name: &'a str,
    /// How it did on each run.
    pub outcomes: &'a [Outcome],
}

impl Column<'_> {
    fn only(&self, wanted: impl Fn(&Outcome) -> bool) -> Vec<&Outcome> {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| wanted(outcome)).collect()
    }
}

/// One row for each kind.
#[must_use]
pub fn by_kind(columns: &[Column<'_>]) -> String {
    let mut text = head("kind", columns);
    for kind in Kind::ALL {
        row(&mut text, kind.name(), columns, |outcome| {
            outcome.kind == kind
        });
    }
    text
}

/// One row for each rate of the leaking kinds.
#[must_use]
pub fn by_rate(columns: &[Column<'_>]) -> String {
    let mut text = head("MB/h", columns);
    let leaking = columns
        .iter()
        .flat_map(|column| column.outcomes)
        .filter(|outcome| outcome.kind.is_leak());
    let mut rates: Vec<f64> = leaking.map(|outcome| outcome.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    for rate in rates {
        let name = rate.to_string();
        row(&mut text, &name, columns, |outcome| {
            outcome.kind.is_leak() && outcome.rate.total_cmp(&rate).is_eq()
        });
    }
    text
}

/// One row for each detector: everything in one number each.
#[must_use]
pub fn in_total(columns: &[Column<'_>]) -> String {
    let mut text = start(&[
        "detector",
        "leaks",
        "recall",
        "right site",
        "named at the end",
        "delay",
        "balanced recall",
        "balanced precision",
        "false suspects, leaking / innocent",
        "leaking / innocent runs with one",
        "open at the end, leaking / innocent",
        "precision per suspect, ever",
        "at the end",
    ]);
    for column in columns {
        let all = column.only(|_| true);
        let (leaking, innocent) = (
            column.only(|outcome| outcome.kind.is_leak()),
            column.only(|outcome| !outcome.kind.is_leak()),
        );
        let (figures, leaking_figures, innocent_figures) = (
            Figures::new(&all),
            Figures::new(&leaking),
            Figures::new(&innocent),
        );
        let both = |count: fn(&Outcome) -> usize| {
            format!(
                "{} / {}",
                leaking_figures.sum(count),
                innocent_figures.sum(count)
            )
        };
        let runs = format!(
            "{} of {} / {} of {}",
            leaking_figures.runs_with(|outcome| outcome.false_ever),
            leaking.len(),
            innocent_figures.runs_with(|outcome| outcome.false_ever),
            innocent.len()
        );
        line(
            &mut text,
            &[
                column.name.to_owned(),
                figures.leaks().count().to_string(),
                percent(figures.recall()),
                percent(figures.right_site()),
                percent(figures.at_end()),
                minutes(&figures.delays(), 1),
                percent(figures.balanced_recall()),
                percent(figures.balanced_precision()),
                both(|outcome| outcome.false_ever),
                runs,
                both(|outcome| outcome.false_at_end),
                percent(figures.precision_ever()),
                percent(figures.precision_at_end()),
            ],
        );
    }
    text
}

/// How long leaks of one true rate went unnamed, from the onset: those that began with the process, and those that began later.
#[must_use]
pub fn waits(columns: &[Column<'_>], megabytes_per_hour: f64) -> String {
    let mut heading = vec!["kind".to_owned()];
    for Column { name, .. } in columns {
        heading.push(format!("{name}: from the start"));
        heading.push(format!("{name}: begun later"));
    }
    let mut text = start(&heading);
    let mut row = |name: &str, wanted: &dyn Fn(&Outcome) -> bool| {
        let mut cells = vec![name.to_owned()];
        let mut any = false;
        for column in columns {
            let outcomes = column.only(wanted);
            for with_process in [true, false] {
                let waits = Figures::new(&outcomes).waits(megabytes_per_hour, with_process);
                any |= !waits.is_empty();
                cells.push(format!("{}, n {}", minutes(&waits, 1), waits.len()));
            }
        }
        if any {
            line(&mut text, &cells);
        }
    };
    for kind in Kind::ALL {
        row(kind.name(), &|outcome| outcome.kind == kind);
    }
    row("**all of an even rate**", &|outcome| outcome.kind.is_even());
    row("**all**", &|_| true);
    text
}

/// For each innocent kind the share of its runs that ever had a suspect.
#[must_use]
pub fn blamed(columns: &[Column<'_>]) -> String {
    let mut heading = vec!["innocent kind".to_owned()];
    heading.extend(columns.iter().map(|column| column.name.to_owned()));
    let mut text = start(&heading);
    let outcomes: Vec<_> = columns.iter().map(|column| column.only(|_| true)).collect();
    let shares = outcomes
        .iter()
        .map(|outcomes| Figures::new(outcomes).blamed_by_kind());
    let shares: Vec<_> = shares.collect();
    for (at, (kind, _)) in shares.first().into_iter().flatten().enumerate() {
        let mut cells = vec![kind.name().to_owned()];
        cells.extend(shares.iter().map(|shares| percent(Some(shares[at].1))));
        line(&mut text, &cells);
    }
    text
}

/// What the columns mean.
#[must_use]
pub fn legend() -> &'static str {
    "recall: leaks that were named, of all leaks. site: leaks whose first suspect after the onset named them. delay: minutes from the onset, \
     or from the end of the detector's warm-up if later, to the naming: median (quartiles) of those named. false: suspects that named no \
     leak, ever / at the end of the run (runs with at least one). Balanced: every kind weighs the same and has as many runs as any other. \
     Balanced recall is the mean over the leaking kinds of the share of leaks named; balanced precision is the sum of these shares, divided \
     by itself plus the sum over the innocent kinds of the share of runs that ever had a suspect. Precision per suspect: true suspects of \
     all that were ever opened, or of those open at the end, over all runs alike.\n"
}

fn start<T: AsRef<str>>(heading: &[T]) -> String {
    let names: Vec<&str> = heading.iter().map(AsRef::as_ref).collect();
    let lines = "--:|".repeat(names.len().saturating_sub(1));
    format!("| {} |\n|---|{lines}\n", names.join(" | "))
}

fn line(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn head(first: &str, columns: &[Column<'_>]) -> String {
    let mut heading = vec![first.to_owned(), "runs".to_owned()];
    for Column { name, .. } in columns {
        for what in ["recall", "site", "delay", "false"] {
            heading.push(format!("{name}: {what}"));
        }
    }
    start(&heading)
}

/// A row of figures for each detector; none where there is no such run.
fn row(text: &mut String, name: &str, columns: &[Column<'_>], wanted: impl Fn(&Outcome) -> bool) {
    let mut cells = vec![name.to_owned()];
    for column in columns {
        let outcomes = column.only(&wanted);
        if outcomes.is_empty() {
            return;
        }
        if cells.len() == 1 {
            cells.push(outcomes.len().to_string());
        }
        let figures = Figures::new(&outcomes);
        cells.push(percent(figures.recall()));
        cells.push(percent(figures.right_site()));
        cells.push(minutes(&figures.delays(), 0));
        cells.push(format!(
            "{} / {} ({})",
            figures.sum(|outcome| outcome.false_ever),
            figures.sum(|outcome| outcome.false_at_end),
            figures.runs_with(|outcome| outcome.false_ever)
        ));
    }
    line(text, &cells);
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}

/// Median and quartiles of sorted minutes.
fn minutes(sorted: &[f64], decimals: usize) -> String {
    let number = |value: f64| {
        if value.is_finite() {
            format!("{value:.decimals$}")
        } else {
            "never".to_owned()
        }
    };
    quartiles(sorted).map_or("–".to_owned(), |[low, median, high]| {
        format!("{} ({}–{})", number(median), number(low), number(high))
    })
}
