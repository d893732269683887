//! Logs with `tracing`, and metrics as lines of the CloudWatch embedded metric format.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::env::{Env, Variable};

/// The namespace of every metric.
pub const NAMESPACE: &str = "tripcast";

/// Every metric that is emitted; dashboards and alarms use no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[allow(missing_docs)] // the names say it; units are in `unit`
pub enum Metric {
    MessagesPredicted,
    MessagesRejected,
    MessagesFailed,
    FieldsUnusable,
    BatchMilliseconds,
    ChallengerAnswers,
    ChallengerFailures,
    ProfileFailures,
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
    ModelAgeHours,
    HoursSinceRetraining,
    DaysJudged,
    QualityAlarms,
    DriftAlarms,
    PerformanceAlarms,
    OpenAlarms,
    AlwaysFiringAlarms,
    DriftScore,
    PerformanceScore,
    RmseMinutes,
    MaeMinutes,
    BiasMinutes,
    IntervalCoverage,
    LabelledShare,
    LabelDelayDays,
    MonitorMilliseconds,
    RequestsAnswered,
    RequestsRefused,
}

impl Metric {
    /// Returns the name in CloudWatch.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the name as Prometheus writes names: `drift_score`.
    pub fn snake_case_name(self) -> String {
        let mut name = String::new();
        for c in self.name().chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// Returns CloudWatch's name of the unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::BatchMilliseconds
            | Self::FileMilliseconds
            | Self::RetrainingMilliseconds
            | Self::MonitorMilliseconds => "Milliseconds",
            // CloudWatch has no unit for days, hours and minutes.
            Self::ModelAgeHours
            | Self::HoursSinceRetraining
            | Self::DriftScore
            | Self::PerformanceScore
            | Self::RmseMinutes
            | Self::MaeMinutes
            | Self::BiasMinutes
            | Self::IntervalCoverage
            | Self::LabelledShare
            | Self::LabelDelayDays => "None",
            _ => "Count",
        }
    }
}

/// A dimension of a metric, besides its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs)]
pub enum Dimension {
    Target,
    Feature,
    Taxi,
    Source,
}

/// Variables of logging that Lambda sets, and `RUST_LOG`.
const VARIABLES: [Variable; 4] = [
    Variable {
        name: "AWS_LAMBDA_FUNCTION_NAME",
        meaning: "the function's name in its stack",
        default: Some(""),
    },
    Variable { name: "AWS_LAMBDA_LOG_FORMAT", meaning: "JSON or Text", default: Some("Text") },
    Variable { name: "AWS_LAMBDA_LOG_LEVEL", meaning: "level from which on to log", default: Some("") },
    Variable { name: "RUST_LOG", meaning: "level if Lambda sets none", default: Some("INFO") },
];

/// The crates that functions share, whose messages of all levels are logged.
pub const OUR_CRATES: [&str; 9] =
    ["dataset", "mlflow", "model", "monitoring", "platform", "registry", "report", "store", "trees"];

/// Starts logging to stdout: JSON if Lambda requests it, at the level of `AWS_LAMBDA_LOG_LEVEL` (else of `RUST_LOG`,
/// else INFO). Below INFO only the crate `function`, which is the caller's `module_path!()`, and [`OUR_CRATES`] are logged: the clients of AWS
/// write more about one call than we do about a batch. lambda_runtime's own subscriber also filters by regular expressions,
/// which take 200 KB of a package.
pub fn init(function: &'static str) {
    let env = Env::of_process(&VARIABLES).ok();
    let value = |name| env.as_ref().and_then(|env| env.get::<String>(name).ok()).unwrap_or_default();
    let level = level_of(&value("AWS_LAMBDA_LOG_LEVEL"), &value("RUST_LOG"));
    let logs = tracing_subscriber::fmt().with_target(false).without_time().with_max_level(level);
    let ours = filter_fn(move |of| is_logged(function, *of.level(), of.target()));
    // Fails only if logging has been started before.
    let _ = match value("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json") {
        true => logs.json().finish().with(ours).try_init(),
        false => logs.finish().with(ours).try_init(),
    };
}

/// Returns whether messages of a level and a target are logged, where the level that is set allows them.
fn is_logged(function: &str, level: Level, target: &str) -> bool {
    let of_crate = target.split("::").next().unwrap_or_default();
    level <= Level::INFO || of_crate == function || OUR_CRATES.contains(&of_crate)
}

/// Returns the first valid level, else INFO. Lambda's FATAL is our ERROR.
fn level_of(by_lambda: &str, otherwise: &str) -> LevelFilter {
    let level = |name: &str| match name {
        "FATAL" => Some(LevelFilter::ERROR),
        "" => None,
        name => name.parse().ok(),
    };
    level(by_lambda).or_else(|| level(otherwise)).unwrap_or(LevelFilter::INFO)
}

static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// Emits no metrics from now on: for simulations, in which millions of events are handled.
pub fn emit_nothing() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

/// Emits metrics of one piece of work of `function`, with `notes` for readers of the log. On Lambda the function's
/// deployed name replaces `function`, so that two stacks of one account are kept apart.
pub fn emit(function: &str, metrics: &[(Metric, f64)], notes: &Value) {
    emit_by(function, &[], metrics, notes);
}

/// Emits metrics for the function as a whole, and again for the part of its work that `dimensions` name.
pub fn emit_by(function: &str, dimensions: &[(Dimension, &str)], metrics: &[(Metric, f64)], notes: &Value) {
    if IS_SILENT.load(Ordering::Relaxed) {
        return;
    }
    static ON_LAMBDA: OnceLock<String> = OnceLock::new();
    let on_lambda = ON_LAMBDA.get_or_init(|| {
        let env = Env::of_process(&VARIABLES).ok();
        env.and_then(|env| env.get("AWS_LAMBDA_FUNCTION_NAME").ok()).unwrap_or_default()
    });
    let function = if on_lambda.is_empty() { function } else { on_lambda };
    let line = line(function, dimensions, metrics, notes, now_ms());
    // A metric that cannot be written must not fail the work that it measures.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Returns the milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn line(
    function: &str,
    dimensions: &[(Dimension, &str)],
    metrics: &[(Metric, f64)],
    notes: &Value,
    now_ms: u64,
) -> Value {
    let declared: Vec<Value> =
        metrics.iter().map(|(metric, _)| json!({"Name": metric.name(), "Unit": metric.unit()})).collect();
    let mut sets = vec![vec!["function"]];
    if !dimensions.is_empty() {
        let names = dimensions.iter().map(|(dimension, _)| dimension.into());
        sets.push(std::iter::once("function").chain(names).collect());
    }
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": declared}],
        },
        "function": function,
        "notes": notes,
    });
    for (dimension, value) in dimensions {
        line[<&str>::from(dimension)] = json!(value);
    }
    for (metric, value) in metrics {
        line[metric.name()] = json!(value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_s_level_goes_before_ours() {
        for (by_lambda, otherwise, expected) in [
            ("", "INFO", LevelFilter::INFO),
            ("DEBUG", "INFO", LevelFilter::DEBUG),
            ("FATAL", "debug", LevelFilter::ERROR),
            ("", "warn", LevelFilter::WARN),
            ("loud", "hyper=debug", LevelFilter::INFO),
        ] {
            assert_eq!(level_of(by_lambda, otherwise), expected, "{by_lambda:?} {otherwise:?}");
        }
    }

    #[test]
    fn messages_of_debugging_are_those_of_our_crates() {
        for (level, target, expected) in [
            (Level::DEBUG, "scorer", true),
            (Level::TRACE, "scorer::delivery", true),
            (Level::DEBUG, "platform::queue", true),
            (Level::DEBUG, "scorers", false),
            (Level::DEBUG, "aws_smithy_runtime::client", false),
            (Level::INFO, "aws_config", true),
        ] {
            assert_eq!(is_logged("scorer", level, target), expected, "{level} {target}");
        }
    }

    #[test]
    fn a_metric_line_is_in_the_embedded_metric_format() {
        let written = line("scorer", &[], &[(Metric::MessagesPredicted, 3.0)], &json!({"bundle": "ab"}), 7);
        let expected = json!({
            "_aws": {"Timestamp": 7, "CloudWatchMetrics": [{"Namespace": "tripcast", "Dimensions": [["function"]],
                "Metrics": [{"Name": "MessagesPredicted", "Unit": "Count"}]}]},
            "function": "scorer", "notes": {"bundle": "ab"}, "MessagesPredicted": 3.0,
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn a_dimension_adds_a_set_and_keeps_that_of_the_function() {
        let by = [(Dimension::Target, "tip")];
        let written = line("retrainer", &by, &[(Metric::ModelsPromoted, 1.0)], &json!({}), 7);
        let sets = &written["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        assert_eq!(
            (sets, &written["target"]),
            (&json!([["function"], ["function", "target"]]), &json!("tip"))
        );
    }
}
