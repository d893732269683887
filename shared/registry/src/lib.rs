//! Models on a store: immutable versions, an alias that is the commit, a history that only grows.
//!
//! ```text
//! <target>/versions/<version>/{card.json,card.md,card.html,profile.json,model.bin}   create-only, model.bin last
//! <target>/aliases/champion.json                              created by IfAbsent, changed by IfMatch
//! <target>/aliases/challengers.json                           who is asked in the shadow, the same way
//! <target>/history/<seq>.json                                 create-only: what the alias was at seq
//! ```
//! `seq` only grows, also in a rollback: old bytes of the alias would bring back their old ETag, and a stale writer
//! would then win. Whoever moves the alias from seq n writes `history/n` first; a promoter that dies in between leaves
//! a record of what still is, which the next one finds equal to its own and passes. A rollback says which entry it restores,
//! so that the history can be walked back step by step. [`Models`] keeps the champions in memory for who serves, [`Shadows`] the
//! challengers.

mod challengers;
mod champions;
mod error;
pub mod layout;
pub mod runs;
mod shadow;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::artifact::sha256_hex;
use model::{Judgement, ModelVersion, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use model::chain;
use store::{Condition, ETag, Get, ObjectKey, Store, StoreError, json};

pub use challengers::{Challengers, Change};
pub use champions::{ModelError, Models, Reload};
pub use error::RegistryError;
use runs::Fingerprint;
pub use shadow::{Shadow, Shadows};

/// Which model answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// 1 for the first champion, one more for each change.
    pub seq: u64,
    /// The model.
    pub version: ModelVersion,
    /// sha256 of its artifact, hex.
    pub sha256: String,
    /// The champion before it.
    pub previous: Option<ModelVersion>,
    /// When, RFC 3339, UTC.
    pub since: String,
    /// Why: a decision's reason, or who rolled back.
    pub reason: String,
    /// Of a rollback: the seq whose champion it brought back. The next rollback goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// An alias as it was read, with what is needed to change exactly that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Champion {
    /// The alias.
    pub alias: Alias,
    /// Its ETag.
    pub etag: ETag,
}

/// The files of a model that was published without having been judged: a card with nothing in it.
pub static NO_CARD: [(&str, Bytes); 1] = [("card.json", Bytes::from_static(b"null"))];

/// Where a model comes from. All of it is none for a model that was published without having been judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The retraining that made it.
    pub run: Option<String>,
    /// The files that it was learned from, and the one that it was judged on, last.
    pub data: Option<Vec<Fingerprint>>,
    /// Its figures on that one.
    pub validate: Option<Judgement>,
}

/// The part of a card by the Model Card Toolkit's schema that is read here.
#[derive(Deserialize)]
struct Card {
    model_details: ModelDetails,
}

#[derive(Deserialize)]
struct ModelDetails {
    #[serde(default)]
    tripcast: Provenance,
}

/// A write beside another one is tried again at most so often.
const ATTEMPTS: usize = 20;

/// The models of a store.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
}

impl Registry {
    /// The models on `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The champion of `target`, if there is one.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn champion(&self, target: Target) -> Result<Option<Champion>, RegistryError> {
        let read = json::read::<Alias>(&*self.store, &alias_key(target)?).await;
        let found = read.map_err(store_error("reading the champion", target))?;
        Ok(found.map(|(alias, etag)| Champion { alias, etag }))
    }

    /// The champion of `target` if it is not the one with `known` ETag any more; none if it is, or if there is none.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn champion_if_changed(
        &self,
        target: Target,
        known: &ETag,
    ) -> Result<Option<Champion>, RegistryError> {
        let what = Get { if_none_match: Some(known.clone()), ..Get::default() };
        match self.store.get(&alias_key(target)?, what).await {
            Err(StoreError::NotModified { .. } | StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error("reading the champion", target)(error)),
            Ok(object) => {
                let alias = json::parse(&alias_key(target)?, &object.bytes);
                let alias = alias.map_err(store_error("reading the champion", target))?;
                Ok(Some(Champion { alias, etag: object.etag }))
            }
        }
    }

    /// The artifact of a version, checked to be that version's.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::Altered`], [`RegistryError::Store`].
    pub async fn artifact(&self, target: Target, version: &ModelVersion) -> Result<Bytes, RegistryError> {
        let key = version_key(target, version, "model.bin")?;
        let object = match self.store.get(&key, Get::default()).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(RegistryError::UnknownVersion { target, version: version.clone() });
            }
            other => other.map_err(store_error("reading a model", target))?,
        };
        let found = ModelVersion::from_bytes(&object.bytes);
        if found != *version {
            return Err(RegistryError::Altered { target, version: version.clone(), found });
        }
        Ok(object.bytes)
    }

    /// The card of a version.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::Store`].
    pub async fn card(&self, target: Target, version: &ModelVersion) -> Result<Value, RegistryError> {
        let read = json::read::<Value>(&*self.store, &version_key(target, version, "card.json")?).await;
        let found = read.map_err(store_error("reading a card", target))?;
        let unknown = || RegistryError::UnknownVersion { target, version: version.clone() };
        Ok(found.ok_or_else(unknown)?.0)
    }

    /// Where a version comes from, by its card.
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

    /// The names of the files of a version.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn files_of(
        &self,
        target: Target,
        version: &ModelVersion,
    ) -> Result<Vec<String>, RegistryError> {
        let prefix = format!("{target}/versions/{version}/");
        let found = self.store.list(&prefix).await.map_err(store_error("listing a model's files", target))?;
        Ok(found
            .iter()
            .filter_map(|meta| meta.key.as_str().strip_prefix(&prefix).map(String::from))
            .collect())
    }

    /// One file of a version.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn file(
        &self,
        target: Target,
        version: &ModelVersion,
        name: &str,
    ) -> Result<Bytes, RegistryError> {
        let read = self.store.get(&version_key(target, version, name)?, Get::default()).await;
        Ok(read.map_err(store_error("reading a model's file", target))?.bytes)
    }

    /// Publishes an artifact with the files that stand beside it, by name, `card.json` among them; what is there already stays as it
    /// is, since a version is its bytes.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn publish(
        &self,
        target: Target,
        artifact: Bytes,
        files: &[(&str, Bytes)],
    ) -> Result<ModelVersion, RegistryError> {
        let version = ModelVersion::from_bytes(&artifact);
        // The model comes last: where it is, its files are beside it.
        for (name, bytes) in files.iter().chain(&[("model.bin", artifact)]) {
            let key = version_key(target, &version, name)?;
            self.create(&key, bytes.clone()).await.map_err(store_error("publishing a model", target))?;
        }
        Ok(version)
    }

    /// Every published version of `target`, with its size in bytes.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn versions(&self, target: Target) -> Result<Vec<(ModelVersion, u64)>, RegistryError> {
        let prefix = format!("{target}/versions/");
        let found = self.store.list(&prefix).await.map_err(store_error("listing models", target))?;
        let version = |key: &str| key.strip_prefix(&prefix)?.strip_suffix("/model.bin")?.parse().ok();
        Ok(found.iter().filter_map(|meta| Some((version(meta.key.as_str())?, meta.bytes))).collect())
    }

    /// Makes `version` the champion, if the champion still is `expected` (none: if there is none yet).
    ///
    /// # Errors
    /// [`RegistryError::Lost`] if it is not, and then nothing was done; [`RegistryError::UnknownVersion`];
    /// [`RegistryError::Store`].
    pub async fn promote(
        &self,
        target: Target,
        version: &ModelVersion,
        expected: Option<&Champion>,
        reason: &str,
        since: &str,
    ) -> Result<Alias, RegistryError> {
        self.change(target, version, expected, reason, since, None).await
    }

    async fn change(
        &self,
        target: Target,
        version: &ModelVersion,
        expected: Option<&Champion>,
        reason: &str,
        since: &str,
        restores: Option<u64>,
    ) -> Result<Alias, RegistryError> {
        let artifact = self.artifact(target, version).await?;
        let next = Alias {
            seq: expected.map_or(1, |champion| champion.alias.seq + 1),
            version: version.clone(),
            sha256: sha256_hex(&artifact),
            previous: expected.map(|champion| champion.alias.version.clone()),
            since: since.to_string(),
            reason: reason.to_string(),
            restores,
        };
        let condition = match expected {
            None => Condition::IfAbsent,
            Some(champion) => {
                self.record(target, &champion.alias).await?;
                Condition::IfMatch(champion.etag.clone())
            }
        };
        for _ in 0..ATTEMPTS {
            match json::write(&*self.store, &alias_key(target)?, &next, condition.clone()).await {
                Ok(_) => return Ok(next),
                Err(error @ StoreError::Precondition { .. }) => {
                    let present = self.champion(target).await?;
                    // A write whose answer was lost is sent again by the SDK, and then fails on what it wrote itself.
                    if present.as_ref().is_some_and(|present| present.alias == next) {
                        return Ok(next);
                    }
                    if present.as_ref() != expected {
                        return Err(RegistryError::Lost { target });
                    }
                    // S3 answers 409 to a write beside another that may still fail: nobody has won yet.
                    tracing::debug!(%target, error_message = chain(&error), "promoting again");
                }
                Err(error) => return Err(store_error("promoting a model", target)(error)),
            }
        }
        Err(RegistryError::Contended { target })
    }

    /// Brings back the champion before the present one. After a rollback the next one goes on from there: twice is two
    /// champions back, and never forward again.
    ///
    /// # Errors
    /// [`RegistryError::NoPrevious`], and those of [`Registry::promote`].
    pub async fn rollback(&self, target: Target, reason: &str, since: &str) -> Result<Alias, RegistryError> {
        let none = RegistryError::NoPrevious { target };
        let Some(champion) = self.champion(target).await? else { return Err(none) };
        let history = self.history(target).await?;
        let at = |seq: u64| history.iter().find(|alias| alias.seq == seq);
        // An alias that restores another stands for that one.
        let stands_for = |alias: &Alias| alias.restores.unwrap_or(alias.seq);
        let earlier = stands_for(&champion.alias).checked_sub(1).and_then(at).map(stands_for).and_then(at);
        let Some(earlier) = earlier else { return Err(none) };
        let (restores, version) = (Some(earlier.seq), earlier.version.clone());
        self.change(target, &version, Some(&champion), reason, since, restores).await
    }

    /// The champion of `target` at `time`: the last one that was promoted at or before it.
    ///
    /// # Errors
    /// [`RegistryError::NoneThen`] if there was none yet; [`RegistryError::Store`].
    pub async fn who_served(&self, target: Target, time: DateTime<Utc>) -> Result<Alias, RegistryError> {
        let began =
            |alias: &Alias| DateTime::parse_from_rfc3339(&alias.since).is_ok_and(|since| since <= time);
        let history = self.history(target).await?;
        history.into_iter().rfind(began).ok_or(RegistryError::NoneThen { target, time })
    }

    /// Every champion of `target` there was, oldest first, the present one last.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn history(&self, target: Target) -> Result<Vec<Alias>, RegistryError> {
        let prefix = format!("{target}/history/");
        let found = self.store.list(&prefix).await.map_err(store_error("listing the history", target))?;
        let mut aliases = Vec::new();
        for meta in found {
            let read = json::read::<Alias>(&*self.store, &meta.key).await;
            aliases.extend(read.map_err(store_error("reading the history", target))?.map(|(alias, _)| alias));
        }
        let present = self.champion(target).await?.map(|champion| champion.alias);
        // A promoter that died left a record of what still is.
        aliases.retain(|alias| present.as_ref().is_none_or(|present| alias.seq < present.seq));
        aliases.extend(present);
        aliases.sort_unstable_by_key(|alias| alias.seq);
        Ok(aliases)
    }

    async fn record(&self, target: Target, present: &Alias) -> Result<(), RegistryError> {
        let key = ObjectKey::new(format!("{target}/history/{:08}.json", present.seq));
        let key = key.map_err(store_error("recording the history", target))?;
        let entry = json::bytes(&key, present).map_err(store_error("recording the history", target))?;
        self.create(&key, entry).await.map_err(store_error("recording the history", target))
    }

    /// Creates what is not there yet; what is there stays as it is.
    async fn create(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            match self.store.put(key, bytes.clone(), Condition::IfAbsent).await {
                Ok(_) => return Ok(()),
                // Somebody else is writing it, and may fail to: only what can be seen is there.
                Err(StoreError::Precondition { .. }) => match self.store.head(key).await {
                    Ok(_) => return Ok(()),
                    Err(StoreError::NotFound { .. }) => (),
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Precondition { operation: "creating", key: key.to_string() })
    }
}

fn store_error(doing: &'static str, target: Target) -> impl Fn(StoreError) -> RegistryError {
    move |source| RegistryError::Store { doing, target, source }
}

fn alias_key(target: Target) -> Result<ObjectKey, RegistryError> {
    ObjectKey::new(format!("{target}/aliases/champion.json"))
        .map_err(store_error("naming the champion", target))
}

fn version_key(target: Target, version: &ModelVersion, name: &str) -> Result<ObjectKey, RegistryError> {
    let key = ObjectKey::new(format!("{target}/versions/{version}/{name}"));
    key.map_err(store_error("naming a model", target))
}

#[cfg(test)]
mod race;
#[cfg(test)]
mod tests;
