//! Reads and writes months of trips and models on the local disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dataset::{Columns, FileReport, FileSummary, ReadError, ReadOptions, Rows, Step, TripReader, read_all};
use model::artifact::{ArtifactError, sha256_hex};
use model::{Artifact, LabelledTrips, ModelVersion, Month};
use store::{Store, StoreUri};

use crate::output::{Failure, progress};

/// A file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system failed to read or write it.
    #[error("{doing} {path}", path = path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// It is not a readable file of trips.
    #[error("reading trips from {path}", path = path.display())]
    Trips {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: ReadError,
    },
    /// It would be overwritten although it is an input.
    #[error("{path} is an input too: expected another file to write to", path = path.display())]
    IsInput {
        /// The file.
        path: PathBuf,
    },
    /// The directory of a store does not exist.
    #[error("{option} {path}: there is no such folder; expected s3://bucket or a folder", path = path.display())]
    NoStore {
        /// The option that names it.
        option: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// It is not a readable profile of trips.
    #[error("reading a profile from {path}: expected the profile.json beside a model's card", path = path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// It is not a readable model.
    #[error("reading a model from {path}", path = path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: ArtifactError,
    },
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Bytes, FileError> {
    let bytes = std::fs::read(path);
    bytes.map(Bytes::from).map_err(|source| FileError::Io { doing: "reading", path: path.into(), source })
}

/// The rows of a file of trips, batch by batch, read as they are needed: memory grows with the largest row group, compressed, and not with the file.
pub struct TripFile {
    path: PathBuf,
    source: Source,
    reader: TripReader,
    /// The first batch, which was read to know the footer.
    first: Option<Rows>,
    ended: bool,
}

enum Source {
    File(std::fs::File),
    /// What came through a pipe, which has no length and no places.
    Piped(Bytes),
}

impl TripFile {
    /// Opens the file and reads its footer and first rows.
    ///
    /// # Errors
    /// [`FileError`], as for the rows that follow.
    pub fn open(path: &Path, columns: Columns, options: ReadOptions) -> Result<Self, FileError> {
        let io = |source| FileError::Io { doing: "reading", path: path.into(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        let (source, bytes) = match about.is_file() {
            true => (Source::File(file), about.len()),
            false => {
                let piped = Bytes::from(std::fs::read(path).map_err(io)?);
                let bytes = piped.len() as u64;
                (Source::Piped(piped), bytes)
            }
        };
        let unreadable = |source| FileError::Trips { path: path.into(), source };
        let reader = TripReader::new(bytes, columns, options).map_err(unreadable)?;
        let mut opened = Self { path: path.into(), source, reader, first: None, ended: false };
        opened.first = opened.step()?;
        Ok(opened)
    }

    /// Returns the counts and columns of the file, as its footer states them.
    pub fn summary(&self) -> Option<FileSummary> {
        self.reader.summary()
    }

    /// Returns what was found of the logical columns, and the values that could not be used in the rows so far.
    pub fn report(&self) -> FileReport {
        self.reader.report()
    }

    fn step(&mut self) -> Result<Option<Rows>, FileError> {
        let unreadable = |source| FileError::Trips { path: self.path.clone(), source };
        let mut needs: Vec<_> = self.reader.first_need().into_iter().collect();
        loop {
            for range in std::mem::take(&mut needs) {
                let bytes = match &self.source {
                    Source::Piped(all) => all.slice(range.start as usize..range.end as usize),
                    Source::File(file) => read_at(file, &range).map_err(|source| FileError::Io {
                        doing: "reading",
                        path: self.path.clone(),
                        source,
                    })?,
                };
                self.reader.supply(range, bytes).map_err(unreadable)?;
            }
            match self.reader.step().map_err(unreadable)? {
                Step::Need(ranges) => needs = ranges,
                Step::Rows(rows) => return Ok(Some(*rows)),
                Step::Done => return Ok(None),
            }
        }
    }
}

impl Iterator for TripFile {
    type Item = Result<Rows, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.ended {
            return None;
        }
        let next = self.step();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// Reads a range of a file. The reader asks for no bytes beyond its end.
fn read_at(mut file: &std::fs::File, range: &std::ops::Range<u64>) -> std::io::Result<Bytes> {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

/// Refuses to write to `out` if it is one of the `inputs`, which would be lost.
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

/// Opens the store that `option` names. A directory must exist, since nothing would be found in a new one.
///
/// # Errors
/// [`FileError::NoStore`].
pub async fn open_existing(option: &'static str, uri: &StoreUri) -> Result<Arc<dyn Store>, FileError> {
    match uri {
        StoreUri::Directory(path) if !path.is_dir() => Err(FileError::NoStore { option, path: path.clone() }),
        uri => Ok(uri.open().await),
    }
}

/// Writes a temporary file and renames it, so that nobody sees an incomplete one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = NewFile::create(path)?;
    file.append(bytes)?;
    file.finish()
}

/// A file that takes its name only when it is whole; without [`NewFile::finish`], nothing is left of it.
pub struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: std::fs::File,
}

impl NewFile {
    /// Creates the file under another name beside `path`.
    ///
    /// # Errors
    /// [`FileError::Io`], as for the other operations.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let mut beside = path.as_os_str().to_owned();
        // A name that no input has.
        beside.push(format!(".{}.tmp", std::process::id()));
        let beside = PathBuf::from(beside);
        let file = std::fs::File::create(&beside).map_err(writing(path))?;
        Ok(Self { path: path.into(), beside, file })
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        std::io::Write::write_all(&mut self.file, bytes).map_err(writing(&self.path))
    }

    /// Gives the file its name, in place of what had it.
    pub fn finish(self) -> Result<(), FileError> {
        std::fs::rename(&self.beside, &self.path).map_err(writing(&self.path))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name.
        let _ = std::fs::remove_file(&self.beside);
    }
}

fn writing(path: &Path) -> impl Fn(std::io::Error) -> FileError {
    move |source| FileError::Io { doing: "writing", path: path.into(), source }
}

/// Returns the month in a TLC file name such as `green_tripdata_2021-01.parquet`.
pub fn month_of(path: &Path) -> Option<Month> {
    path.file_stem()?.to_str()?.rsplit_once('_')?.1.parse().ok()
}

/// Warns of files whose names are not those of a month: strict rules then refuse no row for lying outside of it.
pub fn warn_of_other_names(paths: &[PathBuf]) {
    for path in paths.iter().filter(|path| month_of(path).is_none()) {
        tracing::warn!(
            "{}: the name does not end like green_tripdata_2021-01.parquet, so no row is refused for lying outside of its month",
            name_of(path)
        );
    }
}

/// Warns if a file is of other taxis than `taxi`, those that the models learned from, by its columns or by its name.
pub fn warn_of_other_taxis(path: &Path, report: &FileReport, taxi: &str) {
    let has =
        |prefix: &str| report.found.values().flatten().any(|name| name.to_lowercase().starts_with(prefix));
    let of_columns = match (has("lpep_"), has("tpep_")) {
        (true, false) => Some("green"),
        (false, true) => Some("yellow"),
        (false, false) if report.paid_by_app => Some("fhvhv"),
        _ => None,
    };
    let name = name_of(path).to_lowercase();
    let is_named =
        |colour: &&str| name.starts_with(&format!("{colour}_")) || name.contains(&format!("_{colour}_"));
    let of_name = ["green", "yellow", "fhv", "fhvhv"].into_iter().find(is_named);
    if let Some(of_file) = of_columns.into_iter().chain(of_name).find(|of_file| *of_file != taxi) {
        tracing::warn!(
            "{} is of {of_file} taxis, the models are of {taxi} ones: predictions may be far off (--taxi says otherwise)",
            name_of(path)
        );
    }
}

/// Returns the name of a file without its folder.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Reads every trip of the files, in order.
pub fn months(paths: &[PathBuf], limits: ReadOptions) -> Result<Vec<LabelledTrips>, Failure> {
    months_of(paths, limits, None)
}

/// Reads every trip of the files, in order, and warns of those of other taxis than `taxi`.
pub fn months_of(
    paths: &[PathBuf],
    limits: ReadOptions,
    taxi: Option<&str>,
) -> Result<Vec<LabelledTrips>, Failure> {
    let bar = progress(paths.len() as u64, "reading months");
    let mut months = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read(path)?;
        let trips = read_all(&bytes, month_of(path), limits);
        let (mut trips, report) = trips.map_err(|source| FileError::Trips { path: path.clone(), source })?;
        for remark in report.remarks() {
            tracing::warn!(file = %path.display(), "{remark}");
        }
        if let Some(taxi) = taxi {
            warn_of_other_taxis(path, &report, taxi);
        }
        trips.sha256 = sha256_hex(&bytes);
        months.push(trips);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(months)
}

/// Reads a model and returns it with its version.
pub fn model(path: &Path) -> Result<(Artifact, ModelVersion), FileError> {
    let bytes = read(path)?;
    Artifact::with_version(&bytes).map_err(|source| FileError::Model { path: path.into(), source })
}
