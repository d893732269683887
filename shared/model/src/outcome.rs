//! Outcomes of trips: known only afterwards, so a source of labels and never of features.

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::month::Month;
use crate::rejection::RejectionCounts;
use crate::trip::{Trip, select};

/// What a model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Minutes from pickup to drop-off.
    Duration,
    /// Whether the driver of a trip paid by card is tipped.
    Tip,
}

impl Target {
    /// Every target, in the order they are trained.
    pub const ALL: [Self; 2] = [Self::Duration, Self::Tip];

    /// Returns the name in keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Tip => "tip",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of one trip.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// When it ended, New York local time.
    pub dropoff: Option<NaiveDateTime>,
    /// Dollars; only card tips are recorded.
    pub tip_amount: Option<f64>,
    /// Dollars by the meter; negative in a reversal.
    pub fare_amount: Option<f64>,
    /// 1 is card.
    pub payment_type: Option<u8>,
}

/// The trips of one file with their outcomes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelledTrips {
    /// The month the file is of, if its name says so.
    pub month: Option<Month>,
    /// sha256 of the file's bytes, hex: part of a model's identity.
    pub sha256: String,
    /// The trips that can be predicted.
    pub trips: Vec<Trip>,
    /// Their outcomes.
    pub outcomes: Vec<Outcome>,
    /// Rejected rows of the file, by reason.
    pub rejections: RejectionCounts,
}

/// Computes a duration in minutes, from whole microseconds; `None` without both times.
pub fn duration_min(pickup: Option<NaiveDateTime>, dropoff: Option<NaiveDateTime>) -> Option<f64> {
    Some((dropoff? - pickup?).num_microseconds()? as f64 / 60e6)
}

impl LabelledTrips {
    /// Returns the label of row `row`: minutes for a duration; 1 or 0 for tipped or not. `None` if not recorded.
    pub fn label(&self, target: Target, row: usize) -> Option<f64> {
        match target {
            Target::Duration => duration_min(self.trips[row].pickup, self.outcomes[row].dropoff),
            Target::Tip => self.outcomes[row].tip_amount.map(|dollars| f64::from(u8::from(dollars > 0.0))),
        }
    }

    /// Returns `rows` as examples of `target`; rows without a label are left out.
    pub fn examples(&self, target: Target, rows: &[usize]) -> Examples {
        let labelled = rows.iter().filter_map(|&row| Some((self.trips[row], self.label(target, row)?)));
        let mut examples = Examples::default();
        for (trip, label) in labelled {
            examples.trips.push(trip);
            examples.labels.push(label);
        }
        examples
    }
}

/// Trips with their labels: what candidates learn from and are judged on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examples {
    /// The trips.
    pub trips: Vec<Trip>,
    /// Minutes, or 1 for tipped and 0 for not: `[n_trips]`.
    pub labels: Vec<f64>,
}

impl Examples {
    /// Returns the number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Appends `other`.
    pub fn append(&mut self, other: &Self) {
        self.trips.extend_from_slice(&other.trips);
        self.labels.extend_from_slice(&other.labels);
    }

    /// Returns the examples at positions that `keep` accepts.
    pub fn filter(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|&row| keep(row)).collect();
        Self { trips: select(&self.trips, &rows), labels: select(&self.labels, &rows) }
    }
}
