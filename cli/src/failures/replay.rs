//! `tripcast failures replay`.

use std::time::Duration;

use operations::invoke::{Functions, LambdaFunctions};
use operations::letters::{Letters, LettersError, Scan};
use operations::records::{KinesisRecords, Position, Records, events};
use serde::Serialize;
use serde_json::Value;

use super::entry::{Entry, Function, Work};
use crate::output::{Failure, Output, spinner};
use crate::queues::{self, WalkError, hidden_line, unless_interrupted};

/// Time for which entries are hidden: a function that is invoked with records may take minutes.
const HIDDEN: Duration = Duration::from_secs(1_200);

/// Invoke functions again with what they failed on, once the cause is removed.
///
/// An event is handed to Lambda as its source did: the entry is deleted when Lambda has accepted it, and if the function fails for good
/// again, there is a new one. Records of a stream are read again, while the stream has them (a week), and the function is invoked
/// with them; the entry is deleted when all have ended. Their predictions come after those of records that are newer. Each may be done twice, and
/// ends in the same result. Only what was there at the beginning is replayed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast failures replay --queue \"$BATCH_FAILURES_QUEUE_URL\" --function \"$BATCH_PREDICTOR_FUNCTION\" --dry-run
  tripcast failures replay --queue \"$BATCH_FAILURES_QUEUE_URL\" --function \"$SCORER_FUNCTION\" --stream \"$STREAM_ARN\"
  tripcast failures replay --queue \"$BATCH_FAILURES_QUEUE_URL\" --function my-retrainer --id 5fea7756-0ea4-451a-a703-a558b933e274")]
pub struct Args {
    /// URL of the queue: the output BatchFailuresQueueUrl of a deployment.
    #[arg(long, value_name = "URL", value_parser = queues::url)]
    queue: String,
    /// Name or ARN of a function whose entries are replayed; repeat for more. With an alias or a version (NAME:live) that one is invoked, else the
    /// one that failed. Whoever can send to the queue chooses what is in an entry, so no other function is invoked.
    #[arg(long, value_name = "NAME", required = true, value_parser = Function::named)]
    function: Vec<Function>,
    /// ARN of the stream whose records may be read again; without it, entries of records stay.
    #[arg(long, value_name = "ARN")]
    stream: Option<String>,
    /// Only the entry with this id; repeat for more.
    #[arg(long, value_name = "MESSAGE_ID")]
    id: Vec<String>,
    /// Entries replayed at most.
    #[arg(long, default_value_t = 100)]
    max: usize,
    /// Say what would be replayed, and invoke nothing.
    #[arg(long)]
    dry_run: bool,
}

/// An entry, and what was done with it.
#[derive(Debug, Serialize)]
struct Done {
    id: String,
    function: String,
    about: Vec<String>,
}

/// An entry that is still in the queue, or was replayed and is.
#[derive(Debug, Serialize)]
struct Left {
    id: String,
    reason: String,
}

/// How a replay ended.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    queue: String,
    dry_run: bool,
    /// Entries that could be received at the beginning, approximately.
    found: u64,
    /// Entries that somebody had received at the beginning, and that could not be replayed.
    hidden: u64,
    /// Entries that were replayed; in a dry run, those that would be.
    replayed: Vec<Done>,
    /// Entries of other functions, or with other ids.
    others: u64,
    /// Entries that cannot be replayed.
    impossible: Vec<Left>,
    failed: Vec<Left>,
    /// Entries that were replayed and could not be deleted, so that the next replay does it again.
    not_deleted: Vec<Left>,
}

/// Some entries were not replayed; the report lists them.
#[derive(Debug, thiserror::Error)]
#[error("{failed} entries were not replayed, {kept} were and could not be deleted")]
struct ReplayError {
    failed: usize,
    kept: usize,
}

/// There are entries, and none is of a function and an id that were named.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the {others} entries is of a function and an id that were named: `tripcast failures list` shows them"
)]
struct NothingNamed {
    others: u64,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let aws = store::aws_config("tripcast").await;
    let (queue, functions) = (queues::open(&args.queue).await, LambdaFunctions::new(&aws));
    let replay = Replay { queue: &queue, functions: &functions, records: &KinesisRecords::new(&aws), args };
    let mut replayed = Replayed { queue: args.queue.clone(), dry_run: args.dry_run, ..Replayed::default() };
    let invoking = spinner("invoking functions");
    let ended = replay.run(&mut replayed).await;
    invoking.finish_and_clear();
    // What was replayed before an error is reported, too.
    out.print(&replayed, || table(&replayed))?;
    ended?;
    let done = replayed.replayed.len() + replayed.failed.len() + replayed.impossible.len();
    if done == 0 && replayed.others > 0 {
        return Err(NothingNamed { others: replayed.others }.into());
    }
    let (failed, kept) = (replayed.failed.len() + replayed.impossible.len(), replayed.not_deleted.len());
    if failed + kept > 0 { Err(ReplayError { failed, kept }.into()) } else { Ok(()) }
}

/// A replay with its ports.
struct Replay<'a> {
    queue: &'a dyn Letters,
    functions: &'a dyn Functions,
    records: &'a dyn Records,
    args: &'a Args,
}

impl Replay<'_> {
    /// Replays what there is now, and notes in `replayed` what becomes of it.
    async fn run(&self, replayed: &mut Replayed) -> Result<(), WalkError> {
        let depth = self.queue.depth().await?;
        (replayed.found, replayed.hidden) = (depth.waiting, depth.hidden);
        let mut scan = Scan::new(self.queue, replayed.found, HIDDEN);
        let ended = unless_interrupted(self.walk(&mut scan, replayed)).await;
        scan.give_back().await;
        ended
    }

    async fn walk(&self, scan: &mut Scan<'_>, replayed: &mut Replayed) -> Result<(), LettersError> {
        loop {
            let letters = scan.next().await?;
            if letters.is_empty() {
                return Ok(());
            }
            for letter in letters {
                if replayed.replayed.len() + replayed.failed.len() >= self.args.max {
                    return Ok(());
                }
                self.entry(&Entry::new(&letter), scan, replayed).await;
            }
        }
    }

    async fn entry(&self, entry: &Entry, scan: &mut Scan<'_>, replayed: &mut Replayed) {
        let left = |reason: String| Left { id: entry.id.clone(), reason };
        let is_asked_for = self.args.id.is_empty() || self.args.id.contains(&entry.id);
        let function = entry.function.as_ref().and_then(|one| self.named(one)).filter(|_| is_asked_for);
        let Some(function) = function else {
            replayed.others += 1;
            return;
        };
        let invoked = match &entry.work {
            Work::Nothing(why) => return replayed.impossible.push(left((*why).into())),
            Work::Records(position) if self.args.stream.as_ref() != Some(&position.stream) => {
                return replayed
                    .impossible
                    .push(left(format!("its records are of {}: name it with --stream", position.stream)));
            }
            Work::Event(_) | Work::Records(_) if self.args.dry_run => Ok(()),
            Work::Event(event) => {
                self.functions.send(&function, event).await.map_err(|error| error.to_string())
            }
            Work::Records(position) => self.invoke_with_records(&function, position).await,
        };
        if let Err(reason) = invoked {
            return replayed.failed.push(left(reason));
        }
        replayed.replayed.push(Done { id: entry.id.clone(), function, about: entry.about() });
        if !self.args.dry_run {
            let deleted = scan.delete(std::slice::from_ref(&entry.id)).await.into_iter();
            replayed.not_deleted.extend(deleted.filter_map(Result::err).map(|error| left(error.to_string())));
        }
    }

    /// Returns what to invoke for a function that was named on the command line: the alias or version named there, else the one that was
    /// invoked.
    fn named(&self, failed: &Function) -> Option<String> {
        let named = self.args.function.iter().find(|named| named.name == failed.name)?;
        Some(if named.qualifier.is_some() { named.qualified() } else { failed.qualified() })
    }

    /// Invokes a function with the records of a position, and returns whether all of them ended.
    async fn invoke_with_records(&self, function: &str, position: &Position) -> Result<(), String> {
        let records = self.records.read(position).await.map_err(|error| error.to_string())?;
        // Without the first one others may be missing, too; they are replayed all the same, and named.
        let Some(first) = records.first() else {
            return Err("the stream has these records no more".into());
        };
        if first.sequence_number != position.first {
            tracing::warn!(
                "records {} to {} of {}: the stream has only those from {} on",
                position.first,
                position.last,
                position.shard,
                first.sequence_number
            );
        }
        for event in events(position, &records) {
            let answer = self.functions.call(function, &event).await.map_err(|error| error.to_string())?;
            let failed = failed_items(&answer);
            if failed > 0 {
                return Err(format!("{function} failed on {failed} of its records, or what follows them"));
            }
        }
        Ok(())
    }
}

/// Returns how many items of a batch are to be delivered again, by the answer of a function.
fn failed_items(answer: &Value) -> usize {
    answer["batchItemFailures"].as_array().map_or(0, Vec::len)
}

fn table(replayed: &Replayed) -> Vec<String> {
    let verb = if replayed.dry_run { "would be replayed" } else { "replayed" };
    let Replayed { found, others, .. } = replayed;
    let n = replayed.replayed.len();
    let mut lines = vec![format!("{n} of {found} entries {verb}; {others} of other functions or ids left")];
    lines.extend(hidden_line(replayed.hidden));
    for one in &replayed.replayed {
        lines.push(format!("  {}  {}", one.id, one.function));
        lines.extend(one.about.iter().map(|about| format!("    {about}")));
    }
    let left = [
        ("cannot be replayed", &replayed.impossible),
        ("not replayed", &replayed.failed),
        ("not deleted", &replayed.not_deleted),
    ];
    for (what, entries) in left {
        lines.extend(entries.iter().map(|one| format!("  {what} {}: {}", one.id, one.reason)));
    }
    lines
}

#[cfg(test)]
mod tests;
