//! The leak report as text, for a terminal.

use std::fmt;

use super::{LeakReport, MB, StackView, rfc3339};

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suspects.is_empty() {
            writeln!(f, "no leak suspects at {}", rfc3339(self.as_of))?;
        }
        for suspect in &self.suspects {
            writeln!(
                f,
                "{} leak, {} confidence: {}",
                suspect.severity, suspect.confidence, suspect.summary
            )?;
            for part in &suspect.parts {
                writeln!(
                    f,
                    "  {}: {:.1} MB in {:.0} blocks, {:+.1} MB/h ({:.1} to {:.1}), {}, {} generations",
                    part.line,
                    part.bytes / MB,
                    part.objects,
                    part.growth_mb_per_hour,
                    part.growth_mb_per_hour_low,
                    part.growth_mb_per_hour_high,
                    part.pattern,
                    part.generations,
                )?;
                if let Some(stack) = part.stacks.first() {
                    write!(f, "{stack}")?;
                }
            }
            writeln!(f, "  {}", suspect.advice)?;
        }
        for closed in &self.closed {
            writeln!(
                f,
                "closed: {} of {}, {} to {}: {}",
                closed.line,
                closed.component,
                rfc3339(closed.opened),
                rfc3339(closed.closed),
                closed.reason
            )?;
        }
        Ok(())
    }
}

/// The frames that somebody could change, one a line.
impl fmt::Display for StackView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.frames.iter().zip(&self.is_runtime);
        let mut skipped = 0;
        for (frame, is_runtime) in frames {
            if *is_runtime {
                skipped += 1;
                continue;
            }
            if skipped > 0 {
                writeln!(f, "    ... {skipped} of the runtime")?;
                skipped = 0;
            }
            writeln!(f, "    {frame}")?;
        }
        Ok(())
    }
}
