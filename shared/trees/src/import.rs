//! Import of models that other libraries trained, from the text formats that they write.
//!
//! [`xgboost`] reads XGBoost's JSON and UBJSON, [`lightgbm`] LightGBM's text, and [`sklearn`] a small JSON that
//! `tools/export_sklearn` writes from scikit-learn. Each returns a [`Foreign`] model: its input columns, the trees or
//! coefficients to sum, and the link from the sum to the prediction. A file that cannot be parsed, or that describes
//! a model this crate cannot compute, gives an [`ImportError`] that names the place.
//!
//! Rows are f32 here, as in XGBoost and in scikit-learn's trees. LightGBM compares in f64; its thresholds are rounded
//! down to f32, which routes every f32 alike. Sums are in f64 in the order of trees, as in LightGBM and scikit-learn,
//! whose scores are reproduced bit for bit; XGBoost adds in f32, so its scores are reproduced up to the rounding of
//! f32 (about 1e-6 of the score).

pub mod lightgbm;
pub mod sklearn;
mod ubjson;
pub mod xgboost;

use serde::{Deserialize, Serialize};

use crate::boost::Objective;
use crate::ensemble::{Child, Ensemble, EnsembleError, Node, Split, Tree};

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes do not follow the syntax of the format.
    #[error("{format}: {detail}")]
    Syntax {
        /// The format that was expected.
        format: &'static str,
        /// What is wrong, with the line if the format has lines.
        detail: String,
    },
    /// A part of the model is wrong, or this crate cannot compute it.
    #[error("{place}: {detail}")]
    Unsupported {
        /// The field, tree or node.
        place: String,
        /// What was found, and what was expected.
        detail: String,
    },
    /// The trees do not form a valid ensemble.
    #[error("the trees of the model")]
    Ensemble(#[from] EnsembleError),
}

fn unsupported(place: impl Into<String>, detail: impl Into<String>) -> ImportError {
    ImportError::Unsupported { place: place.into(), detail: detail.into() }
}

/// How a foreign model transforms a value before any split tests it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Reading {
    /// The value is used unchanged.
    #[default]
    Plain,
    /// LightGBM: a value of magnitude at most 1e-35 becomes 0.
    TinyIsZero,
    /// LightGBM with `zero_as_missing`: such a value becomes missing.
    TinyIsMissing,
    /// XGBoost's categories: a negative value has no category, although truncation would turn -0.5 into category 0.
    NegativeIsNoCategory,
}

impl Reading {
    /// Returns the transformed value, which splits test.
    #[inline]
    pub fn read(self, value: f32) -> f32 {
        /// `kZeroThreshold` in LightGBM's `meta.h`.
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
    /// Name of the column in the source data.
    pub name: String,
    /// If set, the column is 1 where the source value is this text, as `DictVectorizer` encodes it.
    pub equals: Option<String>,
    /// How its values are transformed.
    pub reading: Reading,
    /// The source's values in the order of its codes, where a data frame numbered them; else empty.
    pub categories: Vec<String>,
}

impl Column {
    /// Makes a column from its name; `name=text` is a one-hot column of a `DictVectorizer`.
    pub fn named(name: &str, reading: Reading) -> Self {
        let (name, equals) = match name.split_once('=') {
            Some((name, text)) => (name, Some(text.into())),
            None => (name, None),
        };
        Self { name: name.into(), equals, reading, categories: Vec::new() }
    }
}

/// The part of a model that computes a sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// Trees over the columns.
    Trees(Ensemble),
    /// Sum of coefficient times column, plus the intercept; missing values add nothing.
    Linear {
        /// One for each column.
        coefficients: Vec<f64>,
        /// Constant term of the sum.
        intercept: f64,
    },
}

/// Link function from the sum to the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Link {
    /// The sum is the prediction.
    Identity,
    /// 1 / (1 + e^(-scale x sum)).
    Logistic {
        /// LightGBM's parameter `sigmoid`; 1 for other libraries.
        scale: f64,
    },
    /// e^sum.
    Exp,
    /// The sum squared, with its sign: LightGBM's `reg_sqrt`.
    SignedSquare,
}

impl Link {
    /// Returns the prediction for a sum.
    pub fn apply(self, sum: f64) -> f64 {
        match self {
            Self::Identity => sum,
            Self::Logistic { scale } => Objective::Logistic.answer(scale * sum),
            Self::Exp => libm::exp(sum),
            Self::SignedSquare => sum * sum.abs(),
        }
    }
}

/// A row with the prediction of the source library.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Source columns with their values: a number, a text, or `None` for missing.
    pub row: Vec<(String, Option<Value>)>,
    /// The library's prediction.
    pub prediction: f64,
}

/// A value of a source column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A text, as `DictVectorizer` takes categories.
    Text(String),
}

/// A model that another library trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// Library, version and, for scikit-learn, estimator, for display.
    pub source: String,
    /// Input columns, in order.
    pub columns: Vec<Column>,
    /// Trees or coefficients.
    pub body: Body,
    /// Divisor of the sum before the link: the number of trees of a forest, else 1.
    pub divisor: f64,
    /// Link function from the divided sum to the prediction.
    pub link: Link,
    /// Golden rows that came with the model; only scikit-learn exports have them.
    pub golden: Vec<Golden>,
    /// What was chosen of the file and could explain another prediction, after "; "; else empty.
    pub remark: String,
}

impl Foreign {
    /// Returns the sum for a row of one value per column, already transformed by [`Reading::of`], NaN for missing.
    pub fn sum(&self, row: &[f32]) -> f64 {
        self.body.sum(row)
    }

    /// Returns the prediction for a row of one value per column as the source library takes it, NaN for missing.
    pub fn predict_row(&self, row: &[f32]) -> f64 {
        let read: Vec<f32> =
            row.iter().zip(&self.columns).map(|(value, column)| column.reading.read(*value)).collect();
        self.link.apply(self.sum(&read) / self.divisor)
    }
}

impl Body {
    /// Returns the sum for a row with one value for each column, already transformed by [`Reading::of`].
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

/// Returns the largest f32 that is at most `threshold`: for every f32 `x`, comparing with it gives the same result as
/// comparing with `threshold` in f64.
fn rounded_down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) <= threshold { near } else { near.next_down() }
}

/// A node as a file describes it.
enum Described {
    Leaf(f64),
    Split { feature: u32, split: Split, missing_left: bool, left: usize, right: usize },
}

/// Builds a tree from the `n_nodes` nodes of a file, numbered as in the file, starting at node `root`.
fn tree_of(
    place: &str,
    n_nodes: usize,
    root: usize,
    describe: impl Fn(usize) -> Result<Described, ImportError>,
) -> Result<Tree, ImportError> {
    let mut tree = Tree { nodes: Vec::new(), leaves: Vec::new() };
    // Nodes that are still to be described, with their parent and whether they are its left child.
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
                // The right child is pushed first, so that the left one is popped next: leaves come left to right.
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
