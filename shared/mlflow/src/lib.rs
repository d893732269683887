//! Logs runs and models to an MLflow tracking server by its REST API.
//!
//! A run is logged as a whole when it is over: parameters, metrics by step, tags, datasets, files, and the model that
//! it produced. Logging is idempotent, because the caller may be retried and responses may be lost: what exists is
//! reused, and what is sent again is the same. The store's own record (`runs/`) is authoritative; a tracking server
//! that is down costs a line in the log and nothing else.

mod client;

use std::time::Duration;

use bytes::Bytes;
use model::artifact::sha256_hex;
use serde_json::{Value, json};

use client::{Client, Code};

/// Why a run was not logged, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// The URI does not name a server.
    #[error("tracking server {scheme}: expected http:// or https:// and a host")]
    Uri {
        /// Scheme of the URI; the rest may contain a password.
        scheme: String,
    },
    /// The call failed without a complete response.
    #[error("{doing} on the tracking server")]
    Call {
        /// What was attempted.
        doing: &'static str,
        /// The error of the HTTP client.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("{doing} on the tracking server: {status}: {message}")]
    Refused {
        /// What was attempted.
        doing: &'static str,
        /// HTTP status.
        status: u16,
        /// MLflow's error code and message.
        message: String,
    },
    /// The response lacks a field.
    #[error("{doing} on the tracking server: expected {expected} in its answer")]
    Answer {
        /// What was attempted.
        doing: &'static str,
        /// Name of the missing field.
        expected: &'static str,
    },
    /// The experiment's files cannot be uploaded through the server.
    #[error(
        "the experiment keeps its files at {uri:?}: expected the tracking server to take them (mlflow-artifacts:, started with --serve-artifacts)"
    )]
    Artifacts {
        /// Artifact URI of the run.
        uri: String,
    },
}

/// Credentials for the server. Their `Debug` form shows no field.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// User name for basic authentication; empty for none.
    pub username: String,
    /// Password for basic authentication.
    pub password: String,
    /// Bearer token, used if `username` is empty; empty for none.
    pub token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials { .. }")
    }
}

/// A complete run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackedRun {
    /// Name of the experiment; it is created if it does not exist.
    pub experiment: String,
    /// Name of the run, which identifies it within the experiment.
    pub name: String,
    /// Start of the run, milliseconds since 1970.
    pub started_ms: u64,
    /// End of the run, milliseconds since 1970.
    pub ended_ms: u64,
    /// Whether the run gets the status `FINISHED`, else `FAILED`.
    pub finished: bool,
    /// Parameters; values are cut at 6,000 characters.
    pub params: Vec<(String, String)>,
    /// Metrics by step.
    pub metrics: Vec<Point>,
    /// Tags; values are cut at 5,000 characters.
    pub tags: Vec<(String, String)>,
    /// Datasets for training and evaluation.
    pub datasets: Vec<Dataset>,
    /// Files, each with its path below the run's artifacts.
    pub artifacts: Vec<(String, Bytes)>,
    /// The model to register, if the run produced one.
    pub model: Option<TrackedModel>,
}

/// The value of a metric at a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name of the metric.
    pub key: String,
    /// Value; a value that is not finite is not logged.
    pub value: f64,
    /// Step: a round of boosting, or 0.
    pub step: u64,
}

/// A file of trips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Name, such as `green_tripdata_2021-01`.
    pub name: String,
    /// SHA-256 of its bytes in hex; MLflow keeps 36 digits.
    pub sha256: String,
    /// Location from which it was read.
    pub source: String,
    /// Number of rows.
    pub rows: u64,
    /// Its role: `training` or `evaluation`.
    pub context: &'static str,
}

/// A version of a registered model; its files are below `model/` of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedModel {
    /// Name of the registered model.
    pub name: String,
    /// Hash of the model's bytes, equal to the tag `version`: the server has one version for the same bytes, however
    /// many runs produced them.
    pub content: String,
    /// Tags of the version, `version` among them.
    pub tags: Vec<(String, String)>,
    /// Whether the version gets the alias `champion`.
    pub champion: bool,
}

/// Identifiers of what was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// MLflow's id of the run.
    pub run_id: String,
    /// MLflow's version number of the model, if one was registered.
    pub model_version: Option<String>,
}

/// Connection to a tracking server.
#[derive(Debug, Clone)]
pub struct Tracking {
    client: Client,
}

/// The tag by which a run that was logged before is found.
const IDENTITY: &str = "tripcast.identity";
/// Largest number of metrics in one request that MLflow accepts; the constants below are limits of MLflow too.
const METRICS_A_BATCH: usize = 1000;
const PARAMS_A_BATCH: usize = 100;
const PARAM_CHARS_MAX: usize = 6000;
const TAG_CHARS_MAX: usize = 5000;
const DIGEST_CHARS: usize = 36;

impl Tracking {
    /// Prepares calls to the server at `uri`, which has the form of `MLFLOW_TRACKING_URI`.
    ///
    /// # Errors
    /// [`TrackingError::Uri`] unless `uri` is `http://` or `https://` with a host; folders and databases are refused.
    pub fn new(uri: &str, who: Credentials) -> Result<Self, TrackingError> {
        Ok(Self { client: Client::new(uri, who, Duration::from_secs(20))? })
    }

    /// Logs `run`. If a run of the same experiment and name exists, it is completed instead of created again.
    ///
    /// # Errors
    /// [`TrackingError`]; what was logged so far stays, and the next call with the same run completes it.
    pub async fn log(&self, run: &TrackedRun) -> Result<Tracked, TrackingError> {
        let experiment = self.experiment(&run.experiment).await?;
        let (run_id, artifact_uri) = self.run(&experiment, run).await?;
        self.log_figures(&run_id, run).await?;
        self.log_datasets(&run_id, run).await?;
        for (path, bytes) in &run.artifacts {
            self.client.put_artifact(&artifact_uri, path, bytes.clone()).await?;
        }
        let status = if run.finished { "FINISHED" } else { "FAILED" };
        let update = json!({"run_id": run_id, "status": status, "end_time": run.ended_ms});
        self.client.post("ending the run", "runs/update", &update).await?;
        let model_version = match &run.model {
            Some(model) => Some(self.model_version(&run_id, model).await?),
            None => None,
        };
        Ok(Tracked { run_id, model_version })
    }

    async fn experiment(&self, name: &str) -> Result<String, TrackingError> {
        let doing = "finding the experiment";
        let (by_name, query) = ("experiments/get-by-name", [("experiment_name", name)]);
        let id = |answer: &Value| text(doing, &answer["experiment"]["experiment_id"], "experiment_id");
        match self.client.get(doing, by_name, &query).await {
            Err(error) if error.code() == Some(Code::Unknown) => (),
            other => return id(&other?),
        }
        match self.client.post(doing, "experiments/create", &json!({"name": name})).await {
            // Another client created it meanwhile.
            Err(error) if error.code() == Some(Code::Exists) => {
                id(&self.client.get(doing, by_name, &query).await?)
            }
            other => text(doing, &other?["experiment_id"], "experiment_id"),
        }
    }

    /// Finds or creates the run; returns its id and its artifact URI.
    async fn run(&self, experiment: &str, run: &TrackedRun) -> Result<(String, String), TrackingError> {
        let doing = "making the run";
        let identity = sha256_hex(format!("{}\n{}", run.experiment, run.name).as_bytes());
        let search = json!({
            "experiment_ids": [experiment],
            "filter": format!("tags.`{IDENTITY}` = '{identity}'"),
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1,
        });
        let of = |info: &Value| {
            let id = text(doing, &info["run_id"], "run_id")?;
            Ok((id, text(doing, &info["artifact_uri"], "artifact_uri")?))
        };
        let found = self.client.post(doing, "runs/search", &search).await?;
        if let Some(known) = found["runs"].as_array().and_then(|runs| runs.first()) {
            return of(&known["info"]);
        }
        let mut tags = vec![(IDENTITY.to_string(), identity)];
        tags.extend(run.tags.iter().cloned());
        let create = json!({
            "experiment_id": experiment,
            "run_name": run.name,
            "start_time": run.started_ms,
            "tags": pairs(&tags, TAG_CHARS_MAX),
        });
        // Sent without retries: a second request would create another run.
        let made = self.client.post_once(doing, "runs/create", &create).await?;
        of(&made["run"]["info"])
    }

    async fn log_figures(&self, run_id: &str, run: &TrackedRun) -> Result<(), TrackingError> {
        let (doing, path) = ("logging parameters and metrics", "runs/log-batch");
        for params in run.params.chunks(PARAMS_A_BATCH) {
            let what = json!({"run_id": run_id, "params": pairs(params, PARAM_CHARS_MAX)});
            self.client.post(doing, path, &what).await?;
        }
        // MLflow identifies a point by its timestamp too, so sending the same points again adds none.
        let point = |point: &Point| json!({"key": point.key, "value": point.value, "step": point.step, "timestamp": run.ended_ms});
        let points: Vec<Value> =
            run.metrics.iter().filter(|point| point.value.is_finite()).map(point).collect();
        for metrics in points.chunks(METRICS_A_BATCH) {
            let what = json!({"run_id": run_id, "metrics": metrics});
            self.client.post(doing, path, &what).await?;
        }
        Ok(())
    }

    async fn log_datasets(&self, run_id: &str, run: &TrackedRun) -> Result<(), TrackingError> {
        let dataset = |dataset: &Dataset| {
            json!({
                "tags": [{"key": "mlflow.data.context", "value": dataset.context}],
                "dataset": {
                    "name": dataset.name,
                    "digest": dataset.sha256.chars().take(DIGEST_CHARS).collect::<String>(),
                    "source_type": "local",
                    "source": json!({"uri": dataset.source}).to_string(),
                    "profile": json!({"num_rows": dataset.rows}).to_string(),
                },
            })
        };
        let datasets: Vec<Value> = run.datasets.iter().map(dataset).collect();
        if !datasets.is_empty() {
            let what = json!({"run_id": run_id, "datasets": datasets});
            self.client.post("logging datasets", "runs/log-inputs", &what).await?;
        }
        Ok(())
    }

    async fn model_version(&self, run_id: &str, model: &TrackedModel) -> Result<String, TrackingError> {
        let doing = "registering the model";
        match self.client.post(doing, "registered-models/create", &json!({"name": model.name})).await {
            Err(error) if error.code() == Some(Code::Exists) => (),
            other => drop(other?),
        }
        let filter = format!("name = '{}' and tags.version = '{}'", model.name, model.content);
        let found = self.client.get(doing, "model-versions/search", &[("filter", &filter)]).await?;
        let known = found["model_versions"].as_array().and_then(|versions| versions.first()).cloned();
        let version = match known {
            Some(known) => known,
            None => {
                let create = json!({
                    "name": model.name,
                    "source": format!("runs:/{run_id}/model"),
                    "run_id": run_id,
                    "tags": pairs(&model.tags, TAG_CHARS_MAX),
                });
                self.client.post_once(doing, "model-versions/create", &create).await?["model_version"].clone()
            }
        };
        let version = text(doing, &version["version"], "version")?;
        if model.champion {
            // The alias is set last, so that clients that load the champion find it complete.
            let alias = json!({"name": model.name, "alias": "champion", "version": version});
            self.client.post(doing, "registered-models/alias", &alias).await?;
        }
        Ok(version)
    }
}

fn pairs(of: &[(String, String)], chars_max: usize) -> Value {
    let pair = |(key, value): &(String, String)| json!({"key": key, "value": value.chars().take(chars_max).collect::<String>()});
    of.iter().map(pair).collect()
}

fn text(doing: &'static str, value: &Value, expected: &'static str) -> Result<String, TrackingError> {
    let found = value.as_str().map(String::from);
    found.ok_or(TrackingError::Answer { doing, expected })
}

#[cfg(test)]
mod tests;
