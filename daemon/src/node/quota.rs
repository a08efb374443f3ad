//! Watching the size of the store: when it passes the quota, the whole cluster is told by an alarm, and refuses what
//! would make it grow until somebody has made room and disarms it.

use super::{Handle, ProposeFailure};
use mvcc::{Alarm, AlarmAction, AlarmChange, AlarmKind, Body};
use std::time::Duration;
use tracing::{error, warn};

/// How often the size is looked at: the bytes in use, as at the client port, so that both agree whether there is room
/// once a compaction has made some. The client port looks at every write as well; this also sees what grows otherwise.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Raises the alarm for this member whenever its store is larger than the quota and the alarm is not raised.
pub(super) async fn watch(handle: Handle, quota_bytes: u64) {
    let alarm = Alarm { kind: AlarmKind::NoSpace, member: handle.identity().member.0 };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let bytes = handle.store().size().in_use;
        if bytes <= quota_bytes || handle.store().alarms().contains(&alarm) {
            continue;
        }
        error!(bytes, quota_bytes, "the store is larger than its quota: raising the alarm");
        let change = AlarmChange { action: AlarmAction::Activate, alarm };
        match handle.propose(Body::Alarm(change)).await {
            Ok(_) => {}
            Err(ProposeFailure::Stopped) => return,
            Err(error) => warn!(%error, "could not raise the alarm, will try again"),
        }
    }
}
