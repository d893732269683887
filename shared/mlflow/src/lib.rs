//! Runs and models on an MLflow tracking server, by its REST API.
//!
//! A run is logged whole, after the fact: parameters, metrics by step, tags, datasets, files, and the model that came of it.
//! Whoever calls this may be called again, and an answer may be lost, so everything is looked for before it is made, and
//! what is sent again is the same. The store's own record (`runs/`) is the truth; tracking that is down costs nothing but a
//! line in the log.

mod client;

use std::time::Duration;

use bytes::Bytes;
use model::artifact::sha256_hex;
use serde_json::{Value, json};

use client::{Client, Code};

/// Why nothing, or not all, was logged.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// No server can be meant.
    #[error("tracking server {scheme}: expected http:// or https:// and a host")]
    Uri {
        /// How what was said begins; what follows may hold a password.
        scheme: String,
    },
    /// The server did not answer.
    #[error("{doing} on the tracking server")]
    Call {
        /// What was done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{doing} on the tracking server: {status}: {message}")]
    Refused {
        /// What was done.
        doing: &'static str,
        /// The status.
        status: u16,
        /// MLflow's error code, and what it said.
        message: String,
    },
    /// The answer is no such document.
    #[error("{doing} on the tracking server: expected {expected} in its answer")]
    Answer {
        /// What was done.
        doing: &'static str,
        /// What is not there.
        expected: &'static str,
    },
    /// Files cannot be sent through this server.
    #[error(
        "the experiment keeps its files at {uri:?}: expected the tracking server to take them (mlflow-artifacts:, started with --serve-artifacts)"
    )]
    Artifacts {
        /// Where it keeps them.
        uri: String,
    },
}

/// Who asks. It prints nothing of itself.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// With a password: basic authentication.
    pub username: String,
    /// See `username`.
    pub password: String,
    /// Else: a bearer token.
    pub token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials { .. }")
    }
}

/// One run, complete.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackedRun {
    /// The experiment it belongs to.
    pub experiment: String,
    /// Its name.
    pub name: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// Whether it did what it should.
    pub finished: bool,
    /// What was chosen; values are cut at 6,000 characters.
    pub params: Vec<(String, String)>,
    /// What was measured.
    pub metrics: Vec<Point>,
    /// What else is to be known.
    pub tags: Vec<(String, String)>,
    /// What was learned from and judged on.
    pub datasets: Vec<Dataset>,
    /// Files: path below the run, bytes.
    pub artifacts: Vec<(String, Bytes)>,
    /// The model that came of it.
    pub model: Option<TrackedModel>,
}

/// A figure at a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub key: String,
    /// The figure; what is not finite is left out.
    pub value: f64,
    /// Which step: a round of boosting, or 0.
    pub step: u64,
}

/// A file of trips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Such as `green_tripdata_2021-01`.
    pub name: String,
    /// sha256 of its bytes, hex; MLflow keeps 36 digits.
    pub sha256: String,
    /// Where it was read.
    pub source: String,
    /// How many rows.
    pub rows: u64,
    /// `training` or `evaluation`.
    pub context: &'static str,
}

/// A version of a registered model, whose files are below `model/` of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedModel {
    /// The registered model.
    pub name: String,
    /// What names its bytes, the value of the tag `version`: of the same bytes there is one version on the server, whatever runs
    /// came to them.
    pub content: String,
    /// Tags of the version, `version` among them.
    pub tags: Vec<(String, String)>,
    /// Whether it gets the alias `champion`.
    pub champion: bool,
}

/// What was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// MLflow's name of the run.
    pub run_id: String,
    /// MLflow's number of the model's version.
    pub model_version: Option<String>,
}

/// A tracking server.
#[derive(Debug, Clone)]
pub struct Tracking {
    client: Client,
}

/// The tag by which a run that was logged already is found.
const IDENTITY: &str = "tripcast.identity";
/// Of a request: more are refused.
const METRICS_A_BATCH: usize = 1000;
const PARAMS_A_BATCH: usize = 100;
const PARAM_CHARS_MAX: usize = 6000;
const TAG_CHARS_MAX: usize = 5000;
const DIGEST_CHARS: usize = 36;

impl Tracking {
    /// The server at `uri`, as `MLFLOW_TRACKING_URI` says it.
    ///
    /// # Errors
    /// [`TrackingError::Uri`]: folders and databases are no servers.
    pub fn new(uri: &str, who: Credentials) -> Result<Self, TrackingError> {
        Ok(Self { client: Client::new(uri, who, Duration::from_secs(20))? })
    }

    /// Logs `run`, or what is missing of it if it was logged before.
    ///
    /// # Errors
    /// [`TrackingError`]; what was logged so far stays, and the next try goes on from there.
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
            // Somebody else was faster.
            Err(error) if error.code() == Some(Code::Exists) => {
                id(&self.client.get(doing, by_name, &query).await?)
            }
            other => text(doing, &other?["experiment_id"], "experiment_id"),
        }
    }

    /// The run's id and where its files go.
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
        // Never sent twice: a second one would be another run.
        let made = self.client.post_once(doing, "runs/create", &create).await?;
        of(&made["run"]["info"])
    }

    async fn log_figures(&self, run_id: &str, run: &TrackedRun) -> Result<(), TrackingError> {
        let (doing, path) = ("logging parameters and metrics", "runs/log-batch");
        for params in run.params.chunks(PARAMS_A_BATCH) {
            let what = json!({"run_id": run_id, "params": pairs(params, PARAM_CHARS_MAX)});
            self.client.post(doing, path, &what).await?;
        }
        // A point is known by its time too: the same points sent again are none more.
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
            // Last of all: whoever loads the champion finds it whole.
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
