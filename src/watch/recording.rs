//! Recordings: what the leak detector saw, observation by observation, in a file that can be looked at again (`replay.rs`).
//!
//! Gzipped lines of JSON: a header with the thresholds, a line for each call site when it is first seen or changes its component, and a
//! line for each observation with the sites that have changed since the one before. Each observation is flushed, so that the
//! recording of a process that was killed can be read up to its end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::analysis::Frame;
use crate::analysis::leak::{Observation, SiteObservation};
use crate::config::LeakThresholds;
use crate::heap::AGES;

use super::line::Stacks;

/// Version of the format.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) recording: u32,
    pub(super) version: String,
    pub(super) session_id: String,
    pub(super) thresholds: LeakThresholds,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SiteLine {
    pub(super) site: u32,
    pub(super) place: u64,
    pub(super) component: String,
    pub(super) stack: Vec<FrameLine>,
}

/// Function, file, line, and whether nobody would change it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrameLine(
    pub(super) String,
    pub(super) Option<String>,
    pub(super) Option<u32>,
    pub(super) bool,
);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ObservationLine {
    pub(super) time: u64,
    pub(super) heap_bytes: Option<u64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) is_sampled: bool,
    pub(super) sites: Vec<SiteState>,
}

/// Site, samples, those freed by age, and the live ones: birth, samples, objects, bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SiteState(
    pub(super) u32,
    pub(super) u64,
    pub(super) [u32; AGES],
    pub(super) Vec<(u64, u32, f32, f32)>,
);

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Header(Box<Header>),
    Site(SiteLine),
    Observation(ObservationLine),
}

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct Recording {
    output: GzEncoder<File>,
    most_bytes: u64,
    /// By site, what was written last.
    written: HashMap<u32, Written>,
}

/// What a recording says of a site.
#[derive(Debug, PartialEq)]
struct Written {
    component: Arc<str>,
    is_named: bool,
    samples: u64,
    freed: u64,
}

impl Recording {
    /// A new file; one that is there is replaced.
    pub(super) fn create(
        path: &Path,
        most_bytes: u64,
        session_id: &str,
        thresholds: LeakThresholds,
    ) -> io::Result<Self> {
        let output = GzEncoder::new(File::create(path)?, Compression::default());
        let mut recording = Self {
            output,
            most_bytes,
            written: HashMap::new(),
        };
        recording.line(&Line::Header(Box::new(Header {
            recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session_id: session_id.to_owned(),
            thresholds,
        })))?;
        recording.output.flush()?;
        Ok(recording)
    }

    /// Sites of an observation whose stacks the recording does not know yet.
    pub(super) fn unknown(&self, observation: &Observation) -> Vec<u32> {
        let sites = observation.sites.iter().map(|site| site.site);
        sites
            .filter(|site| self.written.get(site).is_none_or(|site| !site.is_named))
            .collect()
    }

    /// Adds an observation. Says whether there is room for more.
    pub(super) fn write(&mut self, observation: &Observation, stacks: &Stacks) -> io::Result<bool> {
        let mut changed = Vec::new();
        for site in &observation.sites {
            let before = self.written.get(&site.site);
            let state = Written {
                component: Arc::clone(&site.component),
                is_named: stacks.contains_key(&site.site)
                    || before.is_some_and(|before| before.is_named),
                samples: site.samples,
                freed: site.freed.iter().map(|count| u64::from(*count)).sum(),
            };
            let is_introduced = before.is_some_and(|before| {
                (&before.component, before.is_named) == (&state.component, state.is_named)
            });
            let is_same = before == Some(&state);
            self.written.insert(site.site, state);
            if !is_introduced {
                self.line(&Line::Site(SiteLine::new(site, stacks)))?;
            }
            if !is_same {
                let live = observation.live(site).iter();
                let live =
                    live.map(|cohort| (cohort.birth, cohort.samples, cohort.objects, cohort.bytes));
                changed.push(SiteState(
                    site.site,
                    site.samples,
                    site.freed,
                    live.collect(),
                ));
            }
        }
        self.line(&Line::Observation(ObservationLine {
            time: observation.time,
            heap_bytes: observation.heap_bytes,
            rss_bytes: observation.rss_bytes,
            is_sampled: observation.is_sampled,
            sites: changed,
        }))?;
        self.output.flush()?;
        Ok(self.output.get_ref().metadata()?.len() < self.most_bytes)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.output, line)?;
        self.output.write_all(b"\n")
    }
}

impl SiteLine {
    fn new(site: &SiteObservation, stacks: &Stacks) -> Self {
        let frames = stacks.get(&site.site).map_or(&[][..], |frames| frames);
        let frame = |frame: &Frame| {
            let file = frame.file.as_deref().map(str::to_owned);
            FrameLine(
                frame.function.to_string(),
                file,
                frame.line,
                frame.is_runtime,
            )
        };
        Self {
            site: site.site,
            place: site.place,
            component: site.component.to_string(),
            stack: frames.iter().map(frame).collect(),
        }
    }
}
