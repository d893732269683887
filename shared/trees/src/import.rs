//! Models that other libraries trained, read from the text formats that they write.
//!
//! [`xgboost`] reads XGBoost's JSON, [`lightgbm`] LightGBM's text, [`sklearn`] a small JSON that
//! `tools/export_sklearn` writes from scikit-learn. Each gives a [`Foreign`] model: what its columns are called, what is
//! summed, and how the sum becomes the prediction. A file that cannot be read, or that means something this crate cannot
//! compute, is one [`ImportError`] that names the place.
//!
//! Rows are f32 here as in XGBoost and scikit-learn's trees. LightGBM compares in f64; its thresholds are rounded down to
//! f32, which routes every f32 alike. Sums are in f64 in the order of trees, as in LightGBM and scikit-learn, whose
//! scores are met bit for bit; XGBoost adds in f32, so its scores are met to the rounding of f32 (about 1e-6 of the
//! score).

pub mod lightgbm;
pub mod sklearn;
pub mod xgboost;

use serde::{Deserialize, Serialize};

use crate::boost::Objective;
use crate::ensemble::{Child, Ensemble, EnsembleError, Node, Split, Tree};

/// Why a model was not read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are not what the format is made of.
    #[error("{format}: {detail}")]
    Syntax {
        /// The format that was expected.
        format: &'static str,
        /// What is wrong, with the line where there are lines.
        detail: String,
    },
    /// A part of the model is wrong, or means something that cannot be computed here.
    #[error("{place}: {detail}")]
    Unsupported {
        /// Where: a field, a tree, a node.
        place: String,
        /// What was found, and what was expected.
        detail: String,
    },
    /// The trees read are no ensemble.
    #[error("the trees of the model")]
    Ensemble(#[from] EnsembleError),
}

fn unsupported(place: impl Into<String>, detail: impl Into<String>) -> ImportError {
    ImportError::Unsupported { place: place.into(), detail: detail.into() }
}

/// What a foreign model reads a value as, before any split sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Reading {
    /// As it stands.
    #[default]
    Plain,
    /// LightGBM: a number as near to 0 as f32 1e-35 is 0.
    TinyIsZero,
    /// LightGBM with `zero_as_missing`: such a number is missing.
    TinyIsMissing,
    /// XGBoost's categories: a negative number is no category, where cutting off the fraction would make -0.5 one.
    NegativeIsNoCategory,
}

impl Reading {
    /// The value that splits are asked.
    #[inline]
    pub fn read(self, value: f32) -> f32 {
        /// `kZeroThreshold` of LightGBM's `meta.h`.
        const TINY: f32 = 1e-35;
        match self {
            Self::TinyIsZero if value.abs() <= TINY => 0.0,
            Self::TinyIsMissing if value.abs() <= TINY => f32::NAN,
            Self::NegativeIsNoCategory if value < 0.0 => -1.0,
            _ => value,
        }
    }
}

/// An input column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What the source calls it.
    pub name: String,
    /// The column is 1 where the source value is this text, as a `DictVectorizer` writes it.
    pub equals: Option<String>,
    /// What its values are read as.
    pub reading: Reading,
}

impl Column {
    /// A column of this name; `name=text` is one of a `DictVectorizer`.
    pub fn named(name: &str, reading: Reading) -> Self {
        match name.split_once('=') {
            Some((name, text)) => Self { name: name.into(), equals: Some(text.into()), reading },
            None => Self { name: name.into(), equals: None, reading },
        }
    }
}

/// What is summed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Trees over the columns.
    Trees(Ensemble),
    /// The sum of coefficient times column, and the intercept; missing values count nothing.
    Linear {
        /// One for each column.
        coefficients: Vec<f64>,
        /// What the sum starts from.
        intercept: f64,
    },
}

/// How a sum becomes the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Link {
    /// It is the prediction.
    Identity,
    /// 1 / (1 + e^(-scale x sum)).
    Logistic {
        /// LightGBM's `sigmoid`; 1 elsewhere.
        scale: f64,
    },
    /// e^sum.
    Exp,
    /// The sum squared, with its sign: LightGBM's `reg_sqrt`.
    SignedSquare,
}

impl Link {
    /// The prediction for a sum.
    pub fn apply(self, sum: f64) -> f64 {
        match self {
            Self::Identity => sum,
            Self::Logistic { scale } => Objective::Logistic.answer(scale * sum),
            Self::Exp => libm::exp(sum),
            Self::SignedSquare => sum * sum.abs(),
        }
    }

    /// Whether predictions are probabilities.
    pub fn is_probability(self) -> bool {
        matches!(self, Self::Logistic { .. })
    }
}

/// A row with what the source library said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Source column to value: a number, a text, or nothing for missing.
    pub row: Vec<(String, Option<Value>)>,
    /// The library's prediction.
    pub prediction: f64,
}

/// A value of a source column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A text, as a `DictVectorizer` takes categories.
    Text(String),
}

/// A model that another library trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// The library and format, for people.
    pub source: String,
    /// Its input columns, in order.
    pub columns: Vec<Column>,
    /// What is summed.
    pub body: Body,
    /// What the sum is divided by before the link: the number of trees of a forest, else 1.
    pub divisor: f64,
    /// How the sum becomes the prediction.
    pub link: Link,
    /// Rows that came with the model.
    pub golden: Vec<Golden>,
}

impl Foreign {
    /// The sum for a row of one value for each column, NaN for missing; nothing is read into values here.
    pub fn sum(&self, row: &[f32]) -> f64 {
        self.body.sum(row)
    }

    /// The prediction for a row of one value for each column as the source library takes them, NaN for missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        let read: Vec<f32> =
            row.iter().zip(&self.columns).map(|(value, column)| column.reading.read(*value)).collect();
        self.link.apply(self.sum(&read) / self.divisor)
    }
}

impl Body {
    /// The sum for a row of one value for each column, already read.
    pub fn sum(&self, row: &[f32]) -> f64 {
        match self {
            Self::Trees(ensemble) => ensemble.predict_row(row),
            Self::Linear { coefficients, intercept } => {
                let present =
                    coefficients.iter().zip(row).filter(|(_, value)| !value.is_nan() && **value != 0.0);
                present.map(|(coefficient, value)| coefficient * f64::from(*value)).sum::<f64>() + intercept
            }
        }
    }
}

/// The largest f32 that is at most `threshold`: `x <= threshold` in f64 is `x <=` this for every f32 `x`.
fn rounded_down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) <= threshold { near } else { near.next_down() }
}

/// A node as a file describes it.
enum Described {
    Leaf(f64),
    Split { feature: u32, split: Split, missing_left: bool, left: usize, right: usize },
}

/// Builds a tree from a file's own numbering of nodes, of which there are `n_nodes`, the root being `root`.
fn tree_of(
    place: &str,
    n_nodes: usize,
    root: usize,
    describe: impl Fn(usize) -> Result<Described, ImportError>,
) -> Result<Tree, ImportError> {
    let mut tree = Tree { nodes: Vec::new(), leaves: Vec::new() };
    // What is still to be described, and which side of which node it hangs from.
    let mut open = vec![(root, None)];
    let mut described = 0;
    while let Some((at, above)) = open.pop() {
        described += 1;
        if at >= n_nodes || described > n_nodes {
            return Err(unsupported(
                place,
                format!("node {at} is not one of {n_nodes} nodes that form a tree"),
            ));
        }
        let child = match describe(at)? {
            Described::Leaf(value) => {
                tree.leaves.push(value);
                Child::Leaf(tree.leaves.len() as u32 - 1)
            }
            Described::Split { feature, split, missing_left, left, right } => {
                let node = tree.nodes.len();
                // The right one first, so that the left one is taken from the end next: leaves come left to right.
                open.extend([(right, Some((node, false))), (left, Some((node, true)))]);
                let nowhere = Child::Leaf(0);
                tree.nodes.push(Node { feature, split, missing_left, left: nowhere, right: nowhere });
                Child::Node(node as u32)
            }
        };
        if let Some((above, is_left)) = above {
            let above: &mut Node = &mut tree.nodes[above];
            *(if is_left { &mut above.left } else { &mut above.right }) = child;
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests;
