//! The Lambda side of a function: configuration, events, responses, logs, metrics and messages.
//!
//! Map: [`env`] reads configuration, [`telemetry`] writes logs and metrics, [`lambda`] runs a handler; [`event`]
//! decodes events, [`outcome`] keeps the state of each message; [`queue`] sends messages, [`stream`] puts
//! records, [`topic`] sends notes to people. `steps`, a feature of the command line alone, follows state machines.
//!
//! Deliberately absent: objects and models (`store`, `registry`), Parquet, predictions. AWS clients stay inside.

mod client;
pub mod env;
pub mod event;
pub mod lambda;
pub mod outcome;
pub mod queue;
#[cfg(feature = "steps")]
pub mod steps;
pub mod stream;
pub mod telemetry;
pub mod topic;
