//! Computes the figures of a month that its gates check from the counts of its profile.

use serde::{Deserialize, Serialize};

use super::{Measured, TIPS_FOLLOW_MIN};
use crate::profile::{Counts, DETOUR, Grid, Histogram, MILES, Profile, SECONDS};
use model::Month;
use model::outcome::LabelledTrips;
use model::rules::CARD;
use model::trip::Zone;

/// Figures of a month: shares are of all its rows unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonthFigures {
    /// The month.
    pub month: Option<Month>,
    /// Rows of the file, rejected ones included.
    pub rows: u64,
    /// Rejected rows.
    pub rejected_share: f64,
    /// Rows without a pickup or drop-off time.
    pub no_time_share: f64,
    /// Rows with an unknown zone, or one outside of the city, at either end.
    pub unknown_zone_share: f64,
    /// Rows with no distance, or an impossible one.
    pub impossible_distance_share: f64,
    /// Rows without a number of passengers.
    pub no_passengers_share: f64,
    /// Rows without a payment type.
    pub no_payment_share: f64,
    /// Pickups outside the month.
    pub outside_month_share: f64,
    /// Rows whose drop-off is before the pickup.
    pub negative_duration_share: f64,
    /// Reversals and the charges that they take back.
    pub reversal_share: f64,
    /// Durations shorter than a minute or longer than an hour.
    pub not_judged_share: f64,
    /// The most frequent duration, to the second, as a share of those from a minute to an hour.
    pub same_duration_share: Option<f64>,
    /// Correlation of the logarithms of distance and duration, where both are possible.
    pub duration_follows_distance: Option<f64>,
    /// Median of miles over straight miles, between zones at least a mile apart.
    pub detour_ratio: Option<Median>,
    /// Median of the possible distances.
    pub median_miles: Option<Median>,
    /// Median of the durations from a minute to an hour.
    pub median_minutes: Option<Median>,
    /// Card trips.
    pub card_share: f64,
    /// Tipped card trips, as a share of card trips.
    pub tip_base_rate: Option<f64>,
    /// Trips with a tip, as a share of those paid in a known way but not by card.
    pub tips_not_by_card_share: Option<f64>,
    /// The most frequent tip above 0, as a share of trips without a payment type: 2.75 in 2021-01.
    pub same_tip_without_payment_share: Option<f64>,
    /// The counts from which the figures are computed; not serialized.
    #[serde(skip)]
    pub profile: Profile,
}

/// A median with its standard error; only the median is serialized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Median {
    /// The median.
    pub value: f64,
    /// Its standard error, 0 if it was deserialized: half the difference between the order statistics half a square
    /// root of n to either side, which holds for every distribution (the rank of the median is binomial).
    pub error: f64,
}

impl From<Median> for f64 {
    fn from(median: Median) -> f64 {
        median.value
    }
}

impl From<f64> for Median {
    fn from(value: f64) -> Self {
        Self { value, error: 0.0 }
    }
}

/// Minimum number of card trips of a zone in a comparison of tips.
pub(super) const CARD_TRIPS_MIN: f64 = 50.0;
/// Minimum number of zones in a comparison of tips.
pub(super) const ZONES_MIN: usize = 20;

impl MonthFigures {
    /// Computes the figures of a file of trips. What durations and distances say of each other is that of the rows which are learned from:
    /// a defective segment has no month refused whose other rows are sound.
    pub fn from_trips(file: &LabelledTrips) -> Self {
        let figures = Self::new(file.month, Profile::from_trips(file));
        let Some(sound) = file.without_defects() else { return figures };
        let sound = Self::new(file.month, Profile::from_trips(&sound));
        Self {
            same_duration_share: sound.same_duration_share,
            duration_follows_distance: sound.duration_follows_distance,
            detour_ratio: sound.detour_ratio,
            median_minutes: sound.median_minutes,
            ..figures
        }
    }

    /// Computes the figures of `month` from its counts.
    pub fn new(month: Option<Month>, profile: Profile) -> Self {
        let outcomes = &profile.outcomes;
        let share = |rows: u64| profile.share(rows);
        let part = |rows: u64, of: u64| (of > 0).then(|| rows as f64 / of as f64);
        let without_payment = &outcomes.tips_without_payment;
        let same_tip = without_payment.cells.iter().filter(|(cents, _)| *cents > 0).map(|(_, rows)| rows);
        let same_tip = same_tip.chain((without_payment.above > 0).then_some(without_payment.above)).max();
        let known = outcomes.payments.total();
        Self {
            month,
            rows: profile.rows,
            rejected_share: share(profile.rejected.total()),
            no_time_share: share(outcomes.no_time),
            unknown_zone_share: share(profile.unplaced),
            impossible_distance_share: share(profile.accepted().saturating_sub(profile.miles.total())),
            no_passengers_share: share(profile.no_passengers),
            no_payment_share: share(outcomes.rows.saturating_sub(known)),
            outside_month_share: share(outcomes.outside_month),
            negative_duration_share: share(outcomes.negative),
            reversal_share: share(outcomes.reversed),
            not_judged_share: share(outcomes.not_judged),
            same_duration_share: part(outcomes.seconds.cells.most(), outcomes.seconds.total()),
            duration_follows_distance: outcomes.logarithms.correlation(),
            detour_ratio: median(&profile.detours, DETOUR, libm::exp),
            median_miles: median(&profile.miles, MILES, |miles| miles),
            median_minutes: median(&outcomes.seconds, SECONDS, |seconds| seconds / 60.0),
            card_share: share(outcomes.payments.get(CARD.into())),
            tip_base_rate: part(outcomes.tipped.total(), outcomes.card_trips.total()),
            tips_not_by_card_share: part(outcomes.tipped_otherwise, outcomes.paid_otherwise),
            same_tip_without_payment_share: same_tip.and_then(|rows| part(rows, without_payment.total())),
            profile,
        }
    }

    /// Returns the shares of the accepted rows in the cells `0..n_cells` of some counts.
    pub(super) fn shares(&self, counts: fn(&Profile) -> &Counts, n_cells: usize) -> Vec<f64> {
        let rows = (self.profile.accepted() as f64).max(1.0);
        counts(&self.profile).table(n_cells).into_iter().map(|count| count as f64 / rows).collect()
    }

    /// Returns the number of card trips with a tip amount and a known pickup zone.
    pub(super) fn card_trips(&self) -> f64 {
        self.profile.outcomes.card_trips.total() as f64
    }

    /// Returns the card trips from a zone, and the tipped ones among them.
    fn tips_of(&self, zone: i32) -> (f64, f64) {
        let outcomes = &self.profile.outcomes;
        (outcomes.card_trips.get(zone) as f64, outcomes.tipped.get(zone) as f64)
    }

    /// Correlates the zones' shares of tipped trips with those of the accepted months, weighted by card trips; none if
    /// fewer than [`ZONES_MIN`] zones can be compared.
    pub(super) fn tips_follow_zones(&self, accepted: &[&Self]) -> Measured {
        let mut zones = Vec::new();
        for zone in 0..Zone::COUNT as i32 {
            let (card, tipped) = self.tips_of(zone);
            let before = accepted.iter().fold((0.0, 0.0), |all, one| {
                let (card, tipped) = one.tips_of(zone);
                (all.0 + card, all.1 + tipped)
            });
            if card >= CARD_TRIPS_MIN && before.0 >= CARD_TRIPS_MIN {
                zones.push(ZoneTips {
                    before: before.1 / before.0,
                    before_trips: before.0,
                    here: tipped / card,
                    trips: card,
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

/// Shares of tipped trips of a zone, here and in the accepted months, each with its number of card trips.
struct ZoneTips {
    before: f64,
    before_trips: f64,
    here: f64,
    trips: f64,
}

/// Lower bound of the variance between zones' shares of tipped trips in the clean months of 2020 to 2025, without
/// sampling noise (they have 0.0030 to 0.057).
const TIPS_BETWEEN_ZONES: f64 = 0.003;

/// Returns the factor by which sampling noise weakens the correlation: the root of the product of the reliabilities of
/// both shares (Spearman's formula). The true variance between zones is taken from clean months rather than measured,
/// since in months with mixed-up tips zones differ by chance alone.
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

/// Returns the median of a histogram, with its values converted by `unit`.
fn median(values: &Histogram, grid: Grid, unit: impl Fn(f64) -> f64) -> Option<Median> {
    let (n, middle) = (values.total(), values.total() / 2);
    let at = |rank: u64| values.at_rank(rank, grid).map(&unit);
    let step = ((n as f64).sqrt() / 2.0).ceil() as u64;
    let (value, last) = (at(middle)?, n.saturating_sub(1));
    let error = (at((middle + step).min(last))? - at(middle.saturating_sub(step))?) / 2.0;
    Some(Median { value, error })
}

/// Returns the weighted correlation of points `(x, y, weight)`; 0 if x or y does not vary, none without points.
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
