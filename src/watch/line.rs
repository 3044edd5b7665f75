//! The line of code that a stack leads to.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Frame;
use crate::analysis::leak::{Part, Suspect};

/// What stands in for a name that could not be read.
const UNKNOWN: &str = "unknown";

/// Readable stacks by call site, innermost frame first.
pub(crate) type Stacks = HashMap<u32, Arc<[Frame]>>;

/// A line of code; unknown where symbols could not be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Line")]
pub(super) struct LineView {
    /// Its name; `unknown` where it could not be read.
    function: String,
    /// Path of the source file; null where it is not known.
    file: Option<String>,
    /// Line in that file; null where it is not known.
    line: Option<u32>,
}

impl LineView {
    /// That of a suspect.
    pub(super) fn of(suspect: &Suspect, stacks: &Stacks) -> Self {
        let part = suspect.parts.first();
        part.map_or_else(Self::unknown, |part| Self::of_part(part, stacks))
    }

    /// That of a part.
    pub(super) fn of_part(part: &Part, stacks: &Stacks) -> Self {
        Self::of_stack(part.sites.first().and_then(|site| stacks.get(site)))
    }

    /// The innermost frame that somebody could change.
    pub(super) fn of_stack(stack: Option<&Arc<[Frame]>>) -> Self {
        let frame = stack.and_then(|frames| {
            let own = frames.iter().find(|frame| !frame.is_runtime);
            own.or(frames.first())
        });
        frame.map_or_else(Self::unknown, |frame| Self {
            function: frame.function.to_string(),
            file: frame.file.as_deref().map(str::to_owned),
            line: frame.line,
        })
    }

    fn unknown() -> Self {
        Self {
            function: UNKNOWN.into(),
            file: None,
            line: None,
        }
    }
}

impl fmt::Display for LineView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            (Some(file), None) => write!(f, " ({file})"),
            _ => Ok(()),
        }
    }
}
