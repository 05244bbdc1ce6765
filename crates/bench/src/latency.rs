//! Latencies, in HDR histograms: 3 significant digits from a microsecond to a minute.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Latencies of one kind, recorded from many tasks while a measurement is on.
pub struct Latency {
    histogram: Mutex<Histogram<u64>>,
    recording: AtomicBool,
}

/// Latencies in microseconds, and how often each was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded(Vec<(u64, u64)>);

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

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.histogram.lock().is_empty()
    }

    /// What was recorded, for another process.
    pub fn recorded(&self) -> Recorded {
        let histogram = self.histogram.lock();
        Recorded(histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }

    /// Adds what another process recorded.
    pub fn add(&self, recorded: &Recorded) {
        let mut histogram = self.histogram.lock();
        for &(micros, count) in &recorded.0 {
            histogram.saturating_record_n(micros, count);
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

    /// What several processes recorded adds up to what one would have.
    #[test]
    fn what_another_process_recorded_counts_as_if_it_was_recorded_here() {
        let [one, two, both] = [(); 3].map(|()| Latency::default());
        for latency in [&one, &two, &both] {
            latency.record_from_now(true);
        }
        for micros in 1..10_000 {
            let took = Duration::from_micros(micros * 37);
            if micros % 3 == 0 { &one } else { &two }.record(took);
            both.record(took);
        }
        one.add(&two.recorded());
        assert_eq!(one.recorded(), both.recorded());
    }
}
