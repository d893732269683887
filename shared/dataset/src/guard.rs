//! Limits that are checked before anything is decoded, because a few kilobytes of Parquet can decode to gigabytes.

use std::str::FromStr;

use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use crate::reader::ReadError;

/// How to read timestamps that are adjusted to UTC, as Spark and DuckDB write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UtcTimes {
    /// As instants, which are converted to New York local time.
    #[default]
    Convert,
    /// As New York local time: their writer only labelled it UTC.
    Wall,
}

impl FromStr for UtcTimes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "convert" => Ok(Self::Convert),
            "wall" => Ok(Self::Wall),
            other => Err(format!("{other:?}: expected convert or wall")),
        }
    }
}

/// How a file is read, and upper bounds for it. The defaults are several times the largest month that the TLC has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the footer.
    pub footer_bytes: u64,
    /// Rows of the file.
    pub rows: u64,
    /// Row groups of the file.
    pub row_groups: u64,
    /// Columns of the file, those that are not read among them.
    pub columns: u64,
    /// Decoded bytes of one row group, of the columns that are read, as the footer states them; one group is in memory at a time.
    pub group_bytes: u64,
    /// How to read timestamps that are adjusted to UTC.
    pub utc_times: UtcTimes,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 30,
            footer_bytes: 16 << 20,
            rows: 20_000_000,
            row_groups: 10_000,
            columns: 20_000,
            group_bytes: 768 << 20,
            utc_times: UtcTimes::default(),
        }
    }
}

impl ReadOptions {
    pub(crate) fn check_file(&self, file_bytes: u64) -> Result<(), ReadError> {
        at_most("bytes", file_bytes, self.file_bytes)
    }

    /// Checks the footer's length: the last 8 bytes of a file are that length and `PAR1`.
    pub(crate) fn check_tail(&self, tail: &[u8]) -> Result<(), ReadError> {
        if tail.ends_with(b"PARE") {
            return Err(ReadError::Encrypted);
        }
        let footer = tail.split_last_chunk::<4>().filter(|(_, magic)| *magic == b"PAR1");
        let length = footer.and_then(|(rest, _)| rest.split_last_chunk::<4>());
        let (_, length) = length.ok_or_else(|| ReadError::NotParquet {
            detail: "expected it to end with a footer length and PAR1".into(),
        })?;
        at_most("bytes of footer", u64::from(u32::from_le_bytes(*length)), self.footer_bytes)
    }

    pub(crate) fn check_metadata(
        &self,
        metadata: &ParquetMetaData,
        file_bytes: u64,
    ) -> Result<(), ReadError> {
        let file = metadata.file_metadata();
        let counted = |what: &str, found: i64| {
            u64::try_from(found)
                .map_err(|_| ReadError::NotParquet { detail: format!("it states {found} {what}") })
        };
        at_most("rows", counted("rows", file.num_rows())?, self.rows)?;
        at_most("row groups", metadata.num_row_groups() as u64, self.row_groups)?;
        at_most("columns", file.schema_descr().num_columns() as u64, self.columns)?;
        let mut rows = 0;
        for group in metadata.row_groups() {
            rows += counted("rows in a row group", group.num_rows())?;
            for chunk in group.columns() {
                let (start, bytes) = chunk.byte_range();
                if start.checked_add(bytes).is_none_or(|end| end > file_bytes) {
                    let column = chunk.column_path();
                    let detail = format!("column {column} lies outside of the file's {file_bytes} bytes");
                    return Err(ReadError::NotParquet { detail });
                }
                counted("bytes in a column", chunk.uncompressed_size())?;
            }
        }
        if rows != counted("rows", file.num_rows())? {
            let detail = format!("its row groups have {rows} rows, it states {}", file.num_rows());
            return Err(ReadError::NotParquet { detail });
        }
        Ok(())
    }
}

impl ReadOptions {
    /// Checks the size of every row group once decoded, of the leaves that are read.
    pub(crate) fn check_groups(
        &self,
        metadata: &ParquetMetaData,
        is_read: impl Fn(usize) -> bool,
    ) -> Result<(), ReadError> {
        for group in metadata.row_groups() {
            let read = group.columns().iter().enumerate().filter(|(leaf, _)| is_read(*leaf));
            let bytes = read.map(|(_, chunk)| u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX));
            let decoded = bytes.fold(0u64, u64::saturating_add);
            at_most("decoded bytes in a row group", decoded, self.group_bytes)?;
        }
        Ok(())
    }
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), ReadError> {
    if found > limit { Err(ReadError::Limit { what, found, limit }) } else { Ok(()) }
}
