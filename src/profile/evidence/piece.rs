//! One piece of evidence on disk: a directory named by time and session, with the profile, the leak report and what they are about.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The heap profile, gzipped and in pprof's format.
pub(super) const PROFILE_FILE: &str = "profile.pb.gz";
/// The leak report. Optional.
pub(super) const LEAKS_FILE: &str = "leaks.json";
/// [`Metadata`]. Written last.
pub(super) const METADATA_FILE: &str = "evidence.json";

/// Longest metadata that is read. What is written is shorter, whatever its texts are: the bound keeps the list in memory small.
const MOST_METADATA_BYTES: u64 = 8 << 10;
/// Longest text in the metadata; what is longer is cut.
pub(super) const MOST_TEXT_BYTES: usize = 256;
/// Characters of the session in names: enough to tell sessions of one second apart, and a number follows where they are not.
const SESSION_CHARACTERS: usize = 8;
/// Last second that RFC 3339 can write.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// What is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// When the values of the profile were read.
    pub time: SystemTime,
    /// Why it was captured, a word. Cut after 256 bytes.
    pub trigger: &'a str,
    /// How near the limit was, if it was captured for that.
    pub usage: Option<Usage>,
    /// Live bytes in the profile, estimated.
    pub live_bytes: u64,
    /// Mean number of bytes between two samples.
    pub sample_interval: u64,
    /// Whether the profile has symbols. Without, it has addresses and mappings only, and needs the same binary to be read.
    pub has_symbols: bool,
    /// The heap profile, gzipped and in pprof's format.
    pub profile: &'a [u8],
    /// The last leak report in JSON, if there was one.
    pub leaks: Option<&'a [u8]>,
}

/// How near the limit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes in use at the time, in the terms of the limit.
    pub used_bytes: u64,
    /// The limit in bytes.
    pub limit_bytes: u64,
}

/// What a piece of evidence is about: the content of its `evidence.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// When the values of the profile were read. RFC 3339 on disk.
    #[serde(with = "rfc3339")]
    pub time: SystemTime,
    /// The session that captured it, perhaps one that ended long ago.
    pub session_id: String,
    /// Why it was captured.
    pub trigger: String,
    /// How near the limit was, if it was captured for that. Its two numbers stand beside the others on disk.
    #[serde(flatten)]
    pub usage: Option<Usage>,
    /// Live bytes in the profile, estimated.
    pub live_bytes: u64,
    /// Mean number of bytes between two samples.
    pub sample_interval: u64,
    /// The process that captured it, as numbered in its own pid namespace: 1 in most containers.
    pub process_id: u32,
    /// File name of that process's program.
    pub program: String,
    /// Whether the profile has symbols.
    pub has_symbols: bool,
    /// Length of the profile in bytes, gzipped.
    pub profile_bytes: u64,
    /// Length of the leak report in bytes; `None` = there is none.
    pub leaks_bytes: Option<u64>,
}

/// A piece of evidence that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// Names it among the kept ones.
    pub id: Id,
    /// Length of its files together, in bytes: what counts against the budget.
    pub bytes: u64,
    /// What it is about.
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// Names a piece of evidence, and its directory: time and begin of the session, `2026-11-25T222300Z-1a2b3c4d`, and a number from 2 on
/// where that name was taken. Only made by the store, and safe in paths and URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Id(String);

impl Id {
    /// As it stands in paths and URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the nth piece of that second and session, counted from 1.
    pub(crate) fn new(time: SystemTime, session_id: &str, number: u32) -> Self {
        let time = humantime::format_rfc3339_seconds(representable(time));
        let mut name = String::new();
        // Writing to a string fails only where the time cannot be represented.
        let _ = write!(name, "{time}");
        name.retain(|character| character != ':');
        name = format!("{name}-{}", short(session_id));
        if number > 1 {
            name = format!("{name}-{number}");
        }
        Self(name)
    }

    /// The id of that name, if it is one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        const TIME: &[u8] = b"0000-00-00T000000Z-";
        let (time, rest) = name.split_at_checked(TIME.len())?;
        let fits = |(byte, shape): (u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        };
        let (session, number) = rest.split_once('-').unwrap_or((rest, "2"));
        let is_number = matches!(number.parse::<u32>(), Ok(2..)) && number.starts_with(digit);
        (time.bytes().zip(TIME).all(fits) && is_short(session) && is_number)
            .then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Kept {
    /// Sorts the newest last. Of the same time and session, the one with the higher number is newer, and its name is no shorter.
    pub(super) fn order(&self) -> (SystemTime, usize, &str) {
        (self.metadata.time, self.id.0.len(), &self.id.0)
    }

    /// Reads what is known of the piece in that directory.
    ///
    /// # Errors
    /// Invalid data when anything is missing, cut short or not as it was written.
    pub(super) fn read(directory: &Path, id: Id) -> io::Result<Self> {
        let path = directory.join(id.as_str());
        let metadata_path = path.join(METADATA_FILE);
        let metadata_bytes = length(&metadata_path)?;
        if metadata_bytes > MOST_METADATA_BYTES {
            return Err(invalid("the metadata is too long"));
        }
        let content = read_file(&metadata_path, metadata_bytes)?;
        let metadata: Metadata = serde_json::from_slice(&content)?;
        let files = [
            (PROFILE_FILE, Some(metadata.profile_bytes)),
            (LEAKS_FILE, metadata.leaks_bytes),
        ];
        let mut bytes = metadata_bytes;
        for (name, expected) in files {
            if let Some(expected) = expected {
                if length(&path.join(name))? != expected {
                    return Err(invalid("a file is not as long as it was written"));
                }
                bytes = bytes.saturating_add(expected);
            }
        }
        Ok(Self {
            id,
            bytes,
            metadata,
        })
    }
}

/// Reads a file of a piece, which is so long.
///
/// # Errors
/// Invalid data when it is not; else what the system says.
pub(super) fn read_file(path: &Path, expected: u64) -> io::Result<Vec<u8>> {
    length(path)?;
    let mut content = Vec::new();
    let file = File::open(path)?;
    file.take(expected.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 == expected {
        Ok(content)
    } else {
        Err(invalid("a file is not as long as it was written"))
    }
}

/// Length of a regular file. Links are not followed, and a pipe is not waited for.
fn length(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(invalid("not a regular file"))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A session in names: letters and digits only.
pub(super) fn short(session_id: &str) -> String {
    let characters = session_id.chars().filter(char::is_ascii_alphanumeric);
    let short: String = characters.take(SESSION_CHARACTERS).collect();
    if short.is_empty() {
        "0".to_owned()
    } else {
        short.to_ascii_lowercase()
    }
}

/// Whether this is what [`short`] makes.
pub(super) fn is_short(session: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    (1..=SESSION_CHARACTERS).contains(&session.len()) && session.bytes().all(fits)
}

fn digit(character: char) -> bool {
    character.is_ascii_digit()
}

/// The nearest time that RFC 3339 can write. A clock may say anything, and humantime panics at some of it.
pub(super) fn representable(time: SystemTime) -> SystemTime {
    let epoch = SystemTime::UNIX_EPOCH;
    time.clamp(epoch, epoch + LAST_SECOND)
}

/// Times in `evidence.json`.
mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::representable;

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339(representable(*time)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> SystemTime {
        humantime::parse_rfc3339("2026-11-25T22:23:00.25Z").unwrap()
    }

    #[test]
    fn names_say_time_and_session() {
        let id = |number| Id::new(time(), "1A2b3c4d-5e6f-7a8b", number);
        assert_eq!(id(1).as_str(), "2026-11-25T222300Z-1a2b3c4d");
        assert_eq!(id(12).as_str(), "2026-11-25T222300Z-1a2b3c4d-12");
        let id = Id::new(time(), "/../ä", 1);
        assert_eq!(id.as_str(), "2026-11-25T222300Z-0");
    }

    #[test]
    fn times_that_no_calendar_has_are_moved_into_it() {
        let far = Duration::from_secs(1 << 40);
        let id = |time| Id::new(time, "a", 1).to_string();
        assert_eq!(id(SystemTime::UNIX_EPOCH - far), "1970-01-01T000000Z-a");
        assert_eq!(id(SystemTime::UNIX_EPOCH + far), "9999-12-31T235959Z-a");
    }

    #[test]
    fn only_names_of_ours_are_ids() {
        for name in [
            "2026-11-25T222300Z-1a2b3c4d",
            "2026-11-25T222300Z-0",
            "2026-11-25T222300Z-1a2b3c4d-2",
            "2026-11-25T222300Z-1a2b3c4d-4294967295",
        ] {
            assert!(Id::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "lost+found",
            "2026-11-25T222300Z-",
            "2026-11-25T222300Z-1a2b3c4d5",
            "2026-11-25T222300Z-1A",
            "2026-11-25T222300Z-1a2b3c4d-1",
            "2026-11-25T222300Z-1a2b3c4d-+2",
            "2026-11-25T222300Z-1a2b3c4d-2-3",
            "2026-11-25T222300Z-../..",
            "2026-11-25T22230äZ-1a",
            "2026-11-25t222300Z-1a2b3c4d",
        ] {
            assert!(Id::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_higher_number_is_newer() {
        let kept = |number| Kept {
            id: Id::new(time(), "a", number),
            bytes: 0,
            metadata: metadata(),
        };
        assert!(kept(1).order() < kept(2).order());
        assert!(kept(9).order() < kept(10).order());
    }

    fn metadata() -> Metadata {
        Metadata {
            time: time(),
            session_id: "session".to_owned(),
            trigger: "near_limit".to_owned(),
            usage: Some(Usage {
                used_bytes: 1,
                limit_bytes: 2,
            }),
            live_bytes: 3,
            sample_interval: 4,
            process_id: 5,
            program: "program".to_owned(),
            has_symbols: true,
            profile_bytes: 6,
            leaks_bytes: None,
        }
    }

    #[test]
    fn metadata_are_written_as_documented() {
        let written = serde_json::to_string(&metadata()).unwrap();
        assert_eq!(
            written,
            "{\"time\":\"2026-11-25T22:23:00.250000000Z\",\"session_id\":\"session\",\"trigger\":\"near_limit\",\
             \"used_bytes\":1,\"limit_bytes\":2,\"live_bytes\":3,\"sample_interval\":4,\"process_id\":5,\
             \"program\":\"program\",\"has_symbols\":true,\"profile_bytes\":6,\"leaks_bytes\":null}"
        );
        let read: Metadata = serde_json::from_str(&written).unwrap();
        assert_eq!(read, metadata());
        let without = Metadata {
            usage: None,
            ..metadata()
        };
        let written = serde_json::to_string(&without).unwrap();
        assert!(
            !written.contains("null,") && !written.contains("limit_bytes"),
            "{written}"
        );
        let read: Metadata = serde_json::from_str(&written).unwrap();
        assert_eq!(read, without);
    }

    #[test]
    fn the_longest_metadata_can_be_read() {
        let text = "\u{1}".repeat(MOST_TEXT_BYTES);
        let metadata = Metadata {
            session_id: text.clone(),
            trigger: text.clone(),
            program: text,
            usage: Some(Usage {
                used_bytes: u64::MAX,
                limit_bytes: u64::MAX,
            }),
            live_bytes: u64::MAX,
            sample_interval: u64::MAX,
            process_id: u32::MAX,
            profile_bytes: u64::MAX,
            leaks_bytes: Some(u64::MAX),
            ..metadata()
        };
        let written = serde_json::to_vec_pretty(&metadata).unwrap();
        assert!((written.len() as u64) < MOST_METADATA_BYTES);
    }
}
