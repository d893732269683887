//! The environment variables of the batch predictor.

use std::time::Duration;

use dataset::UtcTimes;
use platform::env::{Env, EnvError, Variable};
use store::StoreUri;

/// Every variable that the batch predictor reads.
pub const VARIABLES: [Variable; 5] = [
    Variable { name: "DATA_STORE", meaning: "store of the trips: s3://bucket or a directory", default: None },
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "TAXI",
        meaning: "kind of the taxis (green, yellow, fhvhv) that the models were trained on",
        default: Some("green"),
    },
    Variable {
        name: "MODEL_REFRESH_SECONDS",
        meaning: "seconds between checks for new champions",
        default: Some("0"),
    },
    Variable {
        name: "UTC_TIMES",
        meaning: "timestamps adjusted to UTC: convert them to New York time, or read them as they are (wall)",
        default: Some("convert"),
    },
];

/// The values of [`VARIABLES`], parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub data_store: StoreUri,
    pub model_store: StoreUri,
    pub taxi: String,
    pub model_refresh: Duration,
    pub utc_times: UtcTimes,
}

impl Config {
    /// Reads the configuration from the environment of this process.
    ///
    /// # Errors
    /// [`EnvError`], which names every variable that is missing, or one whose value is invalid.
    pub fn from_env() -> Result<Self, EnvError> {
        let env = Env::of_process(&VARIABLES)?;
        Ok(Self {
            data_store: env.get("DATA_STORE")?,
            model_store: env.get("MODEL_STORE")?,
            taxi: env.get("TAXI")?,
            model_refresh: Duration::from_secs(env.get("MODEL_REFRESH_SECONDS")?),
            utc_times: env.get("UTC_TIMES")?,
        })
    }
}
