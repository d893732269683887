//! What is fuzzed: each target takes any bytes and panics only if something is wrong. `make fuzz` runs them for minutes with coverage
//! feedback (`fuzz/libfuzzer.rs`); the gate replays the seeds and what was found before (`tests/fuzz/<target>/`).

use bytes::Bytes;
use model::artifact::ArtifactError;
use model::{Artifact, Model, Trip, TripRequest};
use sha2::{Digest, Sha256};
use trees::import::{Foreign, ImportError, lightgbm, sklearn, xgboost};

/// A target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("envelope", envelope),
    ("trip", trip),
    ("artifact", artifact),
    ("parquet", parquet),
    ("lightgbm", |bytes| foreign(lightgbm::read(&String::from_utf8_lossy(bytes)))),
    ("xgboost", |bytes| foreign(xgboost::read(bytes))),
    ("sklearn", |bytes| foreign(sklearn::read(bytes))),
];

/// Events of functions.
fn envelope(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice(bytes) else { return };
    if let Ok(messages) = platform::event::trip_messages(&event) {
        assert!(!messages.messages.is_empty() || event["Records"].as_array().is_some_and(Vec::is_empty));
    }
    let _ = platform::event::objects_created(&event);
}

/// Messages.
fn trip(bytes: &[u8]) {
    let Ok(request) = TripRequest::decode(&String::from_utf8_lossy(bytes)) else { return };
    assert_eq!(request.prediction_id().len(), 64);
    if let Ok(parsed) = request.parse() {
        let row = model::features::row(&parsed.trip);
        assert!(row.iter().all(|value| !value.is_infinite()));
    }
}

/// Artifacts, with the checksum that their bytes have.
fn artifact(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    whole.extend_from_slice(&Sha256::digest(bytes));
    match Artifact::from_bytes(&whole) {
        Err(ArtifactError::Checksum) => panic!("the checksum is that of the bytes"),
        Err(_) => {}
        Ok(read) => match &read.model {
            Model::Duration(model) => {
                let minutes = model.predict(&[Trip::default()]).minutes[0];
                assert!((0.0..=1440.0).contains(&minutes), "{minutes}");
            }
            Model::Tip(model) => {
                let p = model.probabilities(&[Trip::default()])[0];
                assert!((0.0..=1.0).contains(&p), "{p}");
            }
        },
    }
}

/// Files of trips.
fn parquet(bytes: &[u8]) {
    let file = Bytes::copy_from_slice(bytes);
    if let Ok((read, _)) = dataset::read_all(&file, None, dataset::ReadOptions::default()) {
        assert_eq!(read.trips.len(), read.outcomes.len());
    }
}

/// Models of other libraries.
fn foreign(read: Result<Foreign, ImportError>) {
    if let Ok(foreign) = read {
        let row = vec![1.0; foreign.columns.len()];
        let _ = foreign.predict_row(&row);
    }
}
