use chrono::{Days, NaiveDate};

use super::rows::{COMMON_FEATURES, DURATION_FEATURES, MONTH, TIP_FEATURES, is_hidden, weights_by_age};
use super::*;
use crate::candidates::{Candidate, Family, Model, TipEstimate, TipModel, go_on, split_mix};
use crate::explanation::ModelExplainer;
use crate::trip::{Trip, Zone};

/// 4,000 made-up trips over 20 days between zones that have centroids: 3 minutes and 3 a mile, slower at eight o'clock,
/// with noise; about every tenth states no distance.
fn examples(target: Target) -> Examples {
    let mut examples = Examples::default();
    for row in 0..4000u64 {
        let uniform = |item: u64| (split_mix(row * 17 + item) >> 11) as f64 / (1u64 << 53) as f64;
        let zone = |item| Zone::new(40 + (uniform(item) * 40.0) as u16);
        let miles = 0.5 + uniform(3) * 9.0;
        let day = NaiveDate::from_ymd_opt(2023, 1, 1).unwrap() + Days::new(row % 20);
        let hour = (uniform(4) * 24.0) as u32;
        let minutes = 3.0 + 3.0 * miles + if hour == 8 { 6.0 } else { 0.0 } + uniform(5);
        examples.trips.push(Trip {
            pickup_zone: zone(1),
            dropoff_zone: zone(2),
            pickup: day.and_hms_opt(hour, 0, 0),
            distance_miles: (uniform(7) > 0.1).then_some(miles),
            ..Trip::default()
        });
        examples.labels.push(match target {
            Target::Duration => minutes,
            Target::Tip => f64::from(u8::from(uniform(6) < if miles > 4.0 { 0.9 } else { 0.2 })),
        });
    }
    examples
}

fn fit(target: Target, examples: &Examples, params: &FitParams, threads: usize) -> Model {
    let mut work = Work { threads, control: &mut go_on };
    Candidate::fit(target, Family::Boosted, examples, params, &mut work).unwrap().model
}

fn minutes(model: &Model, trips: &[Trip]) -> Vec<f64> {
    let Model::Duration(model) = model else { panic!("a duration model") };
    model.predict(trips).minutes
}

#[test]
fn durations_are_learned_and_the_interval_covers() {
    let examples = examples(Target::Duration);
    let model = fit(Target::Duration, &examples, &FitParams::default(), 1);
    let predicted = minutes(&model, &examples.trips);
    let stated = |row: &usize| examples.trips[*row].distance_miles.is_some();
    let strays =
        (0..predicted.len()).filter(stated).map(|row| (predicted[row] - examples.labels[row]).powi(2));
    let strays: Vec<f64> = strays.collect();
    let rmse = (strays.iter().sum::<f64>() / strays.len() as f64).sqrt();
    assert!(rmse < 1.0, "rmse {rmse}");
    let Model::Duration(model) = &model else { panic!("a duration model") };
    let answers = model.predict(&examples.trips);
    let inside = (0..predicted.len())
        .filter(|&row| (answers.lower_min[row]..=answers.upper_min[row]).contains(&examples.labels[row]));
    let inside = inside.count();
    assert!((3500..=3960).contains(&inside), "{inside} of 4000");
}

#[test]
fn squares_of_roots_are_right_on_average() {
    let examples = examples(Target::Duration);
    let predicted = minutes(&fit(Target::Duration, &examples, &FitParams::default(), 1), &examples.trips);
    let mean = |minutes: &[f64]| minutes.iter().sum::<f64>() / minutes.len() as f64;
    assert!((mean(&predicted) / mean(&examples.labels) - 1.0).abs() < 0.005);
}

#[test]
fn the_newest_days_weigh_most() {
    let mut examples = examples(Target::Duration);
    // The last quarter of the days takes twice as long.
    for (trip, label) in examples.trips.iter().zip(&mut examples.labels) {
        *label *= if trip.pickup.unwrap().date().to_string().as_str() > "2023-01-15" { 2.0 } else { 1.0 };
    }
    let predicted = minutes(&fit(Target::Duration, &examples, &FitParams::default(), 1), &examples.trips);
    let mean = |minutes: &[f64]| minutes.iter().sum::<f64>() / minutes.len() as f64;
    assert!(
        mean(&predicted) > mean(&examples.labels) * 1.01,
        "{} and {}",
        mean(&predicted),
        mean(&examples.labels)
    );
    let weights = weights_by_age(&examples.trips);
    let newest = weights.iter().copied().fold(0.0, f32::max);
    let oldest = weights.iter().copied().fold(1.0, f32::min);
    assert_eq!(newest, 1.0);
    // 19 days of 20, with a half-life of 45 and half of those.
    assert!((f64::from(oldest) - 2f64.powf(-19.0 / (45.0 + 9.5))).abs() < 1e-6, "{oldest}");
    assert_eq!(weights_by_age(&[Trip::default(); 2]), [1.0, 1.0]);
}

#[test]
fn rounds_go_on_while_the_loss_hardly_changes() {
    assert_eq!(rounds_within_slack(&[3.0, 2.0, 1.0, 1.0005, 1.0009, 1.1]), 5);
    assert_eq!(rounds_within_slack(&[3.0, 2.0]), 2);
    assert_eq!(rounds_within_slack(&[]), 0);
}

#[test]
fn a_code_that_training_did_not_see_is_read_as_missing() {
    let mut examples = examples(Target::Duration);
    let vendor = |row: usize| Some(1 + (row % 2) as u8);
    examples.trips.iter_mut().enumerate().for_each(|(row, trip)| trip.vendor = vendor(row));
    (0..20).for_each(|row| {
        examples.trips[row].vendor = Some(6);
        examples.labels[row] = 59.5;
    });
    let model = fit(Target::Duration, &examples, &FitParams::default(), 1);
    let with = |vendor| examples.trips.iter().map(|trip| Trip { vendor, ..*trip }).collect::<Vec<_>>();
    let missing = minutes(&model, &with(None));
    assert_eq!(minutes(&model, &with(Some(6))), missing);
    assert_eq!(minutes(&model, &with(Some(200))), missing);
}

#[test]
fn tips_are_probabilities() {
    let examples = examples(Target::Tip);
    let Model::Tip(model @ TipModel { estimate: TipEstimate::Boosted(_), .. }) =
        fit(Target::Tip, &examples, &FitParams::default(), 1)
    else {
        panic!("boosted trees for tips")
    };
    let predicted = model.probabilities(&examples.trips);
    assert!(predicted.iter().all(|p| (0.0..=1.0).contains(p)));
    let mean = |long: bool| {
        let rows = (0..4000).filter(|&row| {
            examples.trips[row]
                .distance_miles
                .is_some_and(|miles| (miles > 4.5) == long && (miles < 3.5) != long)
        });
        let of: Vec<f64> = rows.map(|row| predicted[row]).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let (long, short) = (mean(true), mean(false));
    assert!((long - 0.9).abs() < 0.04 && (short - 0.2).abs() < 0.08, "{long} and {short}");
}

#[test]
fn the_model_depends_on_seed_and_rows_but_not_on_threads() {
    let examples = examples(Target::Duration);
    let params = FitParams::default();
    let one = fit(Target::Duration, &examples, &params, 1);
    assert_eq!(one, fit(Target::Duration, &examples, &params, 3));
    assert_ne!(one, fit(Target::Duration, &examples, &FitParams { seed: 7, ..params }, 1));
}

#[test]
fn what_is_held_out_has_no_say_in_a_fit_of_the_other_days() {
    let examples = examples(Target::Duration);
    let held_out: Vec<usize> = (0..examples.len()).filter(|&row| is_held_out(&examples, row)).collect();
    assert_eq!(held_out.len(), 800, "a fifth of the days");
    let days: std::collections::BTreeSet<_> =
        held_out.iter().map(|&row| examples.trips[row].pickup.unwrap().date()).collect();
    let others = (0..examples.len()).filter(|&row| !is_held_out(&examples, row));
    assert!(others.into_iter().all(|row| !days.contains(&examples.trips[row].pickup.unwrap().date())));

    // Labels of the held-out days are turned upside down: they may change the number of rounds, but not what a round learns.
    let (learn, later) = (
        examples.filter(|row| !is_held_out(&examples, row)),
        examples.filter(|row| is_held_out(&examples, row)),
    );
    let turned = later.labels.iter().map(|actual| 61.0 - actual).collect();
    let turned = Examples { trips: later.trips.clone(), labels: turned };
    let mut params = FitParams::default();
    params.boosted.rounds_max = 1;
    let learned = |later: &Examples| {
        let mut work = Work { threads: 1, control: &mut go_on };
        let stopped = BoostedTrees::stopped(Target::Duration, &learn, later, &params, &mut work).unwrap();
        (stopped.trees.predict_features(&FeatureRows::from_trips(&learn.trips).values), stopped.losses)
    };
    let (straight, upside_down) = (learned(&later), learned(&turned));
    assert_eq!(straight.0, upside_down.0);
    assert_ne!(straight.1, upside_down.1, "they are what the round is measured on");
}

#[test]
fn few_examples_and_few_days_are_still_learned() {
    let all = examples(Target::Duration);
    let one_day = all.filter(|row| row % 20 == 3);
    let model = fit(Target::Duration, &one_day, &FitParams::default(), 1);
    assert!(minutes(&model, &one_day.trips).iter().all(|minutes| (1.0..=60.0).contains(minutes)));
    let three = all.filter(|row| row < 3);
    assert_eq!(minutes(&fit(Target::Duration, &three, &FitParams::default(), 1), &three.trips).len(), 3);
    let mut work = Work { threads: 1, control: &mut go_on };
    let one_class = Examples { labels: vec![1.0; 4000], ..examples(Target::Tip) };
    let refused = Candidate::fit(Target::Tip, Family::Boosted, &one_class, &FitParams::default(), &mut work);
    assert!(matches!(refused, Err(FitError::OneClass { rows: 4000, .. })));
}

#[test]
fn a_share_of_the_distances_is_hidden() {
    let params = FitParams::default();
    let hidden = (0..20_000).filter(|&row| is_hidden(&params, row)).count();
    assert!((900..1100).contains(&hidden), "{hidden}");
    let none = BoostedParams { hidden_distance_share: 0.0, ..BoostedParams::default() };
    assert!((0..100).all(|row| !is_hidden(&FitParams { boosted: none.clone(), ..params.clone() }, row)));
}

#[test]
fn contributions_add_up_to_the_answer() {
    for target in [Target::Duration, Target::Tip] {
        let examples = examples(target);
        let model = fit(target, &examples, &FitParams::default(), 1);
        let explainer = ModelExplainer::new(&model).unwrap();
        let trips = crate::trip::select(&examples.trips, &(0..4000).step_by(40).collect::<Vec<_>>());
        let answers = match &model {
            Model::Duration(model) => model.predict(&trips).minutes,
            Model::Tip(TipModel { estimate: TipEstimate::Boosted(trees), .. }) => trees.predict(&trips),
            Model::Tip(_) => panic!("boosted trees"),
        };
        for (explanation, answer) in explainer.explain(&trips).iter().zip(answers) {
            let predicted = match target {
                Target::Duration => explanation.sum.clamp(1.0, 60.0),
                Target::Tip => 1.0 / (1.0 + (-explanation.sum).exp()),
            };
            assert!((predicted - answer).abs() < 1e-9, "{explanation:?} is not {answer}");
            let added: f64 = explanation.contributions.iter().map(|of| of.adds).sum();
            assert!((explanation.expected + added - explanation.sum).abs() < 1e-9);
        }
        let most = explainer.importance(&trips);
        assert_eq!(most[0].feature, "distance_miles", "{most:?}");
    }
}

#[test]
fn only_boosted_trees_are_explained() {
    let examples = examples(Target::Duration);
    let mut work = Work { threads: 1, control: &mut go_on };
    let linear =
        Candidate::fit(Target::Duration, Family::Linear, &examples, &FitParams::default(), &mut work)
            .unwrap();
    let refused = ModelExplainer::new(&linear.model).unwrap_err();
    assert_eq!(refused.to_string(), "a linear model is not explained by feature: expected a boosted one");
}

/// A feature that nobody names here would be computed and never read.
#[test]
fn every_feature_is_read() {
    let read: Vec<&str> =
        COMMON_FEATURES.into_iter().chain([MONTH]).chain(DURATION_FEATURES).chain(TIP_FEATURES).collect();
    assert!(read.iter().all(|name| features::NAMES.contains(name)), "{read:?}");
    let unread: Vec<&str> = features::NAMES.into_iter().filter(|name| !read.contains(name)).collect();
    assert!(unread.is_empty(), "{unread:?}");
}
