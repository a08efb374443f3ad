//! The script: which requests go wrong, and how.

use http::Method;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It is answered with this status and this S3 error code, and not carried out.
    Refuse(u16, &'static str),
    /// It is answered with 503 and a pause in seconds to wait.
    SlowDown(u64),
    /// It is answered with 200 and an S3 error in the body, and not carried out.
    FalseSuccess(&'static str),
    /// It is never answered, nor carried out.
    Hang,
    /// The connection breaks before an answer; it is not carried out.
    Drop,
    /// It is carried out, and the connection breaks before the answer.
    LoseAnswer,
    /// Half of the answer's body arrives, then the connection breaks.
    CutAnswer,
    /// One bit of the answer's body is another one.
    FlipAnswer,
    /// One bit of the request's body is another one.
    FlipRequest,
    /// It waits that long first.
    Delay(Duration),
}

/// One line of the script.
#[derive(Clone, Debug)]
pub struct Fault {
    method: Option<Method>,
    path: Option<String>,
    passed: u32,
    times: u32,
    effect: Effect,
}

impl Fault {
    /// Lets this happen to every request.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self { method: None, path: None, passed: 0, times: u32::MAX, effect }
    }

    /// Only to requests with this method.
    #[must_use]
    pub fn on(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only to requests whose path contains this.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Only after so many requests that it wants went through.
    #[must_use]
    pub fn after(mut self, passed: u32) -> Self {
        self.passed = passed;
        self
    }

    fn wants(&self, method: &Method, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
    }

    /// Counts a request that it wants; whether the fault happens to it.
    fn strikes(&mut self) -> bool {
        if self.passed > 0 {
            self.passed -= 1;
            return false;
        }
        self.times = self.times.saturating_sub(1);
        true
    }
}

/// The script, shared between the test and the server: the first line that wants a request gets it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    lines: Vec<Fault>,
    seen: Vec<(Method, String)>,
    sent_bytes: u64,
}

impl Faults {
    /// Adds a line.
    pub fn add(&self, fault: Fault) {
        self.with(|script| script.lines.push(fault));
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.with(|script| script.lines.clear());
    }

    /// How many requests with this method came for paths that contain `part`, faults included.
    #[must_use]
    pub fn seen(&self, method: &Method, part: &str) -> usize {
        self.with(|script| script.seen.iter().filter(|(seen, path)| seen == method && path.contains(part)).count())
    }

    /// How often what is still in the script is to happen, of lines that have an end.
    #[must_use]
    pub fn left(&self) -> usize {
        let ends = |fault: &&Fault| fault.times < u32::MAX;
        self.with(|script| script.lines.iter().filter(ends).map(|fault| fault.times as usize).sum())
    }

    /// Bytes of the bodies of all answers so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.with(|script| script.sent_bytes)
    }

    pub(crate) fn count_sent(&self, bytes: u64) {
        self.with(|script| script.sent_bytes += bytes);
    }

    /// What happens to this request.
    pub(crate) fn strike(&self, method: &Method, path: &str) -> Option<Effect> {
        self.with(|script| {
            script.seen.push((method.clone(), path.to_owned()));
            let line = script.lines.iter_mut().find(|fault| fault.times > 0 && fault.wants(method, path))?;
            line.strikes().then(|| line.effect.clone())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
