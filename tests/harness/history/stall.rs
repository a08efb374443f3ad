//! How long nothing was acknowledged.

use super::{Answer, Operation};
use std::time::Duration;

/// When writes were acknowledged, in order.
fn acknowledged(history: &[Operation]) -> Vec<Duration> {
    let written = history.iter().filter(|operation| matches!(operation.answer, Answer::Written { .. }));
    let mut times: Vec<Duration> = written.map(|operation| operation.returned).collect();
    times.sort_unstable();
    times
}

/// The longest time between two acknowledged writes.
pub(super) fn longest_stall(history: &[Operation]) -> Duration {
    acknowledged(history).windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
}

/// The longest time without an acknowledged write that begins within `window` after `fault`, or in which it falls;
/// what lies before the fault does not count. None when nothing was acknowledged afterwards.
#[must_use]
pub fn stall_after(history: &[Operation], fault: Duration, window: Duration) -> Option<Duration> {
    let times = acknowledged(history);
    let gaps = times.windows(2).filter(|pair| pair[1] >= fault && pair[0] <= fault + window);
    gaps.map(|pair| pair[1] - pair[0].max(fault)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Request;

    fn history(acknowledged_ms: &[u64]) -> Vec<Operation> {
        let write = |at: &u64| Operation {
            client: 0,
            invoked: Duration::ZERO,
            returned: Duration::from_millis(*at),
            request: Request::Delete { key: "k".into() },
            answer: Answer::Written { revision: 2 },
        };
        acknowledged_ms.iter().map(write).collect()
    }

    #[test]
    fn a_stall_counts_from_the_fault_to_the_next_acknowledged_write() {
        let ms = Duration::from_millis;
        // A long pause before the fault at 5,000 is none of its making; the one at 9,000 is another fault's.
        let history = history(&[0, 4_900, 5_100, 6_300, 6_400, 9_000, 12_000]);
        assert_eq!(stall_after(&history, ms(5_000), ms(1_200)), Some(ms(1_200)));
        assert_eq!(stall_after(&history, ms(9_000), ms(1_000)), Some(ms(3_000)));
        assert_eq!(stall_after(&history, ms(12_500), ms(1_000)), None);
        assert_eq!(longest_stall(&history), ms(4_900));
    }
}
