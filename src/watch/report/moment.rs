//! Moments in the report: milliseconds since 1970 here, RFC 3339 in what is answered and kept.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize as _, Deserializer, Serializer};

/// As people read it.
pub(super) fn rfc3339(milliseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

pub(super) fn serialize<S: Serializer>(
    milliseconds: &u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*milliseconds))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)?;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
