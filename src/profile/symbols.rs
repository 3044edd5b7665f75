//! What the addresses of a profile mean, and how a stack reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::names::{Role, role};

/// One function at an address; several stand at one address where functions were inlined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Function {
    /// Demangled, without the hash of Rust's names: `alloc::vec::Vec<T,A>::push`.
    pub name: Arc<str>,
    /// As it stands in the symbol table.
    pub linkage_name: Arc<str>,
    /// Source file, as the compiler noted it.
    pub file: Option<Arc<str>>,
    /// Line in the source file; 0 when it is not known.
    pub line: u32,
}

/// What is known of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// Index into the mappings.
    pub mapping: Option<usize>,
    /// Virtual address of the call in the file of the mapping, as `addr2line` and `objdump` count it; absent when the file is not
    /// known.
    pub file_address: Option<u64>,
    /// Innermost inlined function first, the function that has a frame of its own last; empty when nothing is known.
    pub functions: Vec<Function>,
}

/// An executable mapping of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub limit: u64,
    /// Offset in the file of what stands at `start`.
    pub file_offset: u64,
    /// Path of the file, or `[vdso]`.
    pub path: String,
    /// GNU build id in hexadecimal; empty when the file has none or cannot be read.
    pub build_id: String,
    /// Names of functions were found for at least one address.
    pub has_functions: bool,
    /// Names of source files were found for at least one address.
    pub has_filenames: bool,
    /// Line numbers were found for at least one address.
    pub has_line_numbers: bool,
    /// Inlined functions were looked for, and found for at least one address.
    pub has_inline_frames: bool,
}

/// The symbols of one profile: by return address (as in [`Entry::stack`](super::Entry::stack)).
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    /// The mappings of the process, those of the program itself first.
    pub mappings: Vec<Mapping>,
    /// What is known of each address.
    pub locations: BTreeMap<u64, Location>,
}

/// One frame of a readable stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRef<'a> {
    /// The function; where it is not known `file+0xaddress` with the virtual address in the file, which `addr2line` understands;
    /// where not even the file is known, the address in the process.
    pub name: Cow<'a, str>,
    /// Source file.
    pub file: Option<&'a str>,
    /// Line in the source file; 0 when it is not known.
    pub line: u32,
}

impl FrameRef<'_> {
    /// The source file as a person would name it: without the folders of the machine that built it, where they are known for such.
    pub fn short_file(&self) -> Option<&str> {
        self.file.map(short_file)
    }
}

/// Cuts off where a registry, the compiler's sources or a checkout were on the machine that built the program.
pub(super) fn short_file(file: &str) -> &str {
    for (folder, levels) in [
        ("/registry/src/", 1),
        ("/git/checkouts/", 2),
        ("/rustc/", 2),
    ] {
        if let Some((_, rest)) = file.split_once(folder) {
            return rest.splitn(levels + 1, '/').last().unwrap_or(rest);
        }
    }
    // What a person works on: from the folder of the package on.
    let folders = ["/src/", "/examples/", "/tests/", "/benches/"];
    let folder = folders.iter().filter_map(|folder| file.rfind(folder)).max();
    match folder.filter(|_| file.starts_with('/')) {
        Some(at) => &file[file[..at].rfind('/').map_or(0, |slash| slash + 1)..],
        None => file.trim_start_matches("./"),
    }
}

/// As `shop::cart::add (src/cart.rs:12)`.
impl fmt::Display for FrameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match (self.short_file(), self.line) {
            (None, _) => Ok(()),
            (Some(file), 0) => write!(f, " ({file})"),
            (Some(file), line) => write!(f, " ({file}:{line})"),
        }
    }
}

/// Where a stack begins once the allocator's frames are cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Addresses to skip.
    pub(super) addresses: usize,
    /// Functions to skip at the first address that is left.
    pub(super) functions: usize,
}

impl Symbols {
    /// The stack as a reader wants it, innermost first: inlined functions are frames of their own, and the frames of the allocator
    /// are cut from the innermost end. A stack of nothing but the allocator keeps its last frame.
    pub fn readable(&self, stack: &[u64]) -> Vec<FrameRef<'_>> {
        let start = self.start(stack);
        let mut frames = Vec::new();
        for (at, &address) in stack.iter().enumerate().skip(start.addresses) {
            let functions = self.functions(address);
            if functions.is_empty() {
                frames.push(FrameRef {
                    name: Cow::Owned(self.placeholder(address)),
                    file: None,
                    line: 0,
                });
            }
            let skipped = if at == start.addresses {
                start.functions
            } else {
                0
            };
            frames.extend(functions.iter().skip(skipped).map(|function| FrameRef {
                name: Cow::Borrowed(&function.name),
                file: function.file.as_deref(),
                line: function.line,
            }));
        }
        frames
    }

    /// Index of the mapping of a return address, whether or not its symbols were looked up.
    pub fn mapping(&self, address: u64) -> Option<usize> {
        match self.locations.get(&address) {
            Some(location) => location.mapping,
            None => {
                let call = address.checked_sub(1)?;
                self.mappings
                    .iter()
                    .position(|mapping| (mapping.start..mapping.limit).contains(&call))
            }
        }
    }

    pub(super) fn functions(&self, address: u64) -> &[Function] {
        self.locations
            .get(&address)
            .map_or(&[], |location| &location.functions)
    }

    /// Behind the last frame of the allocator, as long as nothing but the standard library stands before it.
    pub(super) fn start(&self, stack: &[u64]) -> Start {
        let mut start = Start::default();
        'stack: for (addresses, &address) in stack.iter().enumerate() {
            let functions = self.functions(address);
            if functions.is_empty() {
                break;
            }
            for (at, function) in functions.iter().enumerate() {
                let next = if at + 1 < functions.len() {
                    Start {
                        addresses,
                        functions: at + 1,
                    }
                } else {
                    Start {
                        addresses: addresses + 1,
                        functions: 0,
                    }
                };
                match role(&function.name) {
                    Role::Caller => break 'stack,
                    Role::Between => {}
                    // The last frame of a stack stays, whatever it is.
                    Role::Allocator if next.addresses < stack.len() => start = next,
                    Role::Allocator => {
                        return Start {
                            addresses,
                            functions: at,
                        };
                    }
                }
            }
        }
        start
    }

    fn placeholder(&self, address: u64) -> String {
        let known = self.locations.get(&address);
        let place = known.and_then(|location| {
            let mapping = self.mappings.get(location.mapping?)?;
            Some((mapping, location.file_address?))
        });
        match place {
            Some((mapping, at)) => format!("{}+{at:#x}", file_name(&mapping.path)),
            None => format!("{address:#x}"),
        }
    }
}

/// The last part of a path, or the whole when there is none.
pub(super) fn file_name(path: &str) -> Cow<'_, str> {
    Path::new(path)
        .file_name()
        .map_or(Cow::Borrowed(path), |name| name.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_people_name_them() {
        for (file, short) in [
            ("src/cart.rs", "src/cart.rs"),
            ("./src/cart.rs", "src/cart.rs"),
            ("/home/ann/shop/src/cart.rs", "shop/src/cart.rs"),
            ("/home/ann/shop/examples/demo.rs", "shop/examples/demo.rs"),
            (
                "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tokio-1.54.1/src/task.rs",
                "tokio-1.54.1/src/task.rs",
            ),
            (
                "/rustc/59807616e1fa/library/alloc/src/vec/mod.rs",
                "alloc/src/vec/mod.rs",
            ),
        ] {
            assert_eq!(short_file(file), short);
        }
    }

    /// Symbols in which each address stands for the functions in `names`, from address 1 on.
    fn symbols(names: &[&[&str]]) -> (Symbols, Vec<u64>) {
        let mut symbols = Symbols {
            mappings: vec![Mapping {
                start: 0,
                limit: 0x1000,
                path: "/opt/shop".to_owned(),
                ..Mapping::default()
            }],
            ..Symbols::default()
        };
        for (address, names) in (1..).zip(names) {
            let functions = names
                .iter()
                .map(|name| Function {
                    name: (*name).into(),
                    linkage_name: (*name).into(),
                    file: Some("src/shop.rs".into()),
                    line: 7,
                })
                .collect();
            let location = Location {
                mapping: Some(0),
                file_address: Some(address + 0x100),
                functions,
            };
            symbols.locations.insert(address, location);
        }
        let stack = symbols.locations.keys().copied().collect();
        (symbols, stack)
    }

    fn names(names: &[&[&str]]) -> Vec<String> {
        let (symbols, stack) = symbols(names);
        symbols
            .readable(&stack)
            .into_iter()
            .map(|frame| frame.name.into_owned())
            .collect()
    }

    #[test]
    fn the_allocator_is_cut() {
        let found = names(&[
            &[
                "std::thread::local::LocalKey<T>::try_with",
                "memory_exporter::heap::sampling::take",
            ],
            &[
                "<memory_exporter::heap::allocator::Allocator<A> as core::alloc::global::GlobalAlloc>::alloc",
            ],
            &["__rustc::__rust_alloc"],
            &[
                "alloc::alloc::alloc",
                "alloc::raw_vec::finish_grow",
                "alloc::vec::Vec<T,A>::push",
                "shop::cart::Cart::add",
            ],
            &["alloc::raw_vec::finish_grow"],
            &["shop::main"],
        ]);
        let expected = [
            "alloc::vec::Vec<T,A>::push",
            "shop::cart::Cart::add",
            "alloc::raw_vec::finish_grow",
            "shop::main",
        ];
        assert_eq!(
            found, expected,
            "only the leading run is cut, also amid inlined functions"
        );
    }

    #[test]
    fn nothing_else_is_cut() {
        for stack in [
            &[&["shop::fill"][..], &["__rust_alloc"], &["shop::main"]][..],
            &[&["core::iter::Map<I,F>::next"], &["shop::main"]],
            &[&["memory_exporter::exposition::text::write", "shop::main"]],
            &[&[], &["__rust_alloc"], &["shop::main"]],
        ] {
            let all: usize = stack.iter().map(|functions| functions.len().max(1)).sum();
            assert_eq!(names(stack).len(), all, "{stack:?}");
        }
    }

    #[test]
    fn no_stack_is_cut_to_nothing() {
        assert_eq!(
            names(&[
                &["__rust_alloc"],
                &["alloc::alloc::alloc", "alloc::raw_vec::finish_grow"]
            ]),
            ["alloc::raw_vec::finish_grow"]
        );
        assert_eq!(names(&[&["__rust_alloc"]]), ["__rust_alloc"]);
        assert_eq!(
            names(&[&["__rust_alloc"], &["core::f", "std::g"]]),
            ["core::f", "std::g"]
        );
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn what_is_not_known_can_still_be_looked_up() {
        let (mut symbols, _) = symbols(&[&["shop::fill"], &[]]);
        symbols.locations.insert(3, Location::default());
        let frames = symbols.readable(&[1, 2, 3, 4]);
        let text: Vec<_> = frames.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            ["shop::fill (src/shop.rs:7)", "shop+0x102", "0x3", "0x4"]
        );
    }

    #[test]
    fn mappings_are_found_without_symbols() {
        let (symbols, _) = symbols(&[]);
        assert_eq!(symbols.mapping(0), None);
        assert_eq!(symbols.mapping(1), Some(0));
        assert_eq!(
            symbols.mapping(0x1000),
            Some(0),
            "the call before lies in it"
        );
        assert_eq!(symbols.mapping(0x1001), None);
    }
}
