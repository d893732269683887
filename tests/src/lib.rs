//! Fixtures of the system tests: a stack on the local AWS for each test, a double of Lambda's Runtime API for built
//! bootstraps, simulated histories, and months of trips.
//!
//! They assert: a test that cannot be set up fails with a sentence that names what is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

pub mod bootstrap;
pub mod dashboards;
pub mod functions;
pub mod fuzz;
pub mod hostile;
pub mod infrastructure;
pub mod months;
pub mod needs;
pub mod queues;
pub mod simulation;
pub mod stack;

use std::path::{Path, PathBuf};

/// Returns the root of the checkout, or of the copy that `PROJECT_ROOT` names.
pub fn root() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
    variable("PROJECT_ROOT").map_or_else(own, PathBuf::from)
}

/// Reads a variable of the tests; `platform::env` reads those of functions.
#[allow(clippy::disallowed_methods)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the path of a release binary for this machine.
pub fn release_binary(name: &str) -> PathBuf {
    let path = root().join("target/release").join(name);
    assert!(path.exists(), "{} is not built: run `make local`", path.display());
    path
}

/// Returns the folder of the packages under test: `PACKAGES`, else those for this machine.
pub fn packages() -> PathBuf {
    variable("PACKAGES").map_or_else(|| root().join("target/local"), PathBuf::from)
}

/// Returns the path of the bootstrap of a packaged function.
pub fn function_binary(name: &str) -> PathBuf {
    let path = packages().join(name).join("bootstrap");
    assert!(path.exists(), "{} is not built: run `make local`", path.display());
    path
}
