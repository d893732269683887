//! The system's tests, one binary.
//!
//! - `contracts`: what files promise each other; needs nothing but the checkout.
//! - `dashboards`: made from the list of metrics; needs nothing but the checkout.
//! - `deployments`: template.yaml and infra/terraform make the same; needs the environment of the local AWS.
//! - `real_data`: golden numbers on real months; needs those.
//! - `bootstraps`: built functions under a double of the Runtime API; needs `make local`.
//! - `terminal`: `tripcast` as a person types it; needs `make local`.
//! - `end_to_end`: the whole on the local AWS; `make e2e` brings it up.
//! - `permissions`: what was called there beside what the roles allow; needs `end_to_end` to have run.
//! - `emulator`: built functions under Lambda's own emulator; needs `make test-rie`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod bootstraps;
mod contracts;
mod dashboards;
mod deployments;
mod determinism;
mod emulator;
mod end_to_end;
mod gates;
mod permissions;
mod real_data;
mod terminal;
