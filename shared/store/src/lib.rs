//! Objects under keys: one small port, three adapters, one suite that all of them pass.
//!
//! What the rest relies on: a put is seen whole or not at all; [`Condition::IfAbsent`] and [`Condition::IfMatch`] are
//! decided by the store, so that of two racing writers one wins; an ETag changes whenever the bytes do.

mod directory;
pub mod json;
mod memory;
mod s3;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::Classified;
use serde::{Deserialize, Serialize};

pub use directory::DirectoryStore;
pub use memory::MemoryStore;
pub use s3::S3Store;

/// A key: 1 to 1,024 bytes, as S3 allows. A directory allows fewer: see [`DirectoryStore`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key with this text.
    ///
    /// # Errors
    /// [`StoreError::Key`] if it is empty or too long.
    pub fn new(key: impl Into<String>) -> Result<Self, StoreError> {
        let key = key.into();
        match key.len() {
            1..=1024 => Ok(Self(key)),
            _ => Err(StoreError::Key { key, expected: "1 to 1024 bytes" }),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the bytes of an object; opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Get {
    /// Only these bytes; all of them if none.
    pub range: Option<Range<u64>>,
    /// Only if the object still has this ETag.
    pub if_match: Option<ETag>,
    /// Only if the object has another ETag.
    pub if_none_match: Option<ETag>,
    /// This version, where the store keeps versions.
    pub version: Option<String>,
}

/// When to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// Only if nothing is there: create-only.
    IfAbsent,
    /// Only if what is there has this ETag: compare-and-swap.
    IfMatch(ETag),
}

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key.
    pub key: ObjectKey,
    /// Its size in bytes, all of it.
    pub bytes: u64,
    /// Its ETag.
    pub etag: ETag,
}

/// The bytes that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub bytes: Bytes,
    /// The ETag of the object they are of.
    pub etag: ETag,
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key cannot be one here.
    #[error("key {key:?}: expected {expected}")]
    Key {
        /// The key.
        key: String,
        /// What a key has to be.
        expected: &'static str,
    },
    /// Nothing is there.
    #[error("{operation} {key}: there is no such object")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
    },
    /// It has the ETag that the caller knows.
    #[error("{operation} {key}: it has not changed")]
    NotModified {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
    },
    /// Somebody else was there first, or is at it.
    #[error("{operation} {key}: it is not in the expected state (somebody else wrote it)")]
    Precondition {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
    },
    /// Not now.
    #[error("{operation} {key}: the store asks to slow down")]
    Throttled {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
        /// What the store said.
        #[source]
        source: Source,
    },
    /// Not allowed.
    #[error("{operation} {key}: access denied")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
        /// What the store said.
        #[source]
        source: Source,
    },
    /// It is no such document.
    #[error("{operation} {key}: it is not the JSON document that it should be")]
    Document {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Anything else: no connection, no answer in time, a fault of the store.
    #[error("{operation} {key}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// On which key.
        key: String,
        /// What went wrong.
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
        // A denied call may be allowed once the role is mended, and must not cost a message until then.
        matches!(self, Self::Throttled { .. } | Self::Denied { .. } | Self::Unavailable { .. })
    }
}

/// A place for objects.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Reads an object, or a part of it. A range may reach beyond the end; it must begin before it.
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError>;

    /// An object's size and ETag.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError>;

    /// Writes an object whole, if the condition holds; [`StoreError::Precondition`] if not (of a missing object, an
    /// `IfMatch` too).
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError>;

    /// Every object whose key starts with `prefix`, by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError>;

    /// Begins an object that is written in parts and seen only when it is complete.
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError>;
}

/// An object being written in parts.
#[async_trait]
pub trait Upload: Send {
    /// Adds a part; every part but the last must have at least [`PART_BYTES_MIN`] bytes.
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError>;
    /// Makes the object seen.
    async fn complete(self: Box<Self>) -> Result<ETag, StoreError>;
    /// Gives up: nothing was, or will be, seen.
    async fn abort(self: Box<Self>) -> Result<(), StoreError>;
}

/// S3's smallest part but the last.
pub const PART_BYTES_MIN: usize = 5 << 20;

/// Where a store is: `s3://bucket`, `s3://bucket/prefix` or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUri {
    /// A bucket, and what every key in it starts with (empty, or ending in a slash).
    S3 {
        /// The bucket.
        bucket: String,
        /// Before every key.
        prefix: String,
    },
    /// A directory of this machine.
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

impl StoreUri {
    /// Opens the store; AWS is configured only if it is needed.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::S3 { .. } => self.open_with(&aws_config("tripcast").await),
            Self::Directory(root) => Arc::new(DirectoryStore::new(root)),
        }
    }

    /// Opens the store with a configuration at hand, so that a function that has several shares it.
    pub fn open_with(&self, config: &aws_config::SdkConfig) -> Arc<dyn Store> {
        match self {
            Self::S3 { bucket, prefix } => Arc::new(S3Store::new(config, bucket.clone(), prefix.clone())),
            Self::Directory(root) => Arc::new(DirectoryStore::new(root)),
        }
    }

    /// The bucket, if it is one.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::S3 { bucket, .. } => Some(bucket),
            Self::Directory(_) => None,
        }
    }
}

/// Configuration of the AWS SDK from the environment, with bounded waits. Calls carry `caller` in their user agent, so that
/// who made them can be told in CloudTrail and in access logs.
pub async fn aws_config(caller: &'static str) -> aws_config::SdkConfig {
    use aws_config::timeout::TimeoutConfig;
    use std::time::Duration;
    // A call that hangs must not eat the time of a whole batch; the SDK tries three times.
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
