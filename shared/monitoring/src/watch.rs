//! Watches days of trips: data quality, drift of what comes in, and performance are three signals, each with a threshold of its own that
//! past days alone bear out.
//!
//! A day passes [`quality`] (exact rules), then becomes shares of [`cells`], whose [`deviation`] from past days of its class is compared
//! with the signatures of known [`faults`] and with ordinary days. [`performance`] compares errors of predictions, where the outcomes are
//! known. [`scores`] standardises and fits thresholds, [`calendar`] says which days are alike, and [`alarms`] joins days to episodes.

pub mod alarms;
pub mod calendar;
pub mod cells;
pub mod deviation;
mod drift;
pub mod expected;
pub mod faults;
pub mod performance;
pub mod quality;
pub mod scores;
pub mod slices;
mod verdict;

pub use verdict::{DayVerdict, Moved, Signal, Verdict};

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};

use crate::profile::{MINUTES, Profile};
use calendar::{Class, is_holiday, is_near_holiday};
use cells::Shares;
use drift::Drift;
use expected::Expected;
use performance::{Errors, SERIES};
use scores::{Kind, Threshold};

/// Past days of the same class that a day is compared with, at most and at least.
const REFERENCE_DAYS: usize = 16;
const REFERENCE_DAYS_MIN: usize = 6;
/// They lie within this many days.
pub const REFERENCE_SPAN_DAYS: i64 = 70;
/// Past days whose errors say what errors to expect.
const ERROR_DAYS: usize = 120;

/// What can ring for data or for performance, each with a threshold of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detector {
    /// Drift like a known fault, on one day or two.
    Fault,
    /// Drift of a whole column.
    Column,
    /// Drift of one value.
    Value,
    /// Drift like a known fault that few rows have, over days.
    Lasting,
    /// Errors of predictions.
    Errors,
}

impl Detector {
    const COUNT: usize = 5;

    /// Returns of how many ordinary days one is expected to ring, and the kind of the scores.
    fn expectation(self) -> (f64, Kind) {
        match self {
            Self::Fault => (100.0, scores::OF_FAULTS),
            Self::Column => (365.0, scores::OF_COLUMNS),
            Self::Value => (365.0, scores::OF_VALUES),
            Self::Lasting => (365.0, scores::OF_SUMS),
            Self::Errors => (36.0, scores::OF_COLUMNS),
        }
    }
}

/// The days so far. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    past: Vec<Past>,
}

/// A past day. What only the next weeks need is dropped after them.
#[derive(Debug, Clone)]
struct Past {
    day: NaiveDate,
    class: Class,
    counted: Option<Arc<Counted>>,
    /// Whether its rows rang.
    rang: bool,
    clipped: Option<Arc<Vec<f64>>>,
    drift: Option<Arc<Drift>>,
    errors: Option<Errors>,
    /// Mean width of the intervals, minutes.
    width_min: Option<f64>,
    error_scores: Option<[f64; SERIES.len()]>,
    /// The greatest score of each [`Detector`].
    worst: [Option<f64>; Detector::COUNT],
}

#[derive(Debug)]
struct Counted {
    profile: Profile,
    shares: Shares,
}

impl Watch {
    /// Judges the next day and adds it to the past. Days come in their order.
    pub fn next(&mut self, day: NaiveDate, profile: &Profile) -> DayVerdict {
        let (verdict, past) = self.judged(day, profile);
        self.past.push(past);
        for (age, past) in self.past.iter_mut().rev().enumerate() {
            if day - past.day > TimeDelta::days(REFERENCE_SPAN_DAYS + drift::LAG_DAYS) {
                past.counted = None;
            }
            if age > drift::COVARIANCE_DAYS {
                past.clipped = None;
            }
            if age > drift::DAYS_KEPT {
                past.drift = None;
            }
        }
        verdict
    }

    /// Judges a day without adding it to the past.
    pub fn judge(&self, day: NaiveDate, profile: &Profile) -> DayVerdict {
        self.judged(day, profile).0
    }

    fn judged(&self, day: NaiveDate, profile: &Profile) -> (DayVerdict, Past) {
        let class = Class::from_date(day);
        let mut past = Past {
            day,
            class,
            counted: Some(Arc::new(Counted {
                profile: profile.clone(),
                shares: Shares::from_profile(profile),
            })),
            rang: false,
            clipped: None,
            drift: None,
            errors: None,
            width_min: expected::mean(&profile.predictions.widths, MINUTES),
            error_scores: None,
            worst: [None; Detector::COUNT],
        };
        let quality = self.quality(&past);
        let data = match profile.accepted() {
            n if n < quality::ROWS_MIN => {
                Verdict::without_verdict(format!("there are {n} rows, {} are needed", quality::ROWS_MIN))
            }
            _ => self.data(&mut past).unwrap_or_else(Verdict::without_verdict),
        };
        past.rang = [&quality, &data].iter().any(|judged| judged.rings == Some(true));
        let performance = match Errors::new(profile) {
            Err(why) => Verdict::without_verdict(why),
            Ok(errors) => {
                past.errors = Some(errors);
                self.performance(&mut past, &errors).unwrap_or_else(Verdict::without_verdict)
            }
        };
        let (near_holiday, rows, errors) = (is_near_holiday(day), profile.rows, past.errors);
        let labelled = self.past.iter().rev().filter(|past| past.errors.is_some());
        let expected = Expected::new(&profile.predictions, labelled.take(ERROR_DAYS));
        (DayVerdict { day, rows, near_holiday, quality, data, performance, errors, expected }, past)
    }

    /// Returns past days of the same class, the latest first.
    fn alike(&self, of: &Past, span_days: i64) -> impl Iterator<Item = &Past> {
        let (day, class) = (of.day, of.class);
        self.past
            .iter()
            .rev()
            .take_while(move |past| day - past.day <= TimeDelta::days(span_days))
            .filter(move |past| past.class == class && !is_holiday(past.day))
    }

    fn yesterday(&self, day: NaiveDate) -> Option<&Past> {
        self.past.last().filter(|past| Some(past.day) == day.pred_opt())
    }

    /// Fits the threshold of the greatest scores to past days that are not near a holiday.
    fn threshold(&self, detector: Detector) -> Threshold {
        let past: Vec<f64> = self
            .past
            .iter()
            .filter(|past| !is_near_holiday(past.day))
            .filter_map(|past| past.worst[detector as usize])
            .collect();
        let (one_in_days, kind) = detector.expectation();
        Threshold::fit(&past, one_in_days, kind)
    }
}

#[cfg(test)]
mod tests;
