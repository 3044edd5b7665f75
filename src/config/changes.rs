//! What a running process can change, and what it cannot.

use super::Config;

/// A key that takes effect at the next start only.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FixedKey {
    /// The key, such as `web.listen_address`.
    pub key: &'static str,
    /// What speaks against changing it while the process runs.
    pub why: &'static str,
    is_same: fn(&Config, &Config) -> bool,
    keep: fn(&Config, &mut Config),
}

/// Fields of sections, and why a running process keeps them.
macro_rules! fixed {
    ($($section:ident.$field:ident: $why:literal,)+) => {
        &[$(FixedKey {
            key: concat!(stringify!($section), ".", stringify!($field)),
            why: $why,
            is_same: |one, other| one.$section.$field == other.$section.$field,
            keep: |old, new| new.$section.$field.clone_from(&old.$section.$field),
        }),+]
    };
}

impl FixedKey {
    /// All of them, in the order of the file.
    pub const ALL: &[Self] = FIXED;
}

const FIXED: &[FixedKey] = fixed! {
    web.listen_address: "the process is known by its address",
    allocations.components: "counters of components would fall",
    allocations.max_components: "counters of components would fall",
    history.directory: "the past of this process stands in the old one",
    otlp.resource: "receivers know the process by it",
    alerts.group_by: "receivers know what is open by it",
    alerts.labels: "receivers know what is open by them",
    metrics.labels: "series and alerts are known by them",
    log.format: "the log is open already",
};

/// Sections, and whether they are the same in two configurations.
macro_rules! sections {
    ($($section:ident),+) => {
        &[$((stringify!($section), |one, other| one.$section == other.$section)),+]
    };
}

/// Says whether something is the same in two configurations.
type IsSame = fn(&Config, &Config) -> bool;

const SECTIONS: &[(&str, IsSame)] = sections![
    web,
    sampling,
    allocations,
    leaks,
    profiles,
    limits,
    history,
    otlp,
    alerts,
    metrics,
    log
];

impl Config {
    /// Makes this what a process that was started with `running` can become. Gives back the keys that it cannot change, of those that
    /// differ; they stay as they are.
    pub(crate) fn keep_fixed(&mut self, running: &Self) -> Vec<&'static FixedKey> {
        let differ = |key: &&FixedKey| !(key.is_same)(running, self);
        let fixed: Vec<_> = FIXED.iter().filter(differ).collect();
        for key in &fixed {
            (key.keep)(running, self);
        }
        fixed
    }

    /// The sections that differ, in the order of the file.
    pub(crate) fn sections_unlike(&self, other: &Self) -> Vec<&'static str> {
        let differ = SECTIONS.iter().filter(|(_, is_same)| !is_same(self, other));
        differ.map(|(section, _)| *section).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    fn config(yaml: &str) -> Config {
        Config::load(Profile::Production, yaml, []).unwrap()
    }

    #[test]
    fn what_cannot_change_stays_and_is_named_and_the_rest_is_taken() {
        let running = config("");
        let mut new = config(
            "web: {listen_address: ['127.0.0.1:1'], max_connections: 7}\nlog: {format: json}\nalerts: {cooldown: 9s}",
        );
        let fixed = new.keep_fixed(&running);
        let keys: Vec<_> = fixed.iter().map(|fixed| fixed.key).collect();
        assert_eq!(keys, ["web.listen_address", "log.format"]);
        assert_eq!(new.web.listen_address, running.web.listen_address);
        assert_eq!(new.web.max_connections, 7);
        assert_eq!(new.sections_unlike(&running), ["web", "alerts"]);
        assert!(new.clone().keep_fixed(&new).is_empty());
        assert!(new.sections_unlike(&new).is_empty());
    }

    /// The table of sections is that of the document.
    #[test]
    fn every_section_of_the_file_is_compared() {
        let yaml = include_str!("../../config/production.yaml");
        let sections = yaml
            .lines()
            .filter(|line| line.ends_with(':') && !line.starts_with([' ', '#']));
        let sections: Vec<_> = sections.map(|line| line.trim_end_matches(':')).collect();
        let known: Vec<_> = SECTIONS.iter().map(|(section, _)| *section).collect();
        assert_eq!(known, sections);
    }
}
