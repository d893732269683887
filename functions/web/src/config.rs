//! The environment variables of the web function.

use std::time::Duration;

use platform::env::{Env, EnvError, Variable};
use store::StoreUri;

/// Every variable that the function reads.
pub const VARIABLES: [Variable; 2] = [
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "MODEL_REFRESH_SECONDS",
        meaning: "seconds between checks for new champions",
        default: Some("30"),
    },
];

/// The values of [`VARIABLES`], parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub model_store: StoreUri,
    pub model_refresh: Duration,
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
            model_refresh: Duration::from_secs(env.get("MODEL_REFRESH_SECONDS")?),
        })
    }
}
