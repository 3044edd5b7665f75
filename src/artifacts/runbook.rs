//! The runbook: one section for each name of an alert, which its `runbook_url` leads to.

use std::fmt::Write as _;

use crate::alert::exporter;
use crate::catalog::{ALERTS, AlertDef, Board, RUNBOOK, Runbook};

use super::tables::condition;
use super::{Artifact, GENERATED, Wanted};

pub(super) fn artifact(wanted: &Wanted) -> Artifact {
    let alerts = exporter(&wanted.config.alerts.links, "INSTANCE") + "/metrics/memory/alerts";
    let mut text = format!(
        "<!-- {GENERATED} -->\n\n# Runbook of the memory alerts\n\n\
         `INSTANCE` is the label `instance` of the alert. What shows stacks or changes the process is answered on the machine itself only, by \
         `ssh` or `kubectl port-forward`: there `INSTANCE` is `127.0.0.1` with the port of the label. Where the server has users, it is answered to \
         `curl -u NAME` from anywhere.\n\n\
         An alert with `origin=\"embedded\"` was sent by the process itself, and names the call site to look at first; Alertmanager mutes it when \
         Prometheus sends the same. `{alerts}` lists it with its number and says whom it was sent to; \
         `curl -X POST '{alerts}/NUMBER/acknowledge?by=YOU'` takes it on, and \
         `curl -X POST '{alerts}/silences?matcher=alertname=NAME&duration=2h'` keeps it quiet.\n",
    );
    for section in RUNBOOK {
        text.push('\n');
        text.push_str(&self::section(section, wanted));
    }
    Artifact {
        path: "alertmanager/RUNBOOK.md".to_owned(),
        contents: text,
    }
}

fn section(section: &Runbook, wanted: &Wanted) -> String {
    let alerts: Vec<&AlertDef> = ALERTS
        .iter()
        .filter(|alert| alert.name == section.alert)
        .collect();
    let mut text = format!("## {}\n\n{}\n\n", section.alert, section.meaning);
    text.push_str("| severity | fires when | for |\n|---|---|---|\n");
    for alert in &alerts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} |",
            alert.severity.as_str(),
            condition(alert, wanted)
        );
    }
    let links = &wanted.config.alerts.links;
    text.push_str("\n**First look**\n\n");
    if let Some(board) = alerts.first().map(|alert| Board::of_alert(alert)) {
        let link = match &links.dashboard {
            Some(grafana) => format!("{}/d/{}", grafana.trim_end_matches('/'), board.uid()),
            None => format!("../dashboards/{}.json", board.uid()),
        };
        let _ = writeln!(
            text,
            "1. Dashboard [{}]({link}), with the job and the instance of the alert.",
            board.title()
        );
    }
    let exporter = exporter(links, "INSTANCE");
    for look in section.first_look {
        let _ = match look.path {
            "" => writeln!(text, "1. Look up {}.", look.what),
            path => writeln!(text, "1. `{exporter}{path}`: {}.", look.what),
        };
    }
    for (title, lines) in [
        ("Likely causes", section.causes),
        ("What to do", section.actions),
    ] {
        let _ = write!(text, "\n**{title}**\n\n");
        for line in lines {
            let _ = writeln!(text, "- {}", line.replace("{exporter}", &exporter));
        }
    }
    text
}
