//! Folded stacks: call paths with one value each, and the text format that every flame graph tool reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::names::{is_runtime, segments};

/// Stacks with one value each; the frames of a stack stand root first.
///
/// Collecting merges equal stacks: their values are added, and what comes to 0 is left out. The text form
/// ([`Display`](fmt::Display)) is one line per stack, `main;serve;insert 4096`, sorted. There `;` inside a name becomes `:`,
/// control characters become spaces, and a stack without frames reads `[no stack]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// Frames, root first, and the value of the stack. May hold a stack twice when not collected; its readers add the values.
    pub stacks: Vec<(Vec<Arc<str>>, i64)>,
}

impl Folded {
    /// What changed from `earlier` to this: grown stacks have positive values, shrunk ones negative, the rest is left out.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier
            .stacks
            .iter()
            .map(|(frames, value)| (frames.clone(), value.saturating_neg()));
        self.stacks.iter().cloned().chain(before).collect()
    }
}

/// How much of a stack is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frames {
    /// Runs of runtime frames between a program's own frames, and above them, become one that names the crates: `... std, tokio`.
    #[default]
    Condensed,
    /// All.
    All,
}

/// Shortest run of runtime frames that is worth replacing.
const SHORTEST_RUN: usize = 3;

impl Frames {
    /// The frames to show of a stack, root first. The innermost run is never condensed: it says how the memory was asked for.
    pub fn of(self, frames: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let is_own = |frame: &Arc<str>| !is_runtime(function(frame));
        let Some(last_own) = frames.iter().rposition(is_own) else {
            return frames;
        };
        if self == Self::All {
            return frames;
        }
        let (outer, inner) = frames.split_at(last_own);
        let mut shown = Vec::with_capacity(frames.len());
        for run in outer.chunk_by(|a, b| is_own(a) == is_own(b)) {
            match run {
                [first, ..] if run.len() >= SHORTEST_RUN && !is_own(first) => {
                    shown.push(condensed(run));
                }
                _ => shown.extend_from_slice(run),
            }
        }
        shown.extend_from_slice(inner);
        shown
    }
}

fn condensed(run: &[Arc<str>]) -> Arc<str> {
    let crates: BTreeSet<&str> = run
        .iter()
        .filter_map(|frame| match segments(function(frame)).as_slice() {
            [name, _, ..] => Some(*name),
            _ => None,
        })
        .collect();
    let crates: Vec<&str> = crates.into_iter().collect();
    format!("... {}", crates.join(", ")).into()
}

/// The function of a frame that is shown with its file and line.
pub(super) fn function(frame: &str) -> &str {
    frame
        .rsplit_once(" (")
        .map_or(frame, |(function, _)| function)
}

impl FromIterator<(Vec<Arc<str>>, i64)> for Folded {
    fn from_iter<I: IntoIterator<Item = (Vec<Arc<str>>, i64)>>(stacks: I) -> Self {
        let stacks = merged(stacks).collect();
        Self { stacks }
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Merged as text: names that differ only in what the format cannot carry are one stack for every reader.
        let lines = self
            .stacks
            .iter()
            .map(|(frames, value)| (line(frames), *value));
        merged(lines).try_for_each(|(line, value)| writeln!(f, "{line} {value}"))
    }
}

fn merged<K: Ord>(stacks: impl IntoIterator<Item = (K, i64)>) -> impl Iterator<Item = (K, i64)> {
    let mut sums = BTreeMap::<K, i64>::new();
    for (stack, value) in stacks {
        let sum = sums.entry(stack).or_default();
        *sum = sum.saturating_add(value);
    }
    sums.into_iter().filter(|(_, value)| *value != 0)
}

fn line(frames: &[Arc<str>]) -> String {
    if frames.is_empty() {
        return "[no stack]".to_owned();
    }
    let clean = |c: char| match c {
        ';' => ':',
        c if c.is_control() => ' ',
        c => c,
    };
    let mut line = String::new();
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            line.push(';');
        }
        line.extend(frame.chars().map(clean));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_runtime_frames_are_condensed_but_the_innermost() {
        let frames =
            |names: &[&str]| -> Vec<Arc<str>> { names.iter().map(|&name| name.into()).collect() };
        let stack = frames(&[
            "std::rt::lang_start (std/src/rt.rs:205)",
            "core::ops::function::FnOnce::call_once",
            "tokio::runtime::task::raw::poll (tokio-1.54.1/src/runtime/task/raw.rs:337)",
            "shop::serve (src/main.rs:7)",
            "std::panic::catch_unwind",
            "shop::cart::add (src/cart.rs:12)",
            "alloc::vec::Vec<T>::push",
            "alloc::vec::Vec<T>::grow",
            "alloc::vec::Vec<T>::more",
        ]);
        assert_eq!(Frames::All.of(stack.clone()), stack);
        let mut condensed = stack.clone();
        condensed.splice(0..3, frames(&["... core, std, tokio"]));
        assert_eq!(Frames::Condensed.of(stack), condensed);
        let runtime_only = frames(&["std::rt::a", "std::rt::b", "std::rt::c"]);
        assert_eq!(Frames::Condensed.of(runtime_only.clone()), runtime_only);
    }

    fn folded(stacks: &[(&[&str], i64)]) -> Folded {
        stacks
            .iter()
            .map(|(frames, value)| (frames.iter().map(|&frame| frame.into()).collect(), *value))
            .collect()
    }

    #[test]
    fn equal_stacks_are_added_and_zeros_left_out() {
        let folded = folded(&[
            (&["main", "b"], 3),
            (&["main", "a"], 1),
            (&["main", "b"], 4),
            (&["main", "gone"], 5),
            (&["main", "gone"], -5),
        ]);
        assert_eq!(folded.stacks.len(), 2);
        assert_eq!(folded.to_string(), "main;a 1\nmain;b 7\n");
    }

    #[test]
    fn text_is_the_same_whatever_the_order() {
        let one = folded(&[(&["a"], 1), (&["a", "b"], 2), (&["c"], 3)]);
        let other = folded(&[(&["c"], 3), (&["a", "b"], 2), (&["a"], 1)]);
        assert_eq!(one.to_string(), other.to_string());
        assert_eq!(one.to_string(), "a 1\na;b 2\nc 3\n");
    }

    #[test]
    fn names_cannot_break_the_format() {
        let folded = folded(&[
            (&["a;b", "c\nd\te"], 1),
            (&["a:b", "c d\u{0}e"], 2),
            (&[], 3),
        ]);
        assert_eq!(folded.to_string(), "[no stack] 3\na:b;c d e 3\n");
    }

    #[test]
    fn a_field_set_by_hand_is_merged_in_the_text() {
        let frames: Vec<Arc<str>> = vec!["main".into()];
        let folded = Folded {
            stacks: vec![(frames.clone(), 1), (frames, 2)],
        };
        assert_eq!(folded.to_string(), "main 3\n");
    }

    #[test]
    fn difference_has_growth_and_shrinkage() {
        let earlier = folded(&[(&["same"], 5), (&["grew"], 1), (&["gone"], 2)]);
        let later = folded(&[(&["same"], 5), (&["grew"], 4), (&["new"], 7)]);
        assert_eq!(
            later.since(&earlier).to_string(),
            "gone -2\ngrew 3\nnew 7\n"
        );
        assert_eq!(later.since(&later), Folded::default());
    }

    #[test]
    fn sums_do_not_overflow() {
        let folded = folded(&[(&["a"], i64::MAX), (&["a"], i64::MAX)]);
        assert_eq!(folded.to_string(), format!("a {}\n", i64::MAX));
        let negative = Folded::default().since(&folded).since(&folded);
        assert_eq!(negative.to_string(), format!("a {}\n", i64::MIN));
    }
}
