//! Runs the target that `FUZZ_TARGET` names under libFuzzer.

#![no_main]

#[path = "../../tests/src/fuzz.rs"]
mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fn target() -> targets::Target {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        // libFuzzer's hook ends the process at every panic, but the reader of Parquet catches those of the decoder.
        std::panic::set_hook(Box::new(|_| ()));
        let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("FUZZ_TARGET {name:?} is no target")).1
    })
}

fuzz_target!(|bytes: &[u8]| target()(bytes));
