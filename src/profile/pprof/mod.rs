//! Profiles in pprof's format, gzipped: what `go tool pprof`, Parca and Pyroscope read, and what is stored on disk.
//!
//! The format's own description leaves one thing to the reader: a location's address may lie anywhere within a call instruction.
//! Stacks consist of return addresses, which lie *behind* it, perhaps already in another line or function. So each is written less
//! one, as Go's runtime does it: what looks up symbols offline then lands on the line of the call.

mod decode;
mod encode;
mod proto;

pub use decode::{DecodeError, Decoded, StoredSample, decode};
pub use encode::encode;

use super::Values;

/// One of the four values of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleType {
    /// Blocks allocated.
    AllocObjects,
    /// Bytes allocated.
    AllocSpace,
    /// Blocks that live.
    InuseObjects,
    /// Bytes that live.
    InuseSpace,
}

impl SampleType {
    /// All, in the order in which Go's heap profiles have them.
    pub const ALL: [Self; 4] = [
        Self::AllocObjects,
        Self::AllocSpace,
        Self::InuseObjects,
        Self::InuseSpace,
    ];

    /// Name in the profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllocObjects => "alloc_objects",
            Self::AllocSpace => "alloc_space",
            Self::InuseObjects => "inuse_objects",
            Self::InuseSpace => "inuse_space",
        }
    }

    /// Unit in the profile.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::AllocObjects | Self::InuseObjects => "count",
            Self::AllocSpace | Self::InuseSpace => "bytes",
        }
    }

    /// This one of the values.
    pub const fn of(self, values: &Values) -> i64 {
        match self {
            Self::AllocObjects => values.alloc_objects,
            Self::AllocSpace => values.alloc_space,
            Self::InuseObjects => values.inuse_objects,
            Self::InuseSpace => values.inuse_space,
        }
    }
}

/// Key of the label that names the component of a sample.
const COMPONENT: &str = "component";

#[cfg(test)]
mod samples {
    //! A small profile for the tests of both directions.

    use std::time::{Duration, SystemTime};

    use super::super::{Entry, Function, Location, Mapping, Profile, Symbols, Values};

    fn function(name: &str, line: u32) -> Function {
        Function {
            name: name.into(),
            linkage_name: format!("_R{name}").into(),
            file: Some("src/shop.rs".into()),
            line,
        }
    }

    fn location(mapping: usize, functions: &[Function]) -> Location {
        Location {
            mapping: Some(mapping),
            file_address: Some(0x42),
            functions: functions.to_vec(),
        }
    }

    /// Two mappings with equal offsets: a program, symbolized, and a library without symbols.
    pub(super) fn symbols() -> Symbols {
        let mapping = |start, path: &str, found| Mapping {
            start,
            limit: start + 0x1000,
            file_offset: 0x400,
            path: path.to_owned(),
            build_id: format!("{start:040x}"),
            has_functions: found,
            has_filenames: found,
            has_line_numbers: found,
            has_inline_frames: found,
        };
        let locations = [
            (
                0x5011,
                location(
                    0,
                    &[
                        function("alloc::alloc::alloc", 1),
                        function("alloc::vec::Vec<T,A>::push", 2),
                        function("shop::cart::Cart::add", 3),
                    ],
                ),
            ),
            (0x5021, location(0, &[function("shop::main", 4)])),
            (0x5031, location(0, &[function("shop::main", 5)])),
            (0x5041, location(0, &[function("__rust_alloc", 6)])),
            (0x2021, location(1, &[])),
        ];
        Symbols {
            mappings: vec![
                mapping(0x5000, "/opt/shop", true),
                mapping(0x2000, "/opt/lib.so", false),
            ],
            locations: locations.into_iter().collect(),
        }
    }

    pub(super) fn entry(component: &'static str, stack: &[u64], unit: i64) -> Entry {
        Entry {
            component,
            stack: stack.into(),
            is_whole: true,
            values: Values {
                alloc_objects: unit,
                alloc_space: unit * 10,
                inuse_objects: unit * 100,
                inuse_space: unit * 1_000,
            },
        }
    }

    pub(super) fn profile(entries: Vec<Entry>) -> Profile {
        Profile {
            time: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            duration: Some(Duration::from_secs(30)),
            period: 512 << 10,
            entries,
            comments: vec!["3 samples were dropped".to_owned()],
        }
    }
}
