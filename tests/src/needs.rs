//! Requirements of tests beyond the checkout, and the lines that are printed if they are missing.
//!
//! A test without its requirements is not run, but never silently: a line names it, `make test` repeats the line at its
//! end (`tools/not_run.py`), and with `CI` set it fails.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;

use crate::{months, variable};

/// A requirement of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// At least these whole months of the TLC, in `TRIPS_DIR`.
    WholeMonths(&'static [&'static str]),
    /// Packages and release binaries, whose folder is in `PACKAGES`.
    Built,
    /// The local AWS on `LOCAL_AWS_PORT`, and the packages deployed on it.
    LocalAws,
    /// Lambda's own emulator, whose path is in `EMULATOR`, and the packages that run in it.
    Emulator,
    /// The recorded calls of functions on the local AWS.
    RecordedCalls,
}

impl Need {
    fn is_there(self) -> bool {
        match self {
            Self::WholeMonths(wanted) => wanted.iter().all(|month| months::whole(month).is_some()),
            Self::Built => variable("PACKAGES").is_some(),
            Self::LocalAws => Self::Built.is_there() && variable("LOCAL_AWS_PORT").is_some(),
            Self::Emulator => Self::Built.is_there() && variable("EMULATOR").is_some(),
            Self::RecordedCalls => variable("LOCAL_AWS_RECORD").is_some(),
        }
    }

    /// Returns which tests are not run, and why.
    fn lacking(self) -> (&'static str, String) {
        match self {
            Self::WholeMonths(_) => ("golden figures of whole months", months::why_not_whole()),
            Self::Built => ("tests of built packages", "`make e2e` builds them and runs these".into()),
            Self::LocalAws => {
                ("end-to-end tests", "the local AWS is not up: `make e2e` starts it and runs these".into())
            }
            Self::Emulator => {
                ("tests under Lambda's emulator", "`make test-rie` brings it and runs these".into())
            }
            Self::RecordedCalls => {
                ("permissions beside calls", "`make e2e` records the calls and runs these".into())
            }
        }
    }
}

/// Returns whether the calling test can be run; if not, prints why.
///
/// # Panics
/// If it cannot be run and `CI` is set.
pub fn has(need: Need) -> bool {
    if need.is_there() {
        return true;
    }
    let (what, why) = need.lacking();
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    if let Some(list) = variable("NOT_RUN_LIST") {
        let mut list = OpenOptions::new().create(true).append(true).open(&list).unwrap_or_else(|error| {
            panic!("NOT_RUN_LIST={list}: {error}");
        });
        // In one write, since tests run concurrently.
        list.write_all(format!("{what}\t{why}\t{test}\n").as_bytes()).unwrap();
    }
    say_once(what, &why);
    assert!(variable("CI").is_none(), "not run, and CI is set: {what}: {why}");
    false
}

/// Avoids `eprintln!`, which the test harness captures for tests that pass.
fn say_once(what: &'static str, why: &str) {
    static SAID: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(what) {
        std::io::stderr().write_all(format!("NOT RUN: {what}: {why}\n").as_bytes()).unwrap();
    }
}
