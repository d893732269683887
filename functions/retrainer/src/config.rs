//! The environment variables of the retrainer.

use std::str::FromStr;
use std::time::Duration;

use dataset::UtcTimes;
use mlflow::{Credentials, Tracking};
use model::candidates::FitParams;
use model::chain;
use model::decision::PromotionPolicy;
use platform::env::{Env, EnvError, Variable};
use platform::lambda::Deadline;
use platform::secret::SecretError;
use serde::Deserialize;
use store::StoreUri;

use crate::learn::Learning;
use crate::room::Room;
use crate::{Settings, Tracker};

/// Every variable that the retrainer reads.
pub const VARIABLES: [Variable; 15] = [
    Variable { name: "DATA_STORE", meaning: "store of the trips: s3://bucket or a directory", default: None },
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable { name: "TAXI", meaning: "taxis to learn from: green, yellow or fhvhv", default: Some("green") },
    Variable {
        name: "TRAINING_WINDOWS",
        meaning: "window lengths in months, separated by commas",
        default: Some("1,3,12"),
    },
    Variable {
        name: "SEARCH_TRIALS",
        meaning: "sets of parameters of boosted trees to try",
        default: Some("4"),
    },
    Variable { name: "SEED", meaning: "seed of every random choice", default: Some("42") },
    Variable {
        name: "MLFLOW_TRACKING_URI",
        meaning: "MLflow server to which every run is logged; none if empty",
        default: Some(""),
    },
    Variable { name: "MLFLOW_EXPERIMENT_NAME", meaning: "its experiment", default: Some("tripcast") },
    Variable { name: "MLFLOW_TRACKING_USERNAME", meaning: "user it knows, if any", default: Some("") },
    Variable { name: "MLFLOW_TRACKING_PASSWORD", meaning: "that user's password", default: Some("") },
    Variable { name: "MLFLOW_TRACKING_TOKEN", meaning: "bearer token instead", default: Some("") },
    Variable {
        name: "MLFLOW_TRACKING_SECRET",
        meaning: "ARN of a secret of Secrets Manager that has them instead: username and password, or token, as JSON",
        default: Some(""),
    },
    Variable {
        name: "UTC_TIMES",
        meaning: "timestamps adjusted to UTC: convert them to New York time, or read them as they are (wall)",
        default: Some("convert"),
    },
    Variable {
        name: "TRAINING_ROWS_MAX",
        meaning: "rows to learn from at most; of more months' rows a share is drawn",
        default: Some("4000000"),
    },
    Variable {
        name: "RETRAIN_MINUTES",
        meaning: "time of a retraining outside of Lambda, which has a limit of its own",
        default: Some("1440"),
    },
];

/// The default of `TRAINING_ROWS_MAX`: what the memory of the function holds (docs/DESIGN.md).
pub const ROWS_MAX: &str = match VARIABLES[ROWS_MAX_AT].default {
    Some(rows) => rows,
    None => "",
};

/// Index of `TRAINING_ROWS_MAX`.
const ROWS_MAX_AT: usize = 13;
/// Index of the first variable that concerns tracking.
const TRACKING_FROM: usize = 6;
/// Index after the last one that the command line knows, too.
const TRACKING_TO: usize = 11;

/// The values of [`VARIABLES`], parsed.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub data_store: StoreUri,
    pub model_store: StoreUri,
    pub taxi: String,
    pub training_windows: Windows,
    pub search_trials: usize,
    pub seed: u64,
    pub utc_times: UtcTimes,
    pub training_rows_max: usize,
    pub retrain_minutes: u32,
    pub tracker: Option<Tracker>,
    /// Empty if the credentials of tracking, if any, are in variables.
    pub mlflow_tracking_secret: String,
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
            training_windows: env.get("TRAINING_WINDOWS")?,
            search_trials: env.get("SEARCH_TRIALS")?,
            seed: env.get("SEED")?,
            utc_times: env.get("UTC_TIMES")?,
            training_rows_max: env.get::<RowsMax>("TRAINING_ROWS_MAX")?.0,
            retrain_minutes: env.get("RETRAIN_MINUTES")?,
            tracker: tracker(&env, Ok(credentials(&env)?))?,
            mlflow_tracking_secret: env.get("MLFLOW_TRACKING_SECRET")?,
        })
    }

    /// Takes the credentials of tracking from the text of its secret. One that could not be read says so in the record of each run.
    ///
    /// # Errors
    /// [`EnvError`].
    pub fn with_secret(self, text: Result<String, SecretError>) -> Result<Self, EnvError> {
        let env = Env::of_process(&VARIABLES[TRACKING_FROM..TRACKING_TO])?;
        let who = text.map_err(|error| chain(&error)).and_then(|text| credentials_of(&text));
        Ok(Self { tracker: tracker(&env, who)?, ..self })
    }

    /// Returns the deadline of a retraining that begins now, outside of Lambda.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(Duration::from_secs(60 * u64::from(self.retrain_minutes)))
    }

    /// Returns the settings of a retraining.
    pub fn settings(&self) -> Settings {
        let params = FitParams { seed: self.seed, ..FitParams::default() };
        let policy = PromotionPolicy { seed: self.seed, ..PromotionPolicy::default() };
        let (windows, trials) = (self.training_windows.0.clone(), self.search_trials);
        let (rows_max, room) = (self.training_rows_max, Room::of_function());
        let learning = Learning { windows, params, trials, rows_max, room, threads: 0 };
        Settings { taxi: self.taxi.clone(), utc_times: self.utc_times, learning, policy }
    }
}

/// Creates a tracker from the environment of this process; none if it names no tracking server.
///
/// # Errors
/// [`EnvError`].
pub fn tracker_of_process() -> Result<Option<Tracker>, EnvError> {
    let env = Env::of_process(&VARIABLES[TRACKING_FROM..TRACKING_TO])?;
    tracker(&env, Ok(credentials(&env)?))
}

fn credentials(env: &Env) -> Result<Credentials, EnvError> {
    Ok(Credentials {
        username: env.get("MLFLOW_TRACKING_USERNAME")?,
        password: env.get("MLFLOW_TRACKING_PASSWORD")?,
        token: env.get("MLFLOW_TRACKING_TOKEN")?,
    })
}

/// The fields of a secret.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Secret {
    username: String,
    password: String,
    token: String,
}

/// Reads the credentials from the text of a secret, none of which is in the error.
fn credentials_of(secret: &str) -> Result<Credentials, String> {
    let found: Secret = serde_json::from_str(secret).unwrap_or_default();
    if found.token.is_empty() && (found.username.is_empty() || found.password.is_empty()) {
        return Err("the secret of MLflow is none: expected JSON with username and password, or token".into());
    }
    Ok(Credentials { username: found.username, password: found.password, token: found.token })
}

/// Creates the tracker. An invalid one says so in the record of each run: tracking never keeps models from being retrained.
fn tracker(env: &Env, who: Result<Credentials, String>) -> Result<Option<Tracker>, EnvError> {
    let uri: String = env.get("MLFLOW_TRACKING_URI")?;
    if uri.is_empty() {
        return Ok(None);
    }
    let tracking = who.and_then(|who| Tracking::new(&uri, who).map_err(|error| chain(&error)));
    match tracking {
        Ok(tracking) => Ok(Some(Tracker::new(tracking, env.get("MLFLOW_EXPERIMENT_NAME")?))),
        Err(reason) => Ok(Some(Tracker::unusable(reason))),
    }
}

/// The least [`RowsMax`].
const ROWS_MAX_LEAST: usize = 10_000;

/// Rows to learn from at most; models of too few would be worse than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsMax(pub usize);

impl FromStr for RowsMax {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let rows = text.trim().parse().ok().filter(|rows| *rows >= ROWS_MAX_LEAST);
        rows.map(Self).ok_or_else(|| format!("{text:?} is no number of rows of at least {ROWS_MAX_LEAST}"))
    }
}

/// Window lengths in months, separated by commas: `1,3,12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows(pub Vec<u32>);

impl FromStr for Windows {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let month = |part: &str| part.trim().parse().ok().filter(|months| (1..=120).contains(months));
        let months = text.split(',').map(month).collect::<Option<Vec<u32>>>();
        months
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no list of months between 1 and 120, such as 1,3,12"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_enough_to_learn_from() {
        assert_eq!(ROWS_MAX.parse::<RowsMax>().unwrap(), RowsMax(4_000_000));
        for bad in ["0", "9999", "-1", "all"] {
            assert!(bad.parse::<RowsMax>().unwrap_err().contains("10000"), "{bad}");
        }
    }

    #[test]
    fn a_secret_has_a_user_or_a_token_and_is_in_no_error() {
        let of = |text: &str| credentials_of(text).map(|who| (who.username, who.password, who.token));
        let expected = |parts: [&str; 3]| Ok((parts[0].into(), parts[1].into(), parts[2].into()));
        assert_eq!(of(r#"{"username": "u", "password": "p"}"#), expected(["u", "p", ""]));
        assert_eq!(of(r#"{"token": "t"}"#), expected(["", "", "t"]));
        for bad in [
            "",
            "open sesame",
            "{}",
            r#"{"username": "open sesame"}"#,
            r#"{"token": 7}"#,
            r#"{"tokens": "x"}"#,
        ] {
            let error = of(bad).unwrap_err();
            assert!(
                error.contains("username and password, or token") && !error.contains("sesame"),
                "{error}"
            );
        }
    }

    #[test]
    fn windows_are_a_list_of_months() {
        assert_eq!("1, 3,12".parse::<Windows>().unwrap().0, [1, 3, 12]);
        for bad in ["", "0", "1,", "1;3", "three", "121"] {
            assert!(bad.parse::<Windows>().unwrap_err().contains("such as 1,3,12"), "{bad}");
        }
    }
}
