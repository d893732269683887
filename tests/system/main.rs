//! The system tests, in one binary.
//!
//! - `contracts`: rules that hold across files.
//! - `closed_loop`: from a dropped file to an alarm, a better model and the end of the alarm, in process.
//! - `dashboards`: dashboards are generated from the list of metrics.
//! - `deployments`: template.yaml and infra/terraform create the same resources.
//! - `alarms`: what is lost rings, and docs/OPERATIONS.md has every alarm.
//! - `rollout`: new code is rolled out alike in both.
//! - `stages`: samconfig.toml and infra/terraform/stages choose the same.
//! - `beside`: the table of costs and the stack for Batch agree with the application.
//! - `tables`: what SQL engines read, beside the files that are written.
//! - `fuzz_seeds`: seeds of the fuzz targets.
//! - `hostile`: forged Parquet, in process and through built functions.
//! - `course`: the figures of the course's lesson on monitoring.
//! - `gates`, `real_data`: golden numbers on the sample of trips and, where `TRIPS_DIR` has them, on whole months.
//! - `simulated`: histories of all handlers under faults, by seed.
//! - `bootstraps`: built functions with a double of the Runtime API; `make e2e` builds them.
//! - `chaos`: built functions that are killed all the while.
//! - `terminal`, `determinism`: the built `tripcast`.
//! - `end_to_end`: the whole system on the local AWS; `make e2e` starts it.
//! - `permissions`: the calls made there compared with what the roles allow.
//! - `emulator`: built functions under Lambda's own emulator; run by `make test-rie`.
//!
//! `tests::needs` prints which requirements are missing on a machine: `cargo test --workspace` runs the other tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs
)]

mod alarms;
mod beside;
mod bootstraps;
mod chaos;
mod closed_loop;
mod contracts;
mod course;
mod dashboards;
mod deployments;
mod determinism;
mod emulator;
mod end_to_end;
mod fuzz_seeds;
mod gates;
mod hostile;
mod new_function;
mod permissions;
mod real_data;
mod rollout;
mod simulated;
mod stages;
mod tables;
mod terminal;
