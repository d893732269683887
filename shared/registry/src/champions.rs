//! Keeps the champions in memory: loads them on first use, then checks for new ones, and survives failed reloads.

mod cell;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use model::bundle::BundleError;
use model::{Bundle, Classified, Target, chain};
use store::ETag;
use tokio::time::Instant;

use crate::{Champion, Registry, RegistryError};
use cell::{Cell, Turn};

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
    /// Batches are predicted while one of them checks.
    loaded: Arc<Cell<Loaded>>,
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
        Self { registry, refresh, on_reload, loaded: Arc::default() }
    }

    /// Returns the champions for a whole batch, loading them on first use; those in memory survive a failed reload. Where a check is due, one
    /// batch waits for it, and the others are predicted by the champions that there are.
    ///
    /// # Errors
    /// [`ModelError`], only as long as nothing has been loaded.
    pub async fn bundle(&self) -> Result<Arc<Bundle>, ModelError> {
        match self.loaded.turn(|loaded| loaded.looked.elapsed() < self.refresh).await {
            Turn::Use(loaded) => Ok(Arc::clone(&loaded.bundle)),
            Turn::Renew(None, _turn) => self.load_first().await,
            Turn::Renew(Some(loaded), _turn) => Ok(self.check(&loaded).await),
        }
    }

    async fn load_first(&self) -> Result<Arc<Bundle>, ModelError> {
        let (loaded, is_tip_behind) = self.load().await?;
        if is_tip_behind {
            (self.on_reload)(Reload::Failed, &loaded.bundle);
        }
        tracing::info!(bundle = loaded.bundle.id(), "loaded the champions");
        let bundle = Arc::clone(&loaded.bundle);
        self.loaded.set(loaded);
        Ok(bundle)
    }

    /// Asks whether there are other champions, and returns the bundle that serves from now on.
    async fn check(&self, loaded: &Loaded) -> Arc<Bundle> {
        // Recorded before the check, so that a failing store is not asked at every batch.
        self.loaded.set(Loaded { looked: Instant::now(), ..loaded.clone() });
        let mut bundle = Arc::clone(&loaded.bundle);
        let limit = Duration::from_secs(RELOAD_SECONDS_MAX);
        let changed =
            tokio::time::timeout(limit, self.changed(loaded)).await.unwrap_or(Err(ModelError::Timeout));
        match changed {
            Ok((new, is_tip_behind)) => {
                if let Some(new) = new {
                    if new.bundle.id() != bundle.id() {
                        (self.on_reload)(Reload::Done, &new.bundle);
                        let (from, to) = (bundle.id(), new.bundle.id());
                        tracing::info!(from, to, "reloaded the champions");
                    }
                    bundle = Arc::clone(&new.bundle);
                    self.loaded.set(new);
                }
                // At every check, so that the alarm lasts until it is repaired.
                if is_tip_behind {
                    (self.on_reload)(Reload::Failed, &bundle);
                }
            }
            Err(error) => {
                (self.on_reload)(Reload::Failed, &bundle);
                let (error_type, error_message) = (error.error_type(), chain(&error));
                tracing::warn!(
                    error_type,
                    error_message,
                    "reloading failed: the last good champions keep serving"
                );
            }
        }
        bundle
    }

    async fn load(&self) -> Result<(Loaded, bool), ModelError> {
        let duration = self.registry.champion(Target::Duration).await?.ok_or(ModelError::NoChampion)?;
        let tip = match self.registry.champion(Target::Tip).await {
            Err(error) if !error.is_transient() => {
                log_unusable_tip(&error);
                None
            }
            other => other?,
        };
        let before = tip.as_ref().and_then(before);
        self.read(duration, tip, before).await
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

/// Returns the champion before this one, to serve where this one cannot be loaded. No alias has its ETag, so that the next check
/// asks again.
fn before(champion: &Champion) -> Option<Champion> {
    // Before a rollback's champion stands the one that was withdrawn.
    let version = champion.alias.previous.clone().filter(|_| champion.alias.restores.is_none())?;
    let alias = crate::Alias { version, previous: None, ..champion.alias.clone() };
    Some(Champion { alias, etag: ETag("before".into()) })
}

fn log_unusable_tip(error: &dyn std::error::Error) {
    tracing::error!(
        error_type = "Models.Unusable",
        error_message = chain(error),
        "the tip model cannot be served"
    );
}

#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;
