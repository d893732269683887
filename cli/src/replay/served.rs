//! What was served, and how good it was: beside the first champion kept for ever, and beside each champion's predecessor.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use model::candidates::DurationAnswers;
use model::evaluation::{Loss, calibration_error, slices_of};
use model::outcome::duration_min;
use model::{LabelledTrips, Model, ModelVersion, Month, Rules, Target, TripBatch};
use serde::Serialize;

use crate::output::Failure;

/// Who serves from when.
pub struct Period {
    /// Until the next one begins.
    pub from: NaiveDateTime,
    /// The champion.
    pub version: ModelVersion,
    /// The same, ready to answer.
    pub model: Arc<Model>,
}

/// Figures of what was served, on rows of the course's rules where nothing else is said.
#[derive(Debug, Serialize)]
pub struct Served {
    /// All rows.
    pub pooled: Figures,
    /// By calendar month.
    pub months: BTreeMap<String, Figures>,
    /// By retraining: from one to the next.
    pub periods: Vec<PeriodFigures>,
    /// By slice, `by: value`.
    pub slices: BTreeMap<String, Figures>,
    /// Share of all trips with both times, whatever their duration, inside the interval; and how many they are.
    pub coverage_of_all: Option<(f64, u64)>,
    /// Mean width that an interval as wide for all trips would need to cover as many, minutes; in hindsight.
    pub constant_width_min: Option<f64>,
}

/// Figures on some rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    /// How many.
    pub rows: u64,
    /// RMSE in minutes, or log loss.
    pub loss: f64,
    /// The same if the first champion had stayed for ever.
    pub loss_frozen: f64,
    /// Share inside the interval; of tips none.
    pub coverage: Option<f64>,
    /// One standard error of that, by the binomial distribution.
    pub coverage_error: Option<f64>,
    /// Mean width of the interval, minutes.
    pub width_min: Option<f64>,
    /// Of tips: calibration error.
    pub ece: Option<f64>,
    /// Of tips: share of tipped trips.
    pub base_rate: Option<f64>,
}

/// What one champion did until the next retraining.
#[derive(Debug, Serialize)]
pub struct PeriodFigures {
    /// From when.
    pub from: String,
    /// Who served.
    pub version: ModelVersion,
    /// Whether it was new.
    pub promoted: bool,
    /// How it did.
    pub figures: Figures,
    /// What its predecessor would have done.
    pub loss_of_previous: Option<f64>,
}

/// Sums over rows of which figures are made.
#[derive(Default)]
struct Tally {
    rows: u64,
    loss: f64,
    loss_frozen: f64,
    loss_previous: f64,
    covered: u64,
    width: f64,
    said_and_was: Vec<(f64, f64)>,
}

/// One row as it was answered.
struct Answered {
    said: f64,
    frozen: f64,
    previous: f64,
    interval: Option<(f64, f64)>,
    was: f64,
}

impl Tally {
    fn add(&mut self, loss: Loss, row: &Answered) {
        self.rows += 1;
        self.loss += loss.row(row.said, row.was);
        self.loss_frozen += loss.row(row.frozen, row.was);
        self.loss_previous += loss.row(row.previous, row.was);
        match row.interval {
            Some((lower, upper)) => {
                self.covered += u64::from((lower..=upper).contains(&row.was));
                self.width += upper - lower;
            }
            None => self.said_and_was.push((row.said, row.was)),
        }
    }

    fn figures(&self, loss: Loss) -> Figures {
        let rows = self.rows.max(1) as f64;
        let duration = loss == Loss::Squared;
        let coverage = self.covered as f64 / rows;
        let tipped = self.said_and_was.iter().map(|(_, was)| was).sum::<f64>();
        Figures {
            rows: self.rows,
            loss: loss.figure(self.loss / rows),
            loss_frozen: loss.figure(self.loss_frozen / rows),
            coverage: duration.then_some(coverage),
            coverage_error: duration.then(|| (coverage * (1.0 - coverage) / rows).sqrt()),
            width_min: duration.then_some(self.width / rows),
            ece: (!duration).then(|| calibration_error(self.said_and_was.clone())),
            base_rate: (!duration).then_some(tipped / rows),
        }
    }
}

/// Serves every trip of `months` by whoever was champion when it began.
pub fn serve(
    target: Target,
    periods: &[Period],
    months: &[Month],
    read: impl Fn(Month) -> Result<Option<LabelledTrips>, Failure>,
) -> Result<Served, Failure> {
    let loss = Loss::of(target);
    let mut pooled = Tally::default();
    let mut by_month: BTreeMap<String, Tally> = BTreeMap::new();
    let mut by_slice: BTreeMap<String, Tally> = BTreeMap::new();
    let mut by_period: Vec<Tally> = periods.iter().map(|_| Tally::default()).collect();
    let (mut all_trips, mut all_covered) = (0u64, 0u64);
    let mut errors = Vec::new();
    for month in months {
        let Some(file) = read(*month)? else { continue };
        let (rows, _) = Rules::Course.rows(target, &file);
        let mut counts = vec![false; file.trips.len()];
        rows.into_iter().for_each(|row| counts[row] = true);
        for (number, (rows, trips)) in parts(&file, *month, periods) {
            let answers = [number, 0, previous(periods, number).unwrap_or(number)]
                .map(|period| answer(&periods[period].model, &trips));
            for (at, row) in rows.into_iter().enumerate() {
                let minutes = duration_min(file.trips.pickup[row], file.outcomes.dropoff[row]);
                let interval = answers[0].interval(at);
                if let (Some(minutes), Some((lower, upper))) = (minutes, interval) {
                    all_trips += 1;
                    all_covered += u64::from((lower..=upper).contains(&minutes));
                }
                let Some(was) = file.label(target, row).filter(|_| counts[row]) else { continue };
                let [said, frozen, previous] = [0, 1, 2].map(|who: usize| answers[who].said(at));
                let answered = Answered { said, frozen, previous, interval, was };
                if interval.is_some() {
                    errors.push((said - was).abs());
                }
                pooled.add(loss, &answered);
                by_month.entry(month.to_string()).or_default().add(loss, &answered);
                by_period[number].add(loss, &answered);
                for (by, value) in slices_of(&file.trips.trip(row)) {
                    by_slice.entry(format!("{by}: {value}")).or_default().add(loss, &answered);
                }
            }
        }
    }
    let figures =
        |of: BTreeMap<String, Tally>| of.into_iter().map(|(name, of)| (name, of.figures(loss))).collect();
    Ok(Served {
        pooled: pooled.figures(loss),
        months: figures(by_month),
        periods: by_period.iter().enumerate().map(|(number, of)| period(periods, number, of, loss)).collect(),
        slices: figures(by_slice),
        coverage_of_all: (all_trips > 0).then(|| (all_covered as f64 / all_trips as f64, all_trips)),
        constant_width_min: constant_width(errors, pooled.covered),
    })
}

fn period(periods: &[Period], number: usize, tally: &Tally, loss: Loss) -> PeriodFigures {
    let Period { from, version, .. } = &periods[number];
    let promoted = number == 0 || periods[number - 1].version != *version;
    let before = previous(periods, number).filter(|_| promoted);
    PeriodFigures {
        from: from.to_string(),
        version: version.clone(),
        promoted,
        figures: tally.figures(loss),
        loss_of_previous: before.map(|_| loss.figure(tally.loss_previous / tally.rows.max(1) as f64)),
    }
}

/// A period of the champion before.
fn previous(periods: &[Period], number: usize) -> Option<usize> {
    periods[..number].iter().rposition(|period| period.version != periods[number].version)
}

/// Twice the distance within which as many errors lie.
fn constant_width(mut errors: Vec<f64>, covered: u64) -> Option<f64> {
    errors.sort_unstable_by(f64::total_cmp);
    errors.get((covered as usize).checked_sub(1)?).map(|far| 2.0 * far)
}

/// The rows of a file by the period they were served in, with their trips.
fn parts(file: &LabelledTrips, month: Month, periods: &[Period]) -> BTreeMap<usize, (Vec<usize>, TripBatch)> {
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for row in 0..file.trips.len() {
        // A clock that is wrong says nothing of when the trip was: it was in the middle of the month.
        let at = file.trips.pickup[row].filter(|at| month.contains(*at)).or_else(|| month.middle());
        let number = at.map_or(0, |at| periods.partition_point(|period| period.from <= at));
        if let Some(number) = number.checked_sub(1) {
            parts.entry(number).or_default().push(row);
        }
    }
    parts.into_iter().map(|(number, rows)| (number, (rows.clone(), file.trips.select(&rows)))).collect()
}

enum Said {
    Minutes(DurationAnswers),
    Probabilities(Vec<f64>),
}

fn answer(model: &Model, trips: &TripBatch) -> Said {
    match model {
        Model::Duration(model) => Said::Minutes(model.answer(trips)),
        Model::Tip(model) => Said::Probabilities(model.probabilities(trips)),
    }
}

impl Said {
    fn said(&self, at: usize) -> f64 {
        match self {
            Self::Minutes(answers) => answers.minutes[at],
            Self::Probabilities(probabilities) => probabilities[at],
        }
    }

    fn interval(&self, at: usize) -> Option<(f64, f64)> {
        match self {
            Self::Minutes(answers) => Some((answers.lower_min[at], answers.upper_min[at])),
            Self::Probabilities(_) => None,
        }
    }
}
