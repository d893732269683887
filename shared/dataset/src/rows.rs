//! Converts batches of columns to rows, and counts the values that cannot be used.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::ArrowError;
use chrono::NaiveDateTime;
use model::request::{code, zone_from};
use model::rules::CARD;
use model::{Outcome, Reason, Rejection, Trip, Zone};

use crate::cells::{self, Cell};
use crate::columns::Located;
use crate::guard::UtcTimes;
use crate::reader::{RejectedRow, Rows};
use crate::schema::{self, Column};

/// Converts a batch, whose first row has the position `first_row` in the file.
///
/// # Errors
/// [`ArrowError`] for values that cannot be converted.
pub(crate) fn rows(
    batch: &RecordBatch,
    located: &mut Located,
    utc: UtcTimes,
    first_row: u64,
) -> Result<Rows, ArrowError> {
    let mut columns = LogicalColumns { batch, located, utc };
    let pickup_zones = columns.cells(schema::PICKUP_ZONE, cells::numbers)?;
    let dropoff_zones = columns.cells(schema::DROPOFF_ZONE, cells::numbers)?;
    let (pickups, dropoffs) = (columns.times(schema::PICKUP)?, columns.times(schema::DROPOFF)?);
    let (distances, tips) = (columns.numbers(schema::DISTANCE)?, columns.numbers(schema::TIP_AMOUNT)?);
    let fares = columns.numbers(schema::FARE_AMOUNT)?;
    // Tips given through an app are recorded like those by card; the rules learn from no others.
    let payments = match columns.located.report.paid_by_app {
        true => vec![Some(CARD); batch.num_rows()],
        false => columns.codes(schema::PAYMENT_TYPE)?,
    };
    let (passengers, vendors) = (columns.codes(schema::PASSENGERS)?, columns.codes(schema::VENDOR)?);
    let (rate_codes, trip_types) = (columns.codes(schema::RATE_CODE)?, columns.codes(schema::TRIP_TYPE)?);
    let mut rows = Rows::default();
    for row in 0..batch.num_rows() {
        let position = first_row + row as u64;
        let zones = zone("PULocationID", pickup_zones[row], Reason::MissingPickupZone).and_then(|from| {
            Ok((from, zone("DOLocationID", dropoff_zones[row], Reason::MissingDropoffZone)?))
        });
        match zones {
            Err(rejection) => rows.rejected.push(RejectedRow { row: position, rejection }),
            Ok((pickup_zone, dropoff_zone)) => {
                rows.positions.push(position);
                rows.trips.push(Trip {
                    pickup_zone,
                    dropoff_zone,
                    pickup: pickups[row],
                    distance_miles: distances[row],
                    passengers: passengers[row],
                    rate_code: rate_codes[row],
                    trip_type: trip_types[row],
                    vendor: vendors[row],
                });
                rows.outcomes.push(Outcome {
                    dropoff: dropoffs[row],
                    tip_amount: tips[row],
                    fare_amount: fares[row],
                    payment_type: payments[row],
                });
            }
        }
    }
    Ok(rows)
}

/// The logical columns of a batch. Reading one counts its values that cannot be used.
struct LogicalColumns<'a> {
    batch: &'a RecordBatch,
    located: &'a mut Located,
    utc: UtcTimes,
}

impl LogicalColumns<'_> {
    /// Reads a column: row by row the first of the file's columns that has a value. All values are missing if the file has none, or
    /// the column is not read.
    fn cells<T: Copy>(
        &self,
        column: Column,
        read: impl Fn(&ArrayRef) -> Result<Vec<Cell<T>>, ArrowError>,
    ) -> Result<Vec<Cell<T>>, ArrowError> {
        let columns = &self.located.columns;
        let found = columns.iter().find(|(one, _)| *one == column).map_or(&[][..], |(_, found)| found);
        let mut all = Vec::new();
        for at in found {
            let next = read(self.batch.column(*at))?;
            if all.is_empty() {
                all = next;
                continue;
            }
            let missing = all.iter_mut().zip(next).filter(|(cell, _)| matches!(cell, Cell::Missing));
            missing.for_each(|(cell, next)| *cell = next);
        }
        all.resize(self.batch.num_rows(), Cell::Missing);
        Ok(all)
    }

    /// Counts the values of a column that cannot be used, for `reason`.
    fn usable<T: Copy>(
        &mut self,
        column: Column,
        cells: Vec<Cell<T>>,
        reason: &'static str,
    ) -> Vec<Option<T>> {
        let unusable = cells.iter().filter(|cell| matches!(cell, Cell::Unusable)).count() as u64;
        self.located.report.count(column, reason, unusable);
        cells.into_iter().map(Cell::value).collect()
    }

    fn numbers(&mut self, column: Column) -> Result<Vec<Option<f64>>, ArrowError> {
        let cells = self.cells(column, cells::numbers)?;
        Ok(self.usable(column, cells, "not_a_number"))
    }

    fn times(&mut self, column: Column) -> Result<Vec<Option<NaiveDateTime>>, ArrowError> {
        let utc = self.utc;
        let cells = self.cells(column, |array| cells::times(array, utc))?;
        Ok(self.usable(column, cells, "not_a_time"))
    }

    fn codes(&mut self, column: Column) -> Result<Vec<Option<u8>>, ArrowError> {
        let numbers = self.numbers(column)?;
        let codes: Vec<Option<u8>> = numbers.iter().map(|number| number.and_then(code)).collect();
        let others = numbers.iter().zip(&codes).filter(|(number, code)| number.is_some() && code.is_none());
        self.located.report.count(column, "not_a_code", others.count() as u64);
        Ok(codes)
    }
}

/// Applies the same rules as for messages: a value that is missing or not whole is a rejection, and a whole number
/// that is no zone becomes `None`.
fn zone(name: &str, stated: Cell<f64>, missing: Reason) -> Result<Option<Zone>, Rejection> {
    match stated {
        Cell::Missing => Err(Rejection::new(missing, format!("{name}: expected a taxi zone, found nothing"))),
        Cell::Unusable => Err(Rejection::new(
            Reason::InvalidZone,
            format!("{name}: expected a taxi zone's number, found something else"),
        )),
        Cell::Value(number) if number.fract() != 0.0 => Err(Rejection::new(
            Reason::InvalidZone,
            format!("{name}: expected a whole number, found {number}"),
        )),
        Cell::Value(number) => Ok(zone_from(number)),
    }
}
