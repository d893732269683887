//! Keeps the challengers of the shadow in memory. Nothing here can fail a batch: a challenger that cannot be loaded is
//! logged and left out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Artifact, Model, ModelVersion, Target};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::{Registry, RegistryError};
use model::{Classified, chain};
use store::ETag;

/// A challenger that is loaded.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Its version.
    pub version: ModelVersion,
    /// Its model.
    pub model: Arc<Model>,
}

/// The challengers of a registry, of both targets.
#[derive(Debug, Clone)]
pub struct Shadows {
    registry: Registry,
    refresh: Duration,
    /// When the registry was last checked. Whoever holds the lock checks it; others use what is known.
    asking: Arc<AsyncMutex<Option<Instant>>>,
    known: Arc<Mutex<Known>>,
}

/// What has been read so far. Each model is kept as soon as it is loaded, so an interrupted check goes on from there.
#[derive(Debug, Default)]
struct Known {
    lists: BTreeMap<Target, (ETag, Vec<ModelVersion>)>,
    loaded: BTreeMap<ModelVersion, Arc<Model>>,
}

impl Shadows {
    /// Creates a cache of the challengers of `registry`, which checks for changes at most every `refresh`.
    pub fn new(registry: Registry, refresh: Duration) -> Self {
        Self { registry, refresh, asking: Arc::default(), known: Arc::default() }
    }

    /// Returns the present challengers, or those known so far if the registry fails or another task is checking it.
    pub async fn current(&self) -> Vec<Shadow> {
        if let Ok(mut asked) = self.asking.try_lock()
            && asked.is_none_or(|asked| asked.elapsed() >= self.refresh)
        {
            // Recorded before the check, so that a failing store is not asked at every batch.
            *asked = Some(Instant::now());
            for target in Target::ALL {
                if let Err(error) = self.look(target).await {
                    log_failure(target, error.error_type(), &error);
                }
            }
        }
        let known = self.known();
        let listed = known.lists.values().flat_map(|(_, versions)| versions);
        let ready = |version: &ModelVersion| {
            Some(Shadow { version: version.clone(), model: Arc::clone(known.loaded.get(version)?) })
        };
        listed.filter_map(ready).collect()
    }

    async fn look(&self, target: Target) -> Result<(), RegistryError> {
        let etag = self.known().lists.get(&target).map(|(etag, _)| etag.clone());
        if let Some((list, etag)) = self.registry.challengers_if_changed(target, etag.as_ref()).await? {
            tracing::info!(%target, challengers = list.versions.len(), "the challengers changed");
            let mut known = self.known();
            known.lists.insert(target, (etag, list.versions));
            let Known { lists, loaded } = &mut *known;
            loaded.retain(|version, _| lists.values().any(|(_, versions)| versions.contains(version)));
        }
        let missing: Vec<ModelVersion> = {
            let known = self.known();
            let listed =
                known.lists.get(&target).map(|(_, versions)| versions.as_slice()).unwrap_or_default();
            listed.iter().filter(|version| !known.loaded.contains_key(version)).cloned().collect()
        };
        for version in missing {
            if let Some(model) = self.load(target, &version).await {
                self.known().loaded.insert(version, Arc::new(model));
            }
        }
        Ok(())
    }

    /// Loads one model. A failure is logged, does not delay the others, and is tried again at the next check.
    async fn load(&self, target: Target, version: &ModelVersion) -> Option<Model> {
        let bytes = self.registry.artifact(target, version).await;
        let bytes = bytes.inspect_err(|error| log_failure(target, error.error_type(), error)).ok()?;
        let artifact = Artifact::from_bytes(&bytes);
        let artifact = artifact.inspect_err(|error| log_failure(target, "Models.Unusable", error)).ok()?;
        (artifact.model.target() == target).then_some(artifact.model)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_failure(target: Target, error_type: &str, error: &dyn std::error::Error) {
    tracing::warn!(%target, error_type, error_message = chain(error), "a challenger cannot be loaded");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::testing::constant_duration;

    use super::*;
    use crate::{Change, NO_CARD};
    use store::MemoryStore;

    fn artifact(minutes: f64) -> Bytes {
        constant_duration(minutes).into()
    }

    #[tokio::test]
    async fn one_that_cannot_be_loaded_does_not_keep_the_others_away() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let shadows = Shadows::new(registry.clone(), Duration::ZERO);
        assert!(shadows.current().await.is_empty());
        let mut changes = Vec::new();
        for bytes in [Bytes::from_static(b"no model"), artifact(10.0), artifact(20.0)] {
            changes.push(Change::Add(registry.publish(Target::Duration, bytes, &NO_CARD).await.unwrap()));
        }
        registry.challenge(Target::Duration, &changes, "", "").await.unwrap();
        assert_eq!(shadows.current().await.len(), 2);
        let Change::Add(second) = changes[1].clone() else { panic!("it was added") };
        registry.challenge(Target::Duration, &[Change::Remove(second)], "", "").await.unwrap();
        assert_eq!(shadows.current().await.len(), 1, "who left is not asked any more");
    }

    #[tokio::test]
    async fn who_comes_while_another_asks_goes_on_with_what_is_known() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let version = registry.publish(Target::Duration, artifact(10.0), &NO_CARD).await.unwrap();
        registry.challenge(Target::Duration, &[Change::Add(version)], "", "").await.unwrap();
        let shadows = Shadows::new(registry, Duration::ZERO);
        let asking = shadows.asking.lock().await;
        assert!(shadows.current().await.is_empty(), "it does not wait");
        drop(asking);
        assert_eq!(shadows.current().await.len(), 1);
    }
}
