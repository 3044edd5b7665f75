//! A real Prometheus scrapes exporters that have a web configuration file, as it should and in every wrong way.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::http;
use crate::pki::{Authority, Signed};
use crate::programs::{Program, Server};
use crate::service::Service;
use crate::wait::eventually;

/// A folder with certificates and web configuration files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that has been left alone for a while, as the exporter waits for that.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
        let file = File::options().write(true).open(self.path(name));
        let modified = SystemTime::now() - Duration::from_secs(1);
        let set = file.and_then(|file| file.set_modified(modified));
        set.expect("its time");
    }

    fn write_pair(&self, name: &str, pair: &Signed) {
        self.write(&format!("{name}.crt"), &pair.certificate.pem());
        self.write(&format!("{name}.key"), &pair.key.serialize_pem());
    }

    fn exporter(&self, web: &str, more: &str) -> Service {
        let path = self.path(web);
        let config = format!("web: {{config_file: {path:?}}}\n{more}");
        Service::alone(&config, &[])
    }

    /// A job of Prometheus: certificates by the names of their files.
    fn job(&self, name: &str, target: &Service, scheme: &str, more: &[(&str, &str)]) -> String {
        let file = |key: &str, name: &str| format!("{key}: {:?}", self.path(name));
        let mut tls = Vec::new();
        let mut user = String::new();
        for (key, value) in more {
            match *key {
                "password" => user = format!("basic_auth: {{username: ada, password: {value}}}, "),
                "identity" => {
                    tls.push(file("cert_file", &format!("{value}.crt")));
                    tls.push(file("key_file", &format!("{value}.key")));
                }
                key => tls.push(file(key, value)),
            }
        }
        let (tls, target) = (tls.join(", "), &target.address);
        format!(
            "- {{job_name: {name}, scheme: {scheme}, {user}tls_config: {{{tls}}}, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
    }
}

/// What Prometheus says of each job: nothing where all is well.
fn health(prometheus: &Server) -> BTreeMap<String, String> {
    let url = format!("{}/api/v1/targets", prometheus.url);
    let answer = http::json(&url, &[]);
    let targets = answer["data"]["activeTargets"].as_array();
    let targets = targets.expect("targets").iter().map(|target| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let error = match text(&target["health"]).as_str() {
            "unknown" => "unknown".to_owned(),
            _ => text(&target["lastError"]),
        };
        (text(&target["labels"]["job"]), error)
    });
    targets.collect()
}

/// Waits until each job is as it should be: well, or with an error of this text.
fn becomes(prometheus: &Server, expected: &[(&str, &str)]) {
    let is_so = |health: &BTreeMap<String, String>| {
        expected.iter().all(|(job, error)| {
            let found = health.get(*job);
            found.is_some_and(|found| found.contains(error) && error.is_empty() == found.is_empty())
        })
    };
    let mut last = BTreeMap::new();
    for _ in 0..600 {
        last = health(prometheus);
        if is_so(&last) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("expected {expected:?}\nfound {last:#?}");
}

fn lines_with(program: &Program, text: &str) -> usize {
    let lines = program.stderr();
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_real_prometheus_comes_in_only_as_it_should() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    folder.write("ca.crt", &authority.certificate.pem());
    folder.write("other.crt", &other.certificate.pem());
    folder.write_pair("server", &authority.sign("127.0.0.1"));
    folder.write_pair("expired", &authority.sign_expired("127.0.0.1"));
    folder.write_pair("client", &authority.sign("prometheus"));
    folder.write_pair("stranger", &other.sign("prometheus"));
    let hash = bcrypt::hash("right", 8).expect("a hash");
    let section = |name: &str, more: &str| {
        format!("tls_server_config: {{cert_file: {name}.crt, key_file: {name}.key{more}}}\n")
    };
    let users = format!(
        "{}basic_auth_users: {{ada: {hash}}}\n",
        section("server", "")
    );
    folder.write("users.yml", &users);
    folder.write("expired.yml", &section("expired", ""));
    let verify = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt";
    folder.write("clients.yml", &section("server", verify));

    let known = folder.exporter("users.yml", "log: {level: debug}");
    let expired = folder.exporter("expired.yml", "");
    let mutual = folder.exporter("clients.yml", "");
    let jobs = [
        folder.job(
            "right",
            &known,
            "https",
            &[("password", "right"), ("ca_file", "ca.crt")],
        ),
        folder.job(
            "wrong_password",
            &known,
            "https",
            &[("password", "hunter2"), ("ca_file", "ca.crt")],
        ),
        folder.job("no_password", &known, "https", &[("ca_file", "ca.crt")]),
        folder.job(
            "other_authority",
            &known,
            "https",
            &[("password", "right"), ("ca_file", "other.crt")],
        ),
        folder.job("plain", &known, "http", &[("password", "right")]),
        folder.job("expired", &expired, "https", &[("ca_file", "ca.crt")]),
        folder.job(
            "certificate",
            &mutual,
            "https",
            &[("ca_file", "ca.crt"), ("identity", "client")],
        ),
        folder.job("no_certificate", &mutual, "https", &[("ca_file", "ca.crt")]),
        folder.job(
            "other_certificate",
            &mutual,
            "https",
            &[("ca_file", "ca.crt"), ("identity", "stranger")],
        ),
    ];
    let prometheus = Server::prometheus(&format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n{}",
        jobs.concat()
    ));
    let as_it_should = [
        ("right", ""),
        ("wrong_password", "401 Unauthorized"),
        ("no_password", "401 Unauthorized"),
        (
            "other_authority",
            "x509: certificate signed by unknown authority",
        ),
        ("plain", "400 Bad Request"),
        ("expired", "x509: certificate has expired"),
        ("certificate", ""),
        ("no_certificate", "remote error: tls: "),
        ("other_certificate", "remote error: tls: "),
    ];
    becomes(&prometheus, &as_it_should);
    eventually("the log says who speaks plain HTTP", || {
        (lines_with(&known.program, "the client speaks plain HTTP") > 0).then_some(())
    });

    // What has become wrong is said once, however many scrapes come, and changes nothing.
    folder.write("users.yml", "basic_auth_users: {ada: hunter2}");
    eventually("the log says what is wrong", || {
        (lines_with(&known.program, "web configuration is wrong") > 0).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1500));
    becomes(&prometheus, &as_it_should[..5]);
    assert_eq!(lines_with(&known.program, "web configuration is wrong"), 1);
    assert_eq!(lines_with(&known.program, "right again"), 0);
    folder.write("users.yml", &users);
    eventually("the log says that it is right again", || {
        (lines_with(&known.program, "right again") > 0).then_some(())
    });

    // The certificate is another one, while connections are open.
    folder.write_pair("server", &other.sign("127.0.0.1"));
    becomes(
        &prometheus,
        &[
            ("right", "x509: certificate signed by unknown authority"),
            ("other_authority", ""),
            (
                "certificate",
                "x509: certificate signed by unknown authority",
            ),
        ],
    );
    assert_eq!(lines_with(&known.program, "web configuration is wrong"), 1);
    assert_eq!(lines_with(&known.program, "right again"), 1);
    for secret in ["hunter2", &hash, "PRIVATE KEY"] {
        assert_eq!(lines_with(&known.program, secret), 0, "{secret}");
    }
}
