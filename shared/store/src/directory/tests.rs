use super::*;

#[tokio::test]
async fn a_store_in_a_directory_conforms() {
    let folder = tempfile::tempdir().unwrap();
    crate::conformance::check(&DirectoryStore::new(folder.path())).await;
    let leftovers = fs::read_dir(folder.path().join(PRIVATE)).unwrap().count();
    assert_eq!(leftovers, 1, "nothing but the lock is left in the private folder");
}

#[tokio::test]
async fn the_etag_of_a_large_file_follows_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path());
    let key = ObjectKey::new("large").unwrap();
    let write = |byte: u8| store.put(&key, vec![byte; 200_000].into(), Condition::Always);
    let (first, second) = (write(1).await.unwrap(), write(2).await.unwrap());
    assert_ne!(first, second);
    let stale = Get { range: Some(5..9), if_match: Some(first.clone()), ..Get::default() };
    assert!(matches!(store.get(&key, stale).await, Err(StoreError::Precondition { .. })));
    let part = Get { range: Some(5..9), if_match: Some(second), ..Get::default() };
    assert_eq!(store.get(&key, part).await.unwrap().bytes, vec![2; 4]);
    assert_eq!(write(1).await.unwrap(), first, "the same bytes have the same ETag");
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path());
    let mut upload = store.upload(&ObjectKey::new("a").unwrap()).await.unwrap();
    upload.part(Bytes::from_static(b"half")).await.unwrap();
    drop(upload);
    assert_eq!(fs::read_dir(folder.path().join(PRIVATE)).unwrap().count(), 1, "the lock");
}

#[tokio::test]
async fn what_a_killed_process_has_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let busy = DirectoryStore::new(folder.path());
    let mut upload = busy.upload(&ObjectKey::new("a").unwrap()).await.unwrap();
    upload.part(Bytes::from_static(b"half")).await.unwrap();
    let left = folder.path().join(PRIVATE).join("7-0.part");
    fs::write(&left, b"half").unwrap();
    let key = ObjectKey::new("b").unwrap();
    let other = DirectoryStore::new(folder.path());
    other.put(&key, Bytes::from_static(b"x"), Condition::Always).await.unwrap();
    assert!(!left.exists(), "nobody works on it");
    upload.complete().await.unwrap();
    assert_eq!(fs::read_dir(folder.path().join(PRIVATE)).unwrap().count(), 1, "the lock");
}

#[tokio::test]
async fn no_key_leaves_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(&folder.path().join("root"));
    for bad in
        ["../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a\0b", "a\\..\\b", ".tripcast/lock", ".."]
    {
        let key = ObjectKey::new(bad).unwrap();
        let refused = store.put(&key, Bytes::from_static(b"x"), Condition::Always).await;
        assert!(matches!(refused, Err(StoreError::Key { .. })), "{bad}: {refused:?}");
        assert!(matches!(store.get(&key, Get::default()).await, Err(StoreError::Key { .. })), "{bad}");
        assert!(matches!(store.upload(&key).await, Err(StoreError::Key { .. })), "{bad}");
    }
    assert!(!folder.path().join("x").exists());
}
