//! Evidence that survives the kill: near the memory limit a heap profile and the last leak report go to disk, where the process that
//! comes after finds them. [`Watch`] says when, [`EvidenceStore`] keeps. Stands on nothing else of this crate but `disk`.

mod budget;
mod piece;
mod store;
mod temporary;
mod watch;

pub(crate) use budget::Budget;
pub use piece::{Evidence, Id, Kept, Metadata, Usage};
pub use store::EvidenceStore;
pub use watch::{DEFAULT_ABOVE, DEFAULT_COOLDOWN, Decision, Options, Tick, Watch};
