//! A model that another library trained: each of its columns is computed from features of a trip.

use serde::{Deserialize, Serialize};
use trees::import::{Link, Reading};
use trees::{Ensemble, Scorer};

use crate::features::{self, FeatureRows};
use crate::trip::Trip;

/// How a column of the source is computed from a feature row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A feature in the source's unit and codes.
    Value {
        /// Position in [`features::NAMES`].
        feature: u32,
        /// Source units per unit of ours.
        scale: f64,
        /// Our code and the source's; empty if they agree, else a code that is not listed is missing.
        codes: Vec<(f32, f32)>,
        /// The source's number for a missing value; `None` for NaN.
        missing: Option<f32>,
    },
    /// 1 where all these features have these values, as a `DictVectorizer` writes categories.
    Equals {
        /// Features and the values they are compared with.
        all: Vec<(u32, f32)>,
        /// The value where they differ: 0, or `None` for missing.
        otherwise: Option<f32>,
    },
}

impl Input {
    fn value(&self, features: &[f32]) -> f32 {
        match self {
            Self::Value { feature, scale, codes, missing } => {
                let value = features[*feature as usize];
                let coded = match codes.is_empty() {
                    true => (f64::from(value) * scale) as f32,
                    false => {
                        codes.iter().find(|(ours, _)| *ours == value).map_or(f32::NAN, |(_, theirs)| *theirs)
                    }
                };
                if coded.is_nan() { missing.unwrap_or(f32::NAN) } else { coded }
            }
            Self::Equals { all, otherwise } => {
                let equal = all.iter().all(|(feature, value)| features[*feature as usize] == *value);
                if equal { 1.0 } else { otherwise.unwrap_or(f32::NAN) }
            }
        }
    }

    fn is_valid(&self) -> bool {
        let known = |feature: &u32| (*feature as usize) < features::NAMES.len();
        match self {
            Self::Value { feature, .. } => known(feature),
            Self::Equals { all, .. } => all.iter().all(|(feature, _)| known(feature)),
        }
    }
}

/// A column: how it is computed, and how the source's model reads its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappedColumn {
    /// How it is computed.
    pub input: Input,
    /// How its values are read.
    pub reading: Reading,
}

/// The summed part of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Trees over the columns.
    Trees(Box<Scorer>),
    /// A linear model of the columns.
    Linear {
        /// One for each column.
        coefficients: Vec<f64>,
        /// The start of the sum.
        intercept: f64,
    },
}

/// What undoes a transformation of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transform {
    /// The label was not transformed.
    #[default]
    None,
    /// The model was trained on the logarithm.
    Exp,
    /// The model was trained on the logarithm of one plus the label.
    Expm1,
}

/// An imported model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct ImportedModel {
    parts: Parts,
}

/// The parts of an imported model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The library and format it came from.
    pub source: String,
    /// The columns of the body, in its order.
    pub columns: Vec<MappedColumn>,
    /// The summed part.
    pub body: Body,
    /// Divisor of the sum.
    pub divisor: f64,
    /// Link from the sum to the source's prediction.
    pub link: Link,
    /// Transformation of that prediction.
    pub transform: Transform,
    /// Factor of the result: minutes per source unit of duration.
    pub scale: f64,
}

impl TryFrom<Parts> for ImportedModel {
    type Error = String;
    fn try_from(parts: Parts) -> Result<Self, String> {
        let n_columns = match &parts.body {
            Body::Trees(scorer) => scorer.ensemble().n_features(),
            Body::Linear { coefficients, .. } => coefficients.len(),
        };
        if n_columns != parts.columns.len() {
            return Err(format!("a model of {n_columns} columns with {}", parts.columns.len()));
        }
        if !(parts.divisor.is_finite() && parts.divisor > 0.0 && parts.scale.is_finite() && parts.scale > 0.0)
        {
            return Err(format!("a divisor of {} and a factor of {}", parts.divisor, parts.scale));
        }
        match parts.columns.iter().all(|column| column.input.is_valid()) {
            true => Ok(Self { parts }),
            false => Err("a column of a feature that trips do not have".into()),
        }
    }
}

impl From<ImportedModel> for Parts {
    fn from(model: ImportedModel) -> Self {
        model.parts
    }
}

impl ImportedModel {
    /// Returns the library and format it came from.
    pub fn source(&self) -> &str {
        &self.parts.source
    }

    /// Returns the trees, if it has any.
    pub fn ensemble(&self) -> Option<&Ensemble> {
        match &self.parts.body {
            Body::Trees(scorer) => Some(scorer.ensemble()),
            Body::Linear { .. } => None,
        }
    }

    /// Predicts every trip: minutes, or a probability.
    pub fn predict(&self, trips: &[Trip]) -> Vec<f64> {
        self.predict_features(&FeatureRows::from_trips(trips).values)
    }

    /// Predicts rows of [`features::NAMES`], row-major.
    pub(crate) fn predict_features(&self, rows: &[f32]) -> Vec<f64> {
        // Runs of rows keep the memory small for a model of thousands of columns.
        const ROWS_PER_RUN: usize = 256;
        rows.chunks(features::NAMES.len() * ROWS_PER_RUN).flat_map(|run| self.answer_run(run)).collect()
    }

    fn answer_run(&self, features: &[f32]) -> Vec<f64> {
        let Parts { columns, body, divisor, link, .. } = &self.parts;
        let rows = features.chunks_exact(features::NAMES.len());
        let sums: Vec<f64> = match body {
            Body::Trees(scorer) => {
                let values: Vec<f32> = rows
                    .flat_map(|row| columns.iter().map(|column| column.reading.read(column.input.value(row))))
                    .collect();
                scorer.predict(&values)
            }
            Body::Linear { coefficients, intercept } => rows
                .map(|row| {
                    let terms = columns.iter().zip(coefficients).map(|(column, coefficient)| {
                        let value = column.input.value(row);
                        // As in a sparse product, an absent value adds nothing.
                        if value.is_nan() || value == 0.0 { 0.0 } else { coefficient * f64::from(value) }
                    });
                    terms.sum::<f64>() + intercept
                })
                .collect(),
        };
        sums.into_iter().map(|sum| self.finish(link.apply(sum / divisor))).collect()
    }

    /// Turns the source's prediction into minutes or a probability.
    fn finish(&self, prediction: f64) -> f64 {
        let transformed = match self.parts.transform {
            Transform::None => prediction,
            Transform::Exp => Link::Exp.apply(prediction),
            Transform::Expm1 => Link::Exp.apply(prediction) - 1.0,
        };
        transformed * self.parts.scale
    }
}
