//! The system's tests, one binary.
//!
//! - `contracts`: what files promise each other; needs nothing but the checkout.
//! - `real_data`: golden numbers on real months; needs those.
//! - `bootstraps`: built functions under a double of the Runtime API; needs `make build`.
//! - `terminal`: `tripcast` as a person types it; needs `make build`.
//! - `end_to_end`: the whole on the local AWS; `make e2e` brings it up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod bootstraps;
mod contracts;
mod determinism;
mod end_to_end;
mod gates;
mod real_data;
mod terminal;
