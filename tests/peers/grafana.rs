//! The dashboards against what Grafana publishes about them: the types of its schema, the registries of its data library, and the classes
//! of its SDK. None of these judges is Grafana, whose server cannot be had, and each overlooks what another sees; so small mistakes are
//! made in the dashboards too, and at least one judge has to find each.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::programs::{node, python};

const DASHBOARDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards");
const JUDGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/grafana");

/// A panel of some type, or the dashboard itself; a place in it; and what is written there instead.
const WRONG: &str = r#"
dashboard /annotations/list/0/target/exp "ALERTS"
dashboard /annotations/list/0/titelFormat "{{alertname}}"
dashboard /templating/list/1/refresh 9
dashboard /templating/list/1/type "querry"
dashboard /time/from "now-3hours"
heatmap /options/color/scheme "Orange"
heatmap /targets/0/format "heatmapp"
stat /fieldConfig/defaults/color/mode "threshold"
stat /fieldConfig/defaults/custom {"lineWidth": 1}
stat /fieldConfig/defaults/thresholds/mode "absolut"
stat /fieldConfig/defaults/thresholds/steps/0/color "gren"
stat /options/reduceOptions/calcs/0 "lastnotnull"
table /fieldConfig/overrides/0/matcher/id "byname"
table /fieldConfig/overrides/0/properties/0/value {"no": 1}
table /transformations/0/id "joinByFeld"
timeseries /fieldConfig/defaults/custom/drawStyle "lines"
timeseries /fieldConfig/defaults/unit "bytez"
timeseries /fieldConfig/overrides/0/properties/0/id "custom.lineStile"
timeseries /gridPos/h "9"
timeseries /interval "15 s"
timeseries /options/legend/calcs/0 "lastNotNul"
timeseries /options/legend/placement "botom"
timeseries /options/legend/sortBy "Last"
timeseries /type "timeserie"
"#;

/// The same for keys.
const MISSPELT: &str = r#"
dashboard /links/0/keepTime "keepTme"
dashboard /refresh "refersh"
timeseries /description "descripton"
timeseries /fieldConfig/defaults/custom/lineWidth "lineWdth"
timeseries /options/legend/displayMode "displayMod"
timeseries /targets/0/expr "exp"
"#;

/// The files, in the order of their names.
fn dashboards() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(DASHBOARDS).expect("dashboards");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let mut paths: Vec<PathBuf> = paths.filter(is_json).collect();
    paths.sort();
    paths
}

/// What the judges say about the files, line by line; each line begins with the name of its file.
fn findings(files: &[PathBuf]) -> Vec<String> {
    let judges = [(node(), "check.mjs"), (python(), "roundtrip.py")];
    let said = judges.map(|(program, script)| {
        let output = Command::new(program)
            .arg(Path::new(JUDGES).join(script))
            .args(files)
            .output()
            .expect("the judge starts");
        let said = String::from_utf8(output.stdout).expect("text");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{script}: {errors}");
        let code = i32::from(!said.is_empty());
        assert_eq!(output.status.code(), Some(code), "{script}: {said}");
        said
    });
    said.concat().lines().map(str::to_owned).collect()
}

#[test]
fn judges_find_nothing_in_the_dashboards() {
    let files = dashboards();
    let names = files.iter().map(|file| file.file_name().expect("a name"));
    let names: Vec<_> = names.collect();
    let expected = [
        "memory-allocator.json",
        "memory-leaks.json",
        "memory-overview.json",
    ];
    assert_eq!(names, expected);
    let findings = findings(&files);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn judges_find_every_small_mistake() {
    let read = |path| {
        let text = std::fs::read(path).expect("a dashboard");
        serde_json::from_slice(&text).expect("JSON")
    };
    let dashboards: Vec<Value> = dashboards().into_iter().map(read).collect();
    let wrong = WRONG.trim().lines().map(|line| (line, false));
    let misspelt = MISSPELT.trim().lines().map(|line| (line, true));
    let mistakes: Vec<(&str, bool)> = wrong.chain(misspelt).collect();

    // All of them in one run of each judge: starting is what takes time.
    let directory = tempfile::tempdir().expect("a directory");
    let name = |index: usize| format!("{index}.json");
    let write = |(index, (line, is_key)): (usize, &(&str, bool))| {
        let mut all = dashboards.iter();
        let made = all.find_map(|dashboard| with_mistake(dashboard, line, *is_key));
        let made = made.unwrap_or_else(|| panic!("there is no place for {line}"));
        let file = directory.path().join(name(index));
        std::fs::write(&file, format!("{made:#}")).expect("a file");
        file
    };
    let files: Vec<PathBuf> = mistakes.iter().enumerate().map(write).collect();
    let findings = findings(&files);
    let is_found = |index| {
        let start = format!("{}: ", name(index));
        findings.iter().any(|finding| finding.starts_with(&start))
    };
    let mistakes = mistakes.iter().enumerate();
    let overlooked = mistakes.filter(|(index, _)| !is_found(*index));
    let overlooked: Vec<&str> = overlooked.map(|(_, (line, _))| *line).collect();
    assert!(overlooked.is_empty(), "{}", overlooked.join("\n"));
}

/// The dashboard with the mistake of this line, in the first panel that has the place.
fn with_mistake(dashboard: &Value, line: &str, is_key: bool) -> Option<Value> {
    let [owner, place, text] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let mistake: Value = serde_json::from_str(text).expect("JSON");
    let (holder, key) = place.rsplit_once('/')?;
    let owners = owners(dashboard, "").into_iter();
    let mut owners = owners.filter(|(kind, _)| kind == owner);
    owners.find_map(|(_, at)| {
        let mut dashboard = dashboard.clone();
        match dashboard.pointer_mut(&format!("{at}{holder}"))? {
            Value::Object(entries) if is_key => {
                let value = entries.remove(key)?;
                entries.insert(mistake.as_str()?.to_owned(), value);
            }
            Value::Object(entries) => {
                entries.insert(key.to_owned(), mistake.clone());
            }
            Value::Array(items) => {
                let index: usize = key.parse().expect("an index");
                *items.get_mut(index)? = mistake.clone();
            }
            _ => return None,
        }
        Some(dashboard)
    })
}

/// The dashboard or panel at a place, and the panels in it: types and places.
fn owners(dashboard: &Value, at: &str) -> Vec<(String, String)> {
    let owner = dashboard.pointer(at).expect("an owner");
    let kind = owner["type"].as_str().unwrap_or("dashboard");
    let panels = owner["panels"].as_array().map_or(0, Vec::len);
    let inner = (0..panels).flat_map(|panel| owners(dashboard, &format!("{at}/panels/{panel}")));
    let own = (kind.to_owned(), at.to_owned());
    std::iter::once(own).chain(inner).collect()
}
