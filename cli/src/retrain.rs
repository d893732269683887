//! `tripcast retrain`.

use std::io::Write;
use std::time::Duration;

use chrono::{NaiveDate, Utc};
use model::Target;
use model::candidates::FitParams;
use model::decision::PromotionPolicy;
use operations::steps::Steps;
use platform::lambda::Deadline;
use registry::runs::{Retrained, Run};
use retrainer::config::{ROWS_MAX, RowsMax, Windows, tracker_of_process};
use retrainer::learn::Learning;
use retrainer::room::Room;
use retrainer::{Retrainer, Settings};
use serde_json::{Value, json};
use store::StoreUri;

use crate::files;
use crate::output::{Failure, Output, spinner};
use crate::predict::Read;
use crate::times;
use crate::train::TargetName;

/// Retrain as the schedule does: choose, learn, judge, publish, and promote what is better.
///
/// Runs are also logged on the MLflow server that MLFLOW_TRACKING_URI names, if it is set. With --state-machine, Step Functions does it with
/// an invocation for each fit, by the settings of the deployment; the command starts and follows that.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast retrain --data ./trips-store --models ./models --now 2021-03-15
  tripcast retrain --data s3://my-data --models s3://my-models --target duration
  tripcast retrain --state-machine arn:aws:states:eu-west-1:111122223333:stateMachine:tripcast-training")]
pub struct Args {
    /// Store of the trips, below history/ and incoming/: s3://bucket or a directory.
    #[arg(long, required_unless_present = "state_machine")]
    data: Option<StoreUri>,
    /// Store of the models: s3://bucket or a directory.
    #[arg(long, required_unless_present = "state_machine")]
    models: Option<StoreUri>,
    /// The state machine of a deployment: its output TrainingStateMachineArn.
    #[arg(long, value_name = "ARN", conflicts_with_all = ["data", "models", "name", "taxi", "windows", "trials", "minutes", "rows_max", "seed", "threads", "utc_times"])]
    state_machine: Option<String>,
    /// Only this target; by default both.
    #[arg(long, value_enum)]
    target: Option<TargetName>,
    /// Day to retrain as of: judges on the latest full month before it; today by default.
    #[arg(long, value_parser = times::day)]
    now: Option<NaiveDate>,
    /// Name of the run, after the day.
    #[arg(long, default_value = "by-hand")]
    name: String,
    /// Kind of the taxis (green, yellow, fhvhv).
    #[arg(long, default_value = "green")]
    taxi: String,
    /// Window lengths to choose from, months.
    #[arg(long, default_value = "1,3,12")]
    windows: Windows,
    /// Number of sets of parameters of boosted trees to try.
    #[arg(long, default_value_t = 4)]
    trials: usize,
    /// Time limit in minutes; learning is cut short to keep it, and two minutes are kept for judging.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Rows to learn from at most; of more, a share is drawn, the same of every month. About 450 bytes of memory a row.
    #[arg(long, default_value = ROWS_MAX)]
    rows_max: RowsMax,
    /// Threads to train on, 0 for as many as the machine runs at once; the models do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    read: Read,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    match (&args.state_machine, &args.data, &args.models) {
        (Some(state_machine), _, _) => by_steps(args, state_machine, out).await,
        (None, Some(data), Some(models)) => here(args, data, models, out).await,
        (None, _, _) => Err("expected --data and --models, or --state-machine".into()),
    }
}

/// Starts an execution of the state machine and follows it.
async fn by_steps(args: &Args, state_machine: &str, out: &Output) -> Result<(), Failure> {
    let steps = Steps::new(&store::aws_config("tripcast").await);
    let target = args.target.map(Target::from);
    let execution = steps.start(state_machine, &json!({"now": args.now, "target": target})).await?;
    writeln!(std::io::stderr(), "started {execution}")?;
    let working = spinner("retraining");
    let answer = steps.wait(&execution).await?;
    working.finish_and_clear();
    out.print(&answer, || {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
        let mut lines = vec![format!("run {}", text(&answer["run"]))];
        if answer["nothing_to_do"] == true {
            lines.push("there is nothing to do; `tripcast runs show` says why".into());
        }
        lines.extend(answer["targets"].as_array().into_iter().flatten().map(|one| {
            format!("  {} {}: {}", text(&one["target"]), text(&one["version"]), text(&one["reason"]))
        }));
        lines
    })
}

async fn here(args: &Args, data: &StoreUri, models: &StoreUri, out: &Output) -> Result<(), Failure> {
    let learning = Learning {
        windows: args.windows.0.clone(),
        params: FitParams { seed: args.seed, ..FitParams::default() },
        trials: args.trials,
        rows_max: args.rows_max.0,
        room: Room::default(),
        threads: args.threads,
    };
    let policy = PromotionPolicy { seed: args.seed, ..PromotionPolicy::default() };
    let settings =
        Settings { taxi: args.taxi.clone(), utc_times: args.read.options().utc_times, learning, policy };
    let (data, models) = (files::open_existing("--data", data).await?, models.open().await);
    let retrainer = Retrainer::new(data, models, settings).tracked_by(tracker_of_process()?);
    let targets = args.target.map_or(Target::ALL.to_vec(), |target| vec![target.into()]);
    let now = args.now.unwrap_or_else(|| Utc::now().date_naive());
    let deadline = Deadline::after(Duration::from_secs(args.minutes * 60));
    let working = spinner("retraining");
    let run = retrainer.retrain(now, &targets, &args.name, deadline).await?;
    working.finish_and_clear();
    out.print(&run, || table(&run))
}

fn table(run: &Run) -> Vec<String> {
    let mut lines = vec![format!("run {} took {:.1} s", run.run, run.seconds)];
    lines.extend(run.nothing_to_do.clone());
    let remark = |(key, remark): (&str, &String)| format!("  {key}: {remark}");
    let remarks = run.data.iter().flat_map(|file| file.remarks.iter().map(|one| (file.key.as_str(), one)));
    lines.extend(remarks.map(remark));
    lines.extend(
        run.unrecognised
            .iter()
            .map(|key| format!("  {key}: not the name of a month, so nothing is learned from it")),
    );
    lines.extend(run.left_out.iter().map(|out| format!("  left out {}: {}", out.key, out.reason)));
    let line = |one: &Retrained| {
        format!("  {} {} ({}): {}", one.target, one.version, one.family.name(), one.decision.reason)
    };
    lines.extend(run.targets.iter().map(line));
    let is_cut = |one: &&Retrained| one.learning.cut;
    lines.extend(run.targets.iter().filter(is_cut).map(|one| {
        format!(
            "  warning: learning {} was cut short by --minutes; two of them are kept for judging",
            one.target
        )
    }));
    lines
}
