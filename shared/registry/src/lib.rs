//! Stores models: immutable versions, an alias whose write is the commit, and an append-only history.
//!
//! ```text
//! <target>/versions/<version>/{card.json,card.md,card.html,profile.json,model.bin}   create-only, model.bin last
//! <target>/aliases/champion.json                              created by IfAbsent, changed by IfMatch
//! <target>/aliases/challengers.json                           the models in the shadow, likewise
//! <target>/history/<seq>.json                                 create-only: what the alias was at seq
//! ```
//! `seq` only grows, also in a rollback: old bytes of the alias would have their old ETag again, and a stale writer
//! would then win. A promoter writes `history/n` before it moves the alias from seq n; if it fails in between, the
//! record describes the present alias, and the next promoter accepts it. A rollback names the entry that it restores,
//! so that the history can be walked back step by step. [`Models`] keeps the champions in memory, [`Shadows`] the
//! challengers.

mod challengers;
mod champions;
mod error;
pub mod layout;
mod provenance;
pub mod runs;
mod shadow;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::artifact::sha256_hex;
use model::{ModelVersion, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use model::chain;
use store::{Condition, ETag, Get, ObjectKey, Store, StoreError, json};

pub use challengers::{Challengers, Change};
pub use champions::{ModelError, Models, Reload};
pub use error::RegistryError;
pub use provenance::Provenance;
pub use shadow::{Shadow, Shadows};

/// The alias that names the champion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// 1 for the first champion, and one more for each change.
    pub seq: u64,
    /// The version of the champion.
    pub version: ModelVersion,
    /// sha256 of its artifact, hex.
    pub sha256: String,
    /// The version of the champion before it.
    pub previous: Option<ModelVersion>,
    /// When it was promoted, RFC 3339, UTC.
    pub since: String,
    /// The reason of the decision or of the rollback.
    pub reason: String,
    /// For a rollback, the seq of the entry that it restored; the next rollback continues from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// An alias with the ETag of the object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Champion {
    /// The alias.
    pub alias: Alias,
    /// Its ETag.
    pub etag: ETag,
}

/// The files of a model that is published without being judged: an empty card.
pub static NO_CARD: [(&str, Bytes); 1] = [("card.json", Bytes::from_static(b"null"))];

/// Maximum number of attempts of a write that others interfere with.
const ATTEMPTS: usize = 20;

/// The models on a store.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
}

impl Registry {
    /// Opens the models on `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads the champion of `target`, if there is one.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn champion(&self, target: Target) -> Result<Option<Champion>, RegistryError> {
        let read = json::read::<Alias>(&*self.store, &alias_key(target)?).await;
        let found = read.map_err(store_error("reading the champion", target))?;
        Ok(found.map(|(alias, etag)| Champion { alias, etag }))
    }

    /// Reads the champion of `target` if its ETag is not `known`; none if it is, or if there is no champion.
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

    /// Reads the artifact of a version and verifies its hash.
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

    /// Reads the card of a version.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::Store`].
    pub async fn card(&self, target: Target, version: &ModelVersion) -> Result<Value, RegistryError> {
        let read = json::read::<Value>(&*self.store, &version_key(target, version, "card.json")?).await;
        let found = read.map_err(store_error("reading a card", target))?;
        let unknown = || RegistryError::UnknownVersion { target, version: version.clone() };
        Ok(found.ok_or_else(unknown)?.0)
    }

    /// Lists the names of the files of a version.
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

    /// Reads one file of a version.
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

    /// Publishes an artifact with its other files by name, `card.json` among them. Files that exist stay as they are,
    /// since a version is the hash of its artifact.
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
        // The model is written last: where it exists, its other files do.
        for (name, bytes) in files.iter().chain(&[("model.bin", artifact)]) {
            let key = version_key(target, &version, name)?;
            self.create(&key, bytes.clone()).await.map_err(store_error("publishing a model", target))?;
        }
        Ok(version)
    }

    /// Lists every published version of `target`, with its size in bytes.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn versions(&self, target: Target) -> Result<Vec<(ModelVersion, u64)>, RegistryError> {
        let prefix = format!("{target}/versions/");
        let found = self.store.list(&prefix).await.map_err(store_error("listing models", target))?;
        let version = |key: &str| key.strip_prefix(&prefix)?.strip_suffix("/model.bin")?.parse().ok();
        Ok(found.iter().filter_map(|meta| Some((version(meta.key.as_str())?, meta.bytes))).collect())
    }

    /// Makes `version` the champion, if the champion still is `expected` (none: if there is no champion yet).
    ///
    /// # Errors
    /// [`RegistryError::Lost`] if it is another, in which case nothing is changed; [`RegistryError::Contended`];
    /// [`RegistryError::UnknownVersion`]; [`RegistryError::Altered`]; [`RegistryError::Store`].
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
                    // The SDK repeats a write whose response was lost; the repeat then fails on the first write.
                    if present.as_ref().is_some_and(|present| present.alias == next) {
                        return Ok(next);
                    }
                    if present.as_ref() != expected {
                        // It may have been written, and replaced before it was read: then the one who replaced it recorded it.
                        let was_present = self.recorded(target, next.seq).await?.as_ref() == Some(&next);
                        return if was_present { Ok(next) } else { Err(RegistryError::Lost { target }) };
                    }
                    // S3 responds with 409 to a write beside another one that may still fail: neither has won yet.
                    tracing::debug!(%target, error_message = chain(&error), "promoting again");
                }
                Err(error) => return Err(store_error("promoting a model", target)(error)),
            }
        }
        Err(RegistryError::Contended { target })
    }

    /// Restores the champion before the present one. Repeated rollbacks go further back each time, and never forward.
    ///
    /// # Errors
    /// [`RegistryError::NoPrevious`], and those of [`Registry::promote`].
    pub async fn rollback(&self, target: Target, reason: &str, since: &str) -> Result<Alias, RegistryError> {
        let none = RegistryError::NoPrevious { target };
        let Some(champion) = self.champion(target).await? else { return Err(none) };
        let history = self.history(target).await?;
        let at = |seq: u64| history.iter().find(|alias| alias.seq == seq);
        // An alias that restores an entry is treated as that entry.
        let stands_for = |alias: &Alias| alias.restores.unwrap_or(alias.seq);
        let earlier = stands_for(&champion.alias).checked_sub(1).and_then(at).map(stands_for).and_then(at);
        let Some(earlier) = earlier else { return Err(none) };
        let (restores, version) = (Some(earlier.seq), earlier.version.clone());
        self.change(target, &version, Some(&champion), reason, since, restores).await
    }

    /// Returns the champion of `target` at `time`: the last one that was promoted at or before it.
    ///
    /// # Errors
    /// [`RegistryError::NoneThen`] if there was none yet; [`RegistryError::Store`].
    pub async fn who_served(&self, target: Target, time: DateTime<Utc>) -> Result<Alias, RegistryError> {
        let began =
            |alias: &Alias| DateTime::parse_from_rfc3339(&alias.since).is_ok_and(|since| since <= time);
        let history = self.history(target).await?;
        history.into_iter().rfind(began).ok_or(RegistryError::NoneThen { target, time })
    }

    /// Returns every champion of `target`, oldest first, the present one last.
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
        // A promoter that failed may have left a record of the present alias.
        aliases.retain(|alias| present.as_ref().is_none_or(|present| alias.seq < present.seq));
        aliases.extend(present);
        aliases.sort_unstable_by_key(|alias| alias.seq);
        Ok(aliases)
    }

    /// Reads the entry of the history with this number, if there is one.
    async fn recorded(&self, target: Target, seq: u64) -> Result<Option<Alias>, RegistryError> {
        let read = json::read::<Alias>(&*self.store, &history_key(target, seq)?).await;
        Ok(read.map_err(store_error("reading the history", target))?.map(|(alias, _)| alias))
    }

    async fn record(&self, target: Target, present: &Alias) -> Result<(), RegistryError> {
        let key = history_key(target, present.seq)?;
        let entry = json::bytes(&key, present).map_err(store_error("recording the history", target))?;
        self.create(&key, entry).await.map_err(store_error("recording the history", target))
    }

    /// Creates an object; one that exists stays as it is.
    async fn create(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            match self.store.put(key, bytes.clone(), Condition::IfAbsent).await {
                Ok(_) => return Ok(()),
                // Another writer is creating it, and may fail: only a visible object counts as created.
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

fn history_key(target: Target, seq: u64) -> Result<ObjectKey, RegistryError> {
    let key = ObjectKey::new(format!("{target}/history/{seq:08}.json"));
    key.map_err(store_error("naming an entry of the history", target))
}

fn version_key(target: Target, version: &ModelVersion, name: &str) -> Result<ObjectKey, RegistryError> {
    let key = ObjectKey::new(format!("{target}/versions/{version}/{name}"));
    key.map_err(store_error("naming a model", target))
}

#[cfg(test)]
mod race;
#[cfg(test)]
mod tests;
