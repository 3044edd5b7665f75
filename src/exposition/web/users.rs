//! Names and passwords.
//!
//! A check takes as long for a name that does not exist as for a wrong password, if all hashes have the same cost. It runs on a thread of
//! its own, and few run at once, so that a flood of wrong passwords takes neither the exporter's thread nor all cores.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use warp::http::{HeaderMap, header};

use crate::config::{Problem, Secret};

/// Checks at once.
const MOST_CHECKS: usize = 2;
/// Successful checks that are remembered: far more than there are users.
const MOST_KNOWN: usize = 100;
/// What bcrypt can be told to spend: two to the power of it.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// Who may ask.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, Secret>,
    /// What a name that does not exist is checked against.
    costliest: Option<Secret>,
}

impl Users {
    /// Takes the users of the file, and notes what is no hash.
    pub(super) fn new(hashes: BTreeMap<String, Secret>, problems: &mut Vec<Problem>) -> Self {
        let mut most = 0;
        let mut costliest = None;
        for (name, hash) in &hashes {
            match HashParts::from_str(hash.reveal()).map(|parts| parts.get_cost()) {
                Ok(cost) if COSTS.contains(&cost) => {
                    if cost > most {
                        (most, costliest) = (cost, Some(hash.clone()));
                    }
                }
                _ => {
                    let detail = "allowed: a password as bcrypt hashes it, with a cost from 4 to 31: htpasswd -nBC 10 \"\" | tr -d ':\\n'";
                    let key = format!("basic_auth_users.{name}");
                    problems.push(Problem::of_key(&key, detail.to_owned()));
                }
            }
        }
        Self { hashes, costliest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// What a request says of who sends it.
pub(super) struct Credentials {
    user: String,
    password: Vec<u8>,
}

impl Credentials {
    /// `Authorization: Basic`, if it is there and in order.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.as_bytes();
        let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let decoded = STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Self {
            user: String::from_utf8_lossy(&decoded[..colon]).into_owned(),
            password: decoded[colon + 1..].to_vec(),
        })
    }
}

/// Checks passwords, and remembers what was right: bcrypt is slow by intent.
pub(super) struct Checker {
    slots: Arc<Semaphore>,
    /// Of this process only, so that what is remembered tells nothing to who reads it elsewhere.
    key: hmac::Key,
    known: Mutex<VecDeque<[u8; 32]>>,
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    #[allow(
        clippy::expect_used,
        reason = "without random numbers there is no TLS and no safety either"
    )]
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            slots: Arc::new(Semaphore::new(MOST_CHECKS)),
            key: key.expect("random numbers"),
            known: Mutex::default(),
        }
    }

    /// Whether they are those of one of the users.
    pub(super) async fn is_valid(&self, users: &Users, credentials: Credentials) -> bool {
        let Credentials { user, password } = credentials;
        let stored = users.hashes.get(&user);
        let exists = stored.is_some();
        let Some(hash) = stored.or(users.costliest.as_ref()).cloned() else {
            return false;
        };
        let digest = self.digest(&user, &password, &hash);
        if exists && self.knows(&digest) {
            return true;
        }
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return false;
        };
        // Somebody may have sent the same while this one waited.
        if exists && self.knows(&digest) {
            return true;
        }
        let check = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it any more.
            let _slot = slot;
            bcrypt::verify(password, hash.reveal()).unwrap_or(false)
        });
        let is_right = check.await.unwrap_or(false) && exists;
        if is_right {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.push_back(digest);
            if known.len() > MOST_KNOWN {
                known.pop_front();
            }
        }
        is_right
    }

    fn knows(&self, digest: &[u8; 32]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(digest)
    }

    /// Another password, another user and a changed file have another digest.
    fn digest(&self, user: &str, password: &[u8], hash: &Secret) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), password, hash.reveal().as_bytes()] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of "right" with cost 4, in each form that is about.
    fn users(hashes: &[(&str, &str)]) -> (Users, Vec<String>) {
        let mut problems = Vec::new();
        let hashes = hashes
            .iter()
            .map(|(name, hash)| ((*name).to_owned(), Secret::new((*hash).to_owned())));
        let users = Users::new(hashes.collect(), &mut problems);
        (users, problems.iter().map(ToString::to_string).collect())
    }

    fn hash(password: &str, cost: u32) -> String {
        bcrypt::hash(password, cost).unwrap()
    }

    fn credentials(user: &str, password: &[u8]) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_vec(),
        }
    }

    fn known(checker: &Checker) -> usize {
        checker.known.lock().unwrap().len()
    }

    #[test]
    fn what_is_no_hash_is_said_without_showing_it() {
        let good = hash("right", 4);
        let salted = &good[7..];
        let (users, problems) = users(&[
            ("ada", &good),
            ("bob", "hunter2"),
            ("cat", ""),
            ("dan", &format!("$2b$03${salted}")),
            ("eve", &format!("$2b$32${salted}")),
            ("fay", &format!("$1$04${salted}")),
            ("gil", &good[..59]),
            ("ham", &format!("$2y$04${salted}")),
            ("ian", &format!("$2a$04${salted}")),
        ]);
        let named: Vec<&str> = problems
            .iter()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let names = ["bob", "cat", "dan", "eve", "fay", "gil"];
        assert_eq!(named, names.map(|name| format!("basic_auth_users.{name}")));
        assert!(problems.iter().all(|line| line.contains("bcrypt")
            && !line.contains("hunter2")
            && !line.contains(salted)));
        assert!(!format!("{users:?}").contains(salted));
    }

    #[test]
    fn the_header_is_read_as_go_reads_it() {
        let parse = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            Credentials::of(&headers).map(|it| (it.user, it.password))
        };
        // ada:pass:word
        let both = Some(("ada".to_owned(), b"pass:word".to_vec()));
        assert_eq!(parse("Basic YWRhOnBhc3M6d29yZA=="), both);
        assert_eq!(parse("bAsIc YWRhOnBhc3M6d29yZA=="), both);
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Bearer YWRhOnBhc3M6d29yZA==",
            "Basic YWRh",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
        assert!(Credentials::of(&HeaderMap::new()).is_none());
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_right() {
        let (users, _) = users(&[("ada", &hash("right", 4)), ("bob", &hash("other", 4))]);
        let checker = Checker::new();
        for (user, password, expected) in [
            ("ada", "right", true),
            ("ada", "other", false),
            ("ada", "", false),
            ("bob", "other", true),
            ("bob", "right", false),
            ("eve", "right", false),
            ("eve", "other", false),
            ("", "", false),
        ] {
            // Once by bcrypt, once from memory.
            for _ in 0..2 {
                let valid = checker
                    .is_valid(&users, credentials(user, password.as_bytes()))
                    .await;
                assert_eq!(valid, expected, "{user}:{password}");
            }
        }
        assert_eq!(known(&checker), 2, "what is wrong is not remembered");
        assert!(!format!("{checker:?}").contains("right"));
    }

    #[tokio::test]
    async fn what_was_right_is_checked_anew_when_the_hash_changes() {
        let checker = Checker::new();
        let (before, _) = users(&[("ada", &hash("old", 4))]);
        let (after, _) = users(&[("ada", &hash("new", 4))]);
        assert!(checker.is_valid(&before, credentials("ada", b"old")).await);
        assert!(!checker.is_valid(&after, credentials("ada", b"old")).await);
        assert!(checker.is_valid(&after, credentials("ada", b"new")).await);
        let (nobody, _) = users(&[]);
        assert!(!checker.is_valid(&nobody, credentials("ada", b"new")).await);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_saves_the_work() {
        let checker = Checker::new();
        for at in 0..MOST_KNOWN + 5 {
            let (users, _) = users(&[("ada", &hash("right", 4))]);
            assert!(
                checker.is_valid(&users, credentials("ada", b"right")).await,
                "{at}"
            );
        }
        assert_eq!(known(&checker), MOST_KNOWN);
        let (users, _) = users(&[("ada", &hash("right", 12))]);
        assert!(checker.is_valid(&users, credentials("ada", b"right")).await);
        // Without a slot nothing can be computed any more: what is known is known.
        checker.slots.close();
        assert!(checker.is_valid(&users, credentials("ada", b"right")).await);
        assert!(!checker.is_valid(&users, credentials("ada", b"wrong")).await);
    }

    /// Both go through bcrypt at the highest cost that there is; times are only compared roughly.
    #[tokio::test]
    async fn an_unknown_user_costs_as_much_as_a_wrong_password() {
        let (users, _) = users(&[("ada", &hash("right", 4)), ("bob", &hash("right", 9))]);
        let checker = Checker::new();
        let time = async |user: &str| {
            let mut least = std::time::Duration::MAX;
            for _ in 0..3 {
                let start = std::time::Instant::now();
                assert!(!checker.is_valid(&users, credentials(user, b"wrong")).await);
                least = least.min(start.elapsed());
            }
            least
        };
        let (known, unknown) = (time("bob").await, time("eve").await);
        assert!(
            unknown > known / 3 && known > unknown / 3,
            "{known:?} {unknown:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn few_are_checked_at_once() {
        let (users, _) = users(&[("ada", &hash("right", 8))]);
        let (users, checker) = (Arc::new(users), Arc::new(Checker::new()));
        let flood: Vec<_> = (0..20)
            .map(|at| {
                let (users, checker) = (Arc::clone(&users), Arc::clone(&checker));
                tokio::spawn(async move {
                    let wrong = credentials("ada", format!("wrong {at}").as_bytes());
                    checker.is_valid(&users, wrong).await
                })
            })
            .collect();
        let mut least = MOST_CHECKS;
        while !flood.iter().all(tokio::task::JoinHandle::is_finished) {
            least = least.min(checker.slots.available_permits());
            tokio::task::yield_now().await;
        }
        assert_eq!((least, checker.slots.available_permits()), (0, MOST_CHECKS));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_counts() {
        let (users, _) = users(&[("ada", &hash("right", 13))]);
        let checker = Checker::new();
        let check = checker.is_valid(&users, credentials("ada", b"wrong"));
        let little = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(little, check).await.is_err());
        assert_eq!(checker.slots.available_permits(), MOST_CHECKS - 1);
    }
}
