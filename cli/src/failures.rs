//! `tripcast failures`.

mod entry;
mod list;
mod replay;

use crate::output::{Failure, Output};

/// Look at events and records that failed for good, and invoke their functions with them again.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(list::Args),
    Replay(replay::Args),
}

/// Runs the verb.
pub async fn run(verb: &Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list::run(args, out).await,
        Verb::Replay(args) => replay::run(args, out).await,
    }
}
