//! What the web configuration file makes: everything that is in force at one time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warp::http::{HeaderName, HeaderValue};

use crate::config::{ConfigError, Problem, Rate, WebFile};

use super::tls::Tls;
use super::users::Users;
use super::watch::{Files, Stamp};

/// What holds for a connection and for a request.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Users,
    pub(super) rate: Option<Rate>,
    /// Nothing stands in the file.
    pub(super) is_blank: bool,
}

/// What reading the file gave, and what was looked at for it, in the state that it had just before.
pub(super) struct Attempt {
    pub(super) rules: Result<Rules, ConfigError>,
    pub(super) seen: Vec<(PathBuf, Option<Stamp>)>,
}

impl Rules {
    /// Reads the file and all that it names.
    pub(super) fn load(path: &Path) -> Attempt {
        let mut files = Files::default();
        let mut problems = Vec::new();
        let rules = match files.read_text(path) {
            Ok(yaml) => Some(Self::new(&yaml, path, &mut files, &mut problems)),
            Err(cause) => {
                problems.push(Problem::of_key("", format!("cannot be read: {cause}")));
                None
            }
        };
        let rules = match rules {
            Some(rules) if problems.is_empty() => Ok(rules),
            _ => Err(mistakes(path, problems)),
        };
        Attempt {
            rules,
            seen: files.seen,
        }
    }

    fn new(yaml: &str, path: &Path, files: &mut Files, problems: &mut Vec<Problem>) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let file = WebFile::read(yaml, directory, problems);
        let is_sound = problems.is_empty();
        let tls = file
            .tls
            .and_then(|section| Tls::new(&section, files, is_sound, problems));
        let headers = file.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        Self {
            tls: tls.map(Arc::new),
            headers: headers.collect(),
            users: Users::new(file.users, problems),
            rate: file.rate,
            is_blank: file.is_blank,
        }
    }
}

/// Mistakes of the file at `path`, each with its name.
pub(super) fn mistakes(path: &Path, problems: Vec<Problem>) -> ConfigError {
    let named = problems.into_iter().map(|mut problem| {
        let file = path.display();
        problem.key = match problem.key.as_str() {
            "" => file.to_string(),
            key => format!("{file}: {key}"),
        };
        problem
    });
    ConfigError::new(named.collect())
}
