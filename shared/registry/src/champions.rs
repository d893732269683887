//! The champions, warm: loaded once, looked after at most every so often, never dropped for a failed reload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::bundle::BundleError;
use model::{Bundle, Target};
use tokio::sync::Mutex;

use crate::{Champion, Registry, RegistryError};
use model::{Classified, chain};

/// Why there is nothing to answer with.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No duration model has been promoted.
    #[error("there is no champion of duration in the registry: retrain or promote a model first")]
    NoChampion,
    /// The registry cannot be read.
    #[error("loading the champions")]
    Registry(#[from] RegistryError),
    /// The registry does not answer.
    #[error("the registry did not answer within {} s", RELOAD_SECONDS_MAX)]
    Timeout,
    /// A champion cannot be served by this build.
    #[error("loading the champions")]
    Bundle(#[from] BundleError),
}

impl Classified for ModelError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::NoChampion => "Models.NoChampion",
            Self::Registry(source) => source.error_type(),
            Self::Timeout => "Models.Timeout",
            Self::Bundle(_) => "Models.Unusable",
        }
    }
    fn is_transient(&self) -> bool {
        // A champion may be promoted, or mended, while a message waits.
        true
    }
}

/// A reload that takes longer is given up for now: the messages at hand have an answer already.
const RELOAD_SECONDS_MAX: u64 = 3;

/// What came of looking after the champions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Others serve from now on.
    Done,
    /// It failed: the last good ones keep serving.
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
    tip: Option<Champion>,
    looked: Instant,
}

impl Models {
    /// The champions of `registry`, asked for at most every `refresh`. `on_reload` is called with what came of a reload and the
    /// bundle that serves from then on.
    pub fn new(registry: Registry, refresh: Duration, on_reload: fn(Reload, &Bundle)) -> Self {
        Self { registry, refresh, on_reload, state: Arc::default() }
    }

    /// The champions to answer a whole batch with. The last good ones keep serving if a reload fails.
    ///
    /// # Errors
    /// [`ModelError`], only while nothing has been loaded yet.
    pub async fn bundle(&self) -> Result<Arc<Bundle>, ModelError> {
        let mut state = self.state.lock().await;
        let Some(loaded) = state.as_mut() else {
            let loaded = self.load().await?;
            tracing::info!(bundle = loaded.bundle.id(), "loaded the champions");
            return Ok(Arc::clone(&state.insert(loaded).bundle));
        };
        if loaded.looked.elapsed() >= self.refresh {
            // Looked at now, whatever comes of it: a store in trouble is not asked at every batch.
            loaded.looked = Instant::now();
            let limit = Duration::from_secs(RELOAD_SECONDS_MAX);
            let changed =
                tokio::time::timeout(limit, self.changed(loaded)).await.unwrap_or(Err(ModelError::Timeout));
            match changed {
                Ok(None) => (),
                Ok(Some(new)) => {
                    (self.on_reload)(Reload::Done, &new.bundle);
                    tracing::info!(from = loaded.bundle.id(), to = new.bundle.id(), "reloaded the champions");
                    *loaded = new;
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
                complain(&error);
                None
            }
            other => other?,
        };
        self.read(duration, tip).await
    }

    /// A tip model that can never be read does not take the durations with it: tips are then not answered.
    async fn read(&self, duration: Champion, tip: Option<Champion>) -> Result<Loaded, ModelError> {
        let duration_bytes = self.registry.artifact(Target::Duration, &duration.alias.version).await?;
        let tip_bytes = match &tip {
            None => None,
            Some(tip) => match self.registry.artifact(Target::Tip, &tip.alias.version).await {
                Err(error) if !error.is_transient() => {
                    complain(&error);
                    None
                }
                other => Some(other?),
            },
        };
        let bundle = match Bundle::from_bytes(&duration_bytes, tip_bytes.as_deref()) {
            Err(error) if tip_bytes.is_some() => {
                let alone = Bundle::from_bytes(&duration_bytes, None)?;
                complain(&error);
                alone
            }
            other => other?,
        };
        Ok(Loaded { bundle: Arc::new(bundle), duration, tip, looked: Instant::now() })
    }

    async fn changed(&self, loaded: &Loaded) -> Result<Option<Loaded>, ModelError> {
        let duration = self.registry.champion_if_changed(Target::Duration, &loaded.duration.etag).await?;
        let tip = match &loaded.tip {
            Some(tip) => self.registry.champion_if_changed(Target::Tip, &tip.etag).await?,
            None => self.registry.champion(Target::Tip).await?,
        };
        if duration.is_none() && tip.is_none() {
            return Ok(None);
        }
        let duration = duration.unwrap_or_else(|| loaded.duration.clone());
        let tip = tip.or_else(|| loaded.tip.clone());
        let new = self.read(duration.clone(), tip).await?;
        if new.bundle.tip_version().is_none() && loaded.bundle.tip_version().is_some() {
            // The new tip model cannot be served: the last good one goes on beside the new durations.
            return self.read(duration, loaded.tip.clone()).await.map(Some);
        }
        Ok(Some(new))
    }
}

fn complain(error: &dyn std::error::Error) {
    tracing::error!(
        error_type = "Models.Unusable",
        error_message = chain(error),
        "the tip model cannot be served"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CardFiles;
    use bytes::Bytes;
    use model::candidates::FitParams;
    use model::{Artifact, Candidate, Examples, Family, LabelledTrips, ModelVersion, Trip, Zone};
    use store::{Condition, MemoryStore, ObjectKey, Store};

    /// A duration model that answers `minutes` for every trip.
    fn artifact(minutes: f64) -> Bytes {
        let trip = Trip { pickup_zone: Zone::new(1), ..Trip::default() };
        let examples = Examples { trips: [trip].into_iter().collect(), labels: vec![minutes] };
        let params = FitParams::default();
        let candidate = Candidate::fit(
            Target::Duration,
            Family::Linear,
            &examples,
            &params,
            &mut model::Work { threads: 1, control: &mut model::go_on },
        )
        .unwrap();
        Bytes::from(Artifact::new(candidate, params, &[LabelledTrips::default()]).to_bytes().unwrap().0)
    }

    async fn promote(registry: &Registry, bytes: Bytes) -> ModelVersion {
        let version = registry.publish(Target::Duration, bytes, CardFiles::NONE).await.unwrap();
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
        let junk = registry.publish(Target::Tip, Bytes::from_static(b"junk"), CardFiles::NONE).await;
        registry.promote(Target::Tip, &junk.unwrap(), None, "", "").await.unwrap();
        let cold = || Models::new(registry.clone(), Duration::ZERO, |_, _| ());
        let bundle = cold().bundle().await.unwrap();
        assert_eq!((bundle.duration_version(), bundle.tip_version()), (&one, None));
        let alias = ObjectKey::new("tip/aliases/champion.json").unwrap();
        store.put(&alias, Bytes::from_static(b"{"), Condition::Always).await.unwrap();
        assert_eq!(cold().bundle().await.unwrap().duration_version(), &one, "nor does a damaged alias");
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
