//! What can go wrong with models on a store.

use chrono::{DateTime, Utc};
use model::{ModelVersion, Target};

use model::Classified;
use store::StoreError;

/// Why the registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store did not.
    #[error("{doing} of {target}")]
    Store {
        /// What was done.
        doing: &'static str,
        /// Of which target.
        target: Target,
        /// The store's reason.
        #[source]
        source: StoreError,
    },
    /// There is no such model.
    #[error("there is no {target} model {version} in the registry")]
    UnknownVersion {
        /// Of which target.
        target: Target,
        /// The version asked for.
        version: ModelVersion,
    },
    /// The bytes are not those that were published.
    #[error("{target} model {version}: its bytes have version {found}; the store was altered")]
    Altered {
        /// Of which target.
        target: Target,
        /// The version asked for.
        version: ModelVersion,
        /// The version of the bytes.
        found: ModelVersion,
    },
    /// Another promotion was first.
    #[error("the champion of {target} was changed by somebody else meanwhile: nothing was done")]
    Lost {
        /// Of which target.
        target: Target,
    },
    /// Others kept writing: nobody has won, and nothing was done.
    #[error("the aliases of {target} are being changed by others: nothing was done")]
    Contended {
        /// Of which target.
        target: Target,
    },
    /// Nobody served yet.
    #[error("{target} had no champion at {time}")]
    NoneThen {
        /// Of which target.
        target: Target,
        /// When.
        time: DateTime<Utc>,
    },
    /// There is no earlier champion.
    #[error("{target} has no earlier champion to go back to")]
    NoPrevious {
        /// Of which target.
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
