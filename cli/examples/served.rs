//! Measures the models that serve, for `make bench-peers`.
//!
//! `features` writes the features and labels of months as little-endian f32 files, so that other libraries learn from what ours learn from:
//! `features --months A.parquet,B.parquet --target duration --x FILE --y FILE`. `single` times trips one after another through a pair of
//! models, from a trip to its predictions, and their loading: `single --duration FILE --tip FILE --months A.parquet`. Both print one JSON document.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use model::features::{self, FeatureRows};
use model::{Bundle, Examples, LabelledTrips, Rules, Target, Trip};

type Failure = Box<dyn std::error::Error>;

/// Trips that are timed.
const SINGLE_ROWS: usize = 20_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options.insert(name.trim_start_matches("--").to_string(), value);
    }
    let option = |name: &str| options.get(name).ok_or_else(|| format!("expected --{name}"));
    let months: Vec<LabelledTrips> =
        option("months")?.split(',').map(|file| month(Path::new(file))).collect::<Result<_, _>>()?;
    let measured = match verb.as_str() {
        "features" => {
            let target = match option("target")?.as_str() {
                "duration" => Target::Duration,
                "tip" => Target::Tip,
                other => return Err(format!("--target {other}: expected duration or tip").into()),
            };
            let (examples, _) = Rules::Course.examples(target, &months);
            write_features(&examples, Path::new(option("x")?), Path::new(option("y")?))?
        }
        "single" => {
            let (duration, tip) = (std::fs::read(option("duration")?)?, std::fs::read(option("tip")?)?);
            single(&duration, &tip, &months)?
        }
        _ => return Err("expected a verb: features or single".into()),
    };
    #[allow(clippy::print_stdout)]
    {
        println!("{measured}");
    }
    Ok(())
}

fn month(file: &Path) -> Result<LabelledTrips, Failure> {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let month = name.rsplit('_').next().and_then(|month| month.parse().ok());
    let bytes = bytes::Bytes::from(std::fs::read(file)?);
    Ok(dataset::read_all(&bytes, month, dataset::ReadOptions::default())?.0)
}

/// Writes the features and the labels of `examples`.
fn write_features(examples: &Examples, x: &Path, y: &Path) -> Result<String, Failure> {
    let write = |file: &Path, values: &[f32]| {
        std::fs::write(file, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    };
    write(x, &FeatureRows::from_trips(&examples.trips).values)?;
    write(y, &examples.labels.iter().map(|label| *label as f32).collect::<Vec<f32>>())?;
    Ok(serde_json::json!({ "rows": examples.labels.len(), "features": features::NAMES.len() }).to_string())
}

/// Passes, of which the median counts.
const PASSES: usize = 5;

/// Times trips one after another through the models with these bytes, in nanoseconds each, and the time from the bytes to a first
/// answer, in milliseconds.
fn single(duration: &[u8], tip: &[u8], months: &[LabelledTrips]) -> Result<String, Failure> {
    let (examples, _) = Rules::Course.examples(Target::Duration, months);
    let trips = &examples.trips[..examples.trips.len().min(SINGLE_ROWS)];
    let answer = |bundle: &Bundle, trip: &Trip| bundle.predict(std::slice::from_ref(trip)).duration_min[0];
    let (mut passes, mut loads) = (Vec::new(), Vec::new());
    let mut sum = 0.0;
    for _ in 0..PASSES {
        let start = Instant::now();
        let bundle = Bundle::from_bytes(duration, Some(tip))?;
        answer(&bundle, &trips[0]);
        loads.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        sum = trips.iter().map(|trip| answer(&bundle, trip)).sum::<f64>();
        passes.push(start.elapsed().as_secs_f64() * 1e9 / trips.len() as f64);
    }
    for times in [&mut passes, &mut loads] {
        times.sort_by(f64::total_cmp);
    }
    let (ns_per_row, load_ms) = (passes[PASSES / 2], loads[PASSES / 2]);
    Ok(serde_json::json!({ "ns_per_row": ns_per_row, "load_ms": load_ms, "mean": sum / trips.len() as f64 })
        .to_string())
}
