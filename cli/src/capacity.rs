//! `tripcast capacity`: what a burst of messages does to the scorer's queue.

mod load;
mod queue;

use std::path::PathBuf;

use report::{Plot, Point, Report, Section};
use serde::Serialize;

use crate::cost::Table;
use crate::files;
use crate::output::{Failure, Output};
use load::{BurstOutcome, Load, QueueSettings, Second};
use queue::simulate;

/// Seconds of the usual load before the burst.
const BEFORE: f64 = 30.0;
/// Of the event source mapping of a standard queue, as AWS documents it.
const POLLERS: u32 = 5;
const POLLERS_A_MINUTE: u32 = 300;
/// Messages that the scorer sends in a round of calls to the predictions queue: ten in a call, four calls at once.
const MESSAGES_A_ROUND: u64 = 40;
/// Periods of a minute for which TripsAgeAlarm looks.
const ALARM_SECONDS: usize = 180;
/// A message that is older has waited for others.
const WORKED_OFF_SECONDS: f64 = 5.0;
/// Messages that a standard queue lets be received and not deleted.
const IN_FLIGHT_MAX: u64 = 120_000;
/// Points of a plot.
const POINTS_MAX: usize = 120;

/// Simulate what bursts of messages do: how many scorers run, how old a message gets, what is throttled, what breaks first.
///
/// The trips queue, its trigger and the scorer by the settings of the deployment, with the times of `tripcast cost`; a seed gives the same again. It
/// is a model: it knows neither AWS's own disturbances nor a network that slows down under load.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast capacity
  tripcast capacity --burst 5000 --burst-seconds 600 --scorers-max 50 --html burst.html
  tripcast capacity --burst 1000000 --scorers-max 1000 --concurrency 1000 --json")]
pub struct Args {
    /// Messages a second before and after the burst.
    #[arg(long, default_value_t = 100.0, value_parser = rate)]
    rate: f64,
    /// Messages a second in the burst; several are simulated one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1e3, 1e4, 1e5, 1e6], value_parser = rate)]
    burst: Vec<f64>,
    /// How long the burst lasts.
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    burst_seconds: f64,
    /// Scorers that the queue may run at once: ScorerConcurrencyMax.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    scorers_max: u32,
    /// Functions that the account lets run at once for the scorer: its quota less what others use, or ScorerReservedConcurrency.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// Messages of a batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Seconds that a trigger waits for a whole batch.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    window_seconds: f64,
    /// TripsVisibilitySeconds.
    #[arg(long, default_value_t = 200.0, value_parser = seconds)]
    visibility_seconds: f64,
    /// Receives after which a message is dead-lettered.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    receives_max: u32,
    /// Age of the oldest message above which TripsAgeAlarm rings, seconds.
    #[arg(long, default_value_t = 300.0, value_parser = seconds)]
    alarm_seconds: f64,
    /// Seed of arrivals and times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Figures to compute with, in place of those of this version (infra/cost.toml).
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Write a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write an image: the age of the oldest message in the last burst.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 1e7)
}

/// An hour at most.
fn seconds(text: &str) -> Result<f64, String> {
    number(text, 3600.0)
}

fn number(text: &str, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("expected a number, found {text:?}"))?;
    match (0.0..=most).contains(&number) {
        true => Ok(number),
        false => Err(format!("expected 0 to {}", with_commas(most))),
    }
}

/// A limit that a burst reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Reached {
    what: &'static str,
    /// Seconds after the burst began.
    after: f64,
}

/// A burst and what became of it.
#[derive(Debug, Serialize)]
struct Simulated {
    burst: f64,
    outcome: BurstOutcome,
    /// What was reached, in that order.
    reached: Vec<Reached>,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let service = service(args)?;
    let until = BEFORE + args.burst_seconds;
    let simulated: Vec<Simulated> = args
        .burst
        .iter()
        .map(|&burst| {
            let load = Load { rate: args.rate, burst, from: BEFORE, until, end: until + BEFORE };
            let outcome = simulate(service, load, args.seed);
            let reached = reached(args, service, &outcome);
            Simulated { burst, outcome, reached }
        })
        .collect();
    if let Some(html) = &args.html {
        files::write(html, page(args, &simulated).html().as_bytes())?;
    }
    if let (Some(svg), Some(last)) = (&args.svg, simulated.last()) {
        files::write(svg, oldest(&last.outcome.seconds).image().as_bytes())?;
    }
    out.print(&simulated, || lines(args, service, &simulated))
}

fn service(args: &Args) -> Result<QueueSettings, Failure> {
    let table = Table::read(args.table.as_ref())?;
    let usage = table.usage("scorer")?;
    Ok(QueueSettings {
        batch: args.batch,
        window: args.window_seconds,
        computing: usage.computing_ms() / 1e3 * f64::from(args.batch) / usage.events_of,
        waiting: usage.wait_ms / 1e3 / (usage.events_of / MESSAGES_A_ROUND as f64).ceil(),
        messages_a_round: MESSAGES_A_ROUND,
        cold: usage.cold_ms / 1e3,
        pollers: POLLERS.min(args.scorers_max),
        pollers_a_minute: POLLERS_A_MINUTE,
        pollers_max: args.scorers_max,
        concurrency: args.concurrency,
        visibility: args.visibility_seconds,
        receives_max: args.receives_max,
    })
}

fn reached(args: &Args, service: QueueSettings, outcome: &BurstOutcome) -> Vec<Reached> {
    let seconds = &outcome.seconds;
    type Limit<'a> = (&'static str, Box<dyn Fn(&Second) -> bool + 'a>);
    let limits: [Limit<'_>; 4] = [
        ("all scorers run", Box::new(|one| one.running >= service.pollers_max.min(service.concurrency))),
        ("batches are throttled", Box::new(|one| one.throttled > 0)),
        ("the queue hands out no more", Box::new(|one| one.in_flight >= IN_FLIGHT_MAX)),
        ("messages are dead-lettered", Box::new(|one| one.dead_lettered > 0)),
    ];
    let first =
        |(what, is_reached): &Limit<'_>| Some((*what, seconds.iter().find(|one| is_reached(one))?.at));
    let mut found: Vec<(&str, f64)> = limits.iter().filter_map(first).collect();
    let is_old = |some: &&[Second]| some.iter().all(|one| one.oldest > args.alarm_seconds);
    if let Some(last) = seconds.windows(ALARM_SECONDS).find(is_old).and_then(<[Second]>::last) {
        found.push(("TripsAgeAlarm rings", last.at));
    }
    if let Some(last) = seconds.last().filter(|_| outcome.lost > 0) {
        found.push(("messages are lost", last.at));
    }
    let since = |(what, at): (&'static str, f64)| Reached { what, after: (at - BEFORE).max(0.0) };
    let mut reached: Vec<Reached> = found.into_iter().map(since).collect();
    reached.sort_by(|one, other| one.after.total_cmp(&other.after));
    reached
}

fn lines(args: &Args, service: QueueSettings, simulated: &[Simulated]) -> Vec<String> {
    let rounds = u64::from(args.batch).div_ceil(MESSAGES_A_ROUND) as f64;
    let took = (service.computing + service.waiting * rounds) * 1e3;
    let all = f64::from(args.batch) / took * 1e3 * f64::from(args.scorers_max.min(args.concurrency));
    let mut lines = vec![
        format!(
            "a batch of {} takes {took:.0} ms; {} scorers answer {} messages a second",
            args.batch,
            args.scorers_max.min(args.concurrency),
            with_commas(all)
        ),
        format!(
            "{:>12} {:>9} {:>8} {:>12} {:>9} {:>9} {:>13} {:>10} {:>9}  reached, seconds after the burst began",
            "burst, 1/s",
            "messages",
            "scorers",
            "most waiting",
            "oldest, s",
            "p99, s",
            "worked off, s",
            "throttled",
            "dead"
        ),
    ];
    lines.extend(simulated.iter().map(|one| {
        let outcome = &one.outcome;
        let reached: Vec<String> =
            one.reached.iter().map(|reached| format!("{} ({:.0})", reached.what, reached.after)).collect();
        format!(
            "{:>12} {:>9} {:>8} {:>12} {:>9.1} {:>9.1} {:>13.0} {:>10} {:>9}  {}",
            with_commas(one.burst),
            short(outcome.arrived),
            outcome.running_max,
            short(outcome.waiting_max),
            outcome.oldest_max,
            outcome.answered_within[1],
            worked_off(&outcome.seconds),
            outcome.throttled,
            short(outcome.dead_lettered),
            reached.join(", ")
        )
        .trim_end()
        .into()
    }));
    lines
}

/// Returns when no message has waited for others any more, seconds after the burst began.
fn worked_off(seconds: &[Second]) -> f64 {
    let last = seconds.iter().rev().find(|one| one.oldest > WORKED_OFF_SECONDS);
    last.map_or(0.0, |one| (one.at - BEFORE).max(0.0))
}

fn with_commas(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn short(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..10_000_000 => format!("{:.0} k", n as f64 / 1e3),
        _ => format!("{:.0} M", n as f64 / 1e6),
    }
}

fn oldest(seconds: &[Second]) -> Plot {
    plot("Age of the oldest message", "seconds", seconds, |one| one.oldest)
}

fn plot(title: &'static str, y: &'static str, seconds: &[Second], of: impl Fn(&Second) -> f64) -> Plot {
    let step = seconds.len().div_ceil(POINTS_MAX).max(1);
    let point = |second: &Second| Point { x: second.at - BEFORE, y: of(second), error: 0.0 };
    let points = seconds.iter().step_by(step).map(point).collect();
    Plot::points(title, "seconds after the burst began", y, points)
}

fn page(args: &Args, simulated: &[Simulated]) -> Report {
    let sections = simulated.iter().map(|one| {
        let seconds = &one.outcome.seconds;
        let (rate, burst) = (with_commas(args.rate), with_commas(one.burst));
        Section {
            title: "A burst",
            paragraphs: vec![format!(
                "{burst} messages a second for {} s, {rate} before and after; at most {} scorers.",
                args.burst_seconds, args.scorers_max
            )],
            plots: vec![
                plot("Messages that wait", "messages", seconds, |one| one.waiting as f64),
                oldest(seconds),
                plot("Scorers that run", "scorers", seconds, |one| f64::from(one.running)),
            ],
            ..Section::default()
        }
    });
    Report { title: "Bursts of messages".into(), sections: sections.collect() }
}
