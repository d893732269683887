//! Prints results on stdout, and progress and failures on stderr.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing::level_filters::LevelFilter;

/// A failure of a verb; it is printed with its chain of causes.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How results are printed.
pub struct Output {
    /// Whether to print one JSON document instead of a table.
    pub json: bool,
}

impl Output {
    /// Prints `document` as JSON, or else the lines of `table`.
    pub fn print<T: Serialize>(
        &self,
        document: &T,
        table: impl FnOnce() -> Vec<String>,
    ) -> Result<(), Failure> {
        let text =
            if self.json { serde_json::to_string_pretty(document)? } else { printable(&table().join("\n")) };
        match writeln!(std::io::stdout(), "{text}") {
            // The reader has closed the pipe, as in `tripcast ... | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }
}

/// Returns a text without what terminals obey: names of objects and messages of others may contain it.
fn printable(text: &str) -> String {
    let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if is_obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Prints log messages on stderr: warnings, and more with each `-v`.
pub fn log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}

/// Prints a failure with all its causes in one line and returns exit code 1.
pub fn fail(failure: &dyn Error) -> ExitCode {
    let mut line = format!("error: {failure}");
    let mut cause = failure.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    let _ = writeln!(std::io::stderr(), "{line}");
    ExitCode::FAILURE
}

/// Creates a bar of `length` steps on stderr, hidden if stderr is not a terminal.
pub fn progress(length: u64, doing: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(doing.to_string());
    bar
}

/// Creates a spinner for work of unknown length.
pub fn spinner(doing: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(doing.to_string());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_is_printed() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}b\n\tc"), "a\u{fffd}[2J\u{fffd}b\n\tc");
    }
}
