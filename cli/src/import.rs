//! `tripcast import`.

use std::path::PathBuf;

use clap::ValueEnum;
use model::candidates::FitParams;
use model::import::FeatureMap;
use model::{Artifact, Family, Target};
use serde::Serialize;
use trees::import::{ImportError, lightgbm, sklearn, xgboost};

use crate::files;
use crate::output::{Failure, Output};
use crate::train::TargetName;

/// Import a model that another library trained.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast import --format lightgbm-text --input model.txt --target duration \\
      --features map.toml --out duration.bin
  tripcast import --format xgboost-json --input model.json --target tip --features map.toml --out tip.bin

The map says what each source column means, and holds golden rows: trips, and what the library predicted for them.

  [columns]
  PULocationID = { feature = \"pickup_zone\" }
  DOLocationID = { feature = \"dropoff_zone\" }
  trip_distance = { feature = \"distance_miles\", unit = \"kilometres\", missing = -1 }
  RatecodeID = { feature = \"rate_code\", codes = { 1 = 0, 2 = 1 } }
  PU_DO = { features = [\"pickup_zone\", \"dropoff_zone\"] }      # one-hot columns PU_DO=74_75

  [output]
  unit = \"seconds\"                # of a duration: minutes, seconds or hours
  transform = \"expm1\"             # undoes log1p of the label; or exp
  interval_half_width_min = 8.5   # half the 90 % interval; unknown, it is 60 minutes wide

  [[golden]]                      # a trip in a message's fields, and the prediction in minutes
  row = { PULocationID = 74, DOLocationID = 75, trip_distance = 1.9, RatecodeID = 1 }
  prediction = 8.5375

Also: one_hot_absent = \"missing\" (XGBoost on sparse matrices), column_names = [...] (a file without names),
iterations = \"all\" (XGBoost's trees after the best iteration count as well).
docs/IMPORT.md has the whole of it.")]
pub struct Args {
    /// Format of the file.
    #[arg(long, value_enum)]
    format: Format,
    /// File of the model.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// What the model predicts.
    #[arg(long, value_enum)]
    target: TargetName,
    /// TOML file that maps its columns and holds golden rows.
    #[arg(long, value_name = "MAP.toml")]
    features: PathBuf,
    /// File to write the model to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Output of tools/export_sklearn.
    SklearnJson,
    /// XGBoost's save_model("model.json"), or "model.ubj" as MLflow stores it.
    #[value(alias = "xgboost-ubj")]
    XgboostJson,
    /// LightGBM's save_model("model.txt").
    LightgbmText,
}

/// An input that cannot be parsed.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("reading {path}", path = path.display())]
    Model {
        path: PathBuf,
        #[source]
        source: ImportError,
    },
    #[error("reading the map {path}", path = path.display())]
    Map {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("{path} is not text: expected UTF-8", path = path.display())]
    Text { path: PathBuf },
}

#[derive(Serialize)]
struct Report {
    target: Target,
    family: Family,
    version: String,
    source: String,
    columns: usize,
    golden_rows: usize,
    interval_is_known: bool,
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    files::refuse_inputs(&args.out, [&args.input, &args.features])?;
    let bytes = files::read(&args.input)?;
    let text = |bytes: &[u8], path: &PathBuf| {
        String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable::Text { path: path.clone() })
    };
    let map: FeatureMap = toml::from_str(&text(&files::read(&args.features)?, &args.features)?)
        .map_err(|source| Unreadable::Map { path: args.features.clone(), source })?;
    let read = match args.format {
        Format::SklearnJson => sklearn::read(&bytes),
        Format::XgboostJson => xgboost::read_with(&bytes, map.iterations),
        Format::LightgbmText => lightgbm::read(&text(&bytes, &args.input)?),
    };
    let foreign = read.map_err(|source| Unreadable::Model { path: args.input.clone(), source })?;
    let target = Target::from(args.target);
    let (source, columns) = (foreign.source.clone(), foreign.columns.len());
    let golden_rows = foreign.golden.len() + map.golden.len();
    let candidate = model::import::import(target, foreign, &map)?;
    let family = candidate.family;
    let (bytes, version) = Artifact::new(candidate, FitParams::default(), &[]).to_bytes()?;
    files::write(&args.out, &bytes)?;
    let report = Report {
        target,
        family,
        version: version.to_string(),
        source,
        columns,
        golden_rows,
        interval_is_known: target == Target::Tip || map.output.interval_half_width_min.is_some(),
        out: args.out.clone(),
    };
    out.print(&report, || table(&report))
}

fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!("{} model {} from {}", report.target, report.version, report.source),
        format!("{} columns, {} golden rows predicted alike", report.columns, report.golden_rows),
    ];
    if !report.interval_is_known {
        lines.push("its interval is unknown: set interval_half_width_min under [output]".into());
    }
    lines.push(format!("written to {}", report.out.display()));
    lines
}
