//! How far durations and distances of rows are from those of comparable rows, as natural logarithms.

use std::collections::HashMap;

use chrono::Timelike;

use crate::outcome::LabelledTrips;
use crate::trip::possible_miles;
use crate::zones;

/// Cells of fewer rows are not compared with.
const CELL_ROWS_MIN: usize = 20;
/// Straight miles below which a distance is not compared with them: zones are about that wide.
const STRAIGHT_MIN: f32 = 0.7;
/// Fares that are compared with, dollars: the least charge, and beyond what trips of an hour cost.
const FARES: (f64, f64) = (3.0, 100.0);
/// Miles below which a distance is not compared.
const MILES_MIN: f64 = 0.3;

/// What is compared with what.
#[derive(Debug, Clone, Copy)]
pub(super) enum Residual {
    /// Minutes with those of trips of the same fare and distance.
    MinutesByFare,
    /// Minutes with those of trips of the same distance and hour.
    MinutesByHour,
    /// Miles with the straight line, beside what is usual.
    MilesByLine,
    /// Miles with those of trips of the same fare.
    MilesByFare,
}

/// The residuals of rows, NaN where there is nothing to compare and for rows that are marked.
pub(super) struct Residuals([Vec<f64>; 4]);

impl Residuals {
    /// Computes the residuals of `rows` of a file, which took `minutes`, among those that are not marked.
    pub(super) fn new(file: &LabelledTrips, rows: &[usize], minutes: &[f64], is_marked: &[bool]) -> Self {
        let miles: Vec<f64> = rows
            .iter()
            .zip(is_marked)
            .map(|(row, marked)| file.trips[*row].distance_miles.filter(|_| !marked))
            .map(|miles| possible_miles(miles).filter(|miles| *miles >= MILES_MIN))
            .map(|miles| miles.unwrap_or(f64::NAN))
            .collect();
        let fare = |at: usize| {
            let fare = file.outcomes[rows[at]].fare_amount;
            fare.filter(|dollars| (FARES.0..FARES.1).contains(dollars)).map(fare_band)
        };
        let mile = |at: usize| (!miles[at].is_nan()).then(|| mile_band(miles[at]));
        let hour = |at: usize| file.trips[rows[at]].pickup.map(|pickup| pickup.hour() / 3);
        let log_minutes = |at: usize| libm::log(minutes[at]);
        let log_miles = |at: usize| libm::log(miles[at]);
        let log_detour = |at: usize| {
            let trip = &file.trips[rows[at]];
            let straight = zones::straight_miles(trip.pickup_zone, trip.dropoff_zone);
            let straight = straight.filter(|straight| *straight >= STRAIGHT_MIN);
            straight.map_or(f64::NAN, |straight| log_miles(at) - libm::log(straight.into()))
        };
        let n = rows.len();
        Self([
            beside_cells(n, |at| Some((fare(at)?, mile(at)?)), log_minutes),
            beside_cells(n, |at| Some((hour(at)?, mile(at)?)), log_minutes),
            beside_cells(n, |_| Some((0, 0)), log_detour),
            beside_cells(n, |at| Some((fare(at)?, 0)), log_miles),
        ])
    }

    /// Returns a residual of the row at a position.
    pub(super) fn get(&self, residual: Residual, at: usize) -> f64 {
        self.0[residual as usize][at]
    }
}

/// Returns each row's value less the median of its cell.
fn beside_cells(
    n_rows: usize,
    cell: impl Fn(usize) -> Option<(u32, u32)>,
    value: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let mut cells: HashMap<(u32, u32), Vec<f64>> = HashMap::new();
    let of_rows: Vec<(Option<(u32, u32)>, f64)> = (0..n_rows).map(|at| (cell(at), value(at))).collect();
    for (cell, value) in of_rows.iter().filter(|(_, value)| !value.is_nan()) {
        if let Some(cell) = cell {
            cells.entry(*cell).or_default().push(*value);
        }
    }
    let medians: HashMap<(u32, u32), f64> = cells
        .into_iter()
        .filter(|(_, values)| values.len() >= CELL_ROWS_MIN)
        .map(|(cell, mut values)| (cell, median(&mut values)))
        .collect();
    let residual = |(cell, value): (Option<(u32, u32)>, f64)| {
        cell.and_then(|cell| medians.get(&cell)).map_or(f64::NAN, |median| value - median)
    };
    of_rows.into_iter().map(residual).collect()
}

/// Returns the upper median of values, at least one.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Numbers bands of a dollar up to 20, of two up to 40, and of ten.
fn fare_band(dollars: f64) -> u32 {
    match dollars {
        ..20.0 => dollars as u32,
        20.0..40.0 => 20 + ((dollars - 20.0) / 2.0) as u32,
        _ => 30 + ((dollars - 40.0) / 10.0) as u32,
    }
}

/// Numbers bands of distance, which widen by about a quarter each.
fn mile_band(miles: f64) -> u32 {
    const ENDS: [f64; 16] =
        [0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0];
    ENDS.iter().filter(|end| miles >= **end).count() as u32
}
