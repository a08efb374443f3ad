//! Watching the size of the store: when it passes the quota, the whole cluster is told by an alarm, and refuses what
//! would make it grow until somebody has made room and disarms it.

use super::{Handle, ProposeFailure};
use mvcc::{Alarm, AlarmAction, AlarmChange, AlarmKind, Body};
use std::ops::ControlFlow;
use std::time::Duration;
use tracing::{error, warn};

/// How often the size is looked at: the bytes in use, as at the client port, so that both agree whether there is room
/// once a compaction has made some. The client port looks at every write as well; this also sees what grows otherwise.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Raises the alarm for this member whenever its store is larger than the quota and the alarm is not raised.
pub(super) async fn watch(handle: Handle, quota_bytes: u64) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if look(&handle, quota_bytes).await.is_break() {
            return;
        }
    }
}

/// One look, and what follows from it. Breaks once the node has stopped.
async fn look(handle: &Handle, quota_bytes: u64) -> ControlFlow<()> {
    let alarm = Alarm { kind: AlarmKind::NoSpace, member: handle.identity().member.0 };
    let bytes = handle.store().size().in_use;
    if bytes <= quota_bytes || handle.store().alarms().contains(&alarm) {
        return ControlFlow::Continue(());
    }
    error!(bytes, quota_bytes, "the store is larger than its quota: raising the alarm");
    let change = AlarmChange { action: AlarmAction::Activate, alarm };
    match handle.propose(Body::Alarm(change)).await {
        Ok(_) => {}
        Err(ProposeFailure::Stopped) => return ControlFlow::Break(()),
        Err(error) => warn!(%error, "could not raise the alarm, will try again"),
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::solo::{MEMBER, Solo};
    use mvcc::Put;

    const OURS: Alarm = Alarm { kind: AlarmKind::NoSpace, member: MEMBER };
    const ANOTHERS: Alarm = Alarm { kind: AlarmKind::NoSpace, member: MEMBER + 1 };

    /// Grows as a member does that applies what others let in: past the client port, which would refuse it.
    async fn put(handle: &Handle, bytes: usize) {
        let put = Put { key: "key".into(), value: vec![0; bytes].into(), ..Put::default() };
        handle.propose(Body::Put(put)).await.expect("it is taken").outcome.expect("it is done");
    }

    async fn change(handle: &Handle, action: AlarmAction, alarm: Alarm) {
        handle.propose(Body::Alarm(AlarmChange { action, alarm })).await.expect("it is taken");
    }

    /// A member with 1,000 bytes and more, and a quota that this passes.
    async fn over_its_quota() -> (Solo, Handle, u64) {
        let solo = Solo::start();
        let handle = solo.handle();
        put(&handle, 1_000).await;
        (solo, handle, 999)
    }

    /// How many commands were applied by a look that goes on, and the alarms behind it.
    async fn looked(handle: &Handle, quota_bytes: u64) -> (u64, Vec<Alarm>) {
        let before = handle.status().applied;
        assert!(look(handle, quota_bytes).await.is_continue());
        (handle.status().applied.0 - before.0, handle.store().alarms())
    }

    #[tokio::test]
    async fn up_to_the_quota_nothing_is_raised() {
        let (_solo, handle, _) = over_its_quota().await;
        let exactly = handle.store().size().in_use;
        assert_eq!(looked(&handle, exactly).await, (0, vec![]));
        assert_eq!(looked(&handle, exactly - 1).await, (1, vec![OURS]));
    }

    #[tokio::test]
    async fn the_alarm_of_this_member_is_raised_once() {
        let (_solo, handle, quota) = over_its_quota().await;
        change(&handle, AlarmAction::Activate, ANOTHERS).await;
        assert_eq!(
            looked(&handle, quota).await,
            (1, vec![OURS, ANOTHERS]),
            "another member's says nothing of this one"
        );
        assert_eq!(looked(&handle, quota).await, (0, vec![OURS, ANOTHERS]));
    }

    #[tokio::test]
    async fn one_that_is_disarmed_before_there_is_room_is_raised_again() {
        let (_solo, handle, quota) = over_its_quota().await;
        assert_eq!(looked(&handle, quota).await, (1, vec![OURS]));
        change(&handle, AlarmAction::Deactivate, OURS).await;
        assert_eq!(looked(&handle, quota).await, (1, vec![OURS]));
    }

    #[tokio::test]
    async fn an_alarm_that_is_not_taken_is_raised_by_the_next_look() {
        let (solo, handle, quota) = over_its_quota().await;
        solo.refuse(ProposeFailure::NoLeader);
        solo.refuse(ProposeFailure::TimedOut);
        assert_eq!(looked(&handle, quota).await, (0, vec![]));
        assert_eq!(looked(&handle, quota).await, (0, vec![]));
        assert_eq!(looked(&handle, quota).await, (1, vec![OURS]));
    }

    #[tokio::test]
    async fn the_watch_ends_with_its_node() {
        let (solo, handle, quota) = over_its_quota().await;
        let watching = tokio::spawn(watch(handle.clone(), quota));
        solo.stop();
        tokio::time::timeout(10 * LOOK_EVERY, watching).await.expect("it ends in time").expect("it does not panic");
        assert!(handle.store().alarms().is_empty(), "nothing was taken any more");
    }
}
