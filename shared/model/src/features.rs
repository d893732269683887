//! Trips as numbers: the one path from a trip to a feature row, for messages, files and training alike.

use chrono::{Datelike, Timelike};
use sha2::{Digest, Sha256};

use crate::calendar::DayKind;
use crate::trip::{Trip, possible_miles};
use crate::zones;

/// Every feature in the order of a row. The position is the feature's number in a tree.
pub const NAMES: [&str; 24] = [
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
    "detour_ratio",
    "straight_share",
    "middle_latitude",
    "middle_longitude",
    "holiday",
    "beside_holiday",
    "school_break",
    "impossible_distance",
];

/// The position of the pickup zone in [`NAMES`].
pub const PICKUP_ZONE: usize = 0;
/// The position of the drop-off zone in [`NAMES`].
pub const DROPOFF_ZONE: usize = 1;
/// The position of the distance in [`NAMES`].
pub const DISTANCE: usize = 2;

/// The positions of the features that are codes: vendor, rate code, passengers and trip type.
pub(crate) const CODES: [usize; 4] = [6, 7, 8, 9];

/// Values of the features holiday, beside_holiday (1 before, 2 after, 3 between holidays) and school_break.
pub(crate) const DAY_KINDS: [fn(DayKind) -> u8; 3] = [
    |day| u8::from(day.holiday),
    |day| u8::from(day.before_holiday) + 2 * u8::from(day.after_holiday),
    |day| u8::from(day.school_break),
];

/// A detour is compared with at least this many straight miles: within a zone, those between centroids are 0.
pub(crate) const STRAIGHT_MILES_MIN: f32 = 0.3;

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
    let miles = or_nan(possible_miles(trip.distance_miles).map(|miles| miles as f32));
    let straight = or_nan(zones::straight_miles(trip.pickup_zone, trip.dropoff_zone));
    let ratio = miles / straight.max(STRAIGHT_MILES_MIN);
    // `max` and `min` pass over NaN, and a sum does not.
    let absent = if miles.is_nan() || straight.is_nan() { f32::NAN } else { 0.0 };
    let middle =
        |of: fn((f32, f32)) -> f32| or_nan(pickup.zip(dropoff).map(|(from, to)| (of(from) + of(to)) * 0.5));
    let day = trip.pickup.map(|at| DayKind::from_date(at.date()));
    let [holiday, beside_holiday, school_break] = DAY_KINDS.map(|of| code(day.map(of)));
    [
        zone(trip.pickup_zone),
        zone(trip.dropoff_zone),
        miles,
        time(|at| at.hour()),
        time(|at| at.weekday().num_days_from_monday()),
        time(|at| (at.hour() * 60 + at.minute()) / 15),
        code(trip.vendor),
        code(trip.rate_code),
        code(trip.passengers),
        code(trip.trip_type),
        straight,
        or_nan(pickup.map(|(latitude, _)| latitude)),
        or_nan(pickup.map(|(_, longitude)| longitude)),
        or_nan(dropoff.map(|(latitude, _)| latitude)),
        or_nan(dropoff.map(|(_, longitude)| longitude)),
        time(|at| at.month()),
        ratio.max(1.0) + absent,
        ratio.min(1.0) + absent,
        middle(|of| of.0),
        middle(|of| of.1),
        holiday,
        beside_holiday,
        school_break,
        f32::from(u8::from(trip.distance_miles.is_some() && miles.is_nan())),
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
    fn an_impossible_distance_is_missing_and_marked() {
        let ride = |miles: &str| {
            format!(r#"{{"ride_id": 1, "ride": {{"PULocationID": 74, "DOLocationID": 75{miles}}}}}"#)
        };
        for (miles, marked) in
            [(", \"trip_distance\": 99999", 1.0), (", \"trip_distance\": 0", 1.0), ("", 0.0)]
        {
            for name in ["distance_miles", "detour_ratio", "straight_share"] {
                assert!(named(&ride(miles), name).is_nan(), "{name} of {miles:?}");
            }
            assert_eq!(named(&ride(miles), "impossible_distance"), marked, "{miles:?}");
        }
    }

    #[test]
    fn a_distance_is_compared_with_the_straight_line() {
        let ride = |miles: f32| {
            format!(
                r#"{{"ride_id": 1, "ride": {{"PULocationID": 74, "DOLocationID": 263, "trip_distance": {miles}}}}}"#
            )
        };
        let straight = named(&ride(1.0), "straight_miles");
        for (factor, detour, share) in [(0.5, 1.0, 0.5), (1.0, 1.0, 1.0), (2.0, 2.0, 1.0)] {
            let body = ride(straight * factor);
            assert!(
                (named(&body, "detour_ratio") - detour).abs() < 1e-5
                    && (named(&body, "straight_share") - share).abs() < 1e-5
            );
        }
        let within =
            r#"{"ride_id": 1, "ride": {"PULocationID": 74, "DOLocationID": 74, "trip_distance": 0.6}}"#;
        assert_eq!((named(within, "straight_miles"), named(within, "detour_ratio")), (0.0, 2.0));
        let unknown =
            r#"{"ride_id": 1, "ride": {"PULocationID": 74, "DOLocationID": 264, "trip_distance": 0.6}}"#;
        assert!(named(unknown, "detour_ratio").is_nan() && named(unknown, "middle_latitude").is_nan());
    }

    #[test]
    fn holidays_are_known() {
        let ride = |day: &str| {
            format!(
                r#"{{"ride_id": 1, "ride": {{"PULocationID": 74, "DOLocationID": 75, "pickup_datetime": "{day}T09:00:00"}}}}"#
            )
        };
        let kinds =
            |day: &str| ["holiday", "beside_holiday", "school_break"].map(|name| named(&ride(day), name));
        assert_eq!(kinds("2023-07-04"), [1.0, 0.0, 0.0]);
        assert_eq!(kinds("2023-07-03"), [0.0, 1.0, 0.0]);
        assert_eq!(kinds("2023-02-21"), [0.0, 2.0, 1.0]);
        assert_eq!(kinds("2023-03-14"), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn features_are_where_they_are_said_to_be() {
        assert_eq!((NAMES[DISTANCE], NAMES[PICKUP_ZONE]), ("distance_miles", "pickup_zone"));
        assert_eq!(NAMES[DROPOFF_ZONE], "dropoff_zone");
        assert_eq!(CODES.map(|at| NAMES[at]), ["vendor", "rate_code", "passengers", "trip_type"]);
    }

    #[test]
    fn the_schema_hash_is_pinned() {
        // A change here makes every stored model unreadable: raise REVISION knowingly.
        assert_eq!(schema_hash(), "66f1aac56458");
    }
}
