use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::request::local_time;
use model::testing::constant_duration;
use model::{Classified, Target, Trip, Zone};
use registry::{NO_CARD, Registry};
use store::{Condition, Get, MemoryStore, Object, ObjectKey, ObjectMeta, Upload};

use super::*;
use crate::audit::FileStanding;

const KEY: &str = "incoming/late trips + 100%/green_tripdata_2021-03.parquet";

async fn promoted_model(models: &MemoryStore) {
    let bytes = constant_duration(10.0);
    let registry = Registry::new(Arc::new(models.clone()));
    let version = registry.publish(Target::Duration, bytes.into(), &NO_CARD).await.unwrap();
    registry.promote(Target::Duration, &version, None, "", "").await.unwrap();
}

/// Builds a file of 100 trips of 12 minutes.
fn month() -> Bytes {
    let (mut trips, mut outcomes) = (Vec::new(), Vec::new());
    for row in 0..100u16 {
        let pickup = local_time("2021-03-01 10:00:00");
        trips.push(Trip {
            pickup_zone: Zone::new(row),
            dropoff_zone: Zone::new(2),
            pickup,
            ..Trip::default()
        });
        outcomes
            .push(model::Outcome { dropoff: local_time("2021-03-01 10:12:00"), ..model::Outcome::default() });
    }
    Bytes::from(dataset::trips::to_parquet(&trips, &outcomes).unwrap())
}

struct Bench {
    data: MemoryStore,
    models: MemoryStore,
    predictor: BatchPredictor,
}

fn bench() -> Bench {
    let (data, models) = (MemoryStore::default(), MemoryStore::default());
    let champions = Models::new(Registry::new(Arc::new(models.clone())), Duration::ZERO, |_, _| ());
    let bucket = Some("trips".to_string());
    let predictor = BatchPredictor::new(Arc::new(data.clone()), bucket, champions, "green".into());
    Bench { data, models, predictor }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn drop_file(bench: &Bench, at: &str, bytes: Bytes) -> Result<FileOutcome, PredictError> {
    let etag = bench.data.put(&key(at), bytes, Condition::Always).await.unwrap();
    let (bucket, etag) = ("trips".into(), Some(etag.0));
    let object = ObjectCreated { bucket, key: at.into(), version: None, etag };
    bench.predictor.predict(&object, Deadline::after(Duration::from_secs(60))).await
}

async fn document(bench: &Bench, at: &str) -> Value {
    serde_json::from_slice(&bench.data.get(&key(at), Get::default()).await.unwrap().bytes).unwrap()
}

async fn keys(bench: &Bench) -> Vec<String> {
    bench.data.list("").await.unwrap().into_iter().map(|meta| meta.key.to_string()).collect()
}

#[tokio::test]
async fn a_dropped_month_becomes_predictions_and_a_summary() {
    let bench = bench();
    promoted_model(&bench.models).await;
    let FileOutcome::Predicted { predictions, rows, rejected, .. } =
        drop_file(&bench, KEY, month()).await.unwrap()
    else {
        panic!("predicted")
    };
    assert_eq!((rows, rejected), (100, 0));
    let summary = document(&bench, &(predictions.replacen("predictions/", "summaries/", 1) + ".json")).await;
    assert_eq!((&summary["rows"], &summary["predicted"]), (&json!(100), &json!(100)));
    assert_eq!(summary["flags"]["unknown_pickup_zone"], 1, "row 0 has zone 0");
    assert_eq!(summary["taxi"], json!({"of_file": "green", "of_models": "green"}));
    assert_eq!(summary["metrics"]["rules"], "course");
    assert_eq!(
        (&summary["metrics"]["duration"]["rmse"], &summary["metrics"]["duration"]["rows"]),
        (&json!(2.0), &json!(100))
    );
    let once = bench.data.get(&key(&predictions), Get::default()).await.unwrap().bytes;
    let (before, again) = (keys(&bench).await, drop_file(&bench, KEY, month()).await.unwrap());
    assert!(matches!(again, FileOutcome::Predicted { .. }));
    assert_eq!(
        bench.data.get(&key(&predictions), Get::default()).await.unwrap().bytes,
        once,
        "the same bytes"
    );
    assert_eq!(keys(&bench).await, before, "at the same place");
}

#[tokio::test]
async fn a_file_that_is_not_parquet_leaves_its_reason_and_no_predictions() {
    let bench = bench();
    promoted_model(&bench.models).await;
    let refused = drop_file(&bench, "incoming/notes.txt", Bytes::from_static(b"no trips in here at all"))
        .await
        .unwrap();
    assert!(
        matches!(&refused, FileOutcome::Refused { error_type, .. } if error_type == "Dataset.NotParquet"),
        "{refused:?}"
    );
    let why = document(&bench, "quarantine/notes.txt.error.json").await;
    assert_eq!((&why["outcome"], &why["error_type"]), (&json!("refused"), &json!("Dataset.NotParquet")));
    let mut damaged = month().to_vec();
    // The pages of the first column, which follow the leading magic bytes.
    damaged[8..60].fill(0xff);
    let refused = drop_file(&bench, "incoming/damaged.parquet", Bytes::from(damaged)).await.unwrap();
    assert!(matches!(refused, FileOutcome::Refused { .. }), "{refused:?}");
    assert!(
        !keys(&bench).await.iter().any(|key| key.starts_with("predictions/")),
        "nothing is partly visible"
    );
}

#[tokio::test]
async fn what_is_not_done_in_time_is_given_up_whole() {
    let bench = bench();
    promoted_model(&bench.models).await;
    bench.data.put(&key(KEY), month(), Condition::Always).await.unwrap();
    let object = ObjectCreated { bucket: "trips".into(), key: KEY.into(), version: None, etag: None };
    let late = bench.predictor.predict(&object, Deadline::after(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(late.error_type(), "Batch.OutOfTime");
    assert_eq!(keys(&bench).await, [KEY], "nothing is seen");
}

#[tokio::test]
async fn without_a_champion_the_quarantine_says_so() {
    let bench = bench();
    assert_eq!(drop_file(&bench, KEY, month()).await.unwrap(), FileOutcome::NoModel { key: KEY.into() });
    let why =
        document(&bench, &KEY.replace("incoming/", "quarantine/").replace(".parquet", ".parquet.error.json"))
            .await;
    assert_eq!(why["outcome"], "no_model");
}

#[tokio::test]
async fn what_was_removed_or_lies_elsewhere_is_left_alone() {
    let bench = bench();
    promoted_model(&bench.models).await;
    drop_file(&bench, "incoming/a.parquet", month()).await.unwrap();
    let told = |bucket: &str, key: &str, etag: &str| ObjectCreated {
        bucket: bucket.into(),
        key: key.into(),
        version: None,
        etag: Some(etag.into()),
    };
    for (event, expected) in [
        (told("trips", "incoming/b.parquet", "x"), FileOutcome::Gone { key: "incoming/b.parquet".into() }),
        (told("trips", "history/a.parquet", "x"), FileOutcome::Ignored { key: "history/a.parquet".into() }),
        (
            told("others", "incoming/a.parquet", "x"),
            FileOutcome::Ignored { key: "incoming/a.parquet".into() },
        ),
    ] {
        assert_eq!(
            bench.predictor.predict(&event, Deadline::after(Duration::from_secs(60))).await.unwrap(),
            expected
        );
    }
}

#[tokio::test]
async fn an_event_of_an_older_object_is_one_of_the_present_object() {
    let bench = bench();
    promoted_model(&bench.models).await;
    let etag = bench.data.put(&key(KEY), month(), Condition::Always).await.unwrap();
    let object =
        ObjectCreated { bucket: "trips".into(), key: KEY.into(), version: None, etag: Some("older".into()) };
    let deadline = Deadline::after(Duration::from_secs(60));
    let FileOutcome::Predicted { predictions, .. } =
        bench.predictor.predict(&object, deadline).await.unwrap()
    else {
        panic!("predicted")
    };
    let summary = document(&bench, &(predictions.replacen("predictions/", "summaries/", 1) + ".json")).await;
    assert_eq!(summary["source"]["etag"], etag.0);
}

#[tokio::test]
async fn a_backfill_predicts_each_file_once() {
    let bench = bench();
    let path = "incoming/green_tripdata_2021-03.parquet";
    let etag = bench.data.put(&key(path), month(), Condition::Always).await.unwrap();
    let ask = |etag: Option<&str>, to: &str| {
        let request = json!({"backfill": {"bucket": "trips", "key": path, "etag": etag, "to": to}});
        let request = backfill_request(&request).unwrap().unwrap();
        let predictor = bench.predictor.clone();
        async move { predictor.backfill(&request, Deadline::after(Duration::from_secs(60))).await.unwrap().0 }
    };
    let outcome = |done: Backfilled| json!(done)["outcome"].as_str().unwrap().to_string();
    let without = ask(Some(&etag.0), "2021-12").await;
    assert_eq!(
        (without.outcome.is_failure(), without.error_type.as_deref()),
        (true, Some("Models.NoChampion"))
    );
    promoted_model(&bench.models).await;
    assert_eq!(outcome(ask(Some(&etag.0), "2021-02").await), "outside");
    let first = ask(Some(&etag.0), "2021-12").await;
    assert_eq!((first.rows, outcome(first)), (Some(100), "predicted".into()));
    // Also where the list of a store has no ETags.
    for etag in [Some(etag.0.as_str()), None] {
        assert_eq!(outcome(ask(etag, "2021-12").await), "unchanged");
    }
    let replaced = dataset::trips::to_parquet(&[Trip::default()], &[model::Outcome::default()]).unwrap();
    let new = bench.data.put(&key(path), Bytes::from(replaced), Condition::Always).await.unwrap();
    let listed = ask(Some(&etag.0), "2021-12").await;
    assert_eq!(
        (listed.rows, outcome(listed)),
        (Some(1), "predicted".into()),
        "the list is older than the object"
    );
    assert_eq!(outcome(ask(Some(&new.0), "2021-12").await), "unchanged");
    bench.data.put(&key(path), Bytes::from("no trips"), Condition::Always).await.unwrap();
    let refused = ask(None, "2021-12").await;
    assert!(
        refused.outcome.is_failure() && serde_json::to_vec(&refused).unwrap().len() < 1000,
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_audit_finds_what_nobody_has_predicted() {
    let bench = bench();
    let put =
        async |at: &str, bytes: Bytes| bench.data.put(&key(at), bytes, Condition::Always).await.unwrap();
    let standings = async || {
        let audit = bench.predictor.audit("incoming/").await.unwrap();
        audit.files.into_iter().map(|(meta, standing)| (meta.key.to_string(), standing)).collect::<Vec<_>>()
    };
    let at = |name: &str| format!("incoming/{name}");
    // Two files whose events were lost, one that came before there was a champion, and a marker, which is no file of trips.
    for name in ["green_tripdata_2021-01.parquet", "nameless.parquet", "_SUCCESS"] {
        put(&at(name), month()).await;
    }
    drop_file(&bench, &at("early.parquet"), month()).await.unwrap();
    let early = |standing| (at("early.parquet"), standing);
    assert_eq!(standings().await[0], early(FileStanding::Refused("no_model".into())));
    promoted_model(&bench.models).await;
    assert_eq!(standings().await[0], early(FileStanding::Missing), "now it could be predicted");
    drop_file(&bench, &at("good.parquet"), month()).await.unwrap();
    drop_file(&bench, &at("notes.parquet"), Bytes::from("no trips in here at all")).await.unwrap();
    let missing = |name: &str| (at(name), FileStanding::Missing);
    let refused = |name: &str| (at(name), FileStanding::Refused("Dataset.NotParquet".into()));
    assert_eq!(
        standings().await,
        [
            missing("early.parquet"),
            (at("good.parquet"), FileStanding::Predicted),
            missing("green_tripdata_2021-01.parquet"),
            missing("nameless.parquet"),
            refused("notes.parquet"),
        ]
    );

    // Corrected files whose events were lost.
    put(&at("good.parquet"), month()).await;
    put(&at("notes.parquet"), month()).await;
    let found = standings().await;
    assert_eq!((&found[1], &found[4]), (&missing("good.parquet"), &missing("notes.parquet")));

    // A backfill of a store names no ETags; its error reports have those of the bytes that were read.
    put(&at("notes.parquet"), Bytes::from("still no trips in here")).await;
    for (name, _) in standings().await {
        let request = json!({"backfill": {"bucket": "trips", "key": name, "etag": null}});
        let request = backfill_request(&request).unwrap().unwrap();
        bench.predictor.backfill(&request, Deadline::after(Duration::from_secs(60))).await.unwrap();
    }
    let found = standings().await;
    assert_eq!(found[4], refused("notes.parquet"));
    assert!(found[..4].iter().all(|(_, standing)| *standing == FileStanding::Predicted), "{found:?}");

    // Another champion has predicted none of them.
    let registry = Registry::new(Arc::new(bench.models.clone()));
    let version = registry.publish(Target::Duration, constant_duration(11.0).into(), &NO_CARD).await.unwrap();
    let present = registry.champion(Target::Duration).await.unwrap();
    registry.promote(Target::Duration, &version, present.as_ref(), "", "").await.unwrap();
    let found = standings().await;
    assert!(found[..4].iter().all(|(_, standing)| *standing == FileStanding::PredictedEarlier), "{found:?}");
}

/// A store whose process ends before it has written the summary of predictions.
#[derive(Debug)]
struct EndsBeforeSummary(MemoryStore);

#[async_trait]
impl Store for EndsBeforeSummary {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        self.0.get(key, what).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        self.0.head(key).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let is_summary =
            key.as_str().starts_with("summaries/") && !bytes.windows(9).any(|at| at == b"replacing");
        if is_summary {
            return Err(StoreError::Unavailable {
                operation: "writing",
                key: key.to_string(),
                source: "it ended".into(),
            });
        }
        self.0.put(key, bytes, condition).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.0.list(prefix).await
    }
    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        self.0.upload(key).await
    }
}

#[tokio::test]
async fn predictions_of_a_replaced_file_have_no_summary_of_the_former_one() {
    let bench = bench();
    promoted_model(&bench.models).await;
    drop_file(&bench, KEY, month()).await.unwrap();
    let key_of_summary = bench.data.list("summaries/").await.unwrap().remove(0).key;
    let summarised_etag = async || results::summarised(&bench.data, &key_of_summary).await.unwrap();
    let first = summarised_etag().await;
    assert_eq!(first, Some(bench.data.head(&key(KEY)).await.unwrap().etag.0));

    let ending =
        BatchPredictor { data: Arc::new(EndsBeforeSummary(bench.data.clone())), ..bench.predictor.clone() };
    let ending = Bench { data: bench.data.clone(), models: bench.models.clone(), predictor: ending };
    drop_file(&ending, KEY, month()).await.unwrap_err();
    assert_eq!(summarised_etag().await, None, "the predictions are those of the second file");
    assert_eq!(bench.predictor.audit(KEY).await.unwrap().files[0].1, FileStanding::Missing);
    drop_file(&bench, KEY, month()).await.unwrap();
    assert_eq!(summarised_etag().await, Some(bench.data.head(&key(KEY)).await.unwrap().etag.0));
}
