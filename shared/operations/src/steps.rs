//! Starts executions of a state machine of Step Functions and follows those that map over many items.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::types::{ExecutionStatus, MapRunItemCounts};
use platform::client::{ATTEMPT, CALL, detail, timeouts};
use serde_json::Value;

/// Time between two looks at an execution.
pub const PAUSE: Duration = Duration::from_secs(1);
/// Failed items whose inputs are read, to bound the calls.
const FAILED_MAX: i32 = 100;

/// Why Step Functions did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing} {arn}: {detail}")]
pub struct StepsError {
    doing: &'static str,
    arn: String,
    detail: String,
}

/// How an execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Running,
    /// It ended well, with this output (null if Step Functions leaves it out).
    Succeeded(Value),
    /// It was stopped, failed, or took too long.
    Ended {
        /// `FAILED`, `ABORTED` or `TIMED_OUT`.
        status: String,
        /// The name of the error and its cause, as far as there are any.
        reason: String,
    },
}

/// Items of a distributed map by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Items {
    /// All items.
    pub total: u64,
    /// Items that ended well.
    pub succeeded: u64,
    /// Items that failed for good, took too long or were stopped.
    pub failed: u64,
}

/// An item that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// What it was asked to do.
    pub input: Value,
    /// The name of the error and its cause.
    pub reason: String,
}

/// A client of Step Functions.
#[derive(Debug, Clone)]
pub struct Steps {
    client: Client,
}

impl Steps {
    /// Creates a client.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = timeouts(ATTEMPT, CALL);
        let config = aws_sdk_sfn::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config) }
    }

    /// Starts an execution with this input and returns its ARN.
    ///
    /// # Errors
    /// [`StepsError`], as for the other calls.
    pub async fn start(&self, state_machine: &str, input: &Value) -> Result<String, StepsError> {
        let call = self.client.start_execution().state_machine_arn(state_machine).input(input.to_string());
        let started = call.send().await.map_err(|error| failed("starting", state_machine, &error))?;
        Ok(started.execution_arn)
    }

    /// Returns how an execution stands.
    ///
    /// # Errors
    /// [`StepsError`].
    pub async fn standing(&self, execution: &str) -> Result<Standing, StepsError> {
        let call = self.client.describe_execution().execution_arn(execution);
        let described = call.send().await.map_err(|error| failed("describing", execution, &error))?;
        Ok(match described.status {
            ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Standing::Running,
            ExecutionStatus::Succeeded => {
                let output = described.output.as_deref().and_then(|output| serde_json::from_str(output).ok());
                Standing::Succeeded(output.unwrap_or_default())
            }
            other => Standing::Ended {
                status: other.as_str().to_string(),
                reason: reason(described.error.as_deref(), described.cause.as_deref()),
            },
        })
    }

    /// Waits for the end of an execution and returns its output.
    ///
    /// # Errors
    /// [`StepsError`], also if the execution ended otherwise than well.
    pub async fn wait(&self, execution: &str) -> Result<Value, StepsError> {
        loop {
            match self.standing(execution).await? {
                Standing::Running => tokio::time::sleep(PAUSE).await,
                Standing::Succeeded(output) => return Ok(output),
                Standing::Ended { status, reason } => {
                    let detail = format!("it ended as {status}: {reason}");
                    return Err(StepsError { doing: "following", arn: execution.into(), detail });
                }
            }
        }
    }

    /// Counts the items of the distributed maps of an execution; all are 0 before a map has begun.
    ///
    /// # Errors
    /// [`StepsError`].
    pub async fn items(&self, execution: &str) -> Result<Items, StepsError> {
        let mut items = Items::default();
        for run in self.map_runs(execution).await? {
            let call = self.client.describe_map_run().map_run_arn(&run);
            let described = call.send().await.map_err(|error| failed("describing", &run, &error))?;
            if let Some(counts) = described.item_counts {
                items.add(&counts);
            }
        }
        Ok(items)
    }

    /// Returns the first hundred items of an execution's distributed maps that failed.
    ///
    /// # Errors
    /// [`StepsError`].
    pub async fn failed_items(&self, execution: &str) -> Result<Vec<FailedItem>, StepsError> {
        let mut items = Vec::new();
        for run in self.map_runs(execution).await? {
            let call = self.client.list_executions().map_run_arn(&run);
            let call = call.status_filter(ExecutionStatus::Failed).max_results(FAILED_MAX);
            let listed =
                call.send().await.map_err(|error| failed("listing the failures of", &run, &error))?;
            for child in listed.executions {
                let call = self.client.describe_execution().execution_arn(&child.execution_arn);
                let described =
                    call.send().await.map_err(|error| failed("describing", &child.execution_arn, &error))?;
                let input = described.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
                items.push(FailedItem {
                    input: input.unwrap_or_default(),
                    reason: reason(described.error.as_deref(), described.cause.as_deref()),
                });
            }
        }
        Ok(items)
    }

    async fn map_runs(&self, execution: &str) -> Result<Vec<String>, StepsError> {
        let call = self.client.list_map_runs().execution_arn(execution);
        let listed =
            call.send().await.map_err(|error| failed("listing the map runs of", execution, &error))?;
        Ok(listed.map_runs.into_iter().map(|run| run.map_run_arn).collect())
    }
}

impl Items {
    fn add(&mut self, counts: &MapRunItemCounts) {
        let count = |items: i64| u64::try_from(items).unwrap_or_default();
        self.total += count(counts.total);
        self.succeeded += count(counts.succeeded);
        self.failed += count(counts.failed) + count(counts.timed_out) + count(counts.aborted);
    }
}

fn failed<E>(doing: &'static str, arn: &str, error: &SdkError<E>) -> StepsError
where
    SdkError<E>: ProvideErrorMetadata + std::error::Error,
{
    StepsError { doing, arn: arn.into(), detail: detail(error) }
}

fn reason(error: Option<&str>, cause: Option<&str>) -> String {
    let parts = [error, cause].into_iter().flatten().filter(|text| !text.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}
