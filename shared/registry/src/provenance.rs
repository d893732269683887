//! Where a model comes from, by its card.

use model::{Judgement, ModelVersion, Target};
use serde::{Deserialize, Serialize};
use store::json;

use crate::runs::Fingerprint;
use crate::{Registry, RegistryError, store_error, version_key};

/// The origin of a model; all fields are none for a model that was published without being judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The name of the retraining that made it.
    pub run: Option<String>,
    /// The files that the retraining used, the holdout month last.
    pub data: Option<Vec<Fingerprint>>,
    /// Its metrics on the holdout month.
    pub validate: Option<Judgement>,
}

/// The part of a card (Model Card Toolkit) that is read here.
#[derive(Deserialize)]
struct Card {
    #[serde(default)]
    model_details: ModelDetails,
}

#[derive(Default, Deserialize)]
struct ModelDetails {
    #[serde(default)]
    tripcast: Provenance,
}

impl Registry {
    /// Reads the origin of a version from its card.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::Store`].
    pub async fn provenance(
        &self,
        target: Target,
        version: &ModelVersion,
    ) -> Result<Provenance, RegistryError> {
        let key = version_key(target, version, "card.json")?;
        let read = json::read::<Option<Card>>(&*self.store, &key).await;
        let found = read.map_err(store_error("reading a card", target))?;
        let unknown = || RegistryError::UnknownVersion { target, version: version.clone() };
        Ok(found.ok_or_else(unknown)?.0.map(|card| card.model_details.tripcast).unwrap_or_default())
    }
}
