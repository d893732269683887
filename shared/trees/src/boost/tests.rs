use linfa::traits::{Fit, Predict};
use linfa::{Dataset, ParamGuard};
use ndarray::{Array1, Array2};
use proptest::prelude::*;

use super::fit::draw;
use super::*;
use crate::ensemble::Split;

/// Synthetic rows of 5 features: a number, the same rounded down, a category of 40 codes, a number that is missing in
/// a third of the rows, and noise. The label depends on all but the last; for logistic loss it is 1 if it is above 4.
struct Rows {
    values: Vec<f32>,
    labels: Vec<f32>,
    weights: Vec<f32>,
}

const WIDTH: usize = 5;

impl Rows {
    fn new(n_rows: usize, seed: u64, objective: Objective) -> Self {
        let mut rows = Self { values: Vec::new(), labels: Vec::new(), weights: Vec::new() };
        for row in 0..n_rows as u64 {
            let uniform = |item| (draw(seed, item, row) >> 40) as f32 / (1u64 << 24) as f32;
            let (x, code) = (uniform(1) * 10.0, (uniform(2) * 40.0).floor());
            let sometimes = if uniform(3) < 0.33 { f32::NAN } else { uniform(4) };
            let of_code = (code * 7.0) % 5.0;
            let of_sometimes = if sometimes.is_nan() { 3.0 } else { -2.0 * sometimes };
            let label = (x - 5.0) * (x - 5.0) / 4.0 + of_code + of_sometimes + uniform(5);
            rows.values.extend([x, x.floor(), code, sometimes, uniform(6)]);
            rows.labels.push(match objective {
                Objective::Logistic => f32::from(u8::from(label > 4.0)),
                Objective::Squared | Objective::Quantile(_) => label,
            });
            rows.weights.push(uniform(7) + 0.5);
        }
        rows
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { values: &self.values, n_features: WIDTH, labels: &self.labels, weights: None }
    }

    fn weighted(&self) -> Labelled<'_> {
        Labelled { weights: Some(&self.weights), ..self.labelled() }
    }
}

fn settings(objective: Objective) -> Settings {
    Settings { objective, rounds: 20, max_leaves: 12, categories: vec![2], ..Settings::default() }
}

fn fit(settings: Settings, train: &Labelled<'_>, threads: usize) -> Boosted {
    BoostParams::new(settings).check().unwrap().fit(train, None, threads, &mut go_on).unwrap()
}

fn loss(boosted: &Boosted, rows: &Labelled<'_>) -> f64 {
    boosted.objective.loss(&boosted.ensemble.predict(rows.values), rows.labels, rows.weights)
}

#[test]
fn one_split_by_hand() {
    // The two sides have means 2 and 11, the cut lies midway between 3 and 8, and the base is the overall mean, 6.5.
    let (values, labels) = ([1.0, 2.0, 3.0, 8.0, 9.0, 9.5], [1.0, 2.0, 3.0, 10.0, 11.0, 12.0]);
    let rows = Labelled { values: &values, n_features: 1, labels: &labels, weights: None };
    let settings =
        Settings { rounds: 1, max_leaves: 2, learning_rate: 1.0, min_child_rows: 1, ..Settings::default() };
    let boosted = fit(settings.clone(), &rows, 1);
    let tree = &boosted.ensemble.described()[0];
    assert_eq!(tree.nodes[0].split, Split::AtMost(5.5));
    let predicted = boosted.predict(&[0.0, 5.5, 5.6, f32::NAN]);
    for (predicted, expected) in predicted.iter().zip([2.0, 2.0, 11.0, 11.0]) {
        assert!((predicted - expected).abs() < 1e-5, "{predicted} is not {expected}");
    }
    // With an L2 of 3 each side moves half as far from the base.
    let predicted = fit(Settings { l2: 3.0, ..settings }, &rows, 1).predict(&[0.0, 9.0]);
    assert!((predicted[0] - 4.25).abs() < 1e-5 && (predicted[1] - 8.75).abs() < 1e-5, "{predicted:?}");
}

#[test]
fn every_loss_falls_far_below_that_of_a_constant() {
    for (objective, share) in
        [(Objective::Squared, 0.3), (Objective::Logistic, 0.35), (Objective::Quantile(0.9), 0.4)]
    {
        let (train, test) = (Rows::new(8000, 1, objective), Rows::new(4000, 2, objective));
        for (train, test) in [(train.labelled(), test.labelled()), (train.weighted(), test.weighted())] {
            let boosted = fit(Settings { rounds: 60, ..settings(objective) }, &train, 1);
            let constant = vec![objective.base(train.labels, train.weights); test.labels.len()];
            let (ours, constant) =
                (loss(&boosted, &test), objective.loss(&constant, test.labels, test.weights));
            assert!(ours < share * constant, "{objective:?}: {ours} of {constant}");
        }
    }
}

#[test]
fn a_quantile_is_exceeded_by_its_share() {
    let objective = Objective::Quantile(0.9);
    let (train, test) = (Rows::new(8000, 1, objective), Rows::new(8000, 2, objective));
    let boosted = fit(Settings { rounds: 60, ..settings(objective) }, &train.labelled(), 1);
    let predicted = boosted.predict(&test.values);
    let below = predicted
        .iter()
        .zip(&test.labels)
        .filter(|(predicted, actual)| f64::from(**actual) <= **predicted)
        .count();
    assert!((0.87..0.93).contains(&(below as f64 / 8000.0)), "{below} of 8000");
}

#[test]
fn threads_change_nothing() {
    for objective in [Objective::Squared, Objective::Logistic, Objective::Quantile(0.4)] {
        let rows = Rows::new(40_000, 3, objective);
        for (train, row_fraction) in [(rows.labelled(), 1.0), (rows.weighted(), 0.6)] {
            let settings = Settings {
                rounds: 4,
                row_fraction,
                feature_fraction: 0.8,
                node_feature_fraction: 0.5,
                ..settings(objective)
            };
            let alone = fit(settings.clone(), &train, 1);
            for threads in [2, 3, 4] {
                assert_eq!(
                    fit(settings.clone(), &train, threads),
                    alone,
                    "{objective:?} on {threads} threads"
                );
            }
        }
    }
}

/// Hashes every number of the trees by FNV-1a. It differs between architectures if any float does.
fn fingerprint(boosted: &Boosted) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    let mut add = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0100_0000_01B3);
    for tree in boosted.ensemble.described() {
        for node in &tree.nodes {
            add(node.feature.into());
            match &node.split {
                Split::AtMost(threshold) => add(threshold.to_bits().into()),
                Split::OneOf(categories) => categories.codes().for_each(|code| add(code.into())),
            }
        }
        tree.leaves.iter().for_each(|leaf| add(leaf.to_bits()));
    }
    hash
}

#[test]
fn the_same_bytes_on_every_architecture() {
    // Computed on x86_64; every other architecture has to compute the same.
    for (objective, expected) in GOLDEN_FINGERPRINTS {
        let boosted = fit(settings(objective), &Rows::new(5000, 4, objective).weighted(), 2);
        assert_eq!(fingerprint(&boosted), expected, "{objective:?}");
    }
}

const GOLDEN_FINGERPRINTS: [(Objective, u64); 3] = [
    (Objective::Squared, 4789474048906034831),
    (Objective::Logistic, 18422728249611530327),
    (Objective::Quantile(0.9), 9568714348454329387),
];

#[test]
fn whole_weights_count_as_repeated_rows() {
    let rows = Rows::new(3000, 5, Objective::Squared);
    let weights: Vec<f32> = (0..3000).map(|row| (row % 3) as f32).collect();
    let weighted = Labelled { weights: Some(&weights), ..rows.labelled() };
    let mut repeated = Rows { values: vec![], labels: vec![], weights: vec![] };
    for row in 0..3000 {
        for _ in 0..row % 3 {
            repeated.values.extend_from_slice(&rows.values[row * WIDTH..][..WIDTH]);
            repeated.labels.push(rows.labels[row]);
        }
    }
    // The limit is in weight, because a limit in rows means something else for repeated rows.
    let settings = Settings { min_child_rows: 1, min_child_weight: 30.0, ..settings(Objective::Squared) };
    let (one, two) = (fit(settings.clone(), &weighted, 1), fit(settings, &repeated.labelled(), 1));
    let (one, two) = (loss(&one, &rows.labelled()), loss(&two, &rows.labelled()));
    assert!((one / two - 1.0).abs() < 0.03, "{one} and {two}");
}

#[test]
fn a_category_is_found_whatever_its_code() {
    // The label depends only on whether the code is one of five scattered ones.
    let values: Vec<f32> = (0..4000).map(|row| (row * 31 % 40) as f32).collect();
    let is_one = |code: f32| [3.0, 8.0, 21.0, 22.0, 39.0].contains(&code);
    let labels: Vec<f32> = values.iter().map(|code| if is_one(*code) { 9.0 } else { 1.0 }).collect();
    let rows = Labelled { values: &values, n_features: 1, labels: &labels, weights: None };
    let settings =
        Settings { rounds: 1, max_leaves: 2, learning_rate: 1.0, categories: vec![0], ..Settings::default() };
    let boosted = fit(settings, &rows, 1);
    let predicted: Vec<bool> = (0..45).map(|code| boosted.predict(&[code as f32])[0] > 5.0).collect();
    let expected: Vec<bool> = (0..45).map(|code| is_one(code as f32)).collect();
    assert_eq!(predicted[..40], expected[..40]);
    let never_seen = [predicted[40], boosted.predict(&[-3.0])[0] > 5.0, boosted.predict(&[1e9])[0] > 5.0];
    assert!(never_seen.iter().all(|side| *side == never_seen[0]), "values never seen stay together");
}

#[test]
fn missing_values_part_from_all_others_if_that_is_best() {
    let values: Vec<f32> =
        (0..2000).map(|row| if row % 4 == 0 { f32::NAN } else { (row % 7) as f32 }).collect();
    let labels: Vec<f32> = values.iter().map(|value| if value.is_nan() { 5.0 } else { 0.0 }).collect();
    let rows = Labelled { values: &values, n_features: 1, labels: &labels, weights: None };
    for categories in [vec![], vec![0]] {
        let settings =
            Settings { rounds: 1, learning_rate: 1.0, category_l2: 0.0, categories, ..Settings::default() };
        let predicted = fit(settings, &rows, 1).predict(&[f32::NAN, 0.0, 6.0, f32::INFINITY]);
        for (predicted, expected) in predicted.iter().zip([5.0, 0.0, 0.0, 0.0]) {
            assert!((predicted - expected).abs() < 1e-3, "{predicted} is not {expected}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_finite_rows_give_an_ensemble(
        values in prop::collection::vec(any::<f32>(), 3..300), seed in any::<u64>(), bins in 2u32..9,
    ) {
        let n_rows = values.len() / 3;
        let labels: Vec<f32> = (0..n_rows as u64).map(|row| draw(seed, 0, row) as f32 / 1e15).collect();
        let rows = Labelled { values: &values[..n_rows * 3], n_features: 3, labels: &labels, weights: None };
        let settings = Settings { min_child_rows: 1, max_bins: bins, categories: vec![1], rounds: 5, ..Settings::default() };
        let boosted = fit(settings, &rows, 1);
        prop_assert!(boosted.predict(rows.values).iter().all(|predicted| predicted.is_finite()));
    }
}

#[test]
fn patience_keeps_the_best_rounds() {
    let (train, test) = (Rows::new(400, 6, Objective::Squared), Rows::new(400, 7, Objective::Squared));
    let settings = Settings {
        rounds: 400,
        learning_rate: 0.3,
        min_child_rows: 1,
        patience: Some(10),
        ..settings(Objective::Squared)
    };
    let params = BoostParams::new(settings).check().unwrap();
    let boosted = params.fit(&train.labelled(), Some(&test.labelled()), 1, &mut go_on).unwrap();
    let losses = &boosted.validation_losses;
    assert_eq!((boosted.ended, boosted.ensemble.n_trees()), (Ended::Patience, losses.len() - 10));
    let kept = loss(&boosted, &test.labelled());
    assert!(
        (kept - losses[losses.len() - 11]).abs() < 1e-9 && losses.iter().all(|loss| *loss >= kept - 1e-9)
    );
}

#[test]
fn control_hears_of_every_round_and_may_stop() {
    let rows = Rows::new(500, 8, Objective::Squared);
    let mut heard = Vec::new();
    let mut control = |progress: &Progress| {
        heard.push(progress.round);
        if progress.round == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let params = BoostParams::new(settings(Objective::Squared)).check().unwrap();
    let boosted = params.fit(&rows.labelled(), None, 1, &mut control).unwrap();
    assert_eq!((boosted.ended, boosted.ensemble.n_trees(), heard), (Ended::Control, 3, vec![1, 2, 3]));
    let shorter = fit(Settings { rounds: 3, ..settings(Objective::Squared) }, &rows.labelled(), 1);
    assert_eq!(shorter.ensemble, boosted.ensemble, "a fit that was stopped is that of so many rounds");
}

#[test]
fn nothing_to_tell_apart_is_a_constant() {
    let rows = Labelled { values: &[1.0; 50], n_features: 1, labels: &[3.0; 50], weights: None };
    let boosted = fit(Settings::default(), &rows, 1);
    assert_eq!((boosted.ended, boosted.ensemble.n_trees()), (Ended::NothingToSplit, 0));
    assert_eq!(boosted.predict(&[7.0]), [3.0]);
}

#[test]
fn what_cannot_be_fitted_is_refused_with_its_place() {
    let params = |settings| BoostParams::new(settings).check();
    for (settings, expected) in [
        (Settings { rounds: 0, ..Settings::default() }, "parameter rounds is 0: expected 1..=100,000"),
        (Settings { max_leaves: 1, ..Settings::default() }, "parameter max_leaves is 1"),
        (Settings { learning_rate: f64::NAN, ..Settings::default() }, "parameter learning_rate is NaN"),
        (
            Settings { node_feature_fraction: 0.0, ..Settings::default() },
            "parameter node_feature_fraction is 0",
        ),
        (Settings { row_fraction: 1.5, ..Settings::default() }, "parameter row_fraction is 1.5"),
        (Settings { objective: Objective::Quantile(1.0), ..Settings::default() }, "parameter quantile is 1"),
        (Settings { l2: -1.0, ..Settings::default() }, "parameter l2 is -1: expected 0 or more"),
    ] {
        assert!(params(settings.clone()).unwrap_err().to_string().starts_with(expected));
        assert!(BoostParams::new(settings).check_ref().is_err());
    }
    let good = Labelled { values: &[1.0, 2.0], n_features: 1, labels: &[0.0, 1.0], weights: None };
    let logistic = Settings { objective: Objective::Logistic, ..Settings::default() };
    let outside = Settings { categories: vec![4], ..Settings::default() };
    for (settings, rows, expected) in [
        (Settings::default(), Labelled { n_features: 0, ..good }, "rows without features"),
        (Settings::default(), Labelled { values: &[1.0], ..good }, "1 values for 2 labels x 1 features"),
        (Settings::default(), Labelled { values: &[], labels: &[], ..good }, "there are none"),
        (Settings::default(), Labelled { labels: &[0.0, f32::NAN], ..good }, "training row 1: label is NaN"),
        (logistic, Labelled { labels: &[0.5, 1.0], ..good }, "row 0: label is 0.5, expected 0 or 1"),
        (Settings::default(), Labelled { weights: Some(&[1.0, -1.0]), ..good }, "row 1: weight is -1"),
        (Settings::default(), Labelled { weights: Some(&[1.0]), ..good }, "1 weights for 2 labels"),
        (outside, good, "parameter categories names feature 4 of rows with 1 features"),
    ] {
        let refused = params(settings).unwrap().fit(&rows, None, 1, &mut go_on).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused:?} should say {expected:?}");
    }
}

#[test]
fn what_the_label_follows_gains_most() {
    let rows = Rows::new(4000, 10, Objective::Squared);
    let boosted = fit(settings(Objective::Squared), &rows.labelled(), 1);
    let gains = &boosted.gain_importance;
    // Variances of the label's parts: 3.5 from the first feature (and its rounding), 2 from the third, 3.6 from the
    // fourth; the last feature is noise.
    assert!(
        gains[0] + gains[1] > gains[2] && gains[3] > gains[2] && gains[2] > 100.0 * gains[4],
        "{gains:?}"
    );
}

#[test]
fn linfa_fits_and_predicts_the_same() {
    let rows = Rows::new(600, 9, Objective::Squared);
    let records = Array2::from_shape_vec((600, WIDTH), rows.values.clone()).unwrap();
    let dataset = Dataset::new(records.clone(), Array1::from(rows.labels.clone()));
    let by_linfa = BoostParams::new(settings(Objective::Squared)).fit(&dataset).unwrap();
    assert_eq!(by_linfa, fit(settings(Objective::Squared), &rows.labelled(), 1));
    assert_eq!(by_linfa.predict(&rows.values), Predict::predict(&by_linfa, &records).to_vec());
    let refused = BoostParams::new(Settings { rounds: 0, ..Settings::default() }).fit(&dataset);
    assert!(matches!(refused, Err(BoostError::Param { name: "rounds", .. })));
}

#[test]
fn leaves_remember_their_rows() {
    let rows = Rows::new(3000, 5, Objective::Squared);
    let boosted = fit(settings(Objective::Squared), &rows.labelled(), 1);
    let mut counted = vec![0u32; boosted.ensemble.n_leaves()];
    for row in rows.values.chunks_exact(WIDTH) {
        boosted.ensemble.leaves_of(row).into_iter().for_each(|leaf| counted[leaf] += 1);
    }
    assert_eq!(boosted.leaf_rows, counted);
}
