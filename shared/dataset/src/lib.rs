//! TLC Parquet bytes to columns of trips, and predictions to Parquet bytes. Bytes in, bytes out.
//!
//! Map: [`TripReader`] asks for ranges of a file and answers with rows ([`Rows`]); [`rows_of`] and [`read_all`] walk it over bytes
//! at hand; [`schema`] is the one logical schema over the TLC's many physical ones; [`PredictionsWriter`],
//! [`rejected`] and [`trips`] write.
//!
//! Deliberately absent: files, networks, stores, async. The caller fetches. `arrow` and `parquet` stop here: no type
//! of theirs is in the interface but as the cause of an error.

mod guard;
pub mod predictions;
mod reader;
pub mod rejected;
pub mod schema;
pub mod trips;

pub use guard::Limits;
pub use predictions::{PredictionsWriter, WriteError};
pub use reader::{
    Columns, FileSummary, ReadError, RejectedRow, Rows, Step, TripReader, read_all, rows_of, summary_of,
};
