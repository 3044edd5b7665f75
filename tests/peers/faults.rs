//! What the push does with every bad answer: try again, wait as told, or give up until the next interval.

use std::time::{Duration, Instant, SystemTime};

use memory_exporter::Exporter;
use memory_exporter::config::Protocol;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::pushing::{ONCE, PROTOCOLS, exports, scrape, start};
use crate::receiver::{Answer, Receiver};
use crate::wait::eventually;
use crate::{log, series};

/// Least pause before the second attempt: half of the first backoff.
const LEAST_BACKOFF: Duration = Duration::from_millis(250);
/// More than a pause may be longer than it must, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

fn status(code: Code) -> Answer {
    Answer::Status(Status::new(code, "not now, says the receiver"))
}

fn status_with_retry_info(code: Code, delay: Duration) -> Answer {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Answer::Status(Status::with_error_details(code, "later", details))
}

fn code(code: u16) -> Answer {
    Answer::Code(code, None)
}

fn code_with_retry_after(code: u16, when: &str) -> Answer {
    Answer::Code(code, Some(when.to_owned()))
}

/// For each answer a receiver that gives it once, and an exporter that has begun to push to it.
fn begin(protocol: Protocol, answers: &[Answer]) -> Vec<(Receiver, Exporter)> {
    let pairs = answers.iter().map(|answer| {
        let receiver = Receiver::start(protocol).answering([answer.clone()]);
        let exporter = start(&receiver, ONCE, "");
        (receiver, exporter)
    });
    pairs.collect()
}

/// One refused attempt, then one that succeeds, all within one export.
fn succeeds_on_the_second_attempt(
    receiver: &Receiver,
    exporter: &Exporter,
    answer: &Answer,
) -> Duration {
    eventually(&format!("success after {answer:?}"), || {
        (exports(exporter, "success") > 0.0).then_some(())
    });
    let deliveries = receiver.wait_for(2);
    assert_eq!(deliveries.len(), 2, "{answer:?}");
    assert_eq!(exports(exporter, "failure"), 0.0, "{answer:?}");
    assert_eq!(
        deliveries[0].request, deliveries[1].request,
        "an attempt repeats the request: {answer:?}"
    );
    deliveries[1].at - deliveries[0].at
}

#[test]
fn what_is_temporary_is_tried_again_after_a_backoff() {
    let codes = [
        Code::Unavailable,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::DataLoss,
    ];
    let cases = [
        (Protocol::Grpc, codes.map(status).to_vec()),
        (
            Protocol::HttpProtobuf,
            [429, 502, 503, 504].map(code).to_vec(),
        ),
        // What cannot be read as a time is no time.
        (
            Protocol::HttpProtobuf,
            ["soon", "-1", "", "Fri, 31 Dec 1999 23:59:59 GMT"]
                .map(|when| code_with_retry_after(503, when))
                .to_vec(),
        ),
    ];
    for (protocol, answers) in cases {
        for ((receiver, exporter), answer) in begin(protocol, &answers).iter().zip(&answers) {
            let pause = succeeds_on_the_second_attempt(receiver, exporter, answer);
            assert!(
                (LEAST_BACKOFF..LEAST_BACKOFF + SLACK).contains(&pause),
                "{answer:?}: {pause:?}"
            );
        }
    }
}

#[test]
fn what_is_final_is_not_tried_again() {
    let codes = [
        Code::ResourceExhausted,
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::NotFound,
        Code::Internal,
        Code::Unknown,
    ];
    let cases = [
        (Protocol::Grpc, codes.map(status).to_vec()),
        (
            Protocol::HttpProtobuf,
            [400, 401, 403, 404, 413, 500, 501, 301].map(code).to_vec(),
        ),
    ];
    for (protocol, answers) in cases {
        for ((receiver, exporter), answer) in begin(protocol, &answers).into_iter().zip(&answers) {
            eventually(&format!("failure after {answer:?}"), || {
                (exports(&exporter, "failure") > 0.0).then_some(())
            });
            assert_eq!(exports(&exporter, "success"), 0.0, "{answer:?}");
            assert_eq!(receiver.deliveries().len(), 1, "{answer:?}");
            exporter.stop();
            assert_eq!(receiver.deliveries().len(), 2, "the last push: {answer:?}");
        }
    }
}

#[test]
fn the_receiver_says_when_to_try_again() {
    const PAUSE: Duration = Duration::from_millis(1_300);
    let date = SystemTime::now() + Duration::from_secs(4);
    let moment = Instant::now() + Duration::from_secs(3);
    let cases = [
        (
            Protocol::Grpc,
            vec![
                status_with_retry_info(Code::Unavailable, PAUSE),
                status_with_retry_info(Code::ResourceExhausted, PAUSE),
            ],
        ),
        (
            Protocol::HttpProtobuf,
            vec![
                code_with_retry_after(429, "2"),
                code_with_retry_after(503, " 2 "),
            ],
        ),
    ];
    let by_date = begin(
        Protocol::HttpProtobuf,
        &[code_with_retry_after(503, &httpdate::fmt_http_date(date))],
    );
    for (protocol, answers) in cases {
        for ((receiver, exporter), answer) in begin(protocol, &answers).iter().zip(&answers) {
            let pause = succeeds_on_the_second_attempt(receiver, exporter, answer);
            assert!(
                (PAUSE..PAUSE + SLACK).contains(&pause),
                "{answer:?}: {pause:?}"
            );
        }
    }
    for (receiver, exporter) in by_date {
        let answer = Answer::Code(503, Some(format!("{date:?}")));
        succeeds_on_the_second_attempt(&receiver, &exporter, &answer);
        // A date has whole seconds.
        let at = receiver.deliveries()[1].at;
        assert!((moment..moment + SLACK).contains(&at), "{:?}", at - moment);
    }
}

#[test]
fn a_pause_longer_than_the_interval_is_kept() {
    const INTERVAL: Duration = Duration::from_millis(100);
    const PAUSE: Duration = Duration::from_secs(2);
    let cases = [
        (
            Protocol::Grpc,
            status_with_retry_info(Code::ResourceExhausted, PAUSE),
        ),
        (Protocol::HttpProtobuf, code_with_retry_after(429, "2")),
    ];
    for (protocol, answer) in cases {
        let receiver = Receiver::start(protocol).answering([answer]);
        let exporter = start(&receiver, INTERVAL, "");
        let deliveries = receiver.wait_for(4);
        let pause = deliveries[1].at - deliveries[0].at;
        assert!(
            (PAUSE..PAUSE + SLACK).contains(&pause),
            "{protocol:?}: {pause:?}"
        );
        let next = deliveries[3].at - deliveries[1].at;
        assert!(
            next < PAUSE,
            "{protocol:?}: then the interval holds again: {next:?}"
        );
        assert_eq!(exports(&exporter, "failure"), 1.0, "{protocol:?}");
    }
}

#[test]
fn a_pause_beyond_all_bounds_does_no_harm() {
    let cases = [
        (
            Protocol::Grpc,
            status_with_retry_info(Code::Unavailable, Duration::MAX),
        ),
        (
            Protocol::HttpProtobuf,
            code_with_retry_after(503, &u64::MAX.to_string()),
        ),
        (
            Protocol::HttpProtobuf,
            code_with_retry_after(503, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ),
    ];
    for (protocol, answer) in cases {
        let receiver = Receiver::start(protocol).answering([answer.clone()]);
        let exporter = start(&receiver, Duration::from_millis(50), "");
        eventually(&format!("failure after {answer:?}"), || {
            (exports(&exporter, "failure") > 0.0).then_some(())
        });
        exporter.stop();
        assert_eq!(receiver.deliveries().len(), 2, "the last push: {answer:?}");
    }
}

#[test]
fn who_does_not_answer_in_time_is_asked_again() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    for protocol in PROTOCOLS {
        let slow = Answer::Slow(Duration::from_secs(30));
        let receiver = Receiver::start(protocol).answering([slow.clone()]);
        // The time runs from before the request is sent, which is before it arrives.
        let begin = Instant::now();
        let exporter = start(&receiver, ONCE, "otlp: {timeout: 1s}");
        succeeds_on_the_second_attempt(&receiver, &exporter, &slow);
        let pause = receiver.deliveries()[1].at - begin;
        let least = TIMEOUT + LEAST_BACKOFF;
        assert!(
            (least..least + SLACK).contains(&pause),
            "{protocol:?}: {pause:?}"
        );
    }
}

#[test]
fn rejected_points_are_counted_and_told_once() {
    for (protocol, message) in PROTOCOLS.into_iter().zip(["no room (1)", "no room (2)"]) {
        let receiver = Receiver::start(protocol).answering([Answer::Accept]);
        receiver.answer_all(Answer::Partial(3, message));
        let exporter = start(&receiver, Duration::from_millis(50), "");
        receiver.wait_for(4);
        receiver.answer_all(Answer::Accept);
        let so_far = receiver.deliveries().len();
        receiver.wait_for(so_far + 2);
        let partial = receiver.deliveries().len();
        let rejected = || {
            let name = "memory_exporter_otlp_rejected_points_total";
            series::value(&scrape(&exporter), name, &[])
        };
        assert!(
            rejected() >= 9.0,
            "{protocol:?}: {} of {partial}",
            rejected()
        );
        assert_eq!(rejected() % 3.0, 0.0, "{protocol:?}: {}", rejected());
        assert_eq!(exports(&exporter, "failure"), 0.0, "{protocol:?}");
        let told = log::lines_with(message);
        assert_eq!(told.len(), 1, "{protocol:?}: {told:?}");
        assert!(
            told[0].contains("WARN") && told[0].contains("points=3"),
            "{told:?}"
        );
    }
}
