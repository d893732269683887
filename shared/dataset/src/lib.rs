//! Converts TLC Parquet bytes to columns of trips, and predictions to Parquet bytes.
//!
//! Map: [`TripReader`] requests byte ranges of a file and returns rows ([`Rows`]); [`rows_of`] and [`read_all`] run
//! it over a file in memory; [`schema`] is the one logical schema over the TLC's many physical ones;
//! [`PredictionsWriter`], [`RejectedWriter`], [`figures`] and [`trips`] write. `guard` checks a file before `decode` reads it, and [`decode_if_asked`] is what a
//! program calls first, so that files which cannot be checked are decoded by a child of it.
//!
//! Deliberately absent: files, networks, stores and async; the caller fetches the bytes. `arrow` and `parquet` are
//! private to this crate: their types appear in the interface only as causes of errors.

mod cells;
mod child;
pub mod columns;
mod decode;
pub mod figures;
mod guard;
pub mod predictions;
mod reader;
mod rejected;
mod rows;
pub mod schema;
pub mod trips;
mod whole;

pub use child::decode_if_asked;
pub use columns::FileReport;
pub use guard::{ReadOptions, UtcTimes};
pub use predictions::{EncodedRows, PredictionsEncoder, PredictionsWriter, WriteError, ride_id_prefix};
pub use reader::{Columns, FileSummary, ReadError, RejectedRow, Rows, Step, TripReader};
pub use rejected::RejectedWriter;
pub use whole::{FileRows, read_all, rows_of, summary_of};
