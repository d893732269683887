//! Reader of XGBoost's JSON and UBJSON, as versions 1.6 to 3 write them.
//!
//! Fields mean what they mean in XGBoost's `doc/model.schema` and `predict_fn.h`: a value goes left if it is below
//! the condition in f32, listed categories go right, and `base_score` is a prediction, not a score.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::ubjson::{self, is_ubjson};
use super::{Body, Column, Described, Foreign, ImportError, Link, Reading, tree_of, unsupported};
use crate::ensemble::{Categories, Ensemble, Split, Tree, at_most};

/// Columns of a model; a `DictVectorizer` of pairs of zones makes 70,000.
const FEATURES_MAX: usize = 1 << 20;

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
    /// Early stopping notes its best iteration here.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// Which trees of a file count, where training went on after its best iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Iterations {
    /// Those up to the best iteration, as XGBoost's estimators and inplace prediction take them.
    #[default]
    Best,
    /// All, as `Booster.predict` takes them without an `iteration_range`.
    All,
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
    /// The first tree of each iteration, and the number of trees.
    #[serde(default)]
    iteration_indptr: Vec<usize>,
    #[serde(default)]
    gbtree_model_param: BTreeMap<String, String>,
}

/// Categories of columns that a data frame numbered; empty for other columns.
#[derive(Deserialize, Default)]
struct Cats {
    #[serde(default)]
    enc: Vec<Encoded>,
}

/// Numbers, or the bytes of texts with where each begins.
#[derive(Deserialize)]
struct Encoded {
    values: Vec<Value>,
    offsets: Option<Vec<usize>>,
}

impl Encoded {
    fn texts(&self) -> Option<Vec<String>> {
        let Some(offsets) = &self.offsets else {
            return Some(self.values.iter().map(Value::to_string).collect());
        };
        let bytes: Option<Vec<u8>> = self.values.iter().map(|byte| Some(byte.as_i64()? as u8)).collect();
        let bytes = bytes?;
        let text = |ends: &[usize]| String::from_utf8(bytes.get(ends[0]..ends[1])?.to_vec()).ok();
        offsets.windows(2).map(text).collect()
    }
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

/// Reads a model from its JSON or UBJSON, with the trees up to its best iteration.
///
/// # Errors
/// [`ImportError`], with the line and column or the field, tree and node.
pub fn read(bytes: &[u8]) -> Result<Foreign, ImportError> {
    read_with(bytes, Iterations::default())
}

/// Reads a model from its JSON or UBJSON.
///
/// # Errors
/// [`ImportError`], with the line and column or the field, tree and node.
pub fn read_with(bytes: &[u8], iterations: Iterations) -> Result<Foreign, ImportError> {
    let syntax = |format: &'static str| {
        move |error: serde_json::Error| ImportError::Syntax { format, detail: error.to_string() }
    };
    let Document { learner, version } = match is_ubjson(bytes) {
        true => serde_json::from_value(ubjson::read(bytes)?).map_err(syntax("XGBoost UBJSON"))?,
        false => serde_json::from_slice(bytes).map_err(syntax("XGBoost JSON"))?,
    };
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
    if model.tree_info.iter().any(|class| *class != 0) {
        return Err(unsupported("gradient_booster.model.tree_info", "several classes, expected one"));
    }
    let weights = booster.weight_drop.as_ref().or(model.weight_drop.as_ref());
    if let Some(weights) = weights.filter(|weights| weights.len() != model.trees.len()) {
        let detail = format!("{} weights for {} trees", weights.len(), model.trees.len());
        return Err(unsupported("weight_drop", detail));
    }
    let (used, remark) = used_trees(&learner.attributes, &model, iterations)?;
    if n_features > FEATURES_MAX {
        let detail = format!("{n_features}, expected at most {FEATURES_MAX}");
        return Err(unsupported("learner_model_param.num_feature", detail));
    }
    let mut readings = vec![Reading::Plain; n_features];
    let mut trees = Vec::with_capacity(used);
    for (position, tree) in model.trees.iter().take(used).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[position]);
        trees.push(read_tree(position, tree, weight, &mut readings)?);
    }
    let mut columns = columns_of(&learner.feature_names, readings)?;
    for (at, encoded) in model.cats.enc.iter().enumerate() {
        let wrong = |detail: &str| unsupported(format!("gradient_booster.model.cats.enc[{at}]"), detail);
        let column = columns.get_mut(at).ok_or_else(|| wrong("of a column that the model does not have"))?;
        column.categories =
            encoded.texts().ok_or_else(|| wrong("expected numbers, or texts with offsets"))?;
    }
    let version: Vec<String> = version.iter().map(u32::to_string).collect();
    Ok(Foreign {
        source: format!("XGBoost {}", version.join(".")),
        columns,
        body: Body::Trees(Ensemble::new(n_features, base, &trees)?),
        divisor: 1.0,
        link,
        golden: Vec::new(),
        remark,
    })
}

/// Returns how many trees count, and what to say of it if that could explain another prediction.
fn used_trees(
    attributes: &BTreeMap<String, String>,
    model: &GbTree,
    iterations: Iterations,
) -> Result<(usize, String), ImportError> {
    let all = model.trees.len();
    let Some(text) = attributes.get("best_iteration") else { return Ok((all, String::new())) };
    let wrong = |detail: String| unsupported("learner.attributes.best_iteration", detail);
    let best: usize = text.parse().map_err(|_| wrong(format!("{text:?}, expected a number")))?;
    let parallel = model.gbtree_model_param.get("num_parallel_tree");
    let parallel: usize = parallel.and_then(|text| text.parse().ok()).unwrap_or(1).max(1);
    let end = model.iteration_indptr.get(best.saturating_add(1)).copied();
    let end = end.unwrap_or_else(|| best.saturating_add(1).saturating_mul(parallel));
    match iterations {
        _ if end > all => Err(wrong(format!("{best} of {all} trees"))),
        _ if end == all => Ok((all, String::new())),
        Iterations::Best => Ok((
            end,
            format!(
                "; of its {all} trees, {end} count, up to best_iteration {best} (iterations = \"all\" in the map takes all)"
            ),
        )),
        Iterations::All => {
            Ok((all, format!("; all its {all} trees count, also those after best_iteration {best}")))
        }
    }
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
            let detail = format!(
                "{objective:?}, expected reg:* for one number, binary:logistic, binary:logitraw or count:poisson"
            );
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
