//! The environment variables of the scorer.

use std::time::Duration;

use platform::env::{Env, EnvError, Variable};
use store::StoreUri;

/// Every variable that the scorer reads.
pub const VARIABLES: [Variable; 8] = [
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "DATA_STORE",
        meaning: "store for profiles and kept predictions: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "KEEP_ANSWERS",
        meaning: "true: predictions are kept for labels that come later; false: only beside those of challengers",
        default: Some("false"),
    },
    Variable { name: "PREDICTIONS_QUEUE_URL", meaning: "queue that predictions are sent to", default: None },
    Variable {
        name: "PREDICTIONS_STREAM",
        meaning: "Kinesis stream that predictions of a stream's records are sent to; to the queue if empty",
        default: Some(""),
    },
    Variable { name: "DLQ_URL", meaning: "URL of the queue of rejected messages", default: None },
    Variable {
        name: "MODEL_REFRESH_SECONDS",
        meaning: "seconds between checks for new champions",
        default: Some("30"),
    },
    Variable {
        name: "DEADLINE_RESERVE_MS",
        meaning: "milliseconds before the deadline at which no more work is begun",
        default: Some("10000"),
    },
];

/// The values of [`VARIABLES`], parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub model_store: StoreUri,
    pub data_store: StoreUri,
    pub keep_answers: bool,
    pub predictions_queue_url: String,
    pub predictions_stream: String,
    pub rejects_queue_url: String,
    pub model_refresh: Duration,
    pub deadline_reserve: Duration,
}

impl Config {
    /// Reads the configuration from the environment of this process.
    ///
    /// # Errors
    /// [`EnvError`], which names every variable that is missing, or one whose value is invalid.
    pub fn from_env() -> Result<Self, EnvError> {
        let env = Env::of_process(&VARIABLES)?;
        Ok(Self {
            model_store: env.get("MODEL_STORE")?,
            data_store: env.get("DATA_STORE")?,
            keep_answers: env.get("KEEP_ANSWERS")?,
            predictions_queue_url: env.get("PREDICTIONS_QUEUE_URL")?,
            predictions_stream: env.get("PREDICTIONS_STREAM")?,
            rejects_queue_url: env.get("DLQ_URL")?,
            model_refresh: Duration::from_secs(env.get("MODEL_REFRESH_SECONDS")?),
            deadline_reserve: Duration::from_millis(env.get("DEADLINE_RESERVE_MS")?),
        })
    }
}
