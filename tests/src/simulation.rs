//! Simulated histories of the functions: their real handlers on doubles of the services around them, on a clock that
//! jumps, with faults, repeats, crashes and late calls that one seed decides.
//!
//! [`history`] runs one history of a [`Kind`] and returns what it counted, or the first promise that was broken. A history
//! is one seed: it can be run again, line by line, by `make simulate SEED=...`.
//!
//! - [`chance`]: what the seed decides, and the lines of a history
//! - [`store`], [`queue`], [`shard`]: doubles of S3, SQS and Kinesis
//! - [`invocation`]: how Lambda invokes, ends and reads the answer of a function
//! - [`models`]: models whose predictions are known, and people who change champions meanwhile
//! - [`many`]: histories by the thousand
//! - [`messages`], [`records`], [`files`], [`requests`], [`champions`], [`days`], [`retrainings`]: the kinds of histories

pub mod champions;
pub mod chance;
pub mod days;
pub mod files;
pub mod invocation;
pub mod many;
pub mod messages;
pub mod models;
pub mod queue;
pub mod records;
pub mod requests;
pub mod retrainings;
pub mod shard;
pub mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use chance::Chance;

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Messages of a queue: the scorer.
    Messages,
    /// Records of a stream: the scorer.
    Records,
    /// Dropped files: the batch predictor.
    Files,
    /// Requests over HTTP: the web function.
    Requests,
    /// Promotions and rollbacks: the registry.
    Champions,
    /// Days of profiles: the monitor.
    Days,
    /// Retrainings: the retrainer.
    Retrainings,
}

impl Kind {
    /// Returns the kind of the history of a seed. Those that take long are rarer: a day's report takes as long as dozens of
    /// batches, and a retraining fits models.
    pub fn of(seed: u64) -> Self {
        match seed % 1000 {
            0..450 => Self::Messages,
            450..650 => Self::Records,
            650..730 => Self::Files,
            730..800 => Self::Requests,
            800..988 => Self::Champions,
            988..998 => Self::Days,
            _ => Self::Retrainings,
        }
    }
}

/// A promise that was broken, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fails with a sentence unless something holds.
#[macro_export]
macro_rules! promise {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::simulation::Broken(format!($($sentence)+)));
        }
    };
}

/// What was counted in a history, by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// A history that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What was counted, or what was broken.
    pub ended: Result<Counts, Broken>,
    /// A hash of everything that happened: equal for equal histories.
    pub trace: u64,
    /// Instants at which its invocations went on before it was calm.
    pub instants: u64,
    /// What happened, a line each, if that was asked for.
    pub lines: Vec<String>,
}

/// Time after which a history that has not come to rest is broken.
const AT_REST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs tasks side by side and returns what they return, in their order.
///
/// # Panics
/// If one of them does.
pub async fn side_by_side<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::with_capacity(running.len());
    for task in running {
        done.push(task.await.unwrap_or_else(|ended| resume_unwind(ended.into_panic())));
    }
    done
}

/// Runs the history of a seed; `keeps_lines` keeps what happened as text. A panic is a broken promise, too.
///
/// # Panics
/// If no runtime can be made.
pub fn history(kind: Kind, seed: u64, keeps_lines: bool) -> History {
    caught(kind, || Chance::new(seed, keeps_lines))
}

/// Runs the history of a seed in which nothing fails but one environment, which ends where it goes on at instant number `at`.
///
/// # Panics
/// If no runtime can be made.
pub fn crashing(kind: Kind, seed: u64, at: u64) -> History {
    caught(kind, || Chance::crashing_at(seed, at))
}

fn caught(kind: Kind, chance: impl FnOnce() -> Chance) -> History {
    catch_unwind(AssertUnwindSafe(|| run(kind, chance))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let broken = Broken(format!("it panicked: {}", message.unwrap_or_default()));
        History { ended: Err(broken), trace: 0, instants: 0, lines: Vec::new() }
    })
}

fn run(kind: Kind, chance: impl FnOnce() -> Chance) -> History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // On the runtime's clock.
        let chance = chance();
        let ended = tokio::time::timeout(AT_REST, async {
            match kind {
                Kind::Messages => messages::run(&chance).await,
                Kind::Records => records::run(&chance).await,
                Kind::Files => files::run(&chance).await,
                Kind::Requests => requests::run(&chance).await,
                Kind::Champions => champions::run(&chance).await,
                Kind::Days => days::run(&chance).await,
                Kind::Retrainings => retrainings::run(&chance).await,
            }
        });
        let late = || Err(Broken("it did not come to rest within a week".into()));
        let ended = ended.await.unwrap_or_else(|_| late());
        let (trace, instants, lines) = chance.end();
        History { ended, trace, instants, lines }
    })
}
