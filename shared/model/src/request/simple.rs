//! Reads trips as most clients state them, without a tree of values in between, in a third of the time.
//!
//! What is stated in any other way is an error here, and no judgement: whoever reads then takes the way by values, which has the message.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::{RIDE_FIELDS, Ride, RideId, Stated};

/// A trip as an object of known fields with null, numbers and texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Simple {
    /// The ride's name, if it has one; a message has.
    pub ride_id: Option<RideId>,
    /// The stated fields, as stated.
    pub ride: Ride,
    /// Whether it is a message, `{"ride_id": ..., "ride": {...}}`, and not its fields alone.
    pub is_message: bool,
}

impl<'de> Deserialize<'de> for Simple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Outer)
    }
}

/// An object's key: a name of [`RIDE_FIELDS`], by its position, or another.
enum Key {
    Field(usize),
    RideId,
    Ride,
    /// It means that an SNS notification holds the message.
    TopicArn,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "ride_id" => Key::RideId,
                    "ride" => Key::Ride,
                    "TopicArn" => Key::TopicArn,
                    _ => RIDE_FIELDS.iter().position(|field| *field == name).map_or(Key::Unknown, Key::Field),
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// The values of one object.
#[derive(Default)]
struct Fields {
    stated: [Stated; RIDE_FIELDS.len()],
    ride_id: Option<Value>,
    ride: Option<Ride>,
}

/// Reads the entries of an object; of equal names the last one counts, as it does among values.
fn fields<'de, A: MapAccess<'de>>(mut map: A, is_outer: bool) -> Result<Fields, A::Error> {
    let mut fields = Fields::default();
    while let Some(key) = map.next_key()? {
        match key {
            Key::Field(at) => fields.stated[at] = map.next_value()?,
            Key::RideId => fields.ride_id = map.next_value()?,
            Key::Ride if is_outer => fields.ride = Some(map.next_value::<Inner>()?.0),
            Key::TopicArn => return Err(A::Error::custom("a notification")),
            // As a value, for those have a limit of depth.
            Key::Ride | Key::Unknown => drop(map.next_value::<Value>()?),
        }
    }
    Ok(fields)
}

struct Outer;

impl<'de> Visitor<'de> for Outer {
    type Value = Simple;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trip")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Simple, A::Error> {
        let Fields { stated, ride_id, ride } = fields(map, true)?;
        let is_message = ride.is_some();
        let ride_id = match ride_id {
            None if is_message => return Err(A::Error::custom("no ride_id")),
            None => None,
            named => {
                Some(RideId::from_json(named.as_ref()).map_err(|_| A::Error::custom("a strange ride_id"))?)
            }
        };
        Ok(Simple { ride_id, ride: ride.unwrap_or_else(|| Ride::from_spellings(stated)), is_message })
    }
}

/// The object below `ride`.
struct Inner(Ride);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRide;
        impl<'de> Visitor<'de> for OfRide {
            type Value = Inner;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the fields of a ride")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Inner, A::Error> {
                Ok(Inner(Ride::from_spellings(fields(map, false)?.stated)))
            }
        }
        deserializer.deserialize_map(OfRide)
    }
}

impl<'de> Deserialize<'de> for Stated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfField;
        impl Visitor<'_> for OfField {
            type Value = Stated;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a number or a text")
            }

            fn visit_unit<E>(self) -> Result<Stated, E> {
                Ok(Stated::Missing)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Stated, E> {
                Ok(Stated::Number(number as f64))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Stated, E> {
                Ok(Stated::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Stated, E> {
                Ok(Stated::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Stated, E> {
                Ok(Stated::Text(text.into()))
            }
        }
        deserializer.deserialize_any(OfField)
    }
}
