//! Makes Parquet files that an attacker could drop: small files of trips of many codecs and encodings, with forged counts, lengths
//! and bytes. A seed names a file.

pub mod spans;

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spans::{Kind, Span, encoded, spans, varint, zigzag};

const ROWS: usize = 240;

/// A file from which others are made.
pub struct Base {
    pub name: String,
    pub bytes: Bytes,
}

/// Returns valid files of every codec and encoding that is read.
pub fn bases() -> Vec<Base> {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
    ];
    let mut bases = Vec::new();
    for codec in codecs {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [None, Some(Encoding::PLAIN), Some(Encoding::DELTA_BYTE_ARRAY)] {
                let name = format!("{codec:?} {version:?} {encoding:?}");
                bases.push(Base { name, bytes: base(codec, version, encoding) });
            }
        }
    }
    bases
}

/// Encodes trips; without an encoding the columns have dictionaries, and with delta encoding for texts the others have theirs.
fn base(codec: Compression, version: WriterVersion, encoding: Option<Encoding>) -> Bytes {
    let at = |row: usize| 1_610_000_000_000_000 + row as i64 * 61_000_000;
    let zones = |by: usize| (0..ROWS).map(move |row| (row % 10 != 3).then_some((row * by % 263 + 1) as i64));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("lpep_pickup_datetime", Arc::new(TimestampMicrosecondArray::from_iter_values((0..ROWS).map(at)))),
        (
            "lpep_dropoff_datetime",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                (0..ROWS).map(|row| at(row) + 600_000_000 + row as i64),
            )),
        ),
        ("PULocationID", Arc::new(Int64Array::from_iter(zones(7)))),
        (
            "DOLocationID",
            Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| (row * 11 % 263 + 1) as i64))),
        ),
        ("trip_distance", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64 / 17.0)))),
        (
            "fare_amount",
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{}.5", row % 50)))),
        ),
        (
            "total_amount",
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{}", row % 70)))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_writer_version(version)
        .set_max_row_group_row_count(Some(ROWS / 2))
        .set_data_page_row_count_limit(40)
        .set_write_batch_size(20)
        .set_dictionary_enabled(encoding.is_none());
    if let Some(encoding) = encoding {
        let (number, text) = match encoding {
            Encoding::PLAIN => (Encoding::PLAIN, Encoding::PLAIN),
            text => (Encoding::DELTA_BINARY_PACKED, text),
        };
        for name in ["lpep_pickup_datetime", "lpep_dropoff_datetime", "PULocationID", "DOLocationID"] {
            properties = properties.set_column_encoding(ColumnPath::from(name), number);
        }
        properties = properties.set_column_encoding(ColumnPath::from("fare_amount"), text);
        let other = if text == Encoding::PLAIN { text } else { Encoding::DELTA_LENGTH_BYTE_ARRAY };
        properties = properties.set_column_encoding(ColumnPath::from("total_amount"), other);
        if text != Encoding::PLAIN {
            properties = properties
                .set_column_encoding(ColumnPath::from("trip_distance"), Encoding::BYTE_STREAM_SPLIT);
        }
    }
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    Bytes::from(bytes)
}

/// A file in its parts, to be put together with a footer length that fits.
#[derive(Clone)]
struct Parts {
    data: Vec<u8>,
    footer: Vec<u8>,
}

impl Parts {
    fn of(file: &[u8]) -> Self {
        let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        let (data, footer) = file[..file.len() - 8].split_at(file.len() - 8 - length);
        Self { data: data.to_vec(), footer: footer.to_vec() }
    }

    fn file(&self) -> Vec<u8> {
        let length = (self.footer.len() as u32).to_le_bytes();
        [&self.data[..], &self.footer, &length, b"PAR1"].concat()
    }

    fn spans(&self) -> Vec<Span> {
        spans(&self.footer).unwrap().0
    }

    fn value(&self, path: &[i64]) -> Option<i64> {
        self.spans().into_iter().find_map(|span| match span.kind {
            Kind::Integer(value) if span.path == path => Some(value),
            _ => None,
        })
    }

    fn set(&mut self, path: &[i64], value: i64) {
        let span = self.spans().into_iter().find(|span| span.path == path);
        if let Some(span) = span {
            splice(&mut self.footer, &span, &encoded(span.kind, value));
        }
    }

    /// Replaces the chunk of a column by other bytes, at the end of the data, and lets the footer say so.
    fn replace_chunk(&mut self, group: i64, column: i64, bytes: &[u8], decoded: Option<i64>) {
        let field = |number| vec![4, group, 1, column, 3, number];
        let start = self.data.len() as i64;
        let first = self.value(&field(11)).unwrap_or(i64::MAX).min(self.value(&field(9)).unwrap());
        let data = self.value(&field(9)).unwrap() - first;
        self.set(&field(11), start);
        self.set(&field(9), start + data);
        self.set(&field(7), bytes.len() as i64);
        if let Some(decoded) = decoded {
            self.set(&field(6), decoded);
        }
        self.data.extend_from_slice(bytes);
    }

    fn chunk(&self, group: i64, column: i64) -> Vec<u8> {
        let value = |number| self.value(&[4, group, 1, column, 3, number]);
        let start = value(11).filter(|at| *at > 0).unwrap_or(i64::MAX).min(value(9).unwrap()) as usize;
        self.data[start..start + value(7).unwrap() as usize].to_vec()
    }
}

fn splice(bytes: &mut Vec<u8>, span: &Span, by: &[u8]) {
    bytes.splice(span.at..span.at + span.length, by.iter().copied());
}

/// Makes one forged file of `base`, and says what was forged.
pub fn forged(base: &Base, seed: u64) -> (String, Vec<u8>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut parts = Parts::of(&base.bytes);
    let what = match random.random_range(0..10) {
        0..=3 => {
            let times = random.random_range(1..4);
            let forged: Vec<String> = (0..times)
                .map(|_| {
                    let spans = spans(&parts.footer).map(|found| found.0).unwrap_or_default();
                    if spans.is_empty() {
                        return "nothing".into();
                    }
                    let span = &spans[random.random_range(0..spans.len())];
                    let value = hostile_number(&mut random, span.kind);
                    splice(&mut parts.footer, span, &encoded(span.kind, value));
                    format!("footer {:?} is {value}", span.path)
                })
                .collect();
            forged.join(", ")
        }
        4..=6 => {
            let (group, column) = (random.random_range(0..2), random.random_range(0..7));
            let mut chunk = parts.chunk(group, column);
            let mut at = 0;
            // One of the first pages.
            for _ in 0..random.random_range(0..3) {
                let Some((page, length)) = spans(&chunk[at..]) else { break };
                let stored = page.iter().find(|span| span.path == [3]).map(|span| span.kind);
                let Some(Kind::Integer(stored)) = stored else { break };
                if at + length + (stored as usize) < chunk.len() {
                    at += length + stored as usize;
                }
            }
            let found = spans(&chunk[at..]).map(|found| found.0).unwrap_or_default();
            if found.is_empty() {
                return ("nothing".into(), parts.file());
            }
            let mut span = found[random.random_range(0..found.len())].clone();
            let value = hostile_number(&mut random, span.kind);
            let path = span.path.clone();
            span.at += at;
            splice(&mut chunk, &span, &encoded(span.kind, value));
            parts.replace_chunk(group, column, &chunk, None);
            format!("page of column {column} {path:?} is {value}")
        }
        7..=8 => {
            let mut file = parts.file();
            let times = random.random_range(1..9);
            for _ in 0..times {
                let at = random.random_range(4..file.len());
                file[at] = random.random();
            }
            return (format!("{times} bytes"), file);
        }
        _ => {
            let mut file = parts.file();
            let cut = random.random_range(0..file.len());
            let tail = file.split_off(cut);
            let skipped = random.random_range(0..=tail.len());
            file.extend_from_slice(&tail[skipped..]);
            return (format!("without the {skipped} bytes from {cut}"), file);
        }
    };
    (what, parts.file())
}

fn hostile_number(random: &mut impl Rng, kind: Kind) -> i64 {
    let near = match kind {
        Kind::Integer(value) => value,
        _ => 3,
    };
    match random.random_range(0..9) {
        0 => -1,
        1 => i64::from(i32::MAX),
        2 => i64::MAX,
        3 => i64::MIN,
        4 => 0,
        5 => near.wrapping_add(random.random_range(-3..4)),
        6 => near.wrapping_mul(random.random_range(2..1000)),
        7 => 1i64 << random.random_range(0..40),
        _ => random.random_range(0..300_000_000),
    }
}

/// Returns files that are forged by hand: each ended the process, or took gigabytes or minutes, in some reader of Parquet.
pub fn handmade() -> Vec<(String, Vec<u8>)> {
    let plain = |codec| Parts::of(&base(codec, WriterVersion::PARQUET_1_0, None));
    let mut files = Vec::new();
    let mut add = |name: &str, parts: Parts| files.push((name.to_string(), parts.file()));
    let forge = |path: &[i64], value| {
        let mut parts = plain(Compression::SNAPPY);
        parts.set(path, value);
        parts
    };
    for value in [-1, 0, 1 << 31, i64::MAX] {
        add(&format!("{value} children of the root"), forge(&[2, 0, 5], value));
        add(&format!("{value} rows"), forge(&[3], value));
        add(&format!("{value} rows in a group"), forge(&[4, 0, 3], value));
        add(&format!("{value} values in a chunk"), forge(&[4, 0, 1, 2, 3, 5], value));
        add(&format!("{value} decoded bytes of a chunk"), forge(&[4, 0, 1, 2, 3, 6], value));
        add(&format!("{value} stored bytes of a chunk"), forge(&[4, 0, 1, 2, 3, 7], value));
        add(&format!("a chunk at {value}"), forge(&[4, 0, 1, 2, 3, 9], value));
        add(&format!("a schema of {value} elements"), forge(&[2], value));
        add(&format!("{value} row groups"), forge(&[4], value));
    }
    for (page, path) in [("page", &[2][..]), ("page", &[3]), ("dictionary", &[7, 1]), ("page", &[5, 1])] {
        for value in [-1, 1 << 20, 1 << 30, i64::from(i32::MAX)] {
            let mut parts = plain(Compression::SNAPPY);
            let mut chunk = parts.chunk(0, 2);
            let (found, first) = spans(&chunk).unwrap();
            let stored = found.iter().find(|span| span.path == [3]).unwrap().kind;
            let Kind::Integer(stored) = stored else { continue };
            let at = if page == "dictionary" { 0 } else { first + stored as usize };
            let (found, _) = spans(&chunk[at..]).unwrap();
            let mut span = found.into_iter().find(|span| span.path == path).unwrap();
            span.at += at;
            splice(&mut chunk, &span, &encoded(span.kind, value));
            parts.replace_chunk(0, 2, &chunk, Some(1 << 40));
            add(&format!("{page} {path:?} of {value}"), parts);
        }
    }
    for (name, codec) in [
        ("snappy", Compression::SNAPPY),
        ("gzip", Compression::GZIP(GzipLevel::default())),
        ("brotli", Compression::BROTLI(BrotliLevel::default())),
        ("zstd", Compression::ZSTD(ZstdLevel::default())),
        ("lz4", Compression::LZ4_RAW),
    ] {
        for stated in [1 << 10, 120 << 20, 1 << 30] {
            let mut parts = plain(codec);
            parts.replace_chunk(0, 4, &bomb(codec, stated), Some(2 << 30));
            add(&format!("{name} of 64 MB that states {stated}"), parts);
        }
    }
    add("a long text of a dictionary, in every row", Parts::of(&long_dictionary()));
    add("groups in groups, 20,000 deep", Parts { data: b"PAR1".to_vec(), footer: nested(20_000) });
    let mut again = plain(Compression::SNAPPY);
    let group = again.spans().into_iter().filter(|span| span.path.starts_with(&[4, 0])).collect::<Vec<_>>();
    let next = again.spans().into_iter().find(|span| span.path.starts_with(&[4, 1])).unwrap();
    let (from, to) = (group[0].at - 1, next.at - 1);
    let one = again.footer[from..to].to_vec();
    let list = again.spans().into_iter().find(|span| span.path == [4]).unwrap();
    let many = [encoded(list.kind, 9_002), one.repeat(9_000)].concat();
    splice(&mut again.footer, &list, &many);
    again.set(&[3], (ROWS / 2 * 9_002) as i64);
    add("one row group 9,000 times", again);
    files
}

/// Returns a data page that decompresses to 64 MB and states another size.
fn bomb(codec: Compression, stated: i64) -> Vec<u8> {
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 8 << 20]));
    let batch = RecordBatch::try_from_iter_with_nullable([("zeros", zeros, false)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .set_write_batch_size(8 << 20)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut page = Parts::of(&bytes).chunk(0, 0);
    for (path, value) in [(&[2][..], stated), (&[5, 1], (ROWS / 2) as i64)] {
        let (found, _) = spans(&page).unwrap();
        let span = found.iter().find(|span| span.path == path).unwrap();
        splice(&mut page, span, &encoded(span.kind, value));
    }
    page
}

/// Returns a valid file of 40 kB whose one text of 440 kB is copied for each row of a batch of 4,096.
fn long_dictionary() -> Vec<u8> {
    let zones: ArrayRef = Arc::new(Int64Array::from(vec![74; 16_384]));
    let text = "1".repeat(440_000);
    let texts: ArrayRef =
        Arc::new(std::iter::repeat_n(text.as_str(), 16_384).collect::<DictionaryArray<Int32Type>>());
    let columns = [("PULocationID", &zones), ("DOLocationID", &zones), ("trip_distance", &texts)];
    let batch = RecordBatch::try_from_iter(columns.map(|(name, of)| (name, Arc::clone(of)))).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Returns a footer whose schema is one group in another, `depth` times.
fn nested(depth: usize) -> Vec<u8> {
    let group = [vec![0x35, 0x00, 0x18, 1, b'g', 0x15], zigzag(1), vec![0]].concat();
    let leaf = [vec![0x15], zigzag(1), vec![0x25], zigzag(0), vec![0x18, 1, b'l', 0]].concat();
    let schema = [vec![0xfc], varint(depth as u64 + 1), group.repeat(depth), leaf].concat();
    [vec![0x15], zigzag(1), vec![0x19], schema, vec![0x16], zigzag(0), vec![0x19, 0x0c, 0]].concat()
}
