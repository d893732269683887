//! `tripcast explain`.

use std::path::PathBuf;

use dataset::ReadOptions;
use model::explanation::{Explanation, Importance, ModelExplainer};
use model::{LabelledTrips, Target, Trip, TripRequest};
use serde::Serialize;

use crate::files;
use crate::output::{Failure, Output, spinner};

/// Show why a model predicts what it does, feature by feature.
///
/// With --data: how much each feature adds or takes on average. With --message: what each adds to one prediction. The
/// figures are Shapley values: with the expected prediction they add up to the trees' sum.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("of").required(true)))]
#[command(after_help = "Examples:
  tripcast explain --model duration.bin --data green_tripdata_2021-03.parquet
  tripcast explain --model duration.bin --message \\
      '{\"ride_id\": 1, \"ride\": {\"PULocationID\": 130, \"DOLocationID\": 205, \"trip_distance\": 3.66}}'")]
pub struct Args {
    /// A model of the boosted family.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Months whose trips are predicted (TLC Parquet files).
    #[arg(long, num_args = 1.., value_name = "FILE", group = "of")]
    data: Vec<PathBuf>,
    /// A message for the scorer.
    #[arg(long, value_name = "JSON", group = "of")]
    message: Option<String>,
    /// Trips of the data to explain, spread evenly over it; 0 for all.
    #[arg(long, default_value_t = 500, value_name = "TRIPS")]
    sample: usize,
}

#[derive(Serialize)]
struct Report {
    target: Target,
    version: String,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trips: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<Vec<Importance>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let (artifact, version) = files::model(&args.model)?;
    let explainer = ModelExplainer::new(&artifact.model)?;
    let mut report = Report {
        target: artifact.model.target(),
        version: version.to_string(),
        unit: explainer.unit(),
        trips: None,
        importance: None,
        explanation: None,
    };
    if let Some(message) = &args.message {
        let parsed = TripRequest::decode(message).and_then(|request| request.parse());
        let parsed = parsed.map_err(|rejection| format!("--message: {}", rejection.detail))?;
        report.explanation = explainer.explain(&[parsed.trip]).pop();
    } else {
        let trips = sample(&files::months(&args.data, ReadOptions::default())?, args.sample);
        let working = spinner("explaining");
        report.trips = Some(trips.len());
        report.importance = Some(explainer.importance(&trips));
        working.finish_and_clear();
    }
    out.print(&report, || table(&report))
}

/// Returns about `wanted` trips of the months, every n-th one; all if `wanted` is 0.
fn sample(months: &[LabelledTrips], wanted: usize) -> Vec<Trip> {
    let n_trips: usize = months.iter().map(|month| month.trips.len()).sum();
    let every = if wanted == 0 { 1 } else { n_trips.div_ceil(wanted).max(1) };
    months.iter().flat_map(|month| month.trips.iter()).step_by(every).copied().collect()
}

fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{} model {}", report.target, report.version)];
    if let (Some(importance), Some(trips)) = (&report.importance, report.trips) {
        let adds = format!("|{}|", report.unit);
        lines.push(format!("{:24} {adds:>12} {:>8}   mean over {trips} trips", "", "splits"));
        lines.extend(importance.iter().map(|Importance { feature, mean_absolute, splits }| {
            format!("{feature:24} {mean_absolute:>12.4} {splits:>8}")
        }));
    }
    if let Some(explanation) = &report.explanation {
        lines.push(format!("{:24} {:>12} {:>12}", "", "value", report.unit));
        lines.push(format!("{:24} {:>12} {:>12.4}", "expected", "", explanation.expected));
        lines.extend(explanation.contributions.iter().map(|of| {
            let value = of.value.map_or("missing".into(), |value| value.to_string());
            format!("{:24} {value:>12} {:>+12.4}", of.feature, of.adds)
        }));
        lines.push(format!("{:24} {:>12} {:>12.4}", "sum", "", explanation.sum));
    }
    lines
}
