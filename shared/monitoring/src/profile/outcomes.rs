//! Counts of what is known only after a trip.

use model::Month;
use model::outcome::{Outcome, duration_min};
use model::rules::{CARD, Rules};
use model::trip::{Trip, possible_miles};
use serde::{Deserialize, Serialize};

use super::{Counts, Grid, Histogram, SECONDS};

/// Dollars of a tip in cents, up to 20.
const CENTS: Grid = Grid { cells_a_unit: 100.0, first: 0, last: 2000, is_exact: true };
/// Fixed-point scale of the sums of logarithms.
const FIXED_POINT: f64 = (1u64 << 20) as f64;

/// Counts of what is known only after a trip.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Rows that came with an outcome, even an incomplete one.
    pub rows: u64,
    /// Rows without a pickup or a drop-off time.
    pub no_time: u64,
    /// Rows whose drop-off is before the pickup.
    pub negative: u64,
    /// Rows with a duration that is not judged, see [`Rules::judges`].
    pub not_judged: u64,
    /// Rows with a pickup outside the month of their file.
    pub outside_month: u64,
    /// Rows that are a reversal or the charge that it reverses; see `model::rules::reversals`.
    pub reversed: u64,
    /// Durations that are judged, [`SECONDS`].
    pub seconds: Histogram,
    /// Sums over rows with a judged duration and a possible distance.
    pub logarithms: Logarithms,
    /// Rows by `payment_type`.
    pub payments: Counts,
    /// Card trips with a recorded tip by pickup zone, `Zone::index`.
    pub card_trips: Counts,
    /// Those that were tipped, by pickup zone.
    pub tipped: Counts,
    /// Rows with a known payment type that is not card, and a recorded tip.
    pub paid_otherwise: u64,
    /// Those with a tip above 0.
    pub tipped_otherwise: u64,
    /// Tips of rows without a payment type, in cents.
    pub tips_without_payment: Histogram,
}

/// Sums of x, the logarithm of miles, and y, the logarithm of minutes, in units of 2^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logarithms {
    n: u64,
    x: i64,
    y: i64,
    xx: i64,
    yy: i64,
    xy: i64,
}

impl Outcomes {
    pub(super) fn add(&mut self, trip: &Trip, outcome: &Outcome, month: Option<Month>) {
        self.rows += 1;
        let minutes = duration_min(trip.pickup, outcome.dropoff);
        self.no_time += u64::from(minutes.is_none());
        let is_outside = |month: Month| trip.pickup.is_some_and(|pickup| !month.contains(pickup));
        self.outside_month += u64::from(month.is_some_and(is_outside));
        if let Some(minutes) = minutes {
            self.negative += u64::from(minutes < 0.0);
            if Rules::judges(minutes) {
                self.seconds.add(minutes * 60.0, SECONDS);
                let miles = possible_miles(trip.distance_miles);
                miles.into_iter().for_each(|miles| self.logarithms.add(miles, minutes));
            } else {
                self.not_judged += 1;
            }
        }
        outcome.payment_type.into_iter().for_each(|payment| self.payments.add(payment.into(), 1));
        let Some(tip) = outcome.tip_amount else { return };
        let is_tipped = tip > 0.0;
        match (outcome.payment_type, trip.pickup_zone) {
            (Some(CARD), Some(zone)) => {
                self.card_trips.add(zone.index() as i32, 1);
                self.tipped.add(zone.index() as i32, is_tipped.into());
            }
            (Some(CARD), None) => (),
            (Some(_), _) => {
                self.paid_otherwise += 1;
                self.tipped_otherwise += u64::from(is_tipped);
            }
            (None, _) => self.tips_without_payment.add(tip, CENTS),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.no_time += other.no_time;
        self.negative += other.negative;
        self.not_judged += other.not_judged;
        self.outside_month += other.outside_month;
        self.reversed += other.reversed;
        self.paid_otherwise += other.paid_otherwise;
        self.tipped_otherwise += other.tipped_otherwise;
        self.seconds.merge(&other.seconds);
        self.logarithms.merge(&other.logarithms);
        self.payments.merge(&other.payments);
        self.card_trips.merge(&other.card_trips);
        self.tipped.merge(&other.tipped);
        self.tips_without_payment.merge(&other.tips_without_payment);
    }
}

impl Logarithms {
    pub(super) fn add(&mut self, miles: f64, minutes: f64) {
        let (x, y) = (libm::log(miles), libm::log(minutes));
        let fixed = |value: f64| (value * FIXED_POINT).round() as i64;
        self.n += 1;
        for (sum, value) in [
            (&mut self.x, x),
            (&mut self.y, y),
            (&mut self.xx, x * x),
            (&mut self.yy, y * y),
            (&mut self.xy, x * y),
        ] {
            *sum += fixed(value);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.x += other.x;
        self.y += other.y;
        self.xx += other.xx;
        self.yy += other.yy;
        self.xy += other.xy;
    }

    /// Returns the Pearson correlation of x and y; 0 if either does not vary, none without rows.
    pub fn correlation(&self) -> Option<f64> {
        let n = self.n as f64;
        let mean = |sum: i64| sum as f64 / FIXED_POINT / n;
        let (x, y) = (mean(self.x), mean(self.y));
        let (both, one, other) = (mean(self.xy) - x * y, mean(self.xx) - x * x, mean(self.yy) - y * y);
        // A smaller variance is rounding of the fixed point.
        let varies = |variance: f64| variance > 2.0 / FIXED_POINT;
        (self.n > 0).then(|| if varies(one) && varies(other) { both / (one * other).sqrt() } else { 0.0 })
    }
}
