//! `tripcast runs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry::layout;
use serde::Serialize;
use serde_json::Value;
use store::{Store, StoreUri, json};

use crate::files;
use crate::output::{Failure, Output};

/// Look at retrainings: what was read, tried, measured and decided.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  tripcast runs list --store s3://my-model-bucket
  tripcast runs show 2021-03-15-replay --store ./models
  tripcast runs compare 2021-03-15-replay 2021-04-15-replay --store ./models --json")]
pub enum Verb {
    /// List every retraining, in the order of their names, which begin with the day.
    List(In),
    /// Show all that is known of one.
    Show {
        /// Its name, as `list` has it.
        run: String,
        #[command(flatten)]
        of: In,
    },
    /// Show what differs between retrainings: parameters, figures, data.
    Compare {
        /// Their names, as `list` has them.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<String>,
        #[command(flatten)]
        of: In,
    },
}

/// Which store.
#[derive(clap::Args)]
pub struct In {
    /// Store of the models: s3://bucket, s3://bucket/prefix or a directory.
    #[arg(long)]
    store: StoreUri,
}

/// One target of a retraining in a line.
#[derive(Debug, Serialize)]
struct Listed {
    run: String,
    target: Value,
    family: Value,
    version: Value,
    window: Value,
    figure: String,
    value: Value,
    champion: Value,
    promoted: Value,
    reason: Value,
    seconds: Value,
}

/// Runs the verb.
pub async fn run(verb: Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::List(of) => {
            let store = files::open_existing("--store", &of.store).await?;
            let mut listed = Vec::new();
            for name in names(&store).await? {
                listed.extend(lines_of(&read(&store, &name).await?));
            }
            out.print(&listed, || table(&listed))
        }
        Verb::Show { run, of } => {
            let document = read(&files::open_existing("--store", &of.store).await?, &run).await?;
            let page = serde_json::to_string_pretty(&document)?;
            out.print(&document, || vec![page])
        }
        Verb::Compare { runs, of } => {
            let store = files::open_existing("--store", &of.store).await?;
            let mut flat = Vec::new();
            for name in &runs {
                let mut fields = BTreeMap::new();
                flatten("", &summary(read(&store, name).await?), &mut fields);
                flat.push(fields);
            }
            let differing = differing(&runs, &flat);
            out.print(&differing, || compared(&runs, &differing))
        }
    }
}

async fn names(store: &Arc<dyn Store>) -> Result<Vec<String>, Failure> {
    let found = store.list(layout::RUNS).await?;
    Ok(found.iter().filter_map(|meta| layout::run_name(&meta.key).map(String::from)).collect())
}

async fn read(store: &Arc<dyn Store>, run: &str) -> Result<Value, Failure> {
    let key = layout::run(run)?;
    let found = json::read::<Value>(&**store, &key).await?;
    let known = || format!("there is no run {run:?} in the store: `tripcast runs list` names those that are");
    Ok(found.ok_or_else(known)?.0)
}

fn lines_of(run: &Value) -> Vec<Listed> {
    let name = run["run"].as_str().unwrap_or_default().to_string();
    let line = |target: &Value| {
        let figure = if target["challenger"]["rmse"].is_null() { "log_loss" } else { "rmse" };
        Listed {
            run: name.clone(),
            target: target["target"].clone(),
            family: target["family"].clone(),
            version: target["version"].clone(),
            window: target["learning"]["window"].clone(),
            figure: figure.into(),
            value: target["challenger"][figure].clone(),
            champion: target["champion"][figure].clone(),
            promoted: target["promoted"].clone(),
            reason: target["decision"]["reason"].clone(),
            seconds: run["seconds"].clone(),
        }
    };
    let mut lines: Vec<Listed> = run["targets"].as_array().into_iter().flatten().map(line).collect();
    if lines.is_empty() {
        let failed = run["failed"].get(0).map(|failed| failed["detail"].clone());
        let reason = failed.unwrap_or_else(|| run["nothing_to_do"].clone());
        lines.push(Listed { reason, ..line(&Value::Null) });
    }
    lines
}

fn table(listed: &[Listed]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.4}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    };
    let mut lines = vec![format!(
        "{:28} {:8} {:8} {:12} {:>6} {:>9} {:>9} {:9} reason",
        "run", "target", "family", "version", "window", "figure", "champion", "promoted"
    )];
    let line = |one: &Listed| {
        format!(
            "{:28} {:8} {:8} {:12} {:>6} {:>9} {:>9} {:9} {}",
            one.run,
            text(&one.target),
            text(&one.family),
            text(&one.version),
            text(&one.window),
            text(&one.value),
            text(&one.champion),
            text(&one.promoted),
            text(&one.reason)
        )
    };
    lines.extend(listed.iter().map(line));
    if listed.is_empty() {
        lines.push("no retraining yet".into());
    }
    lines
}

/// What is compared of a run: targets by name, data by month, without what is long or said elsewhere.
fn summary(mut run: Value) -> Value {
    let mut by_target = serde_json::Map::new();
    for mut target in run["targets"].as_array().cloned().unwrap_or_default() {
        if let Some(learning) = target["learning"].as_object_mut() {
            learning.retain(|name, _| matches!(name.as_str(), "window" | "cut"));
        }
        let reason = target["decision"]["reason"].take();
        target["decision"] = reason;
        by_target.insert(target["target"].as_str().unwrap_or_default().into(), target);
    }
    let data = run["data"].as_array().cloned().unwrap_or_default().into_iter();
    let by_month =
        data.map(|file| (file["month"].as_str().unwrap_or_default().to_string(), file["sha256"].clone()));
    let data: serde_json::Map<String, Value> = by_month.collect();
    if let Some(run) = run.as_object_mut() {
        run.retain(|name, _| !matches!(name.as_str(), "targets" | "gates" | "run"));
        run.insert("data".into(), Value::Object(data));
        run.extend(by_target);
    }
    run
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            flatten(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, into);
        }),
        Value::Array(values) => values.iter().enumerate().for_each(|(at, value)| {
            flatten(&format!("{path}.{at}"), value, into);
        }),
        other => drop(into.insert(path.into(), other.clone())),
    }
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
