//! Quality of predictions: the metrics of each target, accumulated row by row.

use serde::{Deserialize, Deserializer, Serialize};

use crate::outcome::Target;

/// Metrics on a set of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of examples.
    pub rows: u64,
    /// The target's own metrics.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The metrics of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figures {
    /// Errors of durations in minutes.
    Duration {
        /// Root mean squared error, minutes.
        #[serde(deserialize_with = "or_nan")]
        rmse: f64,
        /// Mean absolute error, minutes.
        #[serde(deserialize_with = "or_nan")]
        mae: f64,
        /// Share of the variance explained.
        #[serde(deserialize_with = "or_nan")]
        r2: f64,
        /// Share of actual durations inside the 90 % interval.
        #[serde(deserialize_with = "or_nan")]
        coverage: f64,
        /// Mean width of that interval, minutes.
        #[serde(deserialize_with = "or_nan")]
        interval_width_min: f64,
    },
    /// Quality of probabilities.
    Tip {
        /// Area under the ROC curve; ties count half.
        #[serde(deserialize_with = "or_nan")]
        auc: f64,
        /// Mean negative log likelihood, natural logarithm, probabilities kept 1e-15 away from 0 and 1.
        #[serde(deserialize_with = "or_nan")]
        log_loss: f64,
        /// Mean squared error of the probabilities.
        #[serde(deserialize_with = "or_nan")]
        brier: f64,
        /// Share of tipped trips.
        #[serde(deserialize_with = "or_nan")]
        base_rate: f64,
        /// Expected calibration error (Naeini, Cooper and Hauskrecht 2015): the distance between the share of tipped
        /// trips and the mean probability, over ten bins of about as many trips in order of probability, weighted by
        /// trips. `None` in metrics of earlier builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ece: Option<f64>,
    },
}

/// Reads a number that JSON has no form for, which is written as null, as NaN: a record of a broken model can still be read.
///
/// # Errors
/// Those of the format.
pub fn or_nan<'de, D: Deserializer<'de>>(number: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(number)?.unwrap_or(f64::NAN))
}

/// Reads numbers as [`or_nan`] reads one.
///
/// # Errors
/// Those of the format.
pub fn each_or_nan<'de, D: Deserializer<'de>>(numbers: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(numbers)?;
    Ok(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

impl Figures {
    /// Returns name and value of the metric that decides, RMSE or log loss; smaller is better.
    pub fn deciding(&self) -> (&'static str, f64) {
        match self {
            Self::Duration { rmse, .. } => ("rmse", *rmse),
            Self::Tip { log_loss, .. } => ("log_loss", *log_loss),
        }
    }
}

/// The loss of one prediction; the deciding metric is made of its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Squared minutes; the metric is the root of their mean.
    Squared,
    /// Negative log likelihood.
    Log,
}

impl Loss {
    /// Returns the loss of a target's predictions.
    pub fn of_target(target: Target) -> Self {
        match target {
            Target::Duration => Self::Squared,
            Target::Tip => Self::Log,
        }
    }

    /// Returns the name of the deciding metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squared => "rmse",
            Self::Log => "log_loss",
        }
    }

    /// Computes the loss of one prediction.
    pub fn row(self, predicted: f64, actual: f64) -> f64 {
        match self {
            Self::Squared => (predicted - actual).powi(2),
            Self::Log => {
                let p = predicted.clamp(1e-15, 1.0 - 1e-15);
                -if actual > 0.0 { p.ln() } else { (1.0 - p).ln() }
            }
        }
    }

    /// Computes the deciding metric from a mean loss.
    pub fn figure(self, mean: f64) -> f64 {
        match self {
            Self::Squared => mean.sqrt(),
            Self::Log => mean,
        }
    }

    /// Computes the deciding metric over predictions; NaN without any.
    pub fn mean(self, predicted: &[f64], actual: &[f64]) -> f64 {
        let rows = predicted.iter().zip(actual);
        let sum: f64 = rows.map(|(predicted, actual)| self.row(*predicted, *actual)).sum();
        self.figure(sum / predicted.len() as f64)
    }
}

/// Accumulates the metrics of a target row by row. Durations need sums only; tips need every probability, since the AUC
/// depends on their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    target: Target,
    rows: u64,
    /// Sum of predicted minus actual.
    signed: f64,
    absolute: f64,
    squared: f64,
    covered: u64,
    width: f64,
    mean_actual: f64,
    /// Sum of the squares of actual values about their mean (Welford 1962).
    actual_squares: f64,
    /// For tips: predicted probability and actual outcome, 1 or 0.
    probabilities: Vec<(f64, f64)>,
}

impl Performance {
    /// Creates the performance on no rows.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            rows: 0,
            signed: 0.0,
            absolute: 0.0,
            squared: 0.0,
            covered: 0,
            width: 0.0,
            mean_actual: 0.0,
            actual_squares: 0.0,
            probabilities: Vec::new(),
        }
    }

    /// Adds one row: minutes with their interval, or a probability with 1 for tipped and 0 for not.
    pub fn add(&mut self, predicted: f64, interval: Option<(f64, f64)>, actual: f64) {
        self.rows += 1;
        self.signed += predicted - actual;
        self.absolute += (predicted - actual).abs();
        self.squared += (predicted - actual).powi(2);
        if let Some((lower, upper)) = interval {
            self.covered += u64::from((lower..=upper).contains(&actual));
            self.width += upper - lower;
        }
        let stray = actual - self.mean_actual;
        self.mean_actual += stray / self.rows as f64;
        self.actual_squares += stray * (actual - self.mean_actual);
        if self.target == Target::Tip {
            self.probabilities.push((predicted, actual));
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts rows whose actual value lies inside the interval.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// Returns mean predicted minus actual, in the unit of the target; 0 without rows.
    pub fn bias(&self) -> f64 {
        self.signed / self.rows.max(1) as f64
    }

    /// Computes the metrics; without rows, zeros and an AUC of 0.5.
    pub fn metrics(&self) -> Metrics {
        let figures = match self.target {
            Target::Duration => self.duration_figures(),
            Target::Tip => self.tip_figures(),
        };
        Metrics { rows: self.rows, figures }
    }

    fn duration_figures(&self) -> Figures {
        let mean = |sum: f64| sum / self.rows.max(1) as f64;
        let has_spread = self.actual_squares > 0.0;
        Figures::Duration {
            rmse: mean(self.squared).sqrt(),
            mae: mean(self.absolute),
            r2: if has_spread { 1.0 - self.squared / self.actual_squares } else { 0.0 },
            coverage: mean(self.covered as f64),
            interval_width_min: mean(self.width),
        }
    }

    fn tip_figures(&self) -> Figures {
        let rows = &self.probabilities;
        let mean = |figure: &dyn Fn(f64, f64) -> f64| {
            rows.iter().map(|(predicted, actual)| figure(*predicted, *actual)).sum::<f64>()
                / rows.len().max(1) as f64
        };
        Figures::Tip {
            auc: auc(rows.iter().map(|(predicted, actual)| (*predicted, *actual > 0.0)).collect()),
            log_loss: mean(&|predicted, actual| Loss::Log.row(predicted, actual)),
            brier: mean(&|predicted, actual| (predicted - actual).powi(2)),
            base_rate: mean(&|_, actual| actual),
            ece: Some(calibration_error(rows.clone())),
        }
    }
}

/// Bins of the calibration error.
const CALIBRATION_PARTS: usize = 10;

/// Computes the expected calibration error of (probability, outcome 1 or 0), see [`Figures::Tip`]; 0 without rows.
/// Equal probabilities stay in one bin, so that their order does not matter.
fn calibration_error(mut rows: Vec<(f64, f64)>) -> f64 {
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let per_part = rows.len().div_ceil(CALIBRATION_PARTS).max(1);
    let (mut off, mut part, mut in_part) = (0.0, 0.0, 0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        part += ties.iter().map(|(predicted, actual)| predicted - actual).sum::<f64>();
        in_part += ties.len();
        if in_part >= per_part {
            off += f64::abs(std::mem::take(&mut part));
            in_part = 0;
        }
    }
    (off + f64::abs(part)) / rows.len().max(1) as f64
}

/// Computes the probability that a tipped example scores above another (Mann and Whitney 1947); 0.5 with one class.
fn auc(mut scored: Vec<(f64, bool)>) -> f64 {
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    let (mut below, mut pairs) = (0.0, 0.0);
    for ties in scored.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = ties.iter().filter(|(_, positive)| *positive).count() as f64;
        let tied_negatives = ties.len() as f64 - tied_positives;
        pairs += tied_positives * (below + 0.5 * tied_negatives);
        below += tied_negatives;
    }
    pairs / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle: the definition, over all pairs.
        #[test]
        fn auc_is_the_share_of_pairs_in_order(scored in prop::collection::vec((0..6i32, any::<bool>()), 2..40)) {
            let (mut pairs, mut in_order) = (0.0, 0.0);
            for (high, _) in scored.iter().filter(|scored| scored.1) {
                for (low, _) in scored.iter().filter(|scored| !scored.1) {
                    pairs += 1.0;
                    in_order += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                }
            }
            let expected = if pairs > 0.0 { in_order / pairs } else { 0.5 };
            let ours = auc(scored.iter().map(|(score, positive)| (f64::from(*score), *positive)).collect());
            prop_assert!((ours - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn figures_of_a_hand_calculation() {
        let mut durations = Performance::new(Target::Duration);
        for (predicted, actual) in [(10.0, 10.0), (20.0, 26.0), (30.0, 27.0)] {
            durations.add(predicted, Some((predicted - 5.0, predicted + 5.0)), actual);
        }
        assert!((durations.bias() - -1.0).abs() < 1e-12);
        let Figures::Duration { rmse, mae, r2, coverage, interval_width_min } = durations.metrics().figures
        else {
            panic!("durations")
        };
        assert_eq!((rmse, mae, coverage, interval_width_min), (15f64.sqrt(), 3.0, 2.0 / 3.0, 10.0));
        assert!((r2 - (1.0 - 15.0 / (182.0 / 3.0))).abs() < 1e-12);
        let mut tips = Performance::new(Target::Tip);
        [(0.8, 1.0), (0.4, 0.0)]
            .into_iter()
            .for_each(|(predicted, actual)| tips.add(predicted, None, actual));
        let Figures::Tip { auc, log_loss, brier, base_rate, ece } = tips.metrics().figures else {
            panic!("tips")
        };
        assert_eq!((auc, base_rate), (1.0, 0.5));
        assert!((log_loss - -(0.8f64.ln() + 0.6f64.ln()) / 2.0).abs() < 1e-12);
        assert!((brier - (0.04 + 0.16) / 2.0).abs() < 1e-12);
        assert!((ece.unwrap() - (0.2 + 0.4) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn probabilities_that_come_true_are_calibrated() {
        // Of 1,000 trips at each of 20 probabilities p, a share of `p * share` is tipped.
        let honest = |share: f64| {
            (0..20_000).map(move |row| {
                let predicted = (f64::from(row / 1000) + 0.5) / 20.0;
                (predicted, f64::from(u8::from(f64::from(row % 1000) + 0.5 < 1000.0 * predicted * share)))
            })
        };
        assert!(calibration_error(honest(1.0).collect()) < 1e-9);
        let mean = 0.5;
        let off = calibration_error(honest(0.8).collect());
        assert!((off - 0.2 * mean).abs() < 1e-9, "{off}");
        let tied = calibration_error(vec![(0.3, 0.0), (0.3, 1.0), (0.3, 0.0), (0.3, 0.0)]);
        assert!((tied - (0.3 - 0.25)).abs() < 1e-12, "{tied}");
        assert_eq!(calibration_error(Vec::new()), 0.0);
    }
}
