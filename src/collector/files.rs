//! Small files of the kernel, read without allocating.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No file that a collector reads is larger; what lies beyond is not read.
const MOST: u64 = 64 << 10;

/// Reads a whole file into `buffer`, whose memory is used again, and lends it as text.
///
/// # Errors
/// Whatever opening or reading gives; [`io::ErrorKind::InvalidData`] when the file is not UTF-8.
pub fn read_small<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    buffer.clear();
    File::open(path)?.take(MOST).read_to_end(buffer)?;
    std::str::from_utf8(buffer).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// The number behind the first word of a line, as in `oom_kill 3`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}
