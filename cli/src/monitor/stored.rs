//! `tripcast monitor run`, `report` and `acknowledge`: on the profiles that the functions have stored.

use std::path::PathBuf;

use chrono::{NaiveDate, SubsecRound, Utc};
use monitor::alarms::acknowledge as keep;
use monitor::{Monitor, Snapshot};
use platform::lambda::today;
use serde_json::{Value, json};
use store::StoreUri;

use crate::files::FileError;
use crate::output::{Failure, Output};
use crate::times;

/// Where profiles and models are.
#[derive(clap::Args)]
pub struct Stores {
    /// Store of the profiles, alarms and reports: s3://bucket or a directory.
    #[arg(long)]
    data: StoreUri,
    /// Store of the models: s3://bucket or a directory.
    #[arg(long)]
    models: StoreUri,
    /// Days of the past that are watched.
    #[arg(long, default_value_t = 400)]
    days: u32,
}

impl Stores {
    /// Opens the monitor.
    pub async fn monitor(&self) -> Monitor {
        let (data, models) = (self.data.open().await, self.models.open().await);
        Monitor::new(data, models, self.days).named(&self.data.to_string(), &self.models.to_string())
    }
}

/// Judge the days so far, record alarms, ask for a retraining, and write reports, as the function does every day; nothing is mailed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor run --data ./trips-store --models ./models
  tripcast monitor run --data s3://my-data --models s3://my-models --day 2025-03-01")]
pub struct RunArgs {
    #[command(flatten)]
    stores: Stores,
    /// Judge the days before this one; by default today in New York.
    #[arg(long, value_parser = times::day)]
    day: Option<NaiveDate>,
}

/// Say what the days so far show, and write it as a page. Alarms are not recorded.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor report --data ./trips-store --models ./models --html report.html
  tripcast monitor report --data s3://my-data --models s3://my-models --day 2025-03-01 --json

With profiles of files and of messages, the page of messages is <FILE>.stream.html.")]
pub struct ReportArgs {
    #[command(flatten)]
    stores: Stores,
    /// Judge the days before this one; by default today in New York.
    #[arg(long, value_parser = times::day)]
    day: Option<NaiveDate>,
    /// File to write a page of HTML to.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Keep what an alarm was about; the reports count it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor acknowledge --data s3://my-data --alarm batch-data-2025-02-05 --real yes
  tripcast monitor acknowledge --data ./trips-store --alarm stream-quality-2025-02-05 --real no")]
pub struct AcknowledgeArgs {
    /// Store of the alarms: s3://bucket or a directory.
    #[arg(long)]
    data: StoreUri,
    /// The id of the alarm, as reports and notes have it.
    #[arg(long, value_name = "ID")]
    alarm: String,
    /// Whether it was about something real.
    #[arg(long, value_enum)]
    real: Answer,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Answer {
    Yes,
    No,
}

/// Runs `tripcast monitor run`.
pub async fn run(args: &RunArgs, out: &Output) -> Result<(), Failure> {
    let day = args.day.unwrap_or_else(today);
    let watched = args.stores.monitor().await.watch(day, Utc::now().trunc_subsecs(3)).await?;
    if watched.sources.is_empty() {
        return Err(nothing(&args.stores, day));
    }
    out.print(&watched, || {
        let mut lines = Vec::new();
        for (source, found) in &watched.sources {
            lines.push(format!("{source}: {} days to {}", found.days, found.last_day));
            lines.extend(found.verdicts.iter().map(|verdict| format!("  {verdict}")));
            lines.extend(found.open.iter().map(|alarm| format!("  open: {alarm}")));
            lines.extend(
                found.asked_to_replace.iter().map(|it| format!("  asked for a better model than {it}")),
            );
            lines.push(format!("  {}, and a page beside it", found.report));
        }
        lines
    })
}

/// Runs `tripcast monitor report`.
pub async fn report(args: &ReportArgs, out: &Output) -> Result<(), Failure> {
    let day = args.day.unwrap_or_else(today);
    let snapshots = args.stores.monitor().await.snapshots(day).await?;
    if snapshots.is_empty() {
        return Err(nothing(&args.stores, day));
    }
    for (number, snapshot) in snapshots.iter().enumerate() {
        if let Some(path) = &args.html {
            let path = if number == 0 { path.clone() } else { path.with_extension("stream.html") };
            let failed = |source| FileError::Io { doing: "writing", path: path.clone(), source };
            std::fs::write(&path, snapshot.page.html()).map_err(failed)?;
        }
    }
    let documents: Vec<&Value> = snapshots.iter().map(|snapshot| &snapshot.document).collect();
    let titled = |snapshot: &Snapshot| snapshot.page.markdown();
    out.print(&json!({"reports": documents}), || snapshots.iter().map(titled).collect())
}

fn nothing(stores: &Stores, day: NaiveDate) -> Failure {
    format!(
        "there are no profiles of the {} days before {day} in {}: expected profiles/batch/<day>/ or profiles/stream/<day>/, \
         which predictions leave",
        stores.days, stores.data
    )
    .into()
}

/// Runs `tripcast monitor acknowledge`.
pub async fn acknowledge(args: &AcknowledgeArgs, out: &Output) -> Result<(), Failure> {
    let store = args.data.open().await;
    let is_real = args.real == Answer::Yes;
    let record = keep(&*store, &args.alarm, is_real, Utc::now().trunc_subsecs(3)).await?;
    out.print(&record, || {
        vec![format!("{}: {} ({})", record.id, if is_real { "real" } else { "not real" }, record.cause)]
    })
}
