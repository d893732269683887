//! How far a duration may be from its answer: an interval that holds 90 % of durations.
//!
//! Split conformal prediction with locally scaled errors (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018,
//! "Distribution-Free Predictive Inference for Regression", section 5.2): on trips that the estimate did not see, trees
//! learn how far off it is; an interval reaches as many times that as nearly all of the errors on each side do ([`TAIL`]). Trips of
//! different boroughs, of the airports and of different distances, and those that state none, have multiples of their own where there are trips enough to
//! tell (Mondrian conformal prediction: Vovk, Gammerman and Shafer 2005): long trips and those of the Bronx stray farther out.

use serde::{Deserialize, Serialize};
use trees::{Ensemble, Scorer};

use super::boosted::{self, day_number};
use super::{FitError, FitParams, Work};
use crate::features::{self, FeatureRows};
use crate::trip::{DISTANCE_BAND_ENDS, Trip, Zone, distance_band, select};
use crate::zones::{self, Borough};

/// The share of what calibrates that lies beyond each end. What is served comes later, and on average 0.9 points more of it
/// lie outside (2023 month by month, docs/DESIGN.md), so that intervals which are to hold 90 % are made to hold 91 %.
const TAIL: f64 = 0.045;
/// Fewer trips than this say too little of how errors differ: the interval is as wide for all of them.
const ROWS_MIN: usize = 500;
/// A group of trips has a multiplier of its own from so many on.
const GROUP_ROWS_MIN: usize = 300;
/// Boroughs, the unknown one included.
const BOROUGHS: usize = 8;
const BANDS: usize = DISTANCE_BAND_ENDS.len() + 2;
pub(crate) const NOT_STATED: usize = BANDS - 1;

/// No error is expected to be less than this share of the mean one.
const SCALE_MIN_SHARE: f64 = 0.2;

/// Trips that an estimate did not see.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unseen {
    /// The trips.
    pub trips: Vec<Trip>,
    /// What the estimate said of each, minutes.
    pub predicted: Vec<f64>,
    /// What was, minutes.
    pub actual: Vec<f64>,
}

/// What is said of how far off an answer may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How far off an answer is expected to be, minutes.
    scale: Box<Scorer>,
    /// At least so far, minutes.
    scale_min: f64,
    /// By [`group_of`].
    multipliers: Box<[[ConformalMultiplier; BANDS]; BOROUGHS]>,
}

/// How many times the expected error an interval reaches, below and above the answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct ConformalMultiplier {
    below: f64,
    above: f64,
}

impl Interval {
    /// As wide for every trip: `half_width_min` minutes to both sides.
    pub fn constant(half_width_min: f64) -> Self {
        let multiplier = ConformalMultiplier { below: 1.0, above: 1.0 };
        Self {
            scale: flat(half_width_min).into(),
            scale_min: 0.0,
            multipliers: [[multiplier; BANDS]; BOROUGHS].into(),
        }
    }

    /// From trips that the estimate did not see; with fewer than 500 of them, as wide for every trip.
    ///
    /// # Errors
    /// [`FitError::Boosting`].
    pub(super) fn fit(unseen: &Unseen, params: &FitParams, work: &mut Work<'_>) -> Result<Self, FitError> {
        let errors: Vec<f64> = unseen
            .predicted
            .iter()
            .zip(&unseen.actual)
            .map(|(predicted, actual)| actual - predicted)
            .collect();
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len().max(1) as f64;
        let scale_min = mean * SCALE_MIN_SHARE;
        let (scale, scales) = if errors.len() < ROWS_MIN {
            (flat(mean), vec![mean; errors.len()])
        } else {
            scales(unseen, &errors, scale_min, params, work)?
        };
        Ok(Self { scale: scale.into(), scale_min, multipliers: multipliers(unseen, &errors, &scales).into() })
    }

    /// How far off an answer is expected to be, minutes: trees over the features of [`features::NAMES`].
    pub(crate) fn scale(&self) -> &Ensemble {
        self.scale.ensemble()
    }

    /// At least so far, minutes.
    pub(crate) fn scale_min(&self) -> f64 {
        self.scale_min
    }

    /// How many times the scale an interval reaches, below and above: at [`row_of`] and the band.
    pub(crate) fn multipliers(&self) -> [Vec<f64>; 2] {
        let all = || self.multipliers.iter().flatten();
        [
            all().map(|multiplier| multiplier.below).collect(),
            all().map(|multiplier| multiplier.above).collect(),
        ]
    }

    /// The ends of the intervals around `minutes`, at least 0, for feature rows of the same trips.
    pub(super) fn around(&self, rows: &FeatureRows, minutes: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let scales = self.scale.predict(&rows.values);
        let mut ends = (Vec::with_capacity(minutes.len()), Vec::with_capacity(minutes.len()));
        for ((row, minutes), scale) in rows.rows().zip(minutes).zip(scales) {
            let (borough, band) = group_of(row);
            let multiplier = self.multipliers[borough][band];
            let scale = scale.max(self.scale_min);
            ends.0.push((minutes - multiplier.below * scale).max(0.0));
            ends.1.push(minutes + multiplier.above * scale);
        }
        ends
    }
}

/// The group of the trip and the band of its distance.
fn group_of(row: &[f32]) -> (usize, usize) {
    let miles = row[features::DISTANCE];
    let band = match miles.is_nan() {
        true => NOT_STATED,
        false => distance_band(miles.into()),
    };
    // A missing zone is NaN, which is zone 0, and that is none.
    let zone = |at: usize| Zone::new(row[at] as u16);
    (row_of(zone(features::PICKUP_ZONE), zone(features::DROPOFF_ZONE)) / BANDS, band)
}

/// Where the multipliers of a trip's group begin: its pickup's borough, or the airports, which Newark's place stands for.
pub(crate) fn row_of(pickup: Option<Zone>, dropoff: Option<Zone>) -> usize {
    let airport = zones::is_airport(pickup) || zones::is_airport(dropoff);
    let group = if airport { Borough::Ewr } else { zones::borough(pickup) };
    group as usize * BANDS
}

/// A multiplier for every group: its own, else that of its borough (of trips with a distance), else that of its band, else that of all.
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
        // An estimate without error needs no multiplier.
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
        let scale = boosted::expected_error(&select(&unseen.trips, &others), &far, params, work)?;
        let predicted = scale.predict(&FeatureRows::from_trips(&select(&unseen.trips, &rows)).values);
        rows.iter().zip(predicted).for_each(|(&row, predicted)| scales[row] = predicted.max(scale_min));
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
