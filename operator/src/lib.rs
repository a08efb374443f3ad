//! The operator: it forms, scales, heals and upgrades clusters of Quorate on Kubernetes, one careful step at a time.
//!
//! ```text
//!   event, clock ──▶ reconcile:  look ──▶ plan ──▶ status written ──▶ act
//!                                 │ live    │ pure   │ against the     │ one step, with what
//!                                 │ objects │ (crate │ version that    │ it expects written
//!                                 │ members │ plan)  │ was read        │ into the call
//! ```
//!
//! * Every look is live. Events only say when to look.
//! * All that is remembered is in the status. What is kept in the process only saves time.
//! * Status, conditions, events and metrics use the words of the plan.

pub mod act;
pub mod calls;
pub mod certificate;
pub mod children;
pub mod context;
pub mod crd;
pub mod error;
pub mod lease;
pub mod look;
pub mod member;
pub mod metrics;
pub mod reconcile;
pub mod run;
pub mod serve;
pub mod status;
pub mod stored;
pub mod telemetry;
pub mod wanted;

#[cfg(test)]
mod chart_tests;
#[cfg(test)]
mod test_api_server;
