//! Builds the dashboards from the list of metrics: CloudWatch's, which both deployments include, and Grafana's.

use platform::telemetry::{Metric, NAMESPACE};
use serde_json::{Value, json};
use strum::VariantArray;

use crate::functions::{Function, functions};

/// A panel with its title and series.
struct Panel {
    title: &'static str,
    unit: Unit,
    series: Vec<Series>,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Count,
    Milliseconds,
    Seconds,
    Hours,
    Minutes,
    Share,
    Score,
}

/// One line of a panel.
struct Series {
    namespace: &'static str,
    metric: String,
    /// Its name, and the variable of its value.
    dimension: (&'static str, String),
    statistic: &'static str,
}

const QUEUES: [&str; 5] =
    ["trips_queue", "predictions_queue", "dead_letter_queue", "rejects_queue", "batch_failures_queue"];

fn ours(metric: Metric, statistic: &'static str) -> Series {
    let dimension = ("function", emitter(metric).to_string());
    Series { namespace: NAMESPACE, metric: metric.name().into(), dimension, statistic }
}

/// Returns the variable with the name of the function that emits a metric; the scorer if several do.
fn emitter(metric: Metric) -> &'static str {
    match metric {
        Metric::RowsPredicted
        | Metric::RowsRejected
        | Metric::FilesPredicted
        | Metric::FilesRefused
        | Metric::FileMilliseconds => "batch_predictor",
        Metric::ModelsPublished
        | Metric::ModelsPromoted
        | Metric::RetrainingMilliseconds
        | Metric::ModelAgeHours
        | Metric::HoursSinceRetraining => "retrainer",
        Metric::DaysJudged
        | Metric::QualityAlarms
        | Metric::DriftAlarms
        | Metric::PerformanceAlarms
        | Metric::OpenAlarms
        | Metric::AlwaysFiringAlarms
        | Metric::DriftScore
        | Metric::PerformanceScore
        | Metric::RmseMinutes
        | Metric::MaeMinutes
        | Metric::BiasMinutes
        | Metric::IntervalCoverage
        | Metric::LabelledShare
        | Metric::LabelDelayDays
        | Metric::MonitorMilliseconds => "monitor",
        Metric::RequestsAnswered | Metric::RequestsRefused => "web",
        Metric::MessagesPredicted
        | Metric::MessagesRejected
        | Metric::MessagesFailed
        | Metric::FieldsUnusable
        | Metric::BatchMilliseconds
        | Metric::ChallengerAnswers
        | Metric::ChallengerFailures
        | Metric::ProfileFailures
        | Metric::ModelReloads
        | Metric::ModelReloadFailures => "scorer",
    }
}

fn lambda(metric: &str, statistic: &'static str) -> Vec<Series> {
    let of = |function: &Function| Series {
        namespace: "AWS/Lambda",
        metric: metric.into(),
        dimension: ("FunctionName", function.name.replace('-', "_")),
        statistic,
    };
    functions().iter().map(of).collect()
}

fn sqs(metric: &str, queues: &[&'static str]) -> Vec<Series> {
    let of = |queue: &&'static str| Series {
        namespace: "AWS/SQS",
        metric: metric.into(),
        dimension: ("QueueName", queue.to_string()),
        statistic: "Maximum",
    };
    queues.iter().map(of).collect()
}

fn panels() -> Vec<Panel> {
    use Metric::*;
    let sums = |metrics: &[Metric]| metrics.iter().map(|metric| ours(*metric, "Sum")).collect();
    let panel = |title, unit, series| Panel { title, unit, series };
    let mut took = vec![ours(BatchMilliseconds, "p50"), ours(BatchMilliseconds, "p99")];
    took.extend([ours(FileMilliseconds, "p99"), ours(RetrainingMilliseconds, "Maximum")]);
    took.push(ours(MonitorMilliseconds, "Maximum"));
    let most = |metrics: &[Metric]| metrics.iter().map(|metric| ours(*metric, "Maximum")).collect();
    let mut errors = vec![ours(RmseMinutes, "Maximum"), ours(MaeMinutes, "Maximum")];
    errors.push(ours(BiasMinutes, "Average"));
    let ages = vec![ours(ModelAgeHours, "Maximum"), ours(HoursSinceRetraining, "Maximum")];
    vec![
        panel(
            "Messages",
            Unit::Count,
            sums(&[MessagesPredicted, MessagesRejected, MessagesFailed, FieldsUnusable]),
        ),
        panel("Messages in queues", Unit::Count, sqs("ApproximateNumberOfMessagesVisible", &QUEUES)),
        panel("Age of the oldest message", Unit::Seconds, sqs("ApproximateAgeOfOldestMessage", &QUEUES[..1])),
        panel("Rows of files", Unit::Count, sums(&[RowsPredicted, RowsRejected])),
        panel("Files", Unit::Count, sums(&[FilesPredicted, FilesRefused])),
        panel("Time of a batch, a file, a retraining, the monitor", Unit::Milliseconds, took),
        panel("Invocations", Unit::Count, lambda("Invocations", "Sum")),
        panel("Errors", Unit::Count, lambda("Errors", "Sum")),
        panel("Throttles", Unit::Count, lambda("Throttles", "Sum")),
        panel("Duration, p99", Unit::Milliseconds, lambda("Duration", "p99")),
        panel("Age of champions and of the last retraining", Unit::Hours, ages),
        panel(
            "Models",
            Unit::Count,
            sums(&[ModelsPublished, ModelsPromoted, ModelReloads, ModelReloadFailures]),
        ),
        panel("Challengers", Unit::Count, sums(&[ChallengerAnswers, ChallengerFailures, ProfileFailures])),
        panel("Requests over HTTP", Unit::Count, sums(&[RequestsAnswered, RequestsRefused])),
        panel(
            "Alarms of the monitor",
            Unit::Count,
            most(&[QualityAlarms, DriftAlarms, PerformanceAlarms, OpenAlarms, AlwaysFiringAlarms]),
        ),
        panel("Scores of the last day", Unit::Score, most(&[DriftScore, PerformanceScore])),
        panel("Errors of the last day", Unit::Minutes, errors),
        panel("Interval coverage and known outcomes", Unit::Share, most(&[IntervalCoverage, LabelledShare])),
        panel("Days judged, and days without outcomes", Unit::Count, most(&[DaysJudged, LabelDelayDays])),
    ]
}

/// Returns every metric of ours on a dashboard.
pub fn shown() -> Vec<String> {
    let ours = |series: &Series| (series.namespace == NAMESPACE).then(|| series.metric.clone());
    panels().iter().flat_map(|panel| panel.series.iter().filter_map(ours).collect::<Vec<_>>()).collect()
}

/// Returns the body of CloudWatch's dashboard, with variables `${...}` for CloudFormation and Terraform.
pub fn cloudwatch() -> String {
    const COLUMNS: usize = 3;
    let widget = |(number, panel): (usize, Panel)| {
        let line = |series: &Series| {
            let (name, value) = &series.dimension;
            json!([series.namespace, series.metric, name, format!("${{{value}}}"), {"stat": series.statistic}])
        };
        let mut axis = json!({"label": label(panel.unit), "showUnits": false});
        // Errors may be negative.
        if panel.unit != Unit::Minutes {
            axis["min"] = json!(0);
        }
        json!({
            "type": "metric",
            "x": 8 * (number % COLUMNS), "y": 6 * (number / COLUMNS), "width": 8, "height": 6,
            "properties": {
                "title": panel.title, "region": "${region}", "view": "timeSeries", "period": 300,
                "metrics": panel.series.iter().map(line).collect::<Vec<Value>>(),
                "yAxis": {"left": axis},
            },
        })
    };
    let widgets: Vec<Value> = panels().into_iter().enumerate().map(widget).collect();
    json!({"widgets": widgets}).to_string()
}

fn label(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "count",
        Unit::Milliseconds => "ms",
        Unit::Seconds => "s",
        Unit::Hours => "hours",
        Unit::Minutes => "minutes",
        Unit::Share => "share",
        Unit::Score => "score",
    }
}

/// Returns Grafana's dashboard, on a CloudWatch data source. It looks up the functions and queues whose names contain
/// the variable `stack`.
pub fn grafana() -> String {
    let panel = |(number, panel): (usize, Panel)| {
        let target = |(at, series): (usize, &Series)| {
            let (name, _) = &series.dimension;
            let value = if series.namespace == "AWS/SQS" { "$queue" } else { "$function" };
            json!({
                "id": "", "refId": char::from(b'A' + at as u8).to_string(), "region": "$region", "namespace": series.namespace,
                "metricName": series.metric, "dimensions": {*name: [value]}, "statistic": series.statistic,
                "matchExact": true, "metricEditorMode": 0, "metricQueryType": 0, "queryMode": "Metrics", "period": "",
            })
        };
        // A variable selects several functions or queues in one query.
        let by_variable = panel.series.iter().all(|series| series.namespace != NAMESPACE);
        let series = if by_variable { &panel.series[..1] } else { &panel.series[..] };
        json!({
            "id": number + 1, "type": "timeseries", "title": panel.title,
            "datasource": {"type": "cloudwatch", "uid": "$datasource"},
            "gridPos": {"x": 8 * (number % 3), "y": 8 * (number / 3), "w": 8, "h": 8},
            "fieldConfig": {"defaults": defaults(panel.unit), "overrides": []},
            "targets": series.iter().enumerate().map(target).collect::<Vec<Value>>(),
        })
    };
    let looked_up = |name: &str, query: &str| {
        json!({
            "name": name, "type": "query", "query": query, "regex": "/.*$stack.*/", "multi": true, "includeAll": true,
            "current": {"text": ["All"], "value": ["$__all"]}, "refresh": 1,
            "datasource": {"type": "cloudwatch", "uid": "$datasource"},
        })
    };
    let variables = json!([
        {"name": "datasource", "type": "datasource", "query": "cloudwatch"},
        {"name": "region", "type": "query", "query": "regions()", "refresh": 1,
            "datasource": {"type": "cloudwatch", "uid": "$datasource"}},
        {"name": "stack", "type": "textbox", "query": "tripcast"},
        looked_up("function", "dimension_values($region, AWS/Lambda, Invocations, FunctionName)"),
        looked_up("queue", "dimension_values($region, AWS/SQS, ApproximateNumberOfMessagesVisible, QueueName)"),
    ]);
    let dashboard = json!({
        "uid": "tripcast", "title": "tripcast", "tags": ["tripcast"], "timezone": "browser", "schemaVersion": 39,
        "refresh": "1m", "time": {"from": "now-24h", "to": "now"}, "templating": {"list": variables},
        "panels": panels().into_iter().enumerate().map(panel).collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&dashboard).unwrap() + "\n"
}

/// Returns Grafana's dashboard on a Prometheus data source: the panels of what `tripcast monitor serve` exposes.
pub fn prometheus() -> String {
    let target = |(at, query): (usize, &String)| {
        let name = query.split('{').next().unwrap_or_default();
        json!({
            "refId": char::from(b'A' + at as u8).to_string(), "expr": query, "legendFormat": format!("{name} ({{{{source}}}})"),
            "datasource": {"type": "prometheus", "uid": "$datasource"},
        })
    };
    let served = served_panels();
    let panel = |(number, (panel, queries)): (usize, &(Panel, Vec<String>))| {
        json!({
            "id": number + 1, "type": "timeseries", "title": panel.title,
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "gridPos": {"x": 8 * (number % 3), "y": 8 * (number / 3), "w": 8, "h": 8},
            "fieldConfig": {"defaults": defaults(panel.unit), "overrides": []},
            "targets": queries.iter().enumerate().map(target).collect::<Vec<Value>>(),
        })
    };
    let variables = json!([
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {"name": "source", "type": "query", "query": "label_values(tripcast_days_judged, source)", "refresh": 1,
            "multi": true, "includeAll": true, "current": {"text": ["All"], "value": ["$__all"]},
            "datasource": {"type": "prometheus", "uid": "$datasource"}},
    ]);
    let dashboard = json!({
        "uid": "tripcast-prometheus", "title": "tripcast (Prometheus)", "tags": ["tripcast"], "timezone": "browser",
        "schemaVersion": 39, "refresh": "1m", "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables},
        "panels": served.iter().enumerate().map(panel).collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&dashboard).unwrap() + "\n"
}

/// Returns the panels of what `tripcast monitor serve` exposes, with their queries.
fn served_panels() -> Vec<(Panel, Vec<String>)> {
    let query = |series: &Series| {
        let is_served = series.namespace == NAMESPACE && series.dimension.1 == "monitor";
        let metric =
            Metric::VARIANTS.iter().find(|metric| metric.name() == series.metric).filter(|_| is_served)?;
        let is_own = *metric != Metric::MonitorMilliseconds;
        is_own.then(|| format!("tripcast_{}{{source=~\"$source\"}}", metric.snake_case_name()))
    };
    let all = panels().into_iter().map(|panel| {
        let queries: Vec<String> = panel.series.iter().filter_map(query).collect();
        (panel, queries)
    });
    all.filter(|(_, queries)| !queries.is_empty()).collect()
}

fn defaults(unit: Unit) -> Value {
    let name = match unit {
        Unit::Count => "short",
        Unit::Milliseconds => "ms",
        Unit::Seconds => "s",
        Unit::Hours => "h",
        Unit::Minutes => "m",
        Unit::Share => "percentunit",
        Unit::Score => "none",
    };
    let mut defaults = json!({"unit": name});
    // Errors may be negative.
    if unit != Unit::Minutes {
        defaults["min"] = json!(0);
    }
    defaults
}
