//! `tripcast replay`: repeats the past month by month, as the schedule would have run.
//!
//! On each 15th the retrainer runs, and its champion serves until the next 15th. The file of a month is there on the
//! 15th of the month after it, or `--late` months later. [`served`] measures the predictions, and compares them with
//! those of other champions.

mod report;
mod served;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, NaiveDateTime};
use dataset::ReadOptions;
use model::candidates::FitParams;
use model::decision::PromotionPolicy;
use model::{Artifact, LabelledTrips, Model, Month, Rules, Target, TaxiMonth};
use platform::lambda::Deadline;
use registry::runs::{Retrained, Run};
use registry::{Registry, layout};
use retrainer::config::Windows;
use retrainer::learn::Learning;
use retrainer::plan::LATE_MONTHS_MAX;
use retrainer::room::Room;
use retrainer::{Retrainer, Settings};
use serde::Serialize;
use store::{Condition, MemoryStore, ObjectKey, Store, StoreUri};

use crate::files;
use crate::output::{Failure, Output, progress};
use crate::train::TargetName;
use served::{Period, Served, serve};

/// Day of the month and hour of the schedule: `ScheduleExpression` in template.yaml.
const SCHEDULE: (u32, u32) = (15, 9);

/// Replay past months as scheduled: retrain every month, serve with the champion, measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast replay --trips ./trips --from 2023-01 --to 2024-10
  tripcast replay --trips ./trips --from 2023-01 --to 2023-12 --target tip --json
  tripcast replay --trips ./trips --from 2023-01 --to 2024-10 --late 2
  tripcast replay --trips ./trips --from 2023-01 --to 2024-10 --compare")]
pub struct Args {
    /// Folder of the months: <taxi>_tripdata_<yyyy-mm>.parquet.
    #[arg(long, value_name = "FOLDER")]
    trips: PathBuf,
    /// First month to learn from.
    #[arg(long)]
    from: Month,
    /// Last month, which is only served.
    #[arg(long)]
    to: Month,
    /// What to predict.
    #[arg(long, value_enum, default_value = "duration")]
    target: TargetName,
    /// Kind of the taxis (green, yellow, fhvhv).
    #[arg(long, default_value = "green")]
    taxi: String,
    /// Months by which each file comes later than the 15th of the month after its own. The TLC's come about 2 later.
    #[arg(long, value_name = "MONTHS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(LATE_MONTHS_MAX)))]
    late: u32,
    /// Window lengths to choose from, months.
    #[arg(long, default_value = "1,3,12")]
    windows: Windows,
    /// Replay also with each window alone, to measure the benefit of choosing.
    #[arg(long)]
    compare: bool,
    /// Number of sets of parameters of boosted trees to try each time.
    #[arg(long, default_value_t = 0)]
    trials: usize,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Store for models and runs; by default they are not kept.
    #[arg(long)]
    store: Option<StoreUri>,
    /// Threads to train on, 0 for as many as the machine runs at once.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// The result of a replay.
#[derive(Debug, Serialize)]
struct Report {
    target: Target,
    windows: Vec<u32>,
    decisions: Vec<Decided>,
    served: Served,
    /// What each window alone would have served.
    alone: BTreeMap<u32, Served>,
    seconds: f64,
}

/// One retraining.
#[derive(Debug, Serialize)]
struct Decided {
    day: String,
    judged_on: Month,
    window: Option<u32>,
    retrained: Option<Retrained>,
    nothing_to_do: Option<String>,
    seconds: f64,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    if args.from.plus(args.late) >= args.to {
        let (from, to, late) = (args.from, args.to, args.late);
        let more = if late > 0 { format!(" by more than --late {late}") } else { String::new() };
        return Err(format!("--from {from} --to {to}: expected a later month to end with{more}").into());
    }
    if !args.trips.is_dir() {
        return Err(format!("--trips {}: there is no such folder", args.trips.display()).into());
    }
    let started = Instant::now();
    let models: Arc<dyn Store> = match &args.store {
        Some(uri) => uri.open().await,
        None => Arc::new(MemoryStore::default()),
    };
    let (decisions, served) = live(args, args.windows.0.clone(), models).await?;
    let mut alone = BTreeMap::new();
    for window in args.windows.0.iter().filter(|_| args.compare) {
        let (_, served) = live(args, vec![*window], Arc::new(MemoryStore::default())).await?;
        alone.insert(*window, served);
    }
    let seconds = started.elapsed().as_secs_f64();
    let windows = args.windows.0.clone();
    let report = Report { target: args.target.into(), windows, decisions, served, alone, seconds };
    out.print(&report, || report::table(&report))
}

async fn live(
    args: &Args,
    windows: Vec<u32>,
    models: Arc<dyn Store>,
) -> Result<(Vec<Decided>, Served), Failure> {
    let target: Target = args.target.into();
    let data = MemoryStore::default();
    let learning = Learning {
        windows: windows.clone(),
        params: FitParams { seed: args.seed, ..FitParams::default() },
        trials: args.trials,
        rows_max: usize::MAX,
        room: Room::default(),
        threads: args.threads,
    };
    let settings = Settings {
        taxi: args.taxi.clone(),
        utc_times: Default::default(),
        learning,
        policy: PromotionPolicy { seed: args.seed, ..PromotionPolicy::default() },
    };
    let retrainer = Retrainer::new(Arc::new(data.clone()), Arc::clone(&models), settings);
    let registry = Registry::new(models);
    let months: Vec<Month> =
        (0..).map(|after| args.from.plus(after)).take_while(|month| *month <= args.to).collect();
    // The last months are only served: their own files come when it is over.
    let learned = &months[..months.len() - 1 - args.late as usize];
    let bar = progress(learned.len() as u64, &format!("replaying windows {windows:?}"));
    let (mut decisions, mut periods) = (Vec::new(), Vec::<Period>::new());
    for month in learned {
        drop_month(&data, &args.trips, &args.taxi, *month).await?;
        let (day, from) = scheduled(month.plus(1 + args.late))?;
        let began = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(24 * 3600));
        let run = retrainer.retrain(day, &[target], "replay", deadline).await?;
        let champion = registry.champion(target).await?;
        if let Some(champion) = champion {
            let version = champion.alias.version;
            let model = match periods.last().filter(|last| last.version == version) {
                Some(last) => Arc::clone(&last.model),
                None => Arc::new(model_of(&registry, target, &version).await?),
            };
            periods.push(Period { from, version, model });
        }
        decisions.push(decided(day, *month, run, began.elapsed()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if periods.is_empty() {
        let (taxi, folder) = (&args.taxi, args.trips.display());
        let why =
            decisions.last().and_then(|last| last.nothing_to_do.as_deref()).unwrap_or("nothing was promoted");
        return Err(format!(
            "no model was promoted from {taxi} trips of {} to {} in {folder}, so there is nothing to replay: {why}",
            args.from, args.to
        )
        .into());
    }
    let files = |month: Month| read_month(&args.trips, &args.taxi, month);
    let served = serve(target, &periods, &months, args.threads, files)?;
    if served.pooled.rows == 0 {
        let from = periods[0].from;
        return Err(format!(
            "nothing to measure {target} on: from {from}, when the first model serves, there is no trip up to {} that the rules {} keep",
            args.to,
            Rules::Course.name()
        )
        .into());
    }
    Ok((decisions, served))
}

/// Returns what a run as of `day` decided; `due` was the last full month.
fn decided(day: NaiveDate, due: Month, mut run: Run, took: Duration) -> Decided {
    // It is an earlier month if `due` is missing; the holdout month is read last.
    let judged_on = run.data.last().map_or(due, |file| file.month);
    let retrained = run.targets.pop();
    let window = retrained.as_ref().and_then(|one| one.learning.window);
    let (day, seconds) = (day.to_string(), took.as_secs_f64());
    Decided { day, judged_on, window, retrained, nothing_to_do: run.nothing_to_do, seconds }
}

async fn model_of(
    registry: &Registry,
    target: Target,
    version: &model::ModelVersion,
) -> Result<Model, Failure> {
    let bytes = registry.artifact(target, version).await?;
    Ok(Artifact::from_bytes(&bytes)?.model)
}

/// Returns the day on which the schedule retrains in `month`, and the time from which its champion serves.
fn scheduled(month: Month) -> Result<(NaiveDate, NaiveDateTime), Failure> {
    let day = NaiveDate::from_ymd_opt(month.year(), month.month(), SCHEDULE.0);
    let at = day.and_then(|day| Some((day, day.and_hms_opt(SCHEDULE.1, 0, 0)?)));
    at.ok_or_else(|| format!("{month} has no such day").into())
}

fn path_of(folder: &Path, taxi: &str, month: Month) -> PathBuf {
    folder.join(TaxiMonth { taxi: taxi.into(), month }.file_name())
}

async fn drop_month(data: &MemoryStore, folder: &Path, taxi: &str, month: Month) -> Result<(), Failure> {
    let path = path_of(folder, taxi, month);
    if !path.exists() {
        tracing::warn!(%month, "the month is missing: the replay continues without it");
        return Ok(());
    }
    let name = TaxiMonth { taxi: taxi.into(), month }.file_name();
    let key = ObjectKey::new(format!("{}{name}", layout::INCOMING))?;
    data.put(&key, files::read(&path)?, Condition::Always).await?;
    Ok(())
}

fn read_month(folder: &Path, taxi: &str, month: Month) -> Result<Option<LabelledTrips>, Failure> {
    let path = path_of(folder, taxi, month);
    if !path.exists() {
        return Ok(None);
    }
    Ok(files::months(&[path], ReadOptions::default())?.pop())
}
