//! Where a running member takes a request for recovery: it is written down, and then the process ends, so that the next
//! start carries it out.

use crate::bootstrap::{BootstrapError, Place, Recovered, want_recovery};
use std::sync::Arc;
use tokio::sync::Mutex;

/// The longest word for a request.
pub const REQUEST_BYTES_MAX: usize = 253;

/// Takes requests. A cheap clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    place: Place,
    recovered: Option<Recovered>,
    /// One at a time.
    writing: Mutex<()>,
}

impl Desk {
    /// Of the member whose identity is kept in `place`, and which was made of another one as `recovered` says.
    #[must_use]
    pub fn new(place: Place, recovered: Option<Recovered>) -> Self {
        Self(Arc::new(Inner { place, recovered, writing: Mutex::default() }))
    }

    /// What this member was made of.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.0.recovered.as_ref()
    }

    /// Whether this very request has been carried out.
    #[must_use]
    pub fn has_done(&self, request: &str) -> bool {
        self.recovered().is_some_and(|recovered| recovered.request.as_deref() == Some(request))
    }

    /// Writes the request down, durably. The process has to end then.
    ///
    /// # Errors
    /// The disk fails. Whether the request stands is not known then.
    pub async fn take(&self, request: &str) -> Result<(), BootstrapError> {
        let _alone = self.0.writing.lock().await;
        let (inner, request) = (Arc::clone(&self.0), request.to_owned());
        let written = tokio::task::spawn_blocking(move || want_recovery(&inner.place, &request));
        written.await.expect("writing a small file does not panic")
    }
}
