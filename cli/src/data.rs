//! `tripcast data`.

mod dvc;
mod fetch;
mod generate;
mod inspect;
mod sample;

use crate::output::{Failure, Output};

/// Inspect, sample, generate or fetch months of trips, or point to them.
#[derive(clap::Subcommand)]
pub enum Verb {
    Inspect(inspect::Args),
    Sample(sample::Args),
    Generate(generate::Args),
    Fetch(fetch::Args),
    Dvc(dvc::Args),
}

/// Runs the verb.
pub async fn run(verb: Verb, out: &Output) -> Result<(), Failure> {
    match verb {
        Verb::Inspect(args) => inspect::run(&args, out),
        Verb::Sample(args) => sample::run(&args),
        Verb::Generate(args) => generate::run(&args, out),
        Verb::Dvc(args) => dvc::run(&args, out),
        Verb::Fetch(args) => fetch::run(&args, out).await,
    }
}
