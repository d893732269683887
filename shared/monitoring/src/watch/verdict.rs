//! The verdict of a day: one for each signal.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::expected::Expected;
use super::performance::Errors;
use super::quality::Finding;
use super::scores::Threshold;

/// Which signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Exact rules.
    Quality,
    /// Drift of what comes in.
    Data,
    /// Errors of predictions.
    Performance,
}

/// The verdict of one signal on a day.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Verdict {
    /// Whether it rings; none without a verdict.
    pub rings: Option<bool>,
    /// Why there is no verdict.
    pub no_verdict: Option<String>,
    /// What rang, or would have: the name of the series or the fault.
    pub cause: Option<String>,
    /// Whether that is a known fault.
    pub is_known: bool,
    /// The standard score that is compared with the threshold.
    pub score: Option<f64>,
    /// The threshold.
    pub threshold: Option<Threshold>,
    /// The standard scores of known faults.
    pub scores: BTreeMap<String, f64>,
    /// Columns and values that moved most, with their usual share and that of the day.
    pub moved: Vec<Moved>,
    /// What the rules found.
    pub findings: Vec<Finding>,
}

/// A cell that moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// Column and value.
    pub what: String,
    /// Usual share of the rows.
    pub usual: f64,
    /// Share of the day's rows.
    pub share: f64,
}

/// The verdicts of a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayVerdict {
    /// The day.
    pub day: NaiveDate,
    /// Its rows.
    pub rows: u64,
    /// Whether it is a holiday or beside one.
    pub near_holiday: bool,
    /// The signals.
    pub quality: Verdict,
    /// Drift of what comes in.
    pub data: Verdict,
    /// Errors of predictions.
    pub performance: Verdict,
    /// The errors, where the outcomes are known.
    pub errors: Option<Errors>,
    /// What errors are to be expected without outcomes; none without predictions.
    pub expected: Option<Expected>,
}

impl DayVerdict {
    /// Returns the verdict of a signal.
    pub fn of(&self, signal: Signal) -> &Verdict {
        match signal {
            Signal::Quality => &self.quality,
            Signal::Data => &self.data,
            Signal::Performance => &self.performance,
        }
    }
}

impl Verdict {
    /// Returns a verdict that there is none, since there is too little to judge.
    pub(super) fn without_verdict(why: String) -> Self {
        Self { no_verdict: Some(why), ..Self::default() }
    }
}
