//! The tables of template.yaml that SQL engines read.

use serde_json::Value;

use super::super::{Collected, many, scalar};
use super::Sam;

impl Sam<'_> {
    pub(super) fn database(&self, name: &str, of: &Value, into: &mut Collected) {
        for (field, value) in [("name", "Name"), ("description", "Description")] {
            into.put(format!("database.{name}.{field}"), self.text(&of["DatabaseInput"][value]));
        }
    }

    pub(super) fn table(&self, name: &str, of: &Value, into: &mut Collected) {
        let (table, stored) = (&of["TableInput"], &of["TableInput"]["StorageDescriptor"]);
        for (field, value) in [
            ("database", &of["DatabaseName"]),
            ("name", &table["Name"]),
            ("description", &table["Description"]),
            ("type", &table["TableType"]),
            ("location", &stored["Location"]),
            ("input", &stored["InputFormat"]),
            ("output", &stored["OutputFormat"]),
            ("serialization", &stored["SerdeInfo"]["SerializationLibrary"]),
        ] {
            into.put(format!("table.{name}.{field}"), self.text(value));
        }
        for (parameter, value) in table["Parameters"].as_object().unwrap() {
            into.put(format!("table.{name}.parameter.{parameter}"), self.text(value));
        }
        for (field, columns) in [("partitions", &table["PartitionKeys"]), ("columns", &stored["Columns"])] {
            let column = |of: &Value| format!("{} {}", scalar(&of["Name"]), scalar(&of["Type"]));
            let columns: Vec<String> = many(columns).into_iter().map(column).collect();
            into.put(format!("table.{name}.{field}"), columns.join(", "));
        }
    }
}
