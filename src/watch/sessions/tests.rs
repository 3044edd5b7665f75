use std::collections::BTreeMap;

use super::*;
use crate::disk::victim;

const SESSION: &str = "1a2b3c4d-0000";
const NEXT: &str = "5e6f7a8b-0000";
const HOUR: Duration = Duration::from_secs(3600);

fn history(directory: &Path, retention: Duration) -> Sessions {
    sessions(directory, retention, NEXT)
}

fn sessions(directory: &Path, retention: Duration, session: &str) -> Sessions {
    let mut config = crate::config::Config::production().history;
    (config.directory, config.retention) = (Some(directory.to_owned()), retention);
    Sessions::of(&config, session).unwrap()
}

fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What a session has found that has written so often: one suspect, which grows, and `closed` that are none any more.
fn found_of(session: &str, number: u64, closed: usize) -> EarlierSession {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line =
        serde_json::json!({"function": "shop::cache::insert", "file": "src/cache.rs", "line": 41});
    let with_line = |mut rest: serde_json::Value| {
        let fields = line.as_object().unwrap().clone();
        rest.as_object_mut().unwrap().extend(fields);
        rest
    };
    let closed: Vec<_> = (0..closed)
        .map(|id| {
            with_line(serde_json::json!({
                "id": id, "worst_severity": "low", "component": "shop", "opened": now, "closed": now,
                "reason": "it stopped", "bytes": 10.5,
            }))
        })
        .collect();
    let part = with_line(serde_json::json!({
        "evidence": "survivors", "pattern": "steady", "since": now, "samples": 100, "bytes": number, "objects": 0.0,
        "mean_size_bytes": null, "growth_mb_per_hour": 1.5, "growth_mb_per_hour_low": 1.0, "growth_mb_per_hour_high": 2,
        "fit": 1.0, "acceleration": 1.0, "generations": 9, "freed_ratio": 0.1,
        "stacks": [{"site": 7, "frames": ["shop::cache::insert (src/cache.rs:41)", "main (src/main.rs:3)"]}],
    }));
    let suspect = with_line(serde_json::json!({
        "id": 1, "severity": "high", "worst_severity": "critical", "confidence": "high", "component": "shop",
        "summary": "it grows", "advice": "bound it", "pattern": "steady", "since": now, "age_seconds": 1.5, "opened": now,
        "bytes": number, "objects": 3.0, "growth_mb_per_hour": 1.5, "growth_mb_per_hour_low": 1.0,
        "growth_mb_per_hour_high": 2.0, "parts": [part],
    }));
    serde_json::from_value(serde_json::json!({
        "session_id": session, "last_written": now, "observed_since": now, "opened": number, "suspects": [suspect],
        "closed": closed,
    }))
    .unwrap()
}

fn found(number: u64) -> EarlierSession {
    found_of(SESSION, number, 2)
}

fn json(session: &EarlierSession) -> serde_json::Value {
    serde_json::to_value(session).unwrap()
}

/// How often each earlier session wrote, by its name.
fn earlier(sessions: &Sessions) -> BTreeMap<String, u64> {
    let earlier = sessions.earlier(SystemTime::now()).into_iter();
    let number = |session: &EarlierSession| json(session)["opened"].as_u64().unwrap();
    let all = earlier.map(|session| (session.session_id.clone(), number(&session)));
    all.collect()
}

fn one(session: &str, number: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(session.to_owned(), number)])
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join(WHAT)).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Files of sessions that ended so many hours ago, one an hour before the other.
fn leave(directory: &Path, sessions: u64, content: impl Fn(u64) -> Vec<u8>) {
    let path = directory.join(WHAT);
    fs::create_dir_all(&path).unwrap();
    for hours in 1..=sessions {
        let time = SystemTime::now() - HOUR * u32::try_from(hours).unwrap();
        let name = path.join(format!("{}{EXTENSION}", Id::new(time, SESSION, 1)));
        fs::write(&name, content(hours)).unwrap();
        fs::File::options()
            .write(true)
            .open(&name)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
}

#[test]
fn what_was_found_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = sessions(directory.path(), HOUR, SESSION);
    (0..3).for_each(|number| assert!(first.write(found(number))));
    assert_eq!(
        earlier(&first),
        BTreeMap::new(),
        "its own is none of earlier ones"
    );
    first.close();
    assert!(first.write(found(9)), "closed: not done, and no failure");
    // A session that is opened anew goes on beside what it wrote.
    let again = sessions(directory.path(), HOUR, SESSION);
    assert_eq!(earlier(&again), one(SESSION, 2));
    assert!(again.write(found(3)));
    assert_eq!(earlier(&again), one(SESSION, 2));
    again.close();

    let second = history(directory.path(), HOUR);
    let all = second.earlier(SystemTime::now());
    assert_eq!(all.len(), 2);
    assert_eq!(json(&all[0])["opened"], 3, "the latest first");
    let (mut kept, mut expected) = (json(&all[0]), json(&found(3)));
    assert!(expected["suspects"][0]["parts"][0]["stacks"][0]["frames"][1].is_string());
    for time in ["last_written", "observed_since", "suspects", "closed"] {
        // A second may have passed since.
        let is_time = kept[time].is_string();
        assert!(
            is_time
                || kept[time].as_array().unwrap().len() == expected[time].as_array().unwrap().len()
        );
        kept[time] = expected[time].take();
    }
    assert_eq!(kept["session_id"], SESSION);
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let own = sessions(directory.path(), HOUR, SESSION);
    let same = found(1);
    assert!(own.write(same.clone()));
    let file = directory
        .path()
        .join(WHAT)
        .join(&names(directory.path())[0]);
    fs::write(&file, "marked").unwrap();
    let mut later = same;
    later.last_written += 1000;
    assert!(own.write(later));
    assert_eq!(fs::read(&file).unwrap(), b"marked");
    assert!(own.write(found(2)));
    assert_ne!(fs::read(&file).unwrap(), b"marked");
}

#[test]
fn there_is_a_bound_of_number_bytes_and_age() {
    let directory = tempfile::tempdir().unwrap();
    let content = |hours: u64| {
        let mut found = found(hours);
        found.last_written = milliseconds(SystemTime::now() - HOUR * u32::try_from(hours).unwrap());
        serde_json::to_vec(&found).unwrap()
    };
    leave(directory.path(), 30, content);
    let recent = history(directory.path(), 5 * HOUR);
    let numbers = |sessions: &Sessions| -> Vec<_> {
        let earlier = sessions.earlier(SystemTime::now());
        earlier
            .iter()
            .map(|session| json(session)["opened"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&recent), [1, 2, 3, 4]);
    // Those that are too old are not shown, and go one by one, as the clock may be wrong.
    assert_eq!(names(directory.path()).len(), MOST_SESSIONS - 1);
    for number in 0..3 {
        assert!(recent.write(found_of(NEXT, number, 0)));
        let left = MOST_SESSIONS - 1 - usize::try_from(number).unwrap();
        assert_eq!(names(directory.path()).len(), left, "its own included");
    }
    recent.close();
    leave(directory.path(), 12, |_| vec![b' '; MOST_SESSION_BYTES]);
    let large = history(directory.path(), 100 * HOUR);
    let bytes = |name: &String| {
        fs::metadata(directory.path().join(WHAT).join(name))
            .unwrap()
            .len()
    };
    assert!(large.write(found_of(NEXT, 1, 0)));
    let all: u64 = names(directory.path()).iter().map(bytes).sum();
    assert!(
        all <= MOST_BYTES && all > MOST_BYTES - 2 * MOST_SESSION_BYTES as u64,
        "{all}"
    );
}

#[test]
fn of_very_much_what_is_worth_least_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let own = sessions(directory.path(), HOUR, SESSION);
    assert!(own.write(found_of(SESSION, 1, 10_000)));
    own.close();
    let next = history(directory.path(), HOUR);
    let kept = json(&next.earlier(SystemTime::now())[0]);
    let ids: Vec<_> = kept["closed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|closed| closed["id"].as_u64())
        .collect();
    assert!(
        ids.len() > 500 && ids.len() < 10_000 && ids[0] == Some(0),
        "{}",
        ids.len()
    );
    assert_eq!(kept["suspects"].as_array().unwrap().len(), 1);
}

#[test]
fn who_finds_no_place_goes_on_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    fs::write(&path, "in its place").unwrap();
    let log = victim::logged(|| {
        let homeless = sessions(&path.join("deeper"), HOUR, SESSION);
        (0..3).for_each(|number| assert!(!homeless.write(found(number))));
        assert_eq!(earlier(&homeless), BTreeMap::new());
        fs::remove_file(&path).unwrap();
        assert!(homeless.write(found(3)));
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(earlier(&homeless), BTreeMap::new());
        // Nothing has changed, but it is not there any more.
        assert!(!homeless.write(found(4)));
        assert!(homeless.write(found(4)));
        homeless.close();
        assert_eq!(
            earlier(&history(&path.join("deeper"), HOUR)),
            one(SESSION, 4)
        );
    });
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
    assert_eq!(log.matches("kept on disk again").count(), 2, "{log}");
}

#[test]
fn a_second_process_leaves_what_the_first_found_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = sessions(directory.path(), HOUR, SESSION);
    assert!(first.write(found(1)));
    let second = history(directory.path(), HOUR);
    (0..3).for_each(|number| assert!(!second.write(found_of(NEXT, number, 0))));
    assert_eq!(earlier(&second), BTreeMap::new());
    assert!(first.write(found(2)));
    drop(first);
    assert!(second.write(found_of(NEXT, 3, 0)));
    assert_eq!(earlier(&second), one(SESSION, 2));
}

#[test]
fn garbage_is_left_out_and_told_once() {
    let directory = tempfile::tempdir().unwrap();
    leave(directory.path(), 4, |hours| match hours {
        1 => serde_json::to_vec(&found(1)).unwrap(),
        2 => b"{\"session_id\": \"x\"}".to_vec(),
        3 => vec![0; 1000],
        _ => serde_json::to_vec(&found(4)).unwrap()[..200].to_vec(),
    });
    let path = directory.path().join(WHAT);
    fs::write(path.join("2026-11-25T222300Z-1a2b3c4d.json.new"), "half").unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    fs::create_dir(path.join("2026-11-25T222300Z-0.json")).unwrap();
    let log = victim::logged(|| {
        let next = history(directory.path(), 100 * HOUR);
        for number in 0..3 {
            assert_eq!(earlier(&next), one(SESSION, 1));
            assert!(next.write(found_of(NEXT, number, 0)));
        }
    });
    assert_eq!(log.matches("WARN").count(), 4, "{log}");
    let names = names(directory.path());
    assert!(
        names.contains(&"notes.txt".to_owned()) && !names.concat().contains(NEW),
        "{names:?}"
    );
}

#[test]
fn a_kill_loses_the_last_interval_at_most() {
    if let Some(directory) = victim::role() {
        let session = format!("{}-0000", directory.file_name().unwrap().to_str().unwrap());
        let root = directory.parent().unwrap();
        let own = sessions(root, HOUR, &session);
        for number in 0.. {
            assert!(own.write(found_of(&session, number, 20)));
            victim::say(number);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "watch::sessions::tests::a_kill_loses_the_last_interval_at_most";
    let mut before = BTreeMap::new();
    for kill in 0..100 {
        let name = format!("{kill:04}");
        let last = victim::kill(test, &directory.path().join(&name));
        let next = history(directory.path(), HOUR);
        let earlier = earlier(&next);
        // What was being written when it was killed may be there or not.
        let session = format!("{name}-0000");
        let newest = earlier[&session];
        assert!(
            (last..=last + 1).contains(&newest),
            "kill {kill}: {last}, {newest}"
        );
        // Those before it are as they were, the oldest perhaps gone.
        let others = earlier.iter().filter(|(other, _)| **other != session);
        assert!(
            others
                .clone()
                .all(|(other, number)| before.get(other) == Some(number)),
            "kill {kill}"
        );
        assert_eq!(
            others.count(),
            before.len().min(MOST_SESSIONS - 2),
            "kill {kill}"
        );
        assert!(
            !names(directory.path()).concat().contains(NEW),
            "kill {kill}"
        );
        before = earlier;
    }
}

#[test]
fn a_full_disk_leaves_what_was_written_before() {
    if let Some(directory) = victim::role() {
        let own = sessions(&directory, HOUR, SESSION);
        assert!(own.write(found(1)));
        (2..5).for_each(|number| assert!(!own.write(found_of(SESSION, number, 200))));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "watch::sessions::tests::a_full_disk_leaves_what_was_written_before";
    victim::cramp(test, directory.path(), 10_000);
    assert_eq!(names(directory.path()).len(), 1);
    let next = history(directory.path(), HOUR);
    assert_eq!(earlier(&next), one(SESSION, 1));
}
