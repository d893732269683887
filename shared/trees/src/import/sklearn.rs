//! Reader of the JSON that `tools/export_sklearn` writes from scikit-learn models; its README documents every field.

use serde::Deserialize;

use super::{
    Body, Column, Described, Foreign, Golden, ImportError, Link, Reading, Value, rounded_down, tree_of,
    unsupported,
};
use crate::ensemble::{Ensemble, Split, Tree};

#[derive(Deserialize)]
struct Document {
    format: String,
    version: u32,
    source: Source,
    columns: Vec<FileColumn>,
    kind: String,
    link: String,
    coefficients: Option<Vec<f64>>,
    intercept: Option<f64>,
    combine: Option<String>,
    base: Option<f64>,
    learning_rate: Option<f64>,
    trees: Option<Vec<FileTree>>,
    #[serde(default)]
    golden: Vec<FileGolden>,
}

#[derive(Deserialize)]
struct Source {
    library: String,
    version: String,
    estimator: String,
}

#[derive(Deserialize)]
struct FileColumn {
    name: String,
    equals: Option<String>,
}

#[derive(Deserialize)]
struct FileTree {
    feature: Vec<i64>,
    threshold: Vec<f64>,
    left: Vec<i64>,
    right: Vec<i64>,
    value: Vec<f64>,
    missing_left: Option<Vec<bool>>,
}

#[derive(Deserialize)]
struct FileGolden {
    row: serde_json::Map<String, serde_json::Value>,
    prediction: f64,
}

/// Reads a model from its JSON.
///
/// # Errors
/// [`ImportError`], with the line and column or the field, tree and node.
pub fn read(json: &[u8]) -> Result<Foreign, ImportError> {
    let syntax = |detail: String| ImportError::Syntax { format: "tripcast-sklearn JSON", detail };
    let file: Document = serde_json::from_slice(json).map_err(|error| syntax(error.to_string()))?;
    if (file.format.as_str(), file.version) != ("tripcast-sklearn", 1) {
        let found = format!("{} version {}", file.format, file.version);
        return Err(syntax(format!(
            "{found:?}, expected tripcast-sklearn version 1 as tools/export_sklearn writes it"
        )));
    }
    let link = match file.link.as_str() {
        "identity" => Link::Identity,
        "logistic" => Link::Logistic { scale: 1.0 },
        other => return Err(unsupported("link", format!("{other:?}, expected identity or logistic"))),
    };
    let columns: Vec<Column> = file.columns.iter().map(column_of).collect();
    let (body, divisor) = match file.kind.as_str() {
        "linear" => (linear(&file, columns.len())?, 1.0),
        "trees" => trees(&file, columns.len())?,
        other => return Err(unsupported("kind", format!("{other:?}, expected linear or trees"))),
    };
    let golden = file.golden.iter().enumerate().map(|(at, golden)| golden_of(at, golden));
    let Source { library, version, estimator } = &file.source;
    let source = format!("{library} {version} {estimator}");
    Ok(Foreign {
        source,
        body,
        divisor,
        link,
        golden: golden.collect::<Result<_, _>>()?,
        columns,
        remark: String::new(),
    })
}

fn column_of(column: &FileColumn) -> Column {
    Column {
        name: column.name.clone(),
        equals: column.equals.clone(),
        reading: Reading::Plain,
        categories: Vec::new(),
    }
}

fn missing(field: &str) -> ImportError {
    unsupported(field, "the field is missing")
}

fn linear(file: &Document, n_columns: usize) -> Result<Body, ImportError> {
    let coefficients = file.coefficients.clone().ok_or_else(|| missing("coefficients"))?;
    let intercept = file.intercept.ok_or_else(|| missing("intercept"))?;
    if coefficients.len() != n_columns {
        let detail = format!("{} coefficients for {n_columns} columns", coefficients.len());
        return Err(unsupported("coefficients", detail));
    }
    Ok(Body::Linear { coefficients, intercept })
}

fn trees(file: &Document, n_columns: usize) -> Result<(Body, f64), ImportError> {
    let trees = file.trees.as_ref().ok_or_else(|| missing("trees"))?;
    let rate = file.learning_rate.unwrap_or(1.0);
    let read = trees.iter().enumerate().map(|(position, tree)| read_tree(position, tree, rate));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let divisor = match file.combine.as_deref() {
        Some("sum") => 1.0,
        Some("mean") => read.len().max(1) as f64,
        other => return Err(unsupported("combine", format!("{other:?}, expected sum or mean"))),
    };
    Ok((Body::Trees(Ensemble::new(n_columns, file.base.unwrap_or(0.0), &read)?), divisor))
}

fn read_tree(position: usize, tree: &FileTree, rate: f64) -> Result<Tree, ImportError> {
    let place = format!("tree {position}");
    let n_nodes = tree.left.len();
    for (field, len) in [
        ("feature", tree.feature.len()),
        ("threshold", tree.threshold.len()),
        ("right", tree.right.len()),
        ("value", tree.value.len()),
        ("missing_left", tree.missing_left.as_ref().map_or(n_nodes, Vec::len)),
    ] {
        if len != n_nodes {
            return Err(unsupported(&place, format!("{len} entries in {field}, expected {n_nodes}")));
        }
    }
    tree_of(&place, n_nodes, 0, |at| {
        if tree.left[at] < 0 {
            return Ok(Described::Leaf(tree.value[at] * rate));
        }
        let number = |field: &str, value: i64| {
            let wrong = || {
                unsupported(format!("{place}, node {at}"), format!("{field} is {value}, expected 0 or more"))
            };
            usize::try_from(value).map_err(|_| wrong())
        };
        let feature = number("feature", tree.feature[at])?;
        let (left, right) = (number("left", tree.left[at])?, number("right", tree.right[at])?);
        let split = Split::AtMost(rounded_down(tree.threshold[at]));
        let missing_left = tree.missing_left.as_ref().is_some_and(|sides| sides[at]);
        Ok(Described::Split { feature: feature as u32, split, missing_left, left, right })
    })
}

fn golden_of(position: usize, golden: &FileGolden) -> Result<Golden, ImportError> {
    let value = |(name, value): (&String, &serde_json::Value)| {
        let value = match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(Value::Text(text.clone())),
            serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
            other => {
                let detail = format!("{name} is {other}, expected a number, a text or null");
                return Err(unsupported(format!("golden row {position}"), detail));
            }
        };
        Ok((name.clone(), value))
    };
    let row = golden.row.iter().map(value).collect::<Result<_, _>>()?;
    Ok(Golden { row, prediction: golden.prediction })
}
