//! The end of a stop, whatever is late: a thread of its own sees to it, because what is late may be holding the only
//! thread of the runtime, where no timeout would be noticed.

use std::process;
use std::thread;
use std::time::Duration;
use tracing::{error, warn};

/// What a supervisor is promised, less what ending a process takes: the promise is a second and a half.
const END_MAX: Duration = Duration::from_millis(1400);

/// Ends the process with success when its time is over. What is not written by then is left as a crash leaves it, which
/// loses nothing that was acknowledged.
pub(super) fn set() {
    let late = || {
        thread::sleep(END_MAX);
        warn!(
            "could not stop in good order within {} ms: the next start will read more of the log",
            END_MAX.as_millis()
        );
        process::exit(0);
    };
    if let Err(error) = thread::Builder::new().name("deadline".into()).spawn(late) {
        error!(%error, "a stop without a deadline");
    }
}
