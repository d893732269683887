//! Sixty-four concurrent promoters on a store that refuses, loses responses and times out: one wins each round, the
//! alias always names a complete model, and the history has no gap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;

use super::*;
use model::Classified;
use store::{MemoryStore, Object, ObjectMeta, Upload};

const TARGET: Target = Target::Duration;
const PROMOTERS: usize = 64;
const ROUNDS: u64 = 1000;

/// A linearizable store behind an unreliable connection. The number of a call determines its fault.
#[derive(Debug, Clone)]
struct BadLine {
    store: MemoryStore,
    calls: Arc<AtomicU64>,
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Done,
    /// S3's 409: another write is in flight, which may also fail.
    Conflict,
    /// The call never arrived.
    Timeout,
    /// The call was executed, but its response was lost.
    LostReply,
    /// The call timed out, and is executed later.
    Late,
}

impl BadLine {
    async fn fate(&self) -> Fate {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        // Weyl's sequence on the golden ratio: evenly distributed, without a pattern that calls could follow.
        let drawn = (call.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 100;
        for _ in 0..drawn % 3 {
            tokio::task::yield_now().await;
        }
        match drawn {
            0..10 => Fate::Conflict,
            10..15 => Fate::Timeout,
            15..21 => Fate::LostReply,
            21..25 => Fate::Late,
            _ => Fate::Done,
        }
    }
}

fn no_answer(key: &ObjectKey) -> StoreError {
    StoreError::Unavailable { operation: "calling", key: key.to_string(), source: "no answer".into() }
}

#[async_trait]
impl Store for BadLine {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        match self.fate().await {
            Fate::Timeout => Err(no_answer(key)),
            _ => self.store.get(key, what).await,
        }
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        match self.fate().await {
            Fate::Timeout => Err(no_answer(key)),
            _ => self.store.head(key).await,
        }
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        match self.fate().await {
            Fate::Done => self.store.put(key, bytes, condition).await,
            Fate::Conflict if condition != Condition::Always => {
                Err(StoreError::Precondition { operation: "writing", key: key.to_string() })
            }
            Fate::Conflict | Fate::Timeout => Err(no_answer(key)),
            Fate::LostReply => {
                let _ = self.store.put(key, bytes, condition).await;
                Err(no_answer(key))
            }
            Fate::Late => {
                let (store, late) = (self.store.clone(), key.clone());
                tokio::spawn(async move {
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    let _ = store.put(&late, bytes, condition).await;
                });
                Err(no_answer(key))
            }
        }
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.store.list(prefix).await
    }
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key).await
    }
}

/// Repeats a promotion until it succeeds or another promoter has won.
async fn stubborn(registry: &Registry, round: u64, number: usize, expected: Option<&Champion>) -> bool {
    let model = Bytes::from(format!("model {number} of round {round}"));
    let version = loop {
        let card = [("card.json", Bytes::from(format!("{{\"round\": {round}}}")))];
        if let Ok(version) = registry.publish(TARGET, model.clone(), &card).await {
            break version;
        }
    };
    loop {
        let reason = format!("{round} {number}");
        match registry.promote(TARGET, &version, expected, &reason, "2021-03-15T09:00:00Z").await {
            Ok(_) => return true,
            Err(RegistryError::Lost { .. }) => return false,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

/// Returns the seq of the alias, after checking that its model is complete. It reads without injected faults.
async fn complete(store: &MemoryStore) -> Option<u64> {
    let registry = Registry::new(Arc::new(store.clone()));
    let alias = registry.champion(TARGET).await.unwrap()?.alias;
    let bytes = registry.artifact(TARGET, &alias.version).await.unwrap();
    assert_eq!(sha256_hex(&bytes), alias.sha256);
    registry.card(TARGET, &alias.version).await.unwrap();
    Some(alias.seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_promoters_on_a_bad_line_one_wins() {
    let store = MemoryStore::default();
    let registry = Registry::new(Arc::new(BadLine { store: store.clone(), calls: Arc::default() }));
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, done) = (store.clone(), Arc::clone(&done));
        async move {
            let (mut last, mut reads) = (0, 0u64);
            while !done.load(Ordering::Relaxed) {
                let seq = complete(&store).await.unwrap_or_default();
                assert!(seq >= last, "seq fell from {last} to {seq}");
                (last, reads) = (seq, reads + 1);
                tokio::task::yield_now().await;
            }
            reads
        }
    });
    for round in 1..=ROUNDS {
        let expected = Registry::new(Arc::new(store.clone())).champion(TARGET).await.unwrap();
        let promoters = (0..PROMOTERS).map(|number| {
            let (registry, expected) = (registry.clone(), expected.clone());
            tokio::spawn(async move { stubborn(&registry, round, number, expected.as_ref()).await })
        });
        let won = futures::future::join_all(promoters).await;
        let won = won.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!((won, complete(&store).await), (1, Some(round)), "round {round}");
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > ROUNDS, "the alias was read all the while");
    let history = Registry::new(Arc::new(store)).history(TARGET).await.unwrap();
    let seqs: Vec<u64> = history.iter().map(|alias| alias.seq).collect();
    assert_eq!(seqs, (1..=ROUNDS).collect::<Vec<_>>(), "no hole");
    let follows = |pair: &[Alias]| pair[1].previous.as_ref() == Some(&pair[0].version);
    assert!(history.windows(2).all(follows), "every champion names the one before it");
}
