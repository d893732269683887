//! Reader of LightGBM's text format, versions 3 and 4: lines of `key=value`, with a block for each tree.
//!
//! Fields mean what they mean in LightGBM's `gbdt_model_text.cpp` and `tree.h`. Leaf values include the learning
//! rate, and those of the first tree also the average label.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::Value;

use super::{
    Body, Column, Described, Foreign, ImportError, Link, Reading, rounded_down, tree_of, unsupported,
};
use crate::ensemble::{Categories, Ensemble, Split, Tree};

const FORMAT: &str = "LightGBM text";
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
/// Shift of the missing type, bits 2 and 3 of `decision_type`: 0 is none, 1 zero, 2 NaN.
const MISSING_SHIFT: u8 = 2;

/// Reads a model from its text.
///
/// # Errors
/// [`ImportError`], with the line or the tree.
pub fn read(text: &str) -> Result<Foreign, ImportError> {
    let blocks = blocks_of(text)?;
    let header = &blocks[0];
    let version = header.text("version")?;
    if !matches!(version, "v3" | "v4") {
        return Err(unsupported("version", format!("{version}, expected v3 or v4")));
    }
    if header.number::<u32>("num_tree_per_iteration")? != 1 {
        return Err(unsupported("num_tree_per_iteration", "several classes, expected one score for a row"));
    }
    let names: Vec<&str> = header.text("feature_names")?.split(' ').collect();
    let expected = header.number::<usize>("max_feature_idx")? + 1;
    if names.len() != expected {
        let detail = format!("{} names for {expected} features", names.len());
        return Err(unsupported("feature_names", detail));
    }
    let mut readings = vec![None; names.len()];
    let trees: Vec<Tree> =
        blocks[1..].iter().map(|block| read_tree(block, &mut readings)).collect::<Result<_, _>>()?;
    let mut columns: Vec<Column> = names
        .iter()
        .zip(&readings)
        .map(|(name, reading)| Column::named(name, reading.unwrap_or(Reading::Plain)))
        .collect();
    set_categories(text, header, &mut columns)?;
    let divisor = if header.fields.contains_key("average_output") { trees.len().max(1) as f64 } else { 1.0 };
    Ok(Foreign {
        source: format!("LightGBM {version}"),
        columns,
        body: Body::Trees(Ensemble::new(names.len(), 0.0, &trees)?),
        divisor,
        link: link_of(header.fields.get("objective").map_or("", |(_, text)| text))?,
        golden: Vec::new(),
        remark: String::new(),
    })
}

/// Sets the categories of the columns that a pandas frame numbered: the last line has a list for each of them, in order.
fn set_categories(text: &str, header: &Block<'_>, columns: &mut [Column]) -> Result<(), ImportError> {
    let wrong = |detail: String| unsupported("pandas_categorical", detail);
    let line = text.lines().find_map(|line| line.strip_prefix("pandas_categorical:")).unwrap_or_default();
    let lists: Option<Vec<Vec<Value>>> = match line.trim() {
        "" => None,
        line => serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?,
    };
    let Some(lists) = lists.filter(|lists| !lists.is_empty()) else { return Ok(()) };
    // Bounds in brackets are those of numbers. A column of one value is never used and has none: it may be one of categories.
    let infos: Vec<&str> = header.text("feature_infos")?.split(' ').collect();
    let places = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..infos.len()).filter(|at| is_wanted(infos[*at])).collect()
    };
    let used = places(&|info| !info.starts_with('[') && info != "none");
    let all = places(&|info| !info.starts_with('['));
    let n_lists = lists.len();
    let categorical =
        [used, all].into_iter().find(|places| places.len() == n_lists && infos.len() == columns.len());
    let categorical = categorical.ok_or_else(|| {
        wrong(format!(
            "{n_lists} lists of categories do not fit the columns of categories in feature_infos: name no columns of numbers in \
             categorical_feature, and leave out columns of one value"
        ))
    })?;
    for (at, list) in categorical.into_iter().zip(lists) {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), String::from);
        columns[at].categories = list.into_iter().map(text).collect();
    }
    Ok(())
}

/// The lines of the header or of a tree.
struct Block<'a> {
    /// Name for messages, such as "the header" or "tree 3".
    name: String,
    /// Line number and value of each key.
    fields: HashMap<&'a str, (usize, &'a str)>,
}

fn blocks_of(text: &str) -> Result<Vec<Block<'_>>, ImportError> {
    let syntax = |detail: String| ImportError::Syntax { format: FORMAT, detail };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    match lines.next() {
        Some((_, "tree")) => (),
        first => {
            let found: String = first.map_or("", |(_, line)| line).chars().take(40).collect();
            return Err(syntax(format!("line 1 is {found:?}, expected \"tree\"")));
        }
    }
    let mut blocks = vec![Block { name: "the header".into(), fields: HashMap::new() }];
    let mut is_whole = false;
    for (number, line) in lines {
        if line == "end of trees" {
            is_whole = true;
            break;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            blocks.push(Block { name: format!("tree {value}"), fields: HashMap::new() });
        } else if let (Some(block), false) = (blocks.last_mut(), key.is_empty()) {
            block.fields.insert(key, (number, value));
        }
    }
    match is_whole {
        true => Ok(blocks),
        false => Err(syntax("the line \"end of trees\" is missing: the file is cut off".into())),
    }
}

impl<'a> Block<'a> {
    fn text(&self, key: &str) -> Result<&'a str, ImportError> {
        let found = self.fields.get(key).map(|(_, value)| *value);
        found.ok_or_else(|| unsupported(&self.name, format!("the field {key} is missing")))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T, ImportError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.not_numbers(key, text))
    }

    /// Parses the value of a key as a list of `len` numbers.
    fn numbers<T: FromStr>(&self, key: &str, len: usize) -> Result<Vec<T>, ImportError> {
        let text = self.text(key)?;
        let parsed: Result<Vec<T>, ImportError> =
            text.split_whitespace().map(|one| one.parse().map_err(|_| self.not_numbers(key, one))).collect();
        let parsed = parsed?;
        if parsed.len() != len {
            let detail = format!("{} numbers in {key}, expected {len}", parsed.len());
            return Err(unsupported(self.place(key), detail));
        }
        Ok(parsed)
    }

    fn not_numbers(&self, key: &str, found: &str) -> ImportError {
        let found: String = found.chars().take(40).collect();
        unsupported(self.place(key), format!("{key} has {found:?}, expected a number"))
    }

    fn place(&self, key: &str) -> String {
        let line = self.fields.get(key).map_or(0, |(line, _)| *line);
        format!("{}, line {line}", self.name)
    }
}

fn read_tree(block: &Block<'_>, readings: &mut [Option<Reading>]) -> Result<Tree, ImportError> {
    if block.fields.get("is_linear").is_some_and(|(_, value)| *value != "0") {
        return Err(unsupported(&block.name, "linear leaves, expected constant ones"));
    }
    let n_leaves: usize = block.number("num_leaves")?;
    let values: Vec<f64> = block.numbers("leaf_value", n_leaves)?;
    if n_leaves == 1 {
        return Ok(Tree { nodes: Vec::new(), leaves: values });
    }
    let n_splits = n_leaves.saturating_sub(1);
    let features: Vec<u32> = block.numbers("split_feature", n_splits)?;
    let thresholds: Vec<f64> = block.numbers("threshold", n_splits)?;
    let decisions: Vec<u8> = block.numbers("decision_type", n_splits)?;
    let children: [Vec<i64>; 2] =
        [block.numbers("left_child", n_splits)?, block.numbers("right_child", n_splits)?];
    let sets = category_sets(block)?;
    // Splits are numbered from 0, and leaves after them.
    let child = |child: i64| match usize::try_from(child) {
        Ok(node) => node,
        Err(_) => n_splits + !child as usize,
    };
    for (feature, decision) in features.iter().zip(&decisions) {
        note_reading(block, *feature, *decision, readings)?;
    }
    tree_of(&block.name, n_splits + n_leaves, 0, |at| {
        if at >= n_splits {
            return Ok(Described::Leaf(values[at - n_splits]));
        }
        let (decision, threshold) = (decisions[at], thresholds[at]);
        let (split, missing_left) = if decision & CATEGORICAL != 0 {
            let set = sets.get(threshold as usize).filter(|_| threshold >= 0.0);
            let set = set
                .ok_or_else(|| unsupported(&block.name, format!("node {at}: no category set {threshold}")))?;
            (Split::OneOf(set.clone()), false)
        } else if decision >> MISSING_SHIFT & 3 == 0 {
            // If missing values were disabled in training, a missing value counts as 0.
            (Split::AtMost(rounded_down(threshold)), 0.0 <= threshold)
        } else {
            (Split::AtMost(rounded_down(threshold)), decision & DEFAULT_LEFT != 0)
        };
        let (left, right) = (child(children[0][at]), child(children[1][at]));
        Ok(Described::Split { feature: features[at], split, missing_left, left, right })
    })
}

/// Records how the feature's values are transformed; all its splits have to agree.
fn note_reading(
    block: &Block<'_>,
    feature: u32,
    decision: u8,
    readings: &mut [Option<Reading>],
) -> Result<(), ImportError> {
    let reading = match (decision & CATEGORICAL != 0, decision >> MISSING_SHIFT & 3) {
        (true, _) => Reading::Plain,
        (false, 1) => Reading::TinyIsMissing,
        (false, 0 | 2) => Reading::TinyIsZero,
        (false, _) => return Err(unsupported(&block.name, format!("decision_type {decision} is unknown"))),
    };
    let n_features = readings.len();
    let Some(known) = readings.get_mut(feature as usize) else {
        let detail = format!("split_feature {feature} of a model with {n_features} features");
        return Err(unsupported(block.place("split_feature"), detail));
    };
    if known.is_some_and(|known| known != reading) {
        let detail = format!("feature {feature} treats missing values or categories in two ways");
        return Err(unsupported(&block.name, detail));
    }
    *known = Some(reading);
    Ok(())
}

/// Reads the category sets that splits refer to by number: set `i` is the bits of `cat_threshold` between
/// `cat_boundaries[i]` and `cat_boundaries[i + 1]`.
fn category_sets(block: &Block<'_>) -> Result<Vec<Categories>, ImportError> {
    let n_sets: usize = block.number("num_cat")?;
    if n_sets == 0 {
        return Ok(Vec::new());
    }
    let bounds: Vec<usize> = block.numbers("cat_boundaries", n_sets.saturating_add(1))?;
    let words: Vec<u32> = block.numbers("cat_threshold", bounds.last().copied().unwrap_or(0))?;
    let set = |bounds: &[usize]| {
        let words = words.get(bounds[0]..bounds[1]).ok_or_else(|| {
            unsupported(block.place("cat_boundaries"), "the boundaries do not ascend within cat_threshold")
        })?;
        let codes = words.iter().enumerate().flat_map(|(at, word)| {
            (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u32 * 32 + bit)
        });
        Categories::new(codes).map_err(|code| {
            let detail = format!("category {code}, expected less than {}", Categories::LIMIT);
            unsupported(block.place("cat_threshold"), detail)
        })
    };
    bounds.windows(2).map(set).collect()
}

fn link_of(objective: &str) -> Result<Link, ImportError> {
    let mut words = objective.split_whitespace();
    let name = words.next().unwrap_or("");
    let rest: Vec<&str> = words.collect();
    match name {
        "binary" | "cross_entropy" => {
            let scale = rest.iter().find_map(|word| word.strip_prefix("sigmoid:"));
            let scale = scale.map_or(Ok(1.0), str::parse);
            let scale = scale
                .map_err(|_| unsupported("objective", format!("{objective:?}: sigmoid is no number")))?;
            Ok(Link::Logistic { scale })
        }
        "poisson" | "gamma" | "tweedie" => Ok(Link::Exp),
        "regression" if rest.contains(&"sqrt") => Ok(Link::SignedSquare),
        "" | "custom" | "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => {
            Ok(Link::Identity)
        }
        _ => {
            let detail = format!(
                "{objective:?}, expected a regression (regression_l1, huber, fair, quantile, mape, poisson, gamma or tweedie too), binary or cross_entropy"
            );
            Err(unsupported("objective", detail))
        }
    }
}
