use chrono::{Datelike, Days, NaiveDate};

use super::*;
use crate::candidates::imported::{Body, Parts, Transform};
use crate::candidates::interval::Interval;
use crate::candidates::{
    Candidate, DurationModel, Estimate, FitParams, ValidationFit, Work, go_on, split_mix,
};
use crate::trip::{Trip, Zone};

fn uniform(item: u64) -> f64 {
    (split_mix(item) >> 11) as f64 / (1u64 << 53) as f64
}

/// A month of trips that take 3 minutes and `pace` a mile, and `slow` more in the Bronx; a share `tipped` of the long
/// ones is tipped.
fn month(of: &str, pace: f64, slow: f64, tipped: f64) -> LabelledTrips {
    let first: NaiveDate = format!("{of}-01").parse().unwrap();
    let mut file = LabelledTrips { month: of.parse().ok(), ..LabelledTrips::default() };
    let seed = u64::from(first.month()) << 40;
    for row in 0..8000u64 {
        let uniform = |item: u64| uniform(seed ^ (row * 7 + item));
        let miles = 0.5 + 8.0 * uniform(0);
        let bronx = row % 6 == 0;
        let pickup = first + Days::new(row % 28);
        let pickup = pickup.and_hms_opt((row % 24) as u32, 0, 0);
        let minutes = 3.0 + pace * miles + if bronx { slow } else { 0.0 } + 4.0 * uniform(1);
        file.trips.push(Trip {
            pickup_zone: Zone::new(if bronx { 3 } else { 74 }),
            dropoff_zone: Zone::new(75),
            pickup,
            distance_miles: Some(miles),
            ..Trip::default()
        });
        let is_tipped = uniform(2) < if miles > 4.0 { tipped } else { 0.2 };
        file.outcomes.push(crate::Outcome {
            dropoff: pickup.map(|at| at + chrono::TimeDelta::seconds((minutes * 60.0) as i64)),
            tip_amount: Some(f64::from(u8::from(is_tipped))),
            fare_amount: Some(10.0),
            payment_type: Some(1),
        });
    }
    file
}

fn learned(target: Target, family: Family, file: &LabelledTrips) -> Model {
    let (examples, _) = Rules::Strict.examples(target, std::slice::from_ref(file));
    let mut params = FitParams::default();
    params.boosted.rounds_max = 60;
    let mut work = Work { threads: 1, control: &mut go_on };
    Candidate::fit(target, family, &examples, &params, &mut work).unwrap().model
}

fn challenger(rows: &Holdout, name: &str, family: Family, model: &Model) -> Challenger {
    let version = ModelVersion::from_bytes(name.as_bytes());
    Challenger { version, family, scored: rows.score(model), defects: Vec::new() }
}

/// Checks the decision, on `judged`, about a boosted duration model of `new` against one of `old`.
fn check(old: &LabelledTrips, new: &LabelledTrips, judged: &LabelledTrips, promote: bool, says: &str) {
    let rows = Holdout::new(Target::Duration, std::slice::from_ref(judged));
    let champion = rows.score(&learned(Target::Duration, Family::Boosted, old));
    let version = ModelVersion::from_bytes(b"champion");
    let new = learned(Target::Duration, Family::Boosted, new);
    let new = challenger(&rows, "new", Family::Boosted, &new);
    let decision = decide(&rows, Some((&version, &champion)), vec![new], &PromotionPolicy::default());
    assert_eq!(decision.promote.is_some(), promote, "{decision:#?}");
    assert!(decision.reason.contains(says), "{:?} should say {says:?}", decision.reason);
}

#[test]
fn clearly_better_is_promoted_and_alike_or_worse_is_not() {
    let (before, after) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.6, 0.0, 0.9));
    let judged = month("2023-03", 3.6, 0.0, 0.9);
    check(&before, &after, &judged, true, "promoted: rmse");
    check(&after, &before, &judged, false, "kept the champion");
    let alike = month("2023-02", 3.0, 0.0, 0.9);
    check(
        &before,
        &alike,
        &month("2023-03", 3.0, 0.0, 0.9),
        false,
        "than the champion, expected at least 1.0 % better",
    );
}

#[test]
fn a_slice_that_is_surely_worse_vetoes() {
    // The model of the new pace is better overall, but has not seen the Bronx slow down.
    let (before, after) = (month("2023-01", 3.0, 8.0, 0.9), month("2023-02", 4.2, 0.0, 0.9));
    check(
        &before,
        &after,
        &month("2023-03", 4.2, 8.0, 0.9),
        false,
        "worse where pickup_borough is Bronx (1334 trips)",
    );
}

#[test]
fn narrow_intervals_are_no_way_to_become_champion() {
    let (before, after) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.6, 0.0, 0.9));
    let rows = Holdout::new(Target::Duration, &[month("2023-03", 3.6, 0.0, 0.9)]);
    let (old, new) = [before, after].map(|file| learned(Target::Duration, Family::Boosted, &file)).into();
    let version = ModelVersion::from_bytes(b"champion");
    let decide_with = |of_champion: f64, of_new: f64| {
        let (mut champion, mut new) = (rows.score(&old), challenger(&rows, "new", Family::Boosted, &new));
        for (score, found) in [(&mut champion, of_champion), (&mut new.scored, of_new)] {
            let Figures::Duration { coverage, .. } = &mut score.metrics.figures else { panic!() };
            *coverage = found;
        }
        decide(&rows, Some((&version, &champion)), vec![new], &PromotionPolicy::default())
    };
    let refused = decide_with(0.9, 0.7);
    assert_eq!(refused.promote, None);
    let why = "its intervals contain 70.0 % of the trips, the champion's 90.0 %: expected about 90 %";
    assert_eq!(refused.challengers[0].objections, [why]);
    for (of_champion, of_new) in [(0.9, 0.86), (0.71, 0.7), (0.5, 0.7)] {
        assert!(decide_with(of_champion, of_new).promote.is_some(), "{of_champion} {of_new}");
    }
}

#[test]
fn without_a_champion_the_best_sound_one_becomes_it() {
    let (learn, judged) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.0, 0.0, 0.9));
    let rows = Holdout::new(Target::Duration, std::slice::from_ref(&judged));
    let challengers = || {
        [Family::Linear, Family::Boosted]
            .map(|family| {
                challenger(&rows, family.name(), family, &learned(Target::Duration, family, &learn))
            })
            .into()
    };
    let decision = decide(&rows, None, challengers(), &PromotionPolicy::default());
    assert_eq!(decision.challengers.len(), 2);
    let best = decision.promote.clone().unwrap();
    assert_eq!(best, decision.challengers[0].version, "{}", decision.reason);
    assert!(decision.reason.starts_with("first champion: rmse"), "{}", decision.reason);
    let mut defective: Vec<Challenger> = challengers();
    for one in &mut defective {
        one.defects.push("it is too large".into());
    }
    let refused = decide(&rows, None, defective, &PromotionPolicy::default());
    assert_eq!(refused.promote, None);
    assert!(refused.reason.starts_with("refused: rmse") && refused.reason.ends_with("it is too large"));
    assert_eq!(decide(&rows, None, Vec::new(), &PromotionPolicy::default()).reason, "there is no challenger");
}

/// A model of constant predictions, as a broken export would give.
fn constant(minutes: f64) -> Model {
    let parts = Parts {
        source: "an export that went wrong".into(),
        columns: Vec::new(),
        body: Body::Linear { coefficients: Vec::new(), intercept: minutes },
        divisor: 1.0,
        link: trees::import::Link::Identity,
        transform: Transform::None,
        scale: 1.0,
    };
    let estimate = Estimate::Imported(parts.try_into().unwrap());
    Model::Duration(DurationModel { estimate, interval: Interval::constant(5.0) })
}

#[test]
fn a_broken_model_is_refused_with_the_reason() {
    let judged = month("2023-02", 3.0, 0.0, 0.9);
    let rows = Holdout::new(Target::Duration, std::slice::from_ref(&judged));
    for (minutes, says) in [
        (0.0, "its mean prediction is 0.000"),
        (0.19, "its mean prediction is 0.190"),
        (17.0, "hardly differ"),
    ] {
        let broken = challenger(&rows, "broken", Family::Imported, &constant(minutes));
        let decision = decide(&rows, None, vec![broken], &PromotionPolicy::default());
        assert_eq!(decision.promote, None, "{minutes}");
        assert!(decision.reason.contains(says), "{:?} should say {says:?}", decision.reason);
    }
}

#[test]
fn tips_have_to_beat_the_tree_that_can_be_read() {
    let (learn, judged) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.0, 0.0, 0.9));
    let rows = Holdout::new(Target::Tip, std::slice::from_ref(&judged));
    let tree = learned(Target::Tip, Family::Tree, &learn);
    // This model learned from a month in which long trips were tipped as rarely as short ones.
    let worse = learned(Target::Tip, Family::Boosted, &month("2023-01", 3.0, 0.0, 0.2));
    let both = vec![
        challenger(&rows, "worse", Family::Boosted, &worse),
        challenger(&rows, "tree", Family::Tree, &tree),
    ];
    let decision = decide(&rows, None, both, &PromotionPolicy::default());
    assert_eq!(decision.promote, Some(ModelVersion::from_bytes(b"tree")));
    let objections = &decision.challengers[1].objections;
    assert!(objections.iter().any(|one| one.contains("no better than the tree")), "{objections:?}");
}

#[test]
fn the_same_model_again_changes_nothing() {
    let (learn, judged) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.0, 0.0, 0.9));
    let rows = Holdout::new(Target::Duration, std::slice::from_ref(&judged));
    let model = learned(Target::Duration, Family::Linear, &learn);
    let (version, scored) = (ModelVersion::from_bytes(b"same"), rows.score(&model));
    let again = challenger(&rows, "same", Family::Linear, &model);
    let decision = decide(&rows, Some((&version, &scored)), vec![again], &PromotionPolicy::default());
    assert!(
        decision.promote.is_none() && decision.reason.contains("champion already"),
        "{}",
        decision.reason
    );
}

#[test]
fn a_validation_fit_does_not_see_what_it_predicts() {
    // The labels of the later month are inverted: the model, and so its predictions, stay the same.
    let (learn, later) = (month("2023-01", 3.0, 0.0, 0.9), month("2023-02", 3.0, 0.0, 0.9));
    let examples = |file| Rules::Strict.examples(Target::Duration, std::slice::from_ref(file)).0;
    let (learn, later) = (examples(&learn), examples(&later));
    let turned = Examples {
        trips: later.trips.clone(),
        labels: later.labels.iter().map(|actual| 61.0 - actual).collect(),
    };
    let validate = |later: &Examples| {
        let mut work = Work { threads: 1, control: &mut go_on };
        let params = FitParams::default();
        ValidationFit::validate(Target::Duration, Family::Linear, &learn, later, &params, &mut work).unwrap()
    };
    let (straight, turned) = (validate(&later), validate(&turned));
    assert_eq!(straight.predicted(), turned.predicted());
    assert!(straight.loss < 2.0 && turned.loss > 10.0);
}
