//! `tripcast` runs the code of the functions from a terminal.
//!
//! Each verb has its own file. [`output`] prints results, progress and failures.

mod backfill;
mod capacity;
mod cost;
mod data;
mod dlq;
mod drift;
mod evaluate;
mod explain;
mod export;
mod failures;
mod files;
mod import;
mod monitor;
mod output;
mod predict;
mod queues;
mod reconcile;
mod registry;
mod replay;
mod retrain;
mod runs;
mod score;
mod serve;
mod times;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Forecast taxi trips: train, judge and serve models of duration and tip.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// Print one JSON document on stdout instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// Say more on stderr: -v what is done, -vv what is asked of servers.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Train(train::Args),
    Evaluate(evaluate::Args),
    Explain(explain::Args),
    Predict(predict::Args),
    Backfill(backfill::Args),
    Reconcile(reconcile::Args),
    Score(score::Args),
    Serve(serve::Args),
    Drift(drift::Args),
    Import(import::Args),
    Export(export::Args),
    Retrain(retrain::Args),
    Replay(replay::Args),
    Cost(cost::Args),
    Capacity(capacity::Args),
    #[command(subcommand)]
    Monitor(monitor::Verb),
    #[command(subcommand)]
    Dlq(dlq::Verb),
    #[command(subcommand)]
    Failures(failures::Verb),
    #[command(subcommand)]
    Registry(registry::Verb),
    #[command(subcommand)]
    Runs(runs::Verb),
    #[command(subcommand)]
    Data(data::Verb),
}

fn main() -> ExitCode {
    // Before the runtime, whose threads take memory of their own.
    dataset::decode_if_asked();
    let cli = Cli::parse();
    output::log(cli.verbose);
    let mut runtime = match &cli.verb {
        // Only these have several things to do at once.
        Verb::Backfill(_) | Verb::Reconcile(_) => tokio::runtime::Builder::new_multi_thread(),
        Verb::Serve(args) => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            if args.threads > 0 {
                runtime.worker_threads(args.threads);
            }
            runtime
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(cli));
            // Work on other threads that was not waited for ends with the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => output::fail(&error),
    }
}

async fn run(cli: Cli) -> ExitCode {
    let out = output::Output { json: cli.json };
    let done = match cli.verb {
        Verb::Train(args) => train::run(&args, &out),
        Verb::Evaluate(args) => evaluate::run(&args, &out),
        Verb::Explain(args) => explain::run(&args, &out),
        Verb::Predict(args) => predict::run(&args, &out),
        Verb::Backfill(args) => backfill::run(&args, &out).await,
        Verb::Reconcile(args) => reconcile::run(&args, &out).await,
        Verb::Score(args) => score::run(&args),
        Verb::Serve(args) => serve::run(&args).await,
        Verb::Drift(args) => drift::run(&args, &out),
        Verb::Export(args) => export::run(&args, &out),
        Verb::Import(args) => import::run(&args, &out),
        Verb::Retrain(args) => retrain::run(&args, &out).await,
        Verb::Cost(args) => cost::run(&args, &out),
        Verb::Capacity(args) => capacity::run(&args, &out),
        Verb::Replay(args) => replay::run(&args, &out).await,
        Verb::Monitor(verb) => monitor::run(&verb, &out).await,
        Verb::Dlq(verb) => dlq::run(&verb, &out).await,
        Verb::Failures(verb) => failures::run(&verb, &out).await,
        Verb::Registry(verb) => registry::run(verb, &out).await,
        Verb::Runs(verb) => runs::run(verb, &out).await,
        Verb::Data(verb) => data::run(verb, &out).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::fail(failure.as_ref()),
    }
}
