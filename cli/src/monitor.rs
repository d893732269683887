//! `tripcast monitor`.

mod events;
mod faults;
mod history;
mod profile;
mod replay;
mod serve;
mod stored;

use crate::output::{Failure, Output};

/// Watch trips and predictions: data quality, drift and performance.
#[derive(clap::Subcommand)]
pub enum Verb {
    Profile(profile::Args),
    Run(stored::RunArgs),
    Report(stored::ReportArgs),
    Acknowledge(stored::AcknowledgeArgs),
    Serve(serve::Args),
    Replay(replay::Args),
}

/// Runs the verb.
pub async fn run(verb: &Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::Profile(args) => profile::run(args, out).await,
        Verb::Run(args) => stored::run(args, out).await,
        Verb::Report(args) => stored::report(args, out).await,
        Verb::Acknowledge(args) => stored::acknowledge(args, out).await,
        Verb::Serve(args) => serve::run(args).await,
        Verb::Replay(args) => replay::run(args, out),
    }
}
