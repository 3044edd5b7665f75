//! Signatures of the "Standard Webhooks" specification.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use super::Message;
use super::form::Headers;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// How far the clock of who signs may be from ours.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Whether the message is signed with the secret, and was just before it came. A secret that begins with `whsec_` is base64 after that.
pub(crate) fn signature_holds(secret: &str, message: &Message) -> bool {
    let came = SystemTime::now() - message.at.elapsed();
    let timestamp = message.headers.get(TIMESTAMP);
    let signed = timestamp.and_then(|timestamp| timestamp.parse().ok());
    let signed = signed.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let is_fresh = signed.is_some_and(|signed| {
        let apart = came.duration_since(signed);
        apart.unwrap_or_else(|early| early.duration()) <= TOLERANCE
    });
    is_fresh && is_signed(&key(secret), &message.headers, &message.raw)
}

fn key(secret: &str) -> Vec<u8> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).expect("a secret in base64"),
        None => secret.as_bytes().to_vec(),
    }
}

/// Whether one of the signatures is that of the body.
fn is_signed(key: &[u8], headers: &Headers, body: &[u8]) -> bool {
    let header = |name| headers.get(name).map_or("", String::as_str);
    let signed = format!("{}.{}.", header(ID), header(TIMESTAMP));
    let signed = [signed.as_bytes(), body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signatures = header(SIGNATURE).split(' ');
    signatures
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
        .any(|signature| hmac::verify(&key, &signed, &signature).is_ok())
}

/// What is wrong with the form of the headers; none needs to be there, but a signature is of an id and of a time.
pub(super) fn problems(headers: &Headers) -> Vec<String> {
    if !headers.contains_key(SIGNATURE) {
        return Vec::new();
    }
    let wrong = |name: &str, is_right: fn(&str) -> bool| match headers.get(name) {
        None => Some(format!("{name}: missing")),
        Some(value) => (!is_right(value)).then(|| format!("{name}: {value:?} is malformed")),
    };
    let found = [
        // In what is signed, full stops are between the parts.
        wrong(ID, |text| !text.is_empty() && !text.contains('.')),
        wrong(TIMESTAMP, |text| {
            text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
        }),
        wrong(SIGNATURE, |text| text.split(' ').all(is_signature)),
    ];
    found.into_iter().flatten().collect()
}

/// Symmetric or asymmetric, in base64.
fn is_signature(text: &str) -> bool {
    let Some((version, digest)) = text.split_once(',') else {
        return false;
    };
    let length = BASE64_STANDARD.decode(digest).map(|digest| digest.len());
    matches!((version, length), ("v1", Ok(32)) | ("v1a", Ok(64)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hyper::body::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::outlets::signature_holds;

    /// Published by Svix, whose scheme the specification is.
    const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";
    const BODY: &str = r#"{"event_type":"ping","data":{"success":true}}"#;
    const HEADERS: [(&str, &str); 3] = [
        (ID, "msg_loFOjxBNrRLzqYUf"),
        (TIMESTAMP, "1731705121"),
        (SIGNATURE, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
    ];

    fn headers(changed: &[(&str, &str)]) -> Headers {
        let headers = HEADERS.iter().chain(changed);
        headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_published_example_is_signed_and_nothing_else_is() {
        let key = key(SECRET);
        assert!(is_signed(&key, &headers(&[]), BODY.as_bytes()));
        let two = format!("v1,AAAA {} v2,AAAA", HEADERS[2].1);
        let rotated = headers(&[(SIGNATURE, &two)]);
        assert!(is_signed(&key, &rotated, BODY.as_bytes()));
        assert!(!is_signed(&key, &headers(&[]), b"{}"));
        assert!(!is_signed(b"another", &headers(&[]), BODY.as_bytes()));
        for changed in [
            (ID, "msg_2"),
            (TIMESTAMP, "1731705122"),
            (SIGNATURE, "rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
            (SIGNATURE, "v2,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
            (SIGNATURE, ""),
        ] {
            let changed_headers = headers(&[changed]);
            assert!(
                !is_signed(&key, &changed_headers, BODY.as_bytes()),
                "{changed:?}"
            );
        }
    }

    /// Signed so long before it came.
    fn message(secret: &[u8], age: u64) -> Message {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = (now.expect("a time").as_secs() - age).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let digest = hmac::sign(&key, format!("m1.{timestamp}.{BODY}").as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(digest));
        Message {
            path: "/webhook".to_owned(),
            authorization: String::new(),
            body: Value::Null,
            at: Instant::now(),
            headers: headers(&[(ID, "m1"), (TIMESTAMP, &timestamp), (SIGNATURE, &signature)]),
            raw: Bytes::from(BODY),
            fault: None,
            problems: Vec::new(),
            answer: Some(200),
        }
    }

    #[test]
    fn a_signature_holds_for_its_secret_body_and_time() {
        let signed = message(b"a secret", 0);
        assert!(signature_holds("a secret", &signed));
        assert!(!signature_holds("another secret", &signed));
        let encoded = format!("whsec_{}", BASE64_STANDARD.encode("a secret"));
        assert!(signature_holds(&encoded, &signed));
        let mut changed = signed;
        changed.raw = Bytes::from("{}");
        assert!(!signature_holds("a secret", &changed));
        assert!(signature_holds("a secret", &message(b"a secret", 280)));
        assert!(!signature_holds("a secret", &message(b"a secret", 320)));
    }

    #[test]
    fn mistakes_in_the_headers_are_found() {
        assert_eq!(problems(&headers(&[])), [""; 0]);
        assert_eq!(problems(&Headers::new()), [""; 0]);
        let asymmetric = format!("v1a,{} {}", BASE64_STANDARD.encode([7; 64]), HEADERS[2].1);
        assert_eq!(problems(&headers(&[(SIGNATURE, &asymmetric)])), [""; 0]);
        for (name, value) in [
            (ID, ""),
            (ID, "msg.1"),
            (TIMESTAMP, "2024-11-15T21:12:01Z"),
            (TIMESTAMP, "-1"),
            (TIMESTAMP, "+1731705121"),
            (TIMESTAMP, ""),
            (SIGNATURE, ""),
            (SIGNATURE, "rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
            (SIGNATURE, "v1=rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
            (SIGNATURE, "v1,rAvfW3dJ"),
            (SIGNATURE, "v1,acadfb5b774a"),
        ] {
            assert_eq!(
                problems(&headers(&[(name, value)])),
                [format!("{name}: {value:?} is malformed")]
            );
        }
        let signature = HEADERS[2..]
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(
            problems(&signature.collect()),
            ["webhook-id: missing", "webhook-timestamp: missing"]
        );
    }
}
