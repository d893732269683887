use chrono::{Days, NaiveDate};

use super::*;
use crate::candidates::{go_on, split_mix};
use crate::trip::{Trip, Zone};

fn noon_of(number: u64) -> Option<chrono::NaiveDateTime> {
    (NaiveDate::from_ymd_opt(2023, 1, 1).unwrap() + Days::new(number)).and_hms_opt(12, 0, 0)
}

/// Made-up trips over 40 days whose errors grow with the distance, and are twice as large where none is stated.
fn unseen(n_rows: u64, seed: u64) -> Unseen {
    let mut unseen = Unseen::default();
    for row in 0..n_rows {
        let uniform =
            |item: u64| (split_mix(seed ^ split_mix(row * 17 + item)) >> 11) as f64 / (1u64 << 53) as f64;
        let miles = 0.5 + uniform(1) * 9.0;
        let is_stated = uniform(2) > 0.3;
        let spread = if is_stated { 0.5 + miles } else { 10.0 };
        // Skewed: trips are late more often than early.
        let error = spread * (uniform(3) + uniform(4) + uniform(5) * uniform(5) * 2.0 - 1.3);
        unseen.trips.push(Trip {
            pickup_zone: Zone::new(74),
            dropoff_zone: Zone::new(75),
            pickup: noon_of(row % 40),
            distance_miles: is_stated.then_some(miles),
            ..Trip::default()
        });
        unseen.predicted.push(20.0);
        unseen.actual.push(20.0 + error);
    }
    unseen
}

fn fit(unseen: &Unseen) -> Interval {
    let mut work = Work { threads: 1, control: &mut go_on };
    Interval::fit(unseen, &FitParams::default(), &mut work).unwrap()
}

/// Returns the share of rows inside, the shares below and above, and the mean width, over rows that `keep` accepts.
fn measured(interval: &Interval, unseen: &Unseen, keep: impl Fn(Option<f64>) -> bool) -> [f64; 4] {
    let (lower, upper) = interval.around(&FeatureRows::from_trips(&unseen.trips), &unseen.predicted);
    let rows: Vec<usize> = (0..lower.len()).filter(|&row| keep(unseen.trips[row].distance_miles)).collect();
    let share =
        |is: &dyn Fn(usize) -> bool| rows.iter().filter(|&&row| is(row)).count() as f64 / rows.len() as f64;
    let below = share(&|row| unseen.actual[row] < lower[row]);
    let above = share(&|row| unseen.actual[row] > upper[row]);
    let width = rows.iter().map(|&row| upper[row] - lower[row]).sum::<f64>() / rows.len() as f64;
    [1.0 - below - above, below, above, width]
}

#[test]
fn as_many_as_asked_for_are_inside_and_the_others_are_shared_by_both_sides() {
    let interval = fit(&unseen(20_000, 1));
    let later = unseen(20_000, 2);
    for keep in
        [|_: Option<f64>| true, |miles: Option<f64>| miles.is_some(), |miles: Option<f64>| miles.is_none()]
    {
        let [inside, below, above, _] = measured(&interval, &later, keep);
        // Three binomial errors of 6,000 rows are 0.012.
        assert!((inside - 0.91).abs() < 0.012, "{inside} inside");
        assert!((below - 0.045).abs() < 0.01 && (above - 0.045).abs() < 0.01, "{below} below, {above} above");
    }
}

#[test]
fn short_trips_are_surer_than_long_ones_and_all_together_surer_than_a_constant_width() {
    let (known, later) = (unseen(20_000, 1), unseen(20_000, 2));
    let interval = fit(&known);
    let near = measured(&interval, &later, |miles| miles.is_some_and(|miles| miles < 2.0));
    let far = measured(&interval, &later, |miles| miles.is_some_and(|miles| miles > 8.0));
    assert!((near[0] - 0.91).abs() < 0.04 && (far[0] - 0.91).abs() < 0.04, "{near:?} {far:?}");
    assert!(near[3] * 2.0 < far[3], "{near:?} {far:?}");
    let mut off: Vec<f64> = known
        .predicted
        .iter()
        .zip(&known.actual)
        .map(|(predicted, actual)| (actual - predicted).abs())
        .collect();
    off.sort_unstable_by(f64::total_cmp);
    let constant = 2.0 * off[off.len() * 91 / 100];
    let [.., width] = measured(&interval, &later, |_| true);
    assert!(width < constant, "{width} against {constant}");
}

#[test]
fn few_trips_are_as_wide_for_all_and_none_are_an_hour_wide() {
    let interval = fit(&unseen(200, 1));
    let later = unseen(1000, 2);
    let (lower, upper) = interval.around(&FeatureRows::from_trips(&later.trips), &later.predicted);
    let widths: Vec<f64> = lower.iter().zip(&upper).map(|(lower, upper)| upper - lower).collect();
    assert!(widths.iter().all(|width| (width - widths[0]).abs() < 1e-9));
    let [inside, ..] = measured(&interval, &later, |_| true);
    assert!((0.8..0.97).contains(&inside), "{inside} inside");
    let (lower, upper) =
        fit(&Unseen::default()).around(&FeatureRows::from_trips(&later.trips), &later.predicted);
    assert_eq!((lower[0], upper[0]), (0.0, 80.0), "nothing is known: an hour to both sides");
}

#[test]
fn trips_of_one_day_have_no_other_half_to_learn_from() {
    let mut day = unseen(2_000, 1);
    for trip in &mut day.trips {
        trip.pickup = noon_of(4);
    }
    let interval = fit(&day);
    assert!(interval.is_constant() && interval.is_sound());
    let [inside, ..] = measured(&interval, &day, |_| true);
    assert!((inside - 0.91).abs() < 0.02, "{inside} inside");
}

#[test]
fn a_constant_interval_reaches_as_far_to_both_sides_and_never_below_zero() {
    let later = unseen(1, 1);
    let rows = FeatureRows::from_trips(&later.trips);
    assert_eq!(Interval::constant(8.0).around(&rows, &[20.0]), (vec![12.0], vec![28.0]));
    assert_eq!(Interval::constant(8.0).around(&rows, &[3.0]), (vec![0.0], vec![11.0]));
}

#[test]
fn the_reach_counts_one_more_trip_than_there_are() {
    // Ranks: ceil(100 x 0.955) = 96 of 99 errors; ceil(21.965) = 22 of 22; 19 of 18, which becomes 18.
    let errors = |n: i32| (1..=n).map(f64::from).collect::<Vec<_>>();
    assert_eq!(reached(&mut errors(99)), 96.0);
    assert_eq!(reached(&mut errors(22)), 22.0);
    assert_eq!((reached(&mut errors(18)), reached(&mut [])), (18.0, 0.0));
}
