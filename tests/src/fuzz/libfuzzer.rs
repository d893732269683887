//! Runs the target that `FUZZ_TARGET` names under libFuzzer.

#![no_main]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tests::fuzz;

fn target() -> fuzz::Target {
    static TARGET: OnceLock<fuzz::Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = tests::variable("FUZZ_TARGET").unwrap_or_default();
        // libFuzzer's hook ends the process at every panic, but the reader of Parquet catches those of the decoder.
        std::panic::set_hook(Box::new(|_| ()));
        let found = fuzz::TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("FUZZ_TARGET {name:?} is no target")).1
    })
}

fuzz_target!(|bytes: &[u8]| target()(bytes));
