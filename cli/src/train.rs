//! `tripcast train`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::ValueEnum;
use dataset::ReadOptions;
use model::candidates::boosted::BoostedParams;
use model::candidates::{DurationModel, Estimate, FitParams, Progress, TipEstimate, TipModel};
use model::performance::Figures;
use model::rejection::RejectionCounts;
use model::segments::DefectiveSegment;
use model::{Family, Judgement, LabelledTrips, Metrics, Model, Rules, Target, Work};
use serde::Serialize;

use crate::files;
use crate::output::{Failure, Output, spinner};

/// Train a model on months of trips and measure it on others.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast train --target duration --train green_tripdata_2021-01.parquet \\
      --validate green_tripdata_2021-02.parquet --out duration.bin
  tripcast train --target tip --rules course --train 2021-01.parquet --validate 2021-02.parquet --json")]
pub struct Args {
    /// What to predict.
    #[arg(long, value_enum)]
    target: TargetName,
    /// Months to learn from (TLC Parquet files).
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    train: Vec<PathBuf>,
    /// Months to measure on.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    validate: Vec<PathBuf>,
    /// Further months to measure on.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    test: Vec<PathBuf>,
    /// Family of the model; auto takes the best one for the target.
    #[arg(long, value_enum, default_value = "auto")]
    family: FamilyName,
    /// Rows to learn from; course is the course's filter alone. Validation and test always use course.
    #[arg(long, value_enum, default_value = "strict")]
    rules: RulesName,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// L2 penalty of the linear family; 0 is least squares.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    ridge: f64,
    #[command(flatten)]
    boosted: BoostedArgs,
    /// Threads to train on, 0 for as many as the machine runs at once; the model does not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// File to write the model to.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Parameters of boosted trees.
#[derive(clap::Args)]
#[command(next_help_heading = "Boosted trees")]
struct BoostedArgs {
    /// Maximum leaves of a tree; by default 63, or 31 for tips.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=255))]
    leaves: Option<u32>,
    /// Factor of every leaf value; by default 0.05, or 0.1 for 150,000 trips and more.
    #[arg(long, value_parser = not_negative)]
    learning_rate: Option<f64>,
    /// Minimum rows of a leaf.
    #[arg(long, default_value_t = BoostedParams::default().min_leaf_rows)]
    min_leaf_rows: u32,
    /// L2 penalty on leaf values.
    #[arg(long, default_value_t = BoostedParams::default().l2, value_parser = not_negative)]
    l2: f64,
    /// Maximum number of trees; held-out days determine the number.
    #[arg(long, default_value_t = BoostedParams::default().rounds_max)]
    rounds_max: u32,
}

impl BoostedArgs {
    fn params(&self) -> BoostedParams {
        BoostedParams {
            leaves: self.leaves,
            learning_rate: self.learning_rate,
            min_leaf_rows: self.min_leaf_rows,
            l2: self.l2,
            rounds_max: self.rounds_max,
            ..BoostedParams::default()
        }
    }
}

/// Names of targets on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum TargetName {
    Duration,
    Tip,
}

impl From<TargetName> for Target {
    fn from(name: TargetName) -> Self {
        match name {
            TargetName::Duration => Self::Duration,
            TargetName::Tip => Self::Tip,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FamilyName {
    Linear,
    Tree,
    Boosted,
    Auto,
}

impl FamilyName {
    fn for_target(self, target: Target) -> Family {
        match self {
            Self::Linear => Family::Linear,
            Self::Tree => Family::Tree,
            Self::Boosted => Family::Boosted,
            Self::Auto => Family::for_target(target)[0],
        }
    }
}

/// Names of rules on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum RulesName {
    Course,
    Strict,
}

impl From<RulesName> for Rules {
    fn from(name: RulesName) -> Self {
        match name {
            RulesName::Course => Self::Course,
            RulesName::Strict => Self::Strict,
        }
    }
}

#[derive(Serialize)]
struct Report {
    target: Target,
    family: Family,
    rules: Rules,
    seed: u64,
    version: String,
    train: Metrics,
    validate: Judgement,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Judgement>,
    dropped: RejectionCounts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segments: Vec<DefectiveSegment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coefficients: Option<Coefficients>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trees: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Coefficients {
    slope_min_per_mile: f64,
    unseen_intercept_min: f64,
    pairs: usize,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let target = Target::from(args.target);
    let family = args.family.for_target(target);
    let params = FitParams {
        rules: args.rules.into(),
        seed: args.seed,
        ridge: args.ridge,
        boosted: args.boosted.params(),
        ..FitParams::default()
    };
    let inputs = || args.train.iter().chain(&args.validate).chain(&args.test);
    args.out.iter().try_for_each(|out| files::refuse_inputs(out, inputs()))?;
    let months = |paths: &[PathBuf]| files::months(paths, ReadOptions::default());
    let (mut train, validate, test) = (months(&args.train)?, months(&args.validate)?, months(&args.test)?);
    let segments: Vec<DefectiveSegment> = match target {
        Target::Duration => train.iter_mut().flat_map(LabelledTrips::find_defects).collect(),
        Target::Tip => Vec::new(),
    };
    if params.rules == Rules::Strict {
        files::warn_of_other_names(&args.train);
    }
    segments.iter().for_each(|segment| tracing::warn!("{}", segment.described()));
    let working = spinner("training");
    let mut control = |progress: &Progress| {
        working.set_message(describe(progress));
        ControlFlow::Continue(())
    };
    let mut work = Work { threads: args.threads, control: &mut control };
    let trained = model::train(target, family, &params, &train, &mut work)?;
    if let Model::Duration(DurationModel { interval, .. }) = &trained.artifact.model
        && interval.is_constant()
    {
        tracing::warn!(
            "there are too few trips of days held out to measure how far predictions are off: the interval is as wide for every trip, \
             and an hour to both sides if there is no such day"
        );
    }
    // Before it is measured, which can fail for want of rows.
    if let Some(path) = &args.out {
        files::write(path, &trained.bytes)?;
    }
    working.set_message("measuring");
    let judge = |option: &str, files: &[LabelledTrips]| -> Result<Judgement, Failure> {
        let judged = model::judge(&trained.artifact.model, Rules::Course, files);
        judged.map_err(|error| format!("{option}: {error}").into())
    };
    let report = Report {
        target,
        family,
        rules: params.rules,
        seed: args.seed,
        version: trained.version.to_string(),
        train: trained.train.clone(),
        validate: judge("--validate", &validate)?,
        test: (!test.is_empty()).then(|| judge("--test", &test)).transpose()?,
        dropped: trained.dropped.clone(),
        segments,
        coefficients: coefficients(&trained.artifact.model),
        trees: trees(&trained.artifact.model),
        out: args.out.clone(),
    };
    working.finish_and_clear();
    out.print(&report, || table(&report))
}

fn describe(progress: &Progress) -> String {
    let loss = progress.validation_loss.map(|loss| format!(", {loss:.4} on days held out"));
    format!("training: tree {} of at most {}{}", progress.round, progress.rounds, loss.unwrap_or_default())
}

fn trees(model: &Model) -> Option<usize> {
    match model {
        Model::Duration(DurationModel { estimate: Estimate::Boosted(trees), .. })
        | Model::Tip(TipModel { estimate: TipEstimate::Boosted(trees), .. }) => Some(trees.n_trees()),
        Model::Duration(_) | Model::Tip(_) => None,
    }
}

fn coefficients(model: &Model) -> Option<Coefficients> {
    let Model::Duration(DurationModel { estimate: Estimate::Linear(linear), .. }) = model else {
        return None;
    };
    Some(Coefficients {
        slope_min_per_mile: linear.slope_min_per_mile(),
        unseen_intercept_min: linear.unseen_intercept_min(),
        pairs: linear.n_pairs(),
    })
}

fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} model {} ({}, rules {})",
            report.target,
            report.version,
            report.family.name(),
            report.rules.name()
        ),
        heading(report.target),
        figures("train", &report.train),
        figures("validate", &report.validate.metrics),
    ];
    lines.extend(report.test.as_ref().map(|test| figures("test", &test.metrics)));
    lines.extend(report.out.as_ref().map(|path| format!("written to {}", path.display())));
    lines
}

/// Returns the heading of lines of [`figures`].
pub fn heading(target: Target) -> String {
    let names = match target {
        Target::Duration => ["rmse", "mae", "r2", "coverage"],
        Target::Tip => ["auc", "log_loss", "brier", "base_rate"],
    };
    format!("{:24} {:>9} {:>10} {:>10} {:>10} {:>10}", "", "rows", names[0], names[1], names[2], names[3])
}

/// Formats metrics as one line.
pub fn figures(name: &str, metrics: &Metrics) -> String {
    let values = match metrics.figures {
        Figures::Duration { rmse, mae, r2, coverage, .. } => [rmse, mae, r2, coverage],
        Figures::Tip { auc, log_loss, brier, base_rate, .. } => [auc, log_loss, brier, base_rate],
    };
    let values = values.map(|value| format!("{value:>10.6}")).join(" ");
    format!("{name:24} {:>9} {values}", metrics.rows)
}

fn not_negative(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| *value >= 0.0 && value.is_finite())
        .ok_or("expected 0 or more".into())
}
