//! `tripcast runs`.

mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Family, ModelVersion, Target, chain};
use registry::runs::{Retrained, Run, Runs};
use serde::Serialize;
use serde_json::Value;
use store::json::{Arrays, leaves};
use store::{StoreError, StoreUri};

use crate::files;
use crate::output::{Failure, Output};

/// Show retrainings: what was read, tried, measured and decided.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  tripcast runs list --store s3://my-model-bucket
  tripcast runs show 2021-03-15-replay --store ./models
  tripcast runs show 2021-03-15-replay --store ./models --html run.html
  tripcast runs compare 2021-03-15-replay 2021-04-15-replay --store ./models --json")]
pub enum Verb {
    /// List every retraining by name, which begins with its day.
    List(In),
    /// Show the record of a retraining.
    Show {
        /// Name of the retraining, as in `list`.
        run: String,
        #[command(flatten)]
        of: In,
        /// Write a page instead: the decisions, a timeline of the steps with their durations and repeats, the data.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Show what differs between retrainings: parameters, figures, data.
    Compare {
        /// Names of the retrainings, as in `list`.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<String>,
        #[command(flatten)]
        of: In,
    },
}

/// The store of the records.
#[derive(clap::Args)]
pub struct In {
    /// Store of the models: s3://bucket, s3://bucket/prefix or a directory.
    #[arg(long)]
    store: StoreUri,
}

/// A line for one target of a retraining, or for a run without targets and its reason.
#[derive(Debug, Default, Serialize)]
struct Listed {
    run: String,
    target: Option<Target>,
    family: Option<Family>,
    version: Option<ModelVersion>,
    /// Months that it learned from.
    window: Option<u32>,
    /// Name of the deciding metric.
    figure: Option<&'static str>,
    /// That metric of the best challenger.
    value: Option<f64>,
    /// That metric of the champion.
    champion: Option<f64>,
    promoted: Option<bool>,
    reason: Option<String>,
    seconds: f64,
}

/// Runs the verb.
pub async fn run(verb: Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::List(of) => {
            let runs = open(&of).await?;
            let mut listed = Vec::new();
            for name in runs.names().await? {
                match runs.read(&name).await {
                    Ok(run) => listed.extend(run.iter().flat_map(lines_of)),
                    // One record that cannot be read must not hide the others.
                    Err(error @ StoreError::Document { .. }) => {
                        let reason = Some(chain(&error));
                        listed.push(Listed { run: name, reason, ..Listed::default() });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            out.print(&listed, || table(&listed))
        }
        Verb::Show { run, of, html } => {
            let run = read(&open(&of).await?, &run).await?;
            if let Some(html) = &html {
                files::write(html, page::page(&run).html().as_bytes())?;
                return out.print(&html, || vec![format!("written to {}", html.display())]);
            }
            let document = serde_json::to_value(run)?;
            let page = serde_json::to_string_pretty(&document)?;
            out.print(&document, || vec![page])
        }
        Verb::Compare { runs, of } => {
            let records = open(&of).await?;
            let mut fields = Vec::new();
            for name in &runs {
                fields.push(fields_of(read(&records, name).await?)?);
            }
            let differing = differing(&runs, &fields);
            out.print(&differing, || compared(&runs, &differing))
        }
    }
}

async fn open(of: &In) -> Result<Runs, Failure> {
    Ok(Runs::new(files::open_existing("--store", &of.store).await?))
}

async fn read(runs: &Runs, name: &str) -> Result<Run, Failure> {
    let unknown =
        || format!("there is no run {name:?} in the store: `tripcast runs list` names those that are");
    Ok(runs.read(name).await?.ok_or_else(unknown)?)
}

fn lines_of(run: &Run) -> Vec<Listed> {
    if run.targets.is_empty() {
        let reason = run.failed.first().map(|failed| failed.detail.clone());
        let reason = reason.or_else(|| run.nothing_to_do.clone());
        return vec![Listed { run: run.run.clone(), reason, seconds: run.seconds, ..Listed::default() }];
    }
    let line = |one: &Retrained| {
        let (figure, value) = one.challenger.metrics.figures.deciding();
        Listed {
            run: run.run.clone(),
            target: Some(one.target),
            family: Some(one.family),
            version: Some(one.version.clone()),
            window: one.learning.window,
            figure: Some(figure),
            value: Some(value),
            champion: one.champion.as_ref().map(|champion| champion.metrics.figures.deciding().1),
            promoted: Some(one.promoted),
            reason: Some(one.decision.reason.clone()),
            seconds: run.seconds,
        }
    };
    run.targets.iter().map(line).collect()
}

fn table(listed: &[Listed]) -> Vec<String> {
    fn text(value: Option<impl ToString>) -> String {
        value.map_or("-".into(), |value| value.to_string())
    }
    let rounded = |figure: Option<f64>| text(figure.map(|figure| format!("{figure:.4}")));
    let mut lines = vec![format!(
        "{:28} {:8} {:8} {:12} {:>6} {:>9} {:>9} {:9} reason",
        "run", "target", "family", "version", "window", "figure", "champion", "promoted"
    )];
    let line = |one: &Listed| {
        format!(
            "{:28} {:8} {:8} {:12} {:>6} {:>9} {:>9} {:9} {}",
            one.run,
            text(one.target),
            text(one.family.map(Family::name)),
            text(one.version.as_ref()),
            text(one.window),
            rounded(one.value),
            rounded(one.champion),
            text(one.promoted),
            text(one.reason.as_ref())
        )
    };
    lines.extend(listed.iter().map(line));
    if listed.is_empty() {
        lines.push("no retraining yet".into());
    }
    lines
}

/// Returns the fields of a run by their path, without long ones; targets are keyed by name, data by month.
fn fields_of(mut run: Run) -> Result<BTreeMap<String, Value>, Failure> {
    let targets = std::mem::take(&mut run.targets);
    let data = std::mem::take(&mut run.data);
    run.gates.clear();
    run.steps.clear();
    let mut fields = leaves(&serde_json::to_value(&run)?, Arrays::ByPosition);
    fields.remove("run");
    for target in targets {
        let name = target.target.name();
        let of_target = leaves(&serde_json::to_value(&target)?, Arrays::ByPosition);
        let is_short = |path: &String| !path.starts_with("decision.") && !path.starts_with("learning.");
        let short = of_target.into_iter().filter(|(path, _)| is_short(path));
        fields.extend(short.map(|(path, value)| (format!("{name}.{path}"), value)));
        fields.insert(format!("{name}.decision"), target.decision.reason.into());
        fields.insert(format!("{name}.learning.cut"), target.learning.cut.into());
        fields.insert(format!("{name}.learning.window"), target.learning.window.into());
    }
    fields.extend(data.into_iter().map(|file| (format!("data.{}", file.month), file.sha256.into())));
    Ok(fields)
}

/// Field by field, what each run has, where they differ.
fn differing(runs: &[String], flat: &[BTreeMap<String, Value>]) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut differing = BTreeMap::new();
    for field in flat.iter().flat_map(BTreeMap::keys) {
        let values: Vec<Value> =
            flat.iter().map(|fields| fields.get(field).cloned().unwrap_or_default()).collect();
        if values.iter().any(|value| *value != values[0]) {
            differing.insert(field.clone(), runs.iter().cloned().zip(values).collect());
        }
    }
    differing
}

fn compared(runs: &[String], differing: &BTreeMap<String, BTreeMap<String, Value>>) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, values) in differing {
        lines.push(field.clone());
        lines
            .extend(runs.iter().map(|run| format!("  {run:28} {}", values.get(run).unwrap_or(&Value::Null))));
    }
    if lines.is_empty() {
        lines.push("nothing differs".into());
    }
    lines
}
