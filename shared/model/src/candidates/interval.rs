//! Interval around a predicted duration, which holds 90 % of the actual durations.
//!
//! Split conformal prediction with locally scaled errors (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018,
//! "Distribution-Free Predictive Inference for Regression", section 5.2): trees learn the expected error of the
//! estimate on trips that it did not see; an interval extends conformal multipliers of that error to each side, past
//! all but a share [`TAIL`] of the errors. Boroughs, airports, distance bands and trips without a distance have
//! multipliers of their own where there are trips enough (Mondrian conformal prediction: Vovk, Gammerman and Shafer
//! 2005): long trips and those of the Bronx need larger ones.

use serde::{Deserialize, Serialize};
use trees::Ensemble;

use super::boosted::{self, day_number};
use super::feature_trees::{FeatureTrees, KnownCodes};
use super::soundness::DAY_MIN;
use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::trip::{DISTANCE_BAND_ENDS, Trip, Zone, distance_band, select};
use crate::zones::{self, Borough};

/// Share of the calibration errors beyond each end. Served trips are later, and on average 0.9 points more of them lie
/// outside (2023 month by month, docs/DESIGN.md); so intervals that are to hold 90 % are fitted to hold 91 %.
const TAIL: f64 = 0.045;
/// With fewer trips, little is known of how errors differ: one expected error is used for all of them.
const ROWS_MIN: usize = 500;
/// A group of at least this many trips has a multiplier of its own.
const GROUP_ROWS_MIN: usize = 300;
/// Boroughs, the unknown one included.
const BOROUGHS: usize = 8;
const BANDS: usize = DISTANCE_BAND_ENDS.len() + 2;
pub(crate) const NOT_STATED: usize = BANDS - 1;

/// Half the width of an interval of which nothing is known, minutes: the longest duration that is judged.
pub(crate) const UNKNOWN_HALF_WIDTH_MIN: f64 = 60.0;

/// Times are stated in seconds, so an expected error is at least one, in minutes.
const RESOLUTION_MIN: f64 = 1.0 / 60.0;

/// The least multiplier above a prediction, which gives an interval a width where the prediction is 0.
const ABOVE_MIN: f64 = 0.01;

/// The expected error is at least this share of the mean one.
const SCALE_MIN_SHARE: f64 = 0.2;

/// Trips that an estimate did not see.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unseen {
    /// The trips.
    pub trips: Vec<Trip>,
    /// Predicted minutes.
    pub predicted: Vec<f64>,
    /// Actual minutes.
    pub actual: Vec<f64>,
}

/// The interval around a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Predicts the expected error, minutes.
    scale: FeatureTrees,
    /// Least expected error, minutes.
    scale_min: f64,
    /// Indexed by [`group_of`].
    multipliers: Box<[[ConformalMultiplier; BANDS]; BOROUGHS]>,
}

/// How many times the expected error an interval extends below and above the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct ConformalMultiplier {
    below: f64,
    above: f64,
}

impl Interval {
    /// Creates an interval of `half_width_min` minutes to both sides of every prediction.
    pub fn constant(half_width_min: f64) -> Self {
        let multiplier = ConformalMultiplier { below: 1.0, above: 1.0 };
        Self {
            scale: flat(half_width_min),
            scale_min: 0.0,
            multipliers: [[multiplier; BANDS]; BOROUGHS].into(),
        }
    }

    /// Fits the interval to trips that the estimate did not see; fewer than 500 have one expected error. Without any, nothing is known
    /// of the errors, and the interval is as wide as [`UNKNOWN_HALF_WIDTH_MIN`] says.
    ///
    /// # Errors
    /// [`FitError::Boosting`].
    pub(super) fn fit(unseen: &Unseen, params: &FitParams, work: &mut Work<'_>) -> Result<Self, FitError> {
        if unseen.actual.is_empty() {
            return Ok(Self::constant(UNKNOWN_HALF_WIDTH_MIN));
        }
        let errors: Vec<f64> = unseen
            .predicted
            .iter()
            .zip(&unseen.actual)
            .map(|(predicted, actual)| actual - predicted)
            .collect();
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len().max(1) as f64;
        let scale_min = (mean * SCALE_MIN_SHARE).max(RESOLUTION_MIN);
        let halves = halves(unseen).filter(|_| errors.len() >= ROWS_MIN);
        let (scale, scales) = match halves {
            Some(is_first) => scales(unseen, &errors, &is_first, scale_min, params, work)?,
            None => (flat(mean), vec![mean.max(scale_min); errors.len()]),
        };
        Ok(Self { scale, scale_min, multipliers: multipliers(unseen, &errors, &scales).into() })
    }

    /// Returns whether all its expected errors are one number, as where nothing or little is known of them.
    pub fn is_constant(&self) -> bool {
        self.scale.ensemble().n_trees() == 0
    }

    /// Returns whether all its numbers are finite and not negative.
    pub(super) fn is_sound(&self) -> bool {
        let multipliers = self.multipliers.iter().flatten().flat_map(|of| [of.below, of.above]);
        multipliers.chain([self.scale_min]).all(|number| number.is_finite() && number >= 0.0)
            && self.scale.ensemble().n_features() == features::NAMES.len()
            && self.scale.known().is_sound()
    }

    /// Returns the trees of the expected error, minutes, over the features of [`features::NAMES`].
    pub(crate) fn scale(&self) -> &FeatureTrees {
        &self.scale
    }

    /// Returns the least expected error, minutes.
    pub(crate) fn scale_min(&self) -> f64 {
        self.scale_min
    }

    /// Returns the conformal multipliers below and above the prediction, indexed by [`row_of`] plus band.
    pub(crate) fn multipliers(&self) -> [Vec<f64>; 2] {
        let all = || self.multipliers.iter().flatten();
        [
            all().map(|multiplier| multiplier.below).collect(),
            all().map(|multiplier| multiplier.above).collect(),
        ]
    }

    /// Returns the ends of the intervals around `minutes`, from 0 to those of a day; `rows` are the features of the same trips.
    pub(super) fn around(&self, rows: &FeatureRows, minutes: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let scales = self.scale.sums(&rows.values);
        let mut ends = (Vec::with_capacity(minutes.len()), Vec::with_capacity(minutes.len()));
        for ((row, minutes), scale) in rows.rows().zip(minutes).zip(scales) {
            let (borough, band) = group_of(row);
            let multiplier = self.multipliers[borough][band];
            let scale = scale.max(self.scale_min);
            ends.0.push((minutes - multiplier.below * scale).max(0.0));
            ends.1.push((minutes + multiplier.above * scale).min(DAY_MIN));
        }
        ends
    }
}

/// Returns the group of the trip and the band of its distance.
fn group_of(row: &[f32]) -> (usize, usize) {
    let miles = row[features::DISTANCE];
    let band = match miles.is_nan() {
        true => NOT_STATED,
        false => distance_band(miles.into()),
    };
    // A missing zone is NaN, which casts to 0, and no zone has that number.
    let zone = |at: usize| Zone::new(row[at] as u16);
    (row_of(zone(features::PICKUP_ZONE), zone(features::DROPOFF_ZONE)) / BANDS, band)
}

/// Returns where the multipliers of a group begin: at the pickup's borough, or at Newark's place for all airports.
pub(crate) fn row_of(pickup: Option<Zone>, dropoff: Option<Zone>) -> usize {
    let airport = zones::is_airport(pickup) || zones::is_airport(dropoff);
    let group = if airport { Borough::Ewr } else { zones::borough(pickup) };
    group as usize * BANDS
}

/// Fits a multiplier for every group: its own, else its borough's (of trips with a distance), else its band's, else
/// that of all trips.
fn multipliers(unseen: &Unseen, errors: &[f64], scales: &[f64]) -> [[ConformalMultiplier; BANDS]; BOROUGHS] {
    let groups: Vec<(usize, usize)> = FeatureRows::from_trips(&unseen.trips).rows().map(group_of).collect();
    let all = ConformalMultiplier::fit(0..errors.len(), errors, scales);
    let among = |is: &dyn Fn((usize, usize)) -> bool| {
        let rows: Vec<usize> = (0..groups.len()).filter(|&row| is(groups[row])).collect();
        (rows.len() >= GROUP_ROWS_MIN).then(|| ConformalMultiplier::fit(rows, errors, scales))
    };
    let by_band: Vec<Option<ConformalMultiplier>> =
        (0..BANDS).map(|band| among(&|group| group.1 == band)).collect();
    let of_borough = |borough: usize| {
        let whole = among(&|group| group.0 == borough && group.1 != NOT_STATED);
        std::array::from_fn(|band| {
            let own = among(&|group| group == (borough, band));
            own.or(whole.filter(|_| band != NOT_STATED)).or(by_band[band]).unwrap_or(all)
        })
    };
    std::array::from_fn(of_borough)
}

impl ConformalMultiplier {
    fn fit(rows: impl IntoIterator<Item = usize>, errors: &[f64], scales: &[f64]) -> Self {
        let mut above: Vec<f64> = rows.into_iter().map(|row| errors[row] / scales[row]).collect();
        let mut below: Vec<f64> = above.iter().map(|error| -error).collect();
        // Without the lower limit of 0, the prediction could lie outside its own interval.
        let (below, above) = (reached(&mut below).max(0.0), reached(&mut above).max(0.0));
        // No errors on trips that happened to be unseen do not mean that there will be none.
        match below + above > 0.0 {
            true => Self { below, above: above.max(ABOVE_MIN) },
            false => Self { below: 1.0, above: 1.0 },
        }
    }
}

/// Returns the ceil((n + 1) (1 - [`TAIL`]))-th smallest error, or the largest: nearly all further errors stay below.
fn reached(errors: &mut [f64]) -> f64 {
    errors.sort_unstable_by(f64::total_cmp);
    let rank = ((errors.len() + 1) as f64 * (1.0 - TAIL)).ceil() as usize;
    errors.get(rank.clamp(1, errors.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Returns whether each trip lies in the first half of the days; none if one half has no trips.
fn halves(unseen: &Unseen) -> Option<Vec<bool>> {
    let half = |row| day_number(&unseen.trips, row).div_euclid(boosted::DAYS_A_FOLD).rem_euclid(2);
    let is_first: Vec<bool> = (0..unseen.trips.len()).map(|row| half(row) == 0).collect();
    (is_first.contains(&true) && is_first.contains(&false)).then_some(is_first)
}

/// Returns trees of the expected error, and predictions for each half of the days by trees of the other half.
fn scales(
    unseen: &Unseen,
    errors: &[f64],
    is_first: &[bool],
    scale_min: f64,
    params: &FitParams,
    work: &mut Work<'_>,
) -> Result<(FeatureTrees, Vec<f64>), FitError> {
    let mut scales = vec![0.0; errors.len()];
    for side in [true, false] {
        let (rows, others): (Vec<usize>, Vec<usize>) =
            (0..errors.len()).partition(|&row| is_first[row] == side);
        let far: Vec<f64> = others.iter().map(|&row| errors[row].abs()).collect();
        let scale = boosted::expected_error(&select(&unseen.trips, &others), &far, params, work)?;
        let predicted = scale.sums(&FeatureRows::from_trips(&select(&unseen.trips, &rows)).values);
        rows.iter().zip(predicted).for_each(|(&row, predicted)| scales[row] = predicted.max(scale_min));
    }
    let far: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    Ok((boosted::expected_error(&unseen.trips, &far, params, work)?, scales))
}

/// Returns trees that predict `minutes` for every row.
fn flat(minutes: f64) -> FeatureTrees {
    FeatureTrees::new(Ensemble::constant(features::NAMES.len(), minutes), KnownCodes::fit(&[]))
}

#[cfg(test)]
mod tests;
