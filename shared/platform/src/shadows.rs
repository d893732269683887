//! Challengers in the shadow, warm: asked about the messages that the champions answer, for whoever compares them later.
//! Nothing here can fail a batch: a challenger that cannot be loaded is complained of and left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Artifact, Model, ModelVersion, Target};
use tokio::sync::Mutex;

use crate::registry::{Registry, RegistryError};
use crate::store::ETag;
use crate::{Classified, chain};

/// A challenger, ready to be asked.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Its version.
    pub version: ModelVersion,
    /// The same as a model.
    pub model: Arc<Model>,
}

/// The challengers of a registry, of both targets.
#[derive(Debug, Clone)]
pub struct Shadows {
    registry: Registry,
    refresh: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    by_target: BTreeMap<Target, (ETag, Vec<Shadow>)>,
}

impl Shadows {
    /// The challengers of `registry`, asked for at most every `refresh`.
    pub fn new(registry: Registry, refresh: Duration) -> Self {
        Self { registry, refresh, state: Arc::default() }
    }

    /// The challengers there are now; those known so far where the registry does not answer.
    pub async fn current(&self) -> Vec<Shadow> {
        let mut state = self.state.lock().await;
        if state.looked.is_none_or(|looked| looked.elapsed() >= self.refresh) {
            state.looked = Some(Instant::now());
            for target in Target::ALL {
                if let Err(error) = self.look(target, &mut state).await {
                    complain(target, error.error_type(), &error);
                }
            }
        }
        state.by_target.values().flat_map(|(_, shadows)| shadows.iter().cloned()).collect()
    }

    async fn look(&self, target: Target, state: &mut State) -> Result<(), RegistryError> {
        let known = state.by_target.get(&target);
        let changed = self.registry.challengers_if_changed(target, known.map(|(etag, _)| etag)).await?;
        let Some((list, etag)) = changed else { return Ok(()) };
        let before = known.map(|(_, shadows)| shadows.clone()).unwrap_or_default();
        let mut shadows = Vec::new();
        for version in list.versions {
            match before.iter().find(|shadow| shadow.version == version) {
                Some(shadow) => shadows.push(shadow.clone()),
                None => shadows.extend(self.load(target, version).await?),
            }
        }
        tracing::info!(%target, challengers = shadows.len(), "loaded the challengers");
        state.by_target.insert(target, (etag, shadows));
        Ok(())
    }

    async fn load(&self, target: Target, version: ModelVersion) -> Result<Option<Shadow>, RegistryError> {
        let bytes = match self.registry.artifact(target, &version).await {
            Err(error) if !error.is_transient() => {
                complain(target, error.error_type(), &error);
                return Ok(None);
            }
            other => other?,
        };
        match Artifact::from_bytes(&bytes) {
            Ok(artifact) if artifact.model.target() == target => {
                Ok(Some(Shadow { version, model: Arc::new(artifact.model) }))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                complain(target, "Models.Unusable", &error);
                Ok(None)
            }
        }
    }
}

fn complain(target: Target, error_type: &str, error: &dyn std::error::Error) {
    tracing::warn!(%target, error_type, error_message = chain(error), "a challenger cannot be asked");
}
