//! Stacks as people read them.

use std::sync::Arc;

use crate::analysis::Frame;
use crate::profile::{Symbols, is_runtime};

/// The stack of return addresses in readable form, innermost frame first.
pub(crate) fn readable(stack: &[usize], symbols: &Symbols) -> Arc<[Frame]> {
    let stack: Vec<u64> = stack.iter().map(|frame| *frame as u64).collect();
    let frames = symbols.readable(&stack).into_iter().map(|frame| Frame {
        is_runtime: is_runtime(&frame.name),
        file: frame.short_file().map(Into::into),
        line: (frame.line > 0).then_some(frame.line),
        function: frame.name.into(),
    });
    frames.collect()
}
