//! A row of a table of trips, as tables come: by named columns.

use model::request::{RIDE_FIELDS, Ride, Stated as Field};
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::trips::{Shape, Stated, named};

/// What a row states.
#[derive(Debug, Clone, Default)]
pub struct Row {
    ride_id: Value,
    /// By the positions of [`RIDE_FIELDS`].
    fields: [Field; RIDE_FIELDS.len()],
}

impl Row {
    /// Reads a row that is an object; other names are ignored.
    pub fn from_fields(fields: &Map<String, Value>) -> Self {
        let value = |name| fields.get(name).map_or(Field::Missing, Field::from_json);
        Self { ride_id: fields.get("ride_id").cloned().unwrap_or_default(), fields: RIDE_FIELDS.map(value) }
    }

    /// Sets the value of a column.
    pub fn set(&mut self, column: Column, value: Value) {
        match column {
            Column::RideId => self.ride_id = value,
            Column::Field(at) => self.fields[at] = Field::from_json(&value),
        }
    }

    /// Judges the trip; without a ride id, it has its position as such.
    ///
    /// # Errors
    /// 422 for one that cannot be predicted.
    pub fn stated(self, position: usize) -> Result<Stated, Problem> {
        Stated::new(named(Some(&self.ride_id))?, Ride::from_spellings(self.fields), Shape::Plain, position)
    }
}

/// A column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The ride id.
    RideId,
    /// By its position in [`RIDE_FIELDS`].
    Field(usize),
}

impl Column {
    /// Returns the column of that name, if it is read.
    pub fn named(name: &str) -> Option<Self> {
        if name == "ride_id" {
            return Some(Self::RideId);
        }
        RIDE_FIELDS.iter().position(|field| *field == name).map(Self::Field)
    }
}
