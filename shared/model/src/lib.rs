//! The core: trips, what is learned from them, and what is predicted.
//!
//! In the order of the data: [`request`] decodes a message into a [`Trip`]; [`trip`] and [`outcome`] hold trips and
//! their outcomes in columns; [`rules`] choose rows; [`features`] turn trips into numbers; [`candidates`] learn, or are
//! [`import`]ed; [`training`] fits and judges them on files; [`evaluation`] measures; [`explanation`] explains;
//! [`decision`] promotes; [`card`] measures what a model card shows; [`artifact`] is a model as bytes; [`bundle`] is
//! the pair of models that serves, [`prediction`] its output; [`error`] classifies errors.
//!
//! Deliberately absent: files, networks, clocks, the environment, and every AWS or Arrow type; and threads, except to
//! fit models and to predict many trips at once. What is known only after a trip (payment, fare, tip)
//! lives in [`outcome`] and cannot reach [`features`], by type.

pub mod artifact;
pub mod bundle;
pub mod calendar;
pub mod candidates;
pub mod card;
pub mod decision;
pub mod error;
pub mod evaluation;
pub mod explanation;
pub mod features;
pub mod import;
pub mod month;
#[cfg(test)]
mod mutations;
pub mod onnx;
pub mod outcome;
pub mod performance;
pub mod prediction;
pub mod rejection;
pub mod request;
pub mod rules;
pub mod segments;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod training;
pub mod trip;
pub mod zones;

pub use artifact::{Artifact, ArtifactError, Lineage, ModelVersion};
pub use bundle::{Bundle, bundle_id};
pub use candidates::{Candidate, Family, FitError, FitParams, Model, ValidationFit, Work, go_on};
pub use decision::{Challenger, Decision, Holdout, PromotionPolicy, decide};
pub use error::{Classified, chain};
pub use evaluation::{Predictions, Slice};
pub use month::{Month, TaxiMonth};
pub use outcome::{Examples, LabelledTrips, Outcome, Target};
pub use performance::{Metrics, Performance};
pub use prediction::Prediction;
pub use rejection::{Reason, Rejection, RejectionCounts};
pub use request::{RideId, TripRequest};
pub use rules::Rules;
pub use training::{Judgement, Trained, judge, judge_slices, train, train_validated};
pub use trip::{PredictionBatch, Trip, Zone};
