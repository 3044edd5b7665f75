//! Channels that are slow, away, or say no, on a clock that runs by itself.

mod scene;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::alert::channel::Retry;
use crate::alert::message::{Event, Message};
use crate::catalog::AlertSeverity;

use scene::{Behaviour, Scene, message, seconds};

const SOON: Behaviour = Behaviour::Refuses(Retry::Soon(None));

#[tokio::test(start_paused = true)]
async fn one_that_is_bad_delays_no_other() {
    let mut scene = Scene::of(&["kind: log"; 4], "");
    scene.script(0, &[SOON; 1_000]);
    scene.script(1, &[Behaviour::Hangs(Duration::from_secs(3_600))]);
    scene.script(2, &[Behaviour::Refuses(Retry::Late); 1_000]);
    let _task = scene.run();
    for (group, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        scene.offer(Event::Firing, group, value);
        seconds(1).await;
    }
    let words = ["Firing 1", "Firing 2", "Firing 3"];
    let got: Vec<_> = scene
        .got(3)
        .into_iter()
        .map(|(at, word, _)| (at, word))
        .collect();
    assert_eq!(got, (0..).zip(words.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(
        scene.taken(0).len() + scene.taken(1).len() + scene.taken(2).len(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_now_comes_again_later_and_later_and_none_is_lost() {
    let mut scene = Scene::of(&["kind: log"], "");
    scene.script(0, &[SOON; 40]);
    let _task = scene.run();
    for value in ["1", "2", "3"] {
        scene.offer(Event::Firing, value, value);
    }
    seconds(3_600).await;
    assert_eq!(scene.taken(0), ["Firing 1", "Firing 2", "Firing 3"]);
    assert_eq!(scene.counts(0), (3, 40, 0));
    let times: Vec<u64> = scene.got(0).iter().map(|(at, ..)| *at).collect();
    // At most one attempt in a quarter of a second at first, and in a quarter of a minute later.
    assert!(times[39] > 35 * 15, "{times:?}");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest.unwrap() <= 46, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_when_is_left_alone_until_then() {
    let mut scene = Scene::of(&["kind: log"], "");
    let hint = Duration::from_secs(600);
    scene.script(0, &[Behaviour::Refuses(Retry::Soon(Some(hint)))]);
    let _task = scene.run();
    scene.offer(Event::Firing, "a", "1");
    seconds(1).await;
    // What comes meanwhile waits too.
    scene.offer(Event::Firing, "b", "2");
    seconds(700).await;
    let got = scene.got(0);
    assert_eq!(got.len(), 3, "{got:?}");
    assert!((600..602).contains(&got[1].0), "{got:?}");
    assert_eq!(scene.taken(0), ["Firing 1", "Firing 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_given_up_and_what_can_be_put_right_is_not() {
    let mut scene = Scene::of(&["kind: log"], "");
    scene.script(0, &[Behaviour::Refuses(Retry::Never)]);
    scene.script(0, &[Behaviour::Refuses(Retry::Late); 5]);
    let _task = scene.run();
    scene.offer(Event::Firing, "a", "1");
    scene.offer(Event::Firing, "b", "2");
    seconds(290).await;
    assert_eq!(scene.counts(0), (0, 6, 1));
    let view = &scene.outlets.views()[0];
    assert_eq!((view.waiting, view.trouble.as_deref()), (1, Some("no")));
    seconds(20).await;
    assert_eq!(scene.taken(0), ["Firing 2"]);
    assert_eq!(scene.counts(0), (1, 6, 1));
    assert_eq!(scene.outlets.views()[0].trouble, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_finds_a_flood_when_a_receiver_is_back() {
    let mut scene = Scene::of(&["kind: log"], "");
    scene.script(0, &[SOON; 200]);
    let _task = scene.run();
    scene.offer(Event::Firing, "a", "1");
    seconds(1).await;
    // The first is under way. Of the others only what is news waits: that it fires, with the last value, and that it ended.
    for value in ["2", "3", "4"] {
        scene.offer(Event::StillFiring, "a", value);
    }
    scene.offer(Event::Firing, "b", "5");
    scene.offer(Event::StillFiring, "b", "6");
    scene.offer(Event::Resolved, "b", "7");
    scene.offer(Event::Acknowledged, "a", "8");
    seconds(3 * 3_600).await;
    let expected = ["Firing 1", "StillFiring 4", "Firing 6", "Resolved 7"];
    assert_eq!(scene.taken(0), expected);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_what_goes_is_counted() {
    for most in [1_usize, 3] {
        let mut scene = Scene::of(&["kind: log"], &format!("most_waiting: {most}"));
        scene.script(0, &[SOON; 3]);
        let _task = scene.run();
        scene.offer(Event::Firing, "first", "first");
        seconds(0).await;
        tokio::task::yield_now().await;
        for number in 0..10 {
            let text = number.to_string();
            scene.offer(Event::Firing, &text, &text);
        }
        assert_eq!(scene.outlets.views()[0].waiting, most + 1);
        seconds(600).await;
        let mut expected = vec!["Firing first".to_owned()];
        expected.extend((10 - most..10).map(|number| format!("Firing {number}")));
        assert_eq!(scene.taken(0), expected);
        let dropped = 10 - most as u64;
        assert_eq!(scene.counts(0), (most as u64 + 1, 3, dropped));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_given_up() {
    let mut scene = Scene::of(&["kind: log"], "give_up_after: 10s");
    let old = Message {
        made_at: SystemTime::now() - Duration::from_secs(11),
        ..message(Event::Firing, "a", &[("1", AlertSeverity::Critical)])
    };
    scene.outlets.offer(&Arc::new(old));
    scene.offer(Event::Firing, "b", "2");
    let _task = scene.run();
    seconds(1).await;
    assert_eq!(scene.taken(0), ["Firing 2"]);
    assert_eq!(scene.counts(0), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn each_hears_only_what_is_for_him() {
    let entries = [
        "kind: log",
        "kind: log, severity: critical",
        "kind: log, send_resolved: false",
    ];
    let mut scene = Scene::of(&entries, "");
    let _task = scene.run();
    let (critical, warning) = (AlertSeverity::Critical, AlertSeverity::Warning);
    for (event, values) in [
        (Event::Firing, vec![("1", warning)]),
        (Event::Firing, vec![("2", warning), ("3", critical)]),
        (Event::Acknowledged, vec![("4", critical)]),
        (Event::Resolved, vec![("5", critical), ("6", warning)]),
    ] {
        scene.outlets.offer(&Arc::new(message(event, "a", &values)));
        seconds(1).await;
    }
    // To who hears only of what is critical, a group is over when that is.
    let mut mixed = message(Event::StillFiring, "a", &[("7", warning), ("8", critical)]);
    mixed.notices[1].resolved_at = Some(SystemTime::now());
    scene.outlets.offer(&Arc::new(mixed));
    seconds(1).await;
    let all = ["Firing 1", "Firing 2", "Resolved 5", "StillFiring 7"];
    assert_eq!(scene.taken(0), all);
    assert_eq!(scene.taken(1), ["Firing 3", "Resolved 5", "Resolved 8"]);
    assert_eq!(scene.taken(2), ["Firing 1", "Firing 2", "StillFiring 7"]);
}

#[tokio::test(start_paused = true)]
async fn who_wants_to_know_all_is_told_what_changes_at_once_and_the_rest_again_and_again() {
    let peer = "kind: alertmanager, urls: ['http://a:1']";
    let mut scene = Scene::of(&[peer, peer, "kind: log"], "resend_interval: 1m");
    scene.script(1, &[SOON; 6]);
    let _task = scene.run();
    let critical = AlertSeverity::Critical;
    // Nothing is said of nothing.
    scene.outlets.offer_all(message(Event::Firing, "", &[]));
    seconds(300).await;
    assert_eq!(scene.got(0), []);
    let mut all = message(Event::Firing, "", &[("1", critical)]);
    scene.outlets.offer_all(all.clone());
    for _ in 0..10 {
        seconds(10).await;
        scene.outlets.offer_all(all.clone());
    }
    all.notices[0].resolved_at = Some(SystemTime::now());
    scene.outlets.offer_all(all.clone());
    seconds(10).await;
    let times: Vec<u64> = scene.got(0).iter().map(|(at, ..)| *at - 300).collect();
    assert_eq!(times, [0, 60, 100]);
    let last = scene.channels[0]
        .1
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .1
        .clone();
    assert!(last.notices[0].resolved_at.is_some());
    // A peer that was away is told how it stands now, not how it stood.
    let taken = scene.taken(1);
    assert!((1..=3).contains(&taken.len()), "{:?}", scene.got(1));
    assert!(scene.got(2).is_empty(), "no message was offered");
    assert_eq!(scene.counts(1).1, 6);
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_is_left_but_not_for_long() {
    let mut scene = Scene::of(&["kind: log", "kind: log"], "");
    scene.script(0, &[Behaviour::Refuses(Retry::Late)]);
    scene.script(1, &[SOON; 1_000]);
    let task = scene.run();
    scene.offer(Event::Firing, "a", "1");
    seconds(1).await;
    scene.offer(Event::Resolved, "a", "2");
    let before = Instant::now();
    drop(scene.end.take());
    task.await.unwrap();
    // What would have been tried in a minute got its chance.
    assert_eq!(scene.taken(0), ["Firing 1", "Resolved 2"]);
    assert_eq!(scene.taken(1), Vec::<String>::new());
    assert_eq!(before.elapsed().as_secs(), 5);
}

/// A reload puts other channels in the place of these.
#[tokio::test(start_paused = true)]
async fn what_waits_goes_on_under_its_name_and_is_given_up_where_the_name_is_gone() {
    let mut before = Scene::of(&["kind: log"; 2], "");
    before.script(0, &[Behaviour::Refuses(Retry::Late); 10]);
    before.script(1, &[Behaviour::Hangs(Duration::from_secs(3_600))]);
    let task = before.run();
    for value in ["1", "2", "3"] {
        before.offer(Event::Firing, value, value);
    }
    seconds(5).await;
    task.abort();
    let mut after = Scene::of(&["kind: log"], "");
    after.offer(Event::Firing, "4", "4");
    after.outlets.inherit(&before.outlets);
    let _task = after.run();
    seconds(5).await;
    assert_eq!(
        after.taken(0),
        ["Firing 1", "Firing 2", "Firing 3", "Firing 4"]
    );
    assert_eq!(before.counts(1), (0, 0, 3));
}
