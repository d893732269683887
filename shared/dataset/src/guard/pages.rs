//! Checks the pages of a column chunk before they are decoded: sizes and counts against the bytes that are there, and what
//! they decompress to.

use std::io::{Read, copy, sink};

use parquet::basic::{Compression, Encoding, Type};
use parquet::file::metadata::ColumnChunkMetaData;

use super::thrift::{Field, Kind, Seen, walk};
use crate::decode::ROWS_AT_ONCE;

/// Decoded bytes of a page. Writers close a page at 1 MiB, DuckDB at 100 MB.
const PAGE_BYTES_MAX: i64 = 128 << 20;

/// Bytes of copies of a dictionary's entries for a batch of rows; zones as text take 3 MB by the bound that is used.
const COPIED_BYTES_MAX: u64 = 16 << 20;

/// What the pages of a chunk need.
pub(super) struct PagesFound {
    /// Decoded bytes of its largest page, of its dictionary and of their levels.
    pub(super) largest: u64,
    /// Whether the check was complete: there are encodings whose lengths are seen only by decoding them.
    pub(super) is_complete: bool,
}

#[derive(Default)]
struct Header {
    kind: Option<i64>,
    decoded: i64,
    stored: i64,
    dictionary: Option<i64>,
    data: Option<i64>,
    encoding: i64,
    levels: i64,
    is_stored_plain: bool,
}

/// Checks the pages in `bytes`, which are those of `chunk`, of a row group of `rows` rows.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(bytes: &[u8], chunk: &ColumnChunkMetaData, rows: u64) -> Result<PagesFound, String> {
    let (mut at, mut values, mut decoded, mut page) = (0, 0u64, 0u64, 0u64);
    let mut found = PagesFound { largest: 0, is_complete: is_bounded(chunk.compression()) };
    let mut dictionary = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (header, length) = header(rest).map_err(|error| format!("page {page}: {error}"))?;
        let body = rest.get(length..).unwrap_or_default();
        let stored = usize::try_from(header.stored).ok().and_then(|stored| body.get(..stored));
        let Some(stored) = stored else {
            return Err(format!("page {page} has {} bytes where {} are left", header.stored, body.len()));
        };
        if !(0..=PAGE_BYTES_MAX).contains(&header.decoded) {
            let stated = header.decoded;
            return Err(format!("page {page} decodes to {stated} bytes: at most {PAGE_BYTES_MAX} are read"));
        }
        decoded += header.decoded as u64 + length as u64;
        if decoded > u64::try_from(chunk.uncompressed_size()).unwrap_or_default() {
            let stated = chunk.uncompressed_size();
            return Err(format!("its pages decode to {decoded} bytes and more, the footer states {stated}"));
        }
        check_counts(&header, chunk, page, rows - values)?;
        check_decompression(&header, chunk.compression(), stored, page)?;
        match header.kind {
            Some(DICTIONARY_PAGE) if page == 0 => {
                dictionary = header.decoded as u64;
                found.is_complete &= is_copied_in_bounds(&header, chunk, rows);
            }
            Some(DICTIONARY_PAGE) => return Err(format!("page {page} is a second dictionary")),
            _ => {
                values += header.data.unwrap_or_default() as u64;
                found.largest = found.largest.max(header.decoded as u64);
            }
        }
        found.is_complete &= is_countable(&header);
        at += length + stored.len();
        page += 1;
    }
    found.largest += dictionary;
    if values != rows {
        return Err(format!("its pages have {values} values, the row group {rows} rows"));
    }
    Ok(found)
}

fn header(bytes: &[u8]) -> Result<(Header, usize), String> {
    let mut header = Header::default();
    let length = walk(bytes, PAGE, &mut |seen, value| {
        match seen {
            // A header of each type may be there, but only one counts.
            Seen::DataValues if header.data.is_some() => return Err("it has two data page headers".into()),
            Seen::PageType => header.kind = Some(value),
            Seen::DecodedSize => header.decoded = value,
            Seen::StoredSize => header.stored = value,
            Seen::DictionaryValues => header.dictionary = Some(value),
            Seen::DataValues => header.data = Some(value),
            Seen::DictionaryEncoding | Seen::DataEncoding => header.encoding = value,
            Seen::LevelBytes if value < 0 => return Err(format!("it has {value} bytes of levels")),
            Seen::LevelBytes => header.levels = header.levels.saturating_add(value),
            Seen::IsCompressed => header.is_stored_plain = value == 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok((header, length))
}

fn check_counts(
    header: &Header,
    chunk: &ColumnChunkMetaData,
    page: u64,
    rows_left: u64,
) -> Result<(), String> {
    match (header.kind, header.data, header.dictionary) {
        (Some(DATA_PAGE | DATA_PAGE_V2), Some(values), None) => {
            if u64::try_from(values).is_ok_and(|values| values <= rows_left) {
                return Ok(());
            }
            Err(format!("page {page} has {values} values where {rows_left} rows are left"))
        }
        (Some(DICTIONARY_PAGE), None, Some(values)) => {
            let column = chunk.column_descr();
            let bits = match chunk.column_type() {
                Type::BOOLEAN => 1,
                Type::INT32 | Type::FLOAT => 32,
                Type::INT64 | Type::DOUBLE => 64,
                Type::INT96 => 96,
                // A length before each value.
                Type::BYTE_ARRAY => 32,
                Type::FIXED_LEN_BYTE_ARRAY => i64::from(column.type_length()).saturating_mul(8).max(8),
            };
            let room = header.decoded.saturating_mul(8) / bits;
            if (0..=room).contains(&values) {
                return Ok(());
            }
            Err(format!("the dictionary has {values} values where {room} have room"))
        }
        (kind, ..) => Err(format!("page {page} has type {kind:?}, or counts of another type")),
    }
}

/// Returns whether what is decompressed never exceeds the size that the page states.
fn is_bounded(codec: Compression) -> bool {
    !matches!(codec, Compression::LZ4 | Compression::LZO)
}

/// Returns whether the header counts the values of the page: byte arrays with delta lengths count their own.
fn is_countable(header: &Header) -> bool {
    let delta = [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY];
    !delta.iter().any(|encoding| *encoding as i64 == header.encoding)
}

/// Returns whether copies of a text dictionary's entries, one for each row of a batch, stay small: an entry can be as long as all bytes
/// without the lengths of the others.
fn is_copied_in_bounds(header: &Header, chunk: &ColumnChunkMetaData, rows: u64) -> bool {
    let lengths = header.dictionary.unwrap_or_default().saturating_mul(4);
    let longest = header.decoded.saturating_sub(lengths).max(0) as u64;
    chunk.column_type() != Type::BYTE_ARRAY
        || longest.saturating_mul(rows.min(ROWS_AT_ONCE as u64)) <= COPIED_BYTES_MAX
}

/// Gzip and Brotli are decompressed to their end, whatever the page states, so it is done here once with bounded memory.
fn check_decompression(header: &Header, codec: Compression, stored: &[u8], page: u64) -> Result<(), String> {
    let levels = if header.kind == Some(DATA_PAGE_V2) { header.levels } else { 0 };
    let stored = usize::try_from(levels).ok().and_then(|levels| stored.get(levels..));
    let stored = stored
        .filter(|_| levels <= header.decoded)
        .ok_or_else(|| format!("page {page} has {levels} bytes of levels, more than it has in all"))?;
    let stated = header.decoded.saturating_sub(levels).max(0) as u64;
    let bounded = |decoder: &mut dyn Read| match copy(&mut decoder.take(stated + 1), &mut sink()) {
        Ok(decoded) if decoded > stated => {
            Err(format!("page {page} decompresses to more than the {stated} bytes that it states"))
        }
        // Damage is named by the decoder.
        Ok(_) | Err(_) => Ok(()),
    };
    match codec {
        _ if header.is_stored_plain => Ok(()),
        Compression::GZIP(_) => bounded(&mut flate2::read::MultiGzDecoder::new(stored)),
        Compression::BROTLI(_) => bounded(&mut brotli::Decompressor::new(stored, 8192)),
        _ => Ok(()),
    }
}

const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

static PAGE: &[Field] = &[
    Field(1, Kind::Int, Some(Seen::PageType)),
    Field(2, Kind::Int, Some(Seen::DecodedSize)),
    Field(3, Kind::Int, Some(Seen::StoredSize)),
    Field(4, Kind::Int, None),
    Field(5, Kind::Struct(DATA_PAGE_HEADER), None),
    Field(6, Kind::Struct(&[]), None),
    Field(7, Kind::Struct(DICTIONARY_PAGE_HEADER), None),
    Field(8, Kind::Struct(DATA_PAGE_HEADER_V2), None),
];
static DATA_PAGE_HEADER: &[Field] = &[
    Field(1, Kind::Int, Some(Seen::DataValues)),
    Field(2, Kind::Int, Some(Seen::DataEncoding)),
    Field(3, Kind::Int, None),
    Field(4, Kind::Int, None),
];
static DICTIONARY_PAGE_HEADER: &[Field] = &[
    Field(1, Kind::Int, Some(Seen::DictionaryValues)),
    Field(2, Kind::Int, Some(Seen::DictionaryEncoding)),
    Field(3, Kind::Bool, None),
];
static DATA_PAGE_HEADER_V2: &[Field] = &[
    Field(1, Kind::Int, Some(Seen::DataValues)),
    Field(2, Kind::Int, None),
    Field(3, Kind::Int, None),
    Field(4, Kind::Int, Some(Seen::DataEncoding)),
    Field(5, Kind::Int, Some(Seen::LevelBytes)),
    Field(6, Kind::Int, Some(Seen::LevelBytes)),
    Field(7, Kind::Bool, Some(Seen::IsCompressed)),
];
