//! Every fault that the exporter must survive, and the tests that show that it does: [`FAULTS`]. What is missing elsewhere stands in the
//! files beside this one, by what fails:
//!
//! | file | fault |
//! |---|---|
//! | `disk.rs` | the disk is full, may not be written, is gone |
//! | `kernel.rs` | `/proc` and control groups vanish, are malformed, are of another process |
//! | `descriptors.rs` | no file descriptors are left |
//! | `requests.rs` | too many requests, slow ones, broken ones |
//! | `program.rs` | no fault: the binary in a hostile world |

mod descriptors;
mod disk;
mod kernel;
mod program;
mod requests;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A fault, and the tests of it: a file, and functions in it.
type Fault = (
    &'static str,
    &'static [(&'static str, &'static [&'static str])],
);

/// The table.
const FAULTS: &[Fault] = &[
    (
        "kill -9 at a random moment while history is written",
        &[(
            "src/snapshot/archive.rs",
            &["a_kill_loses_nothing_that_was_written"],
        )],
    ),
    (
        "kill -9 at a random moment while evidence is written",
        &[
            (
                "src/profile/evidence/temporary.rs",
                &["what_the_dead_left_is_swept_and_what_the_living_write_is_not"],
            ),
            (
                "src/profile/evidence/store.rs",
                &["what_dead_writers_left_is_swept_and_never_listed"],
            ),
            (
                "tests/limit.rs",
                &["the_kill_is_foretold_and_the_evidence_survives_it"],
            ),
        ],
    ),
    (
        "disk full",
        &[
            (
                "src/snapshot/archive.rs",
                &["a_full_disk_costs_moments_and_nothing_else"],
            ),
            (
                "tests/it/faults/disk.rs",
                &[
                    "a_disk_that_fills_up_costs_what_would_have_been_kept_meanwhile",
                    "a_disk_that_is_full_from_the_start_is_used_when_it_can_be",
                ],
            ),
        ],
    ),
    (
        "directory read-only",
        &[(
            "tests/it/faults/disk.rs",
            &[
                "a_directory_that_becomes_read_only_does_too",
                "a_directory_that_is_read_only_from_the_start_is_too",
            ],
        )],
    ),
    (
        "directory removed",
        &[
            (
                "tests/it/faults/disk.rs",
                &["a_directory_that_is_removed_does_too"],
            ),
            (
                "tests/it/history.rs",
                &["who_finds_no_place_keeps_the_past_in_memory"],
            ),
            (
                "src/profile/evidence/store.rs",
                &["a_directory_that_went_away_is_an_error_and_the_list_stays"],
            ),
        ],
    ),
    (
        "what was kept is damaged, or of somebody else",
        &[
            (
                "src/snapshot/archive.rs",
                &["what_is_no_history_is_put_aside"],
            ),
            (
                "src/alert/manager/tests/restart.rs",
                &["what_cannot_be_read_is_put_aside_and_who_comes_second_keeps_out"],
            ),
            (
                "src/profile/evidence/store.rs",
                &["what_is_damaged_or_foreign_is_ignored_and_left_alone"],
            ),
            ("src/profile/pprof/decode.rs", &["damage_is_told"]),
            (
                "src/watch/replay.rs",
                &["what_was_cut_off_is_read_as_far_as_it_goes"],
            ),
        ],
    ),
    (
        "the clock jumps back",
        &[
            (
                "src/snapshot/archive.rs",
                &["a_clock_that_jumps_costs_little"],
            ),
            (
                "src/alert/manager/tests/mod.rs",
                &["a_clock_that_is_set_back_loses_nothing"],
            ),
            (
                "src/analysis/leak/tests.rs",
                &["the_same_observations_give_the_same_answer_and_a_clock_set_back_begins_anew"],
            ),
            (
                "src/profile/evidence/watch.rs",
                &[
                    "a_clock_set_back_does_not_block_for_ever",
                    "a_clock_set_back_before_the_epoch_or_far_ahead_does_no_harm",
                ],
            ),
        ],
    ),
    (
        "the clock jumps forward",
        &[
            (
                "src/snapshot/archive.rs",
                &["a_clock_that_jumps_costs_little"],
            ),
            (
                "src/alert/manager/tests/clock.rs",
                &["a_clock_that_jumps_ahead_tells_nothing_untrue"],
            ),
            (
                "src/analysis/leak/tests.rs",
                &["a_clock_that_jumps_ahead_suspects_nobody"],
            ),
            (
                "src/profile/evidence/watch.rs",
                &["a_clock_set_back_before_the_epoch_or_far_ahead_does_no_harm"],
            ),
        ],
    ),
    (
        "/proc and control group files vanish or are malformed in the middle of a run",
        &[
            (
                "tests/it/faults/kernel.rs",
                &["what_vanishes_or_is_malformed_takes_its_own_metrics_away_until_it_is_back"],
            ),
            (
                "tests/it/collectors.rs",
                &[
                    "a_malformed_file_is_a_failure_that_names_it",
                    "a_group_that_cannot_be_read_says_why",
                    "one_failing_collector_does_not_break_the_others",
                ],
            ),
            (
                "src/snapshot/sampler.rs",
                &["a_failing_collector_has_no_reading_and_is_told_once"],
            ),
        ],
    ),
    (
        "the process is moved to another control group",
        &[
            (
                "tests/it/faults/kernel.rs",
                &["a_process_that_is_moved_to_another_control_group_is_followed"],
            ),
            (
                "tests/it/collectors.rs",
                &["a_process_that_moves_is_followed"],
            ),
        ],
    ),
    (
        "the target ends and its number is used again",
        &[
            (
                "tests/it/faults/kernel.rs",
                &["a_number_that_is_used_again_is_another_process"],
            ),
            (
                "tests/it/collectors.rs",
                &["a_process_that_ended_is_gone_even_if_its_number_lives_on"],
            ),
            (
                "tests/it/cli.rs",
                &["a_target_by_name_is_followed_through_its_restart"],
            ),
        ],
    ),
    (
        "file descriptors run out",
        &[(
            "tests/it/faults/descriptors.rs",
            &["who_takes_all_descriptors_locks_nobody_out_and_fills_no_log"],
        )],
    ),
    (
        "the OTLP receiver is down, slow, lying",
        &[
            (
                "tests/peers/outage.rs",
                &["an_outage_loses_nothing_says_little_and_costs_nothing"],
            ),
            (
                "tests/peers/faults.rs",
                &[
                    "what_is_temporary_is_tried_again_after_a_backoff",
                    "what_is_final_is_not_tried_again",
                    "the_receiver_says_when_to_try_again",
                    "a_pause_beyond_all_bounds_does_no_harm",
                    "who_does_not_answer_in_time_is_asked_again",
                    "rejected_points_are_counted_and_told_once",
                ],
            ),
            (
                "tests/peers/shutdown.rs",
                &[
                    "a_receiver_that_hangs_keeps_nobody_waiting",
                    "a_receiver_that_is_not_there_keeps_nobody_waiting",
                ],
            ),
        ],
    ),
    (
        "Alertmanager is down, slow, lying",
        &[(
            "tests/peers/cluster.rs",
            &["peers_are_told_for_as_long_as_an_alert_lasts_and_none_waits_for_another"],
        )],
    ),
    (
        "a webhook is down, slow, lying",
        &[(
            "tests/peers/channels.rs",
            &[
                "a_message_arrives_whatever_happens_to_it_and_delays_no_other",
                "nobody_finds_a_flood_after_an_outage",
                "what_somebody_puts_right_is_used_for_what_waits",
            ],
        )],
    ),
    (
        "1,000 concurrent scrapes",
        &[(
            "tests/it/faults/requests.rs",
            &["a_thousand_scrapes_at_once_are_all_answered_and_leave_nothing"],
        )],
    ),
    (
        "slow-loris",
        &[
            (
                "tests/it/faults/requests.rs",
                &[
                    "a_client_that_drips_its_headers_is_cut_off",
                    "a_body_that_drips_and_an_answer_that_nobody_reads_hold_up_nobody",
                ],
            ),
            (
                "tests/it/server.rs",
                &[
                    "a_client_that_sends_no_headers_is_cut_off",
                    "a_flood_of_bad_connections_does_not_stop_the_scrapes",
                ],
            ),
            (
                "tests/it/web_tls.rs",
                &["a_client_that_never_ends_its_handshake_is_cut_off"],
            ),
        ],
    ),
    (
        "requests that are oversized, malformed, pipelined",
        &[
            (
                "tests/it/faults/requests.rs",
                &[
                    "what_is_no_request_is_refused",
                    "many_requests_on_one_connection_are_answered_in_order",
                ],
            ),
            (
                "tests/it/server.rs",
                &[
                    "too_much_is_refused_with_the_right_code",
                    "requests_on_one_connection_are_all_answered",
                ],
            ),
        ],
    ),
    (
        "any other foreign input",
        &[(
            "tests/it/corpus.rs",
            &["every_parser_has_a_fuzzer_and_a_small_corpus"],
        )],
    ),
    ("config replaced by garbage", &[]),
    (
        "24 hours of ticks",
        &[
            (
                "tests/steady.rs",
                &["a_tick_allocates_nothing_and_the_history_does_not_grow"],
            ),
            (
                "tests/day.rs",
                &["a_day_of_ticks_does_not_grow_the_exporter"],
            ),
        ],
    ),
];

/// Faults whose tests are not here yet: whoever brings them takes the fault out of this list.
const TO_COME: &[&str] = &["config replaced by garbage"];

/// What is wrong with a table: faults without a test, and tests that do not exist.
fn mistakes(table: &[Fault], root: &Path) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut known = BTreeSet::new();
    for (fault, files) in table {
        if !known.insert(fault) {
            mistakes.push(format!("{fault}: stands there twice"));
        }
        let is_to_come = TO_COME.contains(fault);
        if is_to_come != files.iter().all(|(_, tests)| tests.is_empty()) {
            mistakes.push(format!("{fault}: has tests, or is to come"));
        }
        for (path, tests) in *files {
            let text = fs::read_to_string(root.join(path)).unwrap_or_default();
            for test in *tests {
                if !is_test(&text, test) {
                    mistakes.push(format!("{fault}: {path} has no test {test}"));
                }
            }
        }
    }
    mistakes
}

/// Whether a text has a test of that name: a function without arguments, right below an attribute that makes it a test.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}() ");
    let mut above = "";
    text.lines().any(|line| {
        let (line, attribute) = (line.trim(), std::mem::replace(&mut above, line.trim()));
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&head) && attribute.starts_with("#[") && attribute.contains("test")
    })
}

#[test]
fn every_fault_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(mistakes(FAULTS, root), [""; 0]);
}

#[test]
fn a_test_that_is_gone_is_missed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table: &[Fault] = &[
        ("nobody tests it", &[]),
        ("the file is gone", &[("tests/none.rs", &["x"])]),
        (
            "no test",
            &[("tests/it/faults/mod.rs", &["mistakes", "is_test"])],
        ),
        (
            "a test",
            &[("tests/it/faults/mod.rs", &["a_test_that_is_gone_is_missed"])],
        ),
        (
            "a test",
            &[("tests/it/history.rs", &["the_past_outlives_the_process"])],
        ),
    ];
    let found = mistakes(table, root);
    let expected = [
        "nobody tests it: has tests, or is to come",
        "the file is gone: tests/none.rs has no test x",
        "no test: tests/it/faults/mod.rs has no test mistakes",
        "no test: tests/it/faults/mod.rs has no test is_test",
        "a test: stands there twice",
    ];
    assert_eq!(found, expected);
}
