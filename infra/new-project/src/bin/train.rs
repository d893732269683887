//! Learns a model: `train OUT.bin TRAIN.parquet... VALIDATE.parquet JUDGE.parquet`, files of trips as the TLC publishes them.

use std::error::Error;
use std::path::PathBuf;

use bytes::Bytes;
use dataset::{ReadOptions, read_all};
use {{crate_name}}::learning::learn;
use {{crate_name}}::target::{NAME, UNIT};
use model::LabelledTrips;

const FILES: &str = "expected at least three files: to learn from, to stop by and to judge on";

fn main() -> Result<(), Box<dyn Error>> {
    dataset::decode_if_asked();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or("expected OUT.bin TRAIN.parquet... VALIDATE.parquet JUDGE.parquet")?;
    let mut months = arguments.map(read).collect::<Result<Vec<LabelledTrips>, _>>()?;
    let (Some(judge), Some(validate)) = (months.pop(), months.pop()) else {
        return Err(FILES.into());
    };
    if months.is_empty() {
        return Err(FILES.into());
    }
    let learned = learn(&months, &validate, &judge)?;
    std::fs::write(&out, &learned.bytes)?;
    let (rmse, mean, judged) = (learned.rmse, learned.rmse_of_mean, learned.judged);
    println!("{NAME}: RMSE {rmse:.3} {UNIT} on {judged} trips, where the mean has {mean:.3}");
    Ok(())
}

fn read(path: PathBuf) -> Result<LabelledTrips, Box<dyn Error>> {
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (trips, report) = read_all(&Bytes::from(bytes), None, ReadOptions::default())?;
    report.remarks().iter().for_each(|remark| eprintln!("{}: {remark}", path.display()));
    Ok(trips)
}
