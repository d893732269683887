//! Describes trips and checks whether they are as expected. Pure: takes trips and counts, returns checks.
//!
//! Map: [`profile`] counts trips, predictions and outcomes; [`gates`] checks whether a month may be used; [`drift`] compares two profiles;
//! [`days`] counts by day, and [`watch`] judges days.
//!
//! Deliberately absent: files, stores, clocks, and names of CloudWatch metrics.

pub mod days;
pub mod drift;
pub mod gates;
pub mod profile;
pub mod watch;

pub use profile::{Profile, TripPrediction};

#[cfg(any(test, feature = "testing"))]
pub mod testing;
