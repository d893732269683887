//! Turns a foreign model and a map of its columns into a model of trips.

mod golden;

use std::collections::BTreeMap;

use serde::Deserialize;
use trees::import::xgboost::Iterations;
use trees::import::{self, Foreign};
use trees::{Ensemble, EnsembleError, Scorer};

use crate::candidates::calibration::Calibration;
use crate::candidates::imported::{Body, ImportedModel, Input, MappedColumn, Parts, Transform};
use crate::candidates::interval::{Interval, UNKNOWN_HALF_WIDTH_MIN};
use crate::candidates::soundness::DAY_MIN;
use crate::candidates::{
    Candidate, DurationModel, Estimate, Family, FitSummary, Model, TipEstimate, TipModel,
};
use crate::features;
use crate::outcome::Target;

/// What each column of a foreign model means: the file that `--features` names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureMap {
    /// The names of the model's columns in order, where the model's file has none (XGBoost trained without names).
    #[serde(default)]
    pub column_names: Vec<String>,
    /// The meaning of each source column.
    pub columns: BTreeMap<String, Meaning>,
    /// Which trees of an XGBoost file count.
    #[serde(default)]
    pub iterations: Iterations,
    /// The value of a one-hot column for another category: 0, or missing, as in a sparse matrix given to XGBoost.
    #[serde(default)]
    pub one_hot_absent: Absent,
    /// What the prediction means.
    #[serde(default)]
    pub output: OutputMeaning,
    /// Rows with the source library's predictions.
    #[serde(default)]
    pub golden: Vec<GoldenRow>,
}

/// What a source column means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meaning {
    /// The feature it is.
    pub feature: Option<String>,
    /// The features that it joins, as in the course's `PU_DO`.
    #[serde(default)]
    pub features: Vec<String>,
    /// The text between joined features.
    #[serde(default = "underscore")]
    pub separator: String,
    /// The unit of a distance.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// The source's code for each of ours.
    #[serde(default)]
    pub codes: BTreeMap<String, GoldenValue>,
    /// The source's number for a missing value; NaN if not stated.
    pub missing: Option<f32>,
}

fn underscore() -> String {
    "_".into()
}

/// Units that a source may measure in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Unit {
    Miles,
    Kilometres,
    Metres,
    Minutes,
    Seconds,
    Hours,
}

/// The value of a category that a row does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The number 0.
    #[default]
    Zero,
    /// A missing value.
    Missing,
}

/// What a foreign prediction means.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputMeaning {
    /// The unit of a duration; minutes if not stated.
    pub unit: Option<Unit>,
    /// What undoes a transformation of the label.
    #[serde(default)]
    pub transform: Transform,
    /// Half the width of the 90 % interval, minutes.
    pub interval_half_width_min: Option<f64>,
}

/// A trip with the source library's prediction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenRow {
    /// The trip: fields of a message, or features; what is not named is missing.
    pub row: BTreeMap<String, GoldenValue>,
    /// The library's prediction, in minutes or as a probability.
    pub prediction: f64,
}

/// A value of a golden row, or a code of the source.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number or a text in quotes")]
#[allow(missing_docs)]
pub enum GoldenValue {
    Number(f64),
    Text(String),
}

impl GoldenValue {
    /// Returns the number that it is or states.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// Why a foreign model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The map gives a column no meaning, or an invalid one.
    #[error("column {column:?}: {detail}")]
    Column {
        /// The source column.
        column: String,
        /// What is wrong.
        detail: String,
    },
    /// The map's names do not fit the model.
    #[error("column_names has {names} names for a model of {columns} columns")]
    Names {
        /// Number of names.
        names: usize,
        /// Number of columns.
        columns: usize,
    },
    /// There are no golden rows to check the import with.
    #[error(
        "no golden rows: expected trips with the source library's own predictions, as [[golden]] in the map{remark}"
    )]
    NoGolden {
        /// Why rows of the file do not count, if it has any.
        remark: String,
    },
    /// A golden row is no trip.
    #[error("golden row {row}: {detail}")]
    GoldenRow {
        /// Which row of the map, from 0.
        row: usize,
        /// What is wrong.
        detail: String,
    },
    /// No golden row states what a column means, so that nothing shows that the map is right.
    #[error(
        "column {column:?}: no golden row states what it means: expected one with that field of the trip{remark}"
    )]
    Unproved {
        /// The source column.
        column: String,
        /// Why rows of the file do not count, if it has any.
        remark: String,
    },
    /// The import does not predict what the library did.
    #[error(
        "golden row {row}: the model predicts {found}, expected {expected} as the source library predicts{remark}"
    )]
    Golden {
        /// Which row, from 0; those of the map come first.
        row: usize,
        /// The import's prediction, in minutes or as a probability.
        found: f64,
        /// The library's prediction.
        expected: f64,
        /// What of the file could explain it.
        remark: String,
    },
    /// The map says something of the output that cannot be.
    #[error("[output] {field}: {detail}")]
    Output {
        /// The field.
        field: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The finished model would serve what is no prediction.
    #[error("the model: {0}")]
    Unsound(String),
    /// The trees do not fit their columns.
    #[error("the trees of the model")]
    Ensemble(#[from] EnsembleError),
    /// The parts do not fit together.
    #[error("{0}")]
    Parts(String),
}

/// Imports a foreign model as a model of `target`.
///
/// # Errors
/// See [`MapError`].
pub fn import(target: Target, mut foreign: Foreign, map: &FeatureMap) -> Result<Candidate, MapError> {
    if !map.column_names.is_empty() {
        let (names, columns) = (map.column_names.len(), foreign.columns.len());
        if names != columns {
            return Err(MapError::Names { names, columns });
        }
        for (column, name) in foreign.columns.iter_mut().zip(&map.column_names) {
            *column = import::Column::named(name, column.reading);
        }
    }
    let columns: Vec<(String, MappedColumn)> = foreign
        .columns
        .iter()
        .map(|column| Ok((column.name.clone(), column_of(column, map)?)))
        .collect::<Result<_, MapError>>()?;
    let (columns, body) = match &foreign.body {
        import::Body::Trees(ensemble) => {
            let (columns, ensemble) = only_asked(columns, ensemble)?;
            (columns, Body::Trees(Box::new(Scorer::new(ensemble))))
        }
        import::Body::Linear { coefficients, intercept } => {
            (columns, Body::Linear { coefficients: coefficients.clone(), intercept: *intercept })
        }
    };
    let parts = Parts {
        source: foreign.source.clone(),
        columns: columns.iter().map(|(_, column)| column.clone()).collect(),
        body,
        divisor: foreign.divisor,
        link: foreign.link,
        transform: map.output.transform,
        scale: minutes_per_unit(target, &map.output)?,
    };
    let imported = ImportedModel::try_from(parts).map_err(MapError::Parts)?;
    if target == Target::Tip {
        golden::check_probabilities(&foreign, map)?;
    }
    golden::check(&imported, &foreign, &columns, map)?;
    let model = match target {
        Target::Tip => {
            Model::Tip(TipModel { estimate: TipEstimate::Imported(imported), calibration: Calibration::NONE })
        }
        Target::Duration => Model::Duration(DurationModel {
            estimate: Estimate::Imported(imported),
            interval: Interval::constant(
                map.output.interval_half_width_min.unwrap_or(UNKNOWN_HALF_WIDTH_MIN),
            ),
        }),
    };
    match model.written_defect() {
        Some(defect) => Err(MapError::Unsound(defect)),
        None => Ok(Candidate { family: Family::Imported, course: FitSummary::default(), model }),
    }
}

/// Returns the factor of the source's predictions, and checks the rest of the output's meaning.
fn minutes_per_unit(target: Target, output: &OutputMeaning) -> Result<f64, MapError> {
    let wrong = |field, detail: String| Err(MapError::Output { field, detail });
    if target == Target::Tip {
        let stated = [
            ("unit", output.unit.is_some()),
            ("transform", output.transform != Transform::None),
            ("interval_half_width_min", output.interval_half_width_min.is_some()),
        ];
        return match stated.into_iter().find(|(_, is_stated)| *is_stated) {
            Some((field, _)) => wrong(field, "the model predicts a probability, which has none".into()),
            None => Ok(1.0),
        };
    }
    if let Some(width) = output.interval_half_width_min
        && !(width > 0.0 && width <= DAY_MIN)
    {
        return wrong(
            "interval_half_width_min",
            format!("{width}: expected more than 0 and at most {DAY_MIN}"),
        );
    }
    match output.unit {
        None | Some(Unit::Minutes) => Ok(1.0),
        Some(Unit::Seconds) => Ok(1.0 / 60.0),
        Some(Unit::Hours) => Ok(60.0),
        Some(unit) => wrong("unit", format!("{unit:?}: expected minutes, seconds or hours")),
    }
}

fn column_of(column: &import::Column, map: &FeatureMap) -> Result<MappedColumn, MapError> {
    let wrong = |detail: String| MapError::Column { column: column.name.clone(), detail };
    let meaning = map.columns.get(&column.name).ok_or_else(|| wrong("the map has no entry for it".into()))?;
    let position = |name: &String| {
        let known = features::NAMES.iter().position(|known| known == name);
        let unknown =
            || wrong(format!("{name:?} is no feature, expected one of {}", features::NAMES.join(", ")));
        known.map(|at| at as u32).ok_or_else(unknown)
    };
    let input = match (&column.equals, &meaning.feature, meaning.features.as_slice()) {
        (Some(text), feature, joined) if feature.is_some() == joined.is_empty() => {
            let names = feature.as_slice().iter().chain(joined);
            let positions: Vec<u32> = names.map(position).collect::<Result<_, _>>()?;
            // A text that is no number is a category that no trip has.
            let texts: Vec<&str> = match joined.is_empty() {
                true => vec![text],
                false => text.split(meaning.separator.as_str()).collect(),
            };
            let numbers = texts.iter().map(|text| text.parse().unwrap_or(f32::NAN));
            let all: Vec<(u32, f32)> = positions.iter().copied().zip(numbers).collect();
            if all.len() != texts.len() || all.len() != positions.len() {
                return Err(wrong(format!("{text:?} does not join {} features", positions.len())));
            }
            let otherwise = (map.one_hot_absent == Absent::Zero).then_some(0.0);
            Input::Equals { all, otherwise }
        }
        (None, Some(feature), []) => Input::Value {
            feature: position(feature)?,
            scale: match meaning.unit {
                None | Some(Unit::Miles) => 1.0,
                Some(Unit::Kilometres) => 1.609_344,
                Some(Unit::Metres) => 1609.344,
                Some(unit) => return Err(wrong(format!("{unit:?} is no unit of a feature"))),
            },
            codes: codes_of(meaning, &column.categories).map_err(wrong)?,
            missing: meaning.missing,
        },
        _ => return Err(wrong("expected `feature`, or `features` for a column that joins several".into())),
    };
    Ok(MappedColumn { input, reading: column.reading })
}

/// Returns our codes with those of the source: numbers, or positions among its categories where a data frame numbered them.
fn codes_of(meaning: &Meaning, categories: &[String]) -> Result<Vec<(f32, f32)>, String> {
    let position = |value: &GoldenValue| {
        let is_meant = |text: &&String| match value {
            GoldenValue::Text(value) => value == *text,
            GoldenValue::Number(number) => text.parse() == Ok(*number),
        };
        categories.iter().position(|text| is_meant(&text)).map(|at| at as f32)
    };
    let known = || categories.join(", ");
    if meaning.codes.is_empty() {
        let ours = |text: &String| Some((text.parse().ok()?, position(&GoldenValue::Text(text.clone()))?));
        let codes: Vec<(f32, f32)> = categories.iter().filter_map(ours).collect();
        return match codes.is_empty() && !categories.is_empty() {
            true => Err(format!("none of its categories ({}) is a number: expected codes", known())),
            false => Ok(codes),
        };
    }
    let code = |(ours, theirs): (&String, &GoldenValue)| {
        let ours = ours.parse().map_err(|_| format!("code {ours:?} is no number"))?;
        let theirs = match categories.is_empty() {
            true => {
                theirs.number().map(|number| number as f32).ok_or_else(|| format!("{theirs:?} is no number"))
            }
            false => {
                position(theirs).ok_or_else(|| format!("{theirs:?} is none of its categories ({})", known()))
            }
        };
        Ok((ours, theirs?))
    };
    meaning.codes.iter().map(code).collect()
}

/// Leaves out columns that no split uses: of a thousand one-hot columns, trees use a few.
fn only_asked(
    columns: Vec<(String, MappedColumn)>,
    ensemble: &Ensemble,
) -> Result<(Vec<(String, MappedColumn)>, Ensemble), EnsembleError> {
    let mut trees = ensemble.described();
    let mut place = vec![None; columns.len()];
    let mut feature_columns = Vec::new();
    for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        let feature = node.feature as usize;
        node.feature = *place[feature].get_or_insert_with(|| {
            feature_columns.push(columns[feature].clone());
            feature_columns.len() as u32 - 1
        });
    }
    let ensemble = Ensemble::new(feature_columns.len(), ensemble.base(), &trees)?;
    Ok((feature_columns, ensemble))
}

#[cfg(test)]
mod tests;
