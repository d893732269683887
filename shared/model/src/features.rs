//! Trips as numbers: the one path from a trip to a feature row, for messages, files and training alike.

use chrono::{Datelike, Timelike};
use sha2::{Digest, Sha256};

use crate::trip::{Trip, possible_miles};
use crate::zones;

/// Every feature in the order of a row. The position is the feature's number in a tree.
pub const NAMES: [&str; 16] = [
    "pickup_zone",
    "dropoff_zone",
    "distance_miles",
    "hour",
    "weekday",
    "quarter_hour",
    "vendor",
    "rate_code",
    "passengers",
    "trip_type",
    "straight_miles",
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
    "month",
];

/// The position of the pickup zone in [`NAMES`].
pub const PICKUP_ZONE: usize = 0;
/// The position of the drop-off zone in [`NAMES`].
pub const DROPOFF_ZONE: usize = 1;
/// The position of the distance in [`NAMES`].
pub const DISTANCE: usize = 2;

/// Changes whenever a feature's meaning does, even if its name stays.
const REVISION: u32 = 1;

/// Hashes the meaning of a feature row to 12 hex digits. An artifact of another schema is refused.
pub fn schema_hash() -> String {
    let described = format!("{REVISION}:{}", NAMES.join(","));
    hex::encode(Sha256::digest(described.as_bytes()))[..12].to_string()
}

/// Feature rows, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRows {
    /// `[n_rows * NAMES.len()]`, NaN for missing.
    pub values: Vec<f32>,
}

impl FeatureRows {
    /// Computes the features of every trip of a batch.
    pub fn from_trips(trips: &[Trip]) -> Self {
        let mut values = Vec::with_capacity(trips.len() * NAMES.len());
        trips.iter().for_each(|trip| values.extend_from_slice(&row(trip)));
        Self { values }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / NAMES.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the rows in order, `NAMES.len()` values each.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(NAMES.len())
    }
}

/// Computes the features of one trip, in the order of [`NAMES`]; NaN for missing.
pub fn row(trip: &Trip) -> [f32; NAMES.len()] {
    let or_nan = |value: Option<f32>| value.unwrap_or(f32::NAN);
    let code = |value: Option<u8>| or_nan(value.map(f32::from));
    let zone = |zone: Option<crate::Zone>| or_nan(zone.map(|zone| f32::from(zone.id())));
    let time = |read: fn(chrono::NaiveDateTime) -> u32| or_nan(trip.pickup.map(|at| read(at) as f32));
    let (pickup, dropoff) = (zones::centroid(trip.pickup_zone), zones::centroid(trip.dropoff_zone));
    [
        zone(trip.pickup_zone),
        zone(trip.dropoff_zone),
        or_nan(possible_miles(trip.distance_miles).map(|miles| miles as f32)),
        time(|at| at.hour()),
        time(|at| at.weekday().num_days_from_monday()),
        time(|at| (at.hour() * 60 + at.minute()) / 15),
        code(trip.vendor),
        code(trip.rate_code),
        code(trip.passengers),
        code(trip.trip_type),
        or_nan(zones::straight_miles(trip.pickup_zone, trip.dropoff_zone)),
        or_nan(pickup.map(|(latitude, _)| latitude)),
        or_nan(pickup.map(|(_, longitude)| longitude)),
        or_nan(dropoff.map(|(latitude, _)| latitude)),
        or_nan(dropoff.map(|(_, longitude)| longitude)),
        time(|at| at.month()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::TripRequest;

    fn named(body: &str, name: &str) -> f32 {
        let trip = TripRequest::decode(body).unwrap().parse().unwrap().trip;
        row(&trip)[NAMES.iter().position(|known| *known == name).unwrap()]
    }

    #[test]
    fn a_trip_on_a_wednesday_morning() {
        let body = r#"{"ride_id": 1, "ride": {"PULocationID": 132, "DOLocationID": 138, "trip_distance": 9.5,
            "pickup_datetime": "2021-02-03T08:47:00", "VendorID": 2}}"#;
        for (name, expected) in [
            ("pickup_zone", 132.0),
            ("dropoff_zone", 138.0),
            ("distance_miles", 9.5),
            ("hour", 8.0),
            ("weekday", 2.0),
            ("quarter_hour", 35.0),
            ("vendor", 2.0),
            ("month", 2.0),
        ] {
            assert_eq!(named(body, name), expected, "{name}");
        }
        assert!(named(body, "passengers").is_nan() && named(body, "rate_code").is_nan());
    }

    #[test]
    fn an_impossible_distance_is_missing() {
        let body =
            r#"{"ride_id": 1, "ride": {"PULocationID": 1, "DOLocationID": 2, "trip_distance": 99999}}"#;
        assert!(named(body, "distance_miles").is_nan());
    }

    #[test]
    fn features_are_where_they_are_said_to_be() {
        assert_eq!((NAMES[DISTANCE], NAMES[PICKUP_ZONE]), ("distance_miles", "pickup_zone"));
        assert_eq!(NAMES[DROPOFF_ZONE], "dropoff_zone");
    }

    #[test]
    fn the_schema_hash_is_pinned() {
        // A change here makes every stored model unreadable: raise REVISION knowingly.
        assert_eq!(schema_hash(), "86db89020061");
    }
}
