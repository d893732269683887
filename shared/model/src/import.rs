//! Turns a foreign model and a map of its columns into a model of trips.

use std::collections::BTreeMap;

use serde::Deserialize;
use trees::import::{self, Foreign, Golden, Value};
use trees::{Ensemble, EnsembleError, Scorer};

use crate::candidates::calibration::Calibration;
use crate::candidates::imported::{Body, ImportedModel, Input, MappedColumn, Parts, Transform};
use crate::candidates::interval::Interval;
use crate::candidates::{
    Candidate, DurationModel, Estimate, Family, FitSummary, Model, TipEstimate, TipModel,
};
use crate::features;
use crate::outcome::Target;

/// Tolerance of a golden row's prediction, relative to the larger of it and 1: XGBoost sums in f32.
const GOLDEN_TOLERANCE: f64 = 1e-5;
/// Half the width of an interval that the map does not state, minutes: the longest duration that is judged.
const UNKNOWN_HALF_WIDTH_MIN: f64 = 60.0;

/// What each column of a foreign model means: the file that `--features` names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureMap {
    /// The names of the model's columns in order, where the model's file has none (XGBoost trained without names).
    #[serde(default)]
    pub column_names: Vec<String>,
    /// The meaning of each source column.
    pub columns: BTreeMap<String, Meaning>,
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
    pub codes: BTreeMap<String, f32>,
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

/// A row with the source library's prediction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenRow {
    /// Source column to value; a column that is not named is missing.
    pub row: BTreeMap<String, GoldenValue>,
    /// The library's prediction.
    pub prediction: f64,
}

/// A value of a source column.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum GoldenValue {
    Number(f64),
    Text(String),
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
        "no golden rows: expected rows with the source library's own predictions, as [[golden]] in the map"
    )]
    NoGolden,
    /// The import does not predict what the library did.
    #[error(
        "golden row {row}: the model predicts {found}, expected {expected} as the source library predicts"
    )]
    Golden {
        /// Which row, from 0; the model's own come first.
        row: usize,
        /// The import's prediction.
        found: f64,
        /// The library's prediction.
        expected: f64,
    },
    /// The unit is not one of duration.
    #[error("output.unit {unit:?}: expected minutes, seconds or hours")]
    OutputUnit {
        /// The stated unit.
        unit: Unit,
    },
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
    check_golden(&foreign, map)?;
    let columns: Vec<MappedColumn> =
        foreign.columns.iter().map(|column| column_of(column, map)).collect::<Result<_, _>>()?;
    let (columns, body) = match foreign.body {
        import::Body::Trees(ensemble) => {
            let (columns, ensemble) = only_asked(columns, &ensemble)?;
            (columns, Body::Trees(Box::new(Scorer::new(ensemble))))
        }
        import::Body::Linear { coefficients, intercept } => {
            (columns, Body::Linear { coefficients, intercept })
        }
    };
    let scale = match (target, map.output.unit) {
        (Target::Tip, _) | (Target::Duration, None | Some(Unit::Minutes)) => 1.0,
        (Target::Duration, Some(Unit::Seconds)) => 1.0 / 60.0,
        (Target::Duration, Some(Unit::Hours)) => 60.0,
        (Target::Duration, Some(unit)) => return Err(MapError::OutputUnit { unit }),
    };
    let parts = Parts {
        source: foreign.source,
        columns,
        body,
        divisor: foreign.divisor,
        link: foreign.link,
        transform: map.output.transform,
        scale,
    };
    let imported = ImportedModel::try_from(parts).map_err(MapError::Parts)?;
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
    Ok(Candidate { family: Family::Imported, course: FitSummary::default(), model })
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
            codes: codes_of(meaning).map_err(wrong)?,
            missing: meaning.missing,
        },
        _ => return Err(wrong("expected `feature`, or `features` for a column that joins several".into())),
    };
    Ok(MappedColumn { input, reading: column.reading })
}

fn codes_of(meaning: &Meaning) -> Result<Vec<(f32, f32)>, String> {
    let code = |(ours, theirs): (&String, &f32)| match ours.parse() {
        Ok(ours) => Ok((ours, *theirs)),
        Err(_) => Err(format!("code {ours:?} is no number")),
    };
    meaning.codes.iter().map(code).collect()
}

/// Leaves out columns that no split uses: of a thousand one-hot columns, trees use a few.
fn only_asked(
    columns: Vec<MappedColumn>,
    ensemble: &Ensemble,
) -> Result<(Vec<MappedColumn>, Ensemble), EnsembleError> {
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

fn check_golden(foreign: &Foreign, map: &FeatureMap) -> Result<(), MapError> {
    let of_map = map.golden.iter().map(|golden| {
        let value = |value: &GoldenValue| match value {
            GoldenValue::Number(number) => Value::Number(*number),
            GoldenValue::Text(text) => Value::Text(text.clone()),
        };
        let row = golden.row.iter().map(|(name, of)| (name.clone(), Some(value(of)))).collect();
        Golden { row, prediction: golden.prediction }
    });
    let golden: Vec<Golden> = foreign.golden.iter().cloned().chain(of_map).collect();
    if golden.is_empty() {
        return Err(MapError::NoGolden);
    }
    let absent = if map.one_hot_absent == Absent::Zero { 0.0 } else { f32::NAN };
    let is_one_hot = foreign.columns.iter().any(|column| column.equals.is_some());
    for (at, Golden { row, prediction }) in golden.iter().enumerate() {
        let stated = |name: &str| row.iter().find(|(known, _)| known == name);
        let value = |column: &import::Column| match (stated(&column.name), &column.equals) {
            (Some((_, Some(value))), Some(text)) if says(value, text) => 1.0,
            (_, Some(_)) => absent,
            (Some((_, Some(Value::Number(number)))), None) => *number as f32,
            // A DictVectorizer leaves out what is not stated, and a text makes another column.
            (None | Some((_, Some(Value::Text(_)))), None) if is_one_hot => absent,
            _ => f32::NAN,
        };
        let found = foreign.predict_row(&foreign.columns.iter().map(value).collect::<Vec<f32>>());
        if (found - prediction).abs() > GOLDEN_TOLERANCE * prediction.abs().max(1.0) || found.is_nan() {
            return Err(MapError::Golden { row: at, found, expected: *prediction });
        }
    }
    Ok(())
}

/// Returns whether a value, as a `DictVectorizer` writes it, is `text`.
fn says(value: &Value, text: &str) -> bool {
    matches!(value, Value::Text(value) if value == text)
}

#[cfg(test)]
mod tests;
