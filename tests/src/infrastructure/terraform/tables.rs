//! The tables of infra/terraform that SQL engines read.

use serde_json::Value;

use super::super::{Collected, many, scalar};
use super::fields;
use super::values::text;

const TABLE: [(&str, &str); 8] = [
    ("database", "database_name"),
    ("name", "name"),
    ("description", "description"),
    ("type", "table_type"),
    ("location", "storage_descriptor.location"),
    ("input", "storage_descriptor.input_format"),
    ("output", "storage_descriptor.output_format"),
    ("serialization", "storage_descriptor.ser_de_info.serialization_library"),
];

pub(super) fn part(kind: &str, name: &str, of: &Value, into: &mut Collected) {
    if kind == "aws_glue_catalog_database" {
        return fields("database", name, of, into, &[("name", "name"), ("description", "description")]);
    }
    fields("table", name, of, into, &TABLE);
    for (parameter, value) in of["parameters"].as_object().unwrap() {
        into.put(format!("table.{name}.parameter.{parameter}"), text(value));
    }
    for (field, columns) in
        [("partitions", &of["partition_keys"]), ("columns", &of["storage_descriptor"]["columns"])]
    {
        let column = |of: &Value| format!("{} {}", scalar(&of["name"]), scalar(&of["type"]));
        let columns: Vec<String> = many(columns).into_iter().map(column).collect();
        into.put(format!("table.{name}.{field}"), columns.join(", "));
    }
}
