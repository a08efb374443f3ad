//! Tests of `membership`.
