//! S13: what a leader keeps on its way has a bound, however slow a follower is.

use super::{Verdict, ensure};
use raft::{Config, FollowerStatus};

/// What a leader has sent to one follower and has not seen acknowledged. Its bounds are soft by one append: of the usual
/// size, or with a single entry of at most `entry_bytes_max`.
///
/// # Errors
/// S13 when it is more.
pub fn check(config: &Config, entry_bytes_max: u64, said: &FollowerStatus) -> Verdict {
    ensure("S13", said.in_flight_messages <= config.inflight_messages_max as u64, || {
        format!("{} appends are on their way to {}", said.in_flight_messages, said.member)
    })?;
    let window = config.inflight_bytes_max.max(config.inflight_bytes_start);
    let bytes_max = window + config.append_bytes_max.max(entry_bytes_max);
    ensure("S13", said.in_flight_bytes <= bytes_max, || {
        format!("{} bytes are on their way to {}, {bytes_max} may be", said.in_flight_bytes, said.member)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{assert_refused, follower};
    use super::*;
    use raft::{Lag, MemberId};

    #[test]
    fn one_append_may_be_beyond_the_window_and_no_more() {
        let window = Config {
            inflight_messages_max: 4,
            inflight_bytes_start: 100,
            inflight_bytes_max: 300,
            append_bytes_max: 50,
            ..Config::new(MemberId(1), 1)
        };
        let on_its_way = |messages, bytes| {
            let said =
                FollowerStatus { in_flight_messages: messages, in_flight_bytes: bytes, ..follower(9, Lag::default()) };
            check(&window, 80, &said)
        };
        on_its_way(4, 380).expect("it is the last append");
        assert_refused(on_its_way(5, 10), "S13");
        assert_refused(on_its_way(1, 381), "S13");
    }
}
