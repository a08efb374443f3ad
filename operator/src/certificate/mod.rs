//! Certificates of the operator's own making: authorities for each side of a cluster, and what they sign.
//!
//! * Nothing is parsed: when a certificate ends, for whom it is and who signed it is written on its Secret.
//! * Members read their certificates again by themselves: a new one takes no restart.
//! * An authority is changed before it ends and on request, in steps after each of which all who hold what was published
//!   before it and what is published after it believe each other ([`plan::rotate`]).

mod authorities;
mod authority;
mod digest;
mod secrets;

pub use authorities::Authorities;
pub use authority::{Authority, CertificateError, Signed, Use};
pub use digest::Held;
pub use secrets::{Keep, SecretPlan, SidePlan, not_after, side_plans};

#[cfg(test)]
mod rotation_tests;
