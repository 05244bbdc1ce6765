//! Latencies, in HDR histograms: 3 significant digits from a microsecond to a minute.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Latencies of one kind, recorded from many tasks while a measurement is on.
pub struct Latency {
    histogram: Mutex<Histogram<u64>>,
    recording: AtomicBool,
}

/// The latencies that are told, in milliseconds.
pub struct Percentiles {
    /// Half are shorter.
    pub p50_ms: f64,
    /// One in a hundred is longer.
    pub p99_ms: f64,
    /// One in a thousand is longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let max = u64::try_from(LATENCY_MAX.as_micros()).expect("a minute");
        let histogram = Histogram::new_with_bounds(1, max, 3).expect("these bounds are valid");
        Self { histogram: Mutex::new(histogram), recording: AtomicBool::new(false) }
    }
}

impl Latency {
    /// Whether what comes from now on counts.
    pub fn record_from_now(&self, on: bool) {
        self.recording.store(on, Ordering::Relaxed);
    }

    /// How long something took.
    pub fn record(&self, took: Duration) {
        if self.recording.load(Ordering::Relaxed) {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.histogram.lock().saturating_record(micros);
        }
    }

    /// What was recorded.
    pub fn percentiles(&self) -> Percentiles {
        let histogram = self.histogram.lock();
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Percentiles { p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), max_ms: histogram.max() as f64 / 1_000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what happens while a measurement is on counts, and percentiles are those of what was recorded.
    #[test]
    fn percentiles_are_of_what_was_recorded_while_it_was_on() {
        let latency = Latency::default();
        latency.record(Duration::from_secs(9));
        latency.record_from_now(true);
        for ms in 1..=1_000 {
            latency.record(Duration::from_millis(ms));
        }
        latency.record_from_now(false);
        latency.record(Duration::from_secs(9));
        let found = latency.percentiles();
        for (found, expected) in
            [(found.p50_ms, 500.0), (found.p99_ms, 990.0), (found.p999_ms, 999.0), (found.max_ms, 1_000.0)]
        {
            assert!((found / expected - 1.0).abs() < 0.002, "{found} ms, not {expected}");
        }
    }
}
