//! Checks whether a month of trips may be used. Pure: takes a month and the inspections of those before it, returns
//! checks.
//!
//! A bad month does more harm than a missing one: a model that learned from it is judged well on the next bad one. No
//! clean month of 2020 to 2025 comes near the bounds, lockdown included, and months that were spoiled on purpose exceed
//! them (`docs/DESIGN.md` has the figures of both). The bounds allow for chance in a month of few rows, such as a
//! sample: a figure beyond its bound that chance may have put there is inconclusive, and refuses nothing.

mod figures;
mod noise;

use std::borrow::Cow;

use model::trip::Zone;
use serde::{Deserialize, Serialize};

use crate::profile::{Counts, Profile};
use figures::{CARD_TRIPS_MIN, ZONES_MIN};
pub use figures::{Median, MonthFigures};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figure is as expected.
    Passed,
    /// The figure is not as expected, but chance alone may explain that with so few rows; the month is used.
    TooFewRows,
    /// The figure is unusual; the month is used.
    Warning,
    /// The month must not be used.
    Refused,
}

/// One check of a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// A stable name.
    pub name: Cow<'static, str>,
    /// The measured value; none if it cannot be measured.
    pub figure: Option<f64>,
    /// How far chance alone may move the figure with this many rows.
    #[serde(default)]
    pub noise: f64,
    /// The expected range.
    pub expected: String,
    /// The result.
    pub verdict: Verdict,
}

/// All checks of a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The measured figures.
    #[serde(rename = "profile")]
    pub figures: MonthFigures,
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}

/// A month at most this many months back can refuse the next one by comparison; an older one only warns.
const RECENT_MONTHS: u32 = 3;

impl Inspection {
    /// Checks a month against those `before` it, oldest first: against all of them in its number of rows, and against
    /// the accepted ones in everything else.
    pub fn new<'a>(figures: MonthFigures, before: impl IntoIterator<Item = &'a Inspection>) -> Self {
        let before: Vec<&Inspection> = before.into_iter().collect();
        let accepted: Vec<&MonthFigures> =
            before.iter().filter(|one| one.refusal().is_none()).map(|one| &one.figures).collect();
        let last = accepted.last();
        let mut checks = vec![rows(&figures, &before)];
        checks.extend(alone(&figures));
        if figures.rows < ROWS_MIN {
            return Self { figures, checks };
        }
        let is_near = |last: &&MonthFigures| is_recent(last, &figures);
        let otherwise = if last.is_some_and(is_near) { Verdict::Refused } else { Verdict::Warning };
        checks.extend(last.into_iter().flat_map(|last| beside(&figures, last, &accepted, otherwise)));
        Self { figures, checks }
    }

    /// Returns the descriptions of every check that refuses the month; none if it may be used.
    pub fn refusal(&self) -> Option<String> {
        let refused = self.checks.iter().filter(|check| check.verdict == Verdict::Refused);
        let description: Vec<String> = refused.map(Check::description).collect();
        (!description.is_empty()).then(|| description.join("; "))
    }

    /// Returns warnings, and checks that are inconclusive for lack of rows.
    pub fn warnings(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.verdict, Verdict::Warning | Verdict::TooFewRows))
    }
}

/// A figure of a month, and how far chance alone may move it.
#[derive(Clone, Copy)]
struct Measured {
    figure: Option<f64>,
    noise: f64,
}

impl Measured {
    /// A figure without sampling noise.
    fn exact(figure: f64) -> Self {
        Self { figure: Some(figure), noise: 0.0 }
    }

    /// Returns the ratio of two medians.
    fn ratio(here: Option<Median>, before: Option<Median>) -> Self {
        let Some((here, before)) = here.zip(before.filter(|before| before.value > 0.0)) else {
            return Self { figure: None, noise: 0.0 };
        };
        let figure = here.value / before.value;
        let error = (here.error / here.value.max(f64::MIN_POSITIVE)).hypot(before.error / before.value);
        Self { figure: Some(figure), noise: noise::of_error(figure * error) }
    }
}

impl Check {
    /// Describes the check in a sentence.
    pub fn description(&self) -> String {
        let found = self.figure.map_or("nothing".into(), |figure| format!("{figure:.4}"));
        let description = format!("{} is {found}, expected {}", self.name, self.expected);
        if self.verdict == Verdict::TooFewRows && self.noise > 0.0 {
            return format!(
                "{description}; too few rows to judge: chance alone moves it by {:.4}",
                self.noise
            );
        }
        description
    }

    fn within(name: &'static str, measured: Measured, low: f64, high: f64, otherwise: Verdict) -> Self {
        let Measured { figure, noise } = measured;
        let beyond = figure.map_or(0.0, |figure| (figure - high).max(low - figure));
        let verdict = match beyond {
            beyond if beyond <= 0.0 => Verdict::Passed,
            beyond if beyond <= noise => Verdict::TooFewRows,
            // NaN comes here, too.
            _ => otherwise,
        };
        let expected = match (low, high) {
            (f64::NEG_INFINITY, high) => format!("at most {high}"),
            (low, f64::INFINITY) => format!("at least {low}"),
            (low, high) => format!("{low} to {high}"),
        };
        Self { name: name.into(), figure, noise, expected, verdict }
    }

    fn at_most(name: &'static str, measured: Measured, high: f64, otherwise: Verdict) -> Self {
        Self::within(name, measured, f64::NEG_INFINITY, high, otherwise)
    }

    fn at_least(name: &'static str, measured: Measured, low: f64, otherwise: Verdict) -> Self {
        Self::within(name, measured, low, f64::INFINITY, otherwise)
    }

    /// Checks that a share of `rows` is at most `high`.
    fn share(name: &'static str, figure: Option<f64>, rows: f64, high: f64, otherwise: Verdict) -> Self {
        Self::at_most(name, Measured { figure, noise: noise::of_share(high, rows) }, high, otherwise)
    }
}

/// Minimum number of rows for checks of how trips are distributed.
const ROWS_MIN: u64 = 1000;

fn is_recent(one: &MonthFigures, of: &MonthFigures) -> bool {
    match (one.month, of.month) {
        (Some(one), Some(month)) => one >= month.minus(RECENT_MONTHS) && one < month,
        _ => false,
    }
}

/// Compares the rows with the median of the months shortly before; warns if there are none. Refused months count, too:
/// if the first month of all was truncated, those after it outvote it, where it would have them refused otherwise.
fn rows(figures: &MonthFigures, before: &[&Inspection]) -> Check {
    let name = "rows_beside_recent_months";
    let recent = before.iter().map(|one| &one.figures).filter(|one| is_recent(one, figures));
    let mut recent: Vec<f64> = recent.map(|one| one.rows as f64).collect();
    recent.sort_unstable_by(f64::total_cmp);
    match recent.get(recent.len() / 2) {
        Some(usual) => {
            let ratio = Measured::exact(figures.rows as f64 / usual.max(1.0));
            Check::within(name, ratio, 0.6, 1.7, Verdict::Refused)
        }
        None => Check {
            name: name.into(),
            figure: None,
            noise: 0.0,
            expected: format!(
                "a month within the last {RECENT_MONTHS} to compare {} rows with",
                figures.rows
            ),
            verdict: Verdict::Warning,
        },
    }
}

/// Returns the checks of a month by itself.
fn alone(figures: &MonthFigures) -> Vec<Check> {
    use Verdict::{Refused, TooFewRows, Warning};
    let rows = figures.rows as f64;
    let spread = |figure: Option<f64>| figure.filter(|_| figures.rows >= ROWS_MIN);
    let share = |name, share, high, otherwise| Check::share(name, Some(share), rows, high, otherwise);
    let follows = Measured {
        figure: spread(figures.duration_follows_distance),
        noise: noise::of_correlation(FOLLOWS_MIN, rows),
    };
    let detour = Measured {
        figure: spread(figures.detour_ratio.map(|median| median.value)),
        noise: figures.detour_ratio.map_or(0.0, |median| noise::of_error(median.error)),
    };
    vec![
        Check::at_least("rows", Measured::exact(rows), ROWS_MIN as f64, TooFewRows),
        share("rejected_share", figures.rejected_share, 0.05, Refused),
        share("no_time_share", figures.no_time_share, 0.05, Refused),
        share("unknown_zone_share", figures.unknown_zone_share, 0.1, Refused),
        share("impossible_distance_share", figures.impossible_distance_share, 0.25, Refused),
        share("no_passengers_share", figures.no_passengers_share, 0.6, Warning),
        share("no_payment_share", figures.no_payment_share, 0.6, Warning),
        share("outside_month_share", figures.outside_month_share, 0.02, Refused),
        share("negative_duration_share", figures.negative_duration_share, 0.02, Refused),
        share("reversal_share", figures.reversal_share, 0.03, Warning),
        share("not_judged_share", figures.not_judged_share, 0.2, Refused),
        Check::share("same_duration_share", spread(figures.same_duration_share), rows, 0.1, Refused),
        Check::at_least("duration_follows_distance", follows, FOLLOWS_MIN, Refused),
        Check::within("miles_beside_straight_line", detour, 1.1, 1.5, Refused),
        Check::share(
            "tips_not_by_card_share",
            figures.tips_not_by_card_share,
            figures.profile.outcomes.paid_otherwise as f64,
            0.05,
            Warning,
        ),
        Check::share(
            "same_tip_without_payment_share",
            figures.same_tip_without_payment_share,
            figures.no_payment_share * rows,
            0.2,
            Warning,
        ),
    ]
}

/// The largest share of trips that may be in other zones than in the month before.
const ZONES_MOVED_MAX: f64 = 0.15;
/// The smallest correlation of the logarithms of distance and duration.
const FOLLOWS_MIN: f64 = 0.6;

/// Returns the checks of a month against the last accepted one, and against all of them.
fn beside(
    figures: &MonthFigures,
    last: &MonthFigures,
    accepted: &[&MonthFigures],
    otherwise: Verdict,
) -> Vec<Check> {
    use Verdict::Warning;
    let moved = |counts: fn(&Profile) -> &Counts| {
        let shares = |one: &MonthFigures| one.shares(counts, Zone::COUNT);
        let (here, before) = (shares(figures), shares(last));
        let (rows, rows_before) = (figures.rows as f64, last.rows as f64);
        Measured {
            figure: Some(total_variation(&here, &before)),
            noise: noise::of_total_variation(ZONES_MOVED_MAX, (&here, rows), (&before, rows_before)),
        }
    };
    let card_trips = (figures.card_trips(), last.card_trips());
    let base_rate_moved = Measured {
        figure: figures.tip_base_rate.zip(last.tip_base_rate).map(|(here, before)| here - before),
        noise: last.tip_base_rate.map_or(0.0, |rate| {
            noise::of_share(rate, card_trips.0).hypot(noise::of_share(rate, card_trips.1))
        }),
    };
    let miles = Measured::ratio(figures.median_miles, last.median_miles);
    let minutes = Measured::ratio(figures.median_minutes, last.median_minutes);
    vec![
        Check::at_most("pickup_zones_moved", moved(|one| &one.pickups), ZONES_MOVED_MAX, otherwise),
        Check::at_most("dropoff_zones_moved", moved(|one| &one.dropoffs), ZONES_MOVED_MAX, otherwise),
        unseen("new_pickup_zones_share", |one| &one.pickups, Zone::COUNT, figures, accepted),
        unseen("new_vendors_share", |one| &one.vendors, CODES, figures, accepted),
        Check::within("distance_beside_last_month", miles, 0.75, 1.35, otherwise),
        Check::within("duration_beside_last_month", minutes, 0.7, 1.45, otherwise),
        Check::within("tip_base_rate_moved", base_rate_moved, -0.02, 0.02, Warning),
        tips_follow_zones(figures, accepted, otherwise),
    ]
}

fn tips_follow_zones(figures: &MonthFigures, accepted: &[&MonthFigures], otherwise: Verdict) -> Check {
    let measured = figures.tips_follow_zones(accepted);
    let check = Check::at_least("tips_follow_zones", measured, TIPS_FOLLOW_MIN, otherwise);
    if check.figure.is_some() {
        return check;
    }
    let expected = format!("{ZONES_MIN} zones of {CARD_TRIPS_MIN} card trips on both sides to compare");
    Check { expected, verdict: Verdict::TooFewRows, ..check }
}

/// The smallest correlation of the zones' shares of tipped trips with those of the accepted months.
const TIPS_FOLLOW_MIN: f64 = 0.4;

/// Number of cells for a code of one byte.
const CODES: usize = 256;

/// Checks the share of trips of categories that no accepted month has.
fn unseen(
    name: &'static str,
    counts: fn(&Profile) -> &Counts,
    n_cells: usize,
    figures: &MonthFigures,
    accepted: &[&MonthFigures],
) -> Check {
    const SHARE_MAX: f64 = 0.01;
    let mut seen = vec![0; n_cells];
    for one in accepted {
        seen.iter_mut().zip(counts(&one.profile).table(n_cells)).for_each(|(seen, rows)| *seen += rows);
    }
    let singles = seen.iter().filter(|rows| **rows == 1).count() as f64;
    let shares = figures.shares(counts, n_cells);
    let share = shares.iter().zip(&seen).filter(|(_, rows)| **rows == 0).map(|(share, _)| share).sum();
    let total = seen.iter().sum::<u64>() as f64;
    let noise = noise::of_unseen(SHARE_MAX, singles, total, figures.rows as f64);
    Check::at_most(name, Measured { figure: Some(share), noise }, SHARE_MAX, Verdict::Warning)
}

/// Returns the total variation distance: half the sum of absolute differences.
fn total_variation(here: &[f64], before: &[f64]) -> f64 {
    here.iter().zip(before).map(|(here, before)| (here - before).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests;
