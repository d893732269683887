//! Joins outcomes that come later than their predictions: the lines of `labels/<day>/<name>.jsonl` with what was answered on that day, by id.
//! What comes of a day is one object, which replaces that of an earlier join: files that come again, or correct one another, count once.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Trip;
use model::outcome::Outcome;
use model::prediction::RidePrediction;
use model::request::{RideId, code, local_time};
use monitoring::Profile;
use monitoring::days::STREAM_DAYS_APART_MAX;
use monitoring::profile::TripPrediction;
use registry::layout;
use serde::{Deserialize, Serialize};
use store::{Condition, ETag, Get, ObjectKey, Store, StoreError, json};

/// Objects that are read at once; answers are small.
const AT_ONCE: usize = 64;
/// Days after which answers have expired; both deployments say so.
const ANSWERS_KEPT_DAYS: i64 = 90;
/// Lines that are named of all that cannot be used.
const REFUSED_MAX: usize = 5;

/// The outcomes of what was answered on a day, `profiles/labels/<day>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabelledDay {
    /// The files of labels that were joined.
    files: BTreeMap<String, ETag>,
    /// When they were.
    joined: DateTime<Utc>,
    /// What could not be joined, for people.
    pub(crate) left: Vec<String>,
    /// Counts of the outcomes alone, by day of the pickup.
    pub(crate) days: BTreeMap<NaiveDate, Profile>,
}

/// A line of labels. Other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    id: Option<String>,
    ride_id: Option<RideId>,
    duration_min: Option<f64>,
    #[serde(alias = "lpep_dropoff_datetime", alias = "tpep_dropoff_datetime")]
    dropoff_datetime: Option<String>,
    tip_amount: Option<f64>,
    payment_type: Option<f64>,
}

/// What a label is joined by: the prediction's id, or the ride's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Prediction(String),
    Ride(RideId),
}

/// What is known of a ride that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Label {
    duration_min: Option<f64>,
    dropoff: Option<NaiveDateTime>,
    tip_amount: Option<f64>,
    payment_type: Option<u8>,
}

/// A line of answers; challengers' predictions are ignored.
#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    prediction: RidePrediction,
    #[serde(default)]
    trip: Trip,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// What was expected.
    fn label(text: &[u8]) -> Result<(Id, Label), String> {
        let line: Self =
            serde_json::from_slice(text).map_err(|error| format!("expected a label: {error}"))?;
        let id = line.id.map(Id::Prediction).or(line.ride_id.map(Id::Ride));
        let id = id.ok_or("expected id, that of the prediction, or ride_id")?;
        let dropoff = line.dropoff_datetime.as_deref().map(|text| local_time(text).ok_or(text.to_string()));
        let dropoff = dropoff
            .transpose()
            .map_err(|text| format!("dropoff_datetime: expected a time, found {text:?}"))?;
        if line.duration_min.is_none() && dropoff.is_none() && line.tip_amount.is_none() {
            return Err("expected duration_min, dropoff_datetime or tip_amount".into());
        }
        let label = Label {
            duration_min: line.duration_min,
            dropoff,
            tip_amount: line.tip_amount,
            payment_type: line.payment_type.and_then(code),
        };
        Ok((id, label))
    }
}

impl Label {
    fn outcome(self, trip: &Trip) -> Outcome {
        let after = |minutes: f64| {
            let micros = (minutes * 60e6).round() as i64;
            trip.pickup?.checked_add_signed(TimeDelta::microseconds(micros))
        };
        let dropoff = self.dropoff.or(self.duration_min.and_then(after));
        Outcome { dropoff, tip_amount: self.tip_amount, payment_type: self.payment_type, fare_amount: None }
    }
}

/// Joins the labels of the days until `to` that have come or changed, and returns the outcomes of all days from `from` on.
pub(crate) async fn joined(
    store: &dyn Store,
    from: NaiveDate,
    to: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<LabelledDay>, StoreError> {
    let mut files: BTreeMap<NaiveDate, BTreeMap<String, ETag>> = BTreeMap::new();
    for meta in store.list(layout::LABELS).await? {
        let day = layout::day_of_labels(&meta.key).filter(|day| (from..=to).contains(day));
        day.into_iter().for_each(|day| {
            drop(files.entry(day).or_default().insert(meta.key.to_string(), meta.etag.clone()))
        });
    }
    let mut all = Vec::new();
    for (day, files) in files {
        let key = layout::profile_of_labels(day)?;
        let known = match json::read::<LabelledDay>(store, &key).await {
            // A form of an earlier build is made anew.
            Err(StoreError::Document { .. }) => None,
            read => read?.map(|(known, _)| known),
        };
        let is_current = known.as_ref().is_some_and(|known| known.files == files);
        let has_answers = (to - day).num_days() < ANSWERS_KEPT_DAYS;
        match known {
            Some(known) if is_current || !has_answers => all.push(known),
            _ => {
                let labelled = join(store, day, files, now).await?;
                json::write_line(store, &key, &labelled, Condition::Always).await?;
                all.push(labelled);
            }
        }
    }
    Ok(all)
}

/// Joins all labels of a day with the answers of that day.
async fn join(
    store: &dyn Store,
    day: NaiveDate,
    files: BTreeMap<String, ETag>,
    now: DateTime<Utc>,
) -> Result<LabelledDay, StoreError> {
    let (mut labels, mut left) = (HashMap::new(), Vec::new());
    for key in files.keys() {
        let (read, refused) = labels_of(store, &ObjectKey::new(key.clone())?).await?;
        labels.extend(read);
        left.extend(refused);
    }
    let n = labels.len();
    let (mut days, mut answered, mut used) = (BTreeMap::new(), HashSet::new(), HashSet::new());
    let listed = store.list(&layout::answers_of_day(day)).await?;
    let reads = listed.into_iter().map(|meta| {
        async move {
            let object = match store.get(&meta.key, Get::default()).await {
                Err(StoreError::NotFound { .. }) => None,
                other => Some(other?),
            };
            Ok::<_, StoreError>((meta.key, object))
        }
        .boxed()
    });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some((key, object)) = reads.try_next().await? {
        for line in lines(object.as_ref().map_or(&[], |object| &object.bytes)) {
            let Answer { id, prediction, trip } = match serde_json::from_slice(line) {
                Ok(answer) => answer,
                Err(error) => {
                    left.push(format!("{key}: {error}"));
                    continue;
                }
            };
            let ids = [Id::Prediction(id.clone()), Id::Ride(prediction.ride_id.clone())];
            let Some((by, label)) = ids.into_iter().find_map(|id| labels.get_key_value(&id)) else {
                continue;
            };
            used.insert(by.clone());
            // A batch that came twice was answered twice.
            if answered.insert(id) {
                let is_near = |of: &NaiveDate| (*of - day).num_days().abs() <= STREAM_DAYS_APART_MAX;
                let counted_on = trip.pickup.map(|at| at.date()).filter(is_near).unwrap_or(day);
                let predicted = predicted(&prediction);
                let profile: &mut Profile = days.entry(counted_on).or_default();
                profile.add_outcome(&trip, &predicted, &label.outcome(&trip));
            }
        }
    }
    if used.len() < n {
        let without = n - used.len();
        left.push(format!("{without} of {n} labels of {day} have no answer: answers are kept with KEEP_ANSWERS, for {ANSWERS_KEPT_DAYS} days"));
    }
    if left.len() > REFUSED_MAX {
        let more = left.len() - REFUSED_MAX;
        left.drain(..more);
        left.insert(0, format!("{more} more lines of labels or answers of {day} cannot be used"));
    }
    Ok(LabelledDay { files, joined: now, left, days })
}

fn predicted(prediction: &RidePrediction) -> TripPrediction {
    let [lower, upper] = prediction.ride_duration_interval;
    TripPrediction {
        minutes: prediction.ride_duration,
        interval: (lower, upper),
        tip_probability: prediction.tip_probability,
    }
}

/// Reads a file of labels, and names the lines that cannot be used.
async fn labels_of(
    store: &dyn Store,
    key: &ObjectKey,
) -> Result<(Vec<(Id, Label)>, Vec<String>), StoreError> {
    let object = match store.get(key, Get::default()).await {
        // Listed and gone since.
        Err(StoreError::NotFound { .. }) => return Ok(Default::default()),
        other => other?,
    };
    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(lines(&object.bytes)) {
        match Line::label(line) {
            Ok(label) => read.push(label),
            Err(why) => refused.push(format!("{key}, line {number}: {why}")),
        }
    }
    Ok((read, refused))
}

/// Returns the lines of a text that are not blank.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use monitoring::testing::{Row, day, profile, rows};
    use store::MemoryStore;

    use super::*;

    const TODAY: u64 = 3;

    /// Returns the id of the row at a position, which a line of answers has.
    fn id(row: usize) -> String {
        format!("{row:064x}")
    }

    /// Answers the rows of a day in two events, the first of which came twice.
    async fn answered(store: &MemoryStore, number: u64, rows: &[Row]) {
        let line = |(row, (trip, prediction, _)): (usize, &Row)| {
            let (lower, upper) = prediction.interval;
            let predicted = RidePrediction {
                ride_duration: prediction.minutes,
                ride_duration_interval: [lower, upper],
                ride_id: RideId::Number(row as i64),
                tip_probability: None,
            };
            serde_json::json!({"id": id(row), "prediction": predicted, "trip": trip, "challengers": []})
                .to_string()
        };
        let lines: Vec<String> = rows.iter().enumerate().map(line).collect();
        let (first, second) = lines.split_at(lines.len() / 2);
        for (event, lines) in [("a", first), ("again", first), ("b", second)] {
            let key = layout::answers(day(number), event).unwrap();
            store.put(&key, lines.join("\n").into(), Condition::Always).await.unwrap();
        }
    }

    async fn labelled(store: &MemoryStore, key: &str, lines: &[String]) {
        store.put(&ObjectKey::new(key).unwrap(), lines.join("\n").into(), Condition::Always).await.unwrap();
    }

    async fn join_all(store: &MemoryStore) -> Vec<LabelledDay> {
        joined(store, day(0), day(TODAY), DateTime::UNIX_EPOCH).await.unwrap()
    }

    /// Returns a label with the outcome of a row.
    fn label((row, (_, _, outcome)): (usize, &Row)) -> String {
        let at = outcome.dropoff.unwrap().format("%FT%T%.6f");
        match row % 2 {
            0 => format!(r#"{{"id": "{}", "dropoff_datetime": "{at}"}}"#, id(row)),
            _ => format!(r#"{{"ride_id": {row}, "lpep_dropoff_datetime": "{at}", "driver": "x"}}"#),
        }
    }

    #[tokio::test]
    async fn joined_to_their_messages_labels_give_the_profile_of_a_labelled_file() {
        let (store, rows) = (MemoryStore::default(), rows(0, 60));
        answered(&store, 0, &rows).await;
        assert_eq!(join_all(&store).await, []);
        let lines: Vec<String> = rows.iter().enumerate().map(label).collect();
        let key = format!("labels/{}/one.jsonl", day(0));
        labelled(&store, &key, &lines).await;
        let mut messages = Profile::default();
        rows.iter().for_each(|(trip, prediction, _)| messages.add(trip, Some(prediction), None));
        let found = join_all(&store).await;
        messages.merge(&found[0].days[&day(0)]);
        assert_eq!(messages, profile(&rows));
        assert_eq!(found[0].left, Vec::<String>::new());
        // A second file with the same labels, and a join that has nothing to do, count nothing twice.
        labelled(&store, &format!("labels/{}/two.jsonl", day(0)), &lines).await;
        let again = join_all(&store).await;
        assert_eq!((&again[0].days, again[0].files.len()), (&found[0].days, 2));
        assert_eq!(join_all(&store).await, again);
    }

    #[tokio::test]
    async fn what_cannot_be_joined_is_named() {
        let (store, rows) = (MemoryStore::default(), rows(0, 4));
        answered(&store, 0, &rows).await;
        let mut lines: Vec<String> = rows.iter().enumerate().map(label).collect();
        lines.extend(
            [
                "{",
                r#"{"duration_min": 3}"#,
                r#"{"ride_id": 1}"#,
                r#"{"ride_id": 1, "dropoff_datetime": "soon"}"#,
                r#"{"ride_id": "other", "duration_min": 3}"#,
            ]
            .map(String::from),
        );
        labelled(&store, &format!("labels/{}/one.jsonl", day(0)), &lines).await;
        labelled(&store, &format!("labels/{}/of-today.jsonl", day(TODAY + 1)), &lines).await;
        let found = join_all(&store).await;
        assert_eq!((found.len(), found[0].days[&day(0)].predictions.judged.rows), (1, 4));
        let expected = [
            "line 5: expected a label",
            "line 6: expected id",
            "line 7: expected duration_min",
            "line 8: dropoff_datetime",
            "1 of 5 labels",
        ];
        for (left, expected) in found[0].left.iter().zip(expected) {
            assert!(left.contains(expected), "{left}");
        }
        assert_eq!(found[0].left.len(), expected.len());
    }

    #[test]
    fn a_duration_counts_from_the_pickup() {
        let (_, label) =
            Line::label(br#"{"id": "a", "duration_min": 12.5, "tip_amount": 2, "payment_type": 1.0}"#)
                .unwrap();
        let pickup = local_time("2023-01-02 10:00");
        let outcome = label.outcome(&Trip { pickup, ..Trip::default() });
        assert_eq!(outcome.dropoff, local_time("2023-01-02 10:12:30"));
        assert_eq!((outcome.tip_amount, outcome.payment_type), (Some(2.0), Some(1)));
        assert_eq!(label.outcome(&Trip::default()).dropoff, None);
        let (_, endless) = Line::label(br#"{"id": "a", "duration_min": 1e300}"#).unwrap();
        assert_eq!(endless.outcome(&Trip { pickup, ..Trip::default() }).dropoff, None);
    }
}
