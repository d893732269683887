use std::sync::LazyLock;

use chrono::TimeDelta;

use super::alarms::alarms;
use super::*;
use crate::profile::TripPrediction;
use crate::testing::{ROWS, Row, day, profile, rows};

/// Days until all detectors have a verdict.
const BEFORE: u64 = 150;

/// What was watched before day [`BEFORE`].
static WATCHED: LazyLock<Watch> = LazyLock::new(|| {
    let mut watch = Watch::default();
    (0..BEFORE).for_each(|number| drop(watch.next(day(number), &profile(&rows(number, ROWS)))));
    watch
});

/// Judges a day whose rows were changed.
fn judged(change: impl Fn(&mut Row)) -> DayVerdict {
    let mut rows = rows(BEFORE, ROWS);
    rows.iter_mut().for_each(change);
    WATCHED.judge(day(BEFORE), &profile(&rows))
}

#[test]
fn ordinary_days_hardly_ring() {
    let mut watch = WATCHED.clone();
    let verdicts: Vec<DayVerdict> =
        (BEFORE..BEFORE + 60).map(|number| watch.next(day(number), &profile(&rows(number, ROWS)))).collect();
    for signal in [Signal::Quality, Signal::Data, Signal::Performance] {
        assert!(verdicts.iter().all(|verdict| verdict.of(signal).rings.is_some()), "{signal:?}");
        let rang = alarms(&verdicts, signal);
        assert!(rang.len() <= 1, "{signal:?}: {rang:?}");
    }
}

#[test]
fn known_faults_ring_at_once_and_by_name() {
    let named = |part: &str, change: &dyn Fn(&mut Row)| {
        let verdict = judged(change);
        let data = &verdict.data;
        assert_eq!(data.rings, Some(true), "{part}: {data:?}");
        assert!(data.is_known && data.cause.as_deref().unwrap().contains(part), "{part}: {data:?}");
        assert!(!data.moved.is_empty() && data.score > data.threshold.map(|threshold| threshold.value));
    };
    named("swapped", &|(trip, ..)| std::mem::swap(&mut trip.pickup_zone, &mut trip.dropoff_zone));
    named("kilometres", &|(trip, ..)| {
        trip.distance_miles = trip.distance_miles.map(|miles| miles * 1.609_344)
    });
    named("trip_distance is missing", &|(trip, ..)| trip.distance_miles = None);
    named("passenger_count is missing", &|(trip, ..)| trip.passengers = None);
    named("+5 h", &|(trip, ..)| {
        trip.pickup = trip.pickup.map(|at| at.date().and_time((at + TimeDelta::hours(5)).time()));
    });
}

#[test]
fn what_is_in_no_dictionary_is_called_unknown() {
    let verdict = judged(|(trip, ..)| trip.distance_miles = trip.distance_miles.map(f64::ceil));
    assert_eq!(verdict.data.rings, Some(true), "{:?}", verdict.data);
    assert!(
        !verdict.data.is_known
            && verdict.data.cause.as_deref().unwrap().starts_with("unlike any known fault")
    );
}

#[test]
fn one_row_rings_nothing_and_is_a_finding() {
    let mut outlier = rows(BEFORE, ROWS);
    let usual = WATCHED.judge(day(BEFORE), &profile(&outlier));
    outlier[17].0.distance_miles = Some(46_826.34);
    let verdict = WATCHED.judge(day(BEFORE), &profile(&outlier));
    assert_eq!((verdict.quality.rings, verdict.data.rings), (Some(false), Some(false)), "{verdict:?}");
    let [finding] = &verdict.quality.findings[..] else { panic!("{:?}", verdict.quality.findings) };
    assert!(finding.rule == "far_distance" && finding.text.contains("46826"), "{finding:?}");
    // Of a kind that was never there before.
    let apart = verdict.data.score.unwrap() - usual.data.score.unwrap();
    assert!(apart.abs() < 2.0, "{apart}");
}

#[test]
fn codes_rows_and_values_that_were_never_there_ring_for_quality() {
    let rang = |change: &dyn Fn(&mut Row)| {
        let quality = judged(change).quality;
        assert_eq!(quality.rings, Some(true), "{quality:?}");
        quality.cause.unwrap()
    };
    assert_eq!(rang(&|(trip, ..)| trip.vendor = Some(6)), "VendorID 6 was never seen before");
    assert_eq!(
        rang(&|(trip, ..)| trip.distance_miles = Some(0.0)),
        "trip_distance is 0, negative or above 100 miles"
    );
    assert_eq!(rang(&|(trip, ..)| trip.pickup_zone = None), "a zone is unknown or not on the map");
    let few = WATCHED.judge(day(BEFORE), &profile(&rows(BEFORE, 20)));
    assert_eq!((few.quality.rings, few.data.rings), (Some(true), None), "{few:?}");
    assert!(few.data.no_verdict.unwrap().contains("20 rows"));
    let none = WATCHED.judge(day(BEFORE), &Profile::default());
    assert_eq!(none.quality.cause.as_deref(), Some("rows of the day"));
}

#[test]
fn wrong_predictions_ring_for_performance_alone() {
    let verdict = judged(|(_, prediction, _)| {
        let TripPrediction { minutes, interval: (lower, upper), .. } = *prediction;
        *prediction = TripPrediction {
            minutes: minutes / 1.3,
            interval: (lower / 1.3, upper / 1.3),
            tip_probability: None,
        };
    });
    assert_eq!((verdict.performance.rings, verdict.data.rings), (Some(true), Some(false)), "{verdict:?}");
    assert!(verdict.performance.cause.unwrap().contains('%'));
    let unlabelled = judged(|(.., outcome)| outcome.dropoff = None);
    assert_eq!(unlabelled.performance.rings, None);
    assert_eq!(unlabelled.performance.no_verdict.as_deref(), Some("no outcome is known"));
}

#[test]
fn the_same_rows_every_day_ring_never_and_divide_by_nothing() {
    let same = profile(&rows(0, ROWS));
    let mut watch = Watch::default();
    let verdicts: Vec<DayVerdict> = (0..BEFORE).map(|number| watch.next(day(number), &same)).collect();
    for verdict in &verdicts {
        for judged in [&verdict.quality, &verdict.data, &verdict.performance] {
            assert!(judged.rings != Some(true) && judged.score.is_none_or(f64::is_finite), "{judged:?}");
        }
    }
    assert_eq!(verdicts.last().unwrap().data.rings, Some(false));
}

#[test]
fn a_lost_column_is_judged_in_the_others() {
    let mut watch = Watch::default();
    let last = (0..BEFORE)
        .map(|number| {
            let mut rows = rows(number, ROWS);
            rows.iter_mut().for_each(|(trip, ..)| {
                (trip.distance_miles, trip.passengers, trip.vendor, trip.pickup) = (None, None, None, None);
            });
            watch.next(day(number), &profile(&rows))
        })
        .last();
    let last = last.unwrap();
    assert_eq!((last.quality.rings, last.data.rings), (Some(false), Some(false)), "{last:?}");
}

#[test]
fn judging_a_day_twice_says_the_same() {
    let profile = profile(&rows(BEFORE, ROWS));
    let verdict = WATCHED.judge(day(BEFORE), &profile);
    assert_eq!(verdict, WATCHED.judge(day(BEFORE), &profile));
    assert_eq!(verdict, WATCHED.clone().next(day(BEFORE), &profile));
}

#[test]
fn days_that_ring_after_each_other_are_one_alarm() {
    let mut verdict = judged(|(trip, ..)| trip.passengers = None);
    let mut verdicts = Vec::new();
    for number in [0, 1, 5, 12, 20] {
        verdict.day = day(number);
        verdicts.push(verdict.clone());
    }
    let rang: Vec<(String, usize)> =
        alarms(&verdicts, Signal::Data).into_iter().map(|alarm| (alarm.id, alarm.days)).collect();
    assert_eq!(rang, [("data-2023-01-02".to_string(), 4), ("data-2023-01-22".to_string(), 1)]);
}
