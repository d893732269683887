//! A double of S3: a linearizable store behind a line on which calls are throttled, lost, repeated and late.

use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;
use store::{Condition, ETag, Get, MemoryStore, Object, ObjectKey, ObjectMeta, Store, StoreError, Upload};

use super::chance::Chance;

/// A bucket behind an unreliable line; clones share it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The objects, for checks that no fault disturbs.
    pub objects: MemoryStore,
    chance: Chance,
    /// Calls of a hundred that end in a fault.
    faults: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is carried out and answered.
    Done,
    /// It is refused: 503 Slow Down, after the SDK's own attempts.
    Throttled,
    /// It never arrives: 500, or no connection.
    Lost,
    /// It is carried out; the answer is lost.
    AnswerLost,
    /// It is carried out; the answer is lost, and the SDK's repeat of it is answered.
    Repeated,
    /// Another write is under way, which may fail as well: 409.
    Conflict,
    /// The caller gives up; it is carried out later.
    Late,
}

impl Bucket {
    /// Creates an empty bucket, in which so many calls of a hundred end in a fault.
    pub fn new(chance: &Chance, faults: u64) -> Self {
        Self { objects: MemoryStore::default(), chance: chance.clone(), faults }
    }

    fn fate(&self, key: &str, operation: &str) -> Fate {
        let fate = match self.chance.below(100) {
            _ if !self.chance.fault(self.faults) => Fate::Done,
            0..20 => Fate::Throttled,
            20..40 => Fate::Lost,
            40..60 => Fate::AnswerLost,
            60..75 => Fate::Repeated,
            75..88 => Fate::Conflict,
            _ => Fate::Late,
        };
        self.chance.note(format_args!("{operation} {key}: {fate:?}"));
        fate
    }

    /// Reads: nothing that happens to a read changes anything.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.fate(key, operation) {
            Fate::Throttled => self.refused(Fate::Throttled, operation, key).await,
            fate @ (Fate::Lost | Fate::AnswerLost | Fate::Late) => self.refused(fate, operation, key).await,
            Fate::Done | Fate::Repeated | Fate::Conflict => self.chance.under_way(call).await,
        }
    }

    async fn refused<T>(&self, fate: Fate, operation: &'static str, key: &str) -> Result<T, StoreError> {
        self.chance.call().await;
        let (key, source) = (key.to_string(), format!("{fate:?}").into());
        Err(match fate {
            Fate::Throttled => StoreError::Throttled { operation, key, source },
            Fate::Conflict => StoreError::Precondition { operation, key },
            _ => StoreError::Unavailable { operation, key, source },
        })
    }

    /// Writes, under the fates of writes. `is_conditional` says whether a second try of it fails on the first one.
    async fn write<F, T>(
        &self,
        operation: &'static str,
        key: &str,
        is_conditional: bool,
        call: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        match self.fate(key, operation) {
            Fate::Done => self.chance.under_way(call()).await,
            Fate::Conflict if !is_conditional => self.refused(Fate::Lost, operation, key).await,
            fate @ (Fate::Throttled | Fate::Lost | Fate::Conflict) => {
                self.refused(fate, operation, key).await
            }
            Fate::AnswerLost => {
                let _ = self.chance.under_way(call()).await;
                self.refused(Fate::AnswerLost, operation, key).await
            }
            Fate::Repeated => {
                let _ = self.chance.under_way(call()).await;
                self.chance.under_way(call()).await
            }
            Fate::Late => {
                let (chance, late) = (self.chance.clone(), call());
                tokio::spawn(async move {
                    chance.apart().await;
                    for _ in 0..5 {
                        chance.call().await;
                    }
                    let done = late.await;
                    chance.note(format_args!("a late call arrived: {}", done.is_ok()));
                });
                self.refused(Fate::Late, operation, key).await
            }
        }
    }
}

#[async_trait]
impl Store for Bucket {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        let (objects, of) = (self.objects.clone(), key.clone());
        self.read("reading", key.as_str(), async move { objects.get(&of, what).await }).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let (objects, of) = (self.objects.clone(), key.clone());
        self.read("looking at", key.as_str(), async move { objects.head(&of).await }).await
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let is_conditional = condition != Condition::Always;
        self.write("writing", key.as_str(), is_conditional, || {
            let (objects, at, bytes, condition) =
                (self.objects.clone(), key.clone(), bytes.clone(), condition.clone());
            async move { objects.put(&at, bytes, condition).await }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let (objects, of) = (self.objects.clone(), prefix.to_string());
        self.read("listing", prefix, async move { objects.list(&of).await }).await
    }

    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        // An upload that nobody knows of is removed by the bucket's rule.
        self.read("beginning", key.as_str(), async { Ok(()) }).await?;
        Ok(Box::new(Parts { bucket: self.clone(), key: key.clone(), parts: Vec::new() }))
    }
}

struct Parts {
    bucket: Bucket,
    key: ObjectKey,
    parts: Vec<u8>,
}

#[async_trait]
impl Upload for Parts {
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        // A part that is sent twice replaces itself.
        self.bucket.read("writing a part of", self.key.as_str(), async { Ok(()) }).await?;
        self.parts.extend_from_slice(&bytes);
        Ok(())
    }

    async fn complete(self: Box<Self>) -> Result<ETag, StoreError> {
        let Self { bucket, key, parts } = *self;
        let bytes = Bytes::from(parts);
        let call = || {
            let (objects, key, bytes) = (bucket.objects.clone(), key.clone(), bytes.clone());
            async move { objects.put(&key, bytes, Condition::Always).await }
        };
        bucket.write("completing", key.as_str(), false, call).await
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        self.bucket.read("giving up", self.key.as_str(), async { Ok(()) }).await
    }
}
