//! A store in memory. It is linearizable, so that races end as they have to end on S3.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Condition, ETag, Get, Object, ObjectKey, ObjectMeta, Store, StoreError, Upload};

/// Objects in the memory of this process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    objects: BTreeMap<String, Written>,
}

#[derive(Debug)]
struct Written {
    object: Object,
    at: SystemTime,
}

impl Written {
    fn meta(&self, key: ObjectKey) -> ObjectMeta {
        let Object { bytes, etag } = &self.object;
        ObjectMeta { key, bytes: bytes.len() as u64, etag: etag.clone(), modified: Some(self.at) }
    }
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is safe to use: every change is one insertion, so a panic cannot leave a partial object.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        let state = self.state();
        let written = state.objects.get(key.as_str()).ok_or_else(|| not_found("reading", key))?;
        select(key, written.object.clone(), &what)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let state = self.state();
        let written = state.objects.get(key.as_str()).ok_or_else(|| not_found("looking at", key))?;
        Ok(written.meta(key.clone()))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let mut state = self.state();
        let found = state.objects.get(key.as_str()).map(|written| &written.object.etag);
        if !holds(&condition, found) {
            return Err(StoreError::Precondition { operation: "writing", key: key.to_string() });
        }
        state.writes += 1;
        let etag = ETag(format!("m{}", state.writes));
        let object = Object { bytes, etag: etag.clone() };
        state.objects.insert(key.to_string(), Written { object, at: SystemTime::now() });
        Ok(etag)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let state = self.state();
        let within = state.objects.range(prefix.to_string()..).take_while(|(key, _)| key.starts_with(prefix));
        within.map(|(key, written)| Ok(written.meta(ObjectKey::new(key.clone())?))).collect()
    }

    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(MemoryUpload { store: self.clone(), key: key.clone(), parts: Vec::new() }))
    }
}

struct MemoryUpload {
    store: MemoryStore,
    key: ObjectKey,
    parts: Vec<u8>,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.parts.extend_from_slice(&bytes);
        Ok(())
    }
    async fn complete(self: Box<Self>) -> Result<ETag, StoreError> {
        self.store.put(&self.key, Bytes::from(self.parts), Condition::Always).await
    }
    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(super) fn not_found(operation: &'static str, key: &ObjectKey) -> StoreError {
    StoreError::NotFound { operation, key: key.to_string() }
}

pub(super) fn holds(condition: &Condition, found: Option<&ETag>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => found.is_none(),
        Condition::IfMatch(etag) => found == Some(etag),
    }
}

/// Applies the options of a read to a whole object.
pub(super) fn select(key: &ObjectKey, object: Object, what: &Get) -> Result<Object, StoreError> {
    check(key, &object.etag, what)?;
    let range = window(key, object.bytes.len() as u64, what)?;
    Ok(Object { bytes: object.bytes.slice(range.start as usize..range.end as usize), etag: object.etag })
}

/// Whether the conditions of a read hold for the object that has this ETag.
pub(super) fn check(key: &ObjectKey, etag: &ETag, what: &Get) -> Result<(), StoreError> {
    if what.if_match.as_ref().is_some_and(|expected| expected != etag) {
        return Err(StoreError::Precondition { operation: "reading", key: key.to_string() });
    }
    if what.if_none_match.as_ref().is_some_and(|known| known == etag) {
        return Err(StoreError::NotModified { operation: "reading", key: key.to_string() });
    }
    Ok(())
}

/// The part to read of an object of `length` bytes.
pub(super) fn window(key: &ObjectKey, length: u64, what: &Get) -> Result<Range<u64>, StoreError> {
    let Some(range) = &what.range else { return Ok(0..length) };
    let within = range.start..range.end.min(length);
    if within.start >= within.end {
        let source = format!("bytes {}..{} of {length}", range.start, range.end).into();
        return Err(StoreError::Unavailable {
            operation: "reading a range of",
            key: key.to_string(),
            source,
        });
    }
    Ok(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_in_memory_conforms() {
        crate::conformance::check(&MemoryStore::default()).await;
    }
}
