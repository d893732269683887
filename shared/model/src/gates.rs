//! Whether a month of trips may be learned from or judged on. Pure: a month and the months accepted before it in, checks with
//! their figures out.
//!
//! A bad month does more harm than a missing one: what learned from it is judged well on the next bad one. The bounds stand
//! where no clean month of 2020 to 2025 comes near them, lockdown included, and where months that were spoiled on purpose lie
//! beyond them (`docs/DESIGN.md` has the figures of both).

mod profile;

use serde::Serialize;

pub use profile::MonthProfile;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As expected.
    Passed,
    /// Worth knowing; the month is used.
    Warning,
    /// The month must not be used.
    Refused,
}

/// One check of a month, with its figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// A stable name.
    pub name: &'static str,
    /// What was measured; none where it cannot be.
    pub figure: Option<f64>,
    /// What is expected.
    pub expected: String,
    /// What was found.
    pub verdict: Verdict,
}

/// All checks of a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// What was measured.
    pub profile: MonthProfile,
    /// Check by check.
    pub checks: Vec<Check>,
}

/// A month this many months back says what to expect; beside an older one the same only warns.
const RECENT_MONTHS: u32 = 3;

impl Inspection {
    /// Inspects a month beside those `accepted` before it, oldest first.
    pub fn of(profile: MonthProfile, accepted: &[MonthProfile]) -> Self {
        let last = accepted.last();
        let mut checks = vec![rows(&profile, accepted)];
        checks.extend(alone(&profile));
        if profile.rows < ROWS_MIN {
            return Self { profile, checks };
        }
        let is_near = |last: &MonthProfile| is_recent(last, &profile);
        let otherwise = if last.is_some_and(is_near) { Verdict::Refused } else { Verdict::Warning };
        checks.extend(last.into_iter().flat_map(|last| beside(&profile, last, accepted, otherwise)));
        Self { profile, checks }
    }

    /// Why the month must not be used, if so: every check that refuses it.
    pub fn refusal(&self) -> Option<String> {
        let refused = self.checks.iter().filter(|check| check.verdict == Verdict::Refused);
        let said: Vec<String> = refused.map(Check::said).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What is worth knowing.
    pub fn warnings(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict == Verdict::Warning)
    }
}

impl Check {
    /// In words.
    pub fn said(&self) -> String {
        let found = self.figure.map_or("nothing".into(), |figure| format!("{figure:.4}"));
        format!("{} is {found}, expected {}", self.name, self.expected)
    }

    fn within(name: &'static str, figure: Option<f64>, low: f64, high: f64, otherwise: Verdict) -> Self {
        let is_so = figure.is_none_or(|figure| (low..=high).contains(&figure));
        let expected = match (low, high) {
            (f64::NEG_INFINITY, high) => format!("at most {high}"),
            (low, f64::INFINITY) => format!("at least {low}"),
            (low, high) => format!("{low} to {high}"),
        };
        Self { name, figure, expected, verdict: if is_so { Verdict::Passed } else { otherwise } }
    }

    fn at_most(name: &'static str, figure: Option<f64>, high: f64, otherwise: Verdict) -> Self {
        Self::within(name, figure, f64::NEG_INFINITY, high, otherwise)
    }

    fn at_least(name: &'static str, figure: Option<f64>, low: f64, otherwise: Verdict) -> Self {
        Self::within(name, figure, low, f64::INFINITY, otherwise)
    }
}

/// Fewer rows than this say nothing about how trips are spread.
const ROWS_MIN: u64 = 1000;

fn is_recent(one: &MonthProfile, of: &MonthProfile) -> bool {
    match (one.month, of.month) {
        (Some(one), Some(month)) => one >= month.minus(RECENT_MONTHS) && one < month,
        _ => false,
    }
}

/// Rows beside the months shortly before; without any there is nothing to hold them against but enough.
fn rows(profile: &MonthProfile, accepted: &[MonthProfile]) -> Check {
    let recent = accepted.iter().filter(|one| is_recent(one, profile));
    let mut recent: Vec<f64> = recent.map(|one| one.rows as f64).collect();
    recent.sort_unstable_by(f64::total_cmp);
    match recent.get(recent.len() / 2) {
        Some(usual) => {
            let ratio = profile.rows as f64 / usual.max(1.0);
            Check::within("rows_beside_recent_months", Some(ratio), 0.6, 1.7, Verdict::Refused)
        }
        None => Check {
            name: "rows_beside_recent_months",
            figure: None,
            expected: format!(
                "a month within the last {RECENT_MONTHS} to compare {} rows with",
                profile.rows
            ),
            verdict: Verdict::Warning,
        },
    }
}

/// What a month has to be by itself.
fn alone(profile: &MonthProfile) -> Vec<Check> {
    use Verdict::{Refused, Warning};
    let share = |share: f64| Some(share);
    let spread = |figure: Option<f64>| figure.filter(|_| profile.rows >= ROWS_MIN);
    vec![
        Check::at_least("rows", Some(profile.rows as f64), ROWS_MIN as f64, Warning),
        Check::at_most("rejected_share", share(profile.rejected_share), 0.05, Refused),
        Check::at_most("no_time_share", share(profile.no_time_share), 0.05, Refused),
        Check::at_most("unknown_zone_share", share(profile.unknown_zone_share), 0.1, Refused),
        Check::at_most("impossible_distance_share", share(profile.impossible_distance_share), 0.25, Refused),
        Check::at_most("no_passengers_share", share(profile.no_passengers_share), 0.6, Warning),
        Check::at_most("no_payment_share", share(profile.no_payment_share), 0.6, Warning),
        Check::at_most("outside_month_share", share(profile.outside_month_share), 0.02, Refused),
        Check::at_most("negative_duration_share", share(profile.negative_duration_share), 0.02, Refused),
        Check::at_most("reversal_share", share(profile.reversal_share), 0.03, Warning),
        Check::at_most("not_judged_share", share(profile.not_judged_share), 0.2, Refused),
        Check::at_most("same_duration_share", spread(profile.same_duration_share), 0.1, Refused),
        Check::at_least("duration_follows_distance", spread(profile.duration_follows_distance), 0.6, Refused),
        Check::within("miles_beside_straight_line", spread(profile.winding), 1.1, 1.5, Refused),
        Check::at_most("tips_not_by_card_share", profile.tips_not_by_card_share, 0.05, Warning),
        Check::at_most(
            "same_tip_without_payment_share",
            profile.same_tip_without_payment_share,
            0.2,
            Warning,
        ),
    ]
}

/// What a month has to be beside the last one that was accepted, and all of them.
fn beside(
    profile: &MonthProfile,
    last: &MonthProfile,
    accepted: &[MonthProfile],
    otherwise: Verdict,
) -> Vec<Check> {
    use Verdict::Warning;
    let new = |of: fn(&MonthProfile) -> &[f64]| {
        let here = of(profile);
        let unseen = |at: &usize| accepted.iter().all(|one| of(one)[*at] == 0.0);
        Some((0..here.len()).filter(unseen).map(|at| here[at]).sum::<f64>())
    };
    let ratio = |here: Option<f64>, before: Option<f64>| Some(here? / before.filter(|before| *before > 0.0)?);
    vec![
        Check::at_most("pickup_zones_moved", Some(moved(&profile.pickups, &last.pickups)), 0.15, otherwise),
        Check::at_most(
            "dropoff_zones_moved",
            Some(moved(&profile.dropoffs, &last.dropoffs)),
            0.15,
            otherwise,
        ),
        Check::at_most("new_pickup_zones_share", new(|one| &one.pickups), 0.01, Warning),
        Check::at_most("new_vendors_share", new(|one| &one.vendors), 0.01, Warning),
        Check::within(
            "distance_beside_last_month",
            ratio(profile.median_miles, last.median_miles),
            0.75,
            1.35,
            otherwise,
        ),
        Check::within(
            "duration_beside_last_month",
            ratio(profile.median_minutes, last.median_minutes),
            0.7,
            1.45,
            otherwise,
        ),
        Check::within(
            "tip_base_rate_moved",
            profile.tip_base_rate.zip(last.tip_base_rate).map(|(here, before)| here - before),
            -0.02,
            0.02,
            Warning,
        ),
        Check::at_least("tips_follow_zones", profile.tips_follow_zones(accepted), 0.4, otherwise),
    ]
}

/// The share of trips that would have to be in other zones: half the sum of differences (total variation).
fn moved(here: &[f64], before: &[f64]) -> f64 {
    here.iter().zip(before).map(|(here, before)| (here - before).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests;
