//! A store in a directory of one machine: keys are paths below it. A file lock serializes writers across processes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use model::artifact::sha256_hex;

use super::memory::{holds, not_found, select};
use super::{Condition, ETag, Get, Object, ObjectKey, ObjectMeta, Store, StoreError, Upload};

/// Folder for the lock and for incomplete files, which are not objects.
const PRIVATE: &str = ".tripcast";

/// Objects as files below a root. Keys that could leave it are refused: those with `..`, `.` or empty parts, with NUL
/// or a backslash, absolute paths, and the private folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// Makes a store below `root`; the first write creates the directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
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

    /// Creates a file with a unique name in the private folder, which is on the same file system as the objects.
    fn scratch(&self) -> io::Result<(PathBuf, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.private()?.join(name);
        let file = File::create(&path)?;
        Ok((path, file))
    }

    /// Moves a complete file to the path of `key` if the condition holds, while holding the lock.
    fn publish(&self, key: &ObjectKey, scratch: &Path, condition: &Condition) -> Result<ETag, StoreError> {
        let failed = |error| unavailable("writing", key, error);
        let path = self.path(key)?;
        let lock = self.private().and_then(|folder| File::create(folder.join("lock"))).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let found = match fs::read(&path) {
            Ok(bytes) => Some(etag_of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if !holds(condition, found.as_ref()) {
            return Err(StoreError::Precondition { operation: "writing", key: key.to_string() });
        }
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let etag = fs::read(scratch).map(|bytes| etag_of(&bytes)).map_err(failed)?;
        fs::rename(scratch, &path).map_err(failed)?;
        Ok(etag)
    }

    fn write(&self, key: &ObjectKey, bytes: &[u8], condition: &Condition) -> Result<ETag, StoreError> {
        let failed = |error| unavailable("writing", key, error);
        self.path(key)?;
        let (scratch, mut file) = self.scratch().map_err(failed)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed);
        let published = written.and_then(|()| self.publish(key, &scratch, condition));
        if published.is_err() {
            let _ = fs::remove_file(&scratch);
        }
        published
    }
}

// File operations are short and local, so they run on the calling thread and not on blocking threads.
#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        let bytes = fs::read(self.path(key)?).map_err(|error| missing_or("reading", key, error))?;
        let etag = etag_of(&bytes);
        select(key, Object { bytes: Bytes::from(bytes), etag }, &what)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let bytes = fs::read(self.path(key)?).map_err(|error| missing_or("looking at", key, error))?;
        Ok(ObjectMeta { key: key.clone(), bytes: bytes.len() as u64, etag: etag_of(&bytes) })
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        self.write(key, &bytes, &condition)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
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
                    found.push(self.head(&ObjectKey::new(key)?).await?);
                }
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
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
    scratch: PathBuf,
    file: File,
}

#[async_trait]
impl Upload for DirectoryUpload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.file.write_all(&bytes).map_err(|error| unavailable("writing", &self.key, error))
    }
    async fn complete(self: Box<Self>) -> Result<ETag, StoreError> {
        self.file.sync_all().map_err(|error| unavailable("writing", &self.key, error))?;
        self.store.publish(&self.key, &self.scratch, &Condition::Always)
    }
    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        fs::remove_file(&self.scratch).map_err(|error| unavailable("giving up", &self.key, error))
    }
}

fn etag_of(bytes: &[u8]) -> ETag {
    ETag(sha256_hex(bytes)[..32].to_string())
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_in_a_directory_conforms() {
        let folder = tempfile::tempdir().unwrap();
        crate::conformance::check(&DirectoryStore::new(folder.path())).await;
        let leftovers = fs::read_dir(folder.path().join(PRIVATE)).unwrap().count();
        assert_eq!(leftovers, 1, "nothing but the lock is left in the private folder");
    }

    #[tokio::test]
    async fn no_key_leaves_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(&folder.path().join("root"));
        for bad in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            "a\\..\\b",
            ".tripcast/lock",
            "..",
        ] {
            let key = ObjectKey::new(bad).unwrap();
            let refused = store.put(&key, Bytes::from_static(b"x"), Condition::Always).await;
            assert!(matches!(refused, Err(StoreError::Key { .. })), "{bad}: {refused:?}");
            assert!(matches!(store.get(&key, Get::default()).await, Err(StoreError::Key { .. })), "{bad}");
            assert!(matches!(store.upload(&key).await, Err(StoreError::Key { .. })), "{bad}");
        }
        assert!(!folder.path().join("x").exists());
    }
}
