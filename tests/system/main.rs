//! The system's tests, one binary.
//!
//! - `contracts`: what files promise each other.
//! - `dashboards`: made from the list of metrics.
//! - `deployments`: template.yaml and infra/terraform make the same.
//! - `gates`, `real_data`: golden numbers on the sample of trips and, where `TRIPS_DIR` has them, on whole months.
//! - `bootstraps`: built functions under a double of the Runtime API; `make e2e` builds them.
//! - `terminal`, `determinism`: the built `tripcast` as a person types it.
//! - `end_to_end`: the whole on the local AWS; `make e2e` brings it up.
//! - `permissions`: what was called there beside what the roles allow.
//! - `emulator`: built functions under Lambda's own emulator, by `make test-rie`.
//!
//! `tests::needs` prints what a test lacks on a machine: `cargo test --workspace` runs the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod bootstraps;
mod contracts;
mod dashboards;
mod deployments;
mod determinism;
mod emulator;
mod end_to_end;
mod gates;
mod new_function;
mod permissions;
mod real_data;
mod terminal;
