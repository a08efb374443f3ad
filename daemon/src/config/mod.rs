//! Configuration: raw once, checked once.
//!
//! ```text
//!   flags · ETCD_* · file ──▶ Raw ──▶ Settings ──▶ the parts
//! ```

pub mod address;
pub mod settings;

pub use address::Address;
pub use settings::Settings;
