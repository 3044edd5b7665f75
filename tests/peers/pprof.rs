//! Profiles, as a decoder reads them that is not ours: `profile_pb2`, made by protoc from pprof's own description.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::http;
use crate::programs::{pprof_decoder, python};

const SCRIPT: &str = include_str!("pprof.py");

#[derive(Debug, Deserialize)]
pub(crate) struct Profile {
    pub(crate) sample_types: Vec<(String, String)>,
    pub(crate) default_sample_type: String,
    pub(crate) period_type: (String, String),
    pub(crate) period: u64,
    pub(crate) time_nanos: u64,
    pub(crate) duration_nanos: u64,
    pub(crate) comments: Vec<String>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) file: String,
    pub(crate) build_id: String,
    pub(crate) has_functions: bool,
    pub(crate) has_lines: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sample {
    pub(crate) values: [i64; 4],
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) stack: Vec<Place>,
}

/// The decoder has checked that the address lies in the mapping.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) address: u64,
    pub(crate) mapping: usize,
    pub(crate) frames: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Frame {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: usize,
}

impl Profile {
    /// The profile at a URL.
    pub(crate) fn get(url: &str) -> Self {
        let mut decoder = Command::new(python())
            .args(["-c", SCRIPT])
            .env("PYTHONPATH", pprof_decoder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the decoder starts");
        let mut stdin = decoder.stdin.take().expect("its input");
        stdin.write_all(&http::download(url)).expect("its input");
        drop(stdin);
        let output = decoder.wait_with_output().expect("its output");
        assert!(output.status.success(), "{url} cannot be decoded");
        serde_json::from_slice(&output.stdout).expect("what the script writes")
    }

    /// Sum of the values of the samples in which a function stands.
    pub(crate) fn through(&self, function: &str) -> [i64; 4] {
        let samples = self.samples.iter().filter(|sample| {
            let mut frames = sample.frames();
            frames.any(|frame| frame.name == function)
        });
        samples.fold([0; 4], |sum, sample| {
            std::array::from_fn(|at| sum[at] + sample.values[at])
        })
    }
}

impl Sample {
    /// Innermost first.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.stack.iter().flat_map(|place| &place.frames)
    }
}
