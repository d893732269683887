//! The Lambda side of a function: configuration, events, responses, logs, metrics and messages.
//!
//! Map: [`env`] reads configuration, [`telemetry`] writes logs and metrics, [`lambda`] runs a handler; [`event`]
//! decodes events, [`outcome`] keeps the state of each message; [`queue`] sends messages, [`stream`] puts
//! records, [`topic`] sends notes to people. A feature of the retrainer alone, `secrets`, reads a secret.
//! [`client`] is what clients of AWS have in common, `testing` a double of its services.
//!
//! Deliberately absent: what operators do (`operations`), objects and models (`store`, `registry`), Parquet, predictions.

pub mod client;
pub mod env;
pub mod event;
pub mod lambda;
pub mod outcome;
pub mod queue;
#[cfg(feature = "secrets")]
pub mod secret;
pub mod stream;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod topic;
