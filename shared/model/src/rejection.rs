//! Why a row or a message can never be predicted or learned from. Bad rows are data, not errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The stable code of a reason; it goes into messages, files and metrics.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Not JSON, or not of a message's shape.
    Undecodable,
    /// A ride id that is neither a 64 bit integer nor a text of 1 to 1024 bytes.
    InvalidRideId,
    /// No pickup zone is stated.
    MissingPickupZone,
    /// No drop-off zone is stated.
    MissingDropoffZone,
    /// A zone that is no whole number.
    InvalidZone,
    /// Training and judging only: duration missing, below 1 or above 60 minutes.
    Duration,
    /// Strict rules only: a pickup outside the file's month.
    OutsideMonth,
    /// Strict rules only: a charge and its reversal, or the reversal.
    Reversal,
    /// Durations only, where they are learned and where models are compared: of a segment whose durations or distances are a defect.
    DefectiveSegment,
    /// Tip only: not paid by card, so the tip is not recorded.
    NotCard,
}

impl Reason {
    /// Returns the code, lower case with underscores.
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// One reason with what was found and expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// Field, expected, found: for people.
    pub detail: String,
}

impl Rejection {
    /// Creates a rejection for `reason`, explained by `detail`.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// How many rows were dropped for which reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RejectionCounts(BTreeMap<Reason, u64>);

impl RejectionCounts {
    /// Counts one row.
    pub fn add(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: &Self) {
        for (reason, count) in &other.0 {
            *self.0.entry(*reason).or_default() += count;
        }
    }

    /// Returns the rows dropped for `reason`.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// Returns the reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    /// Describes the counts: `12 invalid_zone, 3 outside_month`.
    pub fn described(&self) -> String {
        self.0
            .iter()
            .map(|(reason, count)| format!("{count} {}", reason.code()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Returns the number of all dropped rows.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
