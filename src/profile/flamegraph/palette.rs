//! Which colour a function gets: the names of classes in `flamegraph.css`.
//!
//! Frames of one crate share a hue and frames of one module a shade of it, so the eye finds the program's own code; the standard
//! library, runtimes and foreign code are greyer, because they are seldom the answer.

use std::fmt;

use crate::profile::folded::function;
use crate::profile::names::{is_runtime, segments};

/// The standard library and what the compiler adds.
const STANDARD: &[&str] = &["std", "core", "alloc", "rustc", "hashbrown", "backtrace"];

/// Hues in the style sheet.
const HUES: u32 = 10;

/// A colour of a frame, shown as the class that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    /// The hue of a crate, and whether its module takes the paler shade.
    Crate { hue: u32, pale: bool },
    /// A runtime or framework.
    Runtime,
    /// The standard library.
    Standard,
    /// No crate in the name: C, the kernel's entry points, bare addresses.
    Foreign,
}

impl Colour {
    /// The colour of a frame.
    pub(super) fn of(frame: &str) -> Self {
        let name = function(frame);
        match segments(name).as_slice() {
            [name, _, ..] if STANDARD.contains(name) => Self::Standard,
            [_, _, ..] if is_runtime(name) => Self::Runtime,
            [name, next, ..] => Self::Crate {
                hue: hash(name) % HUES,
                pale: hash(next) % 2 == 1,
            },
            _ => Self::Foreign,
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crate { hue, pale: false } => write!(f, "c{hue}"),
            Self::Crate { hue, pale: true } => write!(f, "c{hue} pale"),
            Self::Runtime => f.write_str("runtime"),
            Self::Standard => f.write_str("std"),
            Self::Foreign => f.write_str("foreign"),
        }
    }
}

/// FNV-1a: the same in every process, which the standard library's hasher is not.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_crate_one_hue_and_the_program_stands_out() {
        let hue = |name| match Colour::of(name) {
            Colour::Crate { hue, .. } => Some(hue),
            _ => None,
        };
        assert!(hue("shop::a::f").is_some());
        assert_eq!(
            hue("shop::a::f"),
            hue("<shop::b::C as std::io::Read>::read")
        );
        assert_eq!(Colour::of("shop::a::f"), Colour::of("shop::a::g::h"));
        assert_eq!(
            Colour::of("shop::a::f"),
            Colour::of("shop::a::f (shop/src/a.rs:7)")
        );
        assert_eq!(Colour::of("tokio::runtime::park::run"), Colour::Runtime);
        assert_eq!(Colour::of("alloc::vec::Vec<T>::push"), Colour::Standard);
        assert_eq!(Colour::of("__libc_start_main"), Colour::Foreign);
    }
}
