//! Months of trips: the real ones where they are, made-up ones elsewhere.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;

/// The folder of real months: `TRIPS_DIR`, else `../shared/data`.
pub fn real() -> Option<PathBuf> {
    let folder =
        crate::variable("TRIPS_DIR").map_or_else(|| crate::root().join("../shared/data"), PathBuf::from);
    folder.join("green_tripdata_2021-01.parquet").exists().then_some(folder)
}

/// The folder of real months for a test that is about them; says so where there is none.
pub fn real_or_say(test: &str) -> Option<PathBuf> {
    let folder = real();
    if folder.is_none() {
        eprintln!("{test}: not run, there are no real months (set TRIPS_DIR)");
    }
    folder
}

/// Green trips of `month`, 2021-01 to 2021-03: real, else made up by `tripcast data generate`.
pub fn green(month: &str) -> PathBuf {
    let name = format!("green_tripdata_{month}.parquet");
    real().unwrap_or_else(generated).join(name)
}

/// The bytes of [`green`].
pub fn green_bytes(month: &str) -> Bytes {
    Bytes::from(std::fs::read(green(month)).unwrap())
}

fn generated() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = crate::root().join("target/generated-trips");
        let months = ["2021-01", "2021-02", "2021-03"].into_iter().flat_map(|month| ["--month", month]);
        let mut command = Command::new(crate::release_binary("tripcast"));
        let made =
            command.args(["data", "generate", "--rows", "20000", "--to"]).arg(&folder).args(months).status();
        assert!(made.unwrap().success(), "tripcast data generate failed");
        folder
    };
    FOLDER.get_or_init(make).clone()
}
