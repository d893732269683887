//! Decides which challenger becomes champion, if any: a pure function from scores on the same rows to a decision.
//!
//! A challenger has to be sound ([`sanity`]), clearly better overall, and clearly worse in no slice. Clearly means: by
//! a bootstrap over days ([`bootstrap`]), since trips of one day share its weather and its traffic.

mod bootstrap;
mod sanity;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::artifact::ModelVersion;
use crate::candidates::boosted::day_number;
use crate::candidates::{Family, Model};
use crate::evaluation::{Predictions, slices_of};
use crate::outcome::{Examples, LabelledTrips, Target};
use crate::performance::{Figures, Loss, Metrics, or_nan};
use crate::rules::Rules;
use bootstrap::PairedLosses;
pub(crate) use bootstrap::Resamples;

/// How much better a challenger has to be, and on which slices it must not be worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromotionPolicy {
    /// Least improvement, as a share of the champion's metric.
    pub improvement_min: f64,
    /// Confidence that it is better at all; the error is split among the challengers (Bonferroni 1936).
    pub confidence: f64,
    /// Slices with fewer rows are not compared.
    pub slice_rows_min: usize,
    /// A slice vetoes if it is surely worse by more than this share.
    pub slice_loss_max: f64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Default for PromotionPolicy {
    fn default() -> Self {
        Self {
            improvement_min: 0.01,
            confidence: 0.95,
            slice_rows_min: 1000,
            slice_loss_max: 0.02,
            resamples: 2000,
            seed: 42,
        }
    }
}

/// The rows that all models are judged on, chosen by [`Rules::Course`], with their days and slices.
#[derive(Debug)]
pub struct Holdout {
    pub(crate) target: Target,
    pub(crate) examples: Examples,
    /// Number of each row's day, `0..n_days`.
    pub(crate) days: Vec<usize>,
    pub(crate) n_days: usize,
    pub(crate) slices: BTreeMap<(&'static str, &'static str), Vec<usize>>,
}

/// How a model does on the holdout.
#[derive(Debug)]
pub struct HoldoutScore {
    /// Its metrics.
    pub metrics: Metrics,
    pub(crate) losses: Vec<f64>,
    unsound: Vec<String>,
}

/// A challenger with its score.
#[derive(Debug)]
pub struct Challenger {
    /// Its version.
    pub version: ModelVersion,
    /// Its family.
    pub family: Family,
    /// Its score on the holdout.
    pub scored: HoldoutScore,
    /// Other defects, found when it was loaded and timed.
    pub defects: Vec<String>,
}

/// A challenger compared with the champion on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Improvement as a share of the champion's metric; negative if worse.
    #[serde(deserialize_with = "or_nan")]
    pub improvement: f64,
    /// Lower bound of the improvement, at [`PromotionPolicy::confidence`].
    #[serde(deserialize_with = "or_nan")]
    pub improvement_bound: f64,
    /// The slices with enough rows.
    pub slices: Vec<SliceComparison>,
}

/// The same comparison in one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceComparison {
    /// What the rows are grouped by.
    pub by: String,
    /// The group.
    pub value: String,
    /// How many rows.
    pub rows: u64,
    /// Share by which the challenger is worse there; negative where it is better.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// Lower bound of that share.
    #[serde(deserialize_with = "or_nan")]
    pub loss_bound: f64,
}

/// The assessment of one challenger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The challenger.
    pub version: ModelVersion,
    /// Its family.
    pub family: Family,
    /// Its metrics.
    pub metrics: Metrics,
    /// The comparison with the champion, if there is one.
    pub comparison: Option<PairedComparison>,
    /// Why it cannot become champion; empty if it can.
    pub objections: Vec<String>,
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The version that becomes champion, if any.
    pub promote: Option<ModelVersion>,
    /// The reasons, for people and the record.
    pub reason: String,
    /// Every challenger, the best metric first.
    pub challengers: Vec<Assessment>,
}

impl Decision {
    /// Returns the assessment of challenger `version`.
    pub fn assessment(&self, version: &ModelVersion) -> Option<&Assessment> {
        self.challengers.iter().find(|one| one.version == *version)
    }
}

impl Holdout {
    /// Collects the rows of `files` that [`Rules::Course`] keeps.
    pub fn new(target: Target, files: &[LabelledTrips]) -> Self {
        // A defect of labels would speak for the model that learned it.
        let (examples, _) = Rules::Course.learned(target, files);
        let numbers: Vec<i32> = (0..examples.len()).map(|row| day_number(&examples.trips, row)).collect();
        let known: Vec<i32> = numbers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let days = numbers.iter().map(|day| known.binary_search(day).unwrap_or_default()).collect();
        let mut slices: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (row, trip) in examples.trips.iter().enumerate() {
            slices_of(trip).into_iter().for_each(|slice| slices.entry(slice).or_default().push(row));
        }
        Self { target, examples, days, n_days: known.len(), slices }
    }

    /// Returns the target to predict.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Scores the predictions of `model`.
    pub fn score(&self, model: &Model) -> HoldoutScore {
        let predictions = Predictions::new(model, &self.examples.trips, 0);
        let (predicted, labels) = (predictions.values(), &self.examples.labels);
        let loss = Loss::of_target(self.target);
        let rows = predicted.iter().zip(labels);
        HoldoutScore {
            losses: rows.map(|(predicted, actual)| loss.row(*predicted, *actual)).collect(),
            unsound: sanity::objections(model, predicted, &self.examples),
            metrics: predictions.measure(labels, 0..labels.len()),
        }
    }

    /// Compares `challenger`, one of a number of `challengers`, with `champion`.
    pub fn compare(
        &self,
        champion: &HoldoutScore,
        challenger: &HoldoutScore,
        challengers: usize,
        policy: &PromotionPolicy,
    ) -> PairedComparison {
        let loss = Loss::of_target(self.target);
        let tail = (1.0 - policy.confidence) / challengers.max(1) as f64;
        let resamples = Resamples::new(self.n_days, policy.resamples, policy.seed);
        let by_day = |rows: &mut dyn Iterator<Item = usize>| {
            let mut by_day = vec![PairedLosses::default(); self.n_days];
            for row in rows {
                let sums = &mut by_day[self.days[row]];
                sums.champion += champion.losses[row];
                sums.challenger += challenger.losses[row];
            }
            by_day
        };
        let better = resamples.improvement(&by_day(&mut (0..self.days.len())), loss, tail);
        let slice = |((by, value), rows): (&(&str, &str), &Vec<usize>)| {
            let worse = resamples.improvement(&by_day(&mut rows.iter().copied()), loss, tail);
            SliceComparison {
                by: by.to_string(),
                value: value.to_string(),
                rows: rows.len() as u64,
                loss: -worse.estimate,
                loss_bound: -worse.upper,
            }
        };
        let counted = self.slices.iter().filter(|(_, rows)| rows.len() >= policy.slice_rows_min);
        PairedComparison {
            improvement: better.estimate,
            improvement_bound: better.lower,
            slices: counted.map(slice).collect(),
        }
    }
}

/// Judges `challengers` against the champion, all on `rows`. Without a champion, the best sound one is promoted. Tip
/// models must beat the linfa-trees tree among them, which can be read: it is the floor.
pub fn decide(
    rows: &Holdout,
    champion: Option<(&ModelVersion, &HoldoutScore)>,
    challengers: Vec<Challenger>,
    policy: &PromotionPolicy,
) -> Decision {
    let figure = |metrics: &Metrics| metrics.figures.deciding().1;
    let floor = challengers.iter().find(|one| one.family == Family::Tree);
    let floor = floor.map(|tree| (figure(&tree.scored.metrics), tree.version.clone()));
    let n_challengers = challengers.len();
    let mut assessed: Vec<Assessment> = challengers
        .into_iter()
        .map(|one| {
            let comparison =
                champion.map(|(_, champion)| rows.compare(champion, &one.scored, n_challengers, policy));
            let mut objections = one.defects;
            objections.extend(one.scored.unsound.iter().cloned());
            if let Some((_, tree)) = floor
                .as_ref()
                .filter(|(floor, tree)| *tree != one.version && figure(&one.scored.metrics) >= *floor)
            {
                objections.push(format!("no better than the tree {tree}"));
            }
            if champion.is_some_and(|(version, _)| *version == one.version) {
                objections.push("it is the champion already: the same data gave the same model".into());
            } else if let Some(comparison) = &comparison {
                objections.extend(comparison.objections(policy));
                objections.extend(champion.and_then(|(_, champion)| too_narrow(champion, &one.scored)));
            }
            let Challenger { version, family, scored: HoldoutScore { metrics, .. }, .. } = one;
            Assessment { version, family, metrics, comparison, objections }
        })
        .collect();
    assessed.sort_by(|a, b| figure(&a.metrics).total_cmp(&figure(&b.metrics)));
    let chosen = assessed.iter().find(|one| one.objections.is_empty());
    Decision {
        promote: chosen.map(|one| one.version.clone()),
        reason: reason(chosen, champion.map(|(_, champion)| &champion.metrics), &assessed),
        challengers: assessed,
    }
}

/// Coverage of intervals on the holdout below which a duration model has to be about as good as the champion: they are to contain 90 %.
const COVERAGE_MIN: f64 = 0.85;
/// By how much its coverage may then be below the champion's.
const COVERAGE_LOSS_MAX: f64 = 0.02;

/// Objects to intervals that contain clearly fewer trips than they are to and than the champion's do. Where those of both fail, as in a month
/// unlike any before, the better minutes decide.
fn too_narrow(champion: &HoldoutScore, challenger: &HoldoutScore) -> Option<String> {
    let coverage = |score: &HoldoutScore| match score.metrics.figures {
        Figures::Duration { coverage, .. } => Some(coverage),
        Figures::Tip { .. } => None,
    };
    let (of_champion, found) = (coverage(champion)?, coverage(challenger)?);
    let is_narrow = found < COVERAGE_MIN && found < of_champion - COVERAGE_LOSS_MAX;
    is_narrow.then(|| {
        format!(
            "its intervals contain {:.1} % of the trips, the champion's {:.1} %: expected about 90 %",
            100.0 * found,
            100.0 * of_champion
        )
    })
}

impl PairedComparison {
    fn objections(&self, policy: &PromotionPolicy) -> Vec<String> {
        let mut objections = Vec::new();
        if self.improvement < policy.improvement_min {
            objections.push(format!(
                "{} than the champion, expected at least {:.1} % better",
                better(self.improvement),
                100.0 * policy.improvement_min
            ));
        } else if self.improvement_bound <= 0.0 {
            objections.push(format!(
                "{} than the champion, but perhaps by chance: the bound is {:.2} %",
                better(self.improvement),
                100.0 * self.improvement_bound
            ));
        }
        let veto = |slice: &&SliceComparison| slice.loss_bound > policy.slice_loss_max;
        objections.extend(self.slices.iter().filter(veto).map(|slice| {
            format!(
                "{:.1} % worse where {} is {} ({} trips), surely {:.1} %",
                100.0 * slice.loss,
                slice.by,
                slice.value,
                slice.rows,
                100.0 * slice.loss_bound
            )
        }));
        objections
    }
}

fn better(share: f64) -> String {
    let word = if share < 0.0 { "worse" } else { "better" };
    format!("{:.2} % {word}", 100.0 * share.abs())
}

fn reason(chosen: Option<&Assessment>, champion: Option<&Metrics>, assessed: &[Assessment]) -> String {
    let figure_of = |metrics: &Metrics| {
        let (name, figure) = metrics.figures.deciding();
        format!("{name} {figure:.6}")
    };
    match (chosen, champion, assessed.first()) {
        (Some(one), None, _) => {
            format!("first champion: {} on {} rows", figure_of(&one.metrics), one.metrics.rows)
        }
        (Some(one), Some(champion), _) => format!(
            "promoted: {} against the champion's {} on the same {} rows, {}, at least {:.2} %",
            figure_of(&one.metrics),
            figure_of(champion),
            one.metrics.rows,
            better(one.comparison.as_ref().map_or(0.0, |comparison| comparison.improvement)),
            100.0 * one.comparison.as_ref().map_or(0.0, |comparison| comparison.improvement_bound),
        ),
        (None, champion, Some(best)) => {
            let verdict = if champion.is_some() { "kept the champion" } else { "refused" };
            let beside =
                champion.map(|metrics| format!(" against {}", figure_of(metrics))).unwrap_or_default();
            format!("{verdict}: {}{beside}: {}", figure_of(&best.metrics), best.objections.join("; "))
        }
        (None, _, None) => "there is no challenger".into(),
    }
}

#[cfg(test)]
mod tests;
