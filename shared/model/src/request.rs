//! The decoded trip message and how it becomes a [`Trip`].
//!
//! Only `ride_id` and the two zones must be there. Whatever else is absent or unusable is a missing value, and what is
//! unusable is counted by name in [`Parsed::unusable`]: a ride is predicted rather than refused.

pub mod json;
mod simple;

use std::fmt;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use self::simple::Simple;
use crate::rejection::{Reason, Rejection};
pub use crate::time::local_time;
use crate::trip::{Trip, Zone, possible_miles};

/// Part of every prediction id: changes when the meaning of a message does.
pub const MESSAGE_SCHEMA_VERSION: u32 = 1;

/// A ride id comes back in every prediction, which has to fit a message itself.
const RIDE_ID_BYTES_MAX: usize = 1024;

/// The ride's name, an integer or a text, kept as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RideId {
    /// An integer.
    Number(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
    /// Any text.
    Text(String),
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for RideId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let number = number.minimum(Some(i64::MIN)).maximum(Some(u64::MAX));
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        let text = text.description(Some("At most 1024 bytes."));
        OneOfBuilder::new().item(number).item(text).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for RideId {}

impl RideId {
    /// Reads a ride id; none is stated where the field is missing.
    ///
    /// # Errors
    /// [`Reason::InvalidRideId`] for what is neither a 64 bit integer nor a text of 1 to 1024 bytes.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Rejection> {
        let ride_id = match value {
            Some(Value::String(text)) if (1..=RIDE_ID_BYTES_MAX).contains(&text.len()) => {
                Some(RideId::Text(text.clone()))
            }
            Some(Value::Number(number)) => {
                let whole = number.as_i64().map(RideId::Number);
                // JavaScript and pandas write 256 as 256.0; above 2^53 a float does not say which integer was meant.
                let float = || number.as_f64().filter(|id| id.fract() == 0.0 && id.abs() <= 2f64.powi(53));
                whole
                    .or_else(|| number.as_u64().map(RideId::Large))
                    .or_else(|| float().map(|id| RideId::Number(id as i64)))
            }
            _ => None,
        };
        ride_id.ok_or_else(|| {
            let found = value.map_or("nothing".into(), Value::to_string);
            let found: String = found.chars().take(100).collect();
            let expected = format!("a 64 bit integer or a text of 1 to {RIDE_ID_BYTES_MAX} bytes");
            let detail = format!("ride_id: expected {expected}, found {found}");
            Rejection::new(Reason::InvalidRideId, detail)
        })
    }
}

/// A trip message: valid JSON of the right shape, whose values are not yet judged.
#[derive(Debug, Clone, PartialEq)]
pub struct TripRequest {
    /// The ride's name.
    pub ride_id: RideId,
    /// The stated fields, as stated.
    pub ride: Ride,
}

/// The stated fields of a ride. Fields that are not named here are ignored.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)] // the names are the TLC's
pub struct Ride {
    pub pickup_zone: Stated,
    pub dropoff_zone: Stated,
    pub trip_distance: Stated,
    pub pickup_datetime: Stated,
    pub passenger_count: Stated,
    pub rate_code: Stated,
    pub trip_type: Stated,
    pub vendor: Stated,
}

/// Every name of a field of a ride that is read.
pub const RIDE_FIELDS: [&str; 11] = [
    "PULocationID",
    "DOLocationID",
    "trip_distance",
    "pickup_datetime",
    "lpep_pickup_datetime",
    "tpep_pickup_datetime",
    "passenger_count",
    "RatecodeID",
    "RateCodeID",
    "trip_type",
    "VendorID",
];

impl Ride {
    /// Reads the fields of a ride, by the TLC's names.
    pub fn from_fields(fields: &Map<String, Value>) -> Self {
        Self::from_spellings(
            RIDE_FIELDS.map(|name| fields.get(name).map_or(Stated::Missing, Stated::from_json)),
        )
    }

    /// Makes a ride of the values of [`RIDE_FIELDS`]; of several spellings the first with a value counts.
    pub fn from_spellings(stated: [Stated; RIDE_FIELDS.len()]) -> Self {
        let [
            pickup_zone,
            dropoff_zone,
            trip_distance,
            pickup,
            green,
            yellow,
            passenger_count,
            rate,
            other_rate,
            trip_type,
            vendor,
        ] = stated;
        Self {
            pickup_zone,
            dropoff_zone,
            trip_distance,
            pickup_datetime: pickup.or(green).or(yellow),
            passenger_count,
            rate_code: rate.or(other_rate),
            trip_type,
            vendor,
        }
    }
}

/// One value of a message before it is interpreted.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Stated {
    /// Not there, or null.
    #[default]
    Missing,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// True, false, a list or an object: no value of a trip.
    Other,
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other => f.write_str("no single value"),
        }
    }
}

/// A trip, and the fields of its message that had a value which could not be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The trip.
    pub trip: Trip,
    /// Names of those fields.
    pub unusable: Vec<&'static str>,
}

fn undecodable(found: String) -> Rejection {
    Rejection::new(Reason::Undecodable, format!("expected {{\"ride_id\": ..., \"ride\": {{...}}}}: {found}"))
}

/// Returns the message inside an SNS notification, if `message` is one.
fn forwarded_by_sns(message: &Map<String, Value>) -> Option<&str> {
    let is_envelope = message.get("Type")? == "Notification" && message.contains_key("TopicArn");
    message.get("Message").and_then(Value::as_str).filter(|_| is_envelope)
}

impl TripRequest {
    /// Decodes one message. An SNS topic wraps what it forwards to a queue, unless raw delivery is on: the message
    /// inside counts.
    ///
    /// # Errors
    /// [`Reason::Undecodable`] for what is not JSON or not of the message's shape, [`Reason::InvalidRideId`] for a ride
    /// id that is neither a 64 bit integer nor a text of 1 to 1024 bytes.
    pub fn decode(body: &str) -> Result<Self, Rejection> {
        match serde_json::from_str(body) {
            Ok(Simple { ride_id: Some(ride_id), ride, is_message: true }) => Ok(Self { ride_id, ride }),
            _ => Self::decode_any(body),
        }
    }

    /// Decodes a message of any shape.
    fn decode_any(body: &str) -> Result<Self, Rejection> {
        let message = json::parse(body).map_err(|error| undecodable(error.to_string()))?;
        if let Value::String(text) = &message {
            let inner = if json::parse(text).is_ok() { "JSON encoded twice" } else { "a text" };
            return Err(undecodable(format!("it is {inner}")));
        }
        let message = message.as_object().ok_or_else(|| undecodable("it is no object".into()))?;
        if let Some(inner) = forwarded_by_sns(message) {
            // Only one envelope: SNS does not forward a message through two topics.
            return match json::parse(inner) {
                Ok(Value::Object(inner)) => Self::from_fields(&inner),
                _ => Err(undecodable("the Message of an SNS notification is no JSON object".into())),
            };
        }
        Self::from_fields(message)
    }

    /// Reads the fields of a message.
    ///
    /// # Errors
    /// Those of [`TripRequest::decode`].
    pub fn from_fields(message: &Map<String, Value>) -> Result<Self, Rejection> {
        let ride_id = RideId::from_json(message.get("ride_id"))?;
        let ride = message.get("ride").and_then(Value::as_object);
        let ride = ride.ok_or_else(|| undecodable("ride is no object".into()))?;
        Ok(Self { ride_id, ride: Ride::from_fields(ride) })
    }

    /// Converts the message to a trip.
    ///
    /// # Errors
    /// [`Reason::MissingPickupZone`] or its like where a zone is not stated, [`Reason::InvalidZone`] where it is no
    /// whole number. A number that is no zone is a missing value, not an error.
    pub fn parse(&self) -> Result<Parsed, Rejection> {
        let ride = &self.ride;
        let mut unusable = Vec::new();
        let trip = Trip {
            pickup_zone: zone("PULocationID", &ride.pickup_zone, Reason::MissingPickupZone, &mut unusable)?,
            dropoff_zone: zone(
                "DOLocationID",
                &ride.dropoff_zone,
                Reason::MissingDropoffZone,
                &mut unusable,
            )?,
            pickup: usable("pickup_datetime", &ride.pickup_datetime, Stated::datetime, &mut unusable),
            distance_miles: usable("trip_distance", &ride.trip_distance, Stated::number, &mut unusable),
            passengers: usable("passenger_count", &ride.passenger_count, Stated::code, &mut unusable),
            rate_code: usable("RatecodeID", &ride.rate_code, Stated::code, &mut unusable),
            trip_type: usable("trip_type", &ride.trip_type, Stated::code, &mut unusable),
            vendor: usable("VendorID", &ride.vendor, Stated::code, &mut unusable),
        };
        if trip.distance_miles.is_some() && possible_miles(trip.distance_miles).is_none() {
            unusable.push("trip_distance");
        }
        Ok(Parsed { trip, unusable })
    }

    /// Returns the fields that had a value which could not be used; none for a request that is not a trip.
    pub fn unusable(&self) -> Vec<&'static str> {
        self.parse().map(|parsed| parsed.unusable).unwrap_or_default()
    }

    /// Computes the prediction's id, 64 hex digits: sha256 of the request in canonical form and of
    /// [`MESSAGE_SCHEMA_VERSION`], not of any model. A resent ride keeps it, a corrected one gets another.
    pub fn prediction_id(&self) -> String {
        // One line of JSON, fields in this order, numbers as f64, times in one spelling: the content, not its spelling.
        let ride = &self.ride;
        let pickup =
            ride.pickup_datetime.datetime().map(|at| Stated::Text(at.format("%FT%T%.6f").to_string()));
        let fields = [
            &ride.pickup_zone,
            &ride.dropoff_zone,
            pickup.as_ref().unwrap_or(&ride.pickup_datetime),
            &ride.trip_distance,
            &ride.passenger_count,
            &ride.rate_code,
            &ride.trip_type,
            &ride.vendor,
        ];
        let fields: Vec<Value> = fields.into_iter().map(Stated::canonical).collect();
        let canonical = serde_json::json!([MESSAGE_SCHEMA_VERSION, self.ride_id, fields]);
        hex::encode(Sha256::digest(canonical.to_string().as_bytes()))
    }
}

impl Stated {
    /// Reads a value of any kind.
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Missing,
            Value::Number(number) => number.as_f64().map_or(Self::Other, Self::Number),
            Value::String(text) => Self::Text(text.clone()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Self::Other,
        }
    }

    /// Returns the value, or another one if there is none.
    fn or(self, other: Self) -> Self {
        if self == Self::Missing { other } else { self }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Missing | Self::Other => None,
        }
        .filter(|number| number.is_finite())
    }

    fn code(&self) -> Option<u8> {
        code(self.number()?)
    }

    fn datetime(&self) -> Option<NaiveDateTime> {
        match self {
            Self::Text(text) => local_time(text),
            _ => None,
        }
    }

    fn canonical(&self) -> Value {
        match (self, self.number()) {
            (_, Some(number)) => number.into(),
            (Self::Text(text), None) => text.as_str().into(),
            (_, None) => Value::Null,
        }
    }
}

/// Converts a small whole number such as a vendor or a passenger count; anything else is `None`.
pub fn code(number: f64) -> Option<u8> {
    (number.fract() == 0.0 && (0.0..=255.0).contains(&number)).then_some(number as u8)
}

fn usable<T>(
    name: &'static str,
    stated: &Stated,
    read: impl Fn(&Stated) -> Option<T>,
    unusable: &mut Vec<&'static str>,
) -> Option<T> {
    let value = read(stated);
    if value.is_none() && *stated != Stated::Missing {
        unusable.push(name);
    }
    value
}

fn zone(
    name: &'static str,
    stated: &Stated,
    missing: Reason,
    unusable: &mut Vec<&'static str>,
) -> Result<Option<Zone>, Rejection> {
    if *stated == Stated::Missing {
        return Err(Rejection::new(missing, format!("{name}: expected a taxi zone, found nothing")));
    }
    let number = stated.number().filter(|number| number.fract() == 0.0).ok_or_else(|| {
        Rejection::new(Reason::InvalidZone, format!("{name}: expected a taxi zone's number, found {stated}"))
    })?;
    let zone = zone_from(number);
    if zone.is_none() {
        unusable.push(name);
    }
    Ok(zone)
}

/// Returns the zone with that number, if there is one.
pub fn zone_from(number: f64) -> Option<Zone> {
    (number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number))
        .then(|| Zone::new(number as u16))?
}

#[cfg(test)]
mod tests;
