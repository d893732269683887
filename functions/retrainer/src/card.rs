//! The card of a model: what it is, from what, how good, and where it is weak. One content, three forms: `card.json` by the
//! schema of the Model Card Toolkit (v0.0.2) for programs, `card.md` for terminals, `card.html` for people.
//!
//! What is measured, `model::card` measures; here it is put into words, tables and plots.

mod content;
mod html;
mod markdown;
mod plot;
mod toolkit;

use model::card::Findings;
use model::decision::Assessment;
use model::{Artifact, Metrics, Trained};
use serde_json::Value;

use crate::gather::Fingerprint;

/// What a card tells.
pub(crate) struct Card<'a> {
    pub(crate) run: &'a str,
    /// When the model was made, RFC 3339, UTC.
    pub(crate) made: &'a str,
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
        let sections = content::sections(self);
        let title = format!("{} model {}", self.trained.artifact.lineage.target, self.trained.version);
        (toolkit::document(self), markdown::page(&title, &sections), html::page(&title, &sections))
    }
}

/// A part of a card, whatever its form.
#[derive(Default)]
struct Section {
    title: &'static str,
    paragraphs: Vec<String>,
    tables: Vec<Table>,
    plots: Vec<plot::Plot>,
    /// Lines whose spaces count.
    lines: Vec<String>,
}

/// Rows under a head; the first column is text, the others are figures.
struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests;
