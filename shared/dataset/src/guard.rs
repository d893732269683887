//! What is checked before anything is decoded, because a few kilobytes of Parquet can decode to gigabytes, and a forged count ends
//! the process where the decoder makes room for it: limits, the footer ([`footer`]) and the pages ([`pages`]).

mod footer;
mod pages;
mod thrift;

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use parquet::basic::Type;
use parquet::file::metadata::ParquetMetaData;
use serde::{Deserialize, Serialize};

use crate::reader::ReadError;

/// How to read timestamps that are adjusted to UTC, as Spark and DuckDB write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Decoded bytes of one row group, of the columns that are read, as the footer states them.
    pub group_bytes: u64,
    /// Decoded bytes of the pages that are in memory at a time: the largest of each column that is read, with its dictionary.
    pub page_bytes: u64,
    /// How to read timestamps that are adjusted to UTC.
    pub utc_times: UtcTimes,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 30,
            footer_bytes: 16 << 20,
            // Months of high-volume services have about 20 million.
            rows: 40_000_000,
            row_groups: 10_000,
            columns: 20_000,
            group_bytes: 768 << 20,
            page_bytes: 256 << 20,
            utc_times: UtcTimes::default(),
        }
    }
}

impl ReadOptions {
    /// Returns options for rows that are used as they are read and not kept: more of them are allowed, as many as five months of the
    /// largest taxis have.
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { rows: 100_000_000, ..self }
    }

    pub(crate) fn check_file(&self, file_bytes: u64) -> Result<(), ReadError> {
        at_most("bytes", file_bytes, self.file_bytes)
    }

    /// Returns the range of the footer, from the end of a file: the last 8 bytes are its length and `PAR1`.
    pub(crate) fn footer(&self, tail: &[u8], file_bytes: u64) -> Result<Range<u64>, ReadError> {
        if tail.ends_with(b"PARE") {
            return Err(ReadError::Encrypted);
        }
        let footer = tail.split_last_chunk::<4>().filter(|(_, magic)| *magic == b"PAR1");
        let length = footer.and_then(|(rest, _)| rest.split_last_chunk::<4>());
        let (_, length) =
            length.ok_or_else(|| not_parquet("expected it to end with a footer length and PAR1".into()))?;
        let length = u64::from(u32::from_le_bytes(*length));
        at_most("bytes of footer", length, self.footer_bytes)?;
        let end = file_bytes.saturating_sub(8);
        let start = end.checked_sub(length);
        let start = start.ok_or_else(|| {
            not_parquet(format!("its footer of {length} bytes does not fit into its {file_bytes} bytes"))
        })?;
        Ok(start..end)
    }

    /// Checks the bytes of a footer before they are decoded.
    pub(crate) fn check_footer(&self, bytes: &[u8]) -> Result<(), ReadError> {
        let stated = footer::check(bytes).map_err(not_parquet)?;
        at_most("columns", stated.elements, self.columns.saturating_mul(2))?;
        at_most("row groups", stated.row_groups, self.row_groups)?;
        at_most("columns in all row groups", stated.chunks, CHUNKS_MAX)
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
        let stated = counted("rows", file.num_rows())?;
        at_most("rows", stated, self.rows)?;
        if stated > ROWS_ALWAYS.saturating_add(ROWS_PER_BYTE.saturating_mul(file_bytes)) {
            let detail = format!(
                "it states {stated} rows in {file_bytes} bytes: at most {ROWS_PER_BYTE} rows per byte are read"
            );
            return Err(not_parquet(detail));
        }
        at_most("row groups", metadata.num_row_groups() as u64, self.row_groups)?;
        at_most("columns", file.schema_descr().num_columns() as u64, self.columns)?;
        let mut rows = 0;
        for group in metadata.row_groups() {
            rows += counted("rows in a row group", group.num_rows())?;
            for chunk in group.columns() {
                let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
                let end = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
                let end = end.and_then(|(start, bytes)| start.checked_add(bytes));
                if end.is_none_or(|end| end > file_bytes) {
                    let column = chunk.column_path();
                    return Err(not_parquet(format!(
                        "column {column} lies outside of the file's {file_bytes} bytes"
                    )));
                }
                counted("bytes in a column", chunk.uncompressed_size())?;
            }
        }
        if rows != stated {
            let detail = format!("its row groups have {rows} rows, it states {}", file.num_rows());
            return Err(ReadError::NotParquet { detail });
        }
        Ok(())
    }
}

impl ReadOptions {
    /// Checks the chunks of the leaves that are read, whose sizes count once decoded, and returns the guard of their pages.
    pub(crate) fn check_chunks(
        &self,
        metadata: &ParquetMetaData,
        file_bytes: u64,
        is_read: impl Fn(usize) -> bool,
    ) -> Result<PageGuard, ReadError> {
        let mut guard = PageGuard { limit: self.page_bytes, ..PageGuard::default() };
        let (mut decoded_in_all, mut read) = (0u64, 0);
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let mut decoded = 0u64;
            for (leaf, chunk) in group.columns().iter().enumerate().filter(|(leaf, _)| is_read(*leaf)) {
                let column = chunk.column_descr();
                let width = column.type_length();
                if column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY && !(1..=WIDTH_MAX).contains(&width) {
                    let name = chunk.column_path();
                    return Err(not_parquet(format!("column {name} has values of {width} bytes")));
                }
                let bytes = u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX);
                decoded = decoded.saturating_add(bytes);
                let (start, length) = chunk.byte_range();
                // A row group without rows may have columns without bytes, all at one place.
                if length > 0 || group.num_rows() > 0 {
                    read += 1;
                    guard.chunks.insert(start, (length, index, leaf));
                }
            }
            at_most("decoded bytes in a row group", decoded, self.group_bytes)?;
            decoded_in_all = decoded_in_all.saturating_add(decoded);
        }
        let allowed = DECODED_ALWAYS.saturating_add(DECODED_PER_BYTE.saturating_mul(file_bytes));
        at_most("decoded bytes, more than its size bears out", decoded_in_all, allowed)?;
        let mut ranges: Vec<(u64, u64)> =
            guard.chunks.iter().map(|(start, found)| (*start, found.0)).collect();
        ranges.sort_unstable();
        let overlap = ranges.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0);
        if overlap || read != ranges.len() {
            return Err(not_parquet("two of its columns lie in the same bytes".into()));
        }
        Ok(guard)
    }
}

/// Checks pages as their bytes come.
#[derive(Debug, Default)]
pub(crate) struct PageGuard {
    /// Length, row group and leaf of each chunk that is read, by its first byte.
    chunks: HashMap<u64, (u64, usize, usize)>,
    limit: u64,
    group: usize,
    in_memory: u64,
}

impl PageGuard {
    /// Checks the pages in `bytes`, of the chunk that begins at `start`. Returns its row group, and whether the check was complete.
    pub(crate) fn check(
        &mut self,
        metadata: &ParquetMetaData,
        start: u64,
        bytes: &[u8],
    ) -> Result<(usize, bool), ReadError> {
        let known = self.chunks.get(&start).filter(|known| known.0 == bytes.len() as u64);
        let Some((_, group, leaf)) = known.copied() else {
            return Err(not_parquet(format!("no column has the {} bytes at {start}", bytes.len())));
        };
        let of_group = metadata.row_group(group);
        let chunk = of_group.column(leaf);
        let rows = u64::try_from(of_group.num_rows()).unwrap_or_default();
        let found = pages::check(bytes, chunk, rows)
            .map_err(|detail| not_parquet(format!("column {}: {detail}", chunk.column_path())))?;
        if group != self.group {
            (self.group, self.in_memory) = (group, 0);
        }
        self.in_memory += found.largest;
        at_most("decoded bytes in the pages of a row group", self.in_memory, self.limit)?;
        Ok((group, found.is_complete))
    }
}

fn not_parquet(detail: String) -> ReadError {
    ReadError::NotParquet { detail }
}

/// Rows that a file of any size may have, and rows for each of its bytes: months of the TLC have a row in 15 to 25 bytes.
const ROWS_ALWAYS: u64 = 1_000_000;
const ROWS_PER_BYTE: u64 = 64;

/// Decoded bytes that a file of any size may have, and for each of its bytes: months of the TLC have 2 to 6.
const DECODED_ALWAYS: u64 = 64 << 20;
const DECODED_PER_BYTE: u64 = 200;

/// Columns in all row groups. Each takes half a kilobyte once decoded.
const CHUNKS_MAX: u64 = 400_000;

/// Bytes of a value of fixed width; the widest decimal has 32.
const WIDTH_MAX: i32 = 32;

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), ReadError> {
    if found > limit { Err(ReadError::Limit { what, found, limit }) } else { Ok(()) }
}
