//! `tripcast dlq list`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use operations::letters::{Letter, Letters, LettersError, Scan};
use serde::Serialize;

use crate::output::{Failure, Output, spinner};
use crate::queues::{self, HIDDEN, beginning, time};

/// Count the messages of queues by why they are there, and show some of them.
///
/// Looking removes nothing, but SQS shows a message only to who receives it: each one that is looked at is hidden from others for some
/// seconds and counts one more receive. On a queue with a redrive policy of its own, such as that of trips, enough receives move a
/// message away; look at queues of dead letters.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast dlq list --queue \"$DEAD_LETTER_QUEUE_URL\"
  tripcast dlq list --queue \"$DEAD_LETTER_QUEUE_URL\" --queue \"$REJECTS_QUEUE_URL\" --sample 20 --json")]
pub struct Args {
    /// URL of a queue; repeat for more.
    #[arg(long, value_name = "URL", required = true, value_parser = queues::url)]
    queue: Vec<String>,
    /// Messages looked at, of each queue.
    #[arg(long, default_value_t = 1_000)]
    max: u64,
    /// Messages shown, of each queue.
    #[arg(long, default_value_t = 5)]
    sample: usize,
}

/// What a queue holds.
#[derive(Debug, Serialize)]
struct Listed {
    queue: String,
    /// Messages that can be received, approximately.
    waiting: u64,
    /// Messages that somebody else has received, approximately.
    hidden: u64,
    /// Messages that the rest is about.
    looked_at: u64,
    /// When the oldest of them was sent.
    oldest: Option<DateTime<Utc>>,
    reasons: Vec<Counted>,
    sample: Vec<Shown>,
}

/// Messages that are there for one reason.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counted {
    reason: String,
    /// Whether they were rejected, so that they can never be predicted as they are.
    is_rejection: bool,
    messages: u64,
}

/// The beginning of a message.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    sent: Option<DateTime<Utc>>,
    receives: u32,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    body: String,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let mut listed = Vec::with_capacity(args.queue.len());
    for url in &args.queue {
        let looking = spinner("looking at messages");
        let queue = list(&queues::open(url).await, args.max, args.sample).await;
        looking.finish_and_clear();
        listed.push(Listed { queue: url.clone(), ..queue? });
    }
    out.print(&listed, || listed.iter().flat_map(table).collect())
}

async fn list(queue: &dyn Letters, max: u64, sample: usize) -> Result<Listed, LettersError> {
    let depth = queue.depth().await?;
    let mut listed = Listed {
        queue: String::new(),
        waiting: depth.waiting,
        hidden: depth.hidden,
        looked_at: 0,
        oldest: None,
        reasons: Vec::new(),
        sample: Vec::new(),
    };
    let mut scan = Scan::new(queue, max, HIDDEN);
    let counted = count(&mut scan, &mut listed, sample).await;
    scan.give_back().await;
    counted.map(|()| listed)
}

async fn count(scan: &mut Scan<'_>, listed: &mut Listed, sample: usize) -> Result<(), LettersError> {
    let mut reasons: BTreeMap<(bool, String), u64> = BTreeMap::new();
    loop {
        let letters = scan.next().await?;
        if letters.is_empty() {
            break;
        }
        for letter in letters {
            listed.looked_at += 1;
            listed.oldest = listed.oldest.into_iter().chain(letter.sent).min();
            let reason = reason(&letter);
            *reasons.entry((letter.is_rejection(), reason.clone())).or_default() += 1;
            if listed.sample.len() < sample {
                listed.sample.push(Shown {
                    detail: letter
                        .attribute("detail")
                        .or(letter.attribute("ERROR_MESSAGE"))
                        .map(String::from),
                    body: beginning(&letter.body),
                    id: letter.id,
                    sent: letter.sent,
                    receives: letter.receives,
                    reason,
                });
            }
        }
    }
    let counted = |((is_rejection, reason), messages)| Counted { reason, is_rejection, messages };
    listed.reasons = reasons.into_iter().map(counted).collect();
    Ok(())
}

/// Returns why a message is there: the reason of a rejection, the error code of who could not deliver it, or, where a redrive
/// policy moved it, how often it was received.
fn reason(letter: &Letter) -> String {
    let stated = letter.attribute("reason").or(letter.attribute("ERROR_CODE"));
    stated.map_or_else(|| format!("received {} times", letter.receives), String::from)
}

fn table(listed: &Listed) -> Vec<String> {
    let Listed { queue, waiting, hidden, looked_at, .. } = listed;
    let mut lines = vec![format!("{queue}: {waiting} messages, {hidden} hidden; {looked_at} looked at")];
    if *looked_at > 0 {
        lines.push(format!("  the oldest was sent {}", time(listed.oldest)));
    }
    lines.extend(listed.reasons.iter().map(|counted| {
        let kind = if counted.is_rejection { "rejected: " } else { "" };
        format!("  {:>6}  {kind}{}", counted.messages, counted.reason)
    }));
    for Shown { id, sent, reason, detail, body, .. } in &listed.sample {
        lines.push(format!("  {id}  {}  {reason}", time(*sent)));
        lines.extend(detail.iter().map(|detail| format!("    {detail}")));
        lines.push(format!("    {body}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use operations::letters::{Attribute, MemoryLetters};

    use super::*;

    fn letter(number: u32, attributes: &[(&str, &str)]) -> Letter {
        Letter {
            body: format!("body {number}"),
            receives: 10,
            sent: DateTime::from_timestamp(1_615_800_000 - i64::from(number), 0),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_string(), Attribute::text(value)))
                .collect(),
            ..Letter::default()
        }
    }

    #[tokio::test]
    async fn messages_are_counted_by_why_they_are_there_and_given_back() {
        let rejected =
            [("reason", "undecodable"), ("detail", "expected an object"), ("source_message_id", "m")];
        let mut letters: Vec<Letter> = (0..12).map(|number| letter(number, &[])).collect();
        letters.extend((12..15).map(|number| letter(number, &rejected)));
        letters.push(letter(15, &[("ERROR_CODE", "NO_PERMISSIONS")]));
        let queue = MemoryLetters::new(letters);
        let listed = list(&queue, 100, 2).await.unwrap();
        assert_eq!((listed.waiting, listed.hidden, listed.looked_at), (16, 0, 16));
        assert_eq!(listed.oldest, DateTime::from_timestamp(1_615_800_000 - 15, 0));
        let counted =
            |reason: &str, is_rejection, messages| Counted { reason: reason.into(), is_rejection, messages };
        assert_eq!(
            listed.reasons,
            [
                counted("NO_PERMISSIONS", false, 1),
                counted("received 11 times", false, 12),
                counted("undecodable", true, 3),
            ]
        );
        assert_eq!(listed.sample.len(), 2);
        assert!(table(&listed).iter().any(|line| line.ends_with("3  rejected: undecodable")));
        assert_eq!(queue.visible().len(), 16, "looking takes nothing away");

        let bounded = list(&queue, 3, 10).await.unwrap();
        assert_eq!((bounded.waiting, bounded.looked_at, bounded.sample.len()), (16, 3, 3));
    }
}
