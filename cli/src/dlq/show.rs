//! `tripcast dlq show`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use operations::letters::{Letter, Letters, LettersError, Scan};
use serde::Serialize;

use crate::output::{Failure, Output, spinner};
use crate::queues::{self, HIDDEN, time};

/// Show one message whole: its body and its attributes.
///
/// SQS finds no message by its id, so messages are received until it is there, and then all of them are given back; each counts one more receive.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast dlq show --queue \"$DEAD_LETTER_QUEUE_URL\" --id 5fea7756-0ea4-451a-a703-a558b933e274")]
pub struct Args {
    /// URL of the queue.
    #[arg(long, value_name = "URL", value_parser = queues::url)]
    queue: String,
    /// Id of the message, as `dlq list` and `failures list` show it.
    #[arg(long, value_name = "MESSAGE_ID")]
    id: String,
    /// Messages received at most.
    #[arg(long, default_value_t = 10_000)]
    max: u64,
}

/// A message.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    sent: Option<DateTime<Utc>>,
    receives: u32,
    /// The queue whose redrive policy moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<String>,
    is_rejection: bool,
    attributes: BTreeMap<String, ShownAttribute>,
    body: String,
}

/// An attribute; bytes are in base64.
#[derive(Debug, Serialize)]
struct ShownAttribute {
    data_type: String,
    value: String,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let looking = spinner("looking for the message");
    let found = find(&queues::open(&args.queue).await, &args.id, args.max).await;
    looking.finish_and_clear();
    let (found, looked_at) = found?;
    let Some(letter) = found else {
        return Err(format!(
            "there is no message {} among the {looked_at} that could be received from {}; it may be hidden for a while, or gone",
            args.id, args.queue
        )
        .into());
    };
    let shown = Shown {
        is_rejection: letter.is_rejection(),
        id: letter.id,
        sent: letter.sent,
        receives: letter.receives,
        moved_from: letter.moved_from,
        attributes: letter
            .attributes
            .into_iter()
            .map(|(name, one)| (name, ShownAttribute { value: one.shown(), data_type: one.data_type }))
            .collect(),
        body: letter.body,
    };
    out.print(&shown, || table(&shown))
}

/// Looks for a message and returns it with the number of messages that were looked at.
async fn find(queue: &dyn Letters, id: &str, max: u64) -> Result<(Option<Letter>, u64), LettersError> {
    let mut scan = Scan::new(queue, max, HIDDEN);
    let mut looked_at = 0;
    let found = loop {
        match scan.next().await {
            Ok(letters) if letters.is_empty() => break Ok(None),
            Ok(letters) => {
                looked_at += letters.len() as u64;
                if let Some(letter) = letters.into_iter().find(|letter| letter.id == id) {
                    break Ok(Some(letter));
                }
            }
            Err(error) => break Err(error),
        }
    };
    scan.give_back().await;
    Ok((found?, looked_at))
}

fn table(shown: &Shown) -> Vec<String> {
    let mut lines =
        vec![format!("{}  sent {}, received {} times", shown.id, time(shown.sent), shown.receives)];
    lines.extend(shown.moved_from.iter().map(|queue| format!("moved from {queue}")));
    lines.extend(shown.attributes.iter().map(|(name, one)| format!("{name}: {}", one.value)));
    lines.extend([String::new(), shown.body.clone()]);
    lines
}

#[cfg(test)]
mod tests {
    use operations::letters::MemoryLetters;

    use super::*;

    #[tokio::test]
    async fn a_message_is_found_by_its_id_and_all_are_given_back() {
        let letter = |number: usize| Letter { id: format!("m{number}"), ..Letter::default() };
        let queue = MemoryLetters::new((0..25).map(letter).collect());
        let (found, looked_at) = find(&queue, "m12", 100).await.unwrap();
        assert_eq!((found.unwrap().id.as_str(), looked_at), ("m12", 20));
        assert_eq!(find(&queue, "m99", 100).await.unwrap(), (None, 25));
        assert_eq!(queue.visible().len(), 25);
    }
}
