//! Exact rules: what a row must not have, compared with how often the last weeks had it.

use std::sync::Arc;

use serde::Serialize;

use super::scores::median_of;
use super::verdict::Verdict;
use super::{Counted, Past, REFERENCE_DAYS, REFERENCE_SPAN_DAYS, Watch};
use crate::profile::{Counts, Profile};

/// Rows of a day, and of its reference, below which there is no verdict.
pub const ROWS_MIN: u64 = 200;
/// Fewer rows than these make no alarm.
const COUNT_MIN: u64 = 5;
/// How much more often than usual something must occur: these times, and this share on top.
const TIMES_MIN: f64 = 3.0;
const SHARE_MIN: f64 = 0.002;
/// Deviation, in units of chance, that makes an alarm; see [`super::deviation::Deviation`].
const DEVIATION_MIN: f64 = 8.0;
/// Rows of a usual day, as a share or a multiple of it, beyond which the volume is an alarm. Holidays have half of the rows.
const VOLUME: (f64, f64) = (0.3, 3.0);

/// Days whose rows a day is compared with, at most and at least.
const RECENT_DAYS: usize = 28;
const RECENT_DAYS_MIN: usize = 7;

/// And standard errors of a count beyond which it is.
const VOLUME_ERRORS: f64 = 5.0;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// Column and value.
    pub what: String,
    /// Rows of the day that have it.
    pub count: u64,
    /// Their share.
    pub share: f64,
    /// The share in the reference; none for volumes.
    pub usual: f64,
    /// Whether it is an alarm; otherwise it is only reported.
    pub rings: bool,
    /// A sentence.
    pub text: String,
}

/// Compares a day with the rows of the last weeks, of `usual_rows` a day.
pub fn findings(day: &Profile, reference: &Profile, usual_rows: f64) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(volume(day.rows, usual_rows));
    for (column, here, usual) in [
        ("VendorID", &day.vendors, &reference.vendors),
        ("RatecodeID", &day.rate_codes, &reference.rate_codes),
        ("trip_type", &day.trip_types, &reference.trip_types),
        ("passenger_count", &day.passengers, &reference.passengers),
        ("payment_type", &day.outcomes.payments, &reference.outcomes.payments),
    ] {
        all.extend(codes(column, here, usual, day, reference));
    }
    let rates = [
        (
            "impossible_distance",
            "trip_distance is 0, negative or above 100 miles",
            flag(day, "impossible_distance"),
            flag(reference, "impossible_distance"),
        ),
        (
            "missing_distance",
            "trip_distance is missing",
            flag(day, "no_distance"),
            flag(reference, "no_distance"),
        ),
        (
            "missing_pickup",
            "the pickup time is missing",
            flag(day, "no_pickup_time"),
            flag(reference, "no_pickup_time"),
        ),
        ("odd_year", "the pickup lies before 1990 or after 2100", day.odd_years, reference.odd_years),
        ("unplaced", "a zone is unknown or not on the map", day.unplaced, reference.unplaced),
        ("missing_passengers", "passenger_count is missing", day.no_passengers, reference.no_passengers),
        (
            "negative_duration",
            "the drop-off lies before the pickup",
            day.outcomes.negative,
            reference.outcomes.negative,
        ),
        ("rejected", "rows are rejected", day.rejected.total(), reference.rejected.total()),
    ];
    for (rule, text, count, usual) in rates {
        all.extend(rate(rule, text, count, usual, day, reference));
    }
    all.extend(far_distance(day));
    all
}

fn flag(profile: &Profile, name: &str) -> u64 {
    profile.flags.get(name)
}

/// Compares the share of rows that have something. A finding that does not ring is left out.
fn rate(
    rule: &'static str,
    text: &str,
    count: u64,
    usual: u64,
    day: &Profile,
    reference: &Profile,
) -> Option<Finding> {
    is_more(count, usual, day, reference).then(|| finding(rule, text, count, usual, (day, reference), true))
}

fn is_more(count: u64, usual: u64, day: &Profile, reference: &Profile) -> bool {
    let (n, all) = (day.rows.max(1) as f64, reference.rows.max(1) as f64);
    let (share, usual) = (count as f64 / n, usual as f64 / all);
    let scale = ((usual + 2e-4) * (1.0 / n + 1.0 / all)).sqrt();
    count >= COUNT_MIN && share > TIMES_MIN * usual + SHARE_MIN && (share - usual) / scale > DEVIATION_MIN
}

fn finding(
    rule: &'static str,
    what: &str,
    count: u64,
    usual: u64,
    (day, reference): (&Profile, &Profile),
    rings: bool,
) -> Finding {
    let (share, usual) = (day.share(count), reference.share(usual));
    let text = format!(
        "{what}: {count} of {} rows ({:.2} %), usually {:.2} %",
        day.rows,
        100.0 * share,
        100.0 * usual
    );
    Finding { rule, what: what.into(), count, share, usual, rings, text }
}

/// Finds codes that are new, or much more frequent than they were.
fn codes(column: &str, here: &Counts, usual: &Counts, day: &Profile, reference: &Profile) -> Vec<Finding> {
    let mut all = Vec::new();
    for (code, count) in here.iter().filter(|(_, count)| *count > 0) {
        let before = usual.get(code);
        let is_known = 50 * before >= reference.rows / 100;
        let rings = !is_known && is_more(count, before, day, reference);
        if before == 0 || rings {
            let what = match before {
                0 => format!("{column} {code} was never seen before"),
                _ => format!("{column} {code} is new"),
            };
            all.push(finding("unseen_value", &what, count, before, (day, reference), rings));
        }
    }
    all
}

/// Reports the greatest distance of a day if no taxi can drive it; a row of it is no alarm.
fn far_distance(day: &Profile) -> Option<Finding> {
    let count = flag(day, "impossible_distance");
    let max = day.impossible_miles.filter(|max| *max > 100.0)?;
    let what = format!("trip_distance of {max:.0} miles");
    let text = format!("{what}: the greatest of {count} impossible distances, which count as missing");
    Some(Finding {
        rule: "far_distance",
        what,
        count,
        share: day.share(count),
        usual: 0.0,
        rings: false,
        text,
    })
}

fn volume(rows: u64, usual: f64) -> Option<Finding> {
    let share = rows as f64 / usual.max(1.0);
    // On days that usually have few rows, chance alone makes as great a difference.
    let is_beyond_chance = (rows as f64 - usual).abs() > VOLUME_ERRORS * usual.max(rows as f64).sqrt();
    let rings = is_beyond_chance && !(VOLUME.0..=VOLUME.1).contains(&share);
    let text = format!("{rows} rows, usually {usual:.0} on such a day");
    rings.then(|| Finding {
        rule: "volume",
        what: "rows of the day".into(),
        count: rows,
        share,
        usual: 1.0,
        rings,
        text,
    })
}

impl Watch {
    pub(super) fn quality(&self, of: &Past) -> Verdict {
        let counted = |past: &Past| past.counted.clone();
        let recent: Vec<Arc<Counted>> =
            self.past.iter().rev().filter_map(counted).take(RECENT_DAYS).collect();
        let alike: Vec<f64> = self
            .alike(of, REFERENCE_SPAN_DAYS)
            .filter_map(counted)
            .take(REFERENCE_DAYS)
            .map(|day| day.profile.rows as f64)
            .collect();
        let rows: u64 = recent.iter().map(|day| day.profile.rows).sum();
        let Some(today) = &of.counted else { return Verdict::default() };
        if recent.len() < RECENT_DAYS_MIN || rows < 5 * ROWS_MIN || alike.is_empty() {
            return Verdict::without_verdict(format!(
                "there are {} past days, {RECENT_DAYS_MIN} are needed",
                recent.len()
            ));
        }
        let mut reference = Profile::default();
        recent.iter().for_each(|day| reference.merge(&day.profile));
        let mut findings = findings(&today.profile, &reference, median_of(alike));
        if today.profile.rows < ROWS_MIN {
            // So few rows have no shares; that they are few is the finding.
            findings.retain(|finding| finding.rule == "volume" || !finding.rings);
        }
        let ringing = findings.iter().find(|finding| finding.rings);
        Verdict {
            rings: Some(ringing.is_some()),
            cause: ringing.map(|finding| finding.what.clone()),
            is_known: true,
            findings,
            ..Verdict::default()
        }
    }
}
