//! `tripcast cost`: what messages, months, retrainings and an idle month cost on AWS.

mod reports;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::output::{Failure, Output};
use reports::{Billed, ReportFile};

/// The table of this version.
const TABLE: &str = include_str!("../../infra/cost.toml");
/// Memory for which Lambda gives a whole processor, MB.
const MB_A_PROCESSOR: f64 = 1769.0;
const MILLION: f64 = 1e6;
/// Messages in a request of SQS.
const MESSAGES_A_REQUEST: f64 = 10.0;
/// Bytes of a gigabyte as logs are paid.
const GB: f64 = 1e9;
const HOURS_A_MONTH: f64 = 730.0;

/// Compute what it costs on AWS: a million messages, a scored month, a retraining, a month in which nothing happens.
///
/// Prices are list prices with their date, and times those that were measured here; with --report they are those that Lambda billed. Nothing is
/// subtracted for the free tier. Traffic out of the region and support are not counted.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast cost
  tripcast cost --architecture x86_64 --shards 2 --json
  aws logs filter-log-events --log-group-name /aws/lambda/<scorer> --filter-pattern '{ $.type = \"platform.report\" }' \\
      --query 'events[].[message]' --output text > scorer.jsonl
  tripcast cost --report scorer=scorer.jsonl")]
pub struct Args {
    /// The processor of the functions.
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// Shards of each of the two streams.
    #[arg(long, default_value_t = 0)]
    shards: u32,
    /// Lines of a function's log with what Lambda billed: scorer, batch-predictor, monitor or web. (The retrainer's reports are of ages, too.)
    #[arg(long, value_name = "FUNCTION=FILE")]
    report: Vec<ReportFile>,
    /// Prices and figures to compute with, in place of those of this version (infra/cost.toml).
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

/// A processor of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
enum Architecture {
    #[value(name = "arm64")]
    #[serde(rename = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86,
}

/// Prices and figures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    prices: Prices,
    /// By the name of the function.
    pub functions: BTreeMap<String, Usage>,
    idle: Idle,
    telemetry: Telemetry,
    steps: Steps,
}

/// List prices, US dollars.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    date: String,
    region: String,
    lambda_request: f64,
    lambda_gb_second_arm64: f64,
    lambda_gb_second_x86_64: f64,
    sqs_request: f64,
    s3_put: f64,
    s3_get: f64,
    s3_gb_month: f64,
    log_gb: f64,
    metric_month: f64,
    alarm_month: f64,
    dashboard_month: f64,
    key_month: f64,
    key_request: f64,
    http_request: f64,
    shard_hour: f64,
    retention_shard_hour: f64,
    put_unit: f64,
    transition: f64,
    trace: f64,
}

/// What an event of a function takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    memory_mb: f64,
    /// Messages, files or requests of an event.
    pub events_of: f64,
    cpu_ms: f64,
    /// Milliseconds that it waits for the network.
    pub wait_ms: f64,
    /// Milliseconds that a new environment takes more.
    pub cold_ms: f64,
    threads: f64,
}

impl Usage {
    /// Returns the milliseconds of computing of an event on Lambda, which gives a share of a processor by the memory.
    pub fn computing_ms(&self) -> f64 {
        self.cpu_ms / (self.memory_mb / MB_A_PROCESSOR).min(self.threads)
    }

    /// Replaces the times by what Lambda billed.
    fn billed(&mut self, billed: &Billed) {
        self.memory_mb = billed.memory_mb;
        self.events_of = billed.events_of.unwrap_or(self.events_of);
        self.wait_ms = billed.mean_ms;
        self.cpu_ms = 0.0;
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Idle {
    alarms: f64,
    dashboards: f64,
    keys: f64,
    metrics: f64,
    metric_hours_a_month: f64,
    polls_a_month: f64,
    key_requests_a_month: f64,
    storage_gb: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Telemetry {
    log_bytes_an_event: f64,
    traced: f64,
    metrics_of_messages: f64,
    metrics_of_requests: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    transitions_a_retraining: f64,
}

impl Table {
    /// Reads the table of this version, or another one.
    pub fn read(path: Option<&PathBuf>) -> Result<Self, Failure> {
        let (text, name) = match path {
            None => (TABLE.to_string(), "infra/cost.toml".to_string()),
            Some(path) => (String::from_utf8(files::read(path)?.into())?, path.display().to_string()),
        };
        let table: Self = toml::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        for (function, usage) in &table.functions {
            let positive = [usage.memory_mb, usage.events_of, usage.threads];
            let times = [usage.cpu_ms, usage.wait_ms, usage.cold_ms];
            if positive.iter().any(|one| !(*one > 0.0 && one.is_finite()))
                || times.iter().any(|one| one.is_nan() || *one < 0.0)
            {
                let expected = "memory_mb, events_of and threads above 0, and times of 0 or more";
                return Err(format!("{name}: functions.{function}: expected {expected}").into());
            }
        }
        Ok(table)
    }

    /// Returns what an event of a function takes.
    pub fn usage(&self, function: &str) -> Result<&Usage, Failure> {
        let known = || self.functions.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.functions
            .get(function)
            .ok_or_else(|| format!("expected one of the functions {}, found {function}", known()).into())
    }
}

/// A part of a price.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Part {
    name: &'static str,
    usd: f64,
}

/// What something costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cost {
    what: &'static str,
    usd: f64,
    parts: Vec<Part>,
}

impl Cost {
    fn new<const N: usize>(what: &'static str, parts: [(&'static str, f64); N]) -> Self {
        let parts: Vec<Part> = parts.into_iter().map(|(name, usd)| Part { name, usd }).collect();
        Self { what, usd: parts.iter().map(|part| part.usd).sum(), parts }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed {
    prices_of: String,
    region: String,
    architecture: Architecture,
    costs: Vec<Cost>,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let mut table = Table::read(args.table.as_ref())?;
    for ReportFile { function, file } in &args.report {
        table.usage(function)?;
        if function == "retrainer" {
            let detail = "a retraining's record has its seconds; the log mixes it with reports of ages";
            return Err(format!("--report retrainer: {detail} (`tripcast runs list`)").into());
        }
        let billed =
            Billed::read(&files::read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Some(usage) = table.functions.get_mut(function) {
            usage.billed(&billed);
        }
    }
    let mut costs = of_work(&table, args.architecture)?;
    costs.extend(of_a_month(&table, f64::from(args.shards)));
    let (prices_of, region) = (table.prices.date, table.prices.region);
    let printed = Printed { prices_of, region, architecture: args.architecture, costs };
    out.print(&printed, || lines(&printed))
}

/// Returns what work costs.
fn of_work(table: &Table, architecture: Architecture) -> Result<Vec<Cost>, Failure> {
    let prices = &table.prices;
    let gb_second = match architecture {
        Architecture::Arm64 => prices.lambda_gb_second_arm64,
        Architecture::X86 => prices.lambda_gb_second_x86_64,
    };
    // Events of a function: requests and time; and what they leave in logs and traces.
    let lambda = |function: &str, events: f64| -> Result<(f64, f64), Failure> {
        let usage = table.usage(function)?;
        let gb_seconds = (usage.computing_ms() + usage.wait_ms) / 1e3 * usage.memory_mb / 1024.0;
        let logged = events * table.telemetry.log_bytes_an_event / GB * prices.log_gb;
        let traced = events * table.telemetry.traced * prices.trace;
        Ok((events * (prices.lambda_request + gb_seconds * gb_second), logged + traced))
    };
    let batches = MILLION / table.usage("scorer")?.events_of;
    let requests = MILLION / MESSAGES_A_REQUEST * prices.sqs_request;
    let (scorer, scored) = lambda("scorer", batches)?;
    let (web, answered) = lambda("web", MILLION)?;
    let (predictor, predicted) = lambda("batch-predictor", 1.0)?;
    let (monitor, watched) = lambda("monitor", 1.0)?;
    let (retrainer, retrained) = lambda("retrainer", 1.0)?;
    Ok(vec![
        Cost::new(
            "a million messages",
            [
                // Sent, received and deleted, by ten: the message and then its prediction.
                ("requests of both queues", 6.0 * requests),
                ("scorer", scorer),
                ("logs and traces", scored),
            ],
        ),
        Cost::new(
            "a million records of a stream",
            // A unit for each message, and one for each prediction; the scorer has batches of the same size.
            [
                ("units of both streams", 2.0 * MILLION * prices.put_unit),
                ("scorer", scorer),
                ("logs and traces", scored),
            ],
        ),
        Cost::new(
            "a million requests over HTTP",
            [("API Gateway", MILLION * prices.http_request), ("web", web), ("logs and traces", answered)],
        ),
        Cost::new(
            "a scored month",
            [
                // Predictions, summary, profile and report, each with its marks; what they are made of is read.
                ("requests of S3", 12.0 * prices.s3_put + 60.0 * prices.s3_get),
                ("batch-predictor", predictor),
                ("monitor", monitor),
                ("logs and traces", predicted + watched),
            ],
        ),
        Cost::new(
            "a retraining",
            [
                ("requests of S3", 30.0 * prices.s3_put + 60.0 * prices.s3_get),
                ("retrainer", retrainer),
                ("logs and traces", retrained),
            ],
        ),
        Cost::new(
            "a retraining by the state machine, more",
            [("transitions", table.steps.transitions_a_retraining * prices.transition)],
        ),
    ])
}

/// Returns what a month costs beside that.
fn of_a_month(table: &Table, shards: f64) -> Vec<Cost> {
    let (prices, idle) = (&table.prices, &table.idle);
    vec![
        Cost::new(
            "a month with messages in every hour, more",
            [("metrics", table.telemetry.metrics_of_messages * prices.metric_month)],
        ),
        Cost::new(
            "a month with requests in every hour, more",
            [("metrics", table.telemetry.metrics_of_requests * prices.metric_month)],
        ),
        Cost::new(
            "a month in which nothing happens",
            [
                ("alarms", idle.alarms * prices.alarm_month),
                ("dashboards", idle.dashboards * prices.dashboard_month),
                ("key", idle.keys * prices.key_month + idle.key_requests_a_month * prices.key_request),
                ("metrics", idle.metrics * prices.metric_month * idle.metric_hours_a_month / HOURS_A_MONTH),
                ("polls of the queue", idle.polls_a_month * prices.sqs_request),
                ("storage", idle.storage_gb * prices.s3_gb_month),
                ("shards of both streams", 2.0 * shards * prices.shard_hour * HOURS_A_MONTH),
                ("a week of records", shards * prices.retention_shard_hour * HOURS_A_MONTH),
            ],
        ),
    ]
}

fn lines(printed: &Printed) -> Vec<String> {
    let architecture = if printed.architecture == Architecture::Arm64 { "arm64" } else { "x86_64" };
    let mut lines = vec![format!(
        "US dollars by the list prices of {} of {}, {architecture}, without the free tier",
        printed.region, printed.prices_of
    )];
    for cost in &printed.costs {
        lines.push(format!("{:44} {:>10}", cost.what, dollars(cost.usd)));
        let parts = cost.parts.iter().filter(|part| part.usd > 0.0);
        lines.extend(parts.map(|part| format!("    {:40} {:>10}", part.name, dollars(part.usd))));
    }
    lines
}

/// Returns an amount with two digits that count, and cents at least.
fn dollars(usd: f64) -> String {
    let digits = (1.0 - usd.abs().log10().floor()).clamp(2.0, 9.0) as usize;
    format!("{usd:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_this_version_is_one_and_its_costs_add_up() {
        let table = Table::read(None).unwrap();
        let all = of_work(&table, Architecture::Arm64).unwrap();
        // A hundred thousand requests of SQS cost 4 cents: sent, received, deleted, twice.
        assert!((all[0].parts[0].usd - 0.24).abs() < 1e-12);
        for cost in &all {
            assert!(
                cost.usd > 0.0
                    && (cost.parts.iter().map(|part| part.usd).sum::<f64>() - cost.usd).abs() < 1e-12
            );
        }
        let x86 = of_work(&table, Architecture::X86).unwrap();
        assert!(x86[0].usd > all[0].usd);
        // Two shards of 730 hours, and what one of them keeps.
        let idle = |shards: f64| of_a_month(&table, shards).last().unwrap().usd;
        assert!((idle(1.0) - idle(0.0) - (2.0 * 0.015 + 0.020) * 730.0).abs() < 1e-9);
    }

    #[test]
    fn what_lambda_billed_takes_the_place_of_what_was_measured() {
        let mut table = Table::read(None).unwrap();
        let billed = Billed { memory_mb: 1024.0, mean_ms: 50.0, events_of: Some(10.0) };
        table.functions.get_mut("scorer").unwrap().billed(&billed);
        let all = of_work(&table, Architecture::Arm64).unwrap();
        // A hundred thousand batches of 50 ms at a gigabyte, and their requests.
        let expected = 1e5 * (0.20e-6 + 0.05 * 13.3334e-6);
        assert!((all[0].parts[1].usd - expected).abs() < 1e-9, "{:?}", all[0]);
        assert!(table.usage("scorers").unwrap_err().to_string().contains("batch-predictor"));
    }
}
