//! For tests: a folder with a web configuration file and what it names.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that has been left alone for a while.
    pub(super) fn write(&self, name: &str, text: &str) {
        self.write_now(name, text);
        let file = File::options().write(true).open(self.path(name)).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(1);
        file.set_modified(modified).unwrap();
    }

    pub(super) fn write_now(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes `server.crt` and `server.key`, new ones each time.
    pub(super) fn write_pair(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write("server.crt", &certificate.pem());
        self.write("server.key", &key.serialize_pem());
    }
}

/// A file that asks for TLS.
pub(super) const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
