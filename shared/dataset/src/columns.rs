//! Which columns of a file hold the logical columns, by their names and types, and what a file lacks.

use std::collections::BTreeMap;

use arrow_schema::Schema;
use serde::Serialize;

use crate::cells::{is_number, is_time};
use crate::guard::UtcTimes;
use crate::reader::ReadError;
use crate::schema::{self, Column, Kind};

/// What was found of the logical columns in a file, and values of them that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FileReport {
    /// The file's columns by logical column, in the order in which their values count, in the file's spelling.
    pub found: BTreeMap<&'static str, Vec<String>>,
    /// Logical columns that the file lacks.
    pub not_found: Vec<&'static str>,
    /// Columns whose type cannot hold the values, which count as missing.
    pub unreadable: Vec<UnreadableColumn>,
    /// Whether its tips count as those of cards: HVFHV has no payment types, since all of its trips are paid through an app.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paid_by_app: bool,
    /// How timestamps that are adjusted to UTC were read; none if the file has none.
    pub utc_times: Option<UtcTimes>,
    /// Values that could not be used, by logical column and reason; they count as missing.
    pub unusable: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

/// A column that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableColumn {
    /// Its name in the file.
    pub name: String,
    /// Its type.
    pub found: String,
    /// What was expected.
    pub expected: &'static str,
}

impl FileReport {
    /// Counts values of `column` that cannot be used.
    pub(crate) fn count(&mut self, column: Column, reason: &'static str, values: u64) {
        if values > 0 {
            *self.unusable.entry(column.names[0]).or_default().entry(reason).or_default() += values;
        }
    }

    /// Returns the number of values that could not be used, by logical column.
    pub fn unusable_values(&self) -> BTreeMap<&'static str, u64> {
        self.unusable.iter().map(|(column, reasons)| (*column, reasons.values().sum())).collect()
    }

    /// Describes in sentences what is missing or could not be used; empty if all is well.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.not_found.is_empty() {
            remarks.push(format!("columns not found, which count as missing: {}", self.not_found.join(", ")));
        }
        for column in &self.unreadable {
            let UnreadableColumn { name, found, expected } = column;
            remarks
                .push(format!("column {name} has type {found}, expected {expected}: it counts as missing"));
        }
        for (column, reasons) in &self.unusable {
            let reasons: Vec<String> = reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            remarks.push(format!("values of {column} that count as missing: {}", reasons.join(", ")));
        }
        if self.paid_by_app {
            remarks.push(
                "trips of HVFHV, which has no payment types: all count as paid through the app, like a card"
                    .into(),
            );
        }
        remarks.extend(self.utc_times.map(|utc| match utc {
            UtcTimes::Convert => "timestamps adjusted to UTC were converted to New York time".to_string(),
            UtcTimes::Wall => "timestamps adjusted to UTC were read as New York time".to_string(),
        }));
        remarks
    }
}

/// The logical columns of a file, each with the positions of the columns that hold it.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) columns: Vec<(Column, Vec<usize>)>,
    pub(crate) report: FileReport,
}

/// A name as it is compared: letters and digits, in lower case.
fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Locates the `wanted` columns among those of a file.
///
/// # Errors
/// [`ReadError::MissingColumn`], [`ReadError::ColumnType`] for a required column, [`ReadError::DuplicateColumn`].
pub(crate) fn locate(schema: &Schema, wanted: &[Column], utc: UtcTimes) -> Result<Located, ReadError> {
    let names: Vec<String> = schema.fields().iter().map(|field| folded(field.name())).collect();
    let mut located = Located::default();
    for column in wanted {
        let spelled = |name: &str| {
            let name = folded(name);
            names.iter().enumerate().filter(move |(_, found)| **found == name).map(|(at, _)| at)
        };
        let places: Vec<usize> =
            column.names.iter().flat_map(|name| spelled(name).collect::<Vec<_>>()).collect();
        let mut found: Vec<usize> = Vec::new();
        for at in places {
            if found.contains(&at) {
                continue;
            }
            let field = schema.field(at);
            if let Some(twice) = found.iter().find(|other| schema.field(**other).name() == field.name()) {
                return Err(ReadError::DuplicateColumn { name: schema.field(*twice).name().clone() });
            }
            let (is_readable, expected) = match column.kind {
                Kind::Number => (is_number(field.data_type()), "a number"),
                Kind::Time => (is_time(field.data_type()), "a timestamp"),
            };
            if is_readable {
                found.push(at);
                continue;
            }
            let (name, kind) = (field.name().clone(), field.data_type().to_string());
            if column.required {
                return Err(ReadError::ColumnType { name, expected, found: kind });
            }
            located.report.unreadable.push(UnreadableColumn { name, found: kind, expected });
        }
        if found.is_empty() && column.required {
            let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(ReadError::MissingColumn { name: column.names[0], found: found.join(", ") });
        }
        let is_utc = |at: &usize| {
            matches!(schema.field(*at).data_type(), arrow_schema::DataType::Timestamp(_, Some(_)))
        };
        if found.iter().any(is_utc) {
            located.report.utc_times = Some(utc);
        }
        match found.is_empty() {
            true => located.report.not_found.push(column.names[0]),
            false => {
                let spellings = found.iter().map(|at| schema.field(*at).name().clone()).collect();
                located.report.found.insert(column.names[0], spellings);
            }
        }
        located.columns.push((*column, found));
    }
    let has = |name: &str| names.iter().any(|found| *found == folded(name));
    let (report, payment) = (&mut located.report, schema::PAYMENT_TYPE.names[0]);
    report.paid_by_app =
        has(schema::HVFHV_LICENSE) && !has(payment) && report.found.contains_key(schema::TIP_AMOUNT.names[0]);
    if report.paid_by_app {
        report.not_found.retain(|column| *column != payment);
    }
    Ok(located)
}
