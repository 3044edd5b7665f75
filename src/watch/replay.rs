//! A recording of the leak detector, looked at again.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::analysis::Frame;
use crate::analysis::leak::{Cohort, LeakDetector, Observation, SiteObservation};
use crate::config::LeakThresholds;

use super::line::Stacks;
use super::recording::{FORMAT, FrameLine, Line, SiteState};
use super::report::LeakReport;

/// Longest line that is read: more than any that is written.
const MOST_LINE_BYTES: u64 = 64 << 20;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What went wrong.
        cause: io::Error,
    },
    /// It is something else, or damaged.
    #[error("{path} is no recording of memory-exporter: line {line}: {detail}")]
    Malformed {
        /// The file.
        path: String,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
}

/// Looks at a recording again, with its own thresholds or with others.
///
/// # Errors
/// The file cannot be read, or is no recording. One that ends early is read as far as it goes.
pub(crate) fn replay(
    path: &Path,
    thresholds: Option<LeakThresholds>,
) -> Result<LeakReport, RecordingError> {
    let shown = path.display().to_string();
    let unreadable = |cause| RecordingError::Unreadable {
        path: shown.clone(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut input = BufReader::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut replay = Replay::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = io::Read::take(&mut input, MOST_LINE_BYTES).read_until(b'\n', &mut text);
        let malformed = |detail: String| RecordingError::Malformed {
            path: shown.clone(),
            line,
            detail,
        };
        match read {
            Ok(0) => break,
            // Killed while it was written: what came before is whole.
            Err(_) if line > 1 => break,
            Ok(_) if line > 1 && text.last() != Some(&b'\n') => break,
            Ok(_) => {}
            Err(cause) if is_no_gzip(&cause) => {
                return Err(malformed("it is not gzipped".to_owned()));
            }
            Err(cause) => return Err(unreadable(cause)),
        }
        let parsed = parse(&text).map_err(|error| malformed(error.to_string()))?;
        replay.take(parsed, thresholds).map_err(malformed)?;
    }
    replay.report().ok_or_else(|| RecordingError::Malformed {
        path: shown.clone(),
        line: 1,
        detail: "it has no header".to_owned(),
    })
}

/// What a line is stands in its first key.
fn parse(text: &[u8]) -> serde_json::Result<Line> {
    if text.starts_with(b"{\"recording\"") {
        serde_json::from_slice(text).map(Line::Header)
    } else if text.starts_with(b"{\"site\"") {
        serde_json::from_slice(text).map(Line::Site)
    } else {
        serde_json::from_slice(text).map(Line::Observation)
    }
}

fn is_no_gzip(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(cause.kind(), InvalidInput | InvalidData | UnexpectedEof)
}

#[derive(Debug, Default)]
struct Replay {
    detector: Option<LeakDetector>,
    sites: HashMap<u32, (u64, Arc<str>)>,
    states: BTreeMap<u32, SiteState>,
    stacks: Stacks,
}

impl Replay {
    fn take(&mut self, line: Line, thresholds: Option<LeakThresholds>) -> Result<(), String> {
        match line {
            Line::Header(header) if header.recording != FORMAT => {
                let format = header.recording;
                return Err(format!(
                    "format {format} is not known to this version, which reads {FORMAT}"
                ));
            }
            Line::Header(header) => {
                self.detector = Some(LeakDetector::new(thresholds.unwrap_or(header.thresholds)));
            }
            Line::Site(line) => {
                let frames =
                    line.stack
                        .into_iter()
                        .map(|FrameLine(function, file, line, is_runtime)| Frame {
                            function: function.into(),
                            file: file.map(Into::into),
                            line,
                            is_runtime,
                        });
                let frames: Arc<[Frame]> = frames.collect();
                // One that only has another component now comes without its stack.
                if !frames.is_empty() {
                    self.stacks.insert(line.site, frames);
                }
                self.sites
                    .insert(line.site, (line.place, line.component.into()));
            }
            Line::Observation(line) => {
                for state in line.sites {
                    self.states.insert(state.0, state);
                }
                let detector = self.detector.as_mut().ok_or("the header is missing")?;
                let mut observation = Observation {
                    time: line.time,
                    heap_bytes: line.heap_bytes,
                    rss_bytes: line.rss_bytes,
                    is_sampled: line.is_sampled,
                    ..Observation::default()
                };
                for SiteState(id, samples, freed, live) in self.states.values() {
                    let Some((place, component)) = self.sites.get(id) else {
                        return Err(format!("site {id} was not introduced"));
                    };
                    if !live.is_sorted_by_key(|(birth, ..)| birth) {
                        return Err(format!("births of site {id} are out of order"));
                    }
                    let begin = observation.cohorts.len();
                    let live = live.iter().map(|(birth, samples, objects, bytes)| Cohort {
                        birth: *birth,
                        samples: *samples,
                        objects: *objects,
                        bytes: *bytes,
                    });
                    observation.cohorts.extend(live);
                    observation.sites.push(SiteObservation {
                        site: *id,
                        place: *place,
                        component: Arc::clone(component),
                        samples: *samples,
                        freed: *freed,
                        cohorts: begin..observation.cohorts.len(),
                    });
                }
                detector.observe(&observation);
            }
        }
        Ok(())
    }

    fn report(&self) -> Option<LeakReport> {
        Some(LeakReport::new(self.detector.as_ref()?, &self.stacks))
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::Recording;
    use super::*;
    use crate::heap::AGES;

    /// A site that leaks a sample of 2 MiB every half minute from the 20th minute on, beside one that holds what it held.
    fn observation(at: u64) -> Observation {
        const START: u64 = 1_700_000_000_000;
        let time = START + at * 30_000;
        let leaked = (40..at).map(|tick| Cohort {
            birth: START + tick * 30_000,
            samples: 1,
            objects: 2.0,
            bytes: 2_097_152.0,
        });
        let mut cohorts = vec![Cohort {
            birth: START,
            samples: 3,
            objects: 3.0,
            bytes: 6e6,
        }];
        cohorts.extend(leaked);
        let site = |id: u32, cohorts| SiteObservation {
            site: id,
            place: u64::from(id),
            component: "cache".into(),
            samples: 3,
            freed: [0; AGES],
            cohorts,
        };
        let leaking = SiteObservation {
            samples: at.saturating_sub(40),
            ..site(2, 1..cohorts.len())
        };
        Observation {
            time,
            heap_bytes: Some(10_000_000 + 2_097_152 * at.saturating_sub(40)),
            rss_bytes: Some(50_000_000),
            is_sampled: true,
            sites: vec![site(1, 0..1), leaking],
            cohorts,
        }
    }

    fn stacks() -> Stacks {
        let frame = |function: &str, is_runtime| Frame {
            function: function.into(),
            file: Some("src/cache.rs".into()),
            line: Some(42),
            is_runtime,
        };
        let stack = [
            frame("alloc::vec::push", true),
            frame("cache::insert", false),
        ];
        [(2, stack.into())].into()
    }

    fn record(path: &Path, most_bytes: u64) -> (LeakDetector, usize) {
        let thresholds = LeakThresholds::default();
        let mut detector = LeakDetector::new(thresholds);
        let mut recording = Recording::create(path, most_bytes, "session", thresholds).unwrap();
        for at in 0..80 {
            let observation = observation(at);
            detector.observe(&observation);
            if !recording.write(&observation, &stacks()).unwrap() {
                return (detector, 80 - usize::try_from(at).unwrap());
            }
        }
        (detector, 0)
    }

    #[test]
    fn a_replay_gives_the_same_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leaks.gz");
        let (detector, _) = record(&path, u64::MAX);
        assert_eq!(detector.suspects().len(), 1, "{:?}", detector.suspects());
        let json = |report: &LeakReport| serde_json::to_string_pretty(report).unwrap();
        let live = json(&LeakReport::new(&detector, &stacks()));
        assert_eq!(json(&replay(&path, None).unwrap()), live);
        assert!(live.contains("\"function\": \"cache::insert\""), "{live}");

        let text = replay(&path, None).unwrap().to_string();
        assert!(
            text.contains("cache::insert (src/cache.rs:42) of cache holds"),
            "{text}"
        );
        // Other thresholds, another answer.
        let other = LeakThresholds {
            minimum_bytes: 1 << 40,
            ..LeakThresholds::default()
        };
        let text = replay(&path, Some(other)).unwrap().to_string();
        assert!(text.starts_with("no leak suspects"), "{text}");
    }

    #[test]
    fn thresholds_that_an_older_version_did_not_have_are_the_usual_ones() {
        let header =
            br#"{"recording":1,"version":"0","session_id":"s","thresholds":{"minimum_bytes":7}}"#;
        let Line::Header(header) = parse(header).unwrap() else {
            panic!("it is a header");
        };
        let expected = LeakThresholds {
            minimum_bytes: 7,
            ..LeakThresholds::default()
        };
        assert_eq!(header.thresholds, expected);
        let error = parse(b"{\"time\":1}").unwrap_err().to_string();
        assert!(error.contains("missing field"), "{error}");
    }

    #[test]
    fn what_was_cut_off_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leaks.gz");
        record(&path, u64::MAX);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() * 9 / 10]).unwrap();
        let report = replay(&path, None).unwrap().to_string();
        assert!(report.contains("cache::insert"), "{report}");
    }

    #[test]
    fn a_recording_ends_at_its_bound_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leaks.gz");
        let (_, left) = record(&path, 2_000);
        assert!(left > 10, "{left}");
        std::fs::write(&path, "not gzip").unwrap();
        let error = replay(&path, None).unwrap_err().to_string();
        assert!(error.ends_with("line 1: it is not gzipped"), "{error}");
        let error = replay(&folder.path().join("none"), None).unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }
}
