//! What the name of a function tells: whose it is, and whether it belongs to the program at all.
//!
//! Names come demangled, in three dialects: Rust's legacy scheme (`<shop::Cart as core::clone::Clone>::clone`, generic arguments of
//! functions lost), its v0 scheme (`shop::fill::<u8>`, `{closure#0}`) and C++ (`void shop::fill<int>(int)`). All are first reduced to
//! plain path segments, by these rules:
//!
//! - generic arguments, parameters, return types and crate disambiguators are dropped;
//! - a method of `<T as Trait>` belongs to `T`; where `T` is a primitive, a slice, a tuple, a pointer or a type parameter, to `Trait`;
//! - a method of `path::<impl Trait for T>` belongs to `path`, where the block stands;
//! - a closure belongs to the function that it is written in.

/// Crates that are never the answer to "whose memory is this?": their frames stand between a program and what it does. Containers
/// are among them, since what they hold is their owner's. A library that a program calls for a result, such as a parser or a client,
/// is not, even if it is as common as `serde_json`: it decides how much it builds. `serde` is, since its code runs inside the
/// program's own types.
const RUNTIME_CRATES: &[&str] = &[
    // Rust's own, and what is built into its standard library. C++'s is `std` too.
    "addr2line",
    "alloc",
    "backtrace",
    "compiler_builtins",
    "core",
    "core_arch",
    "core_simd",
    "gimli",
    "miniz_oxide",
    "object",
    "panic_abort",
    "panic_unwind",
    "proc_macro",
    "rustc_demangle",
    "std",
    "std_detect",
    "test",
    "__rustc",
    "__cxxabiv1",
    "__gnu_cxx",
    // Runtimes.
    "actix_rt",
    "async_executor",
    "async_global_executor",
    "async_io",
    "async_std",
    "async_task",
    "blocking",
    "event_listener",
    "mio",
    "polling",
    "rayon",
    "rayon_core",
    "smol",
    "tokio",
    "tokio_stream",
    "tokio_util",
    // Plumbing.
    "async_trait",
    "h2",
    "http",
    "http_body",
    "http_body_util",
    "httparse",
    "hyper",
    "hyper_util",
    "lock_api",
    "log",
    "once_cell",
    "parking_lot",
    "parking_lot_core",
    "pin_project",
    "pin_project_lite",
    "pin_utils",
    "scopeguard",
    "serde",
    "serde_core",
    "tracing",
    "tracing_core",
    // Containers.
    "arrayvec",
    "bytes",
    "dashmap",
    "either",
    "hashbrown",
    "indexmap",
    "itertools",
    "slab",
    "smallvec",
    "tinyvec",
];

/// Families of crates that belong to the same list.
const RUNTIME_FAMILIES: &[&str] = &["crossbeam", "futures", "tower"];

/// Crates that wrap an allocator.
const ALLOCATOR_CRATES: &[&str] = &[
    "jemalloc_sys",
    "jemallocator",
    "libmimalloc_sys",
    "mimalloc",
    "snmalloc_rs",
    "tikv_jemalloc_sys",
    "tikv_jemallocator",
];

/// Functions without a path that belong to an allocator: by their name, or by how it begins.
const ALLOCATOR_FUNCTIONS: &[&str] = &[
    "aligned_alloc",
    "calloc",
    "malloc",
    "memalign",
    "posix_memalign",
    "realloc",
    "reallocarray",
];
const ALLOCATOR_PREFIXES: &[&str] = &[
    "__libc_calloc",
    "__libc_malloc",
    "__libc_memalign",
    "__libc_realloc",
    "__rdl_",
    "__rg_",
    "__rust_alloc",
    "__rust_realloc",
    "_rjem_",
    "je_",
    "mi_",
];

/// Functions without a path that start or carry a program, `main` being the C function in front of Rust's.
const RUNTIME_FUNCTIONS: &[&str] = &[
    "__clone",
    "__clone3",
    "_start",
    "clone",
    "clone3",
    "main",
    "rust_begin_unwind",
    "rust_eh_personality",
    "rust_panic",
    "start_thread",
];
const RUNTIME_PREFIXES: &[&str] = &["_Unwind_", "__libc_start", "__rust_", "_dl_", "unw_"];

/// Stands in a path for a closure, and for whatever else has no name.
const UNNAMED: &str = "{}";
/// Types in types in types, deeper than which a name is not followed.
const DEEPEST: usize = 8;

/// Part that a function plays in an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Allocates, or makes a vector grow: of no interest to who wants to know who asked for memory.
    Allocator,
    /// The standard library and the unwinder, which may stand among allocator functions but also above them.
    Between,
    /// Everybody else.
    Caller,
}

/// Whether the compiler makes the function, in the crate of the program: one that leads to the global allocator.
pub(super) fn is_generated(name: &str) -> bool {
    starts_with_any(name, &["__rdl_", "__rg_", "__rust_"])
}

/// The part that a function plays in an allocation.
pub(super) fn role(name: &str) -> Role {
    if name.starts_with("operator new")
        || name.contains(" as core::alloc::global::GlobalAlloc>::")
        || name.contains("<impl core::alloc::global::GlobalAlloc for ")
        || name.contains(" as core::alloc::Allocator>::")
    {
        return Role::Allocator;
    }
    match segments(name).as_slice() {
        [function] if is_allocator_function(function) => Role::Allocator,
        [function] if starts_with_any(function, RUNTIME_PREFIXES) => Role::Between,
        ["__rustc", function] if is_allocator_function(function) => Role::Allocator,
        ["memory_exporter", "heap", _, ..]
        | ["alloc", "alloc" | "raw_vec", _, ..]
        | ["core" | "std", "alloc", _, ..]
        | ["std", "sys" | "sys_common", "alloc", ..]
        | ["alloc", "boxed", "box_new_uninit"]
        | ["hashbrown", "raw", "alloc", ..] => Role::Allocator,
        [name, _, ..] if ALLOCATOR_CRATES.contains(name) => Role::Allocator,
        ["core" | "std" | "backtrace", _, ..] => Role::Between,
        _ => Role::Caller,
    }
}

/// Whether a function belongs to the standard library, an allocator, or a crate that only stands between a program and what it does:
/// asynchronous runtimes, plumbing of HTTP and of futures, and containers.
pub fn is_runtime(name: &str) -> bool {
    role(name) == Role::Allocator
        || match segments(name).as_slice() {
            [] => false,
            [function] => {
                RUNTIME_FUNCTIONS.contains(function) || starts_with_any(function, RUNTIME_PREFIXES)
            }
            [name, ..] => is_runtime_crate(name),
        }
}

fn is_runtime_crate(name: &str) -> bool {
    RUNTIME_CRATES.contains(&name)
        || RUNTIME_FAMILIES.iter().any(|family| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
}

/// Crate and top module of a function, as in `leaky_service::cache` for `leaky_service::cache::Cache::page`; the crate alone when the
/// function or its type stands at the crate's root. `None` for names without a path, such as those of C.
///
/// A name does not tell modules from functions, so a function inside another counts as in a module of that name.
pub fn crate_and_module(name: &str) -> Option<String> {
    let path = segments(name);
    let (&root, rest) = path.split_first()?;
    match rest {
        [] => None,
        [module, next, ..] if *next != UNNAMED && is_module(module) => {
            Some(format!("{root}::{module}"))
        }
        _ => Some(root.to_owned()),
    }
}

/// The crate in which a function is written, if the name tells it for certain and it is not a runtime crate. That of a method of
/// `<T as Trait>` may be the one of the type or of the trait; where one of them is a runtime crate, it is the other.
pub(super) fn written_in(name: &str) -> Option<&str> {
    let path = segments(name);
    let [root, _, ..] = path.as_slice() else {
        return None;
    };
    let of_trait = split(name, "::")
        .next()
        .and_then(|first| first.strip_prefix('<'))
        .and_then(|inner| cut(inner, " as "))
        .and_then(|(_, of_trait)| segments(of_trait).first().copied());
    let crate_name = match of_trait {
        None => *root,
        Some(of_trait) if of_trait == *root || is_runtime_crate(of_trait) => *root,
        Some(of_trait) if is_runtime_crate(root) => of_trait,
        Some(_) => return None,
    };
    (!is_runtime_crate(crate_name)).then_some(crate_name)
}

fn is_module(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_lowercase() || first == '_')
}

fn is_allocator_function(name: &str) -> bool {
    ALLOCATOR_FUNCTIONS.contains(&name) || starts_with_any(name, ALLOCATOR_PREFIXES)
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The plain path of a function, by the rules above.
pub(in crate::profile) fn segments(name: &str) -> Vec<&str> {
    let mut path = Vec::new();
    let (name, operator) = without_signature(name);
    walk(name, &mut path, DEEPEST);
    path.extend(operator.then_some("operator"));
    path
}

/// Cuts what C++ puts around a path: parameters behind it, the return type before it. Operators, whose names have brackets and
/// spaces of their own, are cut too, and reported.
fn without_signature(name: &str) -> (&str, bool) {
    let operator = name.match_indices("operator").map(|(at, _)| at).find(|at| {
        let (before, behind) = name.split_at(*at);
        let starts = before.is_empty() || before.ends_with("::") || before.ends_with(' ');
        starts
            && !behind["operator".len()..]
                .starts_with(|next: char| next == '_' || next.is_alphanumeric() || next == ':')
    });
    let name = operator.map_or(name, |at| &name[..at]);
    let parameters = top_level(name).find(|&(at, byte)| {
        byte == b'(' && at > 0 && !name[at..].starts_with("(anonymous namespace)")
    });
    let name = parameters.map_or(name, |(at, _)| &name[..at]);
    let path = top_level(name).filter(|&(_, byte)| byte == b' ').last();
    (
        path.map_or(name, |(at, _)| &name[at + 1..]),
        operator.is_some(),
    )
}

/// Appends the segments of a path.
fn walk<'a>(name: &'a str, path: &mut Vec<&'a str>, deepest: usize) {
    for part in split(name, "::") {
        // Legacy names that begin with a bracket carry an underscore before it.
        let bracketed = part.strip_prefix('_').unwrap_or(part).strip_prefix('<');
        if let Some(inner) = bracketed {
            // Elsewhere than in front it is an `impl` block or generic arguments.
            if path.is_empty() {
                let inner = inner.strip_suffix('>').unwrap_or(inner);
                qualified(inner, path, deepest);
            }
        } else if part.starts_with('{') {
            path.push(UNNAMED);
        } else if let Some(plain) = part.split(['<', '(', '[', '{', '@']).next()
            && !plain.is_empty()
            && plain != "_"
        {
            path.push(plain);
        }
    }
}

/// Appends the segments of what stands in `<T as Trait>`, `<impl Trait for T>` or `<T>`.
fn qualified<'a>(inner: &'a str, path: &mut Vec<&'a str>, deepest: usize) {
    let (subject, of_trait) = match inner.strip_prefix("impl ") {
        Some(block) => match cut(block, " for ") {
            Some((of_trait, subject)) => (subject, Some(of_trait)),
            None => (block, None),
        },
        None => match cut(inner, " as ") {
            Some((subject, of_trait)) => (subject, Some(of_trait)),
            None => (inner, None),
        },
    };
    let subject = named(subject).filter(|subject| cut(subject, "::").is_some());
    match subject.or(of_trait) {
        Some(owner) if deepest > 0 => walk(owner, path, deepest - 1),
        _ => path.push("core"),
    }
}

/// The type behind references and `dyn`; `None` for slices, tuples, pointers and functions.
fn named(subject: &str) -> Option<&str> {
    let mut subject = subject.trim();
    loop {
        let inner = subject
            .strip_prefix('&')
            .or_else(|| subject.strip_prefix("mut "))
            .or_else(|| subject.strip_prefix("dyn "))
            .or_else(|| {
                subject
                    .strip_prefix('\'')
                    .and_then(|lifetime| lifetime.split_once(' '))
                    .map(|(_, subject)| subject)
            });
        match inner {
            Some(inner) => subject = inner,
            None => break,
        }
    }
    let subject = cut(subject, " + ").map_or(subject, |(first, _)| first);
    let is_function = ["fn(", concat!("un", "safe "), "extern "]
        .iter()
        .any(|prefix| subject.starts_with(prefix));
    (!is_function && !subject.starts_with(['*', '[', '(', '!'])).then_some(subject)
}

/// The two sides of the first separator outside of brackets.
fn cut<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let (at, _) = top_level(text).find(|&(at, _)| text[at..].starts_with(separator))?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// The parts between separators outside of brackets.
fn split<'a>(text: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, behind) = match cut(text, separator) {
            Some((part, behind)) => (part, Some(behind)),
            None => (text, None),
        };
        rest = behind;
        Some(part)
    })
}

/// The ASCII bytes outside of all brackets, opening ones included, with their positions.
fn top_level(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut depth = 0_usize;
    let mut previous = 0;
    text.bytes().enumerate().filter(move |&(_, byte)| {
        let outside = depth == 0;
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if previous == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        previous = byte;
        outside && byte.is_ascii()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_and_modules() {
        for (name, expected) in [
            ("leaky_service::cache::Cache::page", "leaky_service::cache"),
            ("shop::fill", "shop"),
            ("shop::main::{{closure}}", "shop"),
            ("shop::run::{{closure}}::{{closure}}", "shop"),
            ("shop::main::{closure#0}", "shop"),
            ("shop::cart::Cart::add::{closure#1}", "shop::cart"),
            ("shop::Cart::add", "shop"),
            ("a::b::c", "a::b"),
            ("a::b::c::D::e", "a::b"),
            (
                "<shop::cart::Cart as core::clone::Clone>::clone",
                "shop::cart",
            ),
            ("<shop::cart::Cart>::add", "shop::cart"),
            (
                "<&mut shop::cart::Cart as core::fmt::Debug>::fmt",
                "shop::cart",
            ),
            (
                "<&'a shop::cart::Cart as core::fmt::Debug>::fmt",
                "shop::cart",
            ),
            (
                "<dyn shop::cart::Item + core::marker::Send>::name",
                "shop::cart",
            ),
            (
                "<alloc::vec::Vec<shop::Item> as core::clone::Clone>::clone",
                "alloc::vec",
            ),
            ("<alloc::vec::Vec<T> as shop::Basket>::f", "alloc::vec"),
            ("<T as shop::cart::Basket>::f", "shop::cart"),
            ("<u8 as shop::cart::Basket>::f", "shop::cart"),
            (
                "<[shop::Item] as alloc::slice::Concat<T>>::concat",
                "alloc::slice",
            ),
            (
                "<(shop::A,shop::B) as core::clone::Clone>::clone",
                "core::clone",
            ),
            ("<[shop::Item]>::to_vec", "core"),
            (
                "<fn(shop::A) -> shop::B as core::ops::FnOnce>::call_once",
                "core::ops",
            ),
            (
                "<shop::run::{{closure}} as core::ops::FnOnce<()>>::call_once",
                "shop",
            ),
            ("<impl core::fmt::Debug for shop::X>::fmt", "shop"),
            ("<impl shop::cart::Cart>::add", "shop::cart"),
            ("shop::cart::<impl shop::Cart>::add", "shop::cart"),
            ("shop::cart::_<impl shop::Cart>::add", "shop::cart"),
            (
                "_<shop::cart::Cart as core::clone::Clone>::clone",
                "shop::cart",
            ),
            (
                "shop::_::<impl serde::de::Deserialize for shop::Order>::deserialize",
                "shop",
            ),
            ("core::ptr::drop_in_place<shop::cart::Cart>", "core::ptr"),
            (
                "core::ptr::drop_in_place::<alloc::vec::Vec<shop::Item>>",
                "core::ptr",
            ),
            ("shop::cart::fill::<u8>", "shop::cart"),
            ("shop::fill::<alloc::vec::Vec<a::b::C>>", "shop"),
            ("shop::apply::<fn(u8) -> a::b::C>", "shop"),
            ("shop[1f2e3d4c]::cart[0]::fill", "shop::cart"),
            (
                "core::ops::function::FnOnce::call_once{{vtable.shim}}",
                "core::ops",
            ),
            (
                "<<shop::cart::Cart as shop::Owner>::Item as core::clone::Clone>::clone",
                "shop::cart",
            ),
            ("ns::Class::method", "ns"),
            (
                "ns::inner::Class::method(int, std::string const&)",
                "ns::inner",
            ),
            (
                "void ns::fill<std::pair<int, a::B>>(std::vector<int>&)",
                "ns",
            ),
            (
                "bool ns::inner::operator<<int>(a::B const&, a::B const&)",
                "ns::inner",
            ),
            ("ns::Class::operator new(unsigned long)", "ns"),
            ("ns::Class::operator()(int) const", "ns"),
            ("ns::(anonymous namespace)::fill(int)", "ns"),
            ("Class::method(a::B)", "Class"),
            ("shop::operators::add", "shop::operators"),
            ("shop::operator::add", "shop::operator"),
        ] {
            assert_eq!(crate_and_module(name).as_deref(), Some(expected), "{name}");
        }
        for name in [
            "",
            "foo",
            "foo(a::B*)",
            "malloc",
            "shop+0x1a2b3c",
            "0x55d0",
            "::",
            "<",
        ] {
            let found = crate_and_module(name);
            assert!(found.is_none() || name == "<", "{name}: {found:?}");
        }
    }

    #[test]
    fn runtime() {
        for name in [
            "core::ptr::drop_in_place<shop::Cart>",
            "<alloc::vec::Vec<shop::Item> as core::clone::Clone>::clone",
            "<alloc::vec::Vec<T,A> as alloc::vec::spec_extend::SpecExtend<T,I>>::spec_extend",
            "<I as core::iter::traits::collect::IntoIterator>::into_iter",
            "std::rt::lang_start::{{closure}}",
            "std::vector<shop::Item>::push_back(shop::Item&&)",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
            "compiler_builtins::mem::memcpy",
            "__libc_start_main",
            "__libc_start_call_main",
            "_start",
            "main",
            "start_thread",
            "__rust_begin_short_backtrace",
            "__rustc::__rust_alloc",
            "_Unwind_Backtrace",
            "malloc",
            "_rjem_malloc",
            "operator new(unsigned long)",
            "tikv_jemallocator::Jemalloc::layout",
            "<memory_exporter::heap::allocator::Allocator<A> as core::alloc::global::GlobalAlloc>::alloc",
            "tokio::runtime::task::raw::poll",
            "<tokio::sync::mutex::Mutex<shop::Cart>>::lock",
            "hyper_util::rt::tokio::TokioExecutor::new",
            "futures::future::join",
            "<futures_util::future::Map<Fut,F> as core::future::Future>::poll",
            "crossbeam_channel::flavors::list::Channel<T>::send",
            "tower_http::trace::Trace<S>::call",
            "serde::de::impls::visit",
        ] {
            assert!(is_runtime(name), "{name}");
        }
        for name in [
            "shop::fill",
            "<shop::cart::Cart as serde::de::Deserialize>::deserialize",
            "shop::core::fill",
            "memory_exporter::exposition::text::write",
            "serde_json::de::from_slice",
            "futuristic::run",
            "towers::build",
            "foo",
            "main_loop",
            "shop+0x1a2b3c",
            "",
        ] {
            assert!(!is_runtime(name), "{name}");
        }
    }

    #[test]
    fn crates_where_functions_are_written() {
        for (name, expected) in [
            ("shop::cart::fill", Some("shop")),
            ("<shop::cart::Cart>::add", Some("shop")),
            ("<shop::Cart as core::clone::Clone>::clone", Some("shop")),
            ("<shop::Cart as shop::Basket>::add", Some("shop")),
            ("<alloc::vec::Vec<T> as shop::Basket>::add", Some("shop")),
            ("<T as shop::Basket>::add", Some("shop")),
            ("<a::B as c::D>::e", None),
            (
                "<alloc::vec::Vec<shop::Cart> as core::clone::Clone>::clone",
                None,
            ),
            ("core::ptr::drop_in_place<shop::Cart>", None),
            ("__rustc::__rust_alloc", None),
            ("main", None),
        ] {
            assert_eq!(written_in(name), expected, "{name}");
        }
    }

    #[test]
    fn roles() {
        for (name, expected) in [
            ("memory_exporter::heap::sampling::take", Role::Allocator),
            (
                "<memory_exporter::heap::allocator::Allocator<A> as core::alloc::global::GlobalAlloc>::alloc",
                Role::Allocator,
            ),
            (
                "<shop::Counting as core::alloc::global::GlobalAlloc>::realloc",
                Role::Allocator,
            ),
            (
                "core::alloc::global::GlobalAlloc::alloc_zeroed",
                Role::Allocator,
            ),
            (
                "std::sys::alloc::unix::<impl core::alloc::global::GlobalAlloc for std::alloc::System>::alloc",
                Role::Allocator,
            ),
            ("__rust_alloc", Role::Allocator),
            ("__rust_alloc_zeroed", Role::Allocator),
            ("__rust_realloc", Role::Allocator),
            ("__rustc::__rust_alloc", Role::Allocator),
            ("__rustc[5f7a]::__rust_realloc", Role::Allocator),
            ("__rdl_alloc", Role::Allocator),
            ("__rg_realloc", Role::Allocator),
            ("_rjem_je_malloc_default", Role::Allocator),
            ("je_arena_malloc_hard", Role::Allocator),
            ("alloc::alloc::exchange_malloc", Role::Allocator),
            ("alloc::alloc::Global::alloc_impl", Role::Allocator),
            (
                "<alloc::alloc::Global as core::alloc::Allocator>::grow",
                Role::Allocator,
            ),
            ("alloc::raw_vec::finish_grow", Role::Allocator),
            (
                "alloc::raw_vec::RawVecInner<A>::with_capacity_in",
                Role::Allocator,
            ),
            ("<alloc::raw_vec::RawVec<u8>>::grow_one", Role::Allocator),
            ("alloc::boxed::box_new_uninit", Role::Allocator),
            ("hashbrown::raw::alloc::inner::do_alloc", Role::Allocator),
            ("operator new(unsigned long)", Role::Allocator),
            ("core::result::Result<T,E>::map_err", Role::Between),
            ("std::thread::local::LocalKey<T>::try_with", Role::Between),
            ("_Unwind_Backtrace", Role::Between),
            ("alloc::vec::Vec<T,A>::push", Role::Caller),
            ("alloc::boxed::Box<T>::new", Role::Caller),
            ("memory_exporter::exposition::text::write", Role::Caller),
            ("memory_exporter::heap", Role::Caller),
            (
                "<memory_exporter::snapshot::Snapshot as core::clone::Clone>::clone",
                Role::Caller,
            ),
            ("shop::alloc::alloc", Role::Caller),
            ("shop::fill", Role::Caller),
            ("jet_engine", Role::Caller),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }

    #[test]
    fn no_name_is_too_strange() {
        let deep = format!("{}T{}", "<".repeat(10_000), ">::f".repeat(10_000));
        let nested = (0..100).fold("a::B".to_owned(), |name, _| format!("<{name} as c::D>::e"));
        for name in [
            deep.as_str(),
            &nested,
            "<impl ",
            "<impl  for >::x",
            "< as >::",
            "<'a",
            "->>>>::f",
            "operator",
            "ns::operator",
            "é::ü::ß",
            "((((",
            "_",
            "_<",
            "{}::{}",
        ] {
            let _ = (role(name), is_runtime(name), crate_and_module(name));
        }
    }
}
