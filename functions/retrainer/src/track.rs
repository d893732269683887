//! Logs runs to an MLflow tracking server.

use std::time::Duration;

use bytes::Bytes;
use mlflow::{Dataset, Point, TrackedModel, TrackedRun, Tracking};
use model::Artifact;
use model::{Classified, chain};
use platform::lambda::Deadline;
use registry::Registry;
use registry::runs::{Fingerprint, Retrained, Run, TrialOutcome};
use serde_json::Value;
use store::json::{Arrays, leaves};

use crate::interchange::mlflow_model;

/// Logs every run to a tracking server; a failure is logged and recorded, and has no other effect.
#[derive(Debug, Clone)]
pub struct Tracker {
    /// The server, or why there is none although one was asked for.
    tracking: Result<Tracking, String>,
    experiment: String,
}

/// Time kept for the function's own end.
const RESERVE: Duration = Duration::from_secs(5);

impl Tracker {
    /// Creates a tracker that logs to `tracking`, under this name of an experiment.
    pub fn new(tracking: Tracking, experiment: String) -> Self {
        Self { tracking: Ok(tracking), experiment }
    }

    /// Creates a tracker that logs nowhere, because of `reason`.
    pub fn unusable(reason: String) -> Self {
        Self { tracking: Err(reason), experiment: String::new() }
    }

    /// Logs `run`, and returns why not all of it could be logged.
    pub(crate) async fn log(&self, run: &Run, registry: &Registry, deadline: Deadline) -> Option<String> {
        let reason = match &self.tracking {
            Ok(tracking) => self.log_targets(tracking, run, registry, deadline).await?,
            Err(reason) => reason.clone(),
        };
        tracing::warn!(reason, "the run is not tracked by MLflow; its record is in the store");
        Some(reason)
    }

    async fn log_targets(
        &self,
        tracking: &Tracking,
        run: &Run,
        registry: &Registry,
        deadline: Deadline,
    ) -> Option<String> {
        for retrained in &run.targets {
            let logging = async {
                let files = self.files(run, retrained, registry).await;
                tracking.log(&self.tracked(run, retrained, files)).await
            };
            let left = deadline.left().saturating_sub(RESERVE);
            // One server, one reason: what fails for a target would fail for the next, after as many seconds.
            return Some(match tokio::time::timeout(left, logging).await {
                Ok(Ok(tracked)) => {
                    let (run_id, model_version) = (tracked.run_id, tracked.model_version);
                    tracing::info!(target = %retrained.target, run_id, model_version, "tracked");
                    continue;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "there was no time left".into(),
            });
        }
        None
    }

    /// Returns the record of the run and the files of the model; what is registered lies below `model/`.
    async fn files(&self, run: &Run, retrained: &Retrained, registry: &Registry) -> Vec<(String, Bytes)> {
        let (target, version) = (retrained.target, &retrained.version);
        let mut files = Vec::new();
        let pretty = |document: &Value| serde_json::to_vec_pretty(document).unwrap_or_default().into();
        if let Ok(run) = serde_json::to_value(run) {
            files.push(("run.json".to_string(), pretty(&run)));
        }
        for name in registry.files_of(target, version).await.unwrap_or_default() {
            match registry.file(target, version, &name).await {
                Ok(bytes) => files.push((format!("model/{name}"), bytes)),
                Err(error) => {
                    tracing::warn!(%target, name, error_type = error.error_type(), "a file is not tracked");
                }
            }
        }
        let artifact =
            registry.artifact(target, version).await.ok().and_then(|bytes| Artifact::from_bytes(&bytes).ok());
        match artifact.map(|artifact| mlflow_model(&artifact)) {
            Some(Ok(model)) => {
                files.extend(model.into_iter().map(|(path, bytes)| (format!("model/{path}"), bytes)))
            }
            Some(Err(error)) => {
                tracing::warn!(%target, error_message = chain(&error), "tracked without a form that MLflow loads")
            }
            None => (),
        }
        files
    }

    fn tracked(&self, run: &Run, retrained: &Retrained, artifacts: Vec<(String, Bytes)>) -> TrackedRun {
        let started_ms = run.started.timestamp_millis().max(0) as u64;
        let last = run.data.len().saturating_sub(1);
        let dataset = |(at, file): (usize, &Fingerprint)| Dataset {
            name: file.key.rsplit('/').next().unwrap_or_default().trim_end_matches(".parquet").into(),
            sha256: file.sha256.clone(),
            source: file.key.clone(),
            rows: file.rows,
            context: if at == last { "evaluation" } else { "training" },
        };
        let decision = &retrained.decision;
        let tags = [
            ("target", retrained.target.to_string()),
            ("taxi", run.taxi.clone()),
            ("family", retrained.family.name().into()),
            ("version", retrained.version.to_string()),
            ("promoted", retrained.promoted.to_string()),
            ("decision", decision.reason.clone()),
            ("cut", retrained.learning.cut.to_string()),
            ("tripcast.version", run.code_version.clone()),
            ("mlflow.source.name", "tripcast retrainer".into()),
            ("mlflow.note.content", decision.reason.clone()),
        ];
        let tags = tags.map(|(key, value)| (key.to_string(), value)).to_vec();
        TrackedRun {
            experiment: self.experiment.clone(),
            name: format!("{} {}", run.run, retrained.target),
            started_ms,
            ended_ms: started_ms + (run.seconds * 1e3) as u64,
            finished: run.failed.is_empty(),
            params: params(run, retrained),
            metrics: metrics(run, retrained),
            datasets: run.data.iter().enumerate().map(dataset).collect(),
            artifacts,
            model: Some(TrackedModel {
                name: retrained.target.to_string(),
                content: retrained.version.to_string(),
                tags: tags.iter().filter(|(key, _)| !key.starts_with("mlflow.")).cloned().collect(),
                champion: retrained.promoted,
            }),
            tags,
        }
    }
}

fn params(run: &Run, retrained: &Retrained) -> Vec<(String, String)> {
    let mut params = vec![("seed".to_string(), run.seed.to_string())];
    params.extend(retrained.learning.window.map(|months| ("window_months".into(), months.to_string())));
    params.extend(retrained.course.rounds.map(|rounds| ("rounds".into(), rounds.to_string())));
    let chosen = serde_json::to_value(&retrained.params).unwrap_or_default();
    let chosen = leaves(&chosen, Arrays::Whole).into_iter().filter(|(path, _)| path != "seed");
    params.extend(chosen.filter_map(|(path, value)| match value {
        Value::Null | Value::Array(_) => None,
        Value::String(text) => Some((path, text)),
        other => Some((path, other.to_string())),
    }));
    params
}

fn metrics(run: &Run, retrained: &Retrained) -> Vec<Point> {
    let mut points = Vec::new();
    let mut point = |key: String, value: Option<f64>, step: u64| {
        points.extend(value.map(|value| Point { key, value, step }));
    };
    let judged = [("challenger", Some(&retrained.challenger)), ("champion", retrained.champion.as_ref())];
    for (who, judged) in judged {
        let figures = judged.and_then(|judged| serde_json::to_value(&judged.metrics).ok());
        for (name, value) in figures.iter().filter_map(Value::as_object).flatten() {
            point(format!("{who}.{name}"), value.as_f64(), 0);
        }
    }
    let comparison =
        retrained.decision.assessment(&retrained.version).and_then(|one| one.comparison.as_ref());
    point("improvement".into(), comparison.map(|comparison| comparison.improvement), 0);
    point("improvement_bound".into(), comparison.map(|comparison| comparison.improvement_bound), 0);
    for (round, loss) in retrained.learning.losses.iter().enumerate() {
        point("validation.loss".into(), Some(*loss), round as u64 + 1);
    }
    for window in &retrained.learning.windows {
        point("window.loss".into(), Some(window.loss), u64::from(window.months));
    }
    for (number, trial) in retrained.learning.trials.iter().enumerate() {
        if let TrialOutcome::Complete(loss) = trial.outcome {
            point("trial.loss".into(), Some(loss), number as u64);
        }
    }
    point("seconds".into(), Some(run.seconds), 0);
    point("memory_peak_bytes".into(), run.memory_peak_bytes.map(|bytes| bytes as f64), 0);
    point("cost_usd_estimated".into(), run.cost_usd_estimated, 0);
    points
}
