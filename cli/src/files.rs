//! Files of a local disk: months of trips and models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dataset::{Limits, ReadError, read_all};
use model::artifact::{ArtifactError, sha256_hex};
use model::{Artifact, LabelledTrips, ModelVersion, Month};
use store::{Store, StoreUri};

use crate::output::{Failure, progress};

/// A file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system did not read or write it.
    #[error("{doing} {path}", path = path.display())]
    Io {
        /// Reading or writing.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It holds no trips.
    #[error("reading trips from {path}", path = path.display())]
    Trips {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// It is to be written and was read.
    #[error("{path} is an input too: expected another file to write to", path = path.display())]
    IsInput {
        /// Which file.
        path: PathBuf,
    },
    /// A directory that is to be a store is not there.
    #[error("{option} {path}: there is no such folder; expected s3://bucket or a folder", path = path.display())]
    NoStore {
        /// Where it was named.
        option: &'static str,
        /// Which folder.
        path: PathBuf,
    },
    /// It holds no model.
    #[error("reading a model from {path}", path = path.display())]
    Model {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArtifactError,
    },
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Bytes, FileError> {
    let bytes = std::fs::read(path);
    bytes.map(Bytes::from).map_err(|source| FileError::Io { doing: "reading", path: path.into(), source })
}

/// Refuses to write `out` where one of the `inputs` lies: what was read would be gone.
///
/// # Errors
/// [`FileError::IsInput`].
pub fn refuse_inputs<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), FileError> {
    let place = |path: &Path| path.canonicalize().ok();
    let is_out = |input: &&PathBuf| place(input).is_some_and(|input| place(out) == Some(input));
    match inputs.into_iter().find(is_out) {
        Some(_) => Err(FileError::IsInput { path: out.into() }),
        None => Ok(()),
    }
}

/// Opens the store that `option` names; a directory has to be there, since nothing would be found in one that is not.
///
/// # Errors
/// [`FileError::NoStore`].
pub async fn open_existing(option: &'static str, uri: &StoreUri) -> Result<Arc<dyn Store>, FileError> {
    match uri {
        StoreUri::Directory(path) if !path.is_dir() => Err(FileError::NoStore { option, path: path.clone() }),
        uri => Ok(uri.open().await),
    }
}

/// Writes a file whole: beside its place first, then moved there, so that nobody sees half of it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Io { doing: "writing", path: path.into(), source };
    let mut beside = path.as_os_str().to_owned();
    // A name that no input has.
    beside.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&beside, bytes).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// The month in a TLC file name such as `green_tripdata_2021-01.parquet`.
pub fn month_of(path: &Path) -> Option<Month> {
    path.file_stem()?.to_str()?.rsplit_once('_')?.1.parse().ok()
}

/// The name of a file without its folder.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Every trip of the files, in their order.
pub fn months(paths: &[PathBuf], limits: Limits) -> Result<Vec<LabelledTrips>, Failure> {
    let bar = progress(paths.len() as u64, "reading months");
    let mut months = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read(path)?;
        let trips = read_all(&bytes, month_of(path), limits);
        let mut trips = trips.map_err(|source| FileError::Trips { path: path.clone(), source })?;
        trips.sha256 = sha256_hex(&bytes);
        months.push(trips);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(months)
}

/// A model with its version.
pub fn model(path: &Path) -> Result<(Artifact, ModelVersion), FileError> {
    let bytes = read(path)?;
    let artifact =
        Artifact::from_bytes(&bytes).map_err(|source| FileError::Model { path: path.into(), source })?;
    Ok((artifact, ModelVersion::from_bytes(&bytes)))
}
