//! How profiles are written: as flame graphs, folded stacks, text for eyes, and files to take away.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use warp::http::{HeaderValue, header};
use warp::reply::Response;

use crate::profile::flamegraph::{self, FlamegraphOptions, Kind, Unit};
use crate::profile::{Build, Folded, Profile, SampleType};

/// How stacks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Svg,
    Folded,
    Pprof,
}

/// What a graph shows.
pub(super) struct Graph<'a> {
    pub(super) value: SampleType,
    pub(super) time: SystemTime,
    /// How long what is shown took to come about; absent for all there is.
    pub(super) grown_in: Option<Duration>,
    pub(super) component: Option<String>,
    pub(super) period: u64,
    pub(super) session: &'a str,
}

impl Graph<'_> {
    pub(super) fn written(&self, folded: &Folded, form: Form) -> Vec<u8> {
        match form {
            Form::Folded | Form::Pprof => folded.to_string().into_bytes(),
            Form::Svg => flamegraph::svg(folded, &self.options()).into_bytes(),
        }
    }

    fn options(&self) -> FlamegraphOptions {
        let (what, unit) = match self.value {
            SampleType::InuseSpace => ("live bytes", Unit::Bytes),
            SampleType::InuseObjects => ("live blocks", Unit::Objects),
            SampleType::AllocSpace => ("allocated bytes", Unit::Bytes),
            SampleType::AllocObjects => ("allocated blocks", Unit::Objects),
        };
        let is_live = matches!(
            self.value,
            SampleType::InuseSpace | SampleType::InuseObjects
        );
        let whole = |duration: Duration| {
            let rounded = duration + Duration::from_millis(500);
            humantime::format_duration(Duration::from_secs(rounded.as_secs()))
        };
        let (mut title, kind) = match self.grown_in {
            Some(time) if is_live => (format!("Growth of {what} in {}", whole(time)), Kind::Growth),
            Some(time) => (format!("{what} in {}", whole(time)), Kind::Plain),
            None => (what.to_owned(), Kind::Plain),
        };
        if let Some(component) = &self.component {
            title = format!("{title} of {component}");
        }
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let sampled = match self.period {
            0 => "sampling is off".to_owned(),
            period => format!("sampled every {}", ByteSize(period)),
        };
        let time = humantime::format_rfc3339_seconds(self.time);
        let empty_text = match (self.period, kind) {
            (0, _) => {
                "nothing to show: sampling is off\nset allocations.sample_interval, or POST /debug/sampling?interval=2MiB"
            }
            (_, Kind::Growth) => "nothing grew in this time",
            _ => {
                "no samples yet: the program has allocated less than a few sampling intervals\ntry again later, or sample more often: allocations.sample_interval"
            }
        };
        FlamegraphOptions {
            title,
            subtitle: format!("{time}, {sampled}, session {}", self.session),
            unit,
            kind,
            empty_text: empty_text.to_owned(),
        }
    }
}

/// A profile as text, the largest first, for eyes without tools.
pub(super) fn text(build: &Build, profile: &Profile) -> String {
    use std::fmt::Write;
    let symbols = build.symbols(profile.addresses());
    let mut entries: Vec<_> = profile.entries.iter().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.values.inuse_space));
    let mut text =
        "# live objects: live bytes [allocated objects: allocated bytes] component\n".to_owned();
    for comment in &profile.comments {
        let _ = writeln!(text, "# {comment}");
    }
    for entry in entries {
        let values = entry.values;
        let _ = writeln!(
            text,
            "\n{}: {} [{}: {}] {}",
            values.inuse_objects,
            values.inuse_space,
            values.alloc_objects,
            values.alloc_space,
            entry.component
        );
        for frame in symbols.readable(&entry.stack) {
            let _ = writeln!(text, "    {frame}");
        }
    }
    text
}

pub(super) fn written(body: Vec<u8>, form: Form, name: &str) -> Response {
    match form {
        Form::Pprof => download(body, name),
        Form::Folded => document(body, "text/plain; charset=utf-8"),
        Form::Svg => {
            let mut response = document(body, flamegraph::CONTENT_TYPE);
            response.headers_mut().insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(flamegraph::CONTENT_SECURITY_POLICY),
            );
            response
        }
    }
}

pub(super) fn document(body: Vec<u8>, content_type: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn download(body: Vec<u8>, name: &str) -> Response {
    let mut response = document(body, "application/octet-stream");
    let disposition = format!("attachment; filename=\"{name}.pb.gz\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
