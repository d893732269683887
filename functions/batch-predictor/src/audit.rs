//! How dropped files stand: predicted, refused, or neither, because their events were lost or their champions serve no more.
//!
//! No function asks it; `tripcast reconcile` does, of every file below `incoming/`.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};
use model::chain;
use registry::{ModelError, layout};
use serde::Serialize;
use serde_json::Value;
use store::{ObjectMeta, StoreError, json};

use crate::keys::Dropped;
use crate::results::summarised;
use crate::{BatchPredictor, NO_MODEL};

/// Files that are looked at at once.
const AT_ONCE: usize = 16;

/// Why the files could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The champions could not be loaded.
    #[error(transparent)]
    Models(#[from] ModelError),
}

/// How a dropped file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStanding {
    /// The present champions have predicted it.
    Predicted,
    /// It was refused as a whole, for this reason.
    Refused(String),
    /// Former champions have predicted it, the present ones have not.
    PredictedEarlier,
    /// There is nothing of its present bytes: their event was lost, or is under way.
    Missing,
}

/// What an audit found.
#[derive(Debug)]
pub struct Audit {
    /// The bundle of the present champions, if there are any.
    pub bundle: Option<String>,
    /// The files, in the order of their keys.
    pub files: Vec<(ObjectMeta, FileStanding)>,
}

/// Bundles by the path of what they have predicted, from `month=` on.
type Predicted = BTreeMap<String, Vec<String>>;

/// Returns the bundle and the path below it of the key of a summary.
fn bundle_and_path(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(layout::SUMMARIES)?.strip_prefix("bundle=")?.split_once('/')
}

impl BatchPredictor {
    /// Returns how every dropped file whose key begins with `prefix` stands.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn audit(&self, prefix: &str) -> Result<Audit, AuditError> {
        let bundle = match self.models.bundle().await {
            Ok(bundle) => Some(bundle.id()),
            Err(ModelError::NoChampion) => None,
            Err(error) => return Err(error.into()),
        };
        let mut predicted = Predicted::new();
        for summary in self.data.list(layout::SUMMARIES).await? {
            if let Some((bundle, path)) = bundle_and_path(summary.key.as_str()) {
                predicted.entry(path.into()).or_default().push(bundle.into());
            }
        }
        let listed = self.data.list(prefix).await?;
        let files = listed.into_iter().filter_map(|meta| Some((Dropped::new(meta.key.as_str())?, meta)));
        let standings = stream::iter(files).map(|(dropped, meta)| {
            let (bundle, predicted) = (bundle.as_deref(), &predicted);
            async move {
                match self.standing(&dropped, &meta, bundle, predicted).await {
                    Ok(standing) => Ok((meta, standing)),
                    // What is written of a file has a longer key than it, and the store has none so long.
                    Err(error @ StoreError::Key { .. }) => Ok((meta, FileStanding::Refused(chain(&error)))),
                    Err(error) => Err(error),
                }
            }
        });
        let files = standings.buffered(AT_ONCE).try_collect().await?;
        Ok(Audit { bundle, files })
    }

    /// Returns how one file stands, whose list entry is `meta`.
    async fn standing(
        &self,
        dropped: &Dropped,
        meta: &ObjectMeta,
        present: Option<&str>,
        predicted: &Predicted,
    ) -> Result<FileStanding, StoreError> {
        // The path does not depend on the bundle.
        let summary = dropped.summary("any")?;
        let path = bundle_and_path(summary.as_str()).map_or("", |(_, path)| path);
        let bundles = predicted.get(path).into_iter().flatten();
        let (present_one, former): (Vec<&String>, Vec<&String>) =
            bundles.partition(|bundle| Some(bundle.as_str()) == present);
        if self.is_predicted_by(&present_one, dropped, meta).await? {
            return Ok(FileStanding::Predicted);
        }
        if let Some(reason) = self.refusal(dropped, meta).await? {
            // For want of a champion it was refused only until there is one.
            if reason != NO_MODEL || present.is_none() {
                return Ok(FileStanding::Refused(reason));
            }
        }
        let is_predicted_earlier = self.is_predicted_by(&former, dropped, meta).await?;
        Ok(if is_predicted_earlier { FileStanding::PredictedEarlier } else { FileStanding::Missing })
    }

    /// Returns whether the summary of one of these bundles is of the present bytes of a file.
    async fn is_predicted_by(
        &self,
        bundles: &[&String],
        dropped: &Dropped,
        meta: &ObjectMeta,
    ) -> Result<bool, StoreError> {
        for bundle in bundles {
            let summarised = summarised(&*self.data, &dropped.summary(bundle)?).await?;
            if summarised.is_some_and(|etag| etag == meta.etag.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns why a file was refused, if there is an error report of its present bytes.
    async fn refusal(&self, dropped: &Dropped, meta: &ObjectMeta) -> Result<Option<String>, StoreError> {
        let key = dropped.error()?;
        let report: Value = match json::read(&*self.data, &key).await {
            Ok(Some((report, _))) => report,
            Ok(None) | Err(StoreError::Document { .. }) => return Ok(None),
            Err(source) => return Err(source),
        };
        // A walk over a directory names no ETag where there was no champion; then nothing is known of these bytes.
        let is_of_it = report["etag"].as_str() == Some(meta.etag.0.as_str());
        let reason = report["error_type"].as_str().or(report["outcome"].as_str()).unwrap_or_default();
        Ok(is_of_it.then(|| reason.to_string()))
    }
}
