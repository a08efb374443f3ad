//! A page of metrics that is written when it is asked for, out of numbers that live elsewhere.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Opts};

/// The families written so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    families: Vec<MetricFamily>,
}

/// The values of one family, each with the values of its labels.
pub(super) type Rows = Vec<(Vec<String>, f64)>;

impl Page {
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::new(name, help).expect(NAMES_ARE_CONSTANT);
        gauge.set(value);
        self.families.extend(gauge.collect());
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counter_f64(name, help, as_f64(value));
    }

    pub(super) fn counter_f64(&mut self, name: &str, help: &str, value: f64) {
        let counter = Counter::new(name, help).expect(NAMES_ARE_CONSTANT);
        counter.inc_by(value);
        self.families.extend(counter.collect());
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, labels: &[&str], rows: Rows) {
        let gauges = GaugeVec::new(Opts::new(name, help), labels).expect(NAMES_ARE_CONSTANT);
        for (values, value) in rows {
            gauges.with_label_values(&values).set(value);
        }
        self.families.extend(gauges.collect());
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, labels: &[&str], rows: Rows) {
        let counters = CounterVec::new(Opts::new(name, help), labels).expect(NAMES_ARE_CONSTANT);
        for (values, value) in rows {
            counters.with_label_values(&values).inc_by(value);
        }
        self.families.extend(counters.collect());
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.families
    }
}

const NAMES_ARE_CONSTANT: &str = "names and labels are constants that are valid";

/// Counts and indexes stay far below 2^53, where this begins to round.
#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
pub(super) fn as_f64(value: u64) -> f64 {
    value as f64
}
