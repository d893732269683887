//! Small models for the tests of other crates, behind the feature `testing`.

use crate::Artifact;
use crate::candidates::{Candidate, Family, FitParams, Work, go_on};
use crate::outcome::{Examples, LabelledTrips, Target};
use crate::trip::{Trip, Zone};

/// Returns the bytes of a model of `family`, fitted to `trips` with a label each.
///
/// # Panics
/// If nothing can be fitted to them.
#[allow(clippy::unwrap_used)]
pub fn artifact(target: Target, family: Family, trips: Vec<Trip>, labels: Vec<f64>) -> Vec<u8> {
    let (examples, params) = (Examples { trips, labels }, FitParams::default());
    let mut work = Work { threads: 1, control: &mut go_on };
    let candidate = Candidate::fit(target, family, &examples, &params, &mut work).unwrap();
    Artifact::new(candidate, params, &[LabelledTrips::default()]).to_bytes().unwrap().0
}

/// Returns the bytes of a duration model that predicts `minutes` for every trip.
pub fn constant_duration(minutes: f64) -> Vec<u8> {
    let trip = Trip { pickup_zone: Zone::new(1), ..Trip::default() };
    artifact(Target::Duration, Family::Linear, vec![trip], vec![minutes])
}
