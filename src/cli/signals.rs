//! What the program is told by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP.
pub(super) struct Signals {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let [interrupt, terminate, hang_up] = {
            let _runtime = runtime.enter();
            let kinds = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ];
            let [one, two, three] = kinds.map(signal);
            [one?, two?, three?]
        };
        Ok(Self {
            runtime,
            interrupt,
            terminate,
            hang_up,
        })
    }

    /// Returns when the process is to end; until then calls `reload` for each SIGHUP.
    pub(super) fn wait(mut self, reload: impl Fn()) {
        loop {
            let is_reload = self.runtime.block_on(async {
                tokio::select! {
                    _ = self.interrupt.recv() => false,
                    _ = self.terminate.recv() => false,
                    _ = self.hang_up.recv() => true,
                }
            });
            if !is_reload {
                return;
            }
            reload();
        }
    }
}
