//! Profiles of the example where it has little: without symbols, and with nothing to write to.

use std::path::Path;
use std::process::Command;

use crate::http;
use crate::pprof::{Profile, Sample};
use crate::service::{Service, example};
use crate::wait::eventually;

const CONFIG: &str = "allocations: {sample_interval: 64KiB}\nprofiles: {flamegraphs: on_demand}";
const LEAKING: [&str; 2] = ["--leak-mb-per-hour", "4000"];
const NEW_SESSION: &str = "leaky_service::new_session";

fn url(service: &Service, path: &str) -> String {
    format!("http://{}/debug/{path}", service.address)
}

fn text(service: &Service, path: &str) -> String {
    String::from_utf8(http::download(&url(service, path)).into()).expect("text")
}

/// The first profile in which the leak was sampled, and of it the leak only. The component cannot be asked for before it is known.
fn profile_of_sessions(service: &Service) -> Profile {
    eventually("a session is sampled", || {
        let mut profile = Profile::get(&url(service, "pprof/heap"));
        let is_leak = |sample: &Sample| sample.labels["component"] == "sessions";
        profile.samples.retain(is_leak);
        (!profile.samples.is_empty()).then_some(profile)
    })
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    String::from_utf8(output.expect(program).stdout).expect("text")
}

fn build_id(program: &Path) -> String {
    let notes = output("readelf", &["-n", program.to_str().expect("a path")]);
    let line = notes
        .lines()
        .find_map(|line| line.trim().strip_prefix("Build ID: "));
    line.expect("a build id").to_owned()
}

/// Of a stripped program, a profile has what its reader needs to find the names elsewhere, and stacks read as `addr2line` takes them.
#[test]
fn a_stripped_program_has_addresses_that_lead_to_the_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let stripped = folder.path().join("leaky_service");
    let original = example();
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&original)
        .status();
    assert!(status.expect("strip").success());
    let service = Service::leaky_by(Command::new(&stripped), CONFIG, &[], &LEAKING);

    let profile = profile_of_sessions(&service);
    let own = &profile.mappings[0];
    assert_eq!(own.file, stripped.to_str().expect("a path"));
    assert_eq!(own.build_id, build_id(&original));
    assert!(!own.has_functions && !own.has_lines, "{own:?}");
    for sample in &profile.samples {
        let of_program: Vec<_> = sample
            .stack
            .iter()
            .filter(|place| place.mapping == 1)
            .collect();
        assert!(of_program.len() > 10, "{sample:?}");
        assert!(
            of_program.iter().all(|place| place.frames.is_empty()),
            "{sample:?}"
        );
    }

    let folded = text(
        &service,
        "flamegraph?format=folded&frames=all&component=sessions",
    );
    let frames = folded.split([';', ' ', '\n']);
    let mut addresses: Vec<_> = frames
        .filter_map(|frame| frame.strip_prefix("leaky_service+"))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut arguments = vec!["-C", "-f", "-i", "-e", original.to_str().expect("a path")];
    arguments.extend(addresses);
    let names = output("addr2line", &arguments);
    let is_known = |name: &str| names.lines().any(|line| line.starts_with(name));
    assert!(
        is_known(NEW_SESSION) && is_known("leaky_service::Service::handle"),
        "{folded}\n{names}"
    );
    assert!(text(&service, "flamegraph").contains("leaky_service+0x"));
}

/// Makes everything read-only but what the kernel shows, proves it, and becomes the program.
const READ_ONLY: &str = r#"
    mount --make-rprivate /
    while read -r _ place _; do
        case $place in /proc* | /sys* | /dev*) ;; *) mount -o remount,bind,ro "$place" || exit 1 ;; esac
    done < /proc/self/mounts
    for place in . /tmp /var/tmp; do
        if touch "$place/probe" 2>/dev/null; then echo "$place is writable" >&2; exit 1; fi
    done
    exec "$@"
"#;

/// A program that sees its mounts for itself, or `None` where the kernel lets nobody.
fn with_own_mounts() -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        let tried = Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    };
    let mut command = Command::new("unshare");
    command.args(*ways.iter().find(works)?);
    Some(command)
}

#[test]
fn nothing_is_written() {
    let Some(mut starter) = with_own_mounts() else {
        println!(
            "skipped: this kernel gives nobody a mount namespace, so nothing can be made read-only"
        );
        return;
    };
    starter.args(["sh", "-c", READ_ONLY, "sh"]).arg(example());
    let path = std::env::var("PATH").expect("a path");
    let environment = [("TMPDIR", "/nonexistent"), ("PATH", &path)];
    let service = Service::leaky_by(starter, CONFIG, &environment, &LEAKING);
    let [_, allocated, ..] = profile_of_sessions(&service).through(NEW_SESSION);
    assert!(allocated > 0);
    assert!(text(&service, "flamegraph").contains("new_session"));
}
