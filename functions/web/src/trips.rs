//! Trips of a request, and their predictions, row by row: one that cannot be predicted leaves the others alone.

use std::sync::Arc;

use axum::http::StatusCode;
use model::request::{Parsed, Ride, RideId, Simple};
use model::{Bundle, PredictionBatch, Trip, TripRequest};
use serde_json::Value;

use crate::App;
use crate::problem::Problem;

/// Trips of one request.
pub const TRIPS_MAX: usize = 10_000;
/// A longer text is parsed, and its trips predicted, on a thread of its own.
const BYTES_INLINE_MAX: usize = 32 << 10;

/// How a trip was stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As a message: `{"ride_id": ..., "ride": {...}}`.
    Message,
    /// Its fields alone.
    Plain,
}

/// A trip of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Stated {
    /// The message that it is, or would be.
    pub request: TripRequest,
    /// The trip.
    pub trip: Trip,
    /// How it was stated.
    pub shape: Shape,
    /// Whether it has a ride id.
    pub is_named: bool,
    /// Fields that had a value which could not be used.
    pub unusable: Vec<&'static str>,
}

impl Stated {
    /// Judges a trip that was read; without a ride id, it has its position as such.
    ///
    /// # Errors
    /// 422 for one that cannot be predicted.
    pub fn new(ride_id: Option<RideId>, ride: Ride, shape: Shape, position: usize) -> Result<Self, Problem> {
        let is_named = ride_id.is_some();
        let request = TripRequest { ride_id: ride_id.unwrap_or(RideId::Number(position as i64)), ride };
        let Parsed { trip, unusable } = request.parse()?;
        Ok(Self { request, trip, shape, is_named, unusable })
    }
}

/// Reads a trip in either shape.
///
/// # Errors
/// 422, or 400 for what is no object.
pub fn stated(value: &Value, position: usize) -> Result<Stated, Problem> {
    let fields = value.as_object().ok_or_else(|| Problem::bad("trip: expected an object"))?;
    if fields.contains_key("ride") {
        let TripRequest { ride_id, ride } = TripRequest::from_fields(fields)?;
        return Stated::new(Some(ride_id), ride, Shape::Message, position);
    }
    Stated::new(named(fields.get("ride_id"))?, Ride::from_fields(fields), Shape::Plain, position)
}

/// Judges a trip of either shape that was read without values.
///
/// # Errors
/// 422.
pub fn simple(trip: Simple, position: usize) -> Result<Stated, Problem> {
    let shape = if trip.is_message { Shape::Message } else { Shape::Plain };
    Stated::new(trip.ride_id, trip.ride, shape, position)
}

/// Reads the ride id of fields that need not have one.
///
/// # Errors
/// 422 for one that is none.
pub fn named(ride_id: Option<&Value>) -> Result<Option<RideId>, Problem> {
    match ride_id {
        None | Some(Value::Null) => Ok(None),
        id => Ok(Some(RideId::from_json(id)?)),
    }
}

/// Checks that there are not too many trips.
///
/// # Errors
/// 422 with the number.
pub fn few_enough(n: usize) -> Result<(), Problem> {
    if n <= TRIPS_MAX {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("expected at most {TRIPS_MAX} trips, found {n}"),
    ))
}

/// The rows of a request with the predictions for those that have a trip.
pub struct Predicted {
    rows: Vec<Result<Stated, Problem>>,
    batch: PredictionBatch,
}

impl Predicted {
    /// Predicts all trips at once.
    pub fn new(bundle: &Bundle, rows: Vec<Result<Stated, Problem>>) -> Self {
        let trips: Vec<Trip> = rows.iter().flatten().map(|stated| stated.trip).collect();
        Self { batch: bundle.predict(&trips), rows }
    }

    /// Returns how many trips were predicted.
    pub fn n(&self) -> usize {
        self.batch.duration_min.len()
    }

    /// Makes an answer of each row: of a trip and its row in the batch, or of its problem and position.
    pub fn answers<'a, T>(
        &'a self,
        of: impl Fn(&'a Stated, &PredictionBatch, usize) -> T,
        otherwise: impl Fn(&Problem, usize) -> T,
    ) -> Vec<T> {
        let mut at = 0;
        let answer = |(position, row): (usize, &'a Result<Stated, Problem>)| match row {
            Ok(stated) => {
                at += 1;
                of(stated, &self.batch, at - 1)
            }
            Err(problem) => otherwise(problem, position),
        };
        self.rows.iter().enumerate().map(answer).collect()
    }
}

/// Runs work on a text with the champions: at once if it is short, else on a thread that may block, so that other requests are served
/// meanwhile. As many run at once as there are processors, since each takes memory, too.
///
/// # Errors
/// Those of the work; 500 if it panics there.
pub(crate) async fn with<T: Send + 'static>(
    app: &App,
    bundle: Arc<Bundle>,
    text: String,
    work: impl FnOnce(&Bundle, &str) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if text.len() <= BYTES_INLINE_MAX {
        return work(&bundle, &text);
    }
    let _place = app.long_work.acquire().await;
    let done = tokio::task::spawn_blocking(move || work(&bundle, &text)).await;
    done.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the trips could not be predicted"))
    })
}

/// Parses a document.
///
/// # Errors
/// 400 with the place.
pub fn parsed(text: &str) -> Result<Value, Problem> {
    model::request::json::parse(text).map_err(|error| Problem::bad(format!("body: expected JSON: {error}")))
}
