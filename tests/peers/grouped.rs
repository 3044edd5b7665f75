//! An exporter in this process whose control group is only files.

use memory_exporter::collector::Roots;
use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use tempfile::TempDir;

use crate::programs::Server;

/// A service in a control group whose kernel tells of pressure, as that of this machine may not. It is scraped and pushes, as second
/// instance of both jobs.
pub(crate) struct Grouped {
    pub(crate) exporter: Exporter,
    _roots: [TempDir; 2],
}

impl Grouped {
    /// Scraped at this port, and pushes to this agent.
    pub(crate) fn start(agent: &Server, port: u16) -> Self {
        let roots = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let [proc, cgroup] = roots.each_ref().map(|root| root.path().to_owned());
        let own = proc.join("self");
        std::fs::create_dir(&own).expect("a directory");
        for name in ["status", "stat", "limits", "fd"] {
            let real = format!("/proc/self/{name}");
            std::os::unix::fs::symlink(real, own.join(name)).expect("a link");
        }
        std::os::unix::fs::symlink("/proc/stat", proc.join("stat")).expect("a link");
        for (path, text) in [
            (own.join("cgroup"), "0::/\n"),
            (cgroup.join("memory.max"), "8589934592\n"),
            (cgroup.join("memory.current"), "200000000\n"),
            (cgroup.join("memory.events"), "oom_kill 0\n"),
            (
                cgroup.join("memory.pressure"),
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3000\n",
            ),
        ] {
            std::fs::write(path, text).expect("a file");
        }
        let yaml = format!(
            "web: {{listen_address: ['127.0.0.1:{port}']}}\n\
             otlp: {{enabled: true, endpoint: '{}/opentelemetry', protocol: http/protobuf, interval: 1s, resource: {{job: pushed, instance: 'batch:2'}}}}\n",
            agent.url
        );
        let config = Config::load(Profile::Production, &yaml, []).expect("a configuration");
        let exporter = Exporter::builder(config)
            .roots(Roots { proc, cgroup })
            .start()
            .expect("an exporter");
        Self {
            exporter,
            _roots: roots,
        }
    }
}
