//! How far a duration may be from its answer: an interval that holds 90 % of durations.
//!
//! Split conformal prediction with locally scaled errors (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018,
//! "Distribution-Free Predictive Inference for Regression", section 5.2): on trips that the estimate did not see, trees
//! learn how far off it is; an interval reaches as many times that as all but 5 % of the errors on each side do. Trips
//! that state no distance have their own multiples.

use serde::{Deserialize, Serialize};
use trees::{Ensemble, Scorer};

use super::boosted::{self, day_number};
use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::trip::{TripBatch, possible_miles};

/// The share of errors beyond each end.
const TAIL: f64 = 0.05;
/// Fewer trips than this say too little of how errors differ: the interval is as wide for all of them.
const ROWS_MIN: usize = 500;
/// No error is expected to be less than this share of the mean one.
const SCALE_MIN_SHARE: f64 = 0.2;

/// Trips that an estimate did not see.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unseen {
    /// The trips.
    pub trips: TripBatch,
    /// What the estimate said of each, minutes.
    pub said: Vec<f64>,
    /// What was, minutes.
    pub was: Vec<f64>,
}

/// What is said of how far off an answer may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How far off an answer is expected to be, minutes.
    scale: Box<Scorer>,
    /// At least so far, minutes.
    scale_min: f64,
    stated: Reach,
    not_stated: Reach,
}

/// How many times the expected error an interval reaches, below and above the answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reach {
    below: f64,
    above: f64,
}

impl Interval {
    /// As wide for every trip: `half_width_min` minutes to both sides.
    pub fn constant(half_width_min: f64) -> Self {
        let reach = Reach { below: 1.0, above: 1.0 };
        Self { scale: flat(half_width_min).into(), scale_min: 0.0, stated: reach, not_stated: reach }
    }

    /// From trips that the estimate did not see; with fewer than 500 of them, as wide for every trip.
    ///
    /// # Errors
    /// [`FitError::Boosting`].
    pub(super) fn fit(unseen: &Unseen, params: &FitParams, work: &mut Work<'_>) -> Result<Self, FitError> {
        let errors: Vec<f64> = unseen.said.iter().zip(&unseen.was).map(|(said, was)| was - said).collect();
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len().max(1) as f64;
        let scale_min = mean * SCALE_MIN_SHARE;
        let (scale, scales) = if errors.len() < ROWS_MIN {
            (flat(mean), vec![mean; errors.len()])
        } else {
            scales(unseen, &errors, scale_min, params, work)?
        };
        let is_stated = |row: &usize| possible_miles(unseen.trips.distance_miles[*row]).is_some();
        let (stated, not_stated): (Vec<usize>, Vec<usize>) = (0..errors.len()).partition(is_stated);
        let all = Reach::of(0..errors.len(), &errors, &scales);
        let of = |rows: Vec<usize>| match rows.len() < ROWS_MIN {
            true => all,
            false => Reach::of(rows, &errors, &scales),
        };
        Ok(Self { scale: scale.into(), scale_min, stated: of(stated), not_stated: of(not_stated) })
    }

    /// The ends of the intervals around `minutes`, at least 0, for feature rows of the same trips.
    pub(super) fn around(&self, rows: &FeatureRows, minutes: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let scales = self.scale.predict(&rows.values);
        let mut ends = (Vec::with_capacity(minutes.len()), Vec::with_capacity(minutes.len()));
        for ((row, minutes), scale) in rows.rows().zip(minutes).zip(scales) {
            let reach = if row[features::DISTANCE].is_nan() { self.not_stated } else { self.stated };
            let scale = scale.max(self.scale_min);
            ends.0.push((minutes - reach.below * scale).max(0.0));
            ends.1.push(minutes + reach.above * scale);
        }
        ends
    }
}

impl Reach {
    fn of(rows: impl IntoIterator<Item = usize>, errors: &[f64], scales: &[f64]) -> Self {
        // An estimate without error needs no reach.
        let per_scale = |row: usize| if scales[row] > 0.0 { errors[row] / scales[row] } else { 0.0 };
        let mut above: Vec<f64> = rows.into_iter().map(per_scale).collect();
        let mut below: Vec<f64> = above.iter().map(|error| -error).collect();
        // An end may be on the other side of the answer, but the answer stays inside.
        Self { below: reached(&mut below).max(0.0), above: reached(&mut above).max(0.0) }
    }
}

/// What all but a share [`TAIL`] of further errors stay below: the ceil((n + 1) (1 - tail))-th smallest.
fn reached(errors: &mut [f64]) -> f64 {
    errors.sort_unstable_by(f64::total_cmp);
    let rank = ((errors.len() + 1) as f64 * (1.0 - TAIL)).ceil() as usize;
    errors.get(rank.clamp(1, errors.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Trees that expect errors, and what trees that did not see a trip expect of it: each half of the days by those of the
/// other half.
fn scales(
    unseen: &Unseen,
    errors: &[f64],
    scale_min: f64,
    params: &FitParams,
    work: &mut Work<'_>,
) -> Result<(Scorer, Vec<f64>), FitError> {
    let half = |row: usize| day_number(&unseen.trips, row).div_euclid(boosted::DAYS_A_FOLD).rem_euclid(2);
    let mut scales = vec![0.0; errors.len()];
    for side in [0, 1] {
        let (rows, others): (Vec<usize>, Vec<usize>) = (0..errors.len()).partition(|&row| half(row) == side);
        let far: Vec<f64> = others.iter().map(|&row| errors[row].abs()).collect();
        let scale = boosted::expected_error(&unseen.trips.select(&others), &far, params, work)?;
        let said = scale.predict(&FeatureRows::of(&unseen.trips.select(&rows)).values);
        rows.iter().zip(said).for_each(|(&row, said)| scales[row] = said.max(scale_min));
    }
    let far: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    Ok((boosted::expected_error(&unseen.trips, &far, params, work)?, scales))
}

/// The same of every row.
fn flat(minutes: f64) -> Scorer {
    Scorer::new(Ensemble::constant(features::NAMES.len(), minutes))
}

#[cfg(test)]
mod tests;
