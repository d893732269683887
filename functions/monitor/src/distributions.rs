//! Shares of the last day inside those of the days before it.

use monitoring::Profile;
use monitoring::profile::Counts;
use report::{Plot, Range, Section, Table};

use crate::JudgedDays;

/// Days that a distribution is compared with.
const REFERENCE_DAYS: usize = 28;
/// Zones that are shown.
const ZONES: usize = 12;

/// A column: its name, its counts, and the name of a cell.
type Column = (&'static str, fn(&Profile) -> Counts, fn(i32) -> String);

/// The columns that are shown. Of the zones, the most frequent ones.
const COLUMNS: [Column; 5] = [
    ("hour of the pickup", hours, |hour| format!("{hour} h")),
    ("PULocationID", |profile| profile.pickups.clone(), |zone| format!("zone {}", zone + 1)),
    ("VendorID", |profile| profile.vendors.clone(), |code| format!("VendorID {code}")),
    ("passenger_count", |profile| profile.passengers.clone(), |n| format!("{n} passengers")),
    ("RatecodeID", |profile| profile.rate_codes.clone(), |code| format!("RatecodeID {code}")),
];

/// Returns the section with a plot of each column.
pub(crate) fn section(judged: &JudgedDays) -> Section {
    let Some(((_, today), before)) = judged.recent.split_last() else { return Section::default() };
    let before = before.iter().rev().take(REFERENCE_DAYS).map(|(_, day)| &day.profile);
    let before: Vec<&Profile> = before.filter(|profile| profile.accepted() > 0).collect();
    let shown: Vec<(&'static str, Vec<Range>)> =
        COLUMNS.iter().map(|column| (column.0, ranges(column, &today.profile, &before))).collect();
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let rows = shown.iter().flat_map(|(_, ranges)| ranges).map(|range| {
        vec![range.label.clone(), percent(range.at), percent(range.lower), percent(range.upper)]
    });
    let head = vec!["value", "share on the day", "least before", "most before"];
    let tables = vec![Table { head, rows: rows.collect() }];
    let paragraphs = vec![format!(
        "Shares of the rows of the day; the lines reach from the least to the most of the {} days before it.",
        before.len()
    )];
    let plots = shown.into_iter().filter(|(_, ranges)| !ranges.is_empty());
    let plots = plots.map(|(name, ranges)| Plot::ranges(name, ranges)).collect();
    Section { title: "Distributions", paragraphs, plots, tables, ..Section::default() }
}

fn ranges((_, counts, name): &Column, today: &Profile, before: &[&Profile]) -> Vec<Range> {
    let share = |counts: &Counts, profile: &Profile, cell| {
        counts.get(cell) as f64 / (profile.accepted() as f64).max(1.0)
    };
    let usual: Vec<(Counts, &Profile)> = before.iter().map(|profile| (counts(profile), *profile)).collect();
    let here = counts(today);
    let mut cells: Vec<(i32, u64)> = here.iter().collect();
    if cells.len() > 24 {
        cells.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        cells.truncate(ZONES);
    }
    let range = |(cell, _): (i32, u64)| {
        let shares = usual.iter().map(|(counts, profile)| share(counts, profile, cell));
        let (lower, upper) =
            shares.fold((f64::INFINITY, 0.0f64), |(low, high), share| (low.min(share), high.max(share)));
        let lower = if lower.is_finite() { lower } else { 0.0 };
        Range { label: name(cell), at: share(&here, today, cell), lower, upper }
    };
    cells.into_iter().map(range).collect()
}

fn hours(profile: &Profile) -> Counts {
    let mut all = Counts::default();
    profile.hours.iter().for_each(|(hour, rows)| all.add(hour % 24, rows));
    all
}
