use super::*;
use crate::NO_CARD;
use bytes::Bytes;
use model::testing::{self, constant_duration};
use model::{Family, ModelVersion, Trip, Zone};
use store::{Condition, MemoryStore, ObjectKey, Store};

fn artifact(minutes: f64) -> Bytes {
    constant_duration(minutes).into()
}

/// Builds a tip model from trips of two zones.
fn tip_artifact() -> Bytes {
    let trip = |row: u16| Trip {
        pickup_zone: Zone::new(row % 2 + 1),
        dropoff_zone: Zone::new(9),
        pickup: model::request::local_time(&format!("2021-03-{:02} 10:00:00", row % 28 + 1)),
        ..Trip::default()
    };
    let labels = (0..400).map(|row: u16| f64::from(row % 2)).collect();
    testing::artifact(Target::Tip, Family::Tree, (0..400).map(trip).collect(), labels).into()
}

async fn promote(registry: &Registry, bytes: Bytes) -> ModelVersion {
    let version = registry.publish(Target::Duration, bytes, &NO_CARD).await.unwrap();
    let champion = registry.champion(Target::Duration).await.unwrap();
    registry.promote(Target::Duration, &version, champion.as_ref(), "", "").await.unwrap();
    version
}

#[tokio::test]
async fn a_promotion_is_picked_up_and_a_broken_one_is_not() {
    let store = MemoryStore::default();
    let registry = Registry::new(Arc::new(store.clone()));
    let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    assert!(matches!(models.bundle().await, Err(ModelError::NoChampion)));
    let one = promote(&registry, artifact(10.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &one);
    let two = promote(&registry, artifact(20.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &two);
    promote(&registry, Bytes::from_static(b"no model")).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &two, "the last good one keeps serving");
    let alias = ObjectKey::new("duration/aliases/champion.json").unwrap();
    store.put(&alias, Bytes::from_static(b"{"), Condition::Always).await.unwrap();
    assert_eq!(
        models.bundle().await.unwrap().duration_version(),
        &two,
        "so it does when the alias is damaged"
    );
}

#[tokio::test]
async fn a_broken_tip_model_does_not_take_durations_with_it() {
    let store = MemoryStore::default();
    let registry = Registry::new(Arc::new(store.clone()));
    let one = promote(&registry, artifact(10.0)).await;
    let junk = registry.publish(Target::Tip, Bytes::from_static(b"junk"), &NO_CARD).await;
    registry.promote(Target::Tip, &junk.unwrap(), None, "", "").await.unwrap();
    let cold = || Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    let bundle = cold().bundle().await.unwrap();
    assert_eq!((bundle.duration_version(), bundle.tip_version()), (&one, None));
    let alias = ObjectKey::new("tip/aliases/champion.json").unwrap();
    store.put(&alias, Bytes::from_static(b"{"), Condition::Always).await.unwrap();
    assert_eq!(cold().bundle().await.unwrap().duration_version(), &one, "nor does a damaged alias");
}

#[tokio::test]
async fn a_cold_start_serves_the_tip_model_before_one_that_cannot_be_loaded() {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    promote(&registry, artifact(10.0)).await;
    let mut versions = Vec::new();
    for bytes in [tip_artifact(), Bytes::from_static(b"junk")] {
        let version = registry.publish(Target::Tip, bytes, &NO_CARD).await.unwrap();
        let champion = registry.champion(Target::Tip).await.unwrap();
        registry.promote(Target::Tip, &version, champion.as_ref(), "", "").await.unwrap();
        versions.push(version);
    }
    let cold = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    assert_eq!(cold.bundle().await.unwrap().tip_version(), Some(&versions[0]));
    assert_eq!(cold.bundle().await.unwrap().tip_version(), Some(&versions[0]), "nor does a check change it");
    // After a rollback the champion before is the one that was withdrawn.
    let champion = registry.champion(Target::Tip).await.unwrap().unwrap();
    assert_eq!(before(&champion).map(|before| before.alias.version), Some(versions[0].clone()));
    let restored = crate::Alias { restores: Some(1), ..champion.alias };
    assert_eq!(before(&Champion { alias: restored, ..champion }), None);
    let champion = registry.champion(Target::Tip).await.unwrap();
    registry.promote(Target::Tip, &versions[0], champion.as_ref(), "", "").await.unwrap();
    assert_eq!(cold.bundle().await.unwrap().tip_version(), Some(&versions[0]));
}

/// A store that counts the full reads of each key, and does not answer while its gate is locked.
#[derive(Debug, Clone, Default)]
struct Counting {
    store: MemoryStore,
    reads: Arc<std::sync::Mutex<std::collections::BTreeMap<String, usize>>>,
    gate: Arc<tokio::sync::RwLock<()>>,
}

#[async_trait::async_trait]
impl Store for Counting {
    async fn get(&self, key: &ObjectKey, what: store::Get) -> Result<store::Object, store::StoreError> {
        let _open = self.gate.read().await;
        let object = self.store.get(key, what).await?;
        *self.reads.lock().unwrap().entry(key.to_string()).or_default() += 1;
        Ok(object)
    }
    async fn head(&self, key: &ObjectKey) -> Result<store::ObjectMeta, store::StoreError> {
        self.store.head(key).await
    }
    async fn put(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<ETag, store::StoreError> {
        self.store.put(key, bytes, condition).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<store::ObjectMeta>, store::StoreError> {
        self.store.list(prefix).await
    }
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn store::Upload>, store::StoreError> {
        self.store.upload(key).await
    }
}

static FAILED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[tokio::test]
async fn an_unusable_tip_champion_is_fetched_once_and_alarms_at_every_look() {
    let failed = || FAILED.load(std::sync::atomic::Ordering::SeqCst);
    let count = |reload, _: &Bundle| {
        if reload == Reload::Failed {
            FAILED.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let store = Counting::default();
    let registry = Registry::new(Arc::new(store.clone()));
    promote(&registry, artifact(10.0)).await;
    let models = Models::new(registry.clone(), Duration::ZERO, count);
    models.bundle().await.unwrap();
    let junk = registry.publish(Target::Tip, Bytes::from_static(b"junk"), &NO_CARD).await.unwrap();
    registry.promote(Target::Tip, &junk, None, "", "").await.unwrap();
    let key = format!("tip/versions/{junk}/model.bin");
    let fetched = || store.reads.lock().unwrap().get(&key).copied().unwrap_or_default();
    // A promotion reads it, too.
    let before = fetched();
    for looks in 1..=3 {
        assert_eq!(models.bundle().await.unwrap().tip_version(), None);
        assert_eq!((fetched() - before, failed()), (1, looks));
    }
    let two = promote(&registry, artifact(20.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &two, "durations go on changing");
    assert_eq!((fetched() - before, failed()), (1, 4), "and it is not fetched for that");

    // Missing or damaged bytes are fetched at every check, and serve once they are restored.
    let missing = ObjectKey::new("tip/aliases/champion.json").unwrap();
    let alias = registry.champion(Target::Tip).await.unwrap().unwrap().alias;
    let good = tip_artifact();
    let version = ModelVersion::from_bytes(&good);
    let alias = serde_json::to_vec(&crate::Alias { seq: 2, version: version.clone(), ..alias }).unwrap();
    store.store.put(&missing, Bytes::from(alias), Condition::Always).await.unwrap();
    assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (None, 5));
    assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (None, 6));
    registry.publish(Target::Tip, good, &NO_CARD).await.unwrap();
    assert_eq!((models.bundle().await.unwrap().tip_version(), failed()), (Some(&version), 6));
    models.bundle().await.unwrap();
    assert_eq!(failed(), 6, "mended, it is quiet");
}

#[tokio::test]
async fn while_one_batch_waits_for_a_check_the_others_are_predicted() {
    let store = Counting::default();
    let registry = Registry::new(Arc::new(store.clone()));
    let one = promote(&registry, artifact(10.0)).await;
    let models = Models::new(registry.clone(), Duration::ZERO, |_, _| ());
    models.bundle().await.unwrap();
    let two = promote(&registry, artifact(20.0)).await;
    let closed = Arc::clone(&store.gate).write_owned().await;
    let checking = tokio::spawn({
        let models = models.clone();
        async move { models.bundle().await.unwrap() }
    });
    tokio::task::yield_now().await;
    for _ in 0..10 {
        let bundle = tokio::time::timeout(Duration::from_millis(500), models.bundle()).await;
        assert_eq!(bundle.expect("it does not wait").unwrap().duration_version(), &one);
    }
    drop(closed);
    assert_eq!(checking.await.unwrap().duration_version(), &two);
    // One that was given up in the middle leaves the turn to the next.
    let closed = Arc::clone(&store.gate).write_owned().await;
    assert!(tokio::time::timeout(Duration::from_millis(10), models.bundle()).await.is_err());
    drop(closed);
    let three = promote(&registry, artifact(30.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &three);
}

#[tokio::test]
async fn the_registry_is_asked_at_most_every_so_often() {
    let registry = Registry::new(Arc::new(MemoryStore::default()));
    let models = Models::new(registry.clone(), Duration::from_secs(3600), |_, _| ());
    let one = promote(&registry, artifact(10.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &one);
    promote(&registry, artifact(20.0)).await;
    assert_eq!(models.bundle().await.unwrap().duration_version(), &one, "not asked yet");
}
