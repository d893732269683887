//! Standardises scores by those of past days, and fits the threshold that they bear out.

use serde::Serialize;

/// Scores of past days that a score is standardised by.
pub const PAST_SCORES: usize = 120;
/// Fewer past scores standardise nothing.
pub const PAST_SCORES_MIN: usize = 20;
/// Past days that a threshold is fitted to.
const PAST_DAYS: usize = 365;
/// Fewer bear out no tail; the threshold is then that of its [`Kind`].
const PAST_DAYS_MIN: usize = 120;

/// Bounds of the thresholds of a kind of score.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The threshold while there are too few past days for a fit; ordinary days pass it about once a year (`docs/DESIGN.md` has the
    /// figures).
    without_past: f64,
    /// No threshold is lower: quiet weeks do not make an ordinary day an alarm.
    min: f64,
}

/// Standard scores of known faults, of one day or two.
pub const OF_FAULTS: Kind = Kind { without_past: 4.5, min: 3.5 };
/// Standard scores of whole columns, of one day or two.
pub const OF_COLUMNS: Kind = Kind { without_past: 5.0, min: 3.5 };
/// Standard scores of single values, whose tail is heavy.
pub const OF_VALUES: Kind = Kind { without_past: 6.5, min: 4.0 };
/// Cumulative sums of standard scores.
pub const OF_SUMS: Kind = Kind { without_past: 12.0, min: 6.0 };

/// Beyond this a standard score counts no more in a cumulative sum.
const CLIP_OF_SUM: f64 = 3.0;
/// What a standard score must exceed to add to a cumulative sum: half of the shift that is looked for.
const ALLOWANCE: f64 = 0.4;

/// Returns the cumulative sum of standard scores after another day (Page, Continuous inspection schemes, 1954).
pub fn accumulated(before: f64, score: f64) -> f64 {
    (before + score.clamp(-CLIP_OF_SUM, CLIP_OF_SUM) - ALLOWANCE).max(0.0)
}

/// The least spread, in units of that which theory expects.
const SPREAD_MIN: f64 = 0.9;

/// The tail begins at this quantile.
const TAIL: f64 = 0.9;
/// Scores up to this quantile are known in full.
const FAR: f64 = 0.97;
/// Beyond this a standard score counts no more in the score of two days: one great score does not make the next day ring.
const CLIP_OF_TWO: f64 = 4.0;

/// Median and robust spread of past scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standard {
    /// Their median.
    pub median: f64,
    /// Their spread; a normal law's standard deviation.
    pub spread: f64,
}

impl Standard {
    /// Computes the standard of `past`; none if there are too few. The median absolute deviation of few scores is itself uncertain, so
    /// `prior`, the spread that theory expects, counts as much as [`PAST_SCORES_MIN`] of them.
    pub fn new(past: &[f64], prior: f64) -> Option<Self> {
        if past.len() < PAST_SCORES_MIN {
            return None;
        }
        let median = median_of(past.to_vec());
        let apart = 1.4826 * median_of(past.iter().map(|score| (score - median).abs()).collect());
        let (n, weight) = (past.len() as f64, PAST_SCORES_MIN as f64);
        let spread = ((n * apart * apart + weight * prior * prior) / (n + weight)).sqrt();
        // What never happened before is no standard: its first occurrence is not a hundred times the usual.
        Some(Self { median, spread: spread.max(SPREAD_MIN * prior) })
    }

    /// Returns a score in units of the spread.
    pub fn of(self, score: f64) -> f64 {
        (score - self.median) / self.spread
    }
}

/// Returns the middle of `values`, the mean of the two middle ones if their number is even; 0 without any.
pub fn median_of(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Returns the score of a day, or of it and the day before together if that is greater: their sum over the square root of two is as
/// improbable as one day's of the same size.
pub fn of_one_or_two(before: Option<f64>, now: f64) -> f64 {
    let two = |before: f64| (before.min(CLIP_OF_TWO) + now.min(CLIP_OF_TWO)) / std::f64::consts::SQRT_2;
    before.map_or(now, |before| now.max(two(before)))
}

/// A threshold, and what it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// A score above it rings.
    pub value: f64,
    /// Past days that it was fitted to; 0 if they were too few, and it is a fixed one.
    pub days: usize,
    /// Where the tail begins, the 90 % quantile; none without a fit.
    pub tail_from: Option<f64>,
    /// The mean of what lies beyond, above it; none without a fit.
    pub tail_mean: Option<f64>,
    /// Ordinary days of which one is expected to ring.
    pub one_in_days: f64,
    /// How many of those past days it would have rung on.
    pub rung_in_past: usize,
}

impl Threshold {
    /// Fits the threshold that one ordinary day in `one_in_days` passes: the tail of past scores above their 90 % quantile is taken as
    /// exponential (peaks over threshold, Davison and Smith 1990, with a shape of 0).
    pub fn fit(past: &[f64], one_in_days: f64, kind: Kind) -> Self {
        let past = &past[past.len().saturating_sub(PAST_DAYS)..];
        let fixed = Self {
            value: kind.without_past,
            days: 0,
            tail_from: None,
            tail_mean: None,
            one_in_days,
            rung_in_past: past.iter().filter(|score| **score > kind.without_past).count(),
        };
        if past.len() < PAST_DAYS_MIN {
            return fixed;
        }
        let mut sorted = past.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
        let from = quantile(TAIL);
        // A past fault must not lift the threshold for good, so that of what lies far out only that it does is known: a censored
        // exponential law, whose mean is estimated by the sum of all over the number of those known in full. Most are.
        let far = kind.without_past.max(quantile(FAR));
        let beyond = sorted.iter().filter(|score| **score > from);
        let known = beyond.clone().filter(|score| **score <= far).count();
        let mean = beyond.map(|score| score.min(far) - from).sum::<f64>() / known.max(1) as f64;
        let value = (from + mean * ((1.0 - TAIL) * one_in_days).ln()).max(kind.min);
        let rung_in_past = past.iter().filter(|score| **score > value).count();
        Self {
            value,
            days: past.len(),
            tail_from: Some(from),
            tail_mean: Some(mean),
            one_in_days,
            rung_in_past,
        }
    }
}
