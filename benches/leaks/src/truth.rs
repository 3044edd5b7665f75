//! What a workload really does: the label that a detector is judged by.

/// The leaks of a run; none where the workload is innocent, or where the run ends before the leak would begin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    /// One entry for each cause.
    pub leaks: Vec<Leak>,
}

/// A leak.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// The site that leaks the most bytes of this cause.
    pub site: u32,
    /// When it begins: milliseconds since 1970, as in an observation.
    pub onset_ms: u64,
    /// Whether it begins with the process.
    pub with_process: bool,
    /// How fast it grows, all sites of the cause together. The mean for a rate that varies; the rate one hour after the onset where it
    /// grows exponentially.
    pub megabytes_per_hour: f64,
    /// Other sites of the same cause, such as the key and the value of one map entry.
    pub also: Vec<u32>,
}

impl Leak {
    /// Whether a site belongs to it.
    #[must_use]
    pub fn has(&self, site: u32) -> bool {
        self.site == site || self.also.contains(&site)
    }
}
