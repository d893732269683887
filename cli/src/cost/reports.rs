//! What Lambda billed, by the reports in a function's log.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;

/// A function and its log.
#[derive(Debug, Clone)]
pub struct ReportFile {
    /// The name of the function.
    pub function: String,
    /// Lines of JSON.
    pub file: PathBuf,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (function, file) =
            text.split_once('=').ok_or("expected FUNCTION=FILE, as in scorer=scorer.jsonl")?;
        Ok(Self { function: function.into(), file: file.into() })
    }
}

/// What Lambda billed for an event of a function, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Billed {
    /// Its memory, MB.
    pub memory_mb: f64,
    /// Milliseconds.
    pub mean_ms: f64,
    /// Messages of an event, if the log has our metrics beside the reports.
    pub events_of: Option<f64>,
}

/// Metrics that count the messages of a batch.
const MESSAGES: [&str; 3] = ["MessagesPredicted", "MessagesRejected", "MessagesFailed"];

impl Billed {
    /// Reads the lines of a log; others than reports and metrics are skipped.
    ///
    /// # Errors
    /// That there is no report.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (mut n, mut billed, mut memory_mb, mut messages) = (0.0, 0.0, 0.0, 0.0);
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
            let metrics = &line["record"]["metrics"];
            let (of, mb) = (metrics["billedDurationMs"].as_f64(), metrics["memorySizeMB"].as_f64());
            if let (Some("platform.report"), Some(of), Some(mb)) = (line["type"].as_str(), of, mb) {
                (n, billed, memory_mb) = (n + 1.0, billed + of, mb);
            }
            if line.get("_aws").is_some() {
                messages += MESSAGES.iter().filter_map(|name| line[name].as_f64()).sum::<f64>();
            }
        }
        if n == 0.0 {
            return Err(
                "expected lines of JSON of type platform.report, as Lambda logs them, found none".into()
            );
        }
        Ok(Self { memory_mb, mean_ms: billed / n, events_of: (messages > 0.0).then_some(messages / n) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_averaged_and_messages_counted() {
        // The form of AWS's page "Monitoring Lambda functions with CloudWatch Logs", with our metrics between.
        let log = br#"{"time":"2026-11-28T08:00:00.000Z","type":"platform.start","record":{"requestId":"a"}}
{"_aws":{"Timestamp":1},"MessagesPredicted":99,"MessagesRejected":1}
{"time":"2026-11-28T08:00:00.041Z","type":"platform.report","record":{"requestId":"a","metrics":{"durationMs":40.2,"billedDurationMs":41,"memorySizeMB":512,"maxMemoryUsedMB":30},"status":"success"}}
no JSON
{"time":"2026-11-28T08:00:01.061Z","type":"platform.report","record":{"requestId":"b","metrics":{"durationMs":60.9,"billedDurationMs":61,"memorySizeMB":512,"maxMemoryUsedMB":30},"status":"success"}}
"#;
        assert_eq!(Billed::read(log), Ok(Billed { memory_mb: 512.0, mean_ms: 51.0, events_of: Some(50.0) }));
        assert!(Billed::read(b"{}\n").is_err());
        assert!("scorer".parse::<ReportFile>().is_err());
    }
}
