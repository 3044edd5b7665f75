//! What every contender runs, so that it is the same machine code in each: this crate is compiled once and linked into all of them,
//! and only the global allocator behind it differs.
//!
//! | file | holds |
//! |---|---|
//! | `tasks.rs` | the four workloads |
//! | `serve.rs` | the conversation with the driver, and the worker threads |
//! | `system.rs` | CPU time of a thread, and pinning it |

mod serve;
pub mod system;
mod tasks;

pub use serve::serve;
