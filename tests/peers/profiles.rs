//! Profiles of the example over HTTP, read by a decoder that is not ours, against what the program, its file and the kernel know.
//!
//! Where numbers are compared, every allocation is sampled, so that they are exact.

use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use crate::http;
use crate::pprof::{Frame, Profile, Sample};
use crate::series::{Id, Series};
use crate::service::Service;
use crate::wait::eventually;

const USUAL: u64 = 64 << 10;
const EVERY_ALLOCATION: u64 = 1;
const EXAMPLE: &str = include_str!("../../examples/leaky_service.rs");
const NEW_SESSION: &str = "leaky_service::new_session";
const SESSION_BYTES: i64 = 1_000;
/// What is counted and not sampled yet, or the reverse, at the moment of a reading: one for each thread of the runtime.
const IN_FLIGHT: i64 = 2;

fn leaky(sample_interval: u64) -> Service {
    let config = format!(
        "allocations: {{sample_interval: {sample_interval}}}\nprofiles: {{flamegraphs: on_demand}}"
    );
    Service::leaky(&config, &[], &["--leak-mb-per-hour", "2000"])
}

fn profile(service: &Service, path: &str) -> Profile {
    Profile::get(&format!("http://{}/debug/pprof/{path}", service.address))
}

/// Sessions opened so far, as the counters know it: each is one such operation, and nothing else of the component is.
fn sessions(service: &Service) -> i64 {
    let labels = [("component", "sessions"), ("operation", "alloc_zeroed")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let opened = |series: &Series| {
        let name = "memory_allocation_count_total";
        let (_, opened) = series
            .iter()
            .find(|(id, _)| **id == Id::new(name, labels.clone()))?;
        Some(*opened)
    };
    #[allow(clippy::cast_possible_truncation, reason = "a count")]
    let opened = opened(&service.series()).unwrap_or(0.0) as i64;
    opened
}

fn wait_for_sessions(service: &Service, number: i64) {
    eventually("sessions were opened", || {
        (sessions(service) >= number).then_some(())
    });
}

#[test]
fn the_head_says_what_the_numbers_are() {
    let service = leaky(USUAL);
    wait_for_sessions(&service, 1);
    for (path, shown_first) in [("heap", "inuse_space"), ("allocs", "alloc_space")] {
        let before = since_epoch();
        let profile = profile(&service, path);
        let pairs = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        let pair = |(name, unit): (&str, &str)| (name.to_owned(), unit.to_owned());
        assert_eq!(profile.sample_types, pairs.map(pair));
        assert_eq!(profile.default_sample_type, shown_first);
        assert_eq!(profile.period_type, pair(("space", "bytes")));
        assert_eq!(profile.period, USUAL);
        assert!((before..since_epoch()).contains(&profile.time_nanos));
        assert_eq!(profile.duration_nanos, 0);
        let [estimated, unsampled] = profile.comments.as_slice() else {
            panic!("{:?}", profile.comments);
        };
        assert_eq!(
            estimated,
            "estimated from samples, one every 65536 bytes on average"
        );
        let rest = "bytes were allocated before sampling began and are not in this profile";
        assert!(
            unsampled.starts_with("up to ") && unsampled.ends_with(rest),
            "{unsampled}"
        );
    }
}

#[test]
fn mappings_are_those_of_the_kernel_and_of_the_file() {
    let service = leaky(USUAL);
    wait_for_sessions(&service, 1);
    let profile = profile(&service, "heap");
    let pid = service.program.pid();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    for mapping in &profile.mappings {
        let line = format!("{:x}-{:x} r-xp", mapping.start, mapping.limit);
        let line = maps.lines().find(|known| known.starts_with(&line));
        let line = line.unwrap_or_else(|| panic!("{mapping:?} is not in\n{maps}"));
        let offset = line.split_whitespace().nth(2).expect("an offset");
        assert_eq!(
            u64::from_str_radix(offset, 16),
            Ok(mapping.offset),
            "{line}"
        );
        assert!(line.ends_with(&mapping.file), "{line}");
    }
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).expect("its program");
    let own = &profile.mappings[0];
    assert_eq!(program.to_str(), Some(&*own.file));
    assert!(own.has_functions && own.has_lines, "{own:?}");
    let notes = Command::new("readelf").arg("-n").arg(&program).output();
    let notes = String::from_utf8(notes.expect("readelf").stdout).expect("text");
    let build_id = notes
        .lines()
        .find_map(|line| line.trim().strip_prefix("Build ID: "));
    assert_eq!(build_id, Some(&*own.build_id), "{notes}");
}

#[test]
fn samples_lead_to_the_line_that_leaks() {
    let service = leaky(EVERY_ALLOCATION);
    wait_for_sessions(&service, 100);
    let before = sessions(&service);
    let profile = profile(&service, "heap?component=sessions");
    let after = sessions(&service);

    let [allocated, allocated_bytes, live, live_bytes] = profile.through(NEW_SESSION);
    assert!((before - IN_FLIGHT..=after).contains(&allocated));
    assert_eq!(live, allocated, "nobody closes a session");
    assert_eq!(
        [allocated_bytes, live_bytes],
        [allocated, live].map(|sessions| sessions * SESSION_BYTES)
    );

    let leaks = |sample: &&Sample| sample.frames().any(|frame| frame.name == NEW_SESSION);
    let sample = profile.samples.iter().find(leaks).expect("a leak");
    assert_eq!(sample.labels["component"], "sessions");
    let of_library = |frame: &&Frame| frame.file.contains("/library/alloc/");
    let frames = sample.frames().skip_while(of_library);
    for (frame, (name, code)) in frames.zip([
        (NEW_SESSION, "vec![0; SESSION_BYTES]"),
        (
            "leaky_service::Sessions::open",
            "self.open.push(new_session())",
        ),
        (
            "leaky_service::Service::handle::{{closure}}",
            "lock(&self.sessions).open(",
        ),
    ]) {
        let at = EXAMPLE.lines().position(|line| line.contains(code));
        assert_eq!(frame.name, name);
        assert!(
            frame.file.ends_with("examples/leaky_service.rs"),
            "{frame:?}"
        );
        assert_eq!(Some(frame.line), at.map(|at| at + 1), "{frame:?}");
    }
    assert_eq!(sample.stack[0].mapping, 1, "the program");
    let of_program = &profile.mappings[0];
    assert!((of_program.start..of_program.limit).contains(&sample.stack[0].address));
}

/// A difference holds what came within its seconds: counts that were scraped within them bound it from below, and those before the
/// request and behind the answer from above.
#[test]
fn a_difference_holds_what_came_within_its_seconds() {
    const PATH: &str = "heap?component=sessions&seconds=2";
    let service = leaky(EVERY_ALLOCATION);
    // Many more than can come meanwhile.
    wait_for_sessions(&service, 4_000);
    let mut scrapes = Vec::new();
    let mut scrape = || {
        let start = since_epoch();
        scrapes.push((start, sessions(&service), since_epoch()));
    };
    scrape();
    let (sender, answer) = mpsc::channel();
    let profile = std::thread::scope(|scope| {
        let service = &service;
        scope.spawn(move || drop(sender.send(profile(service, PATH))));
        loop {
            scrape();
            match answer.recv_timeout(Duration::from_millis(50)) {
                Ok(profile) => break profile,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("no profile"),
            }
        }
    });
    scrape();
    assert!(profile.duration_nanos >= 2_000_000_000);
    let end = profile.time_nanos;
    let start = end - profile.duration_nanos;
    let within: Vec<_> = scrapes
        .iter()
        .filter(|scrape| start < scrape.0 && scrape.2 < end)
        .collect();
    let [first, .., last] = within.as_slice() else {
        panic!("two scrapes within {start} to {end}: {scrapes:?}");
    };
    let [allocated, _, live, live_bytes] = profile.through(NEW_SESSION);
    let least = last.1 - first.1;
    let most = scrapes[scrapes.len() - 1].1 - scrapes[0].1;
    assert!(least > 0, "{scrapes:?}");
    let range = least - IN_FLIGHT..=most + IN_FLIGHT;
    assert!(range.contains(&allocated), "{allocated} not in {range:?}");
    assert_eq!((live, live_bytes), (allocated, allocated * SESSION_BYTES));
    let is_of_sessions = |sample: &Sample| sample.labels["component"] == "sessions";
    assert!(profile.samples.iter().all(is_of_sessions));
}

fn since_epoch() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_nanos()).expect("before 2554")
}

/// Who asks at night what grew must see the leak first.
#[test]
fn the_growth_of_the_example_shows_its_leak_first() {
    let service = Service::leaky("{}", &[], &["--leak-mb-per-hour", "7200"]);
    let url = format!(
        "http://{}/debug/flamegraph?since=5s&format=folded&frames=condensed",
        service.address
    );
    // At first the cache fills too; 2 MB/s of leak are soon ahead of it, and it is bounded.
    eventually("the leak is the widest path of what grew", || {
        let answer = http::get(&url, "");
        let value = |line: &str| line.rsplit_once(' ')?.1.parse::<u64>().ok();
        let widest = answer.body.lines().max_by_key(|line| value(line))?;
        let is_long_enough = value(widest)? > 8 << 20;
        (is_long_enough && widest.contains(";leaky_service::new_session (")).then_some(())
    });
}
