//! Reading: a stored profile as named stacks again.
//!
//! A file on disk may be anybody's, so everything in it is doubted: how much it unpacks to, and that what it refers to exists.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::GzDecoder;
use prost::Message;

use super::super::FrameRef;
use super::super::symbols::file_name;
use super::{COMPONENT, proto};

/// Why a profile cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not gzip, or cut short.
    #[error("the profile is not intact gzip: {0}")]
    Gzip(#[source] io::Error),
    /// It unpacks to more than [`Decoded::MOST_UNPACKED`] bytes.
    #[error("the profile unpacks to more than {} bytes", Decoded::MOST_UNPACKED)]
    TooLarge,
    /// Its stacks have more than [`Decoded::MOST_FRAMES`] frames.
    #[error(
        "the stacks of the profile have more than {} frames",
        Decoded::MOST_FRAMES
    )]
    TooManyFrames,
    /// Not a message of `profile.proto`.
    #[error("the profile is not in pprof's format: {0}")]
    Malformed(#[source] prost::DecodeError),
    /// It refers to what it does not contain.
    #[error("the profile refers to {what} {reference}, which it does not contain")]
    Dangling {
        /// Kind of what is missing.
        what: &'static str,
        /// Its id or index.
        reference: i128,
    },
    /// A sample has not one value for each sample type.
    #[error("a sample of the profile has {found} values, not {expected}")]
    Values {
        /// Values of the sample.
        found: usize,
        /// Sample types of the profile.
        expected: usize,
    },
}

/// A stored profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Names of the sample types, such as `inuse_space`.
    pub sample_types: Vec<String>,
    /// Its samples, in the order in which they are stored.
    pub samples: Vec<StoredSample>,
}

/// A sample of a stored profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSample {
    /// The component it is charged to, if it says so.
    pub component: Option<Arc<str>>,
    /// Functions with file and line, root first. An address without a function reads `file@0xoffset`, with its offset in the file of its
    /// mapping, or is the address alone.
    pub frames: Vec<Arc<str>>,
    /// One for each sample type.
    pub values: Vec<i64>,
}

impl Decoded {
    /// Most bytes that a profile may unpack to. Ours have some megabytes; the worst that so many bytes can describe takes about
    /// forty times the memory.
    pub const MOST_UNPACKED: u64 = 64 << 20;
    /// Most frames in all stacks together.
    pub const MOST_FRAMES: usize = 16 << 20;
}

/// Reads a gzipped profile in pprof's format.
///
/// # Errors
/// When it is damaged, is not a profile, or is larger than any of ours.
pub fn decode(gz: &[u8]) -> Result<Decoded, DecodeError> {
    let mut bytes = Vec::new();
    GzDecoder::new(gz)
        .take(Decoded::MOST_UNPACKED + 1)
        .read_to_end(&mut bytes)
        .map_err(DecodeError::Gzip)?;
    if bytes.len() as u64 > Decoded::MOST_UNPACKED {
        return Err(DecodeError::TooLarge);
    }
    let profile = proto::Profile::decode(bytes.as_slice()).map_err(DecodeError::Malformed)?;
    drop(bytes);
    Tables::of(&profile)?.decoded(&profile)
}

/// The names that stacks refer to.
struct Tables {
    strings: Vec<Arc<str>>,
    /// Names of the frames at each location, innermost first.
    locations: HashMap<u64, Vec<Arc<str>>>,
}

impl Tables {
    fn of(profile: &proto::Profile) -> Result<Self, DecodeError> {
        let mut tables = Self {
            strings: profile
                .string_table
                .iter()
                .map(|text| text.as_str().into())
                .collect(),
            locations: HashMap::new(),
        };
        let functions = (profile.function.iter())
            .map(|function| {
                let (name, file) = (
                    tables.string(function.name)?,
                    tables.string(function.filename)?,
                );
                Ok((function.id, (name, file)))
            })
            .collect::<Result<HashMap<_, _>, _>>()?;
        let mappings: HashMap<_, _> = (profile.mapping.iter())
            .map(|mapping| (mapping.id, mapping))
            .collect();
        for location in &profile.location {
            let mut names = (location.line.iter())
                .map(|line| {
                    let function = functions.get(&line.function_id);
                    let (name, file) = function.ok_or(dangling("function", line.function_id))?;
                    Ok(shown(name, file, line.line))
                })
                .collect::<Result<Vec<_>, _>>()?;
            if names.is_empty() {
                let mapping = mappings.get(&location.mapping_id).copied();
                names.push(tables.placeholder(location.address, mapping)?);
            }
            tables.locations.insert(location.id, names);
        }
        Ok(tables)
    }

    fn string(&self, index: i64) -> Result<Arc<str>, DecodeError> {
        usize::try_from(index)
            .ok()
            .and_then(|at| self.strings.get(at))
            .cloned()
            .ok_or(dangling("string", index))
    }

    fn placeholder(
        &self,
        address: u64,
        mapping: Option<&proto::Mapping>,
    ) -> Result<Arc<str>, DecodeError> {
        let place = mapping.and_then(|mapping| {
            let offset = address
                .checked_sub(mapping.memory_start)?
                .checked_add(mapping.file_offset)?;
            Some((mapping.filename, offset))
        });
        Ok(match place {
            Some((path, offset)) => {
                format!("{}@{offset:#x}", file_name(&self.string(path)?)).into()
            }
            None => format!("{address:#x}").into(),
        })
    }

    fn decoded(&self, profile: &proto::Profile) -> Result<Decoded, DecodeError> {
        let sample_types = (profile.sample_type.iter())
            .map(|value_type| Ok(self.string(value_type.kind)?.as_ref().to_owned()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut left = Decoded::MOST_FRAMES;
        let samples = (profile.sample.iter())
            .map(|sample| {
                if sample.value.len() != sample_types.len() {
                    return Err(DecodeError::Values {
                        found: sample.value.len(),
                        expected: sample_types.len(),
                    });
                }
                Ok(StoredSample {
                    component: self.component(sample)?,
                    frames: self.frames(sample, &mut left)?,
                    values: sample.value.clone(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Decoded {
            sample_types,
            samples,
        })
    }

    fn component(&self, sample: &proto::Sample) -> Result<Option<Arc<str>>, DecodeError> {
        for label in &sample.label {
            if self.string(label.key)?.as_ref() == COMPONENT {
                return self.string(label.text).map(Some);
            }
        }
        Ok(None)
    }

    /// The stack, root first; `left` is how many more frames the profile may have.
    fn frames(
        &self,
        sample: &proto::Sample,
        left: &mut usize,
    ) -> Result<Vec<Arc<str>>, DecodeError> {
        let mut frames = Vec::new();
        for id in sample.location_id.iter().rev() {
            let names = self.locations.get(id).ok_or(dangling("location", *id))?;
            *left = left
                .checked_sub(names.len())
                .ok_or(DecodeError::TooManyFrames)?;
            frames.extend(names.iter().rev().cloned());
        }
        Ok(frames)
    }
}

/// As a frame of a profile that was never stored is shown.
fn shown(name: &Arc<str>, file: &Arc<str>, line: i64) -> Arc<str> {
    let frame = FrameRef {
        name: Cow::Borrowed(name),
        file: (!file.is_empty()).then_some(file),
        line: u32::try_from(line).unwrap_or(0),
    };
    frame.to_string().into()
}

fn dangling(what: &'static str, reference: impl Into<i128>) -> DecodeError {
    DecodeError::Dangling {
        what,
        reference: reference.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::samples::{entry, profile, symbols};
    use super::super::{SampleType, encode};
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn error(message: &proto::Profile) -> String {
        decode(&gzip(&message.encode_to_vec()))
            .unwrap_err()
            .to_string()
    }

    fn sample(location_id: Vec<u64>) -> proto::Sample {
        proto::Sample {
            location_id,
            ..proto::Sample::default()
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let stacks = vec![
            entry("cart", &[0x5041, 0x5011, 0x5021], 1),
            entry("stock", &[0x2021, 0x9001], -2),
        ];
        let gz = encode(&profile(stacks), &symbols(), SampleType::InuseSpace);
        let decoded = decode(&gz).unwrap();
        assert_eq!(
            decoded.sample_types,
            [
                "alloc_objects",
                "alloc_space",
                "inuse_objects",
                "inuse_space"
            ]
        );
        let [cart, stock] = decoded.samples.as_slice() else {
            panic!("{decoded:?}");
        };
        let names: Vec<_> = cart.frames.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            names,
            [
                "shop::main (src/shop.rs:4)",
                "shop::cart::Cart::add (src/shop.rs:3)",
                "alloc::vec::Vec<T,A>::push (src/shop.rs:2)"
            ],
            "root first"
        );
        assert_eq!(cart.component.as_deref(), Some("cart"));
        assert_eq!(cart.values, [1, 10, 100, 1_000]);
        let names: Vec<_> = stock.frames.iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["0x9000", "lib.so@0x420"]);
        assert_eq!(stock.values, [-2, -20, -200, -2_000]);
    }

    #[test]
    fn damage_is_told() {
        let stacks = vec![entry("cart", &[0x5011, 0x5021], 1)];
        let gz = encode(&profile(stacks), &symbols(), SampleType::InuseSpace);
        for length in 0..gz.len() {
            assert!(decode(&gz[..length]).is_err(), "{length}");
        }
        assert!(matches!(decode(b"text"), Err(DecodeError::Gzip(_))));
        assert!(matches!(
            decode(&gzip(b"text")),
            Err(DecodeError::Malformed(_))
        ));
        let mut bytes = Vec::new();
        GzDecoder::new(gz.as_slice())
            .read_to_end(&mut bytes)
            .unwrap();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = decode(&gzip(&damaged));
            }
        }
    }

    #[test]
    fn references_are_checked() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let value_type = proto::ValueType { kind: 7, unit: 0 };
        assert_eq!(
            error(&proto::Profile {
                sample_type: vec![value_type],
                string_table: texts(&[""]),
                ..proto::Profile::default()
            }),
            "the profile refers to string 7, which it does not contain"
        );
        assert_eq!(
            error(&proto::Profile {
                sample: vec![sample(vec![u64::MAX])],
                ..proto::Profile::default()
            }),
            "the profile refers to location 18446744073709551615, which it does not contain"
        );
        let location = proto::Location {
            line: vec![proto::Line {
                function_id: 3,
                line: 1,
            }],
            ..proto::Location::default()
        };
        assert_eq!(
            error(&proto::Profile {
                location: vec![location],
                ..proto::Profile::default()
            }),
            "the profile refers to function 3, which it does not contain"
        );
        let label = proto::Label { key: -1, text: 0 };
        assert_eq!(
            error(&proto::Profile {
                sample: vec![proto::Sample {
                    label: vec![label],
                    ..proto::Sample::default()
                }],
                ..proto::Profile::default()
            }),
            "the profile refers to string -1, which it does not contain"
        );
        assert_eq!(
            error(&proto::Profile {
                sample: vec![proto::Sample {
                    value: vec![1],
                    ..proto::Sample::default()
                }],
                ..proto::Profile::default()
            }),
            "a sample of the profile has 1 values, not 0"
        );
    }

    #[test]
    fn bombs_do_not_go_off() {
        let large = usize::try_from(Decoded::MOST_UNPACKED).unwrap() + 1;
        assert!(matches!(
            decode(&gzip(&vec![0; large])),
            Err(DecodeError::TooLarge)
        ));
        // Few bytes that stand for many frames.
        let location = proto::Location {
            id: 1,
            line: vec![proto::Line::default(); 10_000],
            ..proto::Location::default()
        };
        let message = proto::Profile {
            string_table: vec![String::new()],
            function: vec![proto::Function::default()],
            location: vec![location],
            sample: vec![sample(vec![1; 10_000])],
            ..proto::Profile::default()
        };
        assert!(matches!(
            decode(&gzip(&message.encode_to_vec())),
            Err(DecodeError::TooManyFrames)
        ));
    }
}
