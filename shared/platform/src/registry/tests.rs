use super::*;
use crate::store::MemoryStore;

const SINCE: &str = "2021-03-15T09:00:00Z";
const TARGET: Target = Target::Duration;

fn registry() -> (Registry, MemoryStore) {
    let store = MemoryStore::default();
    (Registry::new(Arc::new(store.clone())), store)
}

async fn publish(registry: &Registry, bytes: &'static [u8]) -> ModelVersion {
    registry.publish(TARGET, Bytes::from_static(bytes), &Value::Null, String::new()).await.unwrap()
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
async fn a_stale_promoter_loses_and_changes_nothing() {
    let (registry, _) = registry();
    let (one, two) = (publish(&registry, b"one").await, publish(&registry, b"two").await);
    let nobody = registry.promote(TARGET, &two, None, "", SINCE);
    promote(&registry, &one).await;
    assert!(matches!(nobody.await, Err(RegistryError::Lost { .. })));
    let stale = registry.champion(TARGET).await.unwrap();
    promote(&registry, &two).await;
    registry.rollback(TARGET, "", SINCE).await.unwrap();
    // The champion is what it was when the stale one read it, but not the same alias.
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
    // The SDK sends the same create again: it fails, on our own alias.
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
async fn of_many_promoters_one_wins() {
    let (registry, _) = registry();
    let versions = futures::future::join_all(
        [&b"a"[..], b"b", b"c", b"d", b"e", b"f", b"g", b"h"].map(|bytes| publish(&registry, bytes)),
    )
    .await;
    for round in 1..=20 {
        let champion = registry.champion(TARGET).await.unwrap();
        let promotions = versions.iter().map(|version| {
            let (registry, champion, version) = (registry.clone(), champion.clone(), version.clone());
            tokio::spawn(async move {
                registry.promote(TARGET, &version, champion.as_ref(), &format!("{version}"), SINCE).await
            })
        });
        let ended = futures::future::join_all(promotions).await;
        let won = ended.into_iter().filter(|ended| ended.as_ref().unwrap().is_ok()).count();
        assert_eq!(won, 1, "round {round}");
    }
    let seqs: Vec<u64> = registry.history(TARGET).await.unwrap().iter().map(|alias| alias.seq).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>(), "no hole");
}
