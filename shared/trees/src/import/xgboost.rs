//! Reader of XGBoost's JSON, as versions 1.6 to 3 write it.
//!
//! Fields mean what they mean in XGBoost's `doc/model.schema` and `predict_fn.h`: a value goes left if it is below
//! the condition in f32, listed categories go right, and `base_score` is a prediction, not a score.

use serde::Deserialize;

use super::{Body, Column, Described, Foreign, ImportError, Link, Reading, tree_of, unsupported};
use crate::ensemble::{Categories, Ensemble, Split, Tree, at_most};

#[derive(Deserialize)]
struct Document {
    learner: Learner,
    version: Vec<u32>,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    learner_model_param: LearnerParam,
    objective: Named,
    gradient_booster: Booster,
}

#[derive(Deserialize)]
struct LearnerParam {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<GbTree>,
    /// XGBoost 2 writes dart's trees one level deeper, with the weights beside them.
    gbtree: Option<Inner>,
    weight_drop: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Inner {
    model: GbTree,
}

#[derive(Deserialize)]
struct GbTree {
    #[serde(default)]
    trees: Vec<FileTree>,
    #[serde(default)]
    tree_info: Vec<i64>,
    /// XGBoost 3 names dart "gbtree"; only this field distinguishes it.
    weight_drop: Option<Vec<f32>>,
    #[serde(default)]
    cats: Cats,
}

#[derive(Deserialize, Default)]
struct Cats {
    #[serde(default)]
    enc: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct FileTree {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// A flag: some versions of XGBoost write true and false, others 1 and 0.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
}

impl Flag {
    fn is_set(self) -> bool {
        match self {
            Self::Bool(flag) => flag,
            Self::Number(number) => number != 0,
        }
    }
}

/// Reads a model from its JSON.
///
/// # Errors
/// [`ImportError`], with the line and column or the field, tree and node.
pub fn read(json: &[u8]) -> Result<Foreign, ImportError> {
    let Document { learner, version } = serde_json::from_slice(json)
        .map_err(|error| ImportError::Syntax { format: "XGBoost JSON", detail: error.to_string() })?;
    let param = &learner.learner_model_param;
    let several = |text: &str| text.parse::<u32>().is_ok_and(|count| count > 1);
    if several(&param.num_class) || param.num_target.as_deref().is_some_and(several) {
        return Err(unsupported("learner_model_param", "several outputs, expected one score for a row"));
    }
    let n_features: usize = param.num_feature.parse().map_err(|_| {
        unsupported("learner_model_param.num_feature", format!("{:?}, expected a number", param.num_feature))
    })?;
    let (link, base) = link_and_base(&learner.objective.name, &param.base_score)?;
    let booster = learner.gradient_booster;
    if !matches!(booster.name.as_str(), "gbtree" | "dart") {
        let detail = format!("{:?}, expected gbtree or dart", booster.name);
        return Err(unsupported("gradient_booster.name", detail));
    }
    let model = booster.model.or(booster.gbtree.map(|inner| inner.model));
    let model = model.ok_or_else(|| unsupported("gradient_booster", "the field model is missing"))?;
    if !model.cats.enc.is_empty() {
        let detail = "the model numbers categories by position in a data frame; train it on numbers instead";
        return Err(unsupported("gradient_booster.model.cats", detail));
    }
    if model.tree_info.iter().any(|class| *class != 0) {
        return Err(unsupported("gradient_booster.model.tree_info", "several classes, expected one"));
    }
    let weights = booster.weight_drop.or(model.weight_drop);
    if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != model.trees.len()) {
        let detail = format!("{} weights for {} trees", weights.len(), model.trees.len());
        return Err(unsupported("weight_drop", detail));
    }
    let mut readings = vec![Reading::Plain; n_features];
    let mut trees = Vec::with_capacity(model.trees.len());
    for (position, tree) in model.trees.iter().enumerate() {
        let weight = weights.as_ref().map_or(1.0, |weights| weights[position]);
        trees.push(read_tree(position, tree, weight, &mut readings)?);
    }
    let columns = columns_of(&learner.feature_names, readings)?;
    let version: Vec<String> = version.iter().map(u32::to_string).collect();
    Ok(Foreign {
        source: format!("XGBoost {}", version.join(".")),
        columns,
        body: Body::Trees(Ensemble::new(n_features, base, &trees)?),
        divisor: 1.0,
        link,
        golden: Vec::new(),
    })
}

/// Names columns as the model does, or by position (`f0`, `f1`) if it was trained without names.
fn columns_of(names: &[String], readings: Vec<Reading>) -> Result<Vec<Column>, ImportError> {
    if !names.is_empty() && names.len() != readings.len() {
        let detail = format!("{} names for {} features", names.len(), readings.len());
        return Err(unsupported("learner.feature_names", detail));
    }
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("f{at}"));
    Ok(readings.into_iter().enumerate().map(|(at, reading)| Column::named(&name(at), reading)).collect())
}

/// Returns the link function of an objective, and the score that corresponds to `base_score`, which is a prediction.
fn link_and_base(objective: &str, base_score: &str) -> Result<(Link, f64), ImportError> {
    // Written as "1.9E1" by XGBoost 2 and as "[1.9E1]" by XGBoost 3.
    let text = base_score.trim().trim_start_matches('[').trim_end_matches(']');
    let stated: f32 = text.parse().map_err(|_| {
        unsupported("learner_model_param.base_score", format!("{base_score:?}, expected one number"))
    })?;
    let (link, base) = match objective {
        "binary:logistic" | "reg:logistic" => {
            // XGBoost also computes the quotient and the difference in f32.
            let odds = 1.0 / stated - 1.0;
            (Link::Logistic { scale: 1.0 }, f64::from(-libm::log(f64::from(odds)) as f32))
        }
        "count:poisson" | "reg:gamma" | "reg:tweedie" => (Link::Exp, libm::log(f64::from(stated))),
        "reg:squarederror"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "reg:linear"
        | "binary:logitraw" => (Link::Identity, f64::from(stated)),
        _ => {
            let detail = format!("{objective:?}, expected one of reg:* or binary:*");
            return Err(unsupported("learner.objective.name", detail));
        }
    };
    match base.is_finite() {
        true => Ok((link, base)),
        false => {
            let detail = format!("{base_score:?} is no prediction of {objective}");
            Err(unsupported("learner_model_param.base_score", detail))
        }
    }
}

fn read_tree(
    position: usize,
    tree: &FileTree,
    weight: f32,
    readings: &mut [Reading],
) -> Result<Tree, ImportError> {
    let place = format!("tree {position}");
    let n_nodes = tree.left_children.len();
    for (field, len) in [
        ("right_children", tree.right_children.len()),
        ("split_indices", tree.split_indices.len()),
        ("split_conditions", tree.split_conditions.len()),
        ("default_left", tree.default_left.len()),
    ] {
        if len != n_nodes {
            return Err(unsupported(&place, format!("{len} entries in {field}, expected {n_nodes}")));
        }
    }
    if tree.tree_param.size_leaf_vector.as_deref().is_some_and(|size| !matches!(size, "0" | "1")) {
        return Err(unsupported(&place, "leaves of several values, expected one"));
    }
    let is_category = |at: usize| tree.split_type.get(at).is_some_and(|kind| *kind == 1);
    let is_leaf = |at: usize| tree.left_children[at] < 0;
    for at in (0..n_nodes).filter(|&at| !is_leaf(at)) {
        let n_features = readings.len();
        let feature = tree.split_indices[at] as usize;
        let reading = readings.get_mut(feature).ok_or_else(|| {
            unsupported(format!("{place}, node {at}"), format!("feature {feature} of {n_features} features"))
        })?;
        if is_category(at) {
            *reading = Reading::NegativeIsNoCategory;
        }
    }
    tree_of(&place, n_nodes, 0, |at| {
        if is_leaf(at) {
            return Ok(Described::Leaf(f64::from(tree.split_conditions[at] * weight)));
        }
        let at_node = || format!("{place}, node {at}");
        let child = |child: i64| {
            usize::try_from(child)
                .map_err(|_| unsupported(at_node(), format!("child {child}, expected a node")))
        };
        let (left, right) = (child(tree.left_children[at])?, child(tree.right_children[at])?);
        let (feature, default_left) = (tree.split_indices[at], tree.default_left[at].is_set());
        if is_category(at) {
            let split = Split::OneOf(listed(tree, at).ok_or_else(|| {
                unsupported(
                    at_node(),
                    format!("its categories are missing, or not below {}", Categories::LIMIT),
                )
            })?);
            // Listed categories go right in XGBoost and left here, so the sides are swapped.
            let missing_left = !default_left;
            return Ok(Described::Split { feature, split, missing_left, left: right, right: left });
        }
        let split = Split::AtMost(at_most(f64::from(tree.split_conditions[at])));
        Ok(Described::Split { feature, split, missing_left: default_left, left, right })
    })
}

/// Returns the categories that node `at` lists, or `None` if they are missing or too large.
fn listed(tree: &FileTree, at: usize) -> Option<Categories> {
    let entry = tree.categories_nodes.iter().position(|node| *node == at)?;
    let (start, len) = (*tree.categories_segments.get(entry)?, *tree.categories_sizes.get(entry)?);
    let codes = tree.categories.get(start..start.checked_add(len)?)?;
    let codes: Option<Vec<u32>> = codes.iter().map(|code| u32::try_from(*code).ok()).collect();
    Categories::new(codes?).ok()
}
