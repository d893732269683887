//! The card of a model: what it is, from what, how good; for programs and for people.

use model::decision::Assessment;
use model::evaluation::Figures;
use model::{Judgement, Rules, Slice, Trained};
use serde::Serialize;
use serde_json::{Value, json};

use crate::gather::Fingerprint;

/// What a card tells beside the model itself.
pub(crate) struct Card<'a> {
    pub(crate) run: &'a str,
    pub(crate) trained: &'a Trained,
    pub(crate) assessed: &'a Assessment,
    pub(crate) strict: &'a Judgement,
    pub(crate) slices: &'a [Slice],
    pub(crate) data: &'a [Fingerprint],
}

impl Card<'_> {
    pub(crate) fn json(&self) -> Value {
        let lineage = &self.trained.artifact.lineage;
        json!({
            "target": lineage.target,
            "version": self.trained.version,
            "family": lineage.family,
            "run": self.run,
            "params": lineage.params,
            "feature_schema": lineage.feature_schema,
            "bytes": self.trained.bytes.len(),
            "data": self.data,
            "dropped": self.trained.dropped,
            "train": Measured { rules: lineage.params.rules, metrics: &self.trained.train },
            "validate": Measured { rules: Rules::Course, metrics: &self.assessed.metrics },
            "objections": self.assessed.objections,
            "validate_strict": self.strict,
            "slices": self.slices,
        })
    }

    pub(crate) fn markdown(&self) -> String {
        let lineage = &self.trained.artifact.lineage;
        let mut lines = vec![
            format!("# {} model {}", lineage.target, self.trained.version),
            String::new(),
            format!(
                "Family {}, trained by run `{}` on rules `{}`.",
                lineage.family.name(),
                self.run,
                lineage.params.rules.name()
            ),
            String::new(),
            "| rows | figures |".into(),
            "|---|---|".into(),
            format!("| train, {} rows | {} |", self.trained.train.rows, figures(&self.trained.train.figures)),
            format!(
                "| validate, course rules, {} rows | {} |",
                self.assessed.metrics.rows,
                figures(&self.assessed.metrics.figures)
            ),
        ];
        lines.extend([
            "".into(),
            "## Data".into(),
            "".into(),
            "| month | rows | sha256 |".into(),
            "|---|--:|---|".into(),
        ]);
        lines.extend(
            self.data.iter().map(|file| format!("| {} | {} | `{}` |", file.month, file.rows, file.sha256)),
        );
        lines.extend([
            "".into(),
            "## By slice".into(),
            "".into(),
            "| slice | rows | figures |".into(),
            "|---|--:|---|".into(),
        ]);
        let slice = |slice: &Slice| {
            format!(
                "| {} {} | {} | {} |",
                slice.by,
                slice.value,
                slice.metrics.rows,
                figures(&slice.metrics.figures)
            )
        };
        lines.extend(self.slices.iter().map(slice));
        lines.join("\n") + "\n"
    }
}

#[derive(Serialize)]
struct Measured<'a> {
    rules: Rules,
    #[serde(flatten)]
    metrics: &'a model::Metrics,
}

fn figures(figures: &Figures) -> String {
    match figures {
        Figures::Duration { rmse, mae, coverage, .. } => {
            format!("RMSE {rmse:.3} min, MAE {mae:.3} min, 90 % interval covers {:.1} %", coverage * 100.0)
        }
        Figures::Tip { auc, log_loss, brier, base_rate, ece } => {
            let ece = ece.map(|ece| format!(", calibration error {ece:.4}")).unwrap_or_default();
            format!(
                "AUC {auc:.3}, log loss {log_loss:.4}, Brier {brier:.4}, tipped {:.1} %{ece}",
                base_rate * 100.0
            )
        }
    }
}
