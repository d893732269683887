//! How wrong predictions are: errors of a day beside those of past days of its class, where the outcomes are known.

use serde::Serialize;

use super::scores::{median_of, of_one_or_two};
use super::verdict::Verdict;
use super::{Detector, Past, Watch};
use crate::profile::{Predictions, Profile, RATIOS};

/// Days of errors that a day's errors are compared with.
const ERROR_DAYS: i64 = 120;

/// Fewer judged trips have no verdict.
pub const TRIPS_MIN: u64 = 200;
/// A smaller share of trips whose outcome is known has no verdict.
pub const LABELLED_MIN: f64 = 0.5;
/// Fewer past days of the same class have no verdict.
const DAYS_MIN: usize = 6;

/// The errors of a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// Verdict trips.
    pub n: u64,
    /// Share of the predicted trips whose outcome is known.
    pub labelled: f64,
    /// Share outside the interval.
    pub missed: f64,
    /// Share that lasted longer than predicted.
    pub longer: f64,
    /// Mean distance from the actual duration, over half the width of the interval; distances beyond five count as five.
    pub ratio: f64,
    /// Root mean squared error, minutes.
    pub rmse_min: f64,
    /// Mean absolute error, minutes.
    pub mae_min: f64,
    /// Mean error, predicted minus actual, minutes.
    pub bias_min: f64,
}

/// The series that ring.
pub const SERIES: [&str; 3] = ["missed", "longer", "ratio"];

impl Errors {
    /// Returns the errors of a day.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn new(profile: &Profile) -> Result<Self, String> {
        let Predictions { judged, ratios, rows, .. } = &profile.predictions;
        if *rows == 0 {
            return Err("there are no predictions".into());
        }
        let known = profile.outcomes.rows.saturating_sub(profile.outcomes.no_time);
        let labelled = known as f64 / *rows as f64;
        if known == 0 {
            return Err("no outcome is known".into());
        }
        if labelled < LABELLED_MIN {
            return Err(format!(
                "the outcomes of {:.0} % of the predicted trips are known, {:.0} % are needed",
                100.0 * labelled,
                100.0 * LABELLED_MIN
            ));
        }
        if judged.rows < TRIPS_MIN {
            return Err(format!("{} trips are judged, {TRIPS_MIN} are needed", judged.rows));
        }
        let n = judged.rows as f64;
        let far = RATIOS.last as f64 / RATIOS.cells_a_unit;
        let ratio =
            ratios.cells.iter().map(|(cell, rows)| f64::from(cell) / RATIOS.cells_a_unit * rows as f64);
        Ok(Self {
            n: judged.rows,
            labelled,
            missed: 1.0 - judged.covered as f64 / n,
            longer: judged.longer as f64 / n,
            ratio: (ratio.sum::<f64>() + far * ratios.above as f64) / n,
            rmse_min: judged.rmse_min().unwrap_or_default(),
            mae_min: judged.mae_min().unwrap_or_default(),
            bias_min: judged.bias_min().unwrap_or_default(),
        })
    }

    /// Returns the values of [`SERIES`], each with the standard error that chance alone gives it.
    pub fn series(&self) -> [(f64, f64); 3] {
        let n = self.n as f64;
        let of_share = |share: f64| ((share + 0.5 / n) * (1.0 - share + 0.5 / n) / n).sqrt();
        // The ratio's spread is about its mean, as that of an exponential law.
        [
            (self.missed, of_share(self.missed)),
            (self.longer, of_share(self.longer)),
            (self.ratio, self.ratio / n.sqrt()),
        ]
    }
}

impl Watch {
    /// Scores the errors of a day.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub(super) fn performance(&self, of: &mut Past, errors: &Errors) -> Result<Verdict, String> {
        let past: Vec<Errors> = self.alike(of, ERROR_DAYS).filter_map(|past| past.errors).collect();
        if past.len() < DAYS_MIN {
            return Err(format!(
                "there are {} past days of its class with known outcomes, {} are needed",
                past.len(),
                DAYS_MIN
            ));
        }
        let mut standard = [0.0; SERIES.len()];
        for (series, (value, error)) in errors.series().into_iter().enumerate() {
            let values: Vec<f64> = past.iter().map(|past| past.series()[series].0).collect();
            let middle = median_of(values.clone());
            let apart = 1.4826 * median_of(values.iter().map(|value| (value - middle).abs()).collect());
            // Few days may lie closer together than chance lets them.
            standard[series] = (value - middle) / apart.max(error);
        }
        of.error_scores = Some(standard);
        let yesterday = self.yesterday(of.day).and_then(|past| past.error_scores);
        let scores = standard.into_iter().enumerate().map(|(series, now)| {
            let before = yesterday.map(|before| before[series]);
            let score = of_one_or_two(before, now);
            // Trips that last longer than predicted matter as much as trips that do not last as long.
            let is_either_way = SERIES[series] == "longer";
            let other = of_one_or_two(before.map(|before| -before), -now);
            (if is_either_way { score.max(other) } else { score }, series)
        });
        let (worst, series) = scores.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default();
        let threshold = self.threshold(Detector::Errors);
        of.worst[Detector::Errors as usize] = Some(worst);
        let rings = worst > threshold.value;
        let (value, usual) =
            (errors.series()[series].0, median_of(past.iter().map(|past| past.series()[series].0).collect()));
        let cause = match SERIES[series] {
            "missed" => format!(
                "{:.1} % of the trips lie outside their intervals, usually {:.1} %",
                100.0 * value,
                100.0 * usual
            ),
            "longer" => format!(
                "{:.1} % of the trips last longer than predicted, usually {:.1} %",
                100.0 * value,
                100.0 * usual
            ),
            _ => format!("errors are {value:.2} of half an interval, usually {usual:.2}"),
        };
        Ok(Verdict {
            rings: Some(rings),
            cause: rings.then_some(cause),
            is_known: true,
            score: Some(worst),
            threshold: Some(threshold),
            ..Verdict::default()
        })
    }
}
