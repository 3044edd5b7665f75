//! Unwinding by the tables of the compiler.
//!
//! | file | holds |
//! |---|---|
//! | `modules.rs` | the program and its libraries: where their code and their unwind tables are |
//! | `rules.rs` | from an address to the rule that leaves its frame, and the cache |
//! | `registers.rs` | the registers at the start, and where a thread's stack ends |

mod modules;
mod registers;
mod rules;

pub(in crate::heap) use modules::refresh;
pub(in crate::heap) use registers::stack_end;
pub(in crate::heap) use rules::capture;
