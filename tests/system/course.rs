//! The figures of the course's lesson on monitoring, from its data and its split: a linear model of the duration on six columns, and how far
//! the rows after the first 30,000 of January 2022 have drifted from them.
//!
//! The course prints both errors and the drift of predictions; the drift of the columns is what Evidently 0.7.23 computes from the same rows,
//! normed Wasserstein distances of numbers and Jensen-Shannon distances of zones.

use std::fs::File;

use monitoring::drift::Distribution;
use monitoring::drift::statistics::{Kind, jensen_shannon, wasserstein_normed};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use tests::months;
use tests::needs::{Need, has};

const NUMBERS: [&str; 4] = ["passenger_count", "trip_distance", "fare_amount", "total_amount"];
const ZONES: [&str; 2] = ["PULocationID", "DOLocationID"];
const TRAINED_ON: usize = 30_000;

/// Six columns, and the duration in minutes.
type Row = ([f64; 6], f64);

/// Reads the rows that the course keeps.
fn rows() -> Vec<Row> {
    let file = SerializedFileReader::new(File::open(months::whole("2022-01").unwrap()).unwrap()).unwrap();
    let number = |field: &Field| match field {
        Field::Double(value) => *value,
        Field::Long(value) => *value as f64,
        Field::TimestampMicros(micros) => *micros as f64 / 60e6,
        _ => f64::NAN,
    };
    let row = |row: parquet::record::Row| {
        let value = |name: &str| {
            row.get_column_iter().find(|(of, _)| *of == name).map_or(f64::NAN, |(_, field)| number(field))
        };
        let minutes = value("lpep_dropoff_datetime") - value("lpep_pickup_datetime");
        ([NUMBERS[0], NUMBERS[1], NUMBERS[2], NUMBERS[3], ZONES[0], ZONES[1]].map(value), minutes)
    };
    let all = file.get_row_iter(None).unwrap().map(|read| row(read.unwrap()));
    all.filter(|(columns, minutes)| (0.0..=60.0).contains(minutes) && columns[0] > 0.0 && columns[0] <= 8.0)
        .collect()
}

/// Returns the weights of the least squares, the last of which is the intercept: the normal equations by Gauss and Jordan, about the means.
fn least_squares(rows: &[Row]) -> [f64; 7] {
    let n = rows.len() as f64;
    let all = |(columns, minutes): &Row| -> [f64; 7] {
        std::array::from_fn(|at| if at < 6 { columns[at] } else { *minutes })
    };
    let means: [f64; 7] = std::array::from_fn(|at| rows.iter().map(|row| all(row)[at]).sum::<f64>() / n);
    let mut system = [[0.0; 7]; 6];
    for row in rows {
        let centred: [f64; 7] = std::array::from_fn(|at| all(row)[at] - means[at]);
        for (equation, by) in system.iter_mut().zip(centred) {
            equation.iter_mut().zip(centred).for_each(|(sum, value)| *sum += by * value);
        }
    }
    for pivot in 0..6 {
        let scale = system[pivot][pivot];
        system[pivot].iter_mut().for_each(|value| *value /= scale);
        let solved = system[pivot];
        for equation in (0..6).filter(|equation| *equation != pivot) {
            let times = system[equation][pivot];
            system[equation].iter_mut().zip(solved).for_each(|(value, solved)| *value -= times * solved);
        }
    }
    let mut weights: [f64; 7] = std::array::from_fn(|at| system.get(at).map_or(0.0, |equation| equation[6]));
    weights[6] = means[6] - predicted(&weights, &std::array::from_fn(|at| means[at]));
    weights
}

fn predicted(weights: &[f64; 7], columns: &[f64; 6]) -> f64 {
    columns.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() + weights[6]
}

#[test]
fn the_figures_of_the_courses_lesson_on_monitoring() {
    if !has(Need::WholeMonths(&["2022-01"])) {
        return;
    }
    let rows = rows();
    assert_eq!(rows.len(), 55_211);
    let (before, after) = rows.split_at(TRAINED_ON);
    let weights = least_squares(before);
    let error = |rows: &[Row]| {
        let absolute = rows.iter().map(|(columns, minutes)| (predicted(&weights, columns) - minutes).abs());
        absolute.sum::<f64>() / rows.len() as f64
    };
    let of = |value: &dyn Fn(&Row) -> f64| {
        [before, after].map(|rows| Distribution::new(rows.iter().map(|row| (value(row), 1))))
    };
    let numeric = |value: &dyn Fn(&Row) -> f64| {
        let [before, after] = of(value);
        wasserstein_normed(&before, &after).unwrap()
    };
    let zones = |at: usize| {
        let [before, after] = of(&|row| row.0[at]);
        jensen_shannon(Kind::Categorical, &before, &after).unwrap()
    };
    for (what, found, expected) in [
        ("error on the rows trained on", error(before), 3.804_665_373_785_062),
        ("error on the rows after them", error(after), 4.142_064_073_688_447),
        ("predictions", numeric(&|row| predicted(&weights, &row.0)), 0.030_493_164_661_663_717),
        (NUMBERS[0], numeric(&|row| row.0[0]), 0.012_206_056_503_898_194),
        (NUMBERS[1], numeric(&|row| row.0[1]), 0.005_901_766_795_608_544),
        (NUMBERS[2], numeric(&|row| row.0[2]), 0.031_476_045_142_231_42),
        (NUMBERS[3], numeric(&|row| row.0[3]), 0.031_548_546_502_943_68),
        (ZONES[0], zones(4), 0.061_318_920_452_558_42),
        (ZONES[1], zones(5), 0.056_911_803_897_614_61),
    ] {
        assert!((found - expected).abs() < 1e-6, "{what}: {found}, expected {expected}");
    }
}
