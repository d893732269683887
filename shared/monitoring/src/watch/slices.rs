//! Errors by slice, with a bound on false findings that holds however the slices depend on each other.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::profile::Predictions;

/// Fewer judged trips have no verdict.
const TRIPS_MIN: u64 = 100;
/// Expected share of false ones among the slices that are named.
const FALSE_SHARE_MAX: f64 = 0.05;

/// The errors in a slice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// What is sliced by.
    pub by: String,
    /// Its value.
    pub value: String,
    /// Verdict trips.
    pub n: u64,
    /// Mean absolute error, minutes.
    pub mae_min: f64,
    /// Root mean squared error, minutes.
    pub rmse_min: f64,
    /// Mean error, predicted minus actual, minutes.
    pub bias_min: f64,
    /// Share inside the interval.
    pub coverage: f64,
    /// Whether the coverage differs from that of all trips: of the slices so named, at most one in twenty is expected to be named by chance
    /// (Benjamini and Yekutieli, The control of the false discovery rate in multiple testing under dependency, 2001).
    pub differs: bool,
}

/// Returns the slices of judged predictions, in the order of their names.
pub fn slices(predictions: &Predictions) -> Vec<Slice> {
    let usual = predictions.judged.coverage().unwrap_or_default();
    let all = predictions.slices.iter();
    let mut slices: Vec<Slice> = all
        .filter_map(|(by, value, sums)| {
            Some(Slice {
                by: by.into(),
                value: value.into(),
                n: sums.rows,
                mae_min: sums.mae_min()?,
                rmse_min: sums.rmse_min()?,
                bias_min: sums.bias_min()?,
                coverage: sums.coverage()?,
                differs: false,
            })
        })
        .collect();
    let mut tested: Vec<(f64, usize)> = slices
        .iter()
        .enumerate()
        .filter(|(_, slice)| slice.n >= TRIPS_MIN)
        .map(|(at, slice)| (p_value(slice, usual), at))
        .collect();
    tested.sort_by(|one, other| one.0.total_cmp(&other.0));
    let m = tested.len() as f64;
    let harmonic: f64 = (1..=tested.len()).map(|rank| 1.0 / rank as f64).sum();
    let holds =
        |(rank, (p, _)): (usize, &(f64, usize))| *p <= (rank + 1) as f64 / (m * harmonic) * FALSE_SHARE_MAX;
    let named = tested.iter().enumerate().rposition(holds).map_or(0, |last| last + 1);
    tested[..named].iter().for_each(|(_, at)| slices[*at].differs = true);
    slices
}

/// Returns the probability of a coverage that is as far from the usual one, by the normal law.
fn p_value(slice: &Slice, usual: f64) -> f64 {
    let error = (usual * (1.0 - usual) / slice.n as f64).sqrt();
    let z = if error > 0.0 { (slice.coverage - usual).abs() / error } else { 0.0 };
    2.0 * Normal::standard().sf(z)
}
