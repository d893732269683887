//! What trips look like, and whether that is as expected. Pure: trips and figures in, checks with their figures out.
//!
//! Map: [`profile`] counts trips, predictions and outcomes; [`gates`] decide whether a month may be learned from or judged on.
//!
//! Deliberately absent: files, stores, clocks and every metric's name in CloudWatch.

pub mod gates;
pub mod profile;

pub use profile::{Profile, TripPrediction};
