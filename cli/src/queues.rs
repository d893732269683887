//! Queues of dead letters and of failures, as verbs name them and show their messages.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use operations::letters::{LettersError, SqsLetters};

/// Time for which messages are hidden from others while they are looked at or moved.
pub const HIDDEN: Duration = Duration::from_secs(120);
/// Characters of a text that are shown in a line.
const SHOWN_CHARS: usize = 160;

/// Reads the URL of a queue.
pub fn url(text: &str) -> Result<String, String> {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err("expected the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/111122223333/tripcast-dead-letters".into());
    }
    if text.ends_with(".fifo") {
        return Err("expected a standard queue: queues that keep an order (FIFO) are not supported".into());
    }
    Ok(text.into())
}

/// Why a walk over a queue ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The queue did not do what was asked.
    #[error(transparent)]
    Letters(#[from] LettersError),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted: what was received and not done is given back")]
    Interrupted,
}

/// Walks over a queue until the end, or until somebody interrupts it, so that what it hides can be given back.
pub async fn unless_interrupted(
    walk: impl Future<Output = Result<(), LettersError>>,
) -> Result<(), WalkError> {
    tokio::select! {
        ended = walk => Ok(ended?),
        _ = tokio::signal::ctrl_c() => Err(WalkError::Interrupted),
    }
}

/// Returns a line about messages that somebody has received, and that no command shows until they are given back; none if there are none.
pub fn hidden_line(hidden: u64) -> Option<String> {
    (hidden > 0).then(|| {
        format!("  {hidden} more are hidden, since somebody has received them; look again in some minutes")
    })
}

/// Opens the queue at `url`.
pub async fn open(url: &str) -> SqsLetters {
    SqsLetters::new(&store::aws_config("tripcast").await, url.to_string())
}

/// Returns the beginning of a text, in one line.
pub fn beginning(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    let beginning: String = text.chars().map(line).take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() { format!("{beginning}...") } else { beginning }
}

/// Returns a time in one form, or that it is not known.
pub fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "at a time unknown".into(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_url_and_keeps_no_order() {
        assert!(url("http://127.0.0.1:4566/0/trips").is_ok() && url("https://sqs.x/0/trips").is_ok());
        assert!(url("trips").unwrap_err().contains("expected the URL of a queue"));
        assert!(url("https://sqs.x/0/trips.fifo").unwrap_err().contains("FIFO"));
    }

    #[test]
    fn a_text_is_shown_in_one_line() {
        assert_eq!(beginning("a\nb"), "a b");
        let long = "é".repeat(SHOWN_CHARS + 1);
        assert_eq!(beginning(&long).chars().count(), SHOWN_CHARS + 3);
    }
}
