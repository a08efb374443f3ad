//! gRPC over HTTP/2 for the methods that must be cheap, and the way to tonic for the others.
//!
//! A unary call is one message each way:
//!
//! ```text
//!   request   HEADERS · DATA  compressed u8 │ length u32 │ protobuf
//!   response  HEADERS · DATA  compressed u8 │ length u32 │ protobuf · HEADERS grpc-status
//! ```
//!
//! A refusal is a response of headers alone. Messages are decoded as views of the request's bytes, and encoded once
//! into a buffer of their exact size.

pub mod methods;
mod reply;
mod request;
mod upload;

pub use reply::Body;
pub(super) use reply::{Ending, encode, message, pass, refuse};
pub use request::{Malformed, read_message};
pub(super) use upload::{Expected, Upload};
