//! The Lambda side of a function: configuration, events, responses, logs, metrics and messages.
//!
//! Map: [`env`] reads configuration, [`telemetry`] writes logs and metrics, [`lambda`] runs a handler; [`event`]
//! decodes events, [`outcome`] keeps the state of each message; [`queue`] sends messages, [`stream`] puts
//! records, [`topic`] sends notes to people. A feature of the retrainer alone, `secrets`, reads a secret.
//!
//! The command line alone uses [`letters`], which looks at messages of a queue and moves them, [`records`], which reads a stream
//! again, and two features: `steps` follows state machines, `invoke` invokes functions.
//!
//! Deliberately absent: objects and models (`store`, `registry`), Parquet, predictions. AWS clients stay inside.

mod client;
pub mod env;
pub mod event;
#[cfg(feature = "invoke")]
pub mod invoke;
pub mod lambda;
pub mod letters;
pub mod outcome;
pub mod queue;
pub mod records;
#[cfg(feature = "secrets")]
pub mod secret;
#[cfg(feature = "steps")]
pub mod steps;
pub mod stream;
pub mod telemetry;
pub mod topic;
