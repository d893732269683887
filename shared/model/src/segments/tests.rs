use super::*;
use crate::outcome::Outcome;
use crate::request::local_time;
use crate::trip::{Trip, Zone};

/// Makes 2,000 trips of two vendors and fifty zones; `minutes` says how long a row takes.
fn file(minutes: impl Fn(u16, &mut Trip) -> f64) -> LabelledTrips {
    let mut file = LabelledTrips::default();
    for row in 0..2_000u16 {
        let pickup = local_time("2021-03-01 10:00:00");
        let mut trip = Trip {
            pickup_zone: Zone::new(row % 50 + 1),
            dropoff_zone: Zone::new(row % 47 + 60),
            vendor: Some((row % 5 / 4 + 1) as u8),
            pickup,
            ..Trip::default()
        };
        let seconds = (minutes(row, &mut trip) * 60.0) as i64;
        let dropoff = pickup.map(|at| at + chrono::TimeDelta::seconds(seconds));
        file.trips.push(trip);
        file.outcomes.push(Outcome { dropoff, payment_type: Some(1), ..Outcome::default() });
    }
    file
}

fn defective(file: &LabelledTrips) -> Vec<DefectiveSegment> {
    Found::search(file).segments
}

fn usual(row: u16) -> f64 {
    2.0 + f64::from(row.wrapping_mul(7_919) % 400) / 10.0
}

#[test]
fn a_category_of_one_duration_is_named_and_its_rows_are_marked() {
    assert_eq!(defective(&file(|row, _| usual(row))), []);
    let broken = file(|row, trip| match row % 20 {
        7 => {
            trip.vendor = Some(6);
            59.6 + f64::from(row % 7) / 20.0
        }
        _ => usual(row),
    });
    let found = defective(&broken);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].value, found[0].rows), ("VendorID", Some(6), 100));
    assert!(
        found[0].described().starts_with("durations of 100 rows of VendorID 6 (5.00 % of the file)"),
        "{found:?}"
    );
    assert_eq!(marks(&broken).iter().filter(|marked| **marked).count(), 100);
    let (kept, dropped) = Rules::Course.learned(Target::Duration, std::slice::from_ref(&broken));
    assert_eq!((kept.len(), dropped.get(crate::Reason::DefectiveSegment)), (1_900, 100));
    assert_eq!(Rules::Course.examples(Target::Duration, &[broken]).0.len(), 2_000, "they are judged");
}

#[test]
fn where_every_category_has_its_own_duration_none_is_a_defect() {
    assert_eq!(defective(&file(|row, _| f64::from(row % 50) + 5.0)), []);
    assert_eq!(defective(&file(|_, _| 10.0)), []);
}

/// Makes 6,000 trips whose miles follow the straight line, whose minutes follow the miles, and whose fares follow both.
fn metered(mut spoil: impl FnMut(&mut Trip, &mut f64)) -> LabelledTrips {
    let mut file = file(|_, _| 0.0);
    let (trips, outcomes) = (file.trips.repeat(3), file.outcomes.repeat(3));
    (file.trips, file.outcomes) = (trips, outcomes);
    for (row, (trip, outcome)) in file.trips.iter_mut().zip(&mut file.outcomes).enumerate() {
        let noise = 0.8 + 0.4 * f64::from((row as u32).wrapping_mul(7_919) % 1_000) / 1_000.0;
        let straight = crate::zones::straight_miles(trip.pickup_zone, trip.dropoff_zone).unwrap_or(1.0);
        let miles = f64::from(straight).max(0.5) * 1.3 * noise;
        let mut minutes = (3.0 + 0.6 * miles) * (2.0 - noise);
        trip.distance_miles = Some(miles);
        trip.rate_code = Some(if row % 30 == 0 { 5 } else { 1 });
        outcome.fare_amount = Some(3.0 + 1.75 * miles + 0.35 * minutes);
        spoil(trip, &mut minutes);
        outcome.dropoff = trip.pickup.map(|at| at + chrono::TimeDelta::seconds((minutes * 60.0) as i64));
    }
    file
}

#[test]
fn durations_and_distances_unlike_the_rest_are_named() {
    assert_eq!(defective(&metered(|_, _| ())), []);
    let clocks = metered(|trip, minutes| {
        if trip.pickup_zone == Zone::new(7) {
            *minutes *= 2.0;
        }
    });
    let found = defective(&clocks);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].value), ("PULocationID", Some(7)));
    assert!(
        matches!(found[0].defect, Defect::Durations { factor } if (factor - 2.0).abs() < 0.2),
        "{found:?}"
    );
    assert!(found[0].described().contains("times as long as others of the same distance and fare"));
    let kilometres = metered(|trip, _| {
        if trip.rate_code == Some(5) {
            trip.distance_miles = trip.distance_miles.map(|miles| miles * 1.609_344);
        }
    });
    let found = defective(&kilometres);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].value, found[0].rows), ("RatecodeID", Some(5), 200));
    assert!(
        matches!(found[0].defect, Defect::Distances { factor } if (factor - 1.61).abs() < 0.2),
        "{found:?}"
    );
    assert_eq!(marks(&kilometres).iter().filter(|marked| **marked).count(), 200);
}

/// Rows that state no rate code may be broken together, and rows of a sound vendor among them are not taken for a defect of that vendor.
#[test]
fn rows_without_a_code_and_durations_by_chance_are_named() {
    let unstated = metered(|trip, minutes| {
        if trip.rate_code == Some(5) {
            trip.rate_code = None;
            *minutes = 59.7;
        }
    });
    let found = defective(&unstated);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].value, found[0].rows), ("RatecodeID", None, 200));
    assert!(found[0].described().contains("200 rows without RatecodeID (3.33 % of the file)"), "{found:?}");
    let mut row = 0u32;
    let by_chance = metered(|trip, minutes| {
        row += 1;
        if trip.rate_code == Some(5) {
            *minutes = 1.0 + f64::from(row.wrapping_mul(7_919) % 590) / 10.0;
        }
    });
    let found = defective(&by_chance);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].value), ("RatecodeID", Some(5)));
    assert!(matches!(found[0].defect, Defect::Unrelated { spread } if spread > 3.0), "{found:?}");
}

#[test]
fn what_is_found_is_found_once_and_stays_with_the_rows() {
    let mut broken = metered(|trip, minutes| {
        if trip.pickup_zone == Zone::new(7) {
            trip.vendor = Some(6);
            *minutes = 59.7;
        }
    });
    let zone_and_vendor = broken.find_defects();
    let marked = broken.defective.clone().unwrap_or_default();
    assert_eq!(
        zone_and_vendor.iter().map(|one| one.rows).sum::<u64>(),
        marked.iter().filter(|m| **m).count() as u64
    );
    let sound = broken.without_defects().unwrap();
    assert_eq!(sound.trips.len() + zone_and_vendor.iter().map(|one| one.rows as usize).sum::<usize>(), 6_000);
    assert_eq!(defective(&sound), []);
    assert_eq!(sound.clone().find_defects(), []);
}
