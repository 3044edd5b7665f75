//! What survives the process.

use super::*;

#[test]
fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deeper");
    let yaml = format!("history: {{directory: {path:?}}}\nalerts: {{repeat_interval: 1h}}");
    let mut process = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    process.uses(Some(720), 10);
    process.uses(Some(100), 10);
    process.uses(Some(720), 10);
    process.news();
    let before = process.manager.alerts();
    let now = process.snapshot.time;
    let matchers = vec!["component=\"a \\\"b\"".parse().unwrap()];
    let times = (now, now + Duration::from_secs(86_400));
    let silence = process
        .manager
        .silence(matchers, times, Some("ada".to_owned()), None);
    let silence = silence.unwrap();
    let id = before[0].id;
    let acknowledgement = Acknowledgement {
        at: now,
        by: Some("bob".to_owned()),
    };
    process
        .manager
        .acknowledge(id, acknowledgement.clone())
        .unwrap();
    process.uses(Some(720), 1);

    // Killed. It still needs so much: the page goes on, and nobody is told again.
    let mut process = process.restart(&yaml);
    process.uses(Some(720), 10);
    assert_eq!(process.news(), []);
    let alert = process.manager.alerts()[0].clone();
    assert_eq!((alert.id, alert.fired_at), (id, before[0].fired_at));
    assert_eq!(alert.acknowledged, Some(acknowledgement));
    let silences = process.manager.silences(now);
    assert_eq!(
        (silences[0].id, silences[0].by.as_deref()),
        (silence.id, Some("ada"))
    );
    assert_eq!(
        silences[0].matchers[0].to_string(),
        silence.matchers[0].to_string()
    );
    let is_past = |alert: &&Alert| alert.state() == "resolved" && alert.is_told;
    let past: Vec<u64> = before
        .iter()
        .filter(is_past)
        .map(|alert| alert.id)
        .collect();
    assert!(!past.is_empty());
    for id in past {
        assert!(process.manager.alerts().iter().any(|alert| alert.id == id));
    }

    // Killed again. It needs no more: the page ends as it would have without the kill, and new alerts have new numbers.
    let mut process = process.restart(&yaml);
    process.uses(Some(100), 4);
    assert_eq!(process.news(), []);
    process.uses(Some(100), 2);
    assert_eq!(
        process.news(),
        [told(Event::Resolved, &format!("{CRITICAL} over"))]
    );
    process.uses(Some(720), 10);
    assert!(process.manager.alerts()[0].id > silence.id);
}

#[test]
fn what_cannot_be_read_is_put_aside_and_who_comes_second_keeps_out() {
    let directory = tempfile::tempdir().unwrap();
    let yaml = format!("history: {{directory: {:?}}}", directory.path());
    std::fs::write(directory.path().join("alerts.json"), "{\"last_id\": 7, ").unwrap();
    let mut first = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    let aside = std::fs::read_to_string(directory.path().join("alerts.json.unreadable"));
    assert_eq!(aside.unwrap(), "{\"last_id\": 7, ");
    let mut second = Process::configured(&yaml, SystemTime::UNIX_EPOCH);
    second.uses(Some(720), 5);
    let written = directory.path().join("alerts.json");
    assert!(!written.exists(), "two write to one place");
    first.uses(Some(720), 5);
    assert!(written.exists());
    // Both told their people all the same.
    assert_eq!(second.news(), first.news());
    // No directory to be had: alerts go on.
    let file = directory.path().join("alerts.lock").join("x");
    let mut third = Process::configured(
        &format!("history: {{directory: {file:?}}}"),
        SystemTime::UNIX_EPOCH,
    );
    third.uses(Some(720), 5);
    assert_eq!(third.news(), [told(Event::Firing, CRITICAL)]);
}
