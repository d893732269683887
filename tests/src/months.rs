//! Finds months of trips: the sample in this repository, and whole months in `TRIPS_DIR`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use model::artifact::sha256_hex;

/// The months of the sample.
pub const SAMPLE: [&str; 3] = ["2021-01", "2021-02", "2021-03"];
/// Versions of the duration and the tip model of a retraining on the sample as of 2021-03-15, on every machine.
pub const SAMPLE_VERSIONS: [&str; 2] = ["a8f30765e6ef", "03650e65005d"];

/// Returns the file name of a green month, `yyyy-mm`.
pub fn file_name(month: &str) -> String {
    format!("green_tripdata_{month}.parquet")
}

/// Returns the folder of the sample: 10,000 rows per month (tests/fixtures/trips/README.md).
pub fn sample_folder() -> PathBuf {
    crate::root().join("tests/fixtures/trips")
}

/// Returns the path of a whole green month as the TLC published it, if `TRIPS_DIR` has it.
pub fn whole(month: &str) -> Option<PathBuf> {
    known_file(&file_name(month))
}

/// Returns the path of a green month in `TRIPS_DIR`, whatever its bytes are.
pub fn any(month: &str) -> Option<PathBuf> {
    trips_dir().map(|folder| folder.join(file_name(month))).filter(|path| path.is_file())
}

/// Returns the path of a file in `TRIPS_DIR` if its checksum is that of the file behind the golden figures.
pub fn known_file(name: &str) -> Option<PathBuf> {
    static SEEN: Mutex<Option<HashMap<PathBuf, bool>>> = Mutex::new(None);
    let path = trips_dir()?.join(name);
    let mut seen = SEEN.lock().unwrap();
    let is_known = seen.get_or_insert_default().entry(path.clone()).or_insert_with(|| {
        let expected = checksums().get(name);
        expected.is_some() && std::fs::read(&path).ok().map(|bytes| sha256_hex(&bytes)).as_ref() == expected
    });
    is_known.then_some(path)
}

/// Returns the sha256 of the files behind the golden figures, by name.
pub fn checksums() -> &'static BTreeMap<String, String> {
    static LIST: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    LIST.get_or_init(|| {
        let text = std::fs::read_to_string(crate::root().join("tests/fixtures/whole-months.sha256")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_once("  ").unwrap())
            .map(|(sum, name)| (name.into(), sum.into()))
            .collect()
    })
}

/// Returns why there are no whole months.
pub fn why_not_whole() -> String {
    let get = "`make months` fetches them";
    match trips_dir() {
        None => format!("TRIPS_DIR is not set ({get})"),
        Some(folder) => format!("TRIPS_DIR={} lacks some or holds other files ({get})", folder.display()),
    }
}

/// Returns the file of green trips of `month`, one of [`SAMPLE`]: whole if all three are, else the sample.
pub fn green(month: &str) -> PathBuf {
    let folder = SAMPLE.iter().all(|month| whole(month).is_some()).then(trips_dir).flatten();
    folder.unwrap_or_else(sample_folder).join(file_name(month))
}

/// Reads the bytes of [`green`].
pub fn green_bytes(month: &str) -> Bytes {
    Bytes::from(std::fs::read(green(month)).unwrap())
}

fn trips_dir() -> Option<PathBuf> {
    // A relative path starts at the root; cargo runs tests in the folder of their package.
    crate::variable("TRIPS_DIR").map(|folder| crate::root().join(folder))
}
