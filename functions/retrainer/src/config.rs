//! What the retrainer is told by its environment.

use model::candidates::FitParams;
use platform::env::{Env, EnvError, Variable};
use platform::store::StoreUri;

use crate::Settings;

/// Every variable it reads.
pub const VARIABLES: [Variable; 5] = [
    Variable { name: "DATA_STORE", meaning: "store of the trips: s3://bucket or a directory", default: None },
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "TAXI",
        meaning: "colour of the taxis to learn from: green or yellow",
        default: Some("green"),
    },
    Variable { name: "TRAINING_MONTHS", meaning: "months to learn from, at most", default: Some("12") },
    Variable { name: "SEED", meaning: "seed of every random choice", default: Some("42") },
];

/// The same, read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub data_store: StoreUri,
    pub model_store: StoreUri,
    pub taxi: String,
    pub training_months: u32,
    pub seed: u64,
}

impl Config {
    /// The configuration of this process.
    ///
    /// # Errors
    /// [`EnvError`], naming all that is missing or what cannot be meant.
    pub fn from_env() -> Result<Self, EnvError> {
        let env = Env::of_process(&VARIABLES)?;
        Ok(Self {
            data_store: env.get("DATA_STORE")?,
            model_store: env.get("MODEL_STORE")?,
            taxi: env.get("TAXI")?,
            training_months: env.get::<std::num::NonZeroU32>("TRAINING_MONTHS")?.get(),
            seed: env.get("SEED")?,
        })
    }

    /// How to retrain.
    pub fn settings(&self) -> Settings {
        let params = FitParams { seed: self.seed, ..FitParams::default() };
        Settings { taxi: self.taxi.clone(), training_months: self.training_months, params }
    }
}
