//! Lambda's side of a function: how it is configured and woken, how it answers, logs and sends.
//!
//! Map: [`env`] reads configuration, [`telemetry`] writes logs and metrics, [`lambda`] runs a handler; [`event`] is what wakes a
//! function, [`outcome`] how each message ended; [`queue`] sends messages.
//!
//! Deliberately absent: objects and models (`store`, `registry`), Parquet, and what a trip is worth. No AWS type is in an
//! interface that a walk sees.

pub mod env;
pub mod event;
pub mod lambda;
pub mod outcome;
pub mod queue;
pub mod telemetry;
