use super::*;
use store::MemoryStore;

const SINCE: &str = "2021-03-15T09:00:00Z";
const TARGET: Target = Target::Duration;

fn registry() -> (Registry, MemoryStore) {
    let store = MemoryStore::default();
    (Registry::new(Arc::new(store.clone())), store)
}

async fn publish(registry: &Registry, bytes: &'static [u8]) -> ModelVersion {
    registry.publish(TARGET, Bytes::from_static(bytes), &NO_CARD).await.unwrap()
}

async fn promote(registry: &Registry, version: &ModelVersion) -> Alias {
    let champion = registry.champion(TARGET).await.unwrap();
    registry.promote(TARGET, version, champion.as_ref(), "better", SINCE).await.unwrap()
}

#[tokio::test]
async fn a_model_is_published_promoted_and_rolled_back() {
    let (registry, _) = registry();
    assert_eq!(registry.champion(TARGET).await.unwrap(), None);
    assert!(matches!(registry.rollback(TARGET, "x", SINCE).await, Err(RegistryError::NoPrevious { .. })));
    let (one, two) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
    assert_eq!(publish(&registry, b"one").await, one, "publishing again changes nothing");
    assert_eq!((promote(&registry, &one).await.seq, promote(&registry, &two).await.seq), (1, 2));
    let back = registry.rollback(TARGET, "drifted", SINCE).await.unwrap();
    assert_eq!((back.seq, &back.version, back.previous.as_ref()), (3, &one, Some(&two)));
    let history = registry.history(TARGET).await.unwrap();
    assert_eq!(history.iter().map(|alias| alias.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(history.iter().map(|alias| &alias.version).collect::<Vec<_>>(), [&one, &two, &one]);
    assert_eq!(registry.artifact(TARGET, &back.version).await.unwrap(), Bytes::from_static(b"one"));
    assert_eq!(registry.versions(TARGET).await.unwrap().len(), 2);
    assert_eq!(registry.versions(Target::Tip).await.unwrap(), []);
}

#[tokio::test]
async fn the_files_of_a_version_are_those_that_were_published_first() {
    let (registry, _) = registry();
    let card = |learned: u8| Bytes::from(format!("{{\"learned\": {learned}}}"));
    let files = |learned| [("card.json", card(learned)), ("profile.json", Bytes::from_static(b"{}"))];
    let version = registry.publish(TARGET, Bytes::from_static(b"one"), &files(1)).await.unwrap();
    registry.publish(TARGET, Bytes::from_static(b"one"), &files(2)).await.unwrap();
    assert_eq!(registry.card(TARGET, &version).await.unwrap(), serde_json::json!({"learned": 1}));
    assert_eq!(registry.file(TARGET, &version, "card.json").await.unwrap(), card(1));
    let listed = registry.files_of(TARGET, &version).await.unwrap();
    assert_eq!(listed, ["card.json", "model.bin", "profile.json"]);

    let unknown = ModelVersion::from_bytes(b"two");
    assert!(registry.files_of(TARGET, &unknown).await.unwrap().is_empty());
    let missing = registry.card(TARGET, &unknown).await;
    assert!(matches!(missing, Err(RegistryError::UnknownVersion { .. })), "{missing:?}");
    assert!(registry.file(TARGET, &version, "lineage.json").await.is_err());
}

#[tokio::test]
async fn a_stale_promoter_loses_and_changes_nothing() {
    let (registry, _) = registry();
    let (one, two) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
    let nobody = registry.promote(TARGET, &two, None, "", SINCE);
    promote(&registry, &one).await;
    assert!(matches!(nobody.await, Err(RegistryError::Lost { .. })));
    let stale = registry.champion(TARGET).await.unwrap();
    promote(&registry, &two).await;
    registry.rollback(TARGET, "", SINCE).await.unwrap();
    // The version of the champion is what the stale reader saw, but the alias is another.
    let lost = registry.promote(TARGET, &two, stale.as_ref(), "", SINCE).await;
    assert!(matches!(lost, Err(RegistryError::Lost { .. })), "{lost:?}");
    assert_eq!(registry.champion(TARGET).await.unwrap().unwrap().alias.seq, 3);
}

#[tokio::test]
async fn a_promoter_that_died_after_its_record_stops_nobody() {
    let (registry, _) = registry();
    let (one, two) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
    let alias = promote(&registry, &one).await;
    registry.record(TARGET, &alias).await.unwrap();
    assert_eq!(
        registry.history(TARGET).await.unwrap().len(),
        1,
        "a record of what still is tells nothing new"
    );
    assert_eq!(promote(&registry, &two).await.seq, 2);
    assert_eq!(registry.history(TARGET).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_recognised() {
    let (registry, _) = registry();
    let one = publish(&registry, b"one").await;
    let alias = promote(&registry, &one).await;
    // The SDK sends the same create again, which fails on our own alias.
    let again = registry.promote(TARGET, &one, None, "better", SINCE).await.unwrap();
    assert_eq!(again, alias);
}

#[tokio::test]
async fn an_unknown_or_altered_model_is_not_promoted() {
    let (registry, store) = registry();
    let unknown: ModelVersion = "0123456789ab".parse().unwrap();
    let refused = registry.promote(TARGET, &unknown, None, "", SINCE).await;
    assert!(matches!(refused, Err(RegistryError::UnknownVersion { .. })));
    let one = publish(&registry, b"one").await;
    let key = version_key(TARGET, &one, "model.bin").unwrap();
    store.put(&key, Bytes::from_static(b"other"), Condition::Always).await.unwrap();
    let refused = registry.promote(TARGET, &one, None, "", SINCE).await;
    assert!(matches!(refused, Err(RegistryError::Altered { .. })));
    assert_eq!(registry.champion(TARGET).await.unwrap(), None);
}

#[tokio::test]
async fn rolling_back_walks_back_and_never_forward() {
    let (registry, _) = registry();
    let mut versions = Vec::new();
    for bytes in [&b"one"[..], b"two", b"three"] {
        versions.push(publish(&registry, bytes).await);
        promote(&registry, &versions[versions.len() - 1]).await;
    }
    let back = async || registry.rollback(TARGET, "", SINCE).await;
    let (first, second) = (back().await.unwrap(), back().await.unwrap());
    assert_eq!((&first.version, first.restores), (&versions[1], Some(2)));
    assert_eq!((&second.version, second.restores), (&versions[0], Some(1)));
    assert!(matches!(back().await, Err(RegistryError::NoPrevious { .. })));
    // After a promotion that follows a rollback, a rollback goes back to what served before it.
    promote(&registry, &versions[2]).await;
    let third = back().await.unwrap();
    assert_eq!((third.seq, &third.version, third.restores), (7, &versions[0], Some(1)));
    let history = registry.history(TARGET).await.unwrap();
    assert_eq!(history.iter().map(|alias| alias.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn who_served_is_told_by_the_time() {
    let (registry, _) = registry();
    for (bytes, since) in [(&b"one"[..], "2021-03-15T09:00:00Z"), (b"two", "2021-04-15T09:00:00Z")] {
        let version = publish(&registry, bytes).await;
        let champion = registry.champion(TARGET).await.unwrap();
        registry.promote(TARGET, &version, champion.as_ref(), "", since).await.unwrap();
    }
    let at = async |time: &str| {
        let time = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
        registry.who_served(TARGET, time).await.map(|alias| alias.seq)
    };
    assert_eq!(at("2021-03-15T09:00:00Z").await.unwrap(), 1);
    assert_eq!(at("2021-04-15T10:59:59+02:00").await.unwrap(), 1);
    assert_eq!(at("2021-04-15T11:00:00+02:00").await.unwrap(), 2);
    assert_eq!(at("2031-01-01T00:00:00Z").await.unwrap(), 2);
    let none = at("2021-03-15T08:59:59Z").await.unwrap_err();
    assert_eq!(none.to_string(), "duration had no champion at 2021-03-15 08:59:59 UTC");
}

/// A store whose first answer to a write of the alias is lost; before the SDK's repeat of it is refused, somebody else
/// promotes another model.
#[derive(Debug, Clone)]
struct AnswerLost {
    store: MemoryStore,
    meanwhile: ModelVersion,
    has_happened: Arc<std::sync::atomic::AtomicBool>,
}

#[async_trait::async_trait]
impl Store for AnswerLost {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<store::Object, StoreError> {
        self.store.get(key, what).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<store::ObjectMeta, StoreError> {
        self.store.head(key).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let is_alias = key.as_str().ends_with("champion.json");
        if !is_alias || self.has_happened.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return self.store.put(key, bytes, condition).await;
        }
        self.store.put(key, bytes.clone(), condition.clone()).await?;
        promote(&Registry::new(Arc::new(self.store.clone())), &self.meanwhile).await;
        self.store.put(key, bytes, condition).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<store::ObjectMeta>, StoreError> {
        self.store.list(prefix).await
    }
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn store::Upload>, StoreError> {
        self.store.upload(key).await
    }
}

/// Found by a simulated history of champions.
#[tokio::test]
async fn a_promotion_that_was_replaced_before_it_was_read_again_is_not_lost() {
    let (registry, store) = registry();
    let (one, meanwhile) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
    let bad = AnswerLost { store, meanwhile, has_happened: Arc::default() };
    let promoted = Registry::new(Arc::new(bad)).promote(TARGET, &one, None, "first", SINCE).await.unwrap();
    let history = registry.history(TARGET).await.unwrap();
    assert_eq!((promoted.seq, history.len(), &history[0]), (1, 2, &promoted));
}
