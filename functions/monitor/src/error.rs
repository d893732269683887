//! Why the monitor fails.

use model::Classified;
use platform::event::EventError;
use registry::RegistryError;
use store::StoreError;

use crate::alarms::AlarmError;

/// Why the monitor failed. Lambda repeats the event.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// An event of another kind.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The store failed.
    #[error("monitoring {what}")]
    Store {
        /// What was read or written.
        what: &'static str,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// An alarm was not recorded or published.
    #[error(transparent)]
    Alarm(#[from] AlarmError),
    /// The champions could not be read.
    #[error("asking which models are the champions")]
    Registry(#[from] RegistryError),
    /// Figures could not be encoded.
    #[error("encoding figures")]
    Figures(#[from] dataset::WriteError),
}

impl Classified for MonitorError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(source) => source.error_type(),
            Self::Store { source, .. } | Self::Alarm(AlarmError::Store { source, .. }) => source.error_type(),
            Self::Alarm(AlarmError::Publish { .. }) => "Topic.Publish",
            Self::Registry(source) => source.error_type(),
            Self::Figures(_) => "Dataset.Write",
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Event(_) | Self::Figures(_) => false,
            Self::Store { source, .. } | Self::Alarm(AlarmError::Store { source, .. }) => {
                source.is_transient()
            }
            Self::Alarm(AlarmError::Publish { .. }) => true,
            Self::Registry(source) => source.is_transient(),
        }
    }
}

/// Names what was read or written when the store failed.
pub(crate) fn failed(what: &'static str) -> impl Fn(StoreError) -> MonitorError {
    move |source| MonitorError::Store { what, source }
}
