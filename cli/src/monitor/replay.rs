//! `tripcast monitor replay`: watches a history day by day.

use std::path::PathBuf;

use model::Month;
use monitoring::watch::alarms::{Alarm, alarms};
use monitoring::watch::{DayVerdict, Signal, Watch};
use serde::Serialize;

use super::events::Events;
use super::faults::{self, Found};
use super::history;
use crate::output::{Failure, Output, progress};

/// Watch a history day by day and print every alarm, and how many are false.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor replay --trips ./trips --from 2023-01 --to 2025-07
  tripcast monitor replay --trips ./trips --from 2023-01 --to 2024-10 --no-predictions --json
  tripcast monitor replay --trips ./trips --from 2023-01 --to 2024-10 --faults 40

An alarm is false unless an event of the list explains it. Days are judged by what lies before them.")]
pub struct Args {
    /// Folder of the months: <taxi>_tripdata_<yyyy-mm>.parquet. Months that are missing are named and passed over.
    #[arg(long, value_name = "FOLDER")]
    trips: PathBuf,
    /// First month.
    #[arg(long)]
    from: Month,
    /// Last month.
    #[arg(long)]
    to: Month,
    /// Kind of the taxis (green, yellow, fhvhv).
    #[arg(long, default_value = "green")]
    taxi: String,
    /// Real changes (TOML); by default those of the green taxis that docs/replay-events.toml lists.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Learn no models: no signal of performance, and done in seconds.
    #[arg(long)]
    no_predictions: bool,
    /// Put faults into real days, beginning on this many days each, and measure whether they are found.
    #[arg(long, value_name = "STARTS", default_value_t = 0)]
    faults: usize,
}

#[derive(Serialize)]
struct Report {
    from: Month,
    to: Month,
    days: usize,
    /// The larger of those of data and performance.
    false_episodes_a_month: f64,
    false_episodes_a_month_beyond_holidays: f64,
    quality: Rates,
    data: Rates,
    performance: Rates,
    alarms: Vec<Explained>,
    faults: Vec<Found>,
    days_judged: Vec<DayVerdict>,
}

#[derive(Serialize, Default)]
struct Rates {
    days_judged: usize,
    alarms: usize,
    explained: usize,
    false_episodes_a_month: f64,
    false_episodes_a_month_beyond_holidays: f64,
}

#[derive(Serialize)]
struct Explained {
    /// The event that explains it; none if it is false.
    event: Option<String>,
    #[serde(flatten)]
    alarm: Alarm,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    let events = Events::new(args.events.as_deref(), &args.taxi)?;
    let all = std::iter::successors(Some(args.from), |month| Some(month.plus(1)));
    let (mut months, mut missing) = (Vec::new(), Vec::new());
    for month in all.take_while(|month| *month <= args.to) {
        match history::path_of(&args.trips, &args.taxi, month).exists() {
            true => months.push(month),
            false => missing.push(month.to_string()),
        }
    }
    if months.is_empty() {
        let (taxi, folder) = (&args.taxi, args.trips.display());
        return Err(format!("no {taxi} trips of {} to {} in {folder}", args.from, args.to).into());
    }
    if !missing.is_empty() {
        tracing::warn!("months that are missing: {}", missing.join(", "));
    }
    let days = history::read(&args.trips, &args.taxi, &months, !args.no_predictions)?;
    let bar = progress(days.len() as u64, "watching");
    let mut watch = Watch::default();
    let (mut verdicts, mut before) = (Vec::new(), Vec::new());
    for (day, rows) in &days {
        if args.faults > 0 {
            before.push((*day, watch.clone()));
        }
        verdicts.push(watch.next(*day, &rows.profile(*day)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let starts = starts(&verdicts, before, args.faults);
    let found =
        faults::ALL.iter().filter(|_| args.faults > 0).map(|fault| faults::seed(fault, &starts, &days));
    let faults: Vec<Found> = found.collect();
    let report = report(args, &events, verdicts, faults);
    out.print(&report, || table(&report))
}

/// Chooses days to begin faults on, evenly among those that have a verdict, rang nothing, and are not near a holiday.
fn starts(
    verdicts: &[DayVerdict],
    before: Vec<(chrono::NaiveDate, Watch)>,
    n: usize,
) -> Vec<(chrono::NaiveDate, Watch)> {
    let is_quiet = |verdict: &DayVerdict| {
        !verdict.near_holiday && verdict.data.rings == Some(false) && verdict.performance.rings != Some(true)
    };
    let quiet: Vec<_> = before
        .into_iter()
        .zip(verdicts)
        .filter(|(_, verdict)| is_quiet(verdict))
        .map(|(one, _)| one)
        .collect();
    let step = (quiet.len() / n.max(1)).max(1);
    quiet.into_iter().step_by(step).take(n).collect()
}

fn report(args: &Args, events: &Events, verdicts: Vec<DayVerdict>, faults: Vec<Found>) -> Report {
    let mut all = Vec::new();
    let mut rates = |signal| {
        let explained: Vec<Explained> = alarms(&verdicts, signal)
            .into_iter()
            .map(|alarm| Explained { event: events.explains(&alarm).map(str::to_string), alarm })
            .collect();
        let days_judged = verdicts.iter().filter(|verdict| verdict.of(signal).rings.is_some()).count();
        let months = (days_judged as f64 / 30.4).max(1.0);
        let of = |is: &dyn Fn(&Explained) -> bool| explained.iter().filter(|one| is(one)).count();
        let is_false = |one: &Explained| one.event.is_none();
        let rates = Rates {
            days_judged,
            alarms: explained.len(),
            explained: of(&|one| !is_false(one)),
            false_episodes_a_month: of(&is_false) as f64 / months,
            false_episodes_a_month_beyond_holidays: of(&|one| is_false(one) && !one.alarm.near_holiday)
                as f64
                / months,
        };
        all.extend(explained);
        rates
    };
    let (quality, data, performance) =
        (rates(Signal::Quality), rates(Signal::Data), rates(Signal::Performance));
    all.sort_by_key(|one| (one.alarm.day, one.alarm.signal));
    Report {
        from: args.from,
        to: args.to,
        days: verdicts.len(),
        false_episodes_a_month: data.false_episodes_a_month.max(performance.false_episodes_a_month),
        false_episodes_a_month_beyond_holidays: data
            .false_episodes_a_month_beyond_holidays
            .max(performance.false_episodes_a_month_beyond_holidays),
        quality,
        data,
        performance,
        alarms: all,
        faults,
        days_judged: verdicts,
    }
}

fn table(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for Explained { event, alarm } in &report.alarms {
        let mark = match (event, alarm.near_holiday) {
            (Some(event), _) => format!("explained by: {event}"),
            (None, true) => "false, near a holiday".into(),
            (None, false) => "false".into(),
        };
        let figures = alarm.verdict.score.zip(alarm.verdict.threshold);
        let figures = figures
            .map_or(String::new(), |(score, threshold)| format!(" ({score:.1} > {:.1})", threshold.value));
        lines.push(format!(
            "{:24} {:>3} d, n {:>5}{figures} {} [{mark}]",
            alarm.id, alarm.days, alarm.rows, alarm.cause
        ));
        let moved: Vec<String> = alarm
            .verdict
            .moved
            .iter()
            .map(|moved| format!("{} {:.2} -> {:.2} %", moved.what, 100.0 * moved.usual, 100.0 * moved.share))
            .collect();
        if !moved.is_empty() {
            lines.push(format!("{:24}   {}", "", moved.join("; ")));
        }
    }
    lines.push(String::new());
    for (signal, rates) in
        [("quality", &report.quality), ("data", &report.data), ("performance", &report.performance)]
    {
        lines.push(format!(
            "{signal:12} {} days judged, {} alarms, {} explained; false episodes a month {:.2}, beyond holidays {:.2}",
            rates.days_judged,
            rates.alarms,
            rates.explained,
            rates.false_episodes_a_month,
            rates.false_episodes_a_month_beyond_holidays
        ));
    }
    for found in &report.faults {
        lines.push(format!(
            "{:36} {:>5.2} starts {:>3}: first day {:.2}, within {:>2} days {:.2}, named rightly {:.2}",
            found.fault,
            found.share,
            found.starts,
            found.first_day,
            found.within_days,
            found.in_time,
            found.named
        ));
    }
    lines
}
