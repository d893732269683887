//! Logs through lambda_runtime's tracing, metrics as lines of the CloudWatch embedded metric format.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The namespace of every metric.
pub const NAMESPACE: &str = "tripcast";

/// Every metric that is emitted: dashboards and alarms name no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it; units are in `unit`
pub enum Metric {
    MessagesPredicted,
    MessagesRejected,
    MessagesFailed,
    BatchMilliseconds,
    ModelReloads,
    ModelReloadFailures,
    RowsPredicted,
    RowsRejected,
    FilesPredicted,
    FilesRefused,
    FileMilliseconds,
    ModelsPublished,
    ModelsPromoted,
    RetrainingMilliseconds,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::MessagesPredicted,
        Self::MessagesRejected,
        Self::MessagesFailed,
        Self::BatchMilliseconds,
        Self::ModelReloads,
        Self::ModelReloadFailures,
        Self::RowsPredicted,
        Self::RowsRejected,
        Self::FilesPredicted,
        Self::FilesRefused,
        Self::FileMilliseconds,
        Self::ModelsPublished,
        Self::ModelsPromoted,
        Self::RetrainingMilliseconds,
    ];

    /// The name in CloudWatch.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// CloudWatch's name of the unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::BatchMilliseconds | Self::FileMilliseconds | Self::RetrainingMilliseconds => "Milliseconds",
            _ => "Count",
        }
    }
}

/// Starts logging to stdout: JSON where Lambda asks for it, the level by `AWS_LAMBDA_LOG_LEVEL`.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}

/// Emits metrics of one piece of work of `function`, with `notes` beside them for who reads the log.
pub fn emit(function: &str, metrics: &[(Metric, f64)], notes: &Value) {
    let line = line(function, metrics, notes, now_ms());
    // A metric that cannot be written must not fail the work that it tells of.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn line(function: &str, metrics: &[(Metric, f64)], notes: &Value, now_ms: u64) -> Value {
    let declared: Vec<Value> =
        metrics.iter().map(|(metric, _)| json!({"Name": metric.name(), "Unit": metric.unit()})).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": declared}],
        },
        "function": function,
        "notes": notes,
    });
    for (metric, value) in metrics {
        line[metric.name()] = json!(value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_line_is_in_the_embedded_metric_format() {
        let said = line("scorer", &[(Metric::MessagesPredicted, 3.0)], &json!({"bundle": "ab"}), 7);
        let expected = json!({
            "_aws": {"Timestamp": 7, "CloudWatchMetrics": [{"Namespace": "tripcast", "Dimensions": [["function"]],
                "Metrics": [{"Name": "MessagesPredicted", "Unit": "Count"}]}]},
            "function": "scorer", "notes": {"bundle": "ab"}, "MessagesPredicted": 3.0,
        });
        assert_eq!(said, expected);
    }
}
