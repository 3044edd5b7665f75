//! Repeated measurements and their quantiles.

use std::time::{Duration, Instant};

use workload::system::thread_cpu_time;

/// Times of the same thing done again and again.
#[derive(Debug)]
pub struct Times {
    sorted: Vec<Duration>,
}

impl Times {
    /// CPU time of this thread for `work`, done this often, each time after `prepare`, which is not timed. On a machine that others
    /// use too, the tail of the elapsed time would be theirs.
    pub fn cpu(times: usize, mut prepare: impl FnMut(), mut work: impl FnMut()) -> Self {
        let mut measured = Vec::with_capacity(times);
        for _ in 0..times {
            prepare();
            let start = thread_cpu_time();
            work();
            measured.push(thread_cpu_time() - start);
        }
        Self::from(measured)
    }

    /// Elapsed time for `work`, done this often: for what other threads take part in.
    pub fn elapsed(times: usize, mut work: impl FnMut()) -> Self {
        let mut measured = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            work();
            measured.push(start.elapsed());
        }
        Self::from(measured)
    }

    /// The time below which this share of the times lies, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = share * self.sorted.len().saturating_sub(1) as f64;
        let time = self.sorted.get(at.round() as usize);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

impl From<Vec<Duration>> for Times {
    fn from(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }
}
