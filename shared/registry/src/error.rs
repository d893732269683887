//! Errors of the registry.

use chrono::{DateTime, Utc};
use model::{ModelVersion, Target};

use model::Classified;
use store::StoreError;

/// Why an operation of the registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error("{doing} of {target}")]
    Store {
        /// The operation.
        doing: &'static str,
        /// The target.
        target: Target,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// There is no such model.
    #[error("there is no {target} model {version} in the registry")]
    UnknownVersion {
        /// The target.
        target: Target,
        /// The requested version.
        version: ModelVersion,
    },
    /// The bytes are not those that were published.
    #[error("{target} model {version}: its bytes have version {found}; the store was altered")]
    Altered {
        /// The target.
        target: Target,
        /// The requested version.
        version: ModelVersion,
        /// The version of the bytes.
        found: ModelVersion,
    },
    /// The champion was changed meanwhile.
    #[error("the champion of {target} was changed concurrently: nothing was done")]
    Lost {
        /// The target.
        target: Target,
    },
    /// Other writers kept interfering; nothing was changed.
    #[error("the aliases of {target} are being changed by others: nothing was done")]
    Contended {
        /// The target.
        target: Target,
    },
    /// There was no champion yet.
    #[error("{target} had no champion at {time}")]
    NoneThen {
        /// The target.
        target: Target,
        /// The time that was asked about.
        time: DateTime<Utc>,
    },
    /// There is no earlier champion.
    #[error("{target} has no earlier champion to go back to")]
    NoPrevious {
        /// The target.
        target: Target,
    },
}

impl Classified for RegistryError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Store { source, .. } => source.error_type(),
            Self::UnknownVersion { .. } => "Registry.UnknownVersion",
            Self::Altered { .. } => "Registry.Altered",
            Self::Lost { .. } => "Registry.Lost",
            Self::Contended { .. } => "Registry.Contended",
            Self::NoneThen { .. } => "Registry.NoneThen",
            Self::NoPrevious { .. } => "Registry.NoPrevious",
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_transient(),
            Self::Contended { .. } => true,
            Self::UnknownVersion { .. }
            | Self::Altered { .. }
            | Self::Lost { .. }
            | Self::NoneThen { .. }
            | Self::NoPrevious { .. } => false,
        }
    }
}
