//! Writing: a profile and its symbols as one gzipped message.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::super::symbols::{Function, Start, Symbols};
use super::super::{Profile, Values};
use super::{COMPONENT, SampleType, proto};

/// The profile in pprof's format, gzipped. `default_type` is what a viewer shows first.
///
/// Samples have the four [values](Values) in [the order of Go's](SampleType::ALL) and the label `component`. The allocator's own
/// frames are cut, as in [`Symbols::readable`]; call sites that are then the same are added up, and those of which nothing is left are
/// not written. Addresses without symbols keep their mapping, so that a viewer with the unstripped file can name them.
pub fn encode(profile: &Profile, symbols: &Symbols, default_type: SampleType) -> Vec<u8> {
    let mut encoder = Encoder::new(symbols);
    let sample = samples(profile, symbols)
        .into_iter()
        .map(|(site, values)| encoder.sample(&site, &values))
        .collect();
    let value_type = |encoder: &mut Encoder<'_>, kind, unit| proto::ValueType {
        kind: encoder.strings.index(kind),
        unit: encoder.strings.index(unit),
    };
    let sample_type = SampleType::ALL
        .map(|kind| value_type(&mut encoder, kind.name(), kind.unit()))
        .to_vec();
    let since_epoch = profile.time.duration_since(SystemTime::UNIX_EPOCH);
    let message = proto::Profile {
        sample_type,
        sample,
        time_nanos: nanoseconds(since_epoch.unwrap_or_default()),
        duration_nanos: nanoseconds(profile.duration.unwrap_or_default()),
        period_type: Some(value_type(&mut encoder, "space", "bytes")),
        period: i64::try_from(profile.period).unwrap_or(i64::MAX),
        comment: profile
            .comments
            .iter()
            .map(|comment| encoder.strings.index(comment))
            .collect(),
        default_sample_type: encoder.strings.index(default_type.name()),
        mapping: encoder.mappings,
        location: encoder.locations,
        function: encoder.functions,
        string_table: encoder.strings.table,
    };
    // Writing to memory does not fail.
    gzip(&message.encode_to_vec()).unwrap_or_default()
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    gzip.finish()
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What makes a sample: entries that agree in it become one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site<'a> {
    component: &'static str,
    /// Return addresses without those of the allocator.
    stack: &'a [u64],
    /// Functions of the allocator that are inlined at the first address.
    functions_cut: usize,
}

/// The samples in a fixed order, so that the same profile gives the same bytes.
fn samples<'a>(profile: &'a Profile, symbols: &Symbols) -> BTreeMap<Site<'a>, Values> {
    let mut samples = BTreeMap::<_, Values>::new();
    for entry in &profile.entries {
        let Start {
            addresses,
            functions,
        } = symbols.start(&entry.stack);
        let site = Site {
            component: entry.component,
            stack: entry.stack.get(addresses..).unwrap_or_default(),
            functions_cut: functions,
        };
        let sum = samples.entry(site).or_default();
        for (sum, value) in [
            (&mut sum.alloc_objects, entry.values.alloc_objects),
            (&mut sum.alloc_space, entry.values.alloc_space),
            (&mut sum.inuse_objects, entry.values.inuse_objects),
            (&mut sum.inuse_space, entry.values.inuse_space),
        ] {
            *sum = sum.saturating_add(value);
        }
    }
    samples.retain(|_, values| *values != Values::default());
    samples
}

/// The tables of the message, filled as samples need them. Ids count from 1, as 0 means none.
struct Encoder<'a> {
    symbols: &'a Symbols,
    strings: Strings,
    mappings: Vec<proto::Mapping>,
    locations: Vec<proto::Location>,
    functions: Vec<proto::Function>,
    /// Ids of locations by return address and number of functions cut: addresses are those of one process, so mappings do not meet.
    location_ids: HashMap<(u64, usize), u64>,
    /// Ids of functions by the indices of their name, linkage name and file.
    function_ids: HashMap<(i64, i64, i64), u64>,
}

impl<'a> Encoder<'a> {
    fn new(symbols: &'a Symbols) -> Self {
        let mut strings = Strings::default();
        strings.index("");
        let mappings = (1..)
            .zip(&symbols.mappings)
            .map(|(id, mapping)| proto::Mapping {
                id,
                memory_start: mapping.start,
                memory_limit: mapping.limit,
                file_offset: mapping.file_offset,
                filename: strings.index(&mapping.path),
                build_id: strings.index(&mapping.build_id),
                has_functions: mapping.has_functions,
                has_filenames: mapping.has_filenames,
                has_line_numbers: mapping.has_line_numbers,
                has_inline_frames: mapping.has_inline_frames,
            })
            .collect();
        Self {
            symbols,
            strings,
            mappings,
            locations: Vec::new(),
            functions: Vec::new(),
            location_ids: HashMap::new(),
            function_ids: HashMap::new(),
        }
    }

    fn sample(&mut self, site: &Site<'_>, values: &Values) -> proto::Sample {
        let cuts = std::iter::once(site.functions_cut).chain(std::iter::repeat(0));
        let location_id = site
            .stack
            .iter()
            .zip(cuts)
            .map(|(&address, functions_cut)| self.location(address, functions_cut))
            .collect();
        proto::Sample {
            location_id,
            value: SampleType::ALL.map(|kind| kind.of(values)).to_vec(),
            label: vec![proto::Label {
                key: self.strings.index(COMPONENT),
                text: self.strings.index(site.component),
            }],
        }
    }

    fn location(&mut self, address: u64, functions_cut: usize) -> u64 {
        if let Some(id) = self.location_ids.get(&(address, functions_cut)) {
            return *id;
        }
        let symbols = self.symbols;
        let mapping = symbols
            .mapping(address)
            .and_then(|at| self.mappings.get(at));
        let mapping_id = mapping.map_or(0, |mapping| mapping.id);
        let line = symbols
            .functions(address)
            .iter()
            .skip(functions_cut)
            .map(|function| proto::Line {
                function_id: self.function(function),
                line: function.line.into(),
            })
            .collect();
        let id = next_id(&self.locations);
        self.locations.push(proto::Location {
            id,
            mapping_id,
            address: address.saturating_sub(1),
            line,
        });
        self.location_ids.insert((address, functions_cut), id);
        id
    }

    fn function(&mut self, function: &Function) -> u64 {
        let name = self.strings.index(&function.name);
        let system_name = self.strings.index(&function.linkage_name);
        let filename = self
            .strings
            .index(function.file.as_deref().unwrap_or_default());
        let key = (name, system_name, filename);
        if let Some(id) = self.function_ids.get(&key) {
            return *id;
        }
        let id = next_id(&self.functions);
        self.functions.push(proto::Function {
            id,
            name,
            system_name,
            filename,
        });
        self.function_ids.insert(key, id);
        id
    }
}

fn next_id<T>(table: &[T]) -> u64 {
    table.len() as u64 + 1
}

/// The table of texts.
#[derive(Default)]
struct Strings {
    table: Vec<String>,
    indices: HashMap<String, i64>,
}

impl Strings {
    fn index(&mut self, text: &str) -> i64 {
        if let Some(index) = self.indices.get(text) {
            return *index;
        }
        // No table of 2^63 texts fits into memory.
        let index = i64::try_from(self.table.len()).unwrap_or(0);
        self.table.push(text.to_owned());
        self.indices.insert(text.to_owned(), index);
        index
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::super::samples::{entry, profile, symbols};
    use super::*;

    fn message(profile: &Profile) -> proto::Profile {
        let gz = encode(profile, &symbols(), SampleType::InuseSpace);
        let mut bytes = Vec::new();
        GzDecoder::new(gz.as_slice())
            .read_to_end(&mut bytes)
            .unwrap();
        proto::Profile::decode(bytes.as_slice()).unwrap()
    }

    fn text(message: &proto::Profile, index: i64) -> &str {
        &message.string_table[usize::try_from(index).unwrap()]
    }

    /// The frames of a sample, innermost first, as `function:line`.
    fn frames(message: &proto::Profile, sample: &proto::Sample) -> Vec<String> {
        let mut frames = Vec::new();
        for id in &sample.location_id {
            let location = &message.location[usize::try_from(*id).unwrap() - 1];
            assert_eq!(location.id, *id);
            for line in &location.line {
                let function = &message.function[usize::try_from(line.function_id).unwrap() - 1];
                assert_eq!(function.id, line.function_id);
                frames.push(format!("{}:{}", text(message, function.name), line.line));
            }
        }
        frames
    }

    #[test]
    fn head() {
        let message = message(&profile(vec![]));
        let name = |value: &proto::ValueType| {
            format!(
                "{}/{}",
                text(&message, value.kind),
                text(&message, value.unit)
            )
        };
        let types: Vec<_> = message.sample_type.iter().map(name).collect();
        assert_eq!(
            types,
            [
                "alloc_objects/count",
                "alloc_space/bytes",
                "inuse_objects/count",
                "inuse_space/bytes"
            ]
        );
        assert_eq!(message.string_table[0], "");
        assert_eq!(name(&message.period_type.unwrap()), "space/bytes");
        assert_eq!(message.period, 524_288);
        assert_eq!(message.time_nanos, 1_700_000_000_000_000_005);
        assert_eq!(message.duration_nanos, 30_000_000_000);
        assert_eq!(text(&message, message.default_sample_type), "inuse_space");
        assert_eq!(text(&message, message.comment[0]), "3 samples were dropped");
    }

    #[test]
    fn mappings_stand_in_the_order_of_the_symbols() {
        let message = message(&profile(vec![]));
        let [program, library] = message.mapping.as_slice() else {
            panic!("{message:?}");
        };
        assert_eq!((program.id, library.id), (1, 2));
        assert_eq!(text(&message, program.filename), "/opt/shop");
        assert_eq!(text(&message, program.build_id), format!("{:040x}", 0x5000));
        assert_eq!(
            (
                program.memory_start,
                program.memory_limit,
                program.file_offset
            ),
            (0x5000, 0x6000, 0x400)
        );
        let flags = |mapping: &proto::Mapping| {
            [
                mapping.has_functions,
                mapping.has_filenames,
                mapping.has_line_numbers,
                mapping.has_inline_frames,
            ]
        };
        assert_eq!((flags(program), flags(library)), ([true; 4], [false; 4]));
    }

    #[test]
    fn the_allocator_is_cut_also_from_a_line() {
        let message = message(&profile(vec![entry("cart", &[0x5041, 0x5011, 0x5021], 1)]));
        let [sample] = message.sample.as_slice() else {
            panic!("{message:?}");
        };
        assert_eq!(
            frames(&message, sample),
            [
                "alloc::vec::Vec<T,A>::push:2",
                "shop::cart::Cart::add:3",
                "shop::main:4"
            ]
        );
        assert_eq!(sample.value, [1, 10, 100, 1_000]);
        let [label] = sample.label.as_slice() else {
            panic!("{sample:?}");
        };
        assert_eq!(
            (text(&message, label.key), text(&message, label.text)),
            ("component", "cart")
        );
        let addresses: Vec<_> = message
            .location
            .iter()
            .map(|location| location.address)
            .collect();
        assert_eq!(
            addresses,
            [0x5010, 0x5020],
            "the call, not what lies behind it"
        );
        let function = &message.function[0];
        assert_eq!(
            text(&message, function.system_name),
            "_Ralloc::vec::Vec<T,A>::push"
        );
        assert_eq!(text(&message, function.filename), "src/shop.rs");
    }

    #[test]
    fn the_same_address_elsewhere_keeps_all_its_lines() {
        let message = message(&profile(vec![
            entry("a", &[0x5021, 0x5011], 1),
            entry("b", &[0x5011], 1),
            entry("c", &[0x5011], 1),
        ]));
        let found: Vec<_> = (message.sample.iter())
            .map(|sample| frames(&message, sample).len())
            .collect();
        assert_eq!(found, [4, 2, 2]);
        assert_eq!(message.location.len(), 3);
    }

    #[test]
    fn entries_that_agree_are_added_up_and_empty_ones_left_out() {
        let message = message(&profile(vec![
            entry("cart", &[0x5041, 0x5021], 2),
            entry("cart", &[0x5021], 3),
            entry("stock", &[0x5021], 4),
            entry("cart", &[0x5031], 5),
            entry("cart", &[0x5031], -5),
            entry("cart", &[0x2021], 0),
        ]));
        let values: Vec<_> = message
            .sample
            .iter()
            .map(|sample| sample.value[0])
            .collect();
        assert_eq!(values, [5, 4]);
        assert_eq!(message.location.len(), 1);
    }

    #[test]
    fn functions_are_written_once() {
        let message = message(&profile(vec![entry("cart", &[0x5021, 0x5031], 1)]));
        assert_eq!((message.location.len(), message.function.len()), (2, 1));
    }

    #[test]
    fn without_symbols_address_and_mapping_remain() {
        let message = message(&profile(vec![entry("cart", &[0x2021, 0x5071, 0x9001], 1)]));
        let found: Vec<_> = (message.location.iter())
            .map(|location| (location.address, location.mapping_id, location.line.len()))
            .collect();
        assert_eq!(found, [(0x2020, 2, 0), (0x5070, 1, 0), (0x9000, 0, 0)]);
    }

    #[test]
    fn no_stack_is_emptied() {
        let message = message(&profile(vec![entry("cart", &[0x5041], 1)]));
        assert_eq!(frames(&message, &message.sample[0]), ["__rust_alloc:6"]);
    }

    #[test]
    fn the_same_profile_gives_the_same_bytes() {
        let entries = vec![entry("b", &[0x5021], 1), entry("a", &[0x5011, 0x5031], 2)];
        let mut reversed = entries.clone();
        reversed.reverse();
        let bytes = |entries| encode(&profile(entries), &symbols(), SampleType::AllocSpace);
        assert_eq!(bytes(entries), bytes(reversed));
    }
}
