//! From addresses to functions, files and lines.
//!
//! A [`Symbolizer`] is made for one profile and dropped with it, so that nothing it read stays in memory: files are mapped and not
//! read, one at a time, and of their debug information only the units are parsed in which an address lies. It does file I/O and takes
//! from some ten milliseconds to seconds: not for a thread that answers requests.
//!
//! Debug information comes from the file itself, else from `/usr/lib/debug/.build-id`, else from the file that `.gnu_debuglink`
//! names; without any, the symbol table gives the names of the functions that have frames of their own. Where the debug information
//! has bare names only, the symbol table gives the full one of a function with a frame of its own, and the source file the crate and
//! module of an inlined one. A damaged file is as good as one without symbols.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::gimli::DW_LANG_Rust;
use addr2line::{Loader, demangle_auto};

use super::mappings::{MappedFile, Mappings};
use super::names::{is_generated, written_in};
use super::sources::Sources;
use super::symbols::{Function, Location, Mapping, Symbols};

/// Most files whose symbols one call reads.
const MOST_FILES: usize = 256;
/// Most functions inlined into one another.
const MOST_INLINED: usize = 256;
/// Longest name that is kept: those of nested futures grow to many kilobytes.
const LONGEST_NAME: usize = 4_096;
/// Where distributions put separate debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// Finds the functions at the addresses of one profile.
#[derive(Debug)]
pub struct Symbolizer {
    mappings: Mappings,
    debug_root: PathBuf,
    sources: Sources,
    strings: HashSet<Arc<str>>,
}

/// A function at an address, as found in a file.
struct Frame {
    function: Function,
    /// The name has neither crate nor module.
    is_bare: bool,
}

/// An address to look up.
struct Query {
    file: usize,
    file_address: u64,
    address: u64,
}

impl Symbolizer {
    /// Most addresses that one call looks up; the others stay unknown.
    pub const MOST_ADDRESSES: usize = 65_536;

    /// A symbolizer for this process as it stands now, with procfs at `proc_root`. Where there is no procfs, it knows nothing.
    pub fn new(proc_root: &Path) -> Self {
        Self::with_debug_root(proc_root, Path::new(DEBUG_ROOT))
    }

    fn with_debug_root(proc_root: &Path, debug_root: &Path) -> Self {
        let mut sources = Sources::default();
        // Our own folder may have any name, and what we wrap would seem to be a crate of that name.
        sources.learn(
            env!("CARGO_CRATE_NAME"),
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs"),
        );
        Self {
            mappings: Mappings::read(proc_root),
            debug_root: debug_root.to_path_buf(),
            sources,
            strings: HashSet::new(),
        }
    }

    /// The symbols of return addresses, looked up at the call before each. Without addresses, only the mappings: enough for a
    /// profile whose reader has the symbols.
    pub fn symbols(&mut self, addresses: impl IntoIterator<Item = u64>) -> Symbols {
        let mut symbols = Symbols {
            mappings: self
                .mappings
                .mappings
                .iter()
                .map(|range| {
                    let file = self.mappings.files.get(range.file);
                    Mapping {
                        start: range.start,
                        limit: range.limit,
                        file_offset: range.offset,
                        path: file.map(|file| file.path.clone()).unwrap_or_default(),
                        build_id: file
                            .map(|file| file.elf.build_id.clone())
                            .unwrap_or_default(),
                        ..Mapping::default()
                    }
                })
                .collect(),
            ..Symbols::default()
        };
        let mut queries = Vec::new();
        for address in bounded(addresses) {
            let (location, query) = self.locate(address);
            symbols.locations.insert(address, location);
            queries.extend(query);
        }
        queries.sort_by_key(|query| (query.file, query.file_address));
        for queries in queries.chunk_by(|a, b| a.file == b.file).take(MOST_FILES) {
            self.look_up(queries, &mut symbols);
        }
        symbols
    }

    fn locate(&self, address: u64) -> (Location, Option<Query>) {
        let place = address.checked_sub(1).and_then(|call| {
            let mapping = self.mappings.position(call)?;
            Some((mapping, self.mappings.file_address(mapping, call)))
        });
        let Some((mapping, file_address)) = place else {
            return (Location::default(), None);
        };
        let location = Location {
            mapping: Some(mapping),
            file_address,
            functions: Vec::new(),
        };
        let query =
            self.mappings
                .mappings
                .get(mapping)
                .zip(file_address)
                .map(|(range, file_address)| Query {
                    file: range.file,
                    file_address,
                    address,
                });
        (location, query)
    }

    /// Looks up addresses of one file, whose symbols are in memory only meanwhile.
    fn look_up(&mut self, queries: &[Query], symbols: &mut Symbols) {
        let file = queries
            .first()
            .and_then(|query| self.mappings.files.get(query.file));
        let Some(loader) = file.and_then(|file| load(file, &self.debug_root)) else {
            return;
        };
        let mut bare = Vec::new();
        for query in queries {
            let frames = self.frames(&loader, query.file_address);
            let Some(location) = symbols.locations.get_mut(&query.address) else {
                continue;
            };
            self.learn(&frames);
            bare.extend(
                frames
                    .iter()
                    .enumerate()
                    .filter(|(_, frame)| frame.is_bare)
                    .map(|(at, _)| (query.address, at)),
            );
            location.functions = frames.into_iter().map(|frame| frame.function).collect();
            if let Some(mapping) = location.mapping.and_then(|at| symbols.mappings.get_mut(at)) {
                mark(mapping, &location.functions);
            }
        }
        for (address, at) in bare {
            if let Some(location) = symbols.locations.get_mut(&address)
                && let Some(function) = location.functions.get_mut(at)
                && let Some(file) = &function.file
                && let Some(name) = self.sources.qualify(&function.name, file)
            {
                function.name = self.intern(&name);
            }
        }
    }

    /// The functions at an address of the file, by its debug information or else by its symbol table.
    fn frames(&mut self, loader: &Loader, address: u64) -> Vec<Frame> {
        let symbol = loader.find_symbol(address).filter(|name| !name.is_empty());
        let mut frames = self.inlined(loader, address).unwrap_or_default();
        match (frames.last_mut(), symbol) {
            (Some(outermost), Some(symbol)) => {
                let function = &mut outermost.function;
                let is_better = !is_mangled(&function.linkage_name) && is_mangled(symbol);
                if is_better || function.name.is_empty() {
                    function.name = self.intern(&demangle_auto(Cow::Borrowed(symbol), None));
                    function.linkage_name = self.intern(symbol);
                }
                outermost.is_bare = false;
            }
            (None, Some(symbol)) => frames.push(Frame {
                function: Function {
                    name: self.intern(&demangle_auto(Cow::Borrowed(symbol), None)),
                    linkage_name: self.intern(symbol),
                    file: None,
                    line: 0,
                },
                is_bare: false,
            }),
            (_, None) => {}
        }
        frames.retain(|frame| !frame.function.name.is_empty());
        frames
    }

    /// What the debug information says; `None` when it is damaged. Units with lines but without functions, as from an assembler,
    /// leave the name empty.
    fn inlined(&mut self, loader: &Loader, address: u64) -> Option<Vec<Frame>> {
        let mut found = Vec::new();
        let mut frames = loader.find_frames(address).ok()?;
        while let Some(frame) = frames.next().ok()? {
            if found.len() == MOST_INLINED {
                break;
            }
            let (raw, language) = match &frame.function {
                Some(function) => (function.raw_name().ok()?, function.language),
                None => (Cow::Borrowed(""), None),
            };
            let is_bare = language == Some(DW_LANG_Rust) && is_bare(&raw);
            let place = frame.location.as_ref();
            found.push(Frame {
                function: Function {
                    name: self.intern(&demangle_auto(Cow::Borrowed(&raw), language)),
                    linkage_name: self.intern(&raw),
                    file: place
                        .and_then(|place| place.file)
                        .map(|file| self.intern(file)),
                    line: place.and_then(|place| place.line).unwrap_or(0),
                },
                is_bare,
            });
        }
        Some(found)
    }

    /// Notes which crate a source file belongs to, where the full name of a function in it says so.
    fn learn(&mut self, frames: &[Frame]) {
        for Frame { function, is_bare } in frames {
            if !is_bare
                && let Some(file) = &function.file
                && let Some(crate_name) = written_in(&function.name)
            {
                self.sources.learn(crate_name, file);
            }
        }
    }

    /// One copy of each string.
    fn intern(&mut self, text: &str) -> Arc<str> {
        let text = &text[..text.floor_char_boundary(LONGEST_NAME)];
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.strings.insert(Arc::clone(&text));
        text
    }
}

/// Whether a name in the debug information of Rust code lacks crate and module.
fn is_bare(name: &str) -> bool {
    !is_mangled(name) && !is_generated(name)
}

fn is_mangled(name: &str) -> bool {
    name.starts_with("_R") || name.starts_with("_Z")
}

/// Notes on a mapping what was found in it.
fn mark(mapping: &mut Mapping, functions: &[Function]) {
    mapping.has_functions |= !functions.is_empty();
    mapping.has_filenames |= functions.iter().any(|function| function.file.is_some());
    mapping.has_line_numbers |= functions.iter().any(|function| function.line != 0);
    mapping.has_inline_frames |= functions.len() > 1;
}

/// The first addresses, in order and each once.
fn bounded(addresses: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    let mut chosen = BTreeSet::new();
    for address in addresses {
        if chosen.len() == Symbolizer::MOST_ADDRESSES {
            break;
        }
        chosen.insert(address);
    }
    chosen
}

/// Opens the best source of symbols for a mapped file.
fn load(file: &MappedFile, debug_root: &Path) -> Option<Loader> {
    let own = file.readable.as_deref()?;
    let separate = if file.elf.has_debug_info {
        None
    } else {
        by_build_id(file, debug_root).or_else(|| by_debug_link(file, debug_root))
    };
    separate
        .and_then(|path| Loader::new(path).ok())
        .or_else(|| Loader::new(own).ok())
}

/// `/usr/lib/debug/.build-id/ab/cdef.debug` for the build id `abcdef`.
fn by_build_id(file: &MappedFile, debug_root: &Path) -> Option<PathBuf> {
    let (folder, name) = file.elf.build_id.split_at_checked(2)?;
    let path = debug_root
        .join(".build-id")
        .join(folder)
        .join(format!("{name}.debug"));
    path.is_file().then_some(path)
}

/// Beside the file, in `.debug` beside it, or at the same place below the debug root, as debuggers search; only with the checksum that
/// the link gives.
fn by_debug_link(file: &MappedFile, debug_root: &Path) -> Option<PathBuf> {
    let (name, checksum) = file.elf.debug_link.as_ref()?;
    let folder = Path::new(&file.path).parent()?;
    let below_root = folder
        .strip_prefix("/")
        .map(|folder| debug_root.join(folder));
    [
        Some(folder.to_path_buf()),
        Some(folder.join(".debug")),
        below_root.ok(),
    ]
    .into_iter()
    .flatten()
    .map(|folder| folder.join(name))
    .find(|path| path.is_file() && crc(path) == Some(*checksum))
}

/// The CRC-32 of a file's content.
fn crc(path: &Path) -> Option<u32> {
    let mut file = flate2::CrcReader::new(File::open(path).ok()?);
    io::copy(&mut file, &mut io::sink()).ok()?;
    Some(file.crc().sum())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::hint::black_box;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    const OUTER: &str = concat!(module_path!(), "::outer");
    /// Reconstructed from the source file, hence without the module that stands in it.
    const INNER: &str = concat!(env!("CARGO_CRATE_NAME"), "::profile::symbolizer::inner");

    #[inline(never)]
    fn outer(number: u64) -> u64 {
        inner(black_box(number)) + 1
    }

    #[inline(always)]
    fn inner(number: u64) -> u64 {
        black_box(black_box(number).rotate_left(7))
    }

    /// Addresses within `outer`, whose code is longer than that.
    fn addresses() -> impl Iterator<Item = u64> {
        let start = outer as fn(u64) -> u64 as usize as u64;
        (1..24).map(move |offset| start + offset)
    }

    /// A procfs in which `file` stands where this program stands.
    fn proc_with(file: &Path) -> TempDir {
        let root = TempDir::new().unwrap();
        let mappings = Mappings::read(Path::new("/proc"));
        let range = mappings.mappings[0];
        let line = format!(
            "{:x}-{:x} r-xp {:x} 08:01 {} {}\n",
            range.start,
            range.limit,
            range.offset,
            file.metadata().unwrap().ino(),
            file.display()
        );
        fs::create_dir(root.path().join("self")).unwrap();
        fs::write(root.path().join("self/maps"), line).unwrap();
        symlink(file, root.path().join("self/exe")).unwrap();
        root
    }

    fn look_up(file: &Path, debug_root: &Path) -> Symbols {
        let proc = proc_with(file);
        Symbolizer::with_debug_root(proc.path(), debug_root).symbols(addresses())
    }

    fn this_program() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    /// A copy of this program made by `objcopy`, which belongs to the tools of every linker.
    fn objcopy(arguments: &[&str], to: &Path) {
        let status = Command::new("objcopy")
            .args(arguments)
            .arg(this_program())
            .arg(to)
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn has_inner(symbols: &Symbols) -> bool {
        symbols.locations.values().any(|location| {
            let names: Vec<_> = (location.functions.iter())
                .map(|function| &*function.name)
                .collect();
            matches!(names.as_slice(), [.., inner, outer] if *inner == INNER && *outer == OUTER)
        })
    }

    #[test]
    fn inlined_functions_have_names_files_and_lines() {
        assert_eq!(outer(1), 129);
        let symbols = Symbolizer::new(Path::new("/proc")).symbols(addresses());
        assert!(has_inner(&symbols), "{:?}", symbols.locations);
        let first = symbols.locations.values().next().unwrap();
        let function = first.functions.last().unwrap();
        assert_eq!(
            &*function.name, OUTER,
            "full, though the debug information has the bare name"
        );
        assert!(function.linkage_name.starts_with("_Z") || function.linkage_name.starts_with("_R"));
        assert!(function.file.as_deref().unwrap().ends_with(file!()));
        assert!(function.line.abs_diff(line!()) < 120, "{}", function.line);
        let program = &symbols.mappings[0];
        assert!(program.has_functions && program.has_filenames && program.has_line_numbers);
        assert!(program.has_inline_frames);
    }

    #[test]
    fn the_call_is_looked_up_and_not_what_lies_behind_it() {
        let start = outer as fn(u64) -> u64 as usize as u64;
        let symbols = Symbolizer::new(Path::new("/proc")).symbols([start]);
        let functions = &symbols.locations[&start].functions;
        assert!(
            functions
                .last()
                .is_none_or(|function| &*function.name != OUTER)
        );
    }

    #[test]
    fn without_debug_information_the_symbol_table_serves() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop");
        objcopy(&["--strip-debug"], &file);
        let symbols = look_up(&file, folder.path());
        for location in symbols.locations.values() {
            let [function] = location.functions.as_slice() else {
                panic!("{location:?}");
            };
            assert_eq!(&*function.name, OUTER);
            assert_eq!((&function.file, function.line), (&None, 0));
        }
        assert!(symbols.mappings[0].has_functions && !symbols.mappings[0].has_filenames);
    }

    #[test]
    fn without_symbols_the_place_in_the_file_remains() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop");
        objcopy(&["--strip-all"], &file);
        let symbols = look_up(&file, folder.path());
        let address = addresses().next().unwrap();
        let location = &symbols.locations[&address];
        assert_eq!(location.mapping, Some(0));
        assert!(location.functions.is_empty());
        let expected = format!("shop+{:#x}", location.file_address.unwrap());
        assert_eq!(symbols.readable(&[address])[0].name, expected);
        assert!(!symbols.mappings[0].has_functions);
    }

    #[test]
    fn separate_debug_files_are_found() {
        let folder = TempDir::new().unwrap();
        let debug_root = folder.path().join("debug");
        let debug_file = folder.path().join("shop.debug");
        objcopy(&["--only-keep-debug"], &debug_file);
        let stripped = folder.path().join("shop");
        let link = format!("--add-gnu-debuglink={}", debug_file.display());
        objcopy(&["--strip-all", &link], &stripped);
        assert!(
            has_inner(&look_up(&stripped, &debug_root)),
            "by link, beside the file"
        );

        let mut another = fs::read(&debug_file).unwrap();
        another.push(0);
        fs::write(&debug_file, another).unwrap();
        assert!(
            !has_inner(&look_up(&stripped, &debug_root)),
            "the checksum is not that of the link"
        );

        let build_id = super::super::elf::ElfFile::read(&stripped)
            .unwrap()
            .build_id;
        let (prefix, rest) = build_id.split_at(2);
        let by_build_id = debug_root.join(".build-id").join(prefix);
        fs::create_dir_all(&by_build_id).unwrap();
        objcopy(
            &["--only-keep-debug"],
            &by_build_id.join(format!("{rest}.debug")),
        );
        assert!(has_inner(&look_up(&stripped, &debug_root)), "by build id");
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop");
        let program = fs::read(this_program()).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % limit as u64).unwrap()
        };
        let mut without = 0;
        for round in 0..24 {
            let mut damaged = program.clone();
            for _ in 0..1 << (round % 16) {
                let at = next(damaged.len());
                damaged[at] ^= u8::try_from(next(255)).unwrap() + 1;
            }
            if round % 4 == 3 {
                damaged.truncate(next(program.len()));
            }
            fs::write(&file, &damaged).unwrap();
            let symbols = look_up(&file, folder.path());
            assert_eq!(symbols.locations.len(), addresses().count());
            without += usize::from(!has_inner(&symbols));
        }
        assert!(without > 0, "nothing was damaged");
    }

    #[test]
    fn bare_names() {
        for (name, bare) in [
            ("push<u8>", true),
            ("{closure#0}", true),
            ("_ZN4shop4fill17h0123456789abcdefE", false),
            ("_RNvC4shop4fill", false),
            ("__rust_alloc", false),
        ] {
            assert_eq!(is_bare(name), bare, "{name}");
        }
    }

    #[test]
    fn everything_is_bounded() {
        let most = u64::try_from(Symbolizer::MOST_ADDRESSES).unwrap();
        let mut symbolizer = Symbolizer::new(Path::new("/proc"));
        let symbols = symbolizer.symbols((0..most * 2).chain([7; 10]));
        assert_eq!(symbols.locations.len(), Symbolizer::MOST_ADDRESSES);
        assert_eq!(
            symbolizer.intern(&"ü".repeat(LONGEST_NAME)).len(),
            LONGEST_NAME
        );
        let short = symbolizer.intern("shop");
        assert!(Arc::ptr_eq(&short, &symbolizer.intern("shop")));
    }

    #[test]
    fn without_procfs_nothing_is_known() {
        let symbols = Symbolizer::new(Path::new("/nowhere")).symbols([1]);
        assert!(symbols.mappings.is_empty());
        assert_eq!(symbols.locations[&1], Location::default());
    }
}
