//! Tensors of the Open Inference Protocol: trips as columns, and predictions as columns.

use model::{Bundle, PredictionBatch};
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::rows::{Column, Row};
use crate::trips::{Stated, few_enough};

/// The columns that are taken, and the types that they are stated with; other numeric types are taken for numbers, too.
pub const INPUTS: [(&str, &str); 8] = [
    ("PULocationID", "INT64"),
    ("DOLocationID", "INT64"),
    ("trip_distance", "FP64"),
    ("pickup_datetime", "BYTES"),
    ("passenger_count", "INT64"),
    ("RatecodeID", "INT64"),
    ("trip_type", "INT64"),
    ("VendorID", "INT64"),
];

/// The types of the protocol whose values are numbers.
const NUMBERS: [&str; 12] = [
    "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16",
];

/// An answered column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Minutes.
    Duration,
    /// The lower end of the interval that 90 % of rides like it fall into, minutes.
    DurationLower,
    /// Its upper end, minutes.
    DurationUpper,
    /// Probability of a tip.
    TipProbability,
    /// Fields whose values could not be used, so that they count as missing, with commas between them.
    Unusable,
}

/// All of them.
pub const OUTPUTS: [Output; 5] = [
    Output::Duration,
    Output::DurationLower,
    Output::DurationUpper,
    Output::TipProbability,
    Output::Unusable,
];

impl Output {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::DurationLower => "duration_lower",
            Self::DurationUpper => "duration_upper",
            Self::TipProbability => "tip_probability",
            Self::Unusable => "unusable",
        }
    }

    /// Returns the protocol's type of its values.
    pub fn datatype(self) -> &'static str {
        if self == Self::Unusable { "BYTES" } else { "FP64" }
    }

    /// Returns whether a bundle answers it.
    pub fn is_of(self, bundle: &Bundle) -> bool {
        self != Self::TipProbability || bundle.tip_version().is_some()
    }

    /// Returns its value for a trip.
    pub fn value(self, stated: &Stated, batch: &PredictionBatch, row: usize) -> Value {
        match self {
            Self::Duration => batch.duration_min[row].into(),
            Self::DurationLower => batch.lower_min[row].into(),
            Self::DurationUpper => batch.upper_min[row].into(),
            Self::TipProbability => batch.tip_probability.as_ref().map(|all| all[row]).into(),
            Self::Unusable => stated.unusable.join(",").into(),
        }
    }
}

/// What a request states.
#[derive(Debug)]
pub struct InferenceRequest {
    /// Its name.
    pub id: Option<String>,
    /// The trips.
    pub rows: Vec<Row>,
    /// The columns that it wants.
    pub outputs: Vec<Output>,
}

type Fields = Map<String, Value>;

impl InferenceRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// 400 with the tensor that is not as expected, 422 for too many trips.
    pub fn from_json(document: Value, bundle: &Bundle) -> Result<Self, Problem> {
        let Value::Object(mut document) = document else {
            return Err(Problem::bad("body: expected an object with inputs"));
        };
        let id = match document.remove("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(Problem::bad("id: expected a text").of("id")),
        };
        let Some(Value::Array(inputs)) = document.remove("inputs") else {
            return Err(Problem::bad("inputs: expected a list of tensors").of("inputs"));
        };
        let outputs = match document.remove("outputs") {
            None | Some(Value::Null) => OUTPUTS.into_iter().filter(|output| output.is_of(bundle)).collect(),
            Some(Value::Array(outputs)) => outputs_of(&outputs, bundle)?,
            Some(_) => {
                return Err(Problem::bad("outputs: expected a list of objects with a name").of("outputs"));
            }
        };
        Ok(Self { id, rows: rows_of(inputs)?, outputs })
    }
}

/// Returns the outputs that are named, in that order and each once: a repeated one would take its memory again.
fn outputs_of(named: &[Value], bundle: &Bundle) -> Result<Vec<Output>, Problem> {
    let mut outputs = Vec::new();
    for output in named {
        let output = output_of(output, bundle)?;
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(outputs)
}

fn output_of(output: &Value, bundle: &Bundle) -> Result<Output, Problem> {
    let known = || OUTPUTS.into_iter().filter(|output| output.is_of(bundle));
    let name = output.get("name").and_then(Value::as_str);
    known().find(|output| Some(output.name()) == name).ok_or_else(|| {
        let names: Vec<&str> = known().map(Output::name).collect();
        Problem::bad(format!("outputs: expected one of {}", names.join(", "))).of("outputs")
    })
}

fn rows_of(inputs: Vec<Value>) -> Result<Vec<Row>, Problem> {
    let mut rows: Option<Vec<Row>> = None;
    let mut seen = Vec::new();
    for input in inputs {
        let Value::Object(mut input) = input else {
            return Err(
                Problem::bad("inputs: expected objects with name, datatype, shape and data").of("inputs")
            );
        };
        let (name, column) = named(&input)?;
        if seen.contains(&column) {
            return Err(Problem::bad(format!("{name}: expected it once")).of(name));
        }
        seen.push(column);
        let values = values_of(&name, &mut input)?;
        let n = values.len();
        few_enough(n)?;
        let rows = rows.get_or_insert_with(|| vec![Row::default(); n]);
        if rows.len() != n {
            let detail = format!("{name}: expected {} values, as in the first tensor, found {n}", rows.len());
            return Err(Problem::bad(detail).of(name));
        }
        for (row, value) in rows.iter_mut().zip(values) {
            row.set(column, value);
        }
    }
    rows.ok_or_else(|| Problem::bad("inputs: expected a tensor for each column of trips").of("inputs"))
}

/// Returns the name of a tensor and its column. One that is not known is refused: a name that was misspelled must not be a missing value.
fn named(input: &Fields) -> Result<(String, Column), Problem> {
    let name = input.get("name").and_then(Value::as_str).unwrap_or_default();
    match Column::named(name) {
        Some(column @ Column::Field(_)) => Ok((name.into(), column)),
        _ => {
            let found: String = name.chars().take(60).collect();
            let names = INPUTS.map(|(name, _)| name).join(", ");
            Err(Problem::bad(format!("inputs: expected tensors named {names}; found {found:?}")).of("inputs"))
        }
    }
}

/// Returns the values of a tensor: of shape [n] or [n, 1], flat or nested.
fn values_of(name: &str, input: &mut Fields) -> Result<Vec<Value>, Problem> {
    let refused = |what: &str| Problem::bad(format!("{name}: expected {what}")).of(name);
    let is_text = match input.get("datatype").and_then(Value::as_str) {
        Some("BYTES") => true,
        Some(kind) if NUMBERS.contains(&kind) => false,
        _ => return Err(refused("datatype BYTES or one of numbers, such as INT64 or FP64")),
    };
    let shape: Option<Vec<u64>> = match input.get("shape") {
        Some(Value::Array(shape)) => shape.iter().map(Value::as_u64).collect(),
        _ => None,
    };
    let n = match shape.as_deref() {
        Some([n] | [n, 1]) => *n,
        _ => return Err(refused("shape [n] or [n, 1]")),
    };
    let Some(Value::Array(data)) = input.remove("data") else {
        return Err(refused("data, a list of values"));
    };
    if data.len() as u64 != n {
        return Err(refused(&format!("{n} values by its shape, found {}", data.len())));
    }
    let flat = |value| match value {
        Value::Array(mut one) if one.len() == 1 => one.remove(0),
        value => value,
    };
    let values: Vec<Value> = data.into_iter().map(flat).collect();
    let fits = |value: &Value| value.is_null() || if is_text { value.is_string() } else { value.is_number() };
    match values.iter().position(|value| !fits(value)) {
        None => Ok(values),
        Some(at) => {
            let kind = if is_text { "texts" } else { "numbers" };
            Err(refused(&format!("{kind} by its datatype, or null; data[{at}] is neither")))
        }
    }
}
