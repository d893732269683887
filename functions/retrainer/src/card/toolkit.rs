//! Writes a card by the schema of the Model Card Toolkit, version 0.0.2. Only its outermost object is closed, so what
//! our own programs read is in `model_details.tripcast`. Plots are in `card.html`: the schema's reference to a graphic
//! cannot be resolved, so a card with one cannot be validated.

use model::performance::Figures;
use model::{Judgement, Metrics, Rules};
use registry::runs::Fingerprint;
use serde_json::{Value, json};

use super::{Card, content};

pub(super) fn document(card: &Card<'_>) -> Value {
    let lineage = &card.trained.artifact.lineage;
    let previous = card.previous.as_ref();
    json!({
        "schema_version": "0.0.2",
        "model_details": {
            "name": format!("tripcast {}", lineage.target),
            "overview": content::overview(lineage.target),
            "documentation": format!("{} model of {} features (schema {}); see card.html.",
                lineage.family.name(), model::features::NAMES.len(), lineage.feature_schema),
            "owners": [{"name": "the operator of this deployment"}],
            "version": {
                "name": card.trained.version,
                "date": card.made,
                "diff": previous.map_or("the first champion's".into(), |previous| diff(card, previous)),
            },
            "licenses": [{"identifier": "MIT"}],
            "references": [
                {"reference": "https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page"},
                {"reference": "https://doi.org/10.1145/3287560.3287596"},
            ],
            "tripcast": tripcast(card),
        },
        "model_parameters": {
            "model_architecture": format!("{} ({} bytes)", lineage.family.name(), card.trained.bytes.len()),
            "data": card.data.iter().map(dataset).collect::<Vec<Value>>(),
            "input_format": "a trip: zones, planned distance, pickup time, passengers, rate code, trip type, vendor",
            "input_format_map": model::features::NAMES.map(|name| json!({"key": name, "value": "float32, NaN for missing"})),
            "output_format": content::overview(lineage.target),
        },
        "quantitative_analysis": {
            "performance_metrics": performance(card),
            "graphics": {"description": "Plots are in card.html beside this file."},
        },
        "considerations": considerations(),
    })
}

/// Returns the part that our own programs read; `registry::Provenance` is a part of it.
fn tripcast(card: &Card<'_>) -> Value {
    let lineage = &card.trained.artifact.lineage;
    json!({
        "target": lineage.target,
        "version": card.trained.version,
        "family": lineage.family,
        "run": card.run,
        "params": lineage.params,
        "course": lineage.course,
        "feature_schema": lineage.feature_schema,
        "bytes": card.trained.bytes.len(),
        "data": card.data,
        "dropped": card.trained.dropped,
        "train": Judgement { rules: lineage.params.rules, metrics: card.trained.train.clone() },
        "validate": Judgement { rules: Rules::Course, metrics: card.assessed.metrics.clone() },
        "objections": card.assessed.objections,
        "findings": card.findings,
    })
}

fn diff(card: &Card<'_>, previous: &super::Previous<'_>) -> String {
    let changes = content::changes(card, previous);
    let changes: Vec<String> =
        changes.iter().map(|change| format!("{} {} -> {}", change[0], change[1], change[2])).collect();
    format!("from {}: {}", previous.version, changes.join(", "))
}

fn dataset(file: &Fingerprint) -> Value {
    json!({
        "name": file.key.rsplit('/').next(),
        "link": file.key,
        "description": format!("{} trips, sha256 {}", file.rows, file.sha256),
        "sensitive": {"sensitive_data": ["pickup and drop-off zones and times"]},
    })
}

fn performance(card: &Card<'_>) -> Vec<Value> {
    let mut metrics: Vec<Value> = figures(&card.assessed.metrics)
        .into_iter()
        .map(|(name, value)| json!({"type": name, "value": value.to_string(), "slice": "all"}))
        .collect();
    let (name, _) = card.assessed.metrics.figures.deciding();
    metrics.extend(card.findings.slices.iter().map(|slice| {
        json!({
            "type": name,
            "value": slice.figure.to_string(),
            "slice": format!("{} {}", slice.by, slice.value).trim(),
            "confidence_interval": {
                "lower_bound": slice.lower.to_string(),
                "upper_bound": slice.upper.to_string(),
            },
        })
    }));
    metrics
}

fn figures(metrics: &Metrics) -> Vec<(&'static str, f64)> {
    match &metrics.figures {
        Figures::Duration { rmse, mae, r2, coverage, interval_width_min } => vec![
            ("rmse", *rmse),
            ("mae", *mae),
            ("r2", *r2),
            ("interval_coverage", *coverage),
            ("interval_width_min", *interval_width_min),
        ],
        Figures::Tip { auc, log_loss, brier, base_rate, ece } => {
            let mut figures =
                vec![("auc", *auc), ("log_loss", *log_loss), ("brier", *brier), ("base_rate", *base_rate)];
            figures.extend(ece.map(|ece| ("calibration_error", ece)));
            figures
        }
    }
}

fn considerations() -> Value {
    let described =
        |texts: &[&str]| texts.iter().map(|text| json!({"description": text})).collect::<Vec<_>>();
    json!({
        "users": described(&["dispatchers and passengers who plan a trip", "engineers who run the service"]),
        "use_cases": described(&["telling how long a trip will take before it begins", "expecting tips by card"]),
        "limitations": described(&content::limits().collect::<Vec<_>>()),
        "tradeoffs": described(&["Intervals are as wide as trips like it were off: sure where trips are alike, wide where they are rare."]),
        "ethical_considerations": [{
            "name": "Predictions differ by neighbourhood.",
            "mitigation_strategy": "Errors are shown by borough, and a model that is surely worse for one of them is not promoted.",
        }],
    })
}
