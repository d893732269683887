//! What is measured of a month.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::{Measured, TIPS_FOLLOW_MIN};
use model::Month;
use model::outcome::{LabelledTrips, Target};
use model::rules::{CARD, Rules, reversals};
use model::trip::{Zone, possible_miles};
use model::zones;

/// Figures of a month: shares are of all its rows if nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthProfile {
    /// Which month.
    pub month: Option<Month>,
    /// Rows of the file, those that say nothing included.
    pub rows: u64,
    /// Rows that say nothing.
    pub rejected_share: f64,
    /// No pickup or no drop-off time.
    pub no_time_share: f64,
    /// No zone, or none that lies in the city, at either end.
    pub unknown_zone_share: f64,
    /// No distance, or an impossible one.
    pub impossible_distance_share: f64,
    /// No number of passengers.
    pub no_passengers_share: f64,
    /// No way of payment.
    pub no_payment_share: f64,
    /// Pickups outside the month.
    pub outside_month_share: f64,
    /// Drop-offs before the pickup.
    pub negative_duration_share: f64,
    /// Reversals and the charges that they take back.
    pub reversal_share: f64,
    /// Shorter than a minute or longer than an hour.
    pub not_judged_share: f64,
    /// Of the durations from a minute to an hour, the share of the commonest one, to the second.
    pub same_duration_share: Option<f64>,
    /// Correlation of the logarithms of distance and duration, where both are possible.
    pub duration_follows_distance: Option<f64>,
    /// Median of miles over straight miles, between different zones a mile apart and more.
    pub detour_ratio: Option<Median>,
    /// Median of the possible distances.
    pub median_miles: Option<Median>,
    /// Median of the durations from a minute to an hour.
    pub median_minutes: Option<Median>,
    /// Card trips.
    pub card_share: f64,
    /// Share of card trips that were tipped.
    pub tip_base_rate: Option<f64>,
    /// Of trips paid in a known way but not by card, the share with a tip.
    pub tips_not_by_card_share: Option<f64>,
    /// Of trips without a way of payment, the share of the commonest tip that is not 0: 2.75 in 2021-01.
    pub same_tip_without_payment_share: Option<f64>,
    /// Shares of pickup zones.
    #[serde(skip)]
    pub(super) pickups: Vec<f64>,
    /// Shares of drop-off zones.
    #[serde(skip)]
    pub(super) dropoffs: Vec<f64>,
    /// Shares of vendors.
    #[serde(skip)]
    pub(super) vendors: Vec<f64>,
    /// By pickup zone: card trips and those tipped.
    #[serde(skip)]
    tips_by_zone: Vec<(f64, f64)>,
    /// Trips paid in a known way but not by card.
    #[serde(skip)]
    pub(super) paid_otherwise: u64,
}

/// A median with its standard error; written as the median alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// Its standard error: half of what lies between the order statistics half a square root of n to either side, which holds
    /// for every distribution (its rank is binomial).
    pub error: f64,
}

impl Serialize for Median {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value)
    }
}

/// A zone counts in a comparison of tips from this many card trips on.
pub(super) const CARD_TRIPS_MIN: f64 = 50.0;
/// Fewer zones say nothing about where people tip.
pub(super) const ZONES_MIN: usize = 20;

impl MonthProfile {
    /// Measures a month.
    pub fn of(file: &LabelledTrips) -> Self {
        let (trips, outcomes) = (&file.trips, &file.outcomes);
        let n_rows = trips.len() as u64 + file.rejections.total();
        let share = |count: usize| count as f64 / (n_rows as f64).max(1.0);
        let count = |is: &dyn Fn(usize) -> bool| share((0..trips.len()).filter(|&row| is(row)).count());
        let minutes = |row: usize| file.label(Target::Duration, row);
        let placed = |zone: Option<Zone>| zones::centroid(zone).is_some();
        let judged: Vec<f64> =
            (0..trips.len()).filter_map(minutes).filter(|min| Rules::judges(*min)).collect();
        let known = |row: usize| outcomes.payment_type[row].is_some();
        let mut profile = Self {
            month: file.month,
            rows: n_rows,
            rejected_share: share(file.rejections.total() as usize),
            no_time_share: count(&|row| minutes(row).is_none()),
            unknown_zone_share: count(&|row| {
                !placed(trips.pickup_zone[row]) || !placed(trips.dropoff_zone[row])
            }),
            impossible_distance_share: count(&|row| possible_miles(trips.distance_miles[row]).is_none()),
            no_passengers_share: count(&|row| trips.passengers[row].is_none()),
            no_payment_share: count(&|row| !known(row)),
            outside_month_share: count(&|row| match (file.month, trips.pickup[row]) {
                (Some(month), Some(pickup)) => !month.contains(pickup),
                _ => false,
            }),
            negative_duration_share: count(&|row| minutes(row).is_some_and(|minutes| minutes < 0.0)),
            reversal_share: share(reversals(file).into_iter().filter(|reversed| *reversed).count()),
            not_judged_share: count(&|row| minutes(row).is_some_and(|minutes| !Rules::judges(minutes))),
            same_duration_share: commonest(judged.iter().map(|minutes| (minutes * 60.0).round() as i64)),
            duration_follows_distance: follows(file),
            detour_ratio: median(detour_ratios(file)),
            median_miles: median(
                trips.distance_miles.iter().filter_map(|miles| possible_miles(*miles)).collect(),
            ),
            median_minutes: median(judged),
            card_share: count(&|row| outcomes.payment_type[row] == Some(CARD)),
            tip_base_rate: None,
            tips_not_by_card_share: None,
            same_tip_without_payment_share: None,
            pickups: shares(trips.pickup_zone.iter().map(|zone| zone.map(Zone::index)), Zone::COUNT),
            dropoffs: shares(trips.dropoff_zone.iter().map(|zone| zone.map(Zone::index)), Zone::COUNT),
            vendors: shares(trips.vendor.iter().map(|vendor| vendor.map(usize::from)), 256),
            tips_by_zone: vec![(0.0, 0.0); Zone::COUNT],
            paid_otherwise: 0,
        };
        profile.measure_tips(file);
        profile
    }

    fn measure_tips(&mut self, file: &LabelledTrips) {
        let (mut otherwise, mut otherwise_tipped, mut unknown) = (0u64, 0u64, Vec::new());
        for row in 0..file.trips.len() {
            let Some(tip) = file.outcomes.tip_amount[row] else { continue };
            let tipped = tip > 0.0;
            match (file.outcomes.payment_type[row], file.trips.pickup_zone[row]) {
                (Some(CARD), Some(zone)) => {
                    self.tips_by_zone[zone.index()].0 += 1.0;
                    self.tips_by_zone[zone.index()].1 += f64::from(u8::from(tipped));
                }
                (Some(CARD), None) => (),
                (Some(_), _) => {
                    otherwise += 1;
                    otherwise_tipped += u64::from(tipped);
                }
                (None, _) => unknown.push((tip * 100.0).round() as i64),
            }
        }
        let (card, tipped) =
            self.tips_by_zone.iter().fold((0.0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
        self.paid_otherwise = otherwise;
        self.tip_base_rate = (card > 0.0).then(|| tipped / card);
        self.tips_not_by_card_share = (otherwise > 0).then(|| otherwise_tipped as f64 / otherwise as f64);
        let all = unknown.len() as f64;
        unknown.retain(|cents| *cents > 0);
        let kept = unknown.len() as f64;
        self.same_tip_without_payment_share = commonest(unknown.into_iter()).map(|share| share * kept / all);
    }

    /// Card trips from a known zone.
    pub(super) fn card_trips(&self) -> f64 {
        self.tips_by_zone.iter().map(|(card, _)| card).sum()
    }

    /// Correlation of the zones' shares of tipped trips with those of the months before, weighted by card trips; none
    /// where fewer than [`ZONES_MIN`] zones can be compared.
    pub(super) fn tips_follow_zones(&self, accepted: &[Self]) -> Measured {
        let mut zones = Vec::new();
        for (at, (card, tipped)) in self.tips_by_zone.iter().enumerate() {
            let before = accepted.iter().fold((0.0, 0.0), |all, one| {
                let (card, tipped) = one.tips_by_zone[at];
                (all.0 + card, all.1 + tipped)
            });
            if *card >= CARD_TRIPS_MIN && before.0 >= CARD_TRIPS_MIN {
                zones.push(ZoneTips {
                    before: before.1 / before.0,
                    before_trips: before.0,
                    here: tipped / card,
                    trips: *card,
                });
            }
        }
        if zones.len() < ZONES_MIN {
            return Measured { figure: None, noise: 0.0 };
        }
        let points: Vec<_> = zones.iter().map(|zone| (zone.before, zone.here, zone.trips)).collect();
        Measured { figure: correlation(&points), noise: TIPS_FOLLOW_MIN * (1.0 - weakened(&zones)) }
    }
}

/// Tips of a zone: shares of tipped trips, and the card trips that they are of.
struct ZoneTips {
    before: f64,
    before_trips: f64,
    here: f64,
    trips: f64,
}

/// The least variance between zones' shares of tipped trips in the clean months of 2020 to 2025, sampling noise taken off (they
/// have 0.0030 to 0.057).
const TIPS_BETWEEN_ZONES: f64 = 0.003;

/// By what factor chance weakens the correlation of shares that are of so few card trips each: the root of the product of their
/// reliabilities (Spearman's formula). How much zones really differ is known from clean months, and is not measured here: in months whose
/// tips were mixed up they differ by chance alone.
fn weakened(zones: &[ZoneTips]) -> f64 {
    let weight: f64 = zones.iter().map(|zone| zone.trips).sum();
    let mean =
        |of: &dyn Fn(&ZoneTips) -> f64| zones.iter().map(|zone| of(zone) * zone.trips).sum::<f64>() / weight;
    let base = mean(&|zone| zone.before);
    let reliability = |trips: &dyn Fn(&ZoneTips) -> f64| {
        let noise = base * (1.0 - base) * mean(&|zone| 1.0 / trips(zone));
        TIPS_BETWEEN_ZONES / (TIPS_BETWEEN_ZONES + noise)
    };
    (reliability(&|zone| zone.before_trips) * reliability(&|zone| zone.trips)).sqrt()
}

fn shares(values: impl Iterator<Item = Option<usize>>, n: usize) -> Vec<f64> {
    let (mut shares, mut rows) = (vec![0.0; n], 0.0f64);
    for value in values {
        rows += 1.0;
        value.into_iter().for_each(|value| shares[value] += 1.0);
    }
    shares.iter_mut().for_each(|share| *share /= rows.max(1.0));
    shares
}

/// The share of the commonest value; none of no values.
fn commonest(values: impl Iterator<Item = i64>) -> Option<f64> {
    let (mut counts, mut rows) = (HashMap::<i64, u64>::new(), 0u64);
    for value in values {
        *counts.entry(value).or_default() += 1;
        rows += 1;
    }
    counts.values().max().map(|most| *most as f64 / rows as f64)
}

fn median(mut values: Vec<f64>) -> Option<Median> {
    values.sort_unstable_by(f64::total_cmp);
    let (n, middle) = (values.len(), values.len() / 2);
    let value = *values.get(middle)?;
    let step = ((n as f64).sqrt() / 2.0).ceil() as usize;
    let error = (values[(middle + step).min(n - 1)] - values[middle.saturating_sub(step)]) / 2.0;
    Some(Median { value, error })
}

fn detour_ratios(file: &LabelledTrips) -> Vec<f64> {
    let detour_ratio = |row: usize| {
        let trip = file.trips.trip(row);
        let straight =
            zones::straight_miles(trip.pickup_zone, trip.dropoff_zone).filter(|miles| *miles >= 1.0)?;
        Some(possible_miles(trip.distance_miles)? / f64::from(straight))
    };
    (0..file.trips.len()).filter_map(detour_ratio).collect()
}

/// See [`MonthProfile::duration_follows_distance`].
fn follows(file: &LabelledTrips) -> Option<f64> {
    let point = |row: usize| {
        let minutes = file.label(Target::Duration, row).filter(|minutes| Rules::judges(*minutes))?;
        Some((possible_miles(file.trips.distance_miles[row])?.ln(), minutes.ln(), 1.0))
    };
    correlation(&(0..file.trips.len()).filter_map(point).collect::<Vec<_>>())
}

/// Correlation of points `(x, y, weight)`; 0 where one of both does not vary, none of no points.
fn correlation(points: &[(f64, f64, f64)]) -> Option<f64> {
    let weight: f64 = points.iter().map(|point| point.2).sum();
    let mean = |of: fn(&(f64, f64, f64)) -> f64| {
        points.iter().map(|point| of(point) * point.2).sum::<f64>() / weight
    };
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| {
        points.iter().map(|point| point.2 * of(point.0 - x, point.1 - y)).sum::<f64>()
    };
    let (both, one, other) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    let spread = (one * other).sqrt();
    (weight > 0.0).then(|| if spread > 0.0 { both / spread } else { 0.0 })
}
