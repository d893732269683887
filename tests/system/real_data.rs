//! Golden numbers on real trips: files are read whole, and the candidates reach known metrics. Tests on the sample in
//! this repository run everywhere; others need whole months in `TRIPS_DIR`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dataset::{ReadOptions, read_all};
use model::artifact::sha256_hex;
use model::candidates::{DurationModel, Estimate, FitParams};
use model::decision::PromotionPolicy;
use model::performance::Figures;
use model::{Family, LabelledTrips, Model, Rules, Target, Trained, Work, go_on, judge, train};
use platform::lambda::Deadline;
use retrainer::learn::Learning;
use retrainer::room::Room;
use retrainer::{Retrainer, Settings};
use store::{Condition, MemoryStore, ObjectKey, Store};
use tests::months::{self, SAMPLE, SAMPLE_VERSIONS};
use tests::needs::{Need, has};

/// Reads the trips of a file.
pub fn read(path: &Path) -> LabelledTrips {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let month = name.rsplit_once('_').and_then(|(_, month)| month.parse().ok());
    let (mut trips, _) =
        read_all(&bytes, month, ReadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    trips.sha256 = sha256_hex(&bytes);
    trips
}

/// Reads whole months, which the test has required by a [`Need`].
fn whole(wanted: &[&str]) -> Vec<LabelledTrips> {
    wanted.iter().map(|month| read(&months::whole(month).unwrap())).collect()
}

/// Reads the months of the sample.
pub fn sample() -> Vec<LabelledTrips> {
    SAMPLE.iter().map(|month| read(&months::sample_folder().join(months::file_name(month)))).collect()
}

fn course() -> FitParams {
    FitParams { rules: Rules::Course, ..FitParams::default() }
}

fn learned(target: Target, family: Family, params: &FitParams, files: &[LabelledTrips]) -> Trained {
    train(target, family, params, files, &mut Work { threads: 0, control: &mut go_on }).unwrap()
}

/// Returns the deciding metric and its number of rows, by the course's rules.
fn judged(model: &Model, file: &LabelledTrips) -> (f64, u64) {
    let judged = judge(model, Rules::Course, std::slice::from_ref(file)).unwrap().metrics;
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

/// Returns the linear candidate trained on the first month, with its RMSE on each month.
fn linear_rmse(months: &[LabelledTrips]) -> (Model, Vec<(u64, f64)>) {
    let trained = learned(Target::Duration, Family::Linear, &course(), &months[..1]);
    let rmse = |month: &LabelledTrips| {
        let judged = judge(&trained.artifact.model, Rules::Course, std::slice::from_ref(month)).unwrap();
        (judged.metrics.rows, judged.metrics.figures.deciding().1)
    };
    (trained.artifact.model.clone(), months.iter().map(rmse).collect())
}

/// Expected: the exact least squares solution of the course's model on 2021, computed independently by the normal
/// equations. The course prints 7.4795 and 7.7587 for validation, the same model solved inexactly.
#[test]
fn the_linear_candidate_of_2021_is_the_course_s_model_solved_exactly() {
    if !has(Need::WholeMonths(&SAMPLE)) {
        return;
    }
    let (model, found) = linear_rmse(&whole(&SAMPLE));
    assert_eq!((found[0].0, found[1].0), (73_908, 61_921));
    near("train", found[0].1, 4.640_696, 1e-6);
    near("validation", found[1].1, 7.480_827, 1e-6);
    near("test", found[2].1, 7.455_224, 1e-6);
    slope_and_intercept(&model, 3.084_652, 26.423_095);
}

/// Expected: the same closed form in double precision by numpy, pairs by `np.unique`, on the files of the sample.
#[test]
fn the_linear_candidate_of_the_sample_is_the_course_s_model_solved_exactly() {
    let (model, found) = linear_rmse(&sample());
    assert_eq!(found.iter().map(|month| month.0).collect::<Vec<_>>(), [9674, 9597, 9589]);
    near("train", found[0].1, 3.566_729_538, 1e-8);
    near("validation", found[1].1, 9.326_541_714, 1e-8);
    near("test", found[2].1, 9.315_045_472, 1e-8);
    slope_and_intercept(&model, 10.416_542_757, 22.577_718_528);
}

fn slope_and_intercept(model: &Model, slope_e5: f64, intercept: f64) {
    let Model::Duration(DurationModel { estimate: Estimate::Linear(linear), .. }) = model else {
        panic!("a linear model of duration")
    };
    near("slope", linear.slope_min_per_mile() * 1e5, slope_e5, 1e-6);
    near("intercept of unseen pairs", linear.unseen_intercept_min(), intercept, 1e-6);
}

/// The months of 2023 differ in physical types: January has the old schema, February and March have the new one.
#[test]
fn the_linear_candidate_of_2023_reaches_across_the_change_of_schema() {
    const MONTHS: [&str; 3] = ["2023-01", "2023-02", "2023-03"];
    if !has(Need::WholeMonths(&MONTHS)) {
        return;
    }
    let (_, found) = linear_rmse(&whole(&MONTHS));
    near("validation", found[1].1, 6.033_847, 1e-6);
    near("test", found[2].1, 6.247_593, 1e-6);
}

#[test]
fn the_tip_tree_ranks_as_well_as_is_known_of_it() {
    if !has(Need::WholeMonths(&["2021-01", "2021-02", "2023-01", "2023-02"])) {
        return;
    }
    for (learn, judge_on, at_least) in [("2021-01", "2021-02", 0.78), ("2023-01", "2023-02", 0.74)] {
        let trained = learned(Target::Tip, Family::Tree, &course(), &whole(&[learn]));
        let judged = judge(&trained.artifact.model, Rules::Course, &whole(&[judge_on])).unwrap();
        let Figures::Tip { auc, .. } = judged.metrics.figures else { panic!("figures of tips") };
        assert!(auc >= at_least, "{learn} -> {judge_on}: AUC {auc}, expected at least {at_least}");
    }
}

/// Intervals of a model of one month, on the two months after it: they are wide enough, and narrower than a constant
/// width with the same coverage. Equal coverage of every borough and band of distance costs some of that gain: without
/// it, intervals are 4 % narrower still.
#[test]
fn intervals_cover_later_months_and_are_narrower_than_a_constant_width() {
    if !has(Need::WholeMonths(&["2021-01", "2021-02", "2021-03", "2023-01", "2023-02", "2023-03"])) {
        return;
    }
    for (learn, later) in [("2021-01", ["2021-02", "2021-03"]), ("2023-01", ["2023-02", "2023-03"])] {
        let params = FitParams::default();
        let trained = learned(Target::Duration, Family::Boosted, &params, &whole(&[learn]));
        for month in later {
            let files = whole(&[month]);
            let judged = judge(&trained.artifact.model, Rules::Course, &files).unwrap();
            let Figures::Duration { coverage, interval_width_min, .. } = judged.metrics.figures else {
                panic!("figures of durations")
            };
            near(month, coverage, 0.9, 0.03);
            let constant = constant_width_min(&trained.artifact.model, &files[0], coverage);
            assert!(interval_width_min < constant, "{month}: {interval_width_min} min, constant {constant}");
        }
    }
}

/// Returns the width of a constant interval with this `coverage`, minutes.
fn constant_width_min(model: &Model, file: &LabelledTrips, coverage: f64) -> f64 {
    let Model::Duration(model) = model else { panic!("a model of durations") };
    let predicted = model.predict(&file.trips).minutes;
    let (rows, _) = Rules::Course.rows(Target::Duration, file);
    let far = |row: usize| Some((predicted[row] - file.label(Target::Duration, row)?).abs());
    let mut errors: Vec<f64> = rows.into_iter().filter_map(far).collect();
    errors.sort_unstable_by(f64::total_cmp);
    2.0 * errors[(errors.len() as f64 * coverage) as usize - 1]
}

/// RMSE on later months by the course's rules, seed 1. The course's best is 6.30 on 2021-02; published for 2023-02 and 2023-03 are 5.199
/// and 5.567. LightGBM untuned, on what a file states and its zones, has 5.105 and 4.931, 4.520 and 4.567, 3.967 and 4.100
/// (docs/BENCHMARKS.md).
#[test]
fn boosted_durations_are_closer_than_any_published() {
    const MONTHS: [&str; 9] =
        ["2021-01", "2021-02", "2021-03", "2022-01", "2022-02", "2022-03", "2023-01", "2023-02", "2023-03"];
    if !has(Need::WholeMonths(&MONTHS)) {
        return;
    }
    for (learn, later) in [
        ("2021-01", [("2021-02", 4.98), ("2021-03", 4.82)]),
        ("2022-01", [("2022-02", 4.45), ("2022-03", 4.50)]),
        ("2023-01", [("2023-02", 3.92), ("2023-03", 4.05)]),
    ] {
        let params = FitParams { seed: 1, ..course() };
        let trained = learned(Target::Duration, Family::Boosted, &params, &whole(&[learn]));
        let model = &trained.artifact.model;
        for (month, at_most) in later {
            let (rmse, _) = judged(model, &whole(&[month])[0]);
            assert!(rmse <= at_most, "{learn} -> {month}: RMSE {rmse}, expected at most {at_most}");
        }
        if learn == "2023-01" {
            distances_may_be_missing_or_wrong(model, &whole(&["2023-02"])[0]);
        }
    }
}

/// A planned distance differs from the metered one of training: it may be absent, or off by a fifth either way.
fn distances_may_be_missing_or_wrong(model: &Model, file: &LabelledTrips) {
    let mut missing = file.clone();
    missing.trips.iter_mut().for_each(|trip| trip.distance_miles = None);
    let mut noisy = file.clone();
    for (row, trip) in noisy.trips.iter_mut().enumerate() {
        // Weyl's sequence: factors spread evenly between 0.8 and 1.2.
        let factor = 0.8 + 0.4 * (row as f64 * 0.618_033_988_749_895).fract();
        trip.distance_miles = trip.distance_miles.map(|miles| miles * factor);
    }
    for (what, file, at_most) in [("missing", missing, 5.3), ("noisy", noisy, 4.85)] {
        let (rmse, _) = judged(model, &file);
        assert!(rmse <= at_most, "distances {what}: RMSE {rmse}, expected at most {at_most}");
    }
}

/// Log loss and AUC on the card trips of later months, seed 1. LightGBM with 250 trees of 31 leaves has 0.3928 and 0.4054, 0.2614 and
/// 0.2682, 0.2736 and 0.2744 on the same trips, with an AUC of 0.843 and 0.848, 0.824 and 0.8175, 0.792 and 0.802.
#[test]
fn boosted_tips_are_as_good_as_those_of_lightgbm() {
    const MONTHS: [&str; 9] =
        ["2021-01", "2021-02", "2021-03", "2022-01", "2022-02", "2022-03", "2023-01", "2023-02", "2023-03"];
    if !has(Need::WholeMonths(&MONTHS)) {
        return;
    }
    for (learn, later) in [
        ("2021-01", [("2021-02", 0.392, 0.844), ("2021-03", 0.405, 0.848)]),
        ("2022-01", [("2022-02", 0.2624, 0.823), ("2022-03", 0.2694, 0.816)]),
        ("2023-01", [("2023-02", 0.2745, 0.791), ("2023-03", 0.2750, 0.800)]),
    ] {
        let params = FitParams { seed: 1, ..course() };
        let trained = learned(Target::Tip, Family::Boosted, &params, &whole(&[learn]));
        for (month, at_most, at_least) in later {
            let judged = judge(&trained.artifact.model, Rules::Course, &whole(&[month])).unwrap();
            let Figures::Tip { auc, log_loss, .. } = judged.metrics.figures else {
                panic!("figures of tips")
            };
            assert!(log_loss <= at_most, "{learn} -> {month}: log loss {log_loss}, at most {at_most}");
            assert!(auc >= at_least, "{learn} -> {month}: AUC {auc}, expected at least {at_least}");
        }
    }
}

/// There are more card trips than the tree's sample holds: with a fractional weight each, rounding made linfa panic.
#[test]
fn a_year_is_learned_from() {
    const YEAR: [&str; 12] = [
        "2023-01", "2023-02", "2023-03", "2023-04", "2023-05", "2023-06", "2023-07", "2023-08", "2023-09",
        "2023-10", "2023-11", "2023-12",
    ];
    if !has(Need::WholeMonths(&YEAR)) || !has(Need::WholeMonths(&["2024-01"])) {
        return;
    }
    let files = whole(&YEAR);
    let trained = learned(Target::Tip, Family::Tree, &FitParams::default(), &files);
    let judged = judge(&trained.artifact.model, Rules::Course, &whole(&["2024-01"])).unwrap();
    let Figures::Tip { auc, .. } = judged.metrics.figures else { panic!("figures of tips") };
    assert!(trained.train.rows > 400_000 && auc >= 0.74, "{} rows, AUC {auc}", trained.train.rows);
}

/// Row counts, and rows kept by the course's filter, as published with the data's own measurements.
#[test]
fn every_month_of_every_schema_is_read_whole() {
    if !has(Need::WholeMonths(&["2020-04", "2021-01", "2023-01", "2023-02", "2025-01", "2025-07"])) {
        return;
    }
    let known = [
        ("green_tripdata_2020-04", 35_644, 34_301),
        ("green_tripdata_2021-01", 76_518, 73_908),
        ("green_tripdata_2023-01", 68_211, 65_946),
        ("green_tripdata_2023-02", 64_809, 62_574),
        ("green_tripdata_2025-01", 48_326, 46_307),
        ("green_tripdata_2025-07", 48_205, 45_605),
        // Samples of yellow months that the TLC does not publish: read only where they exist.
        ("yellow_tripdata_sample_2017", 120_000, 117_692),
        ("yellow_tripdata_sample_2020", 120_000, 117_657),
        ("yellow_tripdata_sample_2021-2022", 24_000, 23_374),
    ];
    for (name, rows, kept) in known {
        let Some(path) = months::known_file(&format!("{name}.parquet")) else { continue };
        let trips = read(&path);
        assert_eq!((trips.trips.len(), trips.rejections.total()), (rows, 0), "{name}");
        assert_eq!(Rules::Course.rows(Target::Duration, &trips).0.len(), kept, "{name}");
    }
    let all: Vec<PathBuf> = months::checksums().keys().filter_map(|name| months::known_file(name)).collect();
    for path in &all {
        assert!(!read(path).trips.is_empty(), "{}", path.display());
    }
    eprintln!("{} of {} known files are there", all.len(), months::checksums().len());
}

/// Bounds a little above the measured values. LightGBM (100 rounds, 31 leaves, rate 0.1) on the same rows with zones,
/// distance, geography, time and codes reaches RMSE 5.519 and 5.427, log loss 0.492 and 0.476.
#[test]
fn boosted_candidates_of_the_sample_reach_what_is_known_of_it() {
    let months = sample();
    let params = FitParams { seed: 1, ..course() };
    let duration = learned(Target::Duration, Family::Boosted, &params, &months[..1]);
    for (month, at_most) in months[1..].iter().zip([5.65, 5.50]) {
        let (rmse, _) = judged(&duration.artifact.model, month);
        assert!(rmse <= at_most, "RMSE {rmse}, expected at most {at_most}");
        let judged = judge(&duration.artifact.model, Rules::Course, std::slice::from_ref(month)).unwrap();
        let Figures::Duration { coverage, .. } = judged.metrics.figures else {
            panic!("figures of durations")
        };
        near("coverage", coverage, 0.9, 0.03);
    }
    let tip = learned(Target::Tip, Family::Boosted, &params, &months[..1]);
    for (month, at_most) in months[1..].iter().zip([0.450, 0.442]) {
        let judged = judge(&tip.artifact.model, Rules::Course, std::slice::from_ref(month)).unwrap();
        let Figures::Tip { log_loss, .. } = judged.metrics.figures else { panic!("figures of tips") };
        assert!(log_loss <= at_most, "log loss {log_loss}, expected at most {at_most}");
    }
}

/// A retraining on the sample makes the same two models on every machine, as in `make demo` and the README.
#[tokio::test]
async fn a_retraining_on_the_sample_comes_to_the_models_of_the_readme() {
    let (data, models) = (MemoryStore::default(), MemoryStore::default());
    for month in &SAMPLE[..2] {
        let name = months::file_name(month);
        let bytes = Bytes::from(std::fs::read(months::sample_folder().join(&name)).unwrap());
        let key = ObjectKey::new(format!("history/{name}")).unwrap();
        data.put(&key, bytes, Condition::Always).await.unwrap();
    }
    let (windows, params) = (vec![1, 3, 12], FitParams::default());
    let learning =
        Learning { windows, params, trials: 4, rows_max: usize::MAX, room: Room::default(), threads: 0 };
    let settings = Settings {
        taxi: "green".into(),
        utc_times: Default::default(),
        learning,
        policy: PromotionPolicy::default(),
    };
    let retrainer = Retrainer::new(Arc::new(data), Arc::new(models), settings);
    let day = "2021-03-15".parse().unwrap();
    let run = retrainer.retrain(day, &Target::ALL, "test", Deadline::after(Duration::from_secs(600))).await;
    let run = serde_json::to_value(run.unwrap()).unwrap();
    let targets = run["targets"].as_array().unwrap();
    assert_eq!([&targets[0]["version"], &targets[1]["version"]], SAMPLE_VERSIONS, "{run}");
    assert!(targets.iter().all(|target| target["promoted"] == true), "{run}");
    let readme = std::fs::read_to_string(tests::root().join("README.md")).unwrap();
    for version in SAMPLE_VERSIONS {
        assert!(readme.contains(version), "README.md shows another version than {version}");
    }
}
