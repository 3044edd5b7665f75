//! A clock that jumps ahead: by a day, as when a machine sleeps.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_clock_that_jumps_ahead_tells_nothing_untrue() {
    let mut process = Process::new();
    process.uses(Some(100), 60);
    process.snapshot.time += DAY;
    process.uses(Some(100), 60);
    assert_eq!(process.news(), []);
    assert_eq!(process.usage(), []);
    // What begins behind the jump takes its time, as always.
    process.uses(Some(720), 1);
    assert_eq!(process.usage()[0].1, "pending");
    assert_eq!(process.news(), []);
    process.uses(Some(720), 5);
    assert_eq!(process.news(), [told(Event::Firing, CRITICAL)]);
    // What fires goes on, and ends as it would have.
    process.snapshot.time += DAY;
    process.uses(Some(720), 1);
    assert_eq!(process.usage()[0].1, "firing");
    process.uses(Some(100), 12);
    let is_over = |(_, state, ..): &(_, &str, _, _)| *state == "resolved";
    assert!(process.usage().iter().all(is_over));
}
