//! The leak report as text, for a terminal.

use std::fmt;

use super::{ClosedView, EarlierSession, LeakReport, MB, StackView, SuspectView, rfc3339};

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suspects.is_empty() {
            writeln!(f, "no leak suspects at {}", rfc3339(self.as_of))?;
        }
        found(f, &self.suspects, &self.closed)?;
        let earlier = self.earlier_sessions.iter().flatten();
        earlier.into_iter().try_for_each(|session| session.fmt(f))
    }
}

impl fmt::Display for EarlierSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = rfc3339(self.last_written);
        writeln!(f, "session {}, until {written}:", self.session_id)?;
        found(f, &self.suspects, &self.closed)
    }
}

fn found(
    f: &mut fmt::Formatter<'_>,
    suspects: &[SuspectView],
    closed: &[ClosedView],
) -> fmt::Result {
    for suspect in suspects {
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
    for closed in closed {
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

/// The frames that somebody could change, one a line.
impl fmt::Display for StackView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut skipped = 0;
        for (at, frame) in self.frames.iter().enumerate() {
            // Of earlier sessions it is not known.
            if self
                .is_runtime
                .get(at)
                .is_some_and(|is_runtime| *is_runtime)
            {
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
