use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::config::Profile;
use crate::disk::victim;

const SESSION: &str = "1a2b3c4d-0000";
const NEXT: &str = "5e6f7a8b-0000";
const HOUR: Duration = Duration::from_secs(3600);

/// With `profiles` and `history` as given, below the directory.
fn store(directory: Option<&Path>, profiles: &str, session: &str) -> Store {
    let directory = directory.map_or("".as_ref(), |directory| directory);
    let yaml =
        format!("profiles: {{{profiles}}}\nhistory: {{directory: {directory:?}, retention: 2h}}");
    let config = Config::load(Profile::Production, &yaml, []).unwrap();
    Store::new(&config, Some(session))
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// One whose content says which it is.
fn profile(seconds: u64, bytes: usize) -> New {
    New {
        time: at(seconds),
        trigger: Trigger::Continuous,
        period: 512,
        live_bytes: seconds,
        pprof: vec![seconds.to_le_bytes()[0]; bytes].into(),
    }
}

/// Which there are, each read back.
fn kept(store: &Store) -> BTreeSet<u64> {
    let all = store.all().into_iter().map(|stored| {
        let (read, pprof) = store.read(&stored.id).unwrap().unwrap();
        assert_eq!((&read, pprof.len() as u64), (&stored, stored.size_bytes));
        let own = stored.live_bytes.to_le_bytes()[0];
        assert!(pprof.iter().all(|byte| *byte == own), "{stored:?}");
        assert_eq!(stored.time, at(stored.live_bytes));
        stored.live_bytes
    });
    all.collect()
}

fn in_memory(store: &Store) -> usize {
    lock(&store.ring).kept.len()
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    numbers.into_iter().collect()
}

#[test]
fn in_memory_the_oldest_goes_first_and_names_are_unique() {
    let store = store(None, "keep: 3", SESSION);
    for seconds in [0, 1, 1, 1] {
        assert!(store.keep(profile(seconds, 10)));
    }
    let name = "continuous-2023-11-14T221321Z-1a2b3c4d";
    let ids: Vec<_> = store.all().into_iter().map(|stored| stored.id).collect();
    assert_eq!(
        ids,
        [name.to_owned(), format!("{name}-2"), format!("{name}-3")]
    );
    assert!(
        store
            .read("continuous-2023-11-14T221320Z-1a2b3c4d")
            .unwrap()
            .is_none()
    );
    assert_eq!(store.age(at(5)), Some(Duration::from_secs(4)));
}

#[test]
fn in_memory_large_profiles_leave_room_for_few() {
    let large = store(None, "keep: 100", SESSION);
    (0..10).for_each(|seconds| assert!(large.keep(profile(seconds, MOST_BYTES / 4))));
    assert_eq!(kept(&large), numbers(6..10));
    large.keep(profile(11, MOST_BYTES * 2));
    assert_eq!(kept(&large), numbers([11]));
    let small = store(None, "max_bytes: 1MiB", SESSION);
    (0..3).for_each(|seconds| assert!(small.keep(profile(seconds, 600 << 10))));
    assert_eq!(kept(&small), numbers([2]));
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_in_memory_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(Some(directory.path()), "keep: 60", SESSION);
    (0..3).for_each(|seconds| assert!(first.keep(profile(seconds, 1000))));
    assert_eq!((in_memory(&first), kept(&first)), (0, numbers(0..3)));
    assert!(first.bytes() < 3 * 1000, "only the list is in memory");
    let ids =
        |store: &Store| -> BTreeSet<_> { store.all().into_iter().map(|kept| kept.id).collect() };
    let before = ids(&first);
    first.close();
    assert!(
        first.keep(profile(9, 10)),
        "closed: in memory, and no failure"
    );
    assert_eq!(kept(&first), numbers([9]));

    let second = store(Some(directory.path()), "keep: 60", NEXT);
    assert_eq!((ids(&second), second.age(at(5))), (before, None));
    assert!(
        second
            .all()
            .iter()
            .all(|kept| kept.session_id == SESSION && kept.trigger == "continuous")
    );
    assert!(second.keep(profile(3, 10)));
    assert_eq!(kept(&second), numbers(0..4));
}

#[test]
fn on_disk_there_is_a_bound_of_number_bytes_and_age() {
    let directory = tempfile::tempdir().unwrap();
    let few = store(Some(directory.path()), "keep: 2", SESSION);
    (0..4).for_each(|seconds| assert!(few.keep(profile(seconds, 10))));
    assert_eq!(kept(&few), numbers(2..4));
    few.close();
    let small = store(Some(directory.path()), "max_bytes: 1MiB", SESSION);
    (4..8).for_each(|seconds| assert!(small.keep(profile(seconds, 300 << 10))));
    assert_eq!(kept(&small), numbers(5..8));
    // One that exceeds all by itself stays in memory until there is another.
    assert!(!small.keep(profile(8, 2 << 20)));
    assert_eq!((in_memory(&small), kept(&small)), (1, numbers(5..9)));
    assert!(small.keep(profile(9, 10)));
    assert_eq!(
        (in_memory(&small), kept(&small)),
        (0, numbers([5, 6, 7, 9]))
    );
    small.close();
    let old = store(Some(directory.path()), "keep: 60", SESSION);
    assert!(!old.is_forgetting_due(at(5) + 2 * HOUR));
    let later = at(7) + 2 * HOUR;
    assert!(old.is_forgetting_due(later) && old.forget(later));
    assert_eq!(kept(&old), numbers([7, 9]));
}

#[test]
fn who_finds_no_place_keeps_in_memory_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    fs::write(&path, "in its place").unwrap();
    let log = victim::logged(|| {
        let homeless = store(Some(&path), "keep: 60", SESSION);
        (0..3).for_each(|seconds| assert!(!homeless.keep(profile(seconds, 10))));
        assert_eq!((in_memory(&homeless), kept(&homeless)), (3, numbers(0..3)));
        fs::remove_file(&path).unwrap();
        assert!(homeless.keep(profile(3, 10)));
        assert_eq!((in_memory(&homeless), kept(&homeless)), (0, numbers(0..4)));
        // It goes away: those on disk are lost, and no answer is worse than that they are not there.
        let lost = homeless.all().remove(0);
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, "in its place").unwrap();
        assert_eq!(homeless.read(&lost.id).unwrap(), None);
        assert!(!homeless.keep(profile(4, 10)));
        assert_eq!(kept(&homeless), numbers([4]));
        assert_eq!(homeless.read(&lost.id).unwrap(), None);
        assert!(!homeless.keep(profile(5, 10)));
        fs::remove_file(&path).unwrap();
        assert!(homeless.keep(profile(6, 10)));
        assert_eq!((in_memory(&homeless), kept(&homeless)), (0, numbers(4..7)));
    });
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
    assert_eq!(log.matches("kept on disk again").count(), 2, "{log}");
}

#[test]
fn a_second_process_leaves_those_of_the_first_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(Some(directory.path()), "keep: 2", SESSION);
    (0..2).for_each(|seconds| assert!(first.keep(profile(seconds, 10))));
    let second = store(Some(directory.path()), "keep: 2", NEXT);
    (10..15).for_each(|seconds| assert!(!second.keep(profile(seconds, 10))));
    assert_eq!(kept(&first), numbers(0..2));
    assert_eq!(kept(&second), numbers(13..15));
    // The first one ends: the second has its place, and what it kept meanwhile.
    drop(first);
    assert!(second.keep(profile(15, 10)));
    assert_eq!((in_memory(&second), kept(&second)), (0, numbers(14..16)));
}

#[test]
fn garbage_is_left_alone_and_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(WHAT);
    fs::create_dir_all(path.join("2023-11-14T221321Z-1a2b3c4d")).unwrap();
    fs::write(
        path.join("2023-11-14T221321Z-1a2b3c4d")
            .join("evidence.json"),
        [7; 100],
    )
    .unwrap();
    fs::write(path.join("2023-11-14T221322Z-1a2b3c4d"), "no directory").unwrap();
    fs::write(path.join("garbage"), [0; 1000]).unwrap();
    let store = store(Some(directory.path()), "keep: 1", SESSION);
    (1..4).for_each(|seconds| assert!(store.keep(profile(seconds, 10))));
    assert_eq!(kept(&store), numbers([3]));
    assert_eq!(fs::read_dir(path).unwrap().count(), 4);
}

#[test]
fn a_kill_loses_nothing_that_was_written() {
    if let Some(directory) = victim::role() {
        let store = store(Some(&directory), "keep: 5", SESSION);
        let first = kept(&store).last().map_or(0, |last| last + 1);
        for number in first.. {
            assert!(store.keep(profile(number, 20_000)));
            victim::say(number);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "profile::store::tests::a_kill_loses_nothing_that_was_written";
    for kill in 0..100 {
        let last = victim::kill(test, directory.path());
        let next = store(Some(directory.path()), "keep: 5", NEXT);
        let kept = kept(&next);
        let newest = *kept.last().unwrap();
        // What was being written when it was killed may be there or not, and one more may have made room for it.
        assert!(
            (last..=last + 1).contains(&newest),
            "kill {kill}: {last}, {kept:?}"
        );
        let oldest = (newest + 1).saturating_sub(5);
        let whole = numbers(oldest..=newest);
        assert!(
            kept == whole || kept == numbers(oldest + 1..=newest),
            "kill {kill}: {kept:?}"
        );
        // A directory that was made just then may be left, and is swept when it is an hour old.
        let entries = fs::read_dir(directory.path().join(WHAT)).unwrap();
        let is_empty = |path: &Path| fs::read_dir(path).unwrap().next().is_none();
        let left = entries.filter(|entry| !is_empty(&entry.as_ref().unwrap().path()));
        assert_eq!(
            left.count(),
            kept.len(),
            "kill {kill}: something half-written is left"
        );
    }
}

#[test]
fn a_full_disk_costs_no_profile_until_the_end_of_the_process() {
    if let Some(directory) = victim::role() {
        let store = store(Some(&directory), "keep: 60", SESSION);
        assert!(store.keep(profile(0, 1000)));
        assert!(!store.keep(profile(1, 50_000)));
        assert!(!store.keep(profile(2, 50_000)));
        assert_eq!((in_memory(&store), kept(&store)), (2, numbers(0..3)));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "profile::store::tests::a_full_disk_costs_no_profile_until_the_end_of_the_process";
    victim::cramp(test, directory.path(), 10_000);
    let next = store(Some(directory.path()), "keep: 60", NEXT);
    assert_eq!(kept(&next), numbers([0]));
    assert_eq!(
        fs::read_dir(directory.path().join(WHAT)).unwrap().count(),
        1
    );
}
