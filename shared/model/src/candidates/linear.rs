//! The course's linear model of duration, solved exactly: an intercept for each pair of zones and one slope for
//! distance.
//!
//! The course one-hot encodes `pickup_dropoff`, adds `trip_distance` and fits by an iterative solver. Least
//! squares on such columns has a closed form (Frisch and Waugh 1933): the slope is the within-pair covariance of
//! distance and duration over the within-pair variance of distance; each pair's intercept follows from its means.
//! With an L2 penalty on pairs and slope it stays closed, and its limit for a vanishing penalty is the intercept of an
//! unseen pair: the unweighted mean of the intercepts. Two passes, whatever the number of rows.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::FitParams;
use super::distance::{DistanceFallback, pair};
use crate::outcome::Examples;
use crate::rules::Rules;
use crate::trip::{Trip, possible_miles};

/// Duration = intercept of the pair + slope x miles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// Whether a stated distance is used as stated, as in the course, or only if it can be planned.
    distance_as_stated: bool,
    slope_min_per_mile: f64,
    unseen_intercept_min: f64,
    /// Pairs seen, ascending, as `distance::pair` numbers them.
    pairs: Vec<u32>,
    intercepts_min: Vec<f64>,
    fallback: DistanceFallback,
}

/// Running moments of one pair (Welford 1962: distances of 200,000 miles do not blur those of 1).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    rows: f64,
    mean_miles: f64,
    mean_minutes: f64,
    miles_squares: f64,
    products: f64,
}

impl Moments {
    fn add(&mut self, miles: f64, minutes: f64) {
        self.rows += 1.0;
        let stray = miles - self.mean_miles;
        self.mean_miles += stray / self.rows;
        self.mean_minutes += (minutes - self.mean_minutes) / self.rows;
        self.miles_squares += stray * (miles - self.mean_miles);
        self.products += stray * (minutes - self.mean_minutes);
    }
}

impl LinearModel {
    /// Returns whether all its numbers are finite and its pairs have an intercept each.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = [self.slope_min_per_mile, self.unseen_intercept_min];
        self.pairs.len() == self.intercepts_min.len()
            && self.pairs.is_sorted()
            && numbers.iter().chain(&self.intercepts_min).all(|number| number.is_finite())
            && self.fallback.is_sound()
    }

    /// Fits `examples` by least squares with the L2 penalty `params.ridge` on slope and pair effects (the common
    /// intercept is free, as in scikit-learn's Ridge).
    pub fn fit(examples: &Examples, params: &FitParams) -> Self {
        let distance_as_stated = params.rules == Rules::Course;
        let believed = |trip: &Trip| believed_miles(distance_as_stated, trip);
        let fallback = DistanceFallback::fit(examples.trips.iter().map(|trip| (*trip, believed(trip))));
        let mut moments: HashMap<u32, Moments> = HashMap::new();
        for (trip, minutes) in examples.trips.iter().zip(&examples.labels) {
            let miles = believed(trip).unwrap_or_else(|| fallback.miles(trip));
            moments.entry(pair(trip)).or_default().add(miles, *minutes);
        }
        let mut moments: Vec<(u32, Moments)> = moments.into_iter().collect();
        moments.sort_unstable_by_key(|(pair, _)| *pair);
        let (slope, common) = solve(moments.iter().map(|(_, pair)| pair), params.ridge);
        let intercept = |pair: &Moments| {
            let apart = pair.mean_minutes - common - slope * pair.mean_miles;
            common + apart * pair.rows / (pair.rows + params.ridge)
        };
        Self {
            distance_as_stated,
            slope_min_per_mile: slope,
            unseen_intercept_min: common,
            intercepts_min: moments.iter().map(|(_, pair)| intercept(pair)).collect(),
            pairs: moments.into_iter().map(|(pair, _)| pair).collect(),
            fallback,
        }
    }

    /// Returns the slope, minutes per mile.
    pub fn slope_min_per_mile(&self) -> f64 {
        self.slope_min_per_mile
    }

    /// Returns the intercept of an unseen pair, minutes.
    pub fn unseen_intercept_min(&self) -> f64 {
        self.unseen_intercept_min
    }

    /// Returns the number of pairs seen.
    pub fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Predicts the expected minutes of every trip.
    pub fn minutes(&self, trips: &[Trip]) -> Vec<f64> {
        trips.iter().map(|trip| self.minutes_of(trip)).collect()
    }

    fn minutes_of(&self, trip: &Trip) -> f64 {
        let seen = self.pairs.binary_search(&pair(trip));
        let intercept = seen.map_or(self.unseen_intercept_min, |at| self.intercepts_min[at]);
        let miles =
            believed_miles(self.distance_as_stated, trip).unwrap_or_else(|| self.fallback.miles(trip));
        intercept + self.slope_min_per_mile * miles
    }
}

fn believed_miles(as_stated: bool, trip: &Trip) -> Option<f64> {
    if as_stated {
        trip.distance_miles.filter(|miles| miles.is_finite())
    } else {
        possible_miles(trip.distance_miles)
    }
}

/// Solves for slope and common intercept. With `u = n / (n + ridge)` of a pair and `r` its mean residual before its own
/// effect, the normal equations are `sum(u r) = 0` for the common intercept and
/// `Sxy - slope Sxx + ridge sum(u d r) = ridge slope` for the slope.
fn solve<'a>(pairs: impl Iterator<Item = &'a Moments>, ridge: f64) -> (f64, f64) {
    let (mut sxx, mut sxy) = (0.0, 0.0);
    let (mut u1, mut ud, mut uy, mut udd, mut udy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for pair in pairs {
        let (u, d, y) = (pair.rows / (pair.rows + ridge), pair.mean_miles, pair.mean_minutes);
        sxx += pair.miles_squares;
        sxy += pair.products;
        u1 += u;
        ud += u * d;
        uy += u * y;
        udd += u * d * d;
        udy += u * d * y;
    }
    let covariance = sxy + ridge * (udy - ud * uy / u1);
    let variance = sxx + ridge * (udd - ud * ud / u1) + ridge;
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    (slope, (uy - slope * ud) / u1)
}

#[cfg(test)]
mod tests;
