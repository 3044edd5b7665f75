//! The law of the house: data flows up, imports point down; a package that could be replaced is used behind one door; no file grows
//! without end. Each rule is a pure function over (path, text), so that a test can plant a violation and see it found.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up. A module may use what stands on a lower line.
pub(crate) const FLOORS: &[&[&str]] = &[
    &["catalog"],
    &["config"],
    &["heap", "client", "disk"],
    &["collector", "profile"],
    &["snapshot"],
    &["analysis"],
    // `alert` decides on what `watch` found, which it is handed.
    &["watch", "alert"],
    &["exposition", "push", "artifacts"],
    // `error` says why the composition failed, so it stands below `exporter` and above everything else.
    &["error"],
    &["ticker"],
    &["exporter"],
    &["cli"],
    &["main", "lib"],
];

/// Packages and the only files that may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("prometheus_client", &["exposition/text.rs"]),
    ("opentelemetry_otlp", &["push/settings.rs"]),
    (
        "opentelemetry_proto",
        &["push/encode.rs", "push/transport.rs"],
    ),
    ("tonic", &["push/transport.rs"]),
    (
        "rustls",
        &[
            "client/tls.rs",
            "exposition/web/tls.rs",
            "exposition/web/clients.rs",
        ],
    ),
    ("tokio_rustls", &["exposition/web/handshake.rs"]),
    ("x509_parser", &["exposition/web/clients.rs"]),
    ("bcrypt", &["exposition/web/users.rs"]),
    ("warp", &["exposition/", "exporter/mod.rs"]),
    ("hyper_util", &["exposition/server.rs", "client/http.rs"]),
    (
        "schemars",
        &["exposition/", "watch/report/mod.rs", "watch/line.rs"],
    ),
    ("serde_yaml", &["config/", "artifacts/"]),
    ("tikv_jemalloc_ctl", &["collector/jemalloc.rs"]),
    (
        "tikv_jemalloc_sys",
        &["collector/jemalloc.rs", "heap/jemalloc.rs", "heap/apart.rs"],
    ),
    ("tikv_jemallocator", &["heap/jemalloc.rs"]),
    ("sysinfo", &["collector/process.rs", "exporter/mod.rs"]),
    ("libc", &["heap/"]),
    ("gimli", &["heap/unwind/"]),
    ("addr2line", &["profile/symbolizer.rs"]),
    ("object", &["profile/elf.rs", "profile/symbolizer.rs"]),
    ("prost", &["profile/pprof/", "push/transport.rs"]),
    ("ring", &["alert/channel/", "exposition/web/users.rs"]),
    ("base64", &["alert/channel/", "exposition/web/users.rs"]),
    ("redb", &["snapshot/archive.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("listenfd", &["cli/"]),
    // In `disk/victim.rs` it hears, for tests, what is told once.
    (
        "tracing_subscriber",
        &["cli/", "heap/layer.rs", "disk/victim.rs"],
    ),
];

/// Files that may hold `unsafe` code.
const UNSAFE: &[&str] = &["heap/", "collector/jemalloc.rs"];

/// Most lines of a file before its own tests.
const MOST_LINES: usize = 400;

/// Words that `analysis/` must not know: its time comes from the snapshots.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "tracing::",
    "Mutex",
    "RwLock",
];

#[test]
fn the_house_stands() {
    let mut violations = Vec::new();
    for (path, text) in sources() {
        violations.extend(check(&path, &text));
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    for (path, text, rule) in [
        (
            "heap/a.rs",
            "use crate::snapshot::Snapshot;",
            "stands above",
        ),
        (
            "heap/a.rs",
            "use std::{\n    fmt,\n};\nuse crate::{\n    catalog::ALL,\n    config::{self, Config},\n    exposition::Api,\n};",
            "exposition stands above",
        ),
        (
            "collector/a.rs",
            "fn f() { crate::profile::g() }",
            "profile stands on the same floor",
        ),
        (
            "catalog/a.rs",
            "use crate::config::Config;",
            "config stands above",
        ),
        ("attic/a.rs", "", "has no floor"),
        (
            "push/mod.rs",
            "use prometheus_client::registry::Registry;",
            "only behind its door",
        ),
        (
            "exporter.rs",
            "fn f() { serde_yaml::from_str(\"\") }",
            "only behind its door",
        ),
        ("snapshot/a.rs", "fn f() { unsafe { g() } }", "unsafe"),
        (
            "analysis/a.rs",
            "fn f() { SystemTime::now() }",
            "must not know SystemTime::now",
        ),
        (
            "push/a.rs",
            "fn f() { \"memory_rss_bytes\" }",
            "name of a series",
        ),
        ("catalog/a.rs", &"x\n".repeat(401), "401 lines"),
    ] {
        let found = check(path, text);
        assert!(
            found.iter().any(|violation| violation.contains(rule)),
            "{path}: {rule}: found {found:?}"
        );
    }
    let innocent = "//! use crate::exporter\n// unsafe\nuse crate::catalog::ALL;\n#[cfg(test)]\nmod tests {\n use crate::cli;\n unsafe {}\n}";
    assert_eq!(check("heap/a.rs", innocent), Vec::<String>::new());
}

fn check(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut violations = Vec::new();
    violations.extend(floors(path, &code));
    violations.extend(doors(path, &code));
    violations.extend(unsafe_code(path, &code));
    violations.extend(purity(path, &code));
    violations.extend(names(path, &code));
    violations.extend(size(path, text));
    violations
        .into_iter()
        .map(|violation| format!("{path}: {violation}"))
        .collect()
}

fn floors(path: &str, code: &str) -> Vec<String> {
    let module = path.split(['/', '.']).next().unwrap_or_default();
    let Some(own) = floor(module) else {
        return vec![format!("module {module} has no floor")];
    };
    let mut violations = Vec::new();
    for used in uses(code) {
        match floor(&used) {
            Some(other) if used != module && other > own => {
                violations.push(format!("uses {used}: {used} stands above {module}"))
            }
            Some(other) if used != module && other == own => {
                violations.push(format!(
                    "uses {used}: {used} stands on the same floor as {module}"
                ));
            }
            _ => {}
        }
    }
    violations
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// Modules named behind `crate::`, in lists too.
fn uses(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (_, rest) in code
        .match_indices("crate::")
        .map(|(at, found)| code.split_at(at + found.len()))
    {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            for item in list.split_inclusive([',', '{', '}']) {
                let name = item
                    .trim_start()
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next();
                if depth == 0 {
                    modules.extend(name.map(str::to_owned));
                }
                match item.chars().last() {
                    Some('{') => depth += 1,
                    Some('}') if depth == 0 => break,
                    Some('}') => depth -= 1,
                    _ => {}
                }
            }
        } else {
            modules.extend(
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .map(str::to_owned),
            );
        }
    }
    modules
}

fn doors(path: &str, code: &str) -> Vec<String> {
    let is_word = |at: usize| {
        !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    DOORS
        .iter()
        .filter(|(package, doors)| {
            let pattern = format!("{package}::");
            let named = code.match_indices(&pattern).any(|(at, _)| is_word(at));
            named && !doors.iter().any(|door| path.starts_with(door))
        })
        .map(|(package, doors)| {
            format!(
                "{package} is used only behind its door, {}",
                doors.join(" or ")
            )
        })
        .collect()
}

fn unsafe_code(path: &str, code: &str) -> Option<String> {
    let has = code
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| word == "unsafe");
    (has && !UNSAFE.iter().any(|place| path.starts_with(place)))
        .then(|| format!("unsafe stands only in {}", UNSAFE.join(" and ")))
}

fn purity(path: &str, code: &str) -> Option<String> {
    let word = IMPURE.iter().find(|word| code.contains(*word))?;
    path.starts_with("analysis/")
        .then(|| format!("analysis must not know {word}"))
}

fn names(path: &str, code: &str) -> Option<String> {
    let named = memory_exporter::catalog::ALL
        .iter()
        .map(|def| def.series(""))
        .find(|series| code.contains(&format!("\"{series}\"")))?;
    (!path.starts_with("catalog/"))
        .then(|| format!("{named} is the name of a series, which only the catalog writes"))
}

fn size(path: &str, text: &str) -> Option<String> {
    let _ = path;
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count();
    (lines > MOST_LINES).then(|| format!("{lines} lines before its tests, at most {MOST_LINES}"))
}

/// The text without comments and without its unit tests.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]\nmod tests") && *line != "mod tests {");
    lines
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let relative = |path: &PathBuf| {
        path.strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).unwrap()))
        .collect()
}
