//! Where a click leads: to the leaks of what was clicked, and to the pages of the exporter itself.

use crate::catalog::Board;

use super::field::DataLink;
use super::frame::Frame;

/// What is clicked, which is where labels are found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clicked {
    /// A series of a panel.
    Series,
    /// A row of a table.
    Row,
}

/// Which labels it has beside `instance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Job,
    JobAndComponent,
}

impl Clicked {
    fn label(self, label: &str) -> String {
        match self {
            Self::Series => format!("${{__field.labels.{label}}}"),
            Self::Row => format!("${{__data.fields.{label}}}"),
        }
    }
}

/// The leaks of an instance, over the time that is shown.
pub(super) fn leaks(clicked: Clicked, known: Known) -> DataLink {
    let mut url = format!(
        "/d/{}?${{__url_time_range}}&var-datasource=${{datasource}}&var-job={}&var-instance={}",
        Board::Leaks.uid(),
        clicked.label("job"),
        clicked.label("instance")
    );
    if known == Known::JobAndComponent {
        url.push_str("&var-component=");
        url.push_str(&clicked.label("component"));
    }
    DataLink {
        title: "Leaks of this",
        url,
        target_blank: false,
    }
}

/// All firing alerts that Grafana knows.
pub(super) fn alert_list() -> DataLink {
    DataLink {
        title: "All alerts",
        url: "/alerting/list".to_owned(),
        target_blank: false,
    }
}

impl Frame<'_> {
    fn page(&self, clicked: Clicked, title: &'static str, path: &str) -> DataLink {
        let exporter = &self.wanted.config.alerts.links.exporter;
        let exporter = exporter.replace("{instance}", &clicked.label("instance"));
        DataLink {
            title,
            url: format!("{}{path}", exporter.trim_end_matches('/')),
            target_blank: true,
        }
    }

    /// The flame graph of what grew within an hour.
    pub(super) fn growth_graph(&self, clicked: Clicked) -> DataLink {
        let title = "Flame graph: what grew in an hour";
        self.page(clicked, title, "/debug/flamegraph?since=1h")
    }

    /// The flame graph of what a component holds.
    pub(super) fn component_graph(&self, clicked: Clicked) -> DataLink {
        let component = clicked.label("component");
        let path = format!("/debug/flamegraph?type=inuse&component={component}");
        self.page(clicked, "Flame graph: what this component holds", &path)
    }

    /// The flame graph of what allocates.
    pub(super) fn allocation_graph(&self, clicked: Clicked) -> DataLink {
        let component = clicked.label("component");
        let path = format!("/debug/flamegraph?type=alloc&component={component}");
        self.page(clicked, "Flame graph: what this component allocates", &path)
    }

    /// The suspects, by line of code.
    pub(super) fn leak_report(&self, clicked: Clicked) -> DataLink {
        let title = "Leak report: suspects by line of code";
        self.page(clicked, title, "/metrics/memory/leaks")
    }
}
