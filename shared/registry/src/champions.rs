//! Keeps the champions in memory: loads them on first use, then checks for new ones, and survives failed reloads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::bundle::BundleError;
use model::{Bundle, Classified, Target, chain};
use store::ETag;
use tokio::sync::Mutex;

use crate::{Champion, Registry, RegistryError};

/// Why there are no models to predict with.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No duration model has been promoted.
    #[error("there is no champion of duration in the registry: retrain or promote a model first")]
    NoChampion,
    /// The registry cannot be read.
    #[error("loading the champions")]
    Registry(#[from] RegistryError),
    /// The registry did not respond in time.
    #[error("the registry did not respond within {} s", RELOAD_SECONDS_MAX)]
    Timeout,
    /// The duration champion cannot be served by this build.
    #[error("loading the champions")]
    Bundle(#[from] BundleError),
    /// The tip champion cannot be served by this build.
    #[error("loading the tip champion")]
    Tip(#[source] BundleError),
}

impl ModelError {
    /// Returns whether the error concerns tips alone, so that durations can still be predicted.
    fn is_only_the_tip(&self) -> bool {
        match self {
            Self::Tip(_) => true,
            Self::Registry(source) => !source.is_transient(),
            Self::NoChampion | Self::Timeout | Self::Bundle(_) => false,
        }
    }
}

impl Classified for ModelError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::NoChampion => "Models.NoChampion",
            Self::Registry(source) => source.error_type(),
            Self::Timeout => "Models.Timeout",
            Self::Bundle(_) | Self::Tip(_) => "Models.Unusable",
        }
    }
    fn is_transient(&self) -> bool {
        // A champion may be promoted, or repaired, while a message waits.
        true
    }
}

/// A reload that takes longer is abandoned until the next check: there are champions to predict with.
const RELOAD_SECONDS_MAX: u64 = 3;

/// The result of a check for new champions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Other champions serve from now on.
    Done,
    /// A champion could not be loaded; the last good ones keep serving.
    Failed,
}

/// The bundle of champions of a registry.
#[derive(Debug, Clone)]
pub struct Models {
    registry: Registry,
    refresh: Duration,
    on_reload: fn(Reload, &Bundle),
    state: Arc<Mutex<Option<Loaded>>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    bundle: Arc<Bundle>,
    duration: Champion,
    /// The tip champion in the bundle.
    tip: Option<Champion>,
    /// ETag of a tip champion that this build cannot use; it is not fetched again until it changes.
    tip_refused: Option<ETag>,
    looked: Instant,
}

impl Models {
    /// Creates a cache of the champions of `registry`, which checks for new ones at most every `refresh`. `on_reload`
    /// is called with the result of a reload and the bundle that serves from then on.
    pub fn new(registry: Registry, refresh: Duration, on_reload: fn(Reload, &Bundle)) -> Self {
        Self { registry, refresh, on_reload, state: Arc::default() }
    }

    /// Returns the champions for a whole batch, loading them on first use; those in memory survive a failed reload.
    ///
    /// # Errors
    /// [`ModelError`], only as long as nothing has been loaded.
    pub async fn bundle(&self) -> Result<Arc<Bundle>, ModelError> {
        let mut state = self.state.lock().await;
        let Some(loaded) = state.as_mut() else {
            let loaded = self.load().await?;
            tracing::info!(bundle = loaded.bundle.id(), "loaded the champions");
            return Ok(Arc::clone(&state.insert(loaded).bundle));
        };
        if loaded.looked.elapsed() >= self.refresh {
            // Recorded before the check, so that a failing store is not asked at every batch.
            loaded.looked = Instant::now();
            let limit = Duration::from_secs(RELOAD_SECONDS_MAX);
            let changed =
                tokio::time::timeout(limit, self.changed(loaded)).await.unwrap_or(Err(ModelError::Timeout));
            match changed {
                Ok((new, is_tip_behind)) => {
                    if let Some(new) = new {
                        if new.bundle.id() != loaded.bundle.id() {
                            (self.on_reload)(Reload::Done, &new.bundle);
                            let (from, to) = (loaded.bundle.id(), new.bundle.id());
                            tracing::info!(from, to, "reloaded the champions");
                        }
                        *loaded = new;
                    }
                    // At every check, so that the alarm lasts until it is repaired.
                    if is_tip_behind {
                        (self.on_reload)(Reload::Failed, &loaded.bundle);
                    }
                }
                Err(error) => {
                    (self.on_reload)(Reload::Failed, &loaded.bundle);
                    let (error_type, error_message) = (error.error_type(), chain(&error));
                    tracing::warn!(
                        error_type,
                        error_message,
                        "reloading failed: the last good champions keep serving"
                    );
                }
            }
        }
        Ok(Arc::clone(&loaded.bundle))
    }

    async fn load(&self) -> Result<Loaded, ModelError> {
        let duration = self.registry.champion(Target::Duration).await?.ok_or(ModelError::NoChampion)?;
        let tip = match self.registry.champion(Target::Tip).await {
            Err(error) if !error.is_transient() => {
                log_unusable_tip(&error);
                None
            }
            other => other?,
        };
        Ok(self.read(duration, tip, None).await?.0)
    }

    /// Loads the bundle of these champions, and returns whether `tip` is missing from it. If the tip model cannot be
    /// read, `tip_before` takes its place, or else tips are not predicted.
    async fn read(
        &self,
        duration: Champion,
        tip: Option<Champion>,
        tip_before: Option<Champion>,
    ) -> Result<(Loaded, bool), ModelError> {
        let duration_bytes = self.registry.artifact(Target::Duration, &duration.alias.version).await?;
        let (mut tip_refused, mut is_behind, looked) = (None, false, Instant::now());
        for tip in [tip, tip_before].into_iter().flatten() {
            match self.with_tip(&duration_bytes, &tip).await {
                Ok(bundle) => {
                    let (bundle, tip) = (Arc::new(bundle), Some(tip));
                    return Ok((Loaded { bundle, duration, tip, tip_refused, looked }, is_behind));
                }
                Err(error) if error.is_only_the_tip() => {
                    log_unusable_tip(&error);
                    is_behind = true;
                    // Bytes that are missing or damaged may be restored under the same alias; a model that this build
                    // cannot use stays unusable.
                    if matches!(error, ModelError::Tip(_)) {
                        tip_refused.get_or_insert(tip.etag);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let bundle = Arc::new(Bundle::from_bytes(&duration_bytes, None)?);
        Ok((Loaded { bundle, duration, tip: None, tip_refused, looked }, is_behind))
    }

    async fn with_tip(&self, duration_bytes: &[u8], tip: &Champion) -> Result<Bundle, ModelError> {
        let tip_bytes = self.registry.artifact(Target::Tip, &tip.alias.version).await?;
        Bundle::from_bytes(duration_bytes, Some(&tip_bytes)).map_err(|error| match error.target() {
            Target::Tip => ModelError::Tip(error),
            Target::Duration => ModelError::Bundle(error),
        })
    }

    /// Returns what has changed since the last check, none if nothing has, and whether the bundle lacks the registry's
    /// tip champion.
    async fn changed(&self, loaded: &Loaded) -> Result<(Option<Loaded>, bool), ModelError> {
        let duration = self.registry.champion_if_changed(Target::Duration, &loaded.duration.etag).await?;
        let known = loaded.tip_refused.as_ref().or(loaded.tip.as_ref().map(|tip| &tip.etag));
        let tip = match known {
            Some(etag) => self.registry.champion_if_changed(Target::Tip, etag).await,
            None => self.registry.champion(Target::Tip).await,
        };
        let (tip, is_damaged) = match tip {
            // A damaged alias of tips does not keep a new duration champion from serving.
            Err(error) if !error.is_transient() => {
                log_unusable_tip(&error);
                (None, true)
            }
            other => (other?, false),
        };
        let is_same_tip = tip.is_none();
        let still_refused = loaded.tip_refused.clone().filter(|_| is_same_tip);
        if duration.is_none() && is_same_tip {
            return Ok((None, is_damaged || still_refused.is_some()));
        }
        let duration = duration.unwrap_or_else(|| loaded.duration.clone());
        let (mut new, is_behind) = self.read(duration, tip, loaded.tip.clone()).await?;
        let is_behind = is_behind || is_damaged || still_refused.is_some();
        new.tip_refused = new.tip_refused.or(still_refused);
        Ok((Some(new), is_behind))
    }
}

fn log_unusable_tip(error: &dyn std::error::Error) {
    tracing::error!(
        error_type = "Models.Unusable",
        error_message = chain(error),
        "the tip model cannot be served"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NO_CARD;
    use bytes::Bytes;
    use model::testing::{self, constant_duration};
    use model::{Family, ModelVersion, Trip, Zone};
    use store::{Condition, MemoryStore, ObjectKey, Store};

    fn artifact(minutes: f64) -> Bytes {
        constant_duration(minutes).into()
    }

    /// Builds a tip model from trips of two zones.
    fn tip_artifact() -> Bytes {
        let trip = |row: u16| Trip {
            pickup_zone: Zone::new(row % 2 + 1),
            dropoff_zone: Zone::new(9),
            pickup: model::request::local_time(&format!("2021-03-{:02} 10:00:00", row % 28 + 1)),
            ..Trip::default()
        };
        let labels = (0..400).map(|row: u16| f64::from(row % 2)).collect();
        testing::artifact(Target::Tip, Family::Tree, (0..400).map(trip).collect(), labels).into()
    }

    async fn promote(registry: &Registry, bytes: Bytes) -> ModelVersion {
        let version = registry.publish(Target::Duration, bytes, &NO_CARD).await.unwrap();
        let champion = registry.champion(Target::Duration).await.unwrap();
        registry.promote(Target::Duration, &version, champion.as_ref(), "", "").await.unwrap();
        version
    }

    #[tokio::test]
    async fn a_promotion_is_picked_up_and_a_broken_one_is_not() {
        let store = MemoryStore::default();
        let registry = Registry::new(Arc::new(store.clone()));
        let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
        assert!(matches!(models.bundle().await, Err(ModelError::NoChampion)));
        let one = promote(&registry, artifact(10.0)).await;
        assert_eq!(models.bundle().await.unwrap().duration_version(), &one);
        let two = promote(&registry, artifact(20.0)).await;
        assert_eq!(models.bundle().await.unwrap().duration_version(), &two);
        promote(&registry, Bytes::from_static(b"no model")).await;
        assert_eq!(
            models.bundle().await.unwrap().duration_version(),
            &two,
            "the last good one keeps serving"
        );
        let alias = ObjectKey::new("duration/aliases/champion.json").unwrap();
        store.put(&alias, Bytes::from_static(b"{"), Condition::Always).await.unwrap();
        assert_eq!(
            models.bundle().await.unwrap().duration_version(),
            &two,
            "so it does when the alias is damaged"
        );
    }

    #[tokio::test]
    async fn a_broken_tip_model_does_not_take_durations_with_it() {
        let store = MemoryStore::default();
        let registry = Registry::new(Arc::new(store.clone()));
        let one = promote(&registry, artifact(10.0)).await;
        let junk = registry.publish(Target::Tip, Bytes::from_static(b"junk"), &NO_CARD).await;
        registry.promote(Target::Tip, &junk.unwrap(), None, "", "").await.unwrap();
        let cold = || Models::new(registry.clone(), Duration::ZERO, |_, _| ());
        let bundle = cold().bundle().await.unwrap();
        assert_eq!((bundle.duration_version(), bundle.tip_version()), (&one, None));
        let alias = ObjectKey::new("tip/aliases/champion.json").unwrap();
        store.put(&alias, Bytes::from_static(b"{"), Condition::Always).await.unwrap();
        assert_eq!(cold().bundle().await.unwrap().duration_version(), &one, "nor does a damaged alias");
    }

    /// A store that counts the full reads of each key.
    #[derive(Debug, Clone, Default)]
    struct Counting {
        store: MemoryStore,
        reads: Arc<std::sync::Mutex<std::collections::BTreeMap<String, usize>>>,
    }

    #[async_trait::async_trait]
    impl Store for Counting {
        async fn get(&self, key: &ObjectKey, what: store::Get) -> Result<store::Object, store::StoreError> {
            let object = self.store.get(key, what).await?;
            *self.reads.lock().unwrap().entry(key.to_string()).or_default() += 1;
            Ok(object)
        }
        async fn head(&self, key: &ObjectKey) -> Result<store::ObjectMeta, store::StoreError> {
            self.store.head(key).await
        }
        async fn put(
            &self,
            key: &ObjectKey,
            bytes: Bytes,
            condition: Condition,
        ) -> Result<ETag, store::StoreError> {
            self.store.put(key, bytes, condition).await
        }
        async fn list(&self, prefix: &str) -> Result<Vec<store::ObjectMeta>, store::StoreError> {
            self.store.list(prefix).await
        }
        async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn store::Upload>, store::StoreError> {
            self.store.upload(key).await
        }
    }

    static FAILED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

    #[tokio::test]
    async fn an_unusable_tip_champion_is_fetched_once_and_alarms_at_every_look() {
        let failed = || FAILED.load(std::sync::atomic::Ordering::SeqCst);
        let count = |reload, _: &Bundle| {
            if reload == Reload::Failed {
                FAILED.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        };
        let store = Counting::default();
        let registry = Registry::new(Arc::new(store.clone()));
        promote(&registry, artifact(10.0)).await;
        let models = Models::new(registry.clone(), Duration::ZERO, count);
        models.bundle().await.unwrap();
        let junk = registry.publish(Target::Tip, Bytes::from_static(b"junk"), &NO_CARD).await.unwrap();
        registry.promote(Target::Tip, &junk, None, "", "").await.unwrap();
        let key = format!("tip/versions/{junk}/model.bin");
        let fetched = || store.reads.lock().unwrap().get(&key).copied().unwrap_or_default();
        // A promotion reads it, too.
        let before = fetched();
        for looks in 1..=3 {
            assert_eq!(models.bundle().await.unwrap().tip_version(), None);
            assert_eq!((fetched() - before, failed()), (1, looks));
        }
        let two = promote(&registry, artifact(20.0)).await;
        assert_eq!(models.bundle().await.unwrap().duration_version(), &two, "durations go on changing");
        assert_eq!((fetched() - before, failed()), (1, 4), "and it is not fetched for that");

        // Missing or damaged bytes are fetched at every check, and serve once they are restored.
        let missing = ObjectKey::new("tip/aliases/champion.json").unwrap();
        let alias = registry.champion(Target::Tip).await.unwrap().unwrap().alias;
        let good = tip_artifact();
        let version = ModelVersion::from_bytes(&good);
        let alias = serde_json::to_vec(&crate::Alias { seq: 2, version: version.clone(), ..alias }).unwrap();
        store.store.put(&missing, Bytes::from(alias), Condition::Always).await.unwrap();
        assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (None, 5));
        assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (None, 6));
        registry.publish(Target::Tip, good, &NO_CARD).await.unwrap();
        assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (Some(&version), 6));
        models.bundle().await.unwrap();
        assert_eq!(failed(), 6, "mended, it is quiet");
    }

    #[tokio::test]
    async fn the_registry_is_asked_at_most_every_so_often() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let models = Models::new(registry.clone(), Duration::from_secs(3600), |_, _| ());
        let one = promote(&registry, artifact(10.0)).await;
        assert_eq!(models.bundle().await.unwrap().duration_version(), &one);
        promote(&registry, artifact(20.0)).await;
        assert_eq!(models.bundle().await.unwrap().duration_version(), &one, "not asked yet");
    }
}
