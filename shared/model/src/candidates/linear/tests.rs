use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use proptest::prelude::*;

use super::*;
use crate::trip::Zone;

/// Examples `(pickup zone, miles, minutes)`, all to zone 1.
fn examples(rows: &[(u16, f64, f64)]) -> Examples {
    let trip = |(zone, miles, _): &(u16, f64, f64)| Trip {
        pickup_zone: Zone::new(*zone),
        dropoff_zone: Zone::new(1),
        distance_miles: Some(*miles),
        ..Trip::default()
    };
    Examples { trips: rows.iter().map(trip).collect(), labels: rows.iter().map(|row| row.2).collect() }
}

fn params(rules: Rules, ridge: f64) -> FitParams {
    FitParams { rules, ridge, ..FitParams::default() }
}

fn any_rows() -> impl Strategy<Value = Vec<(u16, f64, f64)>> {
    prop::collection::vec((1..5u16, 0.1..20.0f64, 1.0..60.0f64), 8..60)
}

/// One-hot columns of the zones 1..=4 that occur, then miles.
fn design(rows: &[(u16, f64, f64)]) -> Array2<f64> {
    let zones: Vec<u16> = (1..5).filter(|zone| rows.iter().any(|row| row.0 == *zone)).collect();
    Array2::from_shape_fn((rows.len(), zones.len() + 1), |(row, column)| match zones.get(column) {
        Some(zone) => f64::from(u8::from(rows[row].0 == *zone)),
        None => rows[row].1,
    })
}

proptest! {
    /// The oracle: linfa-linear's dense least squares on the same one-hot columns.
    #[test]
    fn the_closed_form_is_dense_least_squares(rows in any_rows()) {
        let targets = Array1::from_iter(rows.iter().map(|row| row.2));
        let data = Dataset::new(design(&rows), targets);
        let dense = LinearRegression::new().with_intercept(false).fit(&data).unwrap().predict(&data);
        let ours = LinearModel::fit(&examples(&rows), &params(Rules::Course, 0.0));
        for (predicted, expected) in ours.minutes(&examples(&rows).trips).iter().zip(dense.iter()) {
            prop_assert!((predicted - expected).abs() < 1e-6, "{predicted} against {expected}");
        }
    }

    /// At the ridge solution the gradient is zero: checked on the definition, not on the closed form.
    #[test]
    fn with_a_penalty_the_normal_equations_hold(rows in any_rows(), ridge in 0.01..50.0f64) {
        let model = LinearModel::fit(&examples(&rows), &params(Rules::Course, ridge));
        let data = examples(&rows);
        let residuals: Vec<f64> =
            data.labels.iter().zip(model.minutes(&data.trips)).map(|(actual, predicted)| actual - predicted).collect();
        prop_assert!(residuals.iter().sum::<f64>().abs() < 1e-6, "the common intercept is free");
        let along_miles: f64 = residuals.iter().zip(&rows).map(|(residual, row)| residual * row.1).sum();
        prop_assert!((along_miles - ridge * model.slope_min_per_mile).abs() < 1e-6);
        for (pair_number, intercept) in model.pairs.iter().zip(&model.intercepts_min) {
            let zone = (pair_number / 266) as u16;
            let of_pair: f64 = residuals.iter().zip(&rows).filter(|(_, row)| row.0 == zone).map(|(r, _)| r).sum();
            prop_assert!((of_pair - ridge * (intercept - model.unseen_intercept_min)).abs() < 1e-6);
        }
    }
}

#[test]
fn an_unseen_pair_gets_the_unweighted_mean_of_the_intercepts() {
    let model = LinearModel::fit(
        &examples(&[(1, 1.0, 10.0), (1, 1.0, 10.0), (1, 1.0, 10.0), (2, 1.0, 20.0)]),
        &params(Rules::Course, 0.0),
    );
    assert_eq!((model.unseen_intercept_min, model.slope_min_per_mile, model.n_pairs()), (15.0, 0.0, 2));
}

#[test]
fn course_takes_a_distance_as_it_stands_and_strict_believes_only_what_can_be_planned() {
    let rows = [(1, 1.0, 10.0), (1, 3.0, 14.0), (1, 200_000.0, 12.0)];
    let course = LinearModel::fit(&examples(&rows), &params(Rules::Course, 0.0));
    assert!(course.slope_min_per_mile.abs() < 1e-3, "one broken meter flattens the slope");
    let strict = LinearModel::fit(&examples(&rows), &params(Rules::Strict, 0.0));
    assert!((strict.slope_min_per_mile - 2.0).abs() < 1e-12);
    let odd = examples(&[(1, -1.0, 0.0)]).trips;
    assert!((strict.minutes(&odd)[0] - 12.0).abs() < 1e-12, "the pair's mean distance stands in");
}
