//! Floor 8: start. The process-wide things (allocator, log, signals, exit code) belong here and to no library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();

fn main() -> ExitCode {
    memory_exporter::cli::run()
}
