//! `tripcast dlq`.

mod list;
mod redrive;
mod show;

use crate::output::{Failure, Output};

/// Look at dead letters, and move them back to the queue that they came from.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(list::Args),
    Show(show::Args),
    Redrive(redrive::Args),
}

/// Runs the verb.
pub async fn run(verb: &Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list::run(args, out).await,
        Verb::Show(args) => show::run(args, out).await,
        Verb::Redrive(args) => redrive::run(args, out).await,
    }
}
