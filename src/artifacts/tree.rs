//! Files, compared with those in a directory, or written there.

use std::fmt;
use std::io;
use std::path::Path;

use super::Artifact;

/// How a file in a directory differs from what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    path: String,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Missing,
    Unreadable(String),
    /// The first line that differs, and what stands there and should stand there.
    Line {
        number: usize,
        found: Option<String>,
        wanted: Option<String>,
    },
}

/// How the files below `directory` differ from `artifacts`; empty when they do not.
pub(crate) fn check(directory: &Path, artifacts: &[Artifact]) -> Vec<Difference> {
    let differs = |artifact: &Artifact| {
        let what = match std::fs::read_to_string(directory.join(&artifact.path)) {
            Ok(found) if found == artifact.contents => return None,
            Ok(found) => first_line(&found, &artifact.contents),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => What::Missing,
            Err(cause) => What::Unreadable(cause.to_string()),
        };
        Some(Difference {
            path: artifact.path.clone(),
            what,
        })
    };
    artifacts.iter().filter_map(differs).collect()
}

fn first_line(found: &str, wanted: &str) -> What {
    // Line ends count: a file without its last one is another file.
    let (mut found, mut wanted) = (found.split('\n'), wanted.split('\n'));
    let mut number = 0;
    loop {
        number += 1;
        let pair = (found.next(), wanted.next());
        if pair.0 != pair.1 || pair == (None, None) {
            return What::Line {
                number,
                found: pair.0.map(str::to_owned),
                wanted: pair.1.map(str::to_owned),
            };
        }
    }
}

/// Writes `artifacts` below `directory`; each is whole or as it was.
///
/// # Errors
/// The first file that cannot be written, by name.
pub(crate) fn write(directory: &Path, artifacts: &[Artifact]) -> Result<(), String> {
    for artifact in artifacts {
        let path = directory.join(&artifact.path);
        let written = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let mut name = path.clone().into_os_string();
            name.push(".new");
            std::fs::write(&name, &artifact.contents)?;
            std::fs::rename(&name, &path)
        };
        written().map_err(|cause: io::Error| format!("{}: {cause}", path.display()))?;
    }
    Ok(())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what } = self;
        match what {
            What::Missing => write!(f, "{path}: missing"),
            What::Unreadable(cause) => write!(f, "{path}: {cause}"),
            What::Line {
                number,
                found,
                wanted,
            } => {
                write!(f, "{path}:{number}: differs")?;
                for (sign, line) in [('-', found), ('+', wanted)] {
                    match line {
                        Some(line) => write!(f, "\n  {sign} {line}")?,
                        None => write!(f, "\n  {sign} (the file ends)")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_does_not_differ_and_what_was_changed_does() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = ["a/b.yml", "c.json"].map(|path| Artifact {
            path: path.to_owned(),
            contents: "one\ntwo\n".to_owned(),
        });
        let said = || {
            let differences = check(directory.path(), &artifacts);
            differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(said(), ["a/b.yml: missing", "c.json: missing"]);
        write(directory.path(), &artifacts).unwrap();
        assert_eq!(said(), Vec::<String>::new());
        for (contents, difference) in [
            ("one\n2\n", "c.json:2: differs\n  - 2\n  + two"),
            ("one\ntwo", "c.json:3: differs\n  - (the file ends)\n  + "),
            (
                "one\ntwo\n\n",
                "c.json:4: differs\n  - \n  + (the file ends)",
            ),
        ] {
            std::fs::write(directory.path().join("c.json"), contents).unwrap();
            assert_eq!(said(), [difference]);
        }
    }
}
