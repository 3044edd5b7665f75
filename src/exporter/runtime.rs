//! The runtime of the exporter's own thread.

use std::io;
use std::ops::Deref;

use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread. It waits for nothing when it goes: a name look-up that hangs must not hold up the stop, and an exporter that
/// does not start within a runtime of the host's may not wait there at all.
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// A runtime; `entered` is called on each thread that it makes beside the one that drives it.
    pub(super) fn new(entered: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(entered)
            .build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Deref for OwnRuntime {
    type Target = Runtime;

    #[allow(clippy::expect_used, reason = "it is taken by the drop alone")]
    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("the runtime is there")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
