use super::*;
use model::request::local_time;
use model::{LabelledTrips, Outcome, Trip, Zone};

/// Builds `rows` trips of `month` between places some miles apart, at 24 miles an hour plus a wait.
fn month(of: &str, rows: usize) -> LabelledTrips {
    let mut file = LabelledTrips { month: of.parse().ok(), ..LabelledTrips::default() };
    for row in 0..rows {
        let (from, to) = (Zone::new(40 + (row % 37) as u16), Zone::new(40 + (row % 41) as u16));
        let straight = f64::from(model::zones::straight_miles(from, to).unwrap_or(1.0)).max(0.5);
        let miles = straight * 1.27;
        let pickup = local_time(&format!("{of}-{:02} {:02}:00:00", row % 28 + 1, row % 24)).unwrap();
        let lasted = chrono::TimeDelta::seconds((miles * 150.0) as i64 + 60 + (row % 200) as i64);
        file.trips.push(Trip {
            pickup_zone: from,
            dropoff_zone: to,
            pickup: Some(pickup),
            distance_miles: Some(miles),
            passengers: Some(1),
            vendor: Some(2),
            ..Trip::default()
        });
        file.outcomes.push(Outcome {
            dropoff: Some(pickup + lasted),
            tip_amount: Some(if row % 37 < 20 { 2.0 } else { 0.0 }),
            fare_amount: Some(10.0),
            payment_type: Some(1),
        });
    }
    file
}

fn inspect(file: &LabelledTrips, before: &[&LabelledTrips]) -> Inspection {
    let mut inspected = Vec::new();
    for file in before {
        inspected.push(Inspection::new(MonthFigures::from_trips(file), &inspected));
    }
    Inspection::new(MonthFigures::from_trips(file), &inspected)
}

fn check(file: &LabelledTrips, before: &[&LabelledTrips], says: &[&str]) {
    let refusal = inspect(file, before).refusal().unwrap_or_default();
    assert!(says.iter().all(|says| refusal.contains(says)), "{refusal:?} should say {says:?}");
    assert_eq!(says.is_empty(), refusal.is_empty(), "{refusal}");
}

#[test]
fn a_month_like_the_one_before_passes() {
    let (january, february) = (month("2023-01", 5000), month("2023-02", 4500));
    check(&january, &[], &[]);
    check(&february, &[&january], &[]);
    let alone = inspect(&january, &[]);
    assert!(
        alone.warnings().any(|check| check.name == "rows_beside_recent_months"),
        "nothing to compare with"
    );
}

#[test]
fn rows_are_held_against_recent_months_only() {
    let (january, few) = (month("2023-01", 5000), month("2023-02", 2400));
    check(&few, &[&january], &["rows_beside_recent_months is 0.4800, expected 0.6 to 1.7"]);
    check(&few, &[&month("2022-10", 5000)], &[]);
}

/// One truncated month costs the month after it, and no more: a quarter would be lost if only accepted months counted.
#[test]
fn good_months_outvote_a_truncated_first_one() {
    let truncated = month("2023-01", 1200);
    let [february, march, april] = ["2023-02", "2023-03", "2023-04"].map(|of| month(of, 5000));
    check(&february, &[&truncated], &["rows_beside_recent_months is 4.1667"]);
    check(&march, &[&truncated, &february], &[]);
    check(&april, &[&truncated, &february, &march], &[]);
    let again = month("2023-04", 1200);
    check(&again, &[&truncated, &february, &march], &["rows_beside_recent_months is 0.2400"]);
}

#[test]
fn every_spoiled_column_is_named() {
    let january = month("2023-01", 5000);
    let spoiled = |spoil: &dyn Fn(&mut LabelledTrips, usize)| {
        let mut file = month("2023-02", 5000);
        (0..5000).for_each(|row| spoil(&mut file, row));
        file
    };
    let half_without = spoiled(&|file, row| {
        file.outcomes[row].dropoff = file.outcomes[row].dropoff.filter(|_| row % 2 == 0)
    });
    check(&half_without, &[&january], &["no_time_share is 0.5000, expected at most 0.05"]);
    let other_year = spoiled(&|file, row| {
        file.trips[row].pickup = file.trips[row].pickup.map(|at| at - chrono::TimeDelta::days(365));
    });
    check(&other_year, &[&january], &["outside_month_share", "not_judged_share"]);
    let far = spoiled(&|file, row| file.trips[row].distance_miles = Some(0.0));
    check(&far, &[&january], &["impossible_distance_share is 1.0000"]);
    let elsewhere = spoiled(&|file, row| file.trips[row].pickup_zone = Zone::new(200));
    check(&elsewhere, &[&january], &["pickup_zones_moved"]);
    let turned =
        spoiled(&|file, row| file.outcomes[row].tip_amount = Some(f64::from(u8::from(row % 37 >= 20))));
    check(&turned, &[&january], &["tips_follow_zones"]);
}

/// The first month has no month to be compared with; that its tips were spoiled too must not excuse the next one.
#[test]
fn a_spoiled_month_after_a_spoiled_one_is_refused() {
    let spoiled = |of: &str, tip: &dyn Fn(usize) -> f64| {
        let mut file = month(of, 40_000);
        (0..40_000).for_each(|row| file.outcomes[row].tip_amount = Some(tip(row)));
        file
    };
    let none = |_: usize| 0.0;
    check(&spoiled("2023-02", &none), &[&spoiled("2023-01", &none)], &["tips_follow_zones is 0.0000"]);
    // The zones repeat every 37 rows; a step of 7919 rows mixes them, and another step mixes the second month.
    let mixed = |step: usize| move |row: usize| f64::from(u8::from(row * step % 40_009 < 22_000));
    check(&spoiled("2023-02", &mixed(104_729)), &[&spoiled("2023-01", &mixed(7919))], &["tips_follow_zones"]);
}

#[test]
fn an_empty_month_is_no_division_by_zero() {
    let inspection = inspect(&LabelledTrips::default(), &[&month("2023-01", 5000)]);
    assert!(inspection.checks.iter().all(|check| check.figure.is_none_or(f64::is_finite)));
}
