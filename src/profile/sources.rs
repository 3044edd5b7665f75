//! Where a function is written, by its source file: for names that do not tell.
//!
//! With `debug = "line-tables-only"`, the compiler gives inlined functions their bare names, such as `push<u8>`, without crate,
//! module and type. Crate and module follow from the path of the source file. What stands before `src` names the package, which is
//! surest for the standard library (`/library/alloc/src`) and for what comes from a registry (`hyper-1.12.0/src`). A folder that is
//! not from there may be called anything: functions of it whose names do tell say which crate it holds.

use std::collections::HashMap;

/// Which crates stand in which folders, as far as names told.
#[derive(Debug, Default)]
pub(super) struct Sources {
    crates: HashMap<String, String>,
}

/// What the path of a source file says.
#[derive(Debug, PartialEq, Eq)]
struct Source<'a> {
    /// Folder of the package.
    folder: &'a str,
    /// Crate by the name of the folder or of the target.
    crate_name: String,
    /// The name of the crate is certain.
    certain: bool,
    modules: Vec<&'a str>,
}

impl Sources {
    /// Most folders that are remembered.
    const MOST: usize = 1_024;

    /// Remembers that a function of `crate_name` is written in `file`.
    pub(super) fn learn(&mut self, crate_name: &str, file: &str) {
        if let Some(source) = Source::of(file)
            && !source.certain
            && !self.crates.contains_key(source.folder)
            && self.crates.len() < Self::MOST
        {
            self.crates
                .insert(source.folder.to_owned(), crate_name.to_owned());
        }
    }

    /// The name of a function of `file` with crate and modules before it.
    pub(super) fn qualify(&self, name: &str, file: &str) -> Option<String> {
        let source = Source::of(file)?;
        let root = self.crates.get(source.folder).unwrap_or(&source.crate_name);
        let is_identifier = |text: &str| {
            text.starts_with(|first: char| first == '_' || first.is_alphabetic())
                && text
                    .chars()
                    .all(|letter| letter == '_' || letter.is_alphanumeric())
        };
        if !is_identifier(root) || !source.modules.iter().all(|module| is_identifier(module)) {
            return None;
        }
        let path: Vec<_> = std::iter::once(root.as_str())
            .chain(source.modules)
            .chain([name])
            .collect();
        Some(path.join("::"))
    }
}

impl<'a> Source<'a> {
    fn of(file: &'a str) -> Option<Self> {
        let library = file
            .rsplit_once("/src/")
            .or_else(|| file.strip_prefix("src/").map(|within| ("", within)));
        let kinds = ["src/bin/", "examples/", "benches/", "tests/"];
        // Modules for tests are often called so too.
        let kinds = &kinds[..kinds.len() - usize::from(library.is_some())];
        let target = kinds
            .iter()
            .filter_map(|kind| file.rsplit_once(kind))
            .filter(|(folder, _)| folder.is_empty() || folder.ends_with('/'))
            .max_by_key(|(folder, _)| folder.len());
        match (library, target) {
            (Some((folder, within)), None) => Self::of_library(folder, within),
            (Some((package, within)), Some((folder, _))) if package.len() > folder.len() => {
                Self::of_library(package, within)
            }
            (_, Some((folder, within))) => Self::of_target(folder, within),
            (None, None) => None,
        }
    }

    fn of_library(folder: &'a str, within: &'a str) -> Option<Self> {
        let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        let package = without_version(name);
        Some(Self {
            folder,
            crate_name: package.unwrap_or(name).replace('-', "_"),
            certain: package.is_some() || parent.ends_with("/library"),
            modules: modules(within)?,
        })
    }

    /// Examples, tests and further programs: a file, or a folder with a `main.rs`, is a crate of its own.
    fn of_target(folder: &'a str, within: &'a str) -> Option<Self> {
        let path = modules(within)?;
        let (name, modules) = path.split_first()?;
        Some(Self {
            folder,
            crate_name: name.replace('-', "_"),
            certain: true,
            modules: modules.to_vec(),
        })
    }
}

/// `hyper` for `hyper-1.12.0`.
fn without_version(folder: &str) -> Option<&str> {
    folder
        .match_indices('-')
        .find(|(at, _)| {
            let version = &folder[at + 1..];
            version.starts_with(|first: char| first.is_ascii_digit()) && version.contains('.')
        })
        .map(|(at, _)| &folder[..at])
}

/// `a::b` for `a/b.rs` and `a/b/mod.rs`, none for `lib.rs` and `main.rs`; `None` when it is no source file of Rust.
fn modules(within: &str) -> Option<Vec<&str>> {
    let mut modules: Vec<_> = within.strip_suffix(".rs")?.split('/').collect();
    if matches!(modules.last(), Some(&("mod" | "lib" | "main"))) {
        modules.pop();
    }
    Some(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_source_files() {
        let mut sources = Sources::default();
        sources.learn("shop", "/home/me/src/checkout-7/src/main.rs");
        sources.learn("other", "/home/me/src/checkout-7/src/cart.rs");
        sources.learn("wrong", "/rustc/5980/library/alloc/src/vec/mod.rs");
        sources.learn("wrong", "/reg/index-19/hyper-1.12.0/src/lib.rs");
        for (file, expected) in [
            (
                "/rustc/5980/library/alloc/src/raw_vec/mod.rs",
                Some("alloc::raw_vec::f<u8>"),
            ),
            (
                "/rustc/5980/library/core/src/ptr.rs",
                Some("core::ptr::f<u8>"),
            ),
            (
                "/rust/deps/hashbrown-0.16.1/src/raw/mod.rs",
                Some("hashbrown::raw::f<u8>"),
            ),
            (
                "/reg/index-19/hyper-util-0.1.21/src/rt/tokio.rs",
                Some("hyper_util::rt::tokio::f<u8>"),
            ),
            (
                "/reg/index-19/x-y-1.0.0-rc.1/src/lib.rs",
                Some("x_y::f<u8>"),
            ),
            (
                "/home/me/src/checkout-7/src/cart.rs",
                Some("shop::cart::f<u8>"),
            ),
            (
                "/home/me/src/checkout-7/src/cart/mod.rs",
                Some("shop::cart::f<u8>"),
            ),
            ("/home/me/src/checkout-7/src/main.rs", Some("shop::f<u8>")),
            (
                "/home/me/src/ware-house/src/lib.rs",
                Some("ware_house::f<u8>"),
            ),
            (
                "/home/me/src/checkout-7/src/bin/fill-up.rs",
                Some("fill_up::f<u8>"),
            ),
            (
                "/home/me/src/checkout-7/examples/fill.rs",
                Some("fill::f<u8>"),
            ),
            ("/home/me/checkout-7/tests/it/main.rs", Some("it::f<u8>")),
            (
                "/home/me/checkout-7/tests/it/push.rs",
                Some("it::push::f<u8>"),
            ),
            (
                "/home/me/ware-house/src/stock/tests/all.rs",
                Some("ware_house::stock::tests::all::f<u8>"),
            ),
            ("examples/fill.rs", Some("fill::f<u8>")),
            ("src/cart.rs", None),
            ("/home/me/src/checkout-7/tests/it.rs", None),
            ("/home/me/src/7/src/cart.rs", None),
            ("/home/me/src/shop/src/my cart.rs", None),
            ("./nptl/libc_start_call_main.h", None),
            ("/usr/src/zlib/deflate.c", None),
            ("/examples/main.rs", None),
            ("", None),
        ] {
            assert_eq!(
                sources.qualify("f<u8>", file).as_deref(),
                expected,
                "{file}"
            );
        }
    }

    #[test]
    fn relative_paths_are_learnt_too() {
        let mut sources = Sources::default();
        sources.learn("shop", "src/main.rs");
        assert_eq!(
            sources.qualify("f", "src/cart.rs").as_deref(),
            Some("shop::cart::f")
        );
    }
}
