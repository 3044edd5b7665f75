//! What documents say of the code, held against the code: floors, tables of files, cargo features, links, paths and tests that are named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::architecture::FLOORS;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Documents whose links and paths must lead somewhere.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benches/README.md",
    "alertmanager/RUNBOOK.md",
];

fn read(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim_start_matches("//!").trim().strip_prefix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

/// Floors, as the table in the crate's documentation has them: from the top, each with its modules.
fn documented_floors(text: &str) -> Vec<(usize, BTreeSet<&str>)> {
    let rows = text.lines().filter(|line| line.starts_with("//!"));
    rows.filter_map(|line| {
        let cells = cells(line)?;
        let floor = cells.first()?.parse().ok()?;
        let modules = quoted(cells.get(1)?).map(|name| name.trim_end_matches(".rs"));
        Some((floor, modules.collect()))
    })
    .collect()
}

fn wrong_floors(text: &str) -> Vec<String> {
    let floors = documented_floors(text);
    let floor = |module: &str| {
        let row = floors.iter().find(|(_, modules)| modules.contains(module));
        row.map(|(floor, _)| *floor)
    };
    let mut wrong = Vec::new();
    let mut below = 0;
    let enforced = FLOORS.iter().flat_map(|modules| modules.iter());
    for module in enforced.clone().filter(|module| **module != "lib") {
        match floor(module) {
            None => wrong.push(format!("{module} stands on no floor")),
            Some(floor) if floor < below => wrong.push(format!("{module} stands too low")),
            Some(floor) => below = floor,
        }
    }
    let known: BTreeSet<&str> = enforced.copied().collect();
    for (floor, modules) in &floors {
        let unknown = modules.difference(&known);
        wrong.extend(unknown.map(|module| format!("floor {floor}: there is no {module}")));
    }
    wrong
}

#[test]
fn the_floors_in_the_documentation_are_those_that_are_enforced() {
    let text = read("src/lib.rs");
    assert_eq!(wrong_floors(&text), Vec::<String>::new());
    for (from, to, found) in [
        ("`push`, ", "", "push stands on no floor"),
        (
            "| 4 | [`analysis`]",
            "| 2 | [`analysis`]",
            "analysis stands too low",
        ),
        (
            "`artifacts` | show",
            "`attic` | show",
            "floor 6: there is no attic",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let wrong = wrong_floors(&text.replacen(from, to, 1));
        assert!(wrong.contains(&found.to_owned()), "{found}: {wrong:?}");
    }
}

/// The names of the files that the table at the head of a `mod.rs` lists, if it has one.
fn listed(text: &str) -> Option<BTreeSet<String>> {
    let docs = || text.lines().filter(|line| line.starts_with("//!"));
    docs().find(|line| line.starts_with("//! | file |"))?;
    let names = docs().filter_map(|line| cells(line)?.first().map(|cell| quoted(cell)));
    Some(names.flatten().map(str::to_owned).collect())
}

#[test]
fn the_tables_of_files_are_whole() {
    let mut wrong = Vec::new();
    let mut tables = 0;
    let mut directories = vec![Path::new(ROOT).join("src")];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).unwrap();
        let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        directories.extend(paths.iter().filter(|path| path.is_dir()).cloned());
        let head = fs::read_to_string(directory.join("mod.rs")).unwrap_or_default();
        let Some(listed) = listed(&head) else {
            continue;
        };
        tables += 1;
        for path in &paths {
            let name = path.file_name().unwrap().to_str().unwrap();
            let name = match path.is_dir() {
                // Of a file with the same name, which is in the table, these are the tests.
                true if path.with_extension("rs").exists() => continue,
                true => format!("{name}/"),
                false => name.to_owned(),
            };
            let is_for_tests = ["fixture.rs", "receiver.rs", "tests.rs", "tests/"];
            let is_code = name.ends_with(".rs") || name.ends_with('/');
            if is_code && name != "mod.rs" && !is_for_tests.contains(&name.as_str()) {
                let is_listed = listed.contains(&name);
                wrong.extend((!is_listed).then(|| format!("{}: not listed", path.display())));
            }
        }
        let gone = listed.iter().filter(|name| !directory.join(name).exists());
        wrong.extend(gone.map(|name| format!("{}: no {name}", directory.display())));
    }
    assert!(tables > 10, "{tables} tables");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn both_tables_of_features_have_every_feature() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[features]\n").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = "));
    let features: BTreeSet<&str> = names
        .map(|(name, _)| name)
        .filter(|name| *name != "default" && !name.starts_with(['_', '#', ' ']))
        .collect();
    assert!(features.len() > 5, "{features:?}");
    for (path, head) in [
        ("src/lib.rs", "//! | feature | |"),
        ("README.md", "| Cargo feature | |"),
    ] {
        let text = read(path);
        let (_, table) = text.split_once(head).unwrap();
        let rows = table.lines().skip(2).map_while(cells);
        let named: BTreeSet<&str> = rows.filter_map(|row| quoted(row.first()?).next()).collect();
        assert_eq!(named, features, "{path}");
    }
}

/// A heading as GitHub makes an anchor of it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// A document without what stands in fences.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a document leads to and names that is not there.
fn lost(path: &str, text: &str) -> Vec<String> {
    let prose = prose(text);
    let base = Path::new(ROOT).join(path);
    let mut lost = Vec::new();
    let links = prose.split("](").skip(1);
    for link in links.filter_map(|rest| rest.split(')').next()) {
        if link.starts_with("http") {
            continue;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => text.to_owned(),
            file => match base.with_file_name(file) {
                file if file.is_dir() => String::new(),
                file => fs::read_to_string(file).unwrap_or_else(|_| {
                    lost.push(link.to_owned());
                    format!("# {heading}")
                }),
            },
        };
        let mut anchors = target
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(anchor);
        if !heading.is_empty() && !anchors.any(|anchor| anchor == heading) {
            lost.push(link.to_owned());
        }
    }
    if path == "CONTRIBUTING.md" {
        lost.extend(quoted(&prose).filter_map(unknown));
    }
    lost
}

/// A path or a module of tests that is named and is not there.
fn unknown(name: &str) -> Option<String> {
    let there = |path: &str| Path::new(ROOT).join(path).exists();
    let is_there = match name.split_once(' ') {
        Some((tests @ ("it" | "peers"), module)) => {
            there(&format!("tests/{tests}/{module}.rs"))
                || there(&format!("tests/{tests}/{module}/mod.rs"))
        }
        _ => {
            let path = name.split(' ').next().unwrap_or_default();
            let roots = ["src/", "tests/", "benches/", "config/", ".ci/"];
            let is_path = roots.iter().any(|root| path.starts_with(root));
            // Whoever has not got them yet gets them with the next merge.
            !is_path || path.contains('*') || path == ".ci/fuzz" || there(path)
        }
    };
    (!is_there).then(|| name.to_owned())
}

#[test]
fn what_documents_lead_to_is_there() {
    for path in DOCUMENTS {
        assert_eq!(lost(path, &read(path)), Vec::<String>::new(), "{path}");
    }
    let text = "[a](nowhere.md) [b](#no-heading) [c](README.md#security) `it nothing` `src/nothing.rs` `.ci/test`\n```\n[d](code)\n```";
    let found = ["nowhere.md", "#no-heading", "it nothing", "src/nothing.rs"];
    assert_eq!(lost("CONTRIBUTING.md", text), found);
}
