//! Random histories: the store says what the plain model says, wherever its rows are, and after every crash.

mod model;

use model::run::{Subject, run};
use mvcc::{Backend, MemoryBackend};
use std::sync::Arc;

fn subject(flushes: u64, crashes: u64) -> Subject {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    Subject::new(backend, Box::new(|backend| backend), flushes, crashes)
}

#[test]
fn short_histories_over_few_keys_agree_with_the_model() {
    for seed in 0..60 {
        run(seed, 250, 0, vec![subject(10, 2), subject(60, 5), subject(0, 0)]);
    }
}

#[test]
fn a_long_history_over_many_keys_agrees_with_the_model() {
    run(7, 2_500, 900, vec![subject(5, 1), subject(50, 1)]);
}
