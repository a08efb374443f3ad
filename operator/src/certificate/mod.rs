//! Certificates of the operator's own making: an authority per cluster and side, and what it signs.
//!
//! * Nothing is parsed: when a certificate ends, and for whom it is, is written on its Secret.
//! * Members read their certificates again by themselves: a new one takes no restart.
//! * The authority outlives a cluster's usual life and is not rotated: its Secret is deleted by hand to make another.

mod authority;
mod secrets;

pub use authority::{Authority, CertificateError, Signed, Use};
pub use secrets::{Keep, SecretPlan, secret_plans};
