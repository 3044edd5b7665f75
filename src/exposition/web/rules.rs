//! What the web configuration file makes: everything that is in force at one time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warp::http::{HeaderName, HeaderValue};

use crate::config::{ConfigError, Problem, Rate, WebFile};

use super::tls::Tls;
use super::users::Users;
use super::watch::{Files, Stamp};

/// What holds for a connection and for a request.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Users,
    pub(super) rate: Option<Rate>,
    /// Nothing stands in the file.
    pub(super) is_blank: bool,
}

/// What reading the file gave, and what was looked at for it, in the state that it had just before.
pub(super) struct Attempt {
    pub(super) rules: Result<Rules, ConfigError>,
    pub(super) seen: Vec<(PathBuf, Option<Stamp>)>,
}

impl Rules {
    /// Reads the file and all that it names.
    pub(super) fn load(path: &Path) -> Attempt {
        let mut files = Files::default();
        let mut problems = Vec::new();
        let rules = match files.read_text(path) {
            Ok(yaml) => Some(Self::new(&yaml, path, &mut files, &mut problems)),
            Err(cause) => {
                problems.push(Problem::of_key("", format!("cannot be read: {cause}")));
                None
            }
        };
        let rules = match rules {
            Some(rules) if problems.is_empty() => Ok(rules),
            _ => Err(mistakes(path, problems)),
        };
        Attempt {
            rules,
            seen: files.seen,
        }
    }

    fn new(yaml: &str, path: &Path, files: &mut Files, problems: &mut Vec<Problem>) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let file = WebFile::read(yaml, directory, problems);
        let is_sound = problems.is_empty();
        let tls = file
            .tls
            .and_then(|section| Tls::new(&section, files, is_sound, problems));
        let headers = file.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        Self {
            tls: tls.map(Arc::new),
            headers: headers.collect(),
            users: Users::new(file.users, problems),
            rate: file.rate,
            is_blank: file.is_blank,
        }
    }
}

/// Mistakes of the file at `path`, each with its name.
pub(super) fn mistakes(path: &Path, problems: Vec<Problem>) -> ConfigError {
    let named = problems.into_iter().map(|mut problem| {
        let file = path.display();
        problem.key = match problem.key.as_str() {
            "" => file.to_string(),
            key => format!("{file}: {key}"),
        };
        problem
    });
    ConfigError::new(named.collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Folder, TLS};
    use super::*;

    fn problems(folder: &Folder) -> Vec<String> {
        let error = Rules::load(&folder.path("web.yml")).rules.unwrap_err();
        let folder = format!("{}/", folder.path("").display());
        let folder = folder.replace("//", "/");
        error
            .to_string()
            .lines()
            .map(|line| line.replace(&folder, ""))
            .collect()
    }

    #[test]
    fn what_is_right_comes_into_force() {
        let folder = Folder::new();
        folder.write_pair();
        let hash = "$2y$10$DrnR/cS9LiwJzT5Hb73aE.QG4iEkCR3XA5cpRklNOErJ3PJYNlXby";
        folder.write("web.yml", &format!("{TLS}basic_auth_users: {{ada: {hash}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}"));
        let attempt = Rules::load(&folder.path("web.yml"));
        let rules = attempt.rules.unwrap();
        assert!(rules.tls.as_ref().is_some_and(|tls| !tls.verifies()));
        assert_eq!((rules.users.len(), rules.headers.len()), (1, 1));
        let seen: Vec<_> = attempt
            .seen
            .iter()
            .map(|(path, _)| path.file_name().unwrap())
            .collect();
        assert_eq!(seen, ["web.yml", "server.crt", "server.key"]);
        let shown = format!("{rules:?}");
        assert!(
            !shown.contains("DrnR/cS9") && !shown.contains("PRIVATE"),
            "{shown}"
        );
        // The same, in the file itself.
        let pem = |name| {
            std::fs::read_to_string(folder.path(name))
                .unwrap()
                .replace('\n', "\n    ")
        };
        folder.write(
            "web.yml",
            &format!(
                "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n",
                pem("server.crt"),
                pem("server.key")
            ),
        );
        let rules = Rules::load(&folder.path("web.yml")).rules.unwrap();
        assert!(rules.tls.is_some() && !format!("{rules:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_mistake() {
        assert_eq!(
            problems(&Folder::new()),
            ["web.yml: cannot be read: No such file or directory (os error 2)"]
        );
    }

    #[test]
    fn every_mistake_of_every_file_is_reported_at_once() {
        let folder = Folder::new();
        folder.write_pair();
        folder.write(
            "web.yml",
            "
tls_server_config:
  cert_file: server.key
  key_file: server.crt
  client_ca_file: none.pem
  client_auth_type: RequireAndVerifyClientCert
  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]
  curve_preferences: [CurveP521]
basic_auth_users: {ada: hunter2}
rate: {}
",
        );
        let expected = "
web.yml: rate: unknown key, allowed: tls_server_config, http_server_config, basic_auth_users, rate_limit
web.yml: tls_server_config.cipher_suites: \"TLS_RSA_WITH_AES_128_CBC_SHA\": allowed: what rustls has of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
web.yml: tls_server_config.curve_preferences: \"CurveP521\": allowed: what rustls has of X25519, CurveP256, CurveP384
web.yml: tls_server_config.cert_file: server.key: holds no PEM of certificates
web.yml: tls_server_config.client_ca_file: none.pem: cannot be read: No such file or directory (os error 2)
web.yml: tls_server_config.key_file: server.crt: holds no PEM of a private key: RSA, ECDSA or Ed25519, not encrypted
web.yml: basic_auth_users.ada: allowed: a password as bcrypt hashes it, with a cost from 4 to 31: htpasswd -nBC 10 \"\" | tr -d ':\\n'
";
        assert_eq!(
            problems(&folder),
            expected.trim().lines().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_a_mistake() {
        let folder = Folder::new();
        folder.write_pair();
        let certificate = std::fs::read_to_string(folder.path("server.crt")).unwrap();
        folder.write_pair();
        folder.write("server.crt", &certificate);
        folder.write("web.yml", TLS);
        assert_eq!(
            problems(&folder),
            ["web.yml: tls_server_config.key_file: server.key: does not belong to the certificate"]
        );
    }

    #[test]
    fn suites_of_one_kind_only_are_no_tls_of_the_other() {
        let folder = Folder::new();
        folder.write_pair();
        folder.write(
            "web.yml",
            &TLS.replace(
                '}',
                ", max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]}",
            ),
        );
        let problems = problems(&folder);
        assert!(
            problems.len() == 1 && problems[0].starts_with("web.yml: tls_server_config: "),
            "{problems:?}"
        );
    }

    #[test]
    fn what_is_not_yaml_shows_nothing_of_itself() {
        let folder = Folder::new();
        for text in [
            "basic_auth_users: {ada: *hunter2}",
            "basic_auth_users: {ada: 'hunter2",
            "hunter2",
            "- hunter2",
            "basic_auth_users: hunter2",
            "basic_auth_users:\n  ada: hunter2: hunter2\n",
            "basic_auth_users: {ada: !hunter2 x}",
            "tls_server_config: hunter2",
            "a: &hunter2 b\na: b",
            "@hunter2",
        ] {
            folder.write("web.yml", text);
            let problems = problems(&folder);
            assert!(
                !problems.is_empty() && !problems.concat().contains("hunter2"),
                "{text}: {problems:?}"
            );
        }
    }
}
