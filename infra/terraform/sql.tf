# SQL: tables of predictions and of the monitor's figures, for Athena and others that read Glue's catalog.

# Partitions follow from the keys (projection), so no crawler looks for them. docs/SQL.md has queries.
resource "aws_glue_catalog_database" "database" {
  # Names in SQL have no hyphens.
  name        = replace(var.name, "-", "_")
  description = "${var.name}, predictions and the monitor's figures"
}

resource "aws_glue_catalog_table" "predictions_table" {
  name          = "predictions"
  description   = "Predictions of files; a query names the bundle"
  database_name = aws_glue_catalog_database.database.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                         = "TRUE"
    classification                   = "parquet"
    "projection.enabled"             = "true"
    "projection.bundle.type"         = "injected"
    "projection.month.type"          = "date"
    "projection.month.format"        = "yyyy-MM"
    "projection.month.interval"      = "1"
    "projection.month.interval.unit" = "MONTHS"
    "projection.month.range"         = "2009-01,NOW"
    "storage.location.template"      = "s3://${aws_s3_bucket.data_bucket.bucket}/predictions/bundle=$${bundle}/month=$${month}/"
  }

  partition_keys {
    name = "bundle"
    type = "string"
  }

  partition_keys {
    name = "month"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.data_bucket.bucket}/predictions/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    columns {
      name = "ride_id"
      type = "string"
    }

    columns {
      name = "pickup_datetime"
      type = "timestamp"
    }

    columns {
      name = "pulocationid"
      type = "int"
    }

    columns {
      name = "dolocationid"
      type = "int"
    }

    columns {
      name = "predicted_duration"
      type = "double"
    }

    columns {
      name = "lower"
      type = "double"
    }

    columns {
      name = "upper"
      type = "double"
    }

    columns {
      name = "tip_probability"
      type = "double"
    }

    columns {
      name = "actual_duration"
      type = "double"
    }

    columns {
      name = "diff"
      type = "double"
    }

    columns {
      name = "flags"
      type = "string"
    }

    columns {
      name = "duration_version"
      type = "string"
    }

    columns {
      name = "tip_version"
      type = "string"
    }
  }
}

resource "aws_glue_catalog_table" "metrics_table" {
  name          = "metrics"
  description   = "Figures of the monitor, day by day"
  database_name = aws_glue_catalog_database.database.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                         = "TRUE"
    classification                   = "parquet"
    "projection.enabled"             = "true"
    "projection.month.type"          = "date"
    "projection.month.format"        = "yyyy-MM"
    "projection.month.interval"      = "1"
    "projection.month.interval.unit" = "MONTHS"
    "projection.month.range"         = "2009-01,NOW"
    "storage.location.template"      = "s3://${aws_s3_bucket.data_bucket.bucket}/metrics/month=$${month}/"
  }

  partition_keys {
    name = "month"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.data_bucket.bucket}/metrics/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    columns {
      name = "day"
      type = "date"
    }

    columns {
      name = "source"
      type = "string"
    }

    columns {
      name = "signal"
      type = "string"
    }

    columns {
      name = "name"
      type = "string"
    }

    columns {
      name = "value"
      type = "double"
    }

    columns {
      name = "rows"
      type = "bigint"
    }
  }
}
