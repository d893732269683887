//! Challengers in the shadow: models that predict every message beside the champion, for comparison only.
//!
//! ```text
//! <target>/aliases/challengers.json    created by IfAbsent, changed by IfMatch; `seq` only grows
//! ```

use model::{ModelVersion, Target};
use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError, store_error};
use store::{Condition, ETag, Get, ObjectKey, StoreError, json};

/// The list of models in the shadow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challengers {
    /// 1 for the first list, one more for each change.
    pub seq: u64,
    /// The models, in the order in which they were added.
    pub versions: Vec<ModelVersion>,
    /// When it was last changed, RFC 3339, UTC.
    pub since: String,
    /// Why it was changed.
    pub reason: String,
}

/// A change of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds this model.
    Add(ModelVersion),
    /// Removes this model.
    Remove(ModelVersion),
}

impl Registry {
    /// Reads the challengers of `target` with the ETag of their list; none if there never were any.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn challengers(&self, target: Target) -> Result<Option<(Challengers, ETag)>, RegistryError> {
        let read = json::read::<Challengers>(&*self.store, &key(target)?).await;
        read.map_err(store_error("reading the challengers", target))
    }

    /// Reads the challengers of `target` if the ETag of their list is not `known`; none if it is, or without a list.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn challengers_if_changed(
        &self,
        target: Target,
        known: Option<&ETag>,
    ) -> Result<Option<(Challengers, ETag)>, RegistryError> {
        let what = Get { if_none_match: known.cloned(), ..Get::default() };
        match self.store.get(&key(target)?, what).await {
            Err(StoreError::NotModified { .. } | StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error("reading the challengers", target)(error)),
            Ok(_) => self.challengers(target).await,
        }
    }

    /// Applies all of `changes` to the challengers of `target`, in order, or none of them.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`] for a model to add that is not published; [`RegistryError::Contended`] if
    /// other writers keep changing the list; [`RegistryError::Store`].
    pub async fn challenge(
        &self,
        target: Target,
        changes: &[Change],
        reason: &str,
        since: &str,
    ) -> Result<Challengers, RegistryError> {
        for change in changes {
            if let Change::Add(version) = change {
                self.artifact(target, version).await?;
            }
        }
        for _ in 0..super::ATTEMPTS {
            let present = self.challengers(target).await?;
            let (seq, mut versions, condition) = match present {
                None => (1, Vec::new(), Condition::IfAbsent),
                Some((list, etag)) => (list.seq + 1, list.versions, Condition::IfMatch(etag)),
            };
            for change in changes {
                match change {
                    Change::Add(version) if !versions.contains(version) => versions.push(version.clone()),
                    Change::Add(_) => (),
                    Change::Remove(version) => versions.retain(|known| known != version),
                }
            }
            let (since, reason) = (since.to_string(), reason.to_string());
            let next = Challengers { seq, versions, since, reason };
            match json::write(&*self.store, &key(target)?, &next, condition).await {
                Ok(_) => return Ok(next),
                // Another writer changed the list meanwhile, so the changes are applied to the new list.
                Err(StoreError::Precondition { .. }) => (),
                Err(error) => return Err(store_error("changing the challengers", target)(error)),
            }
        }
        Err(RegistryError::Contended { target })
    }
}

fn key(target: Target) -> Result<ObjectKey, RegistryError> {
    ObjectKey::new(format!("{target}/aliases/challengers.json"))
        .map_err(store_error("naming the challengers", target))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::NO_CARD;
    use super::*;
    use bytes::Bytes;
    use store::MemoryStore;

    const SINCE: &str = "2021-03-15T09:00:00Z";

    async fn publish(registry: &Registry, bytes: &'static [u8]) -> ModelVersion {
        let files = registry.publish(Target::Tip, Bytes::from_static(bytes), &NO_CARD);
        files.await.unwrap()
    }

    #[tokio::test]
    async fn challengers_come_and_go() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        assert_eq!(registry.challengers(Target::Tip).await.unwrap(), None);
        let (one, two) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
        let both = [Change::Add(one.clone()), Change::Add(two.clone()), Change::Add(one.clone())];
        let list = registry.challenge(Target::Tip, &both, "to compare", SINCE).await.unwrap();
        assert_eq!((list.seq, list.versions), (1, vec![one.clone(), two.clone()]));
        let (_, etag) = registry.challengers(Target::Tip).await.unwrap().unwrap();
        let unchanged = registry.challengers_if_changed(Target::Tip, Some(&etag)).await.unwrap();
        assert_eq!(unchanged, None);
        let list = registry.challenge(Target::Tip, &[Change::Remove(one)], "", SINCE).await.unwrap();
        assert_eq!((list.seq, list.versions), (2, vec![two]));
        let changed = registry.challengers_if_changed(Target::Tip, Some(&etag)).await.unwrap();
        assert_eq!(changed.unwrap().0.seq, 2);
        let nobody = ModelVersion::from_bytes(b"never published");
        let refused = registry.challenge(Target::Tip, &[Change::Add(nobody)], "", SINCE).await;
        assert!(matches!(refused, Err(RegistryError::UnknownVersion { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn changes_at_once_all_count() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let mut versions = Vec::new();
        for bytes in [b"a", b"b", b"c", b"d", b"e"] {
            versions.push(publish(&registry, bytes).await);
        }
        let add = |version: &ModelVersion| {
            let (registry, change) = (registry.clone(), [Change::Add(version.clone())]);
            async move { registry.challenge(Target::Tip, &change, "", SINCE).await.unwrap() }
        };
        futures::future::join_all(versions.iter().map(add)).await;
        let (list, _) = registry.challengers(Target::Tip).await.unwrap().unwrap();
        assert_eq!((list.seq, list.versions.len()), (5, 5));
    }
}
