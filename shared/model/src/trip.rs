//! What is known of a trip before it starts, one at a time and in columns.

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

/// A TLC taxi zone, 1..=265. Anything else is no zone, and a trip's zone is then missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Zone(u16);

impl Zone {
    /// How many zones there are.
    pub const COUNT: usize = 265;

    /// Returns the zone with the TLC's number `id`, if there is one.
    pub fn new(id: u16) -> Option<Self> {
        (1..=Self::COUNT as u16).contains(&id).then_some(Self(id))
    }

    /// Returns the TLC's number.
    pub fn id(self) -> u16 {
        self.0
    }

    /// Returns the position in a table of all zones, `0..Zone::COUNT`.
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl TryFrom<u16> for Zone {
    type Error = String;
    fn try_from(id: u16) -> Result<Self, String> {
        Self::new(id).ok_or_else(|| format!("zone {id}: expected 1..=265"))
    }
}

impl From<Zone> for u16 {
    fn from(zone: Zone) -> u16 {
        zone.0
    }
}

/// One trip as it can be known before it starts. Every field may be missing, and missing is a value; nothing
/// known only afterwards (payment, fare, tip, drop-off time) has a place here.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trip {
    /// Where it starts.
    pub pickup_zone: Option<Zone>,
    /// Where it ends.
    pub dropoff_zone: Option<Zone>,
    /// When it starts, New York local time.
    pub pickup: Option<NaiveDateTime>,
    /// The planned distance in miles, as stated, however odd: see [`possible_miles`].
    pub distance_miles: Option<f64>,
    /// Passengers.
    pub passengers: Option<u8>,
    /// `RatecodeID`: 1 standard, 2 JFK, 3 Newark, 4 Nassau or Westchester, 5 negotiated, 6 group, 99 unknown.
    pub rate_code: Option<u8>,
    /// `trip_type` of green taxis: 1 street hail, 2 dispatch.
    pub trip_type: Option<u8>,
    /// `VendorID`.
    pub vendor: Option<u8>,
}

impl Trip {
    /// Returns stable names of what is missing or odd in this trip, which can still be predicted.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        let impossible = self.distance_miles.is_some() && possible_miles(self.distance_miles).is_none();
        [
            (self.pickup_zone.is_none(), "unknown_pickup_zone"),
            (self.dropoff_zone.is_none(), "unknown_dropoff_zone"),
            (self.pickup.is_none(), "no_pickup_time"),
            (self.distance_miles.is_none(), "no_distance"),
            (impossible, "impossible_distance"),
        ]
        .into_iter()
        .filter_map(|(is_so, name)| is_so.then_some(name))
    }
}

/// Returns a distance that a taxi in New York can have planned: more than 0 and at most 100 miles.
pub fn possible_miles(stated: Option<f64>) -> Option<f64> {
    stated.filter(|miles| *miles > 0.0 && *miles <= 100.0)
}

/// Ends of the distance bands by which errors are compared and intervals are fitted, miles; an end belongs to its band,
/// and one more band is open.
pub const DISTANCE_BAND_ENDS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// Returns the number of the band that `miles` lies in.
pub fn distance_band(miles: f64) -> usize {
    DISTANCE_BAND_ENDS.iter().position(|end| miles <= *end).unwrap_or(DISTANCE_BAND_ENDS.len())
}

/// Returns the elements of `all` at `rows`, in that order.
///
/// # Panics
/// When a row is out of range.
pub fn select<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| all[row]).collect()
}

/// The predictions of a batch, in columns as long as the list of trips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PredictionBatch {
    /// Expected duration in minutes.
    pub duration_min: Vec<f64>,
    /// Lower end of the 90 % interval, minutes, never below 0.
    pub lower_min: Vec<f64>,
    /// Upper end of the 90 % interval, minutes.
    pub upper_min: Vec<f64>,
    /// P(tip > 0 | paid by card); `None` until there is a tip model.
    pub tip_probability: Option<Vec<f64>>,
}

impl PredictionBatch {
    /// Returns the predictions at `rows`, in that order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            duration_min: select(&self.duration_min, rows),
            lower_min: select(&self.lower_min, rows),
            upper_min: select(&self.upper_min, rows),
            tip_probability: self.tip_probability.as_ref().map(|all| select(all, rows)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_between_1_and_265() {
        assert_eq!(Zone::new(0), None);
        assert_eq!(Zone::new(266), None);
        assert_eq!(Zone::new(265).map(|zone| (zone.id(), zone.index())), Some((265, 264)));
    }

    #[test]
    fn impossible_distances_are_missing() {
        for impossible in [0.0, -1.0, 100.01, f64::NAN, f64::INFINITY] {
            assert_eq!(possible_miles(Some(impossible)), None, "{impossible}");
        }
        assert_eq!(possible_miles(Some(100.0)), Some(100.0));
        assert_eq!(possible_miles(None), None);
    }
}
