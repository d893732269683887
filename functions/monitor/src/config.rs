//! The environment variables of the monitor.

use platform::env::{Env, EnvError, Variable};
use store::StoreUri;

use crate::otlp::{Headers, Receiver};

/// Every variable that the monitor reads.
pub const VARIABLES: [Variable; 6] = [
    Variable {
        name: "DATA_STORE",
        meaning: "store of the profiles, alarms and reports: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the models: s3://bucket or a directory",
        default: None,
    },
    Variable {
        name: "ALARM_TOPIC_ARN",
        meaning: "topic that alarms are published to; none if empty",
        default: Some(""),
    },
    Variable {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        meaning: "OpenTelemetry collector that figures are sent to (OTLP over HTTP); none if empty",
        default: Some(""),
    },
    Variable {
        name: "OTEL_EXPORTER_OTLP_HEADERS",
        meaning: "headers of those requests, name=value by commas",
        default: Some(""),
    },
    Variable { name: "MONITOR_DAYS", meaning: "days of the past that are watched", default: Some("400") },
];

/// The values of [`VARIABLES`], parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see VARIABLES
pub struct Config {
    pub data_store: StoreUri,
    pub model_store: StoreUri,
    pub alarm_topic_arn: String,
    pub days: u32,
    /// None if no collector is named.
    pub receiver: Option<Receiver>,
}

impl Config {
    /// Reads the configuration from the environment of this process.
    ///
    /// # Errors
    /// [`EnvError`], which names every variable that is missing, or one whose value is invalid.
    pub fn from_env() -> Result<Self, EnvError> {
        let env = Env::of_process(&VARIABLES)?;
        let (endpoint, headers): (String, Headers) =
            (env.get("OTEL_EXPORTER_OTLP_ENDPOINT")?, env.get("OTEL_EXPORTER_OTLP_HEADERS")?);
        Ok(Self {
            receiver: (!endpoint.is_empty()).then_some(Receiver { endpoint, headers }),
            data_store: env.get("DATA_STORE")?,
            model_store: env.get("MODEL_STORE")?,
            alarm_topic_arn: env.get("ALARM_TOPIC_ARN")?,
            days: env.get("MONITOR_DAYS")?,
        })
    }
}
