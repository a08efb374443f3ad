//! Work that may take long, on threads of its own: a few pieces at once. What waits for a thread waits in the call that
//! wants it, and goes with it when the client gives up; begun, it is carried through.

use super::status::Refusal;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    threads: Arc<Semaphore>,
}

impl Work {
    /// On so many threads at most.
    pub(super) fn new(threads_max: usize) -> Self {
        Self { threads: Arc::new(Semaphore::new(threads_max)) }
    }

    /// Does this when its turn comes.
    ///
    /// # Errors
    /// [`Refusal::Stopped`] when the process is ending.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(thread);
            done
        });
        working.await.map_err(|_| Refusal::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn so_many_are_done_at_once_and_those_that_wait_can_be_given_up() {
        let work = Arc::new(Work::new(2));
        let (begun, beginning) = mpsc::channel();
        let ends: Vec<mpsc::Sender<()>> = (0..2)
            .map(|number| {
                let (end, ended) = mpsc::channel();
                let (work, begun) = (Arc::clone(&work), begun.clone());
                tokio::spawn(async move {
                    let wait = move || begun.send(number).map(|()| ended.recv().is_err());
                    work.run(wait).await
                });
                end
            })
            .collect();
        let beginning = tokio::task::spawn_blocking(move || (beginning.recv(), beginning.recv(), beginning));
        let (first, second, beginning) = beginning.await.expect("it does not panic");
        assert_eq!(first.expect("one begins") + second.expect("so does the other"), 1);
        let third = move || begun.send(3);
        let given_up = {
            let third = std::pin::pin!(work.run(third));
            futures::future::poll_immediate(third).await.is_none()
        };
        assert!(given_up, "both threads are taken");
        drop(ends);
        work.run(|| ()).await.expect("there is a thread again");
        assert!(beginning.try_recv().is_err(), "what was given up never begins");
    }
}
