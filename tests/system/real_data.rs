//! Golden numbers on real months: files are read whole, and the candidates reach the figures that are known.

use std::path::Path;

use bytes::Bytes;
use dataset::{Limits, read_all};
use model::artifact::sha256_hex;
use model::candidates::{DurationModel, Estimate, FitParams};
use model::evaluation::Figures;
use model::{Family, LabelledTrips, Model, Rules, Target, Trained, Work, go_on, judge, train};
use tests::months::real_or_say;

pub fn month(folder: &Path, name: &str) -> LabelledTrips {
    let path = folder.join(format!("{name}.parquet"));
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    let month = name.rsplit_once('_').and_then(|(_, month)| month.parse().ok());
    let mut trips =
        read_all(&bytes, month, Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    trips.sha256 = sha256_hex(&bytes);
    trips
}

fn green(folder: &Path, months: &[&str]) -> Vec<LabelledTrips> {
    months.iter().map(|one| month(folder, &format!("green_tripdata_{one}"))).collect()
}

fn course() -> FitParams {
    FitParams { rules: Rules::Course, ..FitParams::default() }
}

fn learned(target: Target, family: Family, params: &FitParams, files: &[LabelledTrips]) -> Trained {
    train(target, family, params, files, &mut Work { threads: 0, control: &mut go_on }).unwrap()
}

/// The figure that decides and the rows it is of, by the course's rules.
fn judged(model: &Model, file: &LabelledTrips) -> (f64, u64) {
    let judged = judge(model, Rules::Course, std::slice::from_ref(file)).metrics;
    let figure = match judged.figures {
        Figures::Duration { rmse, .. } => rmse,
        Figures::Tip { auc, .. } => auc,
    };
    (figure, judged.rows)
}

#[track_caller]
fn near(what: &str, found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "{what}: found {found}, expected {expected} +- {within}");
}

/// RMSE of the linear candidate trained on the first month, on each month.
fn linear_rmse(months: &[LabelledTrips]) -> (Model, Vec<(u64, f64)>) {
    let trained = learned(Target::Duration, Family::Linear, &course(), &months[..1]);
    let rmse = |month: &LabelledTrips| {
        let judged = judge(&trained.artifact.model, Rules::Course, std::slice::from_ref(month));
        (judged.metrics.rows, judged.metrics.figures.deciding().1)
    };
    (trained.artifact.model.clone(), months.iter().map(rmse).collect())
}

/// Expected: the exact least squares solution of the course's model on 2021, found independently of this code by the
/// normal equations. The course prints 7.4795 and 7.7587 for validation, the same model solved inexactly.
#[test]
fn the_linear_candidate_of_2021_is_the_course_s_model_solved_exactly() {
    let Some(folder) = real_or_say("the linear candidate of 2021") else { return };
    let (model, found) = linear_rmse(&green(&folder, &["2021-01", "2021-02", "2021-03"]));
    assert_eq!((found[0].0, found[1].0), (73_908, 61_921));
    near("train", found[0].1, 4.640_696, 1e-6);
    near("validation", found[1].1, 7.480_827, 1e-6);
    near("test", found[2].1, 7.455_224, 1e-6);
    let Model::Duration(DurationModel { estimate: Estimate::Linear(linear), .. }) = model else {
        panic!("a linear model of duration")
    };
    near("slope", linear.slope_min_per_mile() * 1e5, 3.084_652, 1e-6);
    near("intercept of unseen pairs", linear.unseen_intercept_min(), 26.423_095, 1e-6);
}

/// The months of 2023 differ in physical types: January is of the old schema, February and March of the new one.
#[test]
fn the_linear_candidate_of_2023_reaches_across_the_change_of_schema() {
    let Some(folder) = real_or_say("the linear candidate of 2023") else { return };
    let (_, found) = linear_rmse(&green(&folder, &["2023-01", "2023-02", "2023-03"]));
    near("validation", found[1].1, 6.033_847, 1e-6);
    near("test", found[2].1, 6.247_593, 1e-6);
}

#[test]
fn the_tip_tree_ranks_as_well_as_is_known_of_it() {
    let Some(folder) = real_or_say("the tip tree") else { return };
    for (learn, judge_on, at_least) in [("2021-01", "2021-02", 0.78), ("2023-01", "2023-02", 0.74)] {
        let trained = learned(Target::Tip, Family::Tree, &course(), &green(&folder, &[learn]));
        let judged = judge(&trained.artifact.model, Rules::Course, &green(&folder, &[judge_on]));
        let Figures::Tip { auc, .. } = judged.metrics.figures else { panic!("figures of tips") };
        assert!(auc >= at_least, "{learn} -> {judge_on}: AUC {auc}, expected at least {at_least}");
    }
}

/// Intervals of a model that learned a month, on the two after it: wide enough, and narrower than the one width for all trips
/// that would cover as many of them. Covering every borough and band of distance alike costs some of what scaling saves: without
/// that, intervals are 4 % narrower still.
#[test]
fn intervals_cover_later_months_and_are_narrower_than_a_constant_width() {
    let Some(folder) = real_or_say("intervals of boosted durations") else { return };
    for (learn, later) in [("2021-01", ["2021-02", "2021-03"]), ("2023-01", ["2023-02", "2023-03"])] {
        let params = FitParams::default();
        let trained = learned(Target::Duration, Family::Boosted, &params, &green(&folder, &[learn]));
        for month in later {
            let files = green(&folder, &[month]);
            let judged = judge(&trained.artifact.model, Rules::Course, &files);
            let Figures::Duration { coverage, interval_width_min, .. } = judged.metrics.figures else {
                panic!("figures of durations")
            };
            near(month, coverage, 0.9, 0.03);
            let constant = constant_width_min(&trained.artifact.model, &files[0], coverage);
            assert!(interval_width_min < constant, "{month}: {interval_width_min} min, constant {constant}");
        }
    }
}

/// Twice the minutes within which the answers are right as often as `coverage`.
fn constant_width_min(model: &Model, file: &LabelledTrips, coverage: f64) -> f64 {
    let Model::Duration(model) = model else { panic!("a model of durations") };
    let said = model.answer(&file.trips).minutes;
    let (rows, _) = Rules::Course.rows(Target::Duration, file);
    let far = |row: usize| Some((said[row] - file.label(Target::Duration, row)?).abs());
    let mut errors: Vec<f64> = rows.into_iter().filter_map(far).collect();
    errors.sort_unstable_by(f64::total_cmp);
    2.0 * errors[(errors.len() as f64 * coverage) as usize - 1]
}

/// RMSE on later months by the course's rules, default parameters. The course's best is 6.30 on 2021-02; published for
/// 2023-02 and 2023-03 are 5.199 and 5.567. LightGBM on the same features reaches 5.089 and 4.921, 4.015 and 4.127.
#[test]
fn boosted_durations_are_closer_than_any_published() {
    let Some(folder) = real_or_say("boosted durations") else { return };
    for (learn, later) in [
        ("2021-01", [("2021-02", 5.12), ("2021-03", 4.96)]),
        ("2022-01", [("2022-02", 4.60), ("2022-03", 4.65)]),
        ("2023-01", [("2023-02", 4.05), ("2023-03", 4.17)]),
    ] {
        let trained = learned(Target::Duration, Family::Boosted, &course(), &green(&folder, &[learn]));
        let model = &trained.artifact.model;
        for (month, at_most) in later {
            let (rmse, _) = judged(model, &green(&folder, &[month])[0]);
            assert!(rmse <= at_most, "{learn} -> {month}: RMSE {rmse}, expected at most {at_most}");
        }
        if learn == "2023-01" {
            distances_may_be_missing_or_wrong(model, &green(&folder, &["2023-02"])[0]);
        }
    }
}

/// A planned distance is not the metered one that is learned from: it may be absent, or off by a fifth either way.
fn distances_may_be_missing_or_wrong(model: &Model, file: &LabelledTrips) {
    let mut missing = file.clone();
    missing.trips.distance_miles.fill(None);
    let mut noisy = file.clone();
    for (row, miles) in noisy.trips.distance_miles.iter_mut().enumerate() {
        // Weyl's sequence: even shares of all factors between 0.8 and 1.2.
        let factor = 0.8 + 0.4 * (row as f64 * 0.618_033_988_749_895).fract();
        *miles = miles.map(|miles| miles * factor);
    }
    for (what, file, at_most) in [("missing", missing, 5.3), ("noisy", noisy, 4.85)] {
        let (rmse, _) = judged(model, &file);
        assert!(rmse <= at_most, "distances {what}: RMSE {rmse}, expected at most {at_most}");
    }
}

#[test]
fn boosted_tips_rank_better_than_the_tree() {
    let Some(folder) = real_or_say("boosted tips") else { return };
    for (learn, later) in [
        ("2021-01", [("2021-02", 0.838), ("2021-03", 0.845)]),
        ("2023-01", [("2023-02", 0.785), ("2023-03", 0.795)]),
    ] {
        let trained = learned(Target::Tip, Family::Boosted, &course(), &green(&folder, &[learn]));
        for (month, at_least) in later {
            let (auc, _) = judged(&trained.artifact.model, &green(&folder, &[month])[0]);
            assert!(auc >= at_least, "{learn} -> {month}: AUC {auc}, expected at least {at_least}");
        }
    }
}

/// More card trips than the tree's sample holds: where weights of a fraction each drifted until linfa panicked.
#[test]
fn a_year_is_learned_from() {
    let Some(folder) = real_or_say("a year") else { return };
    let year: Vec<String> = (1..=12).map(|month| format!("2023-{month:02}")).collect();
    if year.iter().any(|month| !folder.join(format!("green_tripdata_{month}.parquet")).exists()) {
        eprintln!("a year: not run, the months of 2023 are not all there");
        return;
    }
    let files = green(&folder, &year.iter().map(String::as_str).collect::<Vec<_>>());
    let trained = learned(Target::Tip, Family::Tree, &FitParams::default(), &files);
    let judged = judge(&trained.artifact.model, Rules::Course, &green(&folder, &["2024-01"]));
    let Figures::Tip { auc, .. } = judged.metrics.figures else { panic!("figures of tips") };
    assert!(trained.train.rows > 400_000 && auc >= 0.74, "{} rows, AUC {auc}", trained.train.rows);
}

/// Row counts and rows kept by the course's filter as published with the data's own measurements.
#[test]
fn every_month_of_every_schema_is_read_whole() {
    let Some(folder) = real_or_say("every month") else { return };
    let known = [
        ("green_tripdata_2020-04", 35_644, 34_301),
        ("green_tripdata_2021-01", 76_518, 73_908),
        ("green_tripdata_2023-01", 68_211, 65_946),
        ("green_tripdata_2023-02", 64_809, 62_574),
        ("green_tripdata_2025-01", 48_326, 46_307),
        ("green_tripdata_2025-07", 48_205, 45_605),
        ("yellow_tripdata_sample_2017", 120_000, 117_692),
        ("yellow_tripdata_sample_2020", 120_000, 117_657),
        ("yellow_tripdata_sample_2021-2022", 24_000, 23_374),
    ];
    for (name, rows, kept) in known {
        if !folder.join(format!("{name}.parquet")).exists() {
            continue;
        }
        let trips = month(&folder, name);
        assert_eq!((trips.trips.len(), trips.rejections.total()), (rows, 0), "{name}");
        assert_eq!(Rules::Course.rows(Target::Duration, &trips).0.len(), kept, "{name}");
    }
    let files =
        std::fs::read_dir(&folder).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let names: Vec<String> =
        files.filter_map(|name| name.strip_suffix(".parquet").map(String::from)).collect();
    assert!(names.len() >= 3);
    for name in names {
        assert!(!month(&folder, &name).trips.is_empty(), "{name}");
    }
}
