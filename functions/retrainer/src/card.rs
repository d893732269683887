//! The card of a model: what it is, what it was trained on, how good it is, and where it is weak. It has three forms:
//! `card.json` by the schema of the Model Card Toolkit (v0.0.2) for programs, `card.md` for terminals, `card.html` for
//! people.
//!
//! `model::card` measures; this module puts the results into words, tables and plots.

mod content;
mod toolkit;

use chrono::{DateTime, Utc};
use model::card::Findings;
use model::decision::Assessment;
use model::{Artifact, Metrics, Trained};
use registry::runs::Fingerprint;
use report::Report;
use serde_json::Value;

/// The content of a card.
pub(crate) struct Card<'a> {
    pub(crate) run: &'a str,
    /// When the run that made the model began.
    pub(crate) made: DateTime<Utc>,
    pub(crate) trained: &'a Trained,
    pub(crate) assessed: &'a Assessment,
    pub(crate) findings: &'a Findings,
    pub(crate) data: &'a [Fingerprint],
    /// The champion with which it was compared, if there was one.
    pub(crate) previous: Option<Previous<'a>>,
}

/// The champion with which a model was compared.
pub(crate) struct Previous<'a> {
    pub(crate) version: &'a str,
    pub(crate) artifact: &'a Artifact,
    /// Measured on the same rows.
    pub(crate) metrics: &'a Metrics,
}

impl Card<'_> {
    /// Returns `card.json`, `card.md` and `card.html`.
    pub(crate) fn files(&self) -> (Value, String, String) {
        let title = format!("{} model {}", self.trained.artifact.lineage.target, self.trained.version);
        let report = Report { title, sections: content::sections(self) };
        (toolkit::document(self), report.markdown(), report.html())
    }
}

#[cfg(test)]
mod tests;
