//! `tripcast failures list`.

use chrono::{DateTime, Utc};
use operations::letters::{Letters, LettersError, Scan};
use serde::Serialize;

use super::entry::{Entry, Function, Work};
use crate::output::{Failure, Output, spinner};
use crate::queues::{self, HIDDEN, hidden_line, time};

/// List what failed for good: the function, the reason, the attempts, and the object, the records or the event.
///
/// Looking removes nothing, but SQS shows a message only to who receives it: each one is hidden from others for some seconds, and counts one more
/// receive. `dlq show` shows an entry whole.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast failures list --queue \"$BATCH_FAILURES_QUEUE_URL\"
  tripcast failures list --queue \"$BATCH_FAILURES_QUEUE_URL\" --max 1000 --json")]
pub struct Args {
    /// URL of the queue: the output BatchFailuresQueueUrl of a deployment.
    #[arg(long, value_name = "URL", value_parser = queues::url)]
    queue: String,
    /// Entries looked at.
    #[arg(long, default_value_t = 100)]
    max: u64,
}

/// What a queue of failures holds.
#[derive(Debug, Serialize)]
struct Listed {
    queue: String,
    /// Messages that can be received, approximately.
    waiting: u64,
    /// Messages that somebody has received, approximately.
    hidden: u64,
    entries: Vec<Shown>,
}

/// An entry.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    function: Option<String>,
    failed: Option<DateTime<Utc>>,
    attempts: Option<u64>,
    reason: String,
    about: Vec<String>,
    /// Whether `failures replay` can do it again.
    can_be_replayed: bool,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let looking = spinner("looking at entries");
    let listed = list(&queues::open(&args.queue).await, args.max).await;
    looking.finish_and_clear();
    let listed = Listed { queue: args.queue.clone(), ..listed? };
    out.print(&listed, || table(&listed))
}

async fn list(queue: &dyn Letters, max: u64) -> Result<Listed, LettersError> {
    let depth = queue.depth().await?;
    let mut scan = Scan::new(queue, max, HIDDEN);
    let mut entries = Vec::new();
    let ended = loop {
        match scan.next().await {
            Ok(letters) if letters.is_empty() => break Ok(()),
            Ok(letters) => entries.extend(letters.iter().map(|letter| shown(Entry::new(letter)))),
            Err(error) => break Err(error),
        }
    };
    scan.give_back().await;
    ended.map(|()| Listed { queue: String::new(), waiting: depth.waiting, hidden: depth.hidden, entries })
}

fn shown(entry: Entry) -> Shown {
    Shown {
        about: entry.about(),
        can_be_replayed: entry.function.is_some() && !matches!(entry.work, Work::Nothing(_)),
        id: entry.id,
        function: entry.function.as_ref().map(Function::qualified),
        failed: entry.failed,
        attempts: entry.attempts,
        reason: entry.reason,
    }
}

fn table(listed: &Listed) -> Vec<String> {
    let Listed { queue, waiting, hidden, entries } = listed;
    let mut lines = vec![format!("{queue}: {waiting} messages, {} looked at", entries.len())];
    lines.extend(hidden_line(*hidden));
    for one in entries {
        let function = one.function.as_deref().unwrap_or("no function");
        let attempts = one.attempts.map(|attempts| format!(" after {attempts} attempts")).unwrap_or_default();
        let lasting = if one.can_be_replayed { "" } else { " (cannot be replayed)" };
        lines.push(format!("  {}  {}  {function}{attempts}{lasting}", one.id, time(one.failed)));
        lines.push(format!("    {}", one.reason));
        lines.extend(one.about.iter().map(|about| format!("    {about}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use operations::letters::MemoryLetters;

    use super::super::entry::samples;
    use super::*;

    #[tokio::test]
    async fn entries_are_listed_and_given_back() {
        let dropped = samples::dropped("incoming/a.parquet");
        let queue = MemoryLetters::new(vec![
            samples::invocation("batch", &dropped),
            samples::records("scorer"),
            samples::unknown(),
        ]);
        let listed = list(&queue, 100).await.unwrap();
        assert_eq!((listed.waiting, listed.entries.len(), queue.visible().len()), (3, 3, 3));
        let can: Vec<bool> = listed.entries.iter().map(|entry| entry.can_be_replayed).collect();
        assert_eq!(can, [true, true, false]);
        let lines = table(&listed);
        assert!(lines[1].ends_with("2021-03-15T09:00:00Z  batch after 3 attempts"), "{lines:?}");
        assert_eq!(lines[3], "    s3://trips/incoming/a.parquet");
        assert_eq!(list(&queue, 2).await.unwrap().entries.len(), 2);
    }
}
