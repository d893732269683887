//! Measures what was served, and compares it with keeping the first champion and with each champion's predecessor.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use model::evaluation::slices_of;
use model::outcome::duration_min;
use model::performance::{Figures, Loss, Performance};
use model::trip::select;
use model::{LabelledTrips, Model, ModelVersion, Month, Predictions, Rules, Target, Trip};
use serde::Serialize;

use crate::output::Failure;

/// A period between two retrainings, with its champion.
pub struct Period {
    /// When it begins; it ends when the next one begins.
    pub from: NaiveDateTime,
    /// The champion.
    pub version: ModelVersion,
    /// Its model.
    pub model: Arc<Model>,
}

/// Metrics of what was served, on rows of the course's rules unless stated otherwise.
#[derive(Debug, Serialize)]
pub struct Served {
    /// All rows.
    pub pooled: ServedFigures,
    /// By calendar month.
    pub months: BTreeMap<String, ServedFigures>,
    /// By retraining: from one to the next.
    pub periods: Vec<PeriodFigures>,
    /// By slice, `by: value`.
    pub slices: BTreeMap<String, ServedFigures>,
    /// Share of all trips with both times, of any duration, inside the interval; and the number of those trips.
    pub coverage_of_all: Option<(f64, u64)>,
    /// Width in minutes of a constant interval that covers as many trips, chosen in hindsight.
    pub constant_width_min: Option<f64>,
}

/// Metrics on some rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ServedFigures {
    /// Number of rows.
    pub rows: u64,
    /// RMSE in minutes, or log loss.
    pub loss: f64,
    /// The loss if the first champion had never been replaced.
    pub loss_frozen: f64,
    /// Share inside the interval; none for tips.
    pub coverage: Option<f64>,
    /// Its standard error, by the binomial distribution.
    pub coverage_error: Option<f64>,
    /// Mean width of the interval, minutes.
    pub width_min: Option<f64>,
    /// Calibration error of tips.
    pub ece: Option<f64>,
    /// Share of tipped trips.
    pub base_rate: Option<f64>,
}

/// The metrics of one period.
#[derive(Debug, Serialize)]
pub struct PeriodFigures {
    /// When it began.
    pub from: String,
    /// The champion.
    pub version: ModelVersion,
    /// Whether the champion was new.
    pub promoted: bool,
    /// Its metrics.
    pub figures: ServedFigures,
    /// The loss of its predecessor on the same rows.
    pub loss_of_previous: Option<f64>,
}

/// Sums from which metrics are computed.
struct Tally {
    loss: Loss,
    served: Performance,
    /// Sums of losses: of the champion, of the first one, and of the previous one.
    losses: [f64; 3],
}

/// One row with the predictions of the champion, of the first one, and of the previous one.
struct Row {
    predicted: [f64; 3],
    interval: Option<(f64, f64)>,
    actual: f64,
}

impl Tally {
    fn new(target: Target) -> Self {
        Self { loss: Loss::of_target(target), served: Performance::new(target), losses: [0.0; 3] }
    }

    fn add(&mut self, row: &Row) {
        self.served.add(row.predicted[0], row.interval, row.actual);
        let losses = self.losses.iter_mut().zip(row.predicted);
        losses.for_each(|(sum, predicted)| *sum += self.loss.row(predicted, row.actual));
    }

    fn figures(&self) -> ServedFigures {
        let rows = self.served.rows().max(1) as f64;
        let [loss, loss_frozen, _] = self.losses.map(|sum| self.loss.figure(sum / rows));
        let mut all = ServedFigures { rows: self.served.rows(), loss, loss_frozen, ..Default::default() };
        match self.served.metrics().figures {
            Figures::Duration { coverage, interval_width_min, .. } => {
                all.coverage = Some(coverage);
                all.coverage_error = Some((coverage * (1.0 - coverage) / rows).sqrt());
                all.width_min = Some(interval_width_min);
            }
            Figures::Tip { ece, base_rate, .. } => (all.ece, all.base_rate) = (ece, Some(base_rate)),
        }
        all
    }

    fn loss_of_previous(&self) -> f64 {
        self.loss.figure(self.losses[2] / self.served.rows().max(1) as f64)
    }
}

/// Predicts every trip of `months` with the champion at its pickup.
pub fn serve(
    target: Target,
    periods: &[Period],
    months: &[Month],
    threads: usize,
    read: impl Fn(Month) -> Result<Option<LabelledTrips>, Failure>,
) -> Result<Served, Failure> {
    let tally = || Tally::new(target);
    let mut pooled = tally();
    let mut by_month: BTreeMap<String, Tally> = BTreeMap::new();
    let mut by_slice: BTreeMap<String, Tally> = BTreeMap::new();
    let mut by_period: Vec<Tally> = periods.iter().map(|_| tally()).collect();
    let (mut all_trips, mut all_covered) = (0u64, 0u64);
    let mut errors = Vec::new();
    for month in months {
        let Some(file) = read(*month)? else { continue };
        let (rows, _) = Rules::Course.rows(target, &file);
        let mut counts = vec![false; file.trips.len()];
        rows.into_iter().for_each(|row| counts[row] = true);
        for (number, (rows, trips)) in parts(&file, *month, periods) {
            let predictions = [number, 0, previous(periods, number).unwrap_or(number)]
                .map(|period| Predictions::new(&periods[period].model, &trips, threads));
            for (at, row) in rows.into_iter().enumerate() {
                let minutes = duration_min(file.trips[row].pickup, file.outcomes[row].dropoff);
                let interval = predictions[0].interval(at);
                if let (Some(minutes), Some((lower, upper))) = (minutes, interval) {
                    all_trips += 1;
                    all_covered += u64::from((lower..=upper).contains(&minutes));
                }
                let Some(actual) = file.label(target, row).filter(|_| counts[row]) else { continue };
                let predicted = [0, 1, 2].map(|who: usize| predictions[who].values()[at]);
                let served = Row { predicted, interval, actual };
                if interval.is_some() {
                    errors.push((predicted[0] - actual).abs());
                }
                pooled.add(&served);
                by_month.entry(month.to_string()).or_insert_with(tally).add(&served);
                by_period[number].add(&served);
                for (by, value) in slices_of(&file.trips[row]) {
                    by_slice.entry(format!("{by}: {value}")).or_insert_with(tally).add(&served);
                }
            }
        }
    }
    let figures =
        |of: BTreeMap<String, Tally>| of.into_iter().map(|(name, of)| (name, of.figures())).collect();
    Ok(Served {
        pooled: pooled.figures(),
        months: figures(by_month),
        periods: by_period.iter().enumerate().map(|(number, of)| period(periods, number, of)).collect(),
        slices: figures(by_slice),
        coverage_of_all: (all_trips > 0).then(|| (all_covered as f64 / all_trips as f64, all_trips)),
        constant_width_min: constant_width(errors, pooled.served.covered()),
    })
}

fn period(periods: &[Period], number: usize, tally: &Tally) -> PeriodFigures {
    let Period { from, version, .. } = &periods[number];
    let promoted = number == 0 || periods[number - 1].version != *version;
    let before = previous(periods, number).filter(|_| promoted);
    PeriodFigures {
        from: from.to_string(),
        version: version.clone(),
        promoted,
        figures: tally.figures(),
        loss_of_previous: before.map(|_| tally.loss_of_previous()),
    }
}

/// Returns the last period with another champion.
fn previous(periods: &[Period], number: usize) -> Option<usize> {
    periods[..number].iter().rposition(|period| period.version != periods[number].version)
}

/// Returns twice the distance within which `covered` of the errors lie.
fn constant_width(mut errors: Vec<f64>, covered: u64) -> Option<f64> {
    errors.sort_unstable_by(f64::total_cmp);
    errors.get((covered as usize).checked_sub(1)?).map(|far| 2.0 * far)
}

/// Groups the rows of a file, with their trips, by the period in which they were served.
fn parts(file: &LabelledTrips, month: Month, periods: &[Period]) -> BTreeMap<usize, (Vec<usize>, Vec<Trip>)> {
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for row in 0..file.trips.len() {
        // A pickup outside of the month is a wrong clock: such trips count as in the middle of the month.
        let at = file.trips[row].pickup.filter(|at| month.contains(*at)).or_else(|| month.middle());
        let number = at.map_or(0, |at| periods.partition_point(|period| period.from <= at));
        if let Some(number) = number.checked_sub(1) {
            parts.entry(number).or_default().push(row);
        }
    }
    parts.into_iter().map(|(number, rows)| (number, (rows.clone(), select(&file.trips, &rows)))).collect()
}
