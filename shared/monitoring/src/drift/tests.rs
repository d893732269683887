use proptest::prelude::*;
use serde::Deserialize;

use super::statistics::{
    Kind, chi_square, hellinger, jensen_shannon, kolmogorov_smirnov, population_stability_index, proportions,
    wasserstein_normed,
};
use super::*;
use crate::Profile;

/// Values that Evidently and scipy computed; the file names their versions.
#[derive(Deserialize)]
struct Golden {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    kind: String,
    reference: Vec<(f64, u64)>,
    current: Vec<(f64, u64)>,
    figures: Figures,
}

#[derive(Deserialize)]
struct Figures {
    wasserstein: f64,
    jensen_shannon: f64,
    psi: f64,
    hellinger: f64,
    ks: (f64, f64),
    chi_square: Option<(f64, f64)>,
    proportions_p: Option<f64>,
    default: String,
}

fn assert_near(found: Option<f64>, expected: f64, about: &str) {
    let found = found.unwrap_or_else(|| panic!("{about}: nothing, expected {expected}"));
    assert!(
        (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
        "{about}: {found}, expected {expected}"
    );
}

#[test]
fn statistics_are_those_of_evidently_and_scipy() {
    let golden: Golden = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(golden.pairs.len(), 12);
    for Pair { name, kind, reference, current, figures } in golden.pairs {
        let kind = if kind == "num" { Kind::Numeric } else { Kind::Categorical };
        let (one, other) = (Distribution::new(reference), Distribution::new(current));
        let about = |statistic: &str| format!("{name}, {statistic}");
        assert_near(wasserstein_normed(&one, &other), figures.wasserstein, &about("Wasserstein"));
        assert_near(jensen_shannon(kind, &one, &other), figures.jensen_shannon, &about("Jensen-Shannon"));
        assert_near(population_stability_index(kind, &one, &other), figures.psi, &about("PSI"));
        assert_near(hellinger(kind, &one, &other), figures.hellinger, &about("Hellinger"));
        let ks = kolmogorov_smirnov(&one, &other);
        assert_near(ks.map(|test| test.statistic), figures.ks.0, &about("Kolmogorov-Smirnov"));
        assert_near(ks.map(|test| test.p), figures.ks.1, &about("its p"));
        if let Some((statistic, p)) = figures.chi_square {
            assert_near(chi_square(&one, &other).map(|test| test.statistic), statistic, &about("chi-square"));
            assert_near(chi_square(&one, &other).map(|test| test.p), p, &about("its p"));
        }
        if let Some(p) = figures.proportions_p {
            assert_near(proportions(&one, &other).map(|test| test.p), p, &about("proportions"));
        }
        let method = match figures.default.as_str() {
            "wasserstein" => Method::Wasserstein,
            "jensenshannon" => Method::JensenShannon,
            "ks" => Method::KolmogorovSmirnov,
            "chisquare" => Method::ChiSquare,
            _ => Method::Proportions,
        };
        assert_eq!(Method::by_default(kind, &one, &other), method, "{name}");
    }
}

/// Beyond the products that are counted exactly, probabilities are those of the limit, which lies near.
#[test]
fn the_limit_of_a_probability_is_near_the_exact_one() {
    let of = |shift: u64| Distribution::new((0..1000).map(move |at| ((at + shift) as f64, 30)));
    for shift in [5, 8, 10] {
        let exact = kolmogorov_smirnov(&of(0), &of(shift)).unwrap().p;
        let many = Distribution::new((0..1000).map(move |at| ((at + shift) as f64, 40_000)));
        let limit = kolmogorov_smirnov(&of(0), &many).unwrap();
        assert!(limit.p < exact && exact < 1.0, "{shift}: {exact}, {limit:?}");
    }
}

#[test]
fn what_is_missing_has_no_figure_but_a_reason() {
    let none = Profile::default();
    let drift = DatasetDrift::between(&none, &none);
    assert!(drift.columns.is_empty() && drift.drifted_share.is_none() && !drift.is_drift);
    assert!(drift.not_compared.iter().all(|(_, reason)| reason == "no values on either side"));
    assert_eq!(drift.not_compared.len(), 13);
}

#[test]
fn a_new_code_is_named_with_its_rows() {
    let vendors = |rows: &[(i32, u64)]| {
        let mut profile = Profile::default();
        rows.iter().for_each(|(vendor, rows)| profile.vendors.add(*vendor, *rows));
        profile
    };
    let drift = DatasetDrift::between(&vendors(&[(1, 900), (2, 900)]), &vendors(&[(2, 800), (6, 40)]));
    let [vendor] = drift.columns.as_slice() else { panic!("{drift:?}") };
    assert_eq!(
        (vendor.new_codes.as_slice(), vendor.missing_codes.as_slice()),
        (&[(6.0, 40)][..], &[(1.0, 900)][..])
    );
    assert!(vendor.is_drift && vendor.figure.is_finite(), "{vendor:?}");
    let moved: Vec<f64> = vendor.moved.iter().map(|moved| moved.code).collect();
    assert_eq!((moved, vendor.means), (vec![1.0, 2.0, 6.0], None));
}

proptest! {
    #[test]
    fn nothing_is_far_from_itself_and_all_figures_are_finite(
        rows in prop::collection::vec((-50i32..50, 1u64..40), 1..40),
        others in prop::collection::vec((-50i32..50, 1u64..40), 1..40),
    ) {
        let of = |rows: &[(i32, u64)]| Distribution::new(rows.iter().map(|(value, rows)| (f64::from(*value) / 4.0, *rows)));
        let (one, other) = (of(&rows), of(&others));
        for kind in [Kind::Numeric, Kind::Categorical] {
            for statistic in [jensen_shannon, population_stability_index, hellinger] {
                prop_assert_eq!(statistic(kind, &one, &one), Some(0.0));
                prop_assert!(statistic(kind, &one, &other).is_some_and(|figure| figure.is_finite() && figure >= -1e-12));
            }
        }
        prop_assert_eq!(wasserstein_normed(&one, &one), Some(0.0));
        prop_assert!(wasserstein_normed(&one, &other).is_some_and(f64::is_finite));
        let p = kolmogorov_smirnov(&one, &other).map(|test| test.p);
        prop_assert!(p.is_some_and(|p| (0.0..=1.0).contains(&p)));
        prop_assert_eq!(kolmogorov_smirnov(&one, &one).map(|test| test.statistic), Some(0.0));
    }
}
