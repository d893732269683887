//! Why a file was not predicted.

use dataset::{ReadError, WriteError};
use model::Classified;
use platform::event::EventError;
use registry::ModelError;
use store::StoreError;

/// Why a file was not predicted. Lambda repeats the event.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The event names no object.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The store failed to read or write.
    #[error("predicting {key}")]
    Store {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// The models could not be loaded.
    #[error("predicting {key}")]
    Models {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: ModelError,
    },
    /// The deadline came first; no part of the predictions is visible.
    #[error("predicting {key}: aborted, since it was not done before the deadline")]
    OutOfTime {
        /// The key of the file.
        key: String,
    },
    /// The machine did not let the file be read.
    #[error("predicting {key}")]
    Read {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: ReadError,
    },
    /// The predictions could not be encoded.
    #[error("predicting {key}")]
    Write {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: WriteError,
    },
}

impl Classified for PredictError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(source) => source.error_type(),
            Self::Store { source, .. } => source.error_type(),
            Self::Models { source, .. } => source.error_type(),
            Self::Read { source, .. } => source.error_type(),
            Self::Write { .. } => "Dataset.Write",
            Self::OutOfTime { .. } => "Batch.OutOfTime",
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Event(_) | Self::Write { .. } | Self::OutOfTime { .. } => false,
            Self::Store { source, .. } => source.is_transient(),
            Self::Models { source, .. } => source.is_transient(),
            Self::Read { source, .. } => source.is_transient(),
        }
    }
}

/// Why reading or predicting a file ended early.
#[derive(Debug)]
pub(crate) enum Ended {
    Gone,
    OutOfTime,
    Store(StoreError),
    Write(WriteError),
    Unreadable(ReadError),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}
impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
