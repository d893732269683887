//! `tripcast backfill`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use batch_predictor::BatchPredictor;
use batch_predictor::backfill::{BackfillOutcome, BackfillRequest, Backfilled};
use batch_predictor::keys::Dropped;
use futures::stream::{self, StreamExt};
use indicatif::ProgressBar;
use model::{Month, chain};
use operations::steps::{Items, PAUSE, Standing, Steps};
use platform::event::ObjectCreated;
use platform::lambda::Deadline;
use registry::{Models, Registry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Condition, Get, ObjectKey, Store, StoreUri};

use crate::files;
use crate::output::{Failure, Output, progress};
use crate::predict::Read;

/// A file of a directory has no deadline; this one is never met.
const NO_DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Predict all files of a span of months that the present champions have not predicted yet.
///
/// With --state-machine, Step Functions invokes the batch predictor for every object; the command starts that and
/// follows it, and may be stopped without stopping it. With --data and --models, files of a directory (or a bucket)
/// are predicted here, on all cores. Either way, what has its summary is left as it is: run the command again to go on.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast backfill --from 2023-01 --to 2024-10 --state-machine arn:aws:states:eu-west-1:111122223333:stateMachine:tripcast-backfill
  tripcast backfill --execution arn:aws:states:eu-west-1:111122223333:execution:tripcast-backfill:0b1e...
  tripcast backfill --from 2023-01 --to 2024-10 --data ./trips-store --models ./models")]
pub struct Args {
    /// First month; files without a month in their names are predicted only without a first and a last month.
    #[arg(long)]
    from: Option<Month>,
    /// Last month.
    #[arg(long)]
    to: Option<Month>,
    /// Where the files lie, below incoming/.
    #[arg(long, default_value = "incoming/")]
    prefix: String,
    /// The state machine of a deployment: its output BackfillStateMachineArn.
    #[arg(long, value_name = "ARN", conflicts_with_all = ["data", "models", "execution", "taxi", "threads", "utc_times"])]
    state_machine: Option<String>,
    /// An execution that was started before, to follow.
    #[arg(long, value_name = "ARN", conflicts_with_all = ["data", "models", "from", "to", "prefix", "taxi", "threads", "utc_times"])]
    execution: Option<String>,
    /// Store of the trips: s3://bucket or a directory.
    #[arg(long, requires = "models")]
    data: Option<StoreUri>,
    /// Store of the models: s3://bucket or a directory.
    #[arg(long, requires = "data")]
    models: Option<StoreUri>,
    #[command(flatten)]
    here: Here,
}

/// How files are predicted in this process.
#[derive(clap::Args)]
pub struct Here {
    /// Kind of the taxis (green, yellow, fhvhv) that the models learned from.
    #[arg(long, default_value = "green")]
    taxi: String,
    /// Files predicted at once, 0 for as many as the machine has cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    read: Read,
}

/// A file that was not predicted.
#[derive(Debug, Serialize)]
pub struct NotPredicted {
    pub key: String,
    pub reason: String,
}

/// How a backfill ended.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<String>,
    /// Objects that were found.
    objects: u64,
    /// How many ended how, without those that failed.
    outcomes: BTreeMap<BackfillOutcome, u64>,
    /// Rows predicted by this run.
    rows: u64,
    /// Rows rejected by this run.
    rejected: u64,
    pub failed: Vec<NotPredicted>,
    /// Objects that failed and are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    failed_besides: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Some files were not predicted; the report lists them.
#[derive(Debug, thiserror::Error)]
enum BackfillError {
    #[error("{failed} of {objects} objects failed; run the command again when the cause is removed")]
    Failed { failed: u64, objects: u64 },
    #[error("the execution {execution} ended as {status}: {reason}")]
    Ended { execution: String, status: String, reason: String },
    #[error("expected --state-machine, --execution, or --data and --models")]
    Nowhere,
    #[error("--prefix {prefix}: expected it to begin with incoming/")]
    Prefix { prefix: String },
    #[error("--from {from} --to {to}: expected a first month that is not after the last one")]
    Span { from: Month, to: Month },
    #[error(
        "nothing was predicted: of {objects} files none is of these months; trips to predict are expected below incoming/"
    )]
    Nothing { objects: u64 },
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    if !args.prefix.starts_with(registry::layout::INCOMING) {
        return Err(BackfillError::Prefix { prefix: args.prefix.clone() }.into());
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(BackfillError::Span { from, to }.into());
    }
    let (report, ended) = match (&args.state_machine, &args.execution, &args.data, &args.models) {
        (None, None, Some(data), Some(models)) => (here(args, data, models).await?, None),
        (None, None, _, _) => return Err(BackfillError::Nowhere.into()),
        (state_machine, execution, _, _) => {
            let steps = Steps::new(&store::aws_config("tripcast").await);
            let execution = match (state_machine, execution) {
                (Some(state_machine), _) => {
                    let input = json!({"prefix": args.prefix, "from": args.from, "to": args.to});
                    let started = steps.start(state_machine, &input).await?;
                    writeln!(std::io::stderr(), "started {started}")?;
                    started
                }
                (None, execution) => execution.clone().unwrap_or_default(),
            };
            follow(&steps, execution).await?
        }
    };
    out.print(&report, || table(&report))?;
    let failed = report.failed.len() as u64 + report.failed_besides;
    match ended {
        Some(ended) => Err(ended.into()),
        None if failed > 0 => Err(BackfillError::Failed { failed, objects: report.objects }.into()),
        None if report.outside() == report.objects => {
            Err(BackfillError::Nothing { objects: report.objects }.into())
        }
        None => Ok(()),
    }
}

/// Predicts the files of stores in this process.
async fn here(args: &Args, data: &StoreUri, models: &StoreUri) -> Result<Report, Failure> {
    let (data, models) =
        (files::open_existing("--data", data).await?, files::open_existing("--models", models).await?);
    let listed = data.list(&args.prefix).await?;
    let keys = listed.into_iter().map(|meta| meta.key).filter(|key| Dropped::new(key.as_str()).is_some());
    let files = keys.map(|key| (key, Condition::IfAbsent)).collect();
    args.here.walk(&args.here.predictor(data, models), files, (args.from, args.to)).await
}

impl Here {
    /// Creates a predictor of the files of a store by the champions of another.
    pub fn predictor(&self, data: Arc<dyn Store>, models: Arc<dyn Store>) -> BatchPredictor {
        let champions = Models::new(Registry::new(models), Duration::ZERO, |_, _| ());
        BatchPredictor::new(data, None, champions, self.taxi.clone()).reading(self.read.options())
    }

    /// Predicts the files with these keys whose months lie in a span, unless the present champions have predicted them; profiles of their
    /// days are written under the condition beside each.
    pub async fn walk(
        &self,
        predictor: &BatchPredictor,
        files: Vec<(ObjectKey, Condition)>,
        (from, to): (Option<Month>, Option<Month>),
    ) -> Result<Report, Failure> {
        let at_once = match self.threads {
            0 => available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let bar = progress(files.len() as u64, "predicting files");
        let mut report = Report { objects: files.len() as u64, ..Report::default() };
        let mut running = stream::iter(files)
            .map(|(key, profiles)| {
                let predictor = predictor.clone();
                // The list of a directory has no lasting ETags, so none is asked for.
                let object =
                    ObjectCreated { bucket: String::new(), key: key.to_string(), version: None, etag: None };
                let request = BackfillRequest { object, from, to, profiles };
                // On a task of its own, since reading takes processor time.
                tokio::spawn(async move {
                    let done = predictor.backfill(&request, Deadline::after(NO_DEADLINE)).await;
                    (request.object.key, done)
                })
            })
            .buffered(at_once);
        while let Some(ended) = running.next().await {
            let (key, done) = ended?;
            match done {
                Ok((answer, _)) => report.add(answer),
                Err(error) => report.failed.push(NotPredicted { key, reason: chain(&error) }),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(report)
    }
}

/// Follows an execution to its end; returns also why it ended, if it failed.
async fn follow(steps: &Steps, execution: String) -> Result<(Report, Option<BackfillError>), Failure> {
    let bar = progress(0, "predicting files");
    loop {
        let standing = steps.standing(&execution).await?;
        let items = steps.items(&execution).await?;
        show(&bar, &items);
        let output = match standing {
            Standing::Running => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Standing::Succeeded(output) => Ok(output),
            Standing::Ended { status, reason } => Err((status, reason)),
        };
        bar.finish_and_clear();
        let mut report =
            Report { execution: Some(execution.clone()), objects: items.total, ..Report::default() };
        for item in steps.failed_items(&execution).await? {
            let key = item.input["backfill"]["key"].as_str().unwrap_or_default().to_string();
            report.failed.push(NotPredicted { key, reason: item.reason });
        }
        report.failed_besides = items.failed.saturating_sub(report.failed.len() as u64);
        return match output {
            Ok(output) => {
                results(&output).await?.into_iter().for_each(|answer| report.add(answer));
                Ok((report, None))
            }
            Err((status, reason)) => Ok((report, Some(BackfillError::Ended { execution, status, reason }))),
        };
    }
}

fn show(bar: &ProgressBar, items: &Items) {
    bar.set_length(items.total);
    bar.set_position(items.succeeded + items.failed);
}

/// Returns the answers for the items of a map that ended well, from its output, or from the files that it was written to.
async fn results(output: &Value) -> Result<Vec<Backfilled>, Failure> {
    let written = &output["ResultWriterDetails"];
    let (Some(bucket), Some(key)) = (written["Bucket"].as_str(), written["Key"].as_str()) else {
        let Value::Array(items) = output else {
            return Err(format!("the output of the execution names no results: {output}").into());
        };
        // A failed item has null.
        let ended_well = items.iter().filter(|item| !item.is_null());
        return Ok(ended_well.map(Backfilled::deserialize).collect::<Result<_, _>>()?);
    };
    let bucket = StoreUri::S3 { bucket: bucket.into(), prefix: String::new() }.open().await;
    written_results(&bucket, key).await
}

/// Reads the result files of a distributed map, which its manifest lists (AWS Step Functions Developer Guide, "ResultWriter").
async fn written_results(bucket: &Arc<dyn Store>, manifest: &str) -> Result<Vec<Backfilled>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Manifest {
        result_files: ResultFiles,
    }
    #[derive(Deserialize)]
    struct ResultFiles {
        #[serde(rename = "SUCCEEDED", default)]
        succeeded: Vec<ResultFile>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ResultFile {
        key: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Child {
        /// A JSON document as text.
        output: String,
    }
    let read = async |key: &str| -> Result<_, Failure> {
        Ok(bucket.get(&ObjectKey::new(key)?, Get::default()).await?.bytes)
    };
    let manifest: Manifest = serde_json::from_slice(&read(manifest).await?)?;
    let mut answers = Vec::new();
    for file in manifest.result_files.succeeded {
        let children: Vec<Child> = serde_json::from_slice(&read(&file.key).await?)?;
        for child in children {
            answers.push(serde_json::from_str(&child.output)?);
        }
    }
    Ok(answers)
}

impl Report {
    /// Returns how many objects ended without a failure.
    pub fn ended_well(&self) -> u64 {
        self.objects.saturating_sub(self.failed.len() as u64 + self.failed_besides)
    }

    /// Returns how many objects are of other months.
    fn outside(&self) -> u64 {
        self.outcomes.get(&BackfillOutcome::Outside).copied().unwrap_or_default()
    }

    fn add(&mut self, answer: Backfilled) {
        self.rows += answer.rows.unwrap_or_default();
        self.rejected += answer.rejected.unwrap_or_default();
        if answer.outcome.is_failure() {
            let parts = [answer.error_type, answer.detail].into_iter().flatten();
            let reason = parts.collect::<Vec<_>>().join(": ");
            self.failed.push(NotPredicted { key: answer.key, reason });
        } else {
            *self.outcomes.entry(answer.outcome).or_default() += 1;
        }
    }
}

fn table(report: &Report) -> Vec<String> {
    let count = |outcome| report.outcomes.get(&outcome).copied().unwrap_or_default();
    let mut lines = vec![format!(
        "objects: {}; {} predicted ({} rows, {} rejected), {} unchanged, {} outside, {} replaced meanwhile, {} failed",
        report.objects,
        count(BackfillOutcome::Predicted),
        report.rows,
        report.rejected,
        count(BackfillOutcome::Unchanged),
        count(BackfillOutcome::Outside),
        count(BackfillOutcome::Gone),
        report.failed.len() as u64 + report.failed_besides,
    )];
    lines.extend(report.failed.iter().map(|one| format!("  {}: {}", one.key, one.reason)));
    lines
}

#[cfg(test)]
mod tests {
    use store::{Condition, MemoryStore};

    use super::*;

    fn answer(key: &str) -> Value {
        json!({"outcome": "predicted", "key": key, "rows": 10, "rejected": 1})
    }

    #[tokio::test]
    async fn answers_come_from_the_output_or_from_the_files_that_it_names() {
        let output = json!([answer("incoming/a"), null, {"outcome": "unchanged", "key": "incoming/b"}]);
        let answers = results(&output).await.unwrap();
        assert!(results(&Value::Null).await.is_err() && results(&json!(["what is this"])).await.is_err());
        assert_eq!(
            answers.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(),
            ["incoming/a", "incoming/b"]
        );

        let bucket: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let child = |key: &str| json!({"ExecutionArn": "arn", "Input": "{}", "Output": answer(key).to_string(), "Status": "SUCCEEDED"});
        let manifest = json!({"DestinationBucket": "trips", "MapRunArn": "arn", "ResultFiles": {
            "FAILED": [], "PENDING": [], "SUCCEEDED": [{"Key": "backfills/1/SUCCEEDED_0.json", "Size": 1}]}});
        for (key, document) in [
            ("backfills/1/manifest.json", manifest),
            ("backfills/1/SUCCEEDED_0.json", json!([child("incoming/a"), child("incoming/c")])),
        ] {
            let key = ObjectKey::new(key).unwrap();
            bucket.put(&key, document.to_string().into(), Condition::Always).await.unwrap();
        }
        let mut report = Report::default();
        let answers = written_results(&bucket, "backfills/1/manifest.json").await.unwrap();
        answers.into_iter().for_each(|answer| report.add(answer));
        assert_eq!((report.rows, report.rejected, report.outcomes[&BackfillOutcome::Predicted]), (20, 2, 2));
    }
}
