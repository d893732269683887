//! A store in a directory of one machine: keys are paths below it. A file lock serializes writers across processes.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::memory::{check, holds, not_found, window};
use super::{Condition, ETag, Get, Object, ObjectKey, ObjectMeta, Store, StoreError, Upload};

/// Folder for the lock and for incomplete files, which are not objects.
const PRIVATE: &str = ".tripcast";
/// Ending of incomplete files.
const PART: &str = ".part";

/// Objects as files below a root. Keys that could leave it are refused: those with `..`, `.` or empty parts, with NUL
/// or a backslash, absolute paths, and the private folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
    /// ETags of large files that were read already.
    known: Arc<Mutex<HashMap<Identity, ETag>>>,
    /// Whether incomplete files of processes that were killed have been looked for.
    swept: Arc<Once>,
}

/// Files of more bytes than this are not read again for their ETag while they stay as they are.
const SMALL_BYTES: u64 = 64 << 10;
/// ETags that are remembered at most.
const KNOWN_MAX: usize = 10_000;

/// What tells a file from another one, and from itself after it was written again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change of the bytes, and of the file's entry.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that changed within this time may change again without another time: its ETag is not remembered.
const SETTLED: Duration = Duration::from_secs(2);

impl DirectoryStore {
    /// Returns a store below `root`, which the first write creates.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), known: Arc::default(), swept: Arc::new(Once::new()) }
    }

    /// Runs file operations on a thread where they delay nobody.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(StoreError::Unavailable {
                    operation: "working in",
                    key: String::new(),
                    source: Box::new(error),
                }),
            },
        }
    }

    /// Computes the ETag of an open file from its bytes, or finds it where a large file has been read already.
    fn etag(&self, path: &Path, file: &mut File, metadata: &Metadata) -> io::Result<ETag> {
        let identity = Identity {
            path: path.to_path_buf(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        let settled = SystemTime::UNIX_EPOCH + Duration::from_secs(metadata.ctime().max(0) as u64) + SETTLED;
        let is_settled = settled < SystemTime::now();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(etag) = known().get(&identity) {
            return Ok(etag.clone());
        }
        let mut digest = Sha256::new();
        let mut part = [0; 1 << 16];
        loop {
            match file.read(&mut part)? {
                0 => break,
                bytes => digest.update(&part[..bytes]),
            }
        }
        let etag = ETag(hex::encode(digest.finalize())[..32].to_string());
        if metadata.len() > SMALL_BYTES && is_settled {
            let mut known = known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(identity, etag.clone());
        }
        Ok(etag)
    }

    /// Opens the file of a key.
    fn open(&self, operation: &'static str, key: &ObjectKey) -> Result<Opened, StoreError> {
        let path = self.path(key)?;
        let failed = |error| missing_or(operation, key, error);
        let mut file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(not_found(operation, key));
        }
        let etag = self.etag(&path, &mut file, &metadata).map_err(failed)?;
        Ok(Opened { file, bytes: metadata.len(), etag, modified: metadata.modified().ok() })
    }

    fn path(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let text = key.as_str();
        let refused = |expected| StoreError::Key { key: text.to_string(), expected };
        if text.contains('\0') || text.contains('\\') {
            return Err(refused("no NUL and no backslash"));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused("a path below the store: no '..', '.' or empty part, not absolute"));
        }
        let relative = Path::new(text);
        let stays = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !stays || text.split('/').next() == Some(PRIVATE) {
            return Err(refused("a path below the store, outside of .tripcast"));
        }
        Ok(self.root.join(relative))
    }

    fn private(&self) -> io::Result<PathBuf> {
        let folder = self.root.join(PRIVATE);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Takes the lock of the writers, until the file is dropped.
    fn lock(&self) -> io::Result<File> {
        let lock = File::create(self.private()?.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Creates a file with a unique name in the private folder, which is on the same file system as the objects. The
    /// file is locked as long as its process lives: an unlocked one is what a killed process has left.
    fn scratch(&self) -> io::Result<(Scratch, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = self.private()?;
        let _lock = self.lock()?;
        self.swept.call_once(|| sweep(&folder));
        let name = format!("{}-{}{PART}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        let file = File::create(&path)?;
        file.lock()?;
        Ok((Scratch(path), file))
    }

    /// Moves a complete file to the path of `key` if the condition holds, while holding the lock.
    fn publish(&self, key: &ObjectKey, scratch: &Path, condition: &Condition) -> Result<ETag, StoreError> {
        let failed = |error| unavailable("writing", key, error);
        let path = self.path(key)?;
        let _lock = self.lock().map_err(failed)?;
        let found = match self.open("writing", key) {
            Ok(found) => Some(found.etag),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if !holds(condition, found.as_ref()) {
            return Err(StoreError::Precondition { operation: "writing", key: key.to_string() });
        }
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::rename(scratch, &path).map_err(failed)?;
        Ok(self.open("writing", key)?.etag)
    }

    fn write(&self, key: &ObjectKey, bytes: &[u8], condition: &Condition) -> Result<ETag, StoreError> {
        let failed = |error| unavailable("writing", key, error);
        self.path(key)?;
        let (scratch, mut file) = self.scratch().map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        self.publish(key, &scratch.0, condition)
    }

    /// Finds the objects whose keys begin with `prefix`, in the order of their keys.
    fn found(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|error| listing(prefix, error))?,
            };
            for entry in entries {
                let path = entry.map_err(|error| listing(prefix, error))?.path();
                let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
                if key == PRIVATE {
                    continue;
                } else if path.is_dir() {
                    folders.push(path);
                } else if key.starts_with(prefix) {
                    let key = ObjectKey::new(key)?;
                    let Opened { bytes, etag, modified, .. } = self.open("listing", &key)?;
                    found.push(ObjectMeta { key, bytes, etag, modified });
                }
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

/// Removes the incomplete files of processes that do not live any more. What cannot be removed stays.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_part = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(PART));
        let is_left = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if is_part && is_left() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// A file with what is known of it.
struct Opened {
    file: File,
    bytes: u64,
    etag: ETag,
    modified: Option<SystemTime>,
}

#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        let key = key.clone();
        self.on_a_thread(move |store| {
            let Opened { mut file, bytes, etag, .. } = store.open("reading", &key)?;
            check(&key, &etag, &what)?;
            let range = window(&key, bytes, &what)?;
            let mut part = vec![0; (range.end - range.start) as usize];
            let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut part));
            read.map_err(|error| unavailable("reading", &key, error))?;
            Ok(Object { bytes: Bytes::from(part), etag })
        })
        .await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let key = key.clone();
        self.on_a_thread(move |store| {
            let Opened { bytes, etag, modified, .. } = store.open("looking at", &key)?;
            Ok(ObjectMeta { key, bytes, etag, modified })
        })
        .await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let key = key.clone();
        self.on_a_thread(move |store| store.write(&key, &bytes, &condition)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let prefix = prefix.to_string();
        self.on_a_thread(move |store| store.found(&prefix)).await
    }

    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        self.path(key)?;
        let (scratch, file) = self.scratch().map_err(|error| unavailable("writing", key, error))?;
        Ok(Box::new(DirectoryUpload { store: self.clone(), key: key.clone(), scratch, file }))
    }
}

struct DirectoryUpload {
    store: DirectoryStore,
    key: ObjectKey,
    scratch: Scratch,
    file: File,
}

/// A file that is not complete yet. It is removed in the end, unless it was renamed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[async_trait]
impl Upload for DirectoryUpload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (mut file, key) = (self.file.try_clone(), self.key.clone());
        let write = move |_: &DirectoryStore| {
            let written = file.as_mut().map_err(|error| io::Error::from(error.kind()));
            written
                .and_then(|file| file.write_all(&bytes))
                .map_err(|error| unavailable("writing", &key, error))
        };
        self.store.on_a_thread(write).await
    }
    async fn complete(self: Box<Self>) -> Result<ETag, StoreError> {
        let store = self.store.clone();
        let complete = move |store: &DirectoryStore| {
            self.file.sync_all().map_err(|error| unavailable("writing", &self.key, error))?;
            store.publish(&self.key, &self.scratch.0, &Condition::Always)
        };
        store.on_a_thread(complete).await
    }
    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn missing_or(operation: &'static str, key: &ObjectKey, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            not_found(operation, key)
        }
        _ => unavailable(operation, key, error),
    }
}

fn unavailable(operation: &'static str, key: &ObjectKey, error: io::Error) -> StoreError {
    StoreError::Unavailable { operation, key: key.to_string(), source: Box::new(error) }
}

fn listing(prefix: &str, error: io::Error) -> StoreError {
    StoreError::Unavailable { operation: "listing", key: prefix.to_string(), source: Box::new(error) }
}

#[cfg(test)]
mod tests;
