//! The tables that SQL engines read, beside the files that are written: columns, types and keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use dataset::PredictionsWriter;
use dataset::figures::{self, Figure};
use model::prediction::Versions;
use model::{ModelVersion, Month};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::infrastructure::{Facts, fact, of_sam, of_terraform};

/// Returns the columns of a file as a table declares them, without its partition keys.
fn declared(file: Vec<u8>, partitions: &[&str]) -> String {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let mut columns = Vec::new();
    for field in reader.schema().fields() {
        // Hive's names of Arrow's types. A time without a zone is a wall clock, as in Hive.
        let of_hive = match field.data_type().to_string().as_str() {
            "Utf8" => "string",
            "Int32" => "int",
            "Int64" => "bigint",
            "Float64" => "double",
            "Date32" => "date",
            kind if kind.starts_with("Timestamp") && !kind.contains('"') => "timestamp",
            _ if partitions.contains(&field.name().as_str()) => continue,
            other => panic!("{}: {other} has no type in the tables", field.name()),
        };
        columns.push(format!("{} {of_hive}", field.name().to_lowercase()));
    }
    columns.join(", ")
}

/// Returns the location that a table's projection computes for these partitions, below the bucket.
fn location(facts: &Facts, table: &str, partitions: &BTreeMap<&str, String>) -> String {
    let template = fact(facts, &format!("table.{table}.parameter.storage.location.template"));
    let filled = partitions.iter().fold(template.to_string(), |filled, (name, value)| {
        filled.replace(&format!("${{{name}}}"), value).replace(&format!("$${{{name}}}"), value)
    });
    filled.strip_prefix("s3://{data_bucket.name}/").unwrap_or_else(|| panic!("{filled}")).to_string()
}

fn version(byte: u8) -> ModelVersion {
    ModelVersion::from_bytes(&[byte])
}

#[test]
fn tables_have_the_columns_of_the_files() {
    let versions = Versions { duration: version(1), tip: None };
    let predictions = PredictionsWriter::new("x".into(), "bundle", &versions).unwrap().finish().unwrap();
    let figure = Figure {
        day: "2025-02-05".parse().unwrap(),
        source: "batch",
        signal: "performance",
        name: "rmse_min".into(),
        value: None,
        rows: 0,
    };
    let figures = figures::to_parquet(&[figure]).unwrap();
    for facts in [of_sam(), of_terraform()] {
        let columns = |table: &str| fact(&facts, &format!("table.{table}.columns")).to_string();
        assert_eq!(columns("predictions_table"), declared(predictions.clone(), &["bundle"]));
        assert_eq!(columns("metrics_table"), declared(figures.clone(), &[]));
    }
}

#[test]
fn the_projection_computes_the_keys_that_are_written() {
    let bundle = "9f3c1a7be2d0";
    for facts in [of_sam(), of_terraform()] {
        for month in ["2009-01", "2021-12", "2025-10"] {
            let of: Month = month.parse().unwrap();
            let partitions = BTreeMap::from([("bundle", bundle.to_string()), ("month", month.to_string())]);
            let key = registry::layout::predictions(bundle, Some(of), "a b/green.parquet").unwrap();
            let folder = location(&facts, "predictions_table", &partitions);
            assert_eq!(key.as_str(), format!("{folder}a b/green.parquet"));
            let key = registry::layout::metrics("batch", of).unwrap();
            let folder = location(&facts, "metrics_table", &partitions);
            assert_eq!(key.as_str(), format!("{folder}batch.parquet"));
        }
        let parameter = |name: &str| fact(&facts, &format!("table.predictions_table.parameter.{name}"));
        assert_eq!(
            (parameter("projection.month.format"), parameter("projection.month.interval.unit")),
            ("yyyy-MM", "MONTHS"),
            "as a month is written"
        );
    }
}
