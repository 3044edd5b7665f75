//! The web configuration file: users, limits, headers, and all of it while the server runs.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memory_exporter::{Config, Exporter};
use tempfile::TempDir;

use crate::client;
use crate::server::served;

/// A name that browsers on this machine could have been led by: nobody may use it who is not known.
const NAME: (&str, &str) = ("host", "shop-1.example.org:10113");

/// A folder with a web configuration file, and what it names.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn with(web: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("web.yml", web);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that has been left alone for a while, as the server waits for that.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        let file = File::options().write(true).open(self.path(name)).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(1);
        file.set_modified(modified).unwrap();
    }

    /// A server that goes by the file.
    pub(crate) fn served(&self, change: impl FnOnce(&mut Config)) -> (Exporter, SocketAddr) {
        served(|config| {
            config.web.config_file = Some(self.path("web.yml"));
            change(config);
        })
    }
}

/// Users of the file, each with a password.
pub(crate) fn users(users: &[(&str, &str)]) -> String {
    let lines: Vec<String> = users
        .iter()
        .map(|(name, password)| format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap()))
        .collect();
    format!("basic_auth_users:\n{}", lines.concat())
}

/// A request with headers.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let has_host = headers.iter().any(|(name, _)| *name == "host");
    let host = if has_host { "" } else { "host: 127.0.0.1\r\n" };
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    format!("{method} {path} HTTP/1.1\r\n{host}{headers}connection: close\r\n\r\n")
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    client::send(address, request(method, path, headers).as_bytes())
}

/// The status of a request by a user.
fn status_of(address: SocketAddr, path: &str, user: &str, password: &str) -> String {
    let authorization = basic(user, password);
    let answer = ask(address, "GET", path, &[("authorization", &authorization)]);
    status(&answer).to_owned()
}

#[test]
fn who_gives_no_right_password_is_asked_for_one() {
    let folder = Folder::with(&users(&[("ada", "right"), ("bob", "other")]));
    let (_exporter, address) = folder.served(|_| {});
    for path in [
        "/metrics",
        "/",
        "/-/healthy",
        "/metrics/memory/leaks",
        "/nowhere",
    ] {
        let answer = ask(address, "GET", path, &[]);
        assert!(
            answer.starts_with("HTTP/1.1 401 Unauthorized\r\n")
                && answer.contains("\r\nwww-authenticate: Basic\r\n")
                && answer.contains("\"error\": \"unauthorized\"")
                && answer.contains("session_id"),
            "{path}: {answer}"
        );
    }
    for (user, password, expected) in [
        ("ada", "right", "200"),
        ("bob", "other", "200"),
        ("ada", "other", "401"),
        ("eve", "right", "401"),
        ("", "", "401"),
    ] {
        for _ in 0..2 {
            let found = status_of(address, "/metrics", user, password);
            assert_eq!(found, expected, "{user}:{password}");
        }
    }
    let answer = ask(
        address,
        "GET",
        "/metrics",
        &[("authorization", "Bearer right")],
    );
    assert_eq!(status(&answer), "401");
    assert_eq!(status_of(address, "/nowhere", "ada", "right"), "404");
}

#[test]
fn exempt_paths_are_those_exactly() {
    const LEAKS: &str = "/metrics/memory/leaks";
    let folder = Folder::with(&users(&[("ada", "right")]));
    let (_exporter, address) = folder.served(|config| {
        config.web.auth_exempt_paths = ["/-/healthy", LEAKS].map(str::to_owned).to_vec();
    });
    for (path, expected) in [
        ("/-/healthy", "200"),
        ("/-/healthy?x=y", "200"),
        ("/-/healthy/", "401"),
        ("//-/healthy", "401"),
        ("/-/%68ealthy", "401"),
        ("/-/ready", "401"),
        (LEAKS, "200"),
    ] {
        assert_eq!(status(&ask(address, "GET", path, &[])), expected, "{path}");
    }
    // Without a password it is what it was: for this machine only.
    assert_eq!(status(&ask(address, "GET", LEAKS, &[NAME])), "403");
}

#[test]
fn who_is_known_may_do_what_is_for_loopback() {
    let folder = Folder::with(&users(&[("ada", "right")]));
    let (_exporter, address) = folder.served(|_| {});
    let (_open, open) = served(|_| {});
    let ada = basic("ada", "right");
    let known = ("authorization", ada.as_str());
    for (method, path) in [
        ("GET", "/metrics/memory/leaks"),
        ("POST", "/metrics/memory/gc"),
        ("GET", "/metrics/memory/alerts"),
    ] {
        let status_of = |address, headers: &[(&str, &str)]| {
            status(&ask(address, method, path, headers)).to_owned()
        };
        let own = ("origin", "http://shop-1.example.org:10113");
        assert_eq!(
            status_of(open, &[NAME, known]),
            "403",
            "without a file nobody is known"
        );
        assert_ne!(status_of(address, &[NAME, known]), "403", "{path}");
        assert_ne!(status_of(address, &[NAME, known, own]), "403", "{path}");
        for other in ["http://evil.example", "null"] {
            let headers = [NAME, known, ("origin", other)];
            assert_eq!(status_of(address, &headers), "403", "{path}: {other}");
        }
    }
}

#[test]
fn headers_are_added_to_every_answer_but_not_to_those_that_have_their_own() {
    let policy = "default-src 'none'; frame-ancestors https://wiki.example.org";
    let headers = format!(
        "http_server_config:\n  headers: {{X-Frame-Options: deny, Content-Security-Policy: {policy:?}}}\n"
    );
    let folder = Folder::with(&(users(&[("ada", "right")]) + &headers));
    let (_exporter, address) = folder.served(|_| {});
    let ada = basic("ada", "right");
    for headers in [&[][..], &[("authorization", ada.as_str())]] {
        let answer = ask(address, "GET", "/metrics", headers);
        assert!(
            answer.contains("\r\nx-frame-options: deny\r\n")
                && answer.contains(&format!("\r\ncontent-security-policy: {policy}\r\n")),
            "{answer}"
        );
    }
    // Its script would not run by another policy.
    let answer = ask(
        address,
        "GET",
        "/debug/flamegraph",
        &[("authorization", &ada)],
    );
    assert_eq!(status(&answer), "200");
    assert!(
        answer.contains("\r\ncontent-security-policy: ") && !answer.contains("wiki.example.org")
    );
}

#[test]
fn too_many_requests_are_told_when_to_come_again() {
    let folder = Folder::with("rate_limit: {interval: 1h, burst: 2}\n");
    let (_exporter, address) = folder.served(|config| {
        config.web.auth_exempt_paths = vec!["/-/healthy".to_owned()];
    });
    let scrape = || status(&ask(address, "GET", "/metrics", &[])).to_owned();
    assert_eq!(
        [scrape(), scrape(), scrape(), scrape()],
        ["200", "200", "429", "429"]
    );
    // As in the toolkit, nothing is exempt.
    let answer = ask(address, "GET", "/-/healthy", &[]);
    assert!(
        answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n") && answer.contains("rate_limit"),
        "{answer}"
    );
    let after = answer.split_once("\r\nretry-after: ").unwrap().1;
    let after: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&after), "{answer}");
    // A new limit is a new bucket; an edit that leaves the limit alone is none.
    folder.write(
        "web.yml",
        "# the same\nrate_limit: {interval: 1h, burst: 2}\n",
    );
    assert_eq!(scrape(), "429");
    folder.write("web.yml", "rate_limit: {interval: 1h, burst: 3}\n");
    assert_eq!(scrape(), "200");
}

#[test]
fn users_change_while_the_server_runs() {
    let folder = Folder::with(&users(&[("ada", "right")]));
    let (_exporter, address) = folder.served(|_| {});
    let scrape = |user, password| status_of(address, "/metrics", user, password);
    let stranger = || status(&ask(address, "GET", "/metrics", &[])).to_owned();
    assert_eq!(scrape("ada", "right"), "200");
    folder.write("web.yml", &users(&[("ada", "changed"), ("bob", "right")]));
    assert_eq!(scrape("ada", "right"), "401", "it was remembered");
    assert_eq!(scrape("ada", "changed"), "200");
    assert_eq!(scrape("bob", "right"), "200");
    // What is wrong changes nothing, and opens nothing.
    for wrong in [
        "basic_auth_users: {ada: changed}",
        "basic_auth_users: [",
        "",
        "tls_server_config: {cert_file: none.crt}",
    ] {
        folder.write("web.yml", wrong);
        assert_eq!(scrape("ada", "changed"), "200", "{wrong:?}");
        assert_eq!(stranger(), "401", "{wrong:?}");
    }
    std::fs::remove_file(folder.path("web.yml")).unwrap();
    assert_eq!(stranger(), "401");
    folder.write("web.yml", &users(&[("eve", "right")]));
    assert_eq!(scrape("ada", "changed"), "401");
    assert_eq!(scrape("eve", "right"), "200");
}

/// A flood of wrong passwords leaves room for who is known.
#[test]
fn a_flood_of_wrong_passwords_does_not_stop_the_scrapes() {
    let hash = bcrypt::hash("right", 10).unwrap();
    let folder = Folder::with(&format!("basic_auth_users: {{ada: {hash}}}\n"));
    let (_exporter, address) = folder.served(|_| {});
    let scrape = move |password: &str| status_of(address, "/metrics", "ada", password);
    assert_eq!(scrape("right"), "200");
    let flood: Vec<_> = (0..40)
        .map(|at| std::thread::spawn(move || scrape(&format!("wrong {at}"))))
        .collect();
    let mut scrapes = 0;
    while !flood.iter().all(|one| one.is_finished()) {
        assert_eq!(scrape("right"), "200");
        scrapes += 1;
    }
    // Behind the others in the queue it would have been one or two.
    assert!(scrapes >= 5, "{scrapes}");
    for one in flood {
        assert_eq!(one.join().unwrap(), "401");
    }
}

/// Whose password is being checked has no right to his place yet.
#[test]
fn a_full_server_lets_in_who_is_known() {
    let hash = bcrypt::hash("right", 13).unwrap();
    let folder = Folder::with(&format!("basic_auth_users: {{ada: {hash}}}\n"));
    let (_exporter, address) = folder.served(|config| config.web.max_connections = 4);
    let scrape = move |password: &str| status_of(address, "/metrics", "ada", password);
    assert_eq!(scrape("right"), "200");
    let flood: Vec<_> = (0..4)
        .map(|at| std::thread::spawn(move || scrape(&format!("wrong {at}"))))
        .collect();
    // Longer than a new connection may not be made to leave, and shorter than the checks take.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(scrape("right"), "200");
    let answers = flood.into_iter().map(|one| one.join().unwrap());
    assert_eq!(answers.filter(String::is_empty).count(), 1);
}

#[test]
fn a_file_that_is_wrong_at_the_start_is_a_mistake_of_the_configuration() {
    let folder = Folder::with(
        "basic_auth_users: {ada: hunter2}\ntls_server_config: {min_version: TLS10, cert_file: none.crt, key_file: none.key}\n",
    );
    let mut config = Config::production();
    // An address that no machine has: the file is read before a port is opened.
    config.web.listen_address = vec!["192.0.2.1:9".parse().unwrap()];
    config.web.config_file = Some(folder.path("web.yml"));
    let error = Exporter::start(config.clone()).unwrap_err();
    assert!(error.is_config(), "{error}");
    let message = error.to_string();
    assert_eq!(message.lines().count(), 4, "{message}");
    let file = format!("{}: ", folder.path("web.yml").display());
    assert!(
        message.lines().all(|line| line.starts_with(&file)) && !message.contains("hunter2"),
        "{message}"
    );
    // A host's own server is the host's business.
    let builder = Exporter::builder(config).without_server();
    builder.start().unwrap();
}
