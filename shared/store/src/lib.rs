//! Object storage: a small port ([`Store`]), three adapters, and one conformance suite that all of them pass.
//!
//! Callers rely on three guarantees: a put is visible whole or not at all; the store itself decides
//! [`Condition::IfAbsent`] and [`Condition::IfMatch`], so one of several racing writers wins; an ETag changes
//! whenever the bytes do.

mod directory;
pub mod json;
mod memory;
mod s3;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use model::Classified;
use serde::{Deserialize, Serialize};

pub use directory::DirectoryStore;
pub use memory::MemoryStore;
pub use s3::S3Store;

/// A key of 1 to 1,024 bytes, as S3 allows. A directory refuses some of them: see [`DirectoryStore`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the text is empty or too long.
    pub fn new(key: impl Into<String>) -> Result<Self, StoreError> {
        let key = key.into();
        match key.len() {
            1..=1024 => Ok(Self(key)),
            _ => Err(StoreError::Key { key, expected: "1 to 1024 bytes" }),
        }
    }

    /// Returns the text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Opaque identifier of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

/// Options of a read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Get {
    /// Byte range to read; `None` for the whole object.
    pub range: Option<Range<u64>>,
    /// Read only if the object has this ETag.
    pub if_match: Option<ETag>,
    /// Read only if the object has another ETag.
    pub if_none_match: Option<ETag>,
    /// Version to read; only S3 keeps versions, and the other stores ignore it.
    pub version: Option<String>,
}

/// Precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Write unconditionally.
    Always,
    /// Write only if there is no object under the key: create-only.
    IfAbsent,
    /// Write only if the current object has this ETag: compare-and-swap.
    IfMatch(ETag),
}

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Key of the object.
    pub key: ObjectKey,
    /// Size of the whole object in bytes.
    pub bytes: u64,
    /// ETag of the object.
    pub etag: ETag,
    /// When it was written last, as far as the store knows; S3 counts seconds.
    pub modified: Option<SystemTime>,
}

/// Result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Bytes of the object, or of the requested range.
    pub bytes: Bytes,
    /// ETag of the whole object.
    pub etag: ETag,
}

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not accept the key.
    #[error("key {key:?}: expected {expected}")]
    Key {
        /// The key.
        key: String,
        /// The rule that the key breaks.
        expected: &'static str,
    },
    /// There is no object under the key.
    #[error("{operation} {key}: there is no such object")]
    NotFound {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
    },
    /// The object still has the ETag that the caller knows.
    #[error("{operation} {key}: it has not changed")]
    NotModified {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
    },
    /// The precondition does not hold, because another writer was faster or is writing now.
    #[error("{operation} {key}: it is not in the expected state (somebody else wrote it)")]
    Precondition {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
    },
    /// The store limits the rate of requests.
    #[error("{operation} {key}: the store asks to slow down")]
    Throttled {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
        /// Error of the store.
        #[source]
        source: Source,
    },
    /// The caller has no permission.
    #[error("{operation} {key}: access denied")]
    Denied {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
        /// Error of the store.
        #[source]
        source: Source,
    },
    /// The bytes are not the expected JSON document, or the document has no JSON form.
    #[error("{operation} {key}: it is not the JSON document that it should be")]
    Document {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
        /// What is wrong with the document.
        #[source]
        source: serde_json::Error,
    },
    /// Any other failure: no connection, a timeout, or a fault of the store.
    #[error("{operation} {key}")]
    Unavailable {
        /// Operation that was attempted.
        operation: &'static str,
        /// Key of the object.
        key: String,
        /// Error of the store.
        #[source]
        source: Source,
    },
}

type Source = Box<dyn std::error::Error + Send + Sync>;

impl Classified for StoreError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Key { .. } => "Store.Key",
            Self::NotFound { .. } => "Store.NotFound",
            Self::NotModified { .. } => "Store.NotModified",
            Self::Precondition { .. } => "Store.Precondition",
            Self::Throttled { .. } => "Store.Throttled",
            Self::Denied { .. } => "Store.Denied",
            Self::Document { .. } => "Store.Document",
            Self::Unavailable { .. } => "Store.Unavailable",
        }
    }
    fn is_transient(&self) -> bool {
        // A denied call may succeed once the role is corrected; until then no message must be lost.
        matches!(self, Self::Throttled { .. } | Self::Denied { .. } | Self::Unavailable { .. })
    }
}

/// Storage for objects.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Reads an object, or a range of it. A range may end beyond the end of the object, but has to start before it.
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError>;

    /// Returns an object's size, ETag and time.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError>;

    /// Writes a whole object if the condition holds, else fails with [`StoreError::Precondition`]; `IfMatch` does not
    /// hold for a missing object.
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError>;

    /// Returns every object whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Starts an object that is written in parts and becomes visible only when it is complete.
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError>;
}

/// An object that is being written in parts.
#[async_trait]
pub trait Upload: Send {
    /// Adds a part; every part but the last must have at least [`PART_BYTES_MIN`] bytes.
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError>;
    /// Completes the object and makes it visible.
    async fn complete(self: Box<Self>) -> Result<ETag, StoreError>;
    /// Discards the parts; the object never becomes visible.
    async fn abort(self: Box<Self>) -> Result<(), StoreError>;
}

/// Smallest size in bytes of any part but the last, as S3 requires.
pub const PART_BYTES_MIN: usize = 5 << 20;

/// Location of a store: `s3://bucket`, `s3://bucket/prefix` or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUri {
    /// An S3 bucket.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// Prefix of every key: empty, or ending in a slash.
        prefix: String,
    },
    /// A local directory.
    Directory(std::path::PathBuf),
}

impl FromStr for StoreUri {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text {
                "" => Err("expected s3://bucket, s3://bucket/prefix or a directory".into()),
                _ if text.contains("://") => {
                    Err(format!("store {text:?}: expected s3://bucket or a directory"))
                }
                _ => Ok(Self::Directory(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() {
            return Err(format!("store {text:?}: expected a bucket after s3://"));
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self::S3 { bucket: bucket.into(), prefix })
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{}", prefix.trim_end_matches('/')),
            Self::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

impl StoreUri {
    /// Opens the store, loading the configuration of AWS only for S3.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::S3 { .. } => self.open_with(&aws_config("tripcast").await),
            Self::Directory(root) => Arc::new(DirectoryStore::new(root)),
        }
    }

    /// Opens the store with a given configuration, which several stores can share.
    pub fn open_with(&self, config: &aws_config::SdkConfig) -> Arc<dyn Store> {
        match self {
            Self::S3 { bucket, prefix } => Arc::new(S3Store::new(config, bucket.clone(), prefix.clone())),
            Self::Directory(root) => Arc::new(DirectoryStore::new(root)),
        }
    }

    /// Returns the bucket's name, or `None` for a directory.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::S3 { bucket, .. } => Some(bucket),
            Self::Directory(_) => None,
        }
    }
}

/// Loads the configuration of the AWS SDK from the environment and sets timeouts. Calls carry `caller` in their user
/// agent, which identifies them in CloudTrail and in access logs.
pub async fn aws_config(caller: &'static str) -> aws_config::SdkConfig {
    use aws_config::timeout::TimeoutConfig;
    use std::time::Duration;
    // A call that hangs must not use up the time of a whole batch; the SDK makes three attempts.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(30))
        .build();
    let defaults = aws_config::defaults(aws_config::BehaviorVersion::latest()).timeout_config(timeouts);
    match aws_config::AppName::new(caller) {
        Ok(name) => defaults.app_name(name).load().await,
        Err(_) => defaults.load().await,
    }
}

pub mod conformance;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_bucket_or_a_directory() {
        for text in ["s3://bucket", "s3://bucket/a/b", "./folder"] {
            assert_eq!(text.parse::<StoreUri>().unwrap().to_string(), text);
        }
        let s3 =
            |bucket: &str, prefix: &str| Ok(StoreUri::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!("s3://b".parse(), s3("b", ""));
        assert_eq!("s3://b/".parse(), s3("b", ""));
        assert_eq!("s3://b/some/prefix/".parse(), s3("b", "some/prefix/"));
        assert_eq!("./models".parse(), Ok(StoreUri::Directory("./models".into())));
        for bad in ["", "s3://", "https://b"] {
            assert!(bad.parse::<StoreUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_a_length() {
        assert!(ObjectKey::new("").is_err() && ObjectKey::new("k".repeat(1025)).is_err());
        assert_eq!(ObjectKey::new("a b+%").map(|key| key.to_string()).ok().as_deref(), Some("a b+%"));
    }
}
