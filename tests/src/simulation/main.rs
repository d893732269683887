//! `make simulate`: histories by the thousand, or one of them line by line.
//!
//! ```text
//! simulate --seeds 1000000 [--from 0] [--kind files]   runs the histories of so many seeds
//! simulate --seed 4711 [--kind files]                  prints the history of one
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use strum::VariantArray;
use tests::simulation::many::many;
use tests::simulation::{Kind, history};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    let names: Vec<&str> = Kind::VARIANTS.iter().map(<&str>::from).collect();
    let kind = words.iter().position(|word| word == "--kind").and_then(|at| words.get(at + 1));
    let known = kind.map(|name| names.iter().position(|known| known == name).map(|at| Kind::VARIANTS[at]));
    match (value("--seed"), value("--seeds"), known) {
        (Some(seed), None, None | Some(Some(_))) => one(seed, known.flatten()),
        (None, Some(seeds), None | Some(Some(_))) => {
            let from = value("--from").unwrap_or(0);
            several(from, from.saturating_add(seeds), known.flatten())
        }
        _ => {
            eprintln!(
                "expected --seed NUMBER, or --seeds NUMBER [--from NUMBER]; [--kind {}]",
                names.join("|")
            );
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, only: Option<Kind>) -> ExitCode {
    platform::telemetry::emit_nothing();
    let kind = only.unwrap_or_else(|| Kind::of(seed));
    let history = history(kind, seed, true);
    history.lines.iter().for_each(|line| println!("{line}"));
    match history.ended {
        Ok(counts) => {
            println!("seed {seed}, {}: {counts:?}", <&str>::from(kind));
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("seed {seed}, {}: broken: {broken}", <&str>::from(kind));
            ExitCode::FAILURE
        }
    }
}

fn several(from: u64, to: u64, only: Option<Kind>) -> ExitCode {
    let summary = many(from, to, None, only);
    summary.lines().iter().for_each(|line| println!("{line}"));
    match summary.broken {
        None => {
            println!("seeds {from} to {}: 0 broken", summary.next - 1);
            ExitCode::SUCCESS
        }
        Some((seed, kind, history)) => {
            history.lines.iter().for_each(|line| println!("{line}"));
            let broken = history.ended.err().map_or_else(|| "only once".into(), |broken| broken.0);
            println!("seed {seed}, {}: broken: {broken}", <&str>::from(&kind));
            ExitCode::FAILURE
        }
    }
}
