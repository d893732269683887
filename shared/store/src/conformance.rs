//! The conformance suite that every store has to pass. The stores in memory and in a directory run it in their unit
//! tests; the system's tests run it on S3 against the local AWS, which is why it is not behind `cfg(test)`.

#![allow(clippy::unwrap_used)] // it asserts

use std::time::Duration;

use bytes::Bytes;

use super::{Condition, ETag, Get, ObjectKey, Store, StoreError};

/// Runs the suite on `store`, which has to be empty.
///
/// # Panics
/// If the store breaks a guarantee of [`Store`].
pub async fn check(store: &dyn Store) {
    whole_objects(store).await;
    parts_of_objects(store).await;
    conditional_reads(store).await;
    create_only(store).await;
    compare_and_swap(store).await;
    listing(store).await;
    uploads(store).await;
    races(store).await;
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(
    store: &dyn Store,
    at: &str,
    text: &'static str,
    condition: Condition,
) -> Result<ETag, StoreError> {
    store.put(&key(at), Bytes::from_static(text.as_bytes()), condition).await
}

async fn text(store: &dyn Store, at: &str, what: Get) -> Result<String, StoreError> {
    let object = store.get(&key(at), what).await?;
    Ok(String::from_utf8(object.bytes.to_vec()).unwrap())
}

async fn whole_objects(store: &dyn Store) {
    for at in ["whole/plain", "whole/a b+c%20%.parquet", "whole/zürich/ö"] {
        assert!(matches!(text(store, at, Get::default()).await, Err(StoreError::NotFound { .. })), "{at}");
        assert!(matches!(store.head(&key(at)).await, Err(StoreError::NotFound { .. })), "{at}");
        let first = put(store, at, "one", Condition::Always).await.unwrap();
        let second = put(store, at, "twice", Condition::Always).await.unwrap();
        assert_ne!(first, second, "the ETag changes with the bytes");
        assert_eq!(text(store, at, Get::default()).await.unwrap(), "twice");
        let meta = store.head(&key(at)).await.unwrap();
        assert_eq!((meta.bytes, meta.etag, meta.key), (5, second, key(at)));
        let listed = store.list(at).await.unwrap().remove(0);
        for modified in [meta.modified, listed.modified] {
            // Stores count seconds, and their clock may be another one.
            let age = modified.unwrap().elapsed().unwrap_or_default();
            assert!(age < Duration::from_secs(3600), "it was written just now: {age:?}");
        }
    }
    put(store, "whole/empty", "", Condition::Always).await.unwrap();
    assert_eq!(text(store, "whole/empty", Get::default()).await.unwrap(), "");
}

async fn parts_of_objects(store: &dyn Store) {
    let etag = put(store, "part", "0123456789", Condition::Always).await.unwrap();
    for (range, expected) in [(0..3, "012"), (7..10, "789"), (8..99, "89"), (0..10, "0123456789")] {
        let what = Get { range: Some(range), if_match: Some(etag.clone()), ..Get::default() };
        assert_eq!(text(store, "part", what).await.unwrap(), expected);
    }
    let beyond = Get { range: Some(10..12), ..Get::default() };
    assert!(text(store, "part", beyond).await.is_err(), "a range begins before the end");
}

async fn conditional_reads(store: &dyn Store) {
    let old = put(store, "conditional", "old", Condition::Always).await.unwrap();
    let pinned = Get { if_match: Some(old.clone()), ..Get::default() };
    let news = Get { if_none_match: Some(old.clone()), ..Get::default() };
    assert_eq!(text(store, "conditional", pinned.clone()).await.unwrap(), "old");
    let unchanged = text(store, "conditional", news.clone()).await;
    assert!(matches!(unchanged, Err(StoreError::NotModified { .. })), "{unchanged:?}");
    put(store, "conditional", "new", Condition::Always).await.unwrap();
    let changed = text(store, "conditional", pinned).await;
    assert!(matches!(changed, Err(StoreError::Precondition { .. })), "{changed:?}");
    assert_eq!(text(store, "conditional", news).await.unwrap(), "new");
}

async fn create_only(store: &dyn Store) {
    put(store, "created", "first", Condition::IfAbsent).await.unwrap();
    let second = put(store, "created", "second", Condition::IfAbsent).await;
    assert!(matches!(second, Err(StoreError::Precondition { .. })), "{second:?}");
    assert_eq!(text(store, "created", Get::default()).await.unwrap(), "first");
}

async fn compare_and_swap(store: &dyn Store) {
    let missing = put(store, "swapped", "x", Condition::IfMatch(ETag("0".repeat(32)))).await;
    assert!(matches!(missing, Err(StoreError::Precondition { .. })), "of a missing object: {missing:?}");
    let one = put(store, "swapped", "one", Condition::Always).await.unwrap();
    let two = put(store, "swapped", "two", Condition::IfMatch(one.clone())).await.unwrap();
    let stale = put(store, "swapped", "stale", Condition::IfMatch(one)).await;
    assert!(matches!(stale, Err(StoreError::Precondition { .. })), "{stale:?}");
    put(store, "swapped", "three", Condition::IfMatch(two)).await.unwrap();
    assert_eq!(text(store, "swapped", Get::default()).await.unwrap(), "three");
}

async fn listing(store: &dyn Store) {
    for at in ["list/b/2", "list/a", "list/b/1", "list/b-other"] {
        put(store, at, "x", Condition::Always).await.unwrap();
    }
    let keys = |found: Vec<super::ObjectMeta>| {
        found.into_iter().map(|meta| meta.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(keys(store.list("list/b/").await.unwrap()), ["list/b/1", "list/b/2"]);
    assert_eq!(keys(store.list("list/b").await.unwrap()), ["list/b-other", "list/b/1", "list/b/2"]);
    assert_eq!(keys(store.list("list/none/").await.unwrap()), Vec::<String>::new());
}

async fn uploads(store: &dyn Store) {
    let at = key("upload/predictions.parquet");
    let mut upload = store.upload(&at).await.unwrap();
    let big = Bytes::from(vec![7u8; super::PART_BYTES_MIN]);
    upload.part(big.clone()).await.unwrap();
    upload.part(Bytes::from_static(b"end")).await.unwrap();
    assert!(
        matches!(store.head(&at).await, Err(StoreError::NotFound { .. })),
        "not seen before it is complete"
    );
    let etag = upload.complete().await.unwrap();
    let meta = store.head(&at).await.unwrap();
    assert_eq!((meta.bytes, meta.etag), (big.len() as u64 + 3, etag));
    let tail = Get { range: Some(big.len() as u64 - 1..big.len() as u64 + 3), ..Get::default() };
    assert_eq!(store.get(&at, tail).await.unwrap().bytes, Bytes::from_static(b"\x07end"));

    let given_up = key("upload/given-up");
    let mut upload = store.upload(&given_up).await.unwrap();
    upload.part(Bytes::from_static(b"half")).await.unwrap();
    upload.abort().await.unwrap();
    assert!(matches!(store.head(&given_up).await, Err(StoreError::NotFound { .. })));
}

async fn races(store: &dyn Store) {
    for round in 0..10 {
        let at = format!("race/{round}");
        let created =
            futures::future::join_all((0..8).map(|_| put(store, &at, "x", Condition::IfAbsent))).await;
        assert_eq!(created.iter().filter(|won| won.is_ok()).count(), 1, "one creates: {created:?}");
        let etag = store.head(&key(&at)).await.unwrap().etag;
        let swap = |text: &'static str| put(store, &at, text, Condition::IfMatch(etag.clone()));
        let swapped = futures::future::join_all(["a", "b", "c", "d"].map(swap)).await;
        assert_eq!(swapped.iter().filter(|won| won.is_ok()).count(), 1, "one swaps: {swapped:?}");
    }
}
