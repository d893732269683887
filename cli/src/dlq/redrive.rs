//! `tripcast dlq redrive`.

use std::collections::HashSet;

use indicatif::ProgressBar;
use operations::letters::{Letter, Letters, LettersError, Scan};
use serde::Serialize;

use crate::output::{Failure, Output, progress};
use crate::queues::{self, HIDDEN, WalkError, hidden_line, unless_interrupted};

/// Move messages back to the queue that they came from, once the cause of their failure is removed.
///
/// A message is sent first and deleted when that was acknowledged, so none is lost and one may come twice. Its body and its attributes stay; it has a
/// new id, a new age and no receives. Only what was there at the beginning is moved: a message that fails at once and comes back is left. What was
/// rejected can never be predicted as it is, and stays, as do rejected records of a stream in any case: put them into the stream anew.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast dlq redrive --queue \"$DEAD_LETTER_QUEUE_URL\" --to \"$TRIPS_QUEUE_URL\" --dry-run
  tripcast dlq redrive --queue \"$DEAD_LETTER_QUEUE_URL\" --to \"$TRIPS_QUEUE_URL\" --max 1
  tripcast dlq redrive --queue \"$REJECTS_QUEUE_URL\" --to \"$TRIPS_QUEUE_URL\" --rejected")]
pub struct Args {
    /// URL of the queue that the messages are in.
    #[arg(long, value_name = "URL", value_parser = queues::url)]
    queue: String,
    /// URL of the queue that they go to.
    #[arg(long, value_name = "URL", value_parser = queues::url)]
    to: String,
    /// Messages moved at most; by default all that were there at the beginning.
    #[arg(long)]
    max: Option<u64>,
    /// Move rejected messages too, without the attributes of their rejection, as after a new version that reads them.
    #[arg(long)]
    rejected: bool,
    /// Say what would be moved, and move nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A message that was not moved.
#[derive(Debug, Serialize)]
struct NotMoved {
    id: String,
    reason: String,
}

/// How a redrive ended.
#[derive(Debug, Default, Serialize)]
struct Redriven {
    queue: String,
    to: String,
    dry_run: bool,
    /// Messages that could be received at the beginning, approximately.
    found: u64,
    /// Messages that somebody had received at the beginning, and that could not be moved.
    hidden: u64,
    /// Messages that were moved; in a dry run, those that would be.
    moved: u64,
    /// Rejected messages that were left.
    rejections_left: u64,
    /// Messages that were left because only a part of their bodies is there.
    cut_left: u64,
    /// Rejected records of a stream, which do not belong into a queue of messages.
    records_left: u64,
    /// Messages that were moved, came back and were left.
    returned_left: u64,
    /// Messages that the other queue did not take.
    failed: Vec<NotMoved>,
    /// Messages that were moved and could not be deleted here, so that the next redrive moves them again.
    not_deleted: Vec<NotMoved>,
    /// Messages that can be received at the end, approximately.
    waiting: Option<u64>,
}

/// Some messages were not moved, or not deleted; the report lists them.
#[derive(Debug, thiserror::Error)]
enum RedriveError {
    #[error("--queue and --to are the same queue")]
    Same,
    #[error("{failed} messages were not taken by {to}")]
    NotMoved { failed: usize, to: String },
    #[error(
        "{kept} messages were moved and are still in {queue}, too: another redrive would move them again"
    )]
    NotDeleted { kept: usize, queue: String },
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    if args.queue == args.to {
        return Err(RedriveError::Same.into());
    }
    let (from, to) = (queues::open(&args.queue).await, queues::open(&args.to).await);
    let redrive = Redrive {
        from: &from,
        to: &to,
        max: args.max.unwrap_or(u64::MAX),
        takes_rejections: args.rejected,
        is_dry: args.dry_run,
    };
    let bar = progress(0, "moving messages");
    let mut redriven = Redriven {
        queue: args.queue.clone(),
        to: args.to.clone(),
        dry_run: args.dry_run,
        ..Redriven::default()
    };
    let ended = redrive.run(&mut redriven, &bar).await;
    bar.finish_and_clear();
    // What was moved before an error is reported, too.
    redriven.waiting = from.depth().await.ok().map(|depth| depth.waiting);
    out.print(&redriven, || table(&redriven))?;
    ended?;
    match (redriven.failed.len(), redriven.not_deleted.len()) {
        (0, 0) => Ok(()),
        (0, kept) => Err(RedriveError::NotDeleted { kept, queue: redriven.queue }.into()),
        (failed, _) => Err(RedriveError::NotMoved { failed, to: redriven.to }.into()),
    }
}

/// A redrive between two queues.
struct Redrive<'a> {
    from: &'a dyn Letters,
    to: &'a dyn Letters,
    max: u64,
    takes_rejections: bool,
    is_dry: bool,
}

impl Redrive<'_> {
    /// Moves what there is now, and counts in `redriven` what becomes of it.
    async fn run(&self, redriven: &mut Redriven, bar: &ProgressBar) -> Result<(), WalkError> {
        let depth = self.from.depth().await?;
        (redriven.found, redriven.hidden) = (depth.waiting, depth.hidden);
        bar.set_length(redriven.found.min(self.max));
        let mut scan = Scan::new(self.from, redriven.found, HIDDEN);
        let ended = unless_interrupted(self.walk(&mut scan, redriven, bar)).await;
        scan.give_back().await;
        ended
    }

    async fn walk(
        &self,
        scan: &mut Scan<'_>,
        redriven: &mut Redriven,
        bar: &ProgressBar,
    ) -> Result<(), LettersError> {
        let mut sent = HashSet::new();
        while redriven.moved < self.max {
            let received = scan.next().await?;
            if received.is_empty() {
                break;
            }
            let mut letters: Vec<Letter> =
                received.into_iter().filter_map(|letter| self.chosen(letter, &sent, redriven)).collect();
            letters.truncate(usize::try_from(self.max - redriven.moved).unwrap_or(usize::MAX));
            if self.is_dry {
                redriven.moved += letters.len() as u64;
            } else if !letters.is_empty() && !self.send(scan, &letters, &mut sent, redriven).await {
                // The others would hardly be taken either.
                break;
            }
            bar.set_position(redriven.moved);
        }
        Ok(())
    }

    /// Returns a message as it is to be sent, or counts why it stays.
    fn chosen(&self, letter: Letter, sent: &HashSet<String>, redriven: &mut Redriven) -> Option<Letter> {
        // A redrive policy keeps the id of a message, and a rejection names it.
        let ids = [Some(letter.id.as_str()), letter.attribute("source_message_id")];
        let left = if ids.into_iter().flatten().any(|id| sent.contains(id)) {
            &mut redriven.returned_left
        } else if letter.is_cut() {
            &mut redriven.cut_left
        } else if letter.is_rejection() && !self.takes_rejections {
            &mut redriven.rejections_left
        } else if letter.is_rejected_record() {
            &mut redriven.records_left
        } else if letter.is_rejection() {
            return Some(letter.without_rejection());
        } else {
            return Some(letter);
        };
        *left += 1;
        None
    }

    /// Sends messages and deletes those that were acknowledged; returns whether there were any. Their new ids are added to
    /// `sent`.
    async fn send(
        &self,
        scan: &mut Scan<'_>,
        letters: &[Letter],
        sent: &mut HashSet<String>,
        redriven: &mut Redriven,
    ) -> bool {
        let mut acknowledged = Vec::with_capacity(letters.len());
        for (letter, result) in letters.iter().zip(self.to.send(letters).await) {
            match result {
                Ok(id) => {
                    sent.insert(id);
                    acknowledged.push(letter.id.clone());
                }
                Err(error) => {
                    redriven.failed.push(NotMoved { id: letter.id.clone(), reason: error.to_string() });
                }
            }
        }
        redriven.moved += acknowledged.len() as u64;
        for (id, result) in acknowledged.iter().zip(scan.delete(&acknowledged).await) {
            if let Err(error) = result {
                redriven.not_deleted.push(NotMoved { id: id.clone(), reason: error.to_string() });
            }
        }
        !acknowledged.is_empty()
    }
}

fn table(redriven: &Redriven) -> Vec<String> {
    let Redriven { found, moved, .. } = redriven;
    let verb = if redriven.dry_run { "would be moved" } else { "moved" };
    let mut lines = vec![format!("{moved} of {found} messages {verb} to {}", redriven.to)];
    let left = [
        (redriven.rejections_left, "were rejected and stay: they can never be predicted as they are"),
        (
            redriven.records_left,
            "are rejected records of a stream and stay: their predictions would go to a queue",
        ),
        (redriven.cut_left, "stay because only a part of their bodies is there"),
        (redriven.returned_left, "were moved, came back and stay: their cause is not removed"),
    ];
    lines.extend(left.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("  {n} {why}")));
    lines.extend(hidden_line(redriven.hidden));
    lines.extend(redriven.failed.iter().map(|one| format!("  not moved {}: {}", one.id, one.reason)));
    lines.extend(redriven.not_deleted.iter().map(|one| format!("  not deleted {}: {}", one.id, one.reason)));
    lines.extend(redriven.waiting.map(|waiting| format!("  {waiting} messages are in {}", redriven.queue)));
    lines
}

#[cfg(test)]
mod tests {
    use operations::letters::{Attribute, MemoryLetters};

    use super::*;

    fn letter(number: usize, attributes: &[&str]) -> Letter {
        let attributes = attributes.iter().map(|name| ((*name).to_string(), Attribute::text("x"))).collect();
        Letter { body: format!("body {number}"), attributes, ..Letter::default() }
    }

    async fn redriven(
        from: &MemoryLetters,
        to: &MemoryLetters,
        max: u64,
        takes_rejections: bool,
        is_dry: bool,
    ) -> Redriven {
        let mut redriven = Redriven { dry_run: is_dry, ..Redriven::default() };
        let redrive = Redrive { from, to, max, takes_rejections, is_dry };
        redrive.run(&mut redriven, &progress(0, "")).await.unwrap();
        redriven
    }

    #[tokio::test]
    async fn messages_go_back_with_their_attributes_and_rejections_stay() {
        let mut letters: Vec<Letter> = (0..23).map(|number| letter(number, &["mine"])).collect();
        letters.push(letter(23, &["reason", "detail", "source_message_id"]));
        letters.push(letter(24, &["reason", "source_message_id", "cut_from_bytes"]));
        let (from, to) = (MemoryLetters::new(letters), MemoryLetters::default());

        let dry = redriven(&from, &to, u64::MAX, false, true).await;
        assert_eq!((dry.found, dry.moved, dry.rejections_left, dry.cut_left), (25, 23, 1, 1));
        assert_eq!((from.visible().len(), to.visible().len()), (25, 0), "nothing was moved");

        let some = redriven(&from, &to, 3, false, false).await;
        assert_eq!((some.moved, to.visible().len(), from.visible().len()), (3, 3, 22));
        let rest = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((rest.found, rest.moved, rest.rejections_left), (22, 20, 1));
        assert!(to.visible().iter().all(|letter| letter.attribute("mine") == Some("x")));

        let rejected = redriven(&from, &to, u64::MAX, true, false).await;
        assert_eq!((rejected.moved, rejected.cut_left), (1, 1));
        assert!(to.visible().last().unwrap().attributes.is_empty(), "without its rejection");
        assert_eq!(from.visible().len(), 1, "what was cut is not the message any more");
    }

    #[tokio::test]
    async fn what_comes_back_at_once_is_not_moved_in_a_circle() {
        let from = MemoryLetters::new((0..4).map(|number| letter(number, &[])).collect());
        let to = MemoryLetters::default();
        to.bounce_to(&from);
        let ended = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((ended.found, ended.moved, from.visible().len()), (4, 4, 4));
        // After ten of them two are received that have come back already.
        let from = MemoryLetters::new((0..12).map(|number| letter(number, &[])).collect());
        to.bounce_to(&from);
        let ended = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((ended.moved, ended.returned_left, from.visible().len()), (10, 2, 12));
    }

    #[tokio::test]
    async fn only_what_was_acknowledged_is_deleted() {
        let from = MemoryLetters::new((0..3).map(|number| letter(number, &[])).collect());
        let to = MemoryLetters::default();
        to.refuse("body 1");
        let ended = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((ended.moved, ended.failed.len(), from.visible().len()), (2, 1, 1));
        assert!(ended.failed[0].reason.contains("set to refuse it"));
        assert!(table(&ended).iter().any(|line| line.contains("not moved")));

        let (from, to) = (MemoryLetters::new(vec![letter(1, &[])]), MemoryLetters::default());
        from.keep();
        let ended = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((ended.moved, ended.not_deleted.len(), to.visible().len()), (1, 1, 1));
        assert_eq!(from.visible().len(), 1, "it comes twice rather than never");
    }

    #[tokio::test]
    async fn a_queue_that_takes_nothing_ends_the_redrive() {
        let from = MemoryLetters::new((0..30).map(|number| letter(number, &[])).collect());
        let to = MemoryLetters::default();
        to.refuse("body");
        let ended = redriven(&from, &to, u64::MAX, false, false).await;
        assert_eq!((ended.moved, ended.failed.len(), from.visible().len()), (0, 10, 30));
    }
}
