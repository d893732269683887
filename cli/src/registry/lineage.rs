//! `tripcast registry lineage`: what was made from a file of trips, and what a model or a file of predictions was made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::prediction::Versions;
use model::{ModelVersion, Target, chain};
use registry::runs::Fingerprint;
use registry::{Registry, layout};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, StoreUri, json};

use super::{In, open};
use crate::files;
use crate::output::{Failure, Output};

/// Follow files of trips to the models and predictions made from them, and back.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast registry lineage --store ./models --data ./trips-store --of history/green_tripdata_2021-01.parquet
  tripcast registry lineage --store ./models --of a8f30765e6ef
  tripcast registry lineage --store ./models --data ./trips-store \\
      --of predictions/bundle=9f3c1a7be2d0/month=2021-03/green_tripdata_2021-03.parquet")]
pub struct Args {
    #[command(flatten)]
    registry: In,
    /// Store of the trips, whose predictions are to be listed too: s3://bucket or a directory.
    #[arg(long)]
    data: Option<StoreUri>,
    /// A file of trips (its key, or sha256), a model (its version) or a file of predictions (its key).
    #[arg(long, value_name = "KEY|SHA256|VERSION")]
    of: String,
}

/// What is connected with what was asked for.
#[derive(Debug, Default, Serialize)]
struct Lineage {
    of: String,
    /// Files of trips that the models were learned from, or judged on.
    files: Vec<Fingerprint>,
    models: Vec<Made>,
    predictions: Vec<Predicted>,
}

/// A model and the retraining that made it.
#[derive(Debug, Clone, Serialize)]
struct Made {
    target: Target,
    version: ModelVersion,
    run: Option<String>,
    /// The files of its retraining, the holdout month last.
    #[serde(skip)]
    data: Vec<Fingerprint>,
}

/// A file of predictions.
#[derive(Debug, Clone, Serialize)]
struct Predicted {
    key: String,
    bundle: String,
    versions: Versions,
    /// The file that was predicted.
    source: Source,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Source {
    key: String,
    etag: String,
}

/// The part of a summary that is read here.
#[derive(Deserialize)]
struct Summary {
    predictions: String,
    bundle: String,
    versions: Versions,
    source: Source,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let registry = open(&args.registry).await?;
    let data = match &args.data {
        Some(data) => Some(files::open_existing("--data", data).await?),
        None => None,
    };
    let models = models(&registry).await?;
    let predictions = match &data {
        Some(data) => predictions(data).await?,
        None => Vec::new(),
    };
    let lineage = follow(&args.of, &models, &predictions);
    if lineage.models.is_empty() && lineage.predictions.is_empty() {
        let hint = if data.is_none() { " (--data would search predictions too)" } else { "" };
        return Err(format!(
            "nothing is made from, or is, {}: expected the key or sha256 of a file of trips, a version, or the key of predictions{hint}",
            args.of
        )
        .into());
    }
    out.print(&lineage, || table(&lineage))
}

async fn models(registry: &Registry) -> Result<Vec<Made>, Failure> {
    let mut models = Vec::new();
    for target in Target::ALL {
        for (version, _) in registry.versions(target).await? {
            let provenance = registry.provenance(target, &version).await?;
            let data = provenance.data.unwrap_or_default();
            models.push(Made { target, version, run: provenance.run, data });
        }
    }
    Ok(models)
}

async fn predictions(data: &Arc<dyn Store>) -> Result<Vec<Predicted>, Failure> {
    let mut predictions = Vec::new();
    for meta in data.list(layout::SUMMARIES).await? {
        match json::read::<Summary>(&**data, &meta.key).await {
            Ok(Some((Summary { predictions: key, bundle, versions, source }, _))) => {
                predictions.push(Predicted { key, bundle, versions, source });
            }
            Ok(None) => (),
            Err(error @ StoreError::Document { .. }) => {
                tracing::warn!("passed over, since it is no summary of predictions: {}", chain(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(predictions)
}

/// Returns what is connected with `of`.
fn follow(of: &str, models: &[Made], predictions: &[Predicted]) -> Lineage {
    let made_by = |one: &Predicted, model: &Made| match model.target {
        Target::Duration => one.versions.duration == model.version,
        Target::Tip => one.versions.tip.as_ref() == Some(&model.version),
    };
    let is_file = |file: &Fingerprint| file.key == of || file.sha256 == of;
    let asked: Vec<&Predicted> = predictions.iter().filter(|one| one.key == of).collect();
    let models: Vec<Made> = models
        .iter()
        .filter(|model| {
            model.version.as_str() == of
                || model.data.iter().any(is_file)
                || asked.iter().any(|one| made_by(one, model))
        })
        .cloned()
        .collect();
    // From predictions only backwards: other files that the same models predicted are not theirs.
    let predictions: Vec<Predicted> = match asked.is_empty() {
        false => asked.into_iter().cloned().collect(),
        true => predictions
            .iter()
            .filter(|one| one.source.key == of || models.iter().any(|model| made_by(one, model)))
            .cloned()
            .collect(),
    };
    let mut files = BTreeMap::new();
    for file in models.iter().flat_map(|model| &model.data) {
        let is_from = is_file(file);
        // From a file only forwards: what it was learned beside is not made from it.
        if is_from || !models.iter().any(|model| model.data.iter().any(is_file)) {
            files.insert((file.key.clone(), file.sha256.clone()), file.clone());
        }
    }
    Lineage { of: of.into(), files: files.into_values().collect(), models, predictions }
}

fn table(lineage: &Lineage) -> Vec<String> {
    let mut lines = vec!["files of trips".to_string()];
    let file = |one: &Fingerprint| format!("  {}  {} rows  sha256 {}", one.key, one.rows, one.sha256);
    lines.extend(lineage.files.iter().map(file));
    lines.push("models".into());
    let model = |one: &Made| {
        format!("  {:8} {}  by run {}", one.target, one.version, one.run.as_deref().unwrap_or("unknown"))
    };
    lines.extend(lineage.models.iter().map(model));
    lines.push("predictions".into());
    lines.extend(lineage.predictions.iter().map(|one| format!("  {}  of {}", one.key, one.source.key)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(month: &str, sha256: &str) -> Fingerprint {
        let key = format!("history/green_tripdata_{month}.parquet");
        let month = month.parse().unwrap();
        Fingerprint { month, key, etag: "e".into(), sha256: sha256.into(), rows: 1, remarks: Vec::new() }
    }

    fn made(target: Target, byte: u8, data: Vec<Fingerprint>) -> Made {
        Made { target, version: ModelVersion::from_bytes(&[byte]), run: Some(format!("run-{byte}")), data }
    }

    fn predicted(key: &str, duration: u8, tip: Option<u8>, source: &str) -> Predicted {
        let version = |byte: u8| ModelVersion::from_bytes(&[byte]);
        Predicted {
            key: key.into(),
            bundle: "b".into(),
            versions: Versions { duration: version(duration), tip: tip.map(version) },
            source: Source { key: source.into(), etag: "e".into() },
        }
    }

    #[test]
    fn what_is_connected_is_found_in_both_directions() {
        let models = [
            made(Target::Duration, 1, vec![file("2021-01", "aa"), file("2021-02", "bb")]),
            made(Target::Duration, 2, vec![file("2021-02", "bb"), file("2021-03", "cc")]),
            made(Target::Tip, 3, vec![file("2021-01", "aa")]),
        ];
        let predictions = [
            predicted("predictions/x", 1, Some(3), "incoming/x"),
            predicted("predictions/y", 2, None, "incoming/y"),
        ];
        let of = |what: &str| {
            let found = follow(what, &models, &predictions);
            let versions: Vec<String> =
                found.models.iter().map(|one| one.run.clone().unwrap_or_default()).collect();
            let files: Vec<String> = found.files.iter().map(|one| one.sha256.clone()).collect();
            let keys: Vec<String> = found.predictions.iter().map(|one| one.key.clone()).collect();
            (files.join(" "), versions.join(" "), keys.join(" "))
        };
        let all = |files: &str, models: &str, keys: &str| (files.into(), models.into(), keys.into());
        let january = "history/green_tripdata_2021-01.parquet";
        assert_eq!(of(january), all("aa", "run-1 run-3", "predictions/x"));
        assert_eq!(of("cc"), all("cc", "run-2", "predictions/y"));
        assert_eq!(of(models[1].version.as_str()), all("bb cc", "run-2", "predictions/y"));
        assert_eq!(of("predictions/x"), all("aa bb", "run-1 run-3", "predictions/x"));
        assert_eq!(of("incoming/y"), all("", "", "predictions/y"));
        assert_eq!(of("something else"), all("", "", ""));
    }
}
