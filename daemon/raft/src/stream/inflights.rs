//! What has been sent and not acknowledged.
//!
//! * Messages leave the ring from its front only, when an acknowledgement covers their last entry.
//! * `bytes` is at all times the sum of what is in the ring: a counter that leaked would close the window for good
//!   (etcd-raft #54).

use crate::types::{Index, Time};
use std::collections::VecDeque;

/// One append on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its last entry.
    pub(super) last: Index,
    /// The records it carries.
    pub(super) bytes: u64,
    /// When it was handed to the transport.
    pub(super) at: Time,
}

/// What one acknowledgement took out of the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Freed {
    /// Record bytes.
    pub(super) bytes: u64,
    /// When the youngest of the acknowledged messages was sent.
    pub(super) youngest: Option<Time>,
}

/// Appends in flight, in the order they were sent.
#[derive(Debug, Default)]
pub(super) struct Inflights {
    ring: VecDeque<Sent>,
    bytes: u64,
}

impl Inflights {
    pub(super) fn push(&mut self, sent: Sent) {
        debug_assert!(self.ring.back().is_none_or(|before| before.last < sent.last), "appends are sent in log order");
        self.bytes += sent.bytes;
        self.ring.push_back(sent);
    }

    /// Takes out every message whose last entry is not after `index`.
    pub(super) fn free_through(&mut self, index: Index) -> Freed {
        let mut freed = Freed::default();
        while let Some(sent) = self.ring.pop_front_if(|sent| sent.last <= index) {
            self.bytes -= sent.bytes;
            freed.bytes += sent.bytes;
            freed.youngest = Some(sent.at);
        }
        freed
    }

    pub(super) fn messages(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// When the oldest message in flight was sent.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.ring.front().map(|sent| sent.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_byte_counter_is_the_sum_of_what_is_in_flight(steps in prop::collection::vec((any::<bool>(), 1..20u64, 0..1000u64), 0..200)) {
            let (mut inflights, mut model, mut last) = (Inflights::default(), Vec::<Sent>::new(), 0);
            for (send, step, bytes) in steps {
                if send {
                    last += step;
                    let sent = Sent { last: Index(last), bytes, at: Time(last) };
                    inflights.push(sent);
                    model.push(sent);
                } else {
                    let through = Index(model.first().map_or(0, |sent| sent.last.0 + step - 1));
                    let covered = model.iter().take_while(|sent| sent.last <= through).copied().collect::<Vec<_>>();
                    model.drain(..covered.len());
                    let freed = inflights.free_through(through);
                    prop_assert_eq!(freed.bytes, covered.iter().map(|sent| sent.bytes).sum::<u64>());
                    prop_assert_eq!(freed.youngest, covered.last().map(|sent| sent.at));
                }
                prop_assert_eq!(inflights.bytes(), model.iter().map(|sent| sent.bytes).sum::<u64>());
                prop_assert_eq!(inflights.messages(), model.len());
                prop_assert_eq!(inflights.oldest(), model.first().map(|sent| sent.at));
            }
            inflights.free_through(Index(u64::MAX));
            prop_assert_eq!(inflights.bytes(), 0);
        }
    }

    #[test]
    fn an_acknowledgement_inside_a_message_frees_nothing() {
        let mut inflights = Inflights::default();
        inflights.push(Sent { last: Index(8), bytes: 100, at: Time(1) });
        assert_eq!(inflights.free_through(Index(7)), Freed::default());
        assert_eq!(inflights.free_through(Index(8)), Freed { bytes: 100, youngest: Some(Time(1)) });
    }
}
