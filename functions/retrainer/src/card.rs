//! The card of a model: what it is, from what, how good, and where it is weak. One content, three forms: `card.json` by the
//! schema of the Model Card Toolkit (v0.0.2) for programs, `card.md` for terminals, `card.html` for people.
//!
//! What is measured, `model::card` measures; here it is put into words, tables and plots.

mod content;
mod toolkit;

use chrono::{DateTime, Utc};
use model::card::Findings;
use model::decision::Assessment;
use model::{Artifact, Metrics, Trained};
use registry::runs::Fingerprint;
use report::Report;
use serde_json::Value;

/// What a card tells.
pub(crate) struct Card<'a> {
    pub(crate) run: &'a str,
    /// When the run began that made the model.
    pub(crate) made: DateTime<Utc>,
    pub(crate) trained: &'a Trained,
    pub(crate) assessed: &'a Assessment,
    pub(crate) findings: &'a Findings,
    pub(crate) data: &'a [Fingerprint],
    /// The champion beside which it was judged, if there was one.
    pub(crate) previous: Option<Previous<'a>>,
}

/// The champion before it.
pub(crate) struct Previous<'a> {
    pub(crate) version: &'a str,
    pub(crate) artifact: &'a Artifact,
    /// On the same rows.
    pub(crate) metrics: &'a Metrics,
}

impl Card<'_> {
    /// The files of the card, by name.
    pub(crate) fn files(&self) -> (Value, String, String) {
        let title = format!("{} model {}", self.trained.artifact.lineage.target, self.trained.version);
        let report = Report { title, sections: content::sections(self) };
        (toolkit::document(self), report.markdown(), report.html())
    }
}

#[cfg(test)]
mod tests;
